#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gatewright::store {

/// A zip archive in memory (.keras, .pt2, .pt). Sizes are judged before anything is inflated: no
/// entry and no archive may unfold to far more than its own size; names that lead out of the
/// archive and names that occur twice are refused. Throws Failure (store_malformed).
class Archive {
  public:
    /// Takes the archive's bytes; `file` is named in errors.
    Archive(std::vector<std::byte> bytes, std::string file);
    ~Archive();
    Archive(Archive&&) noexcept;
    Archive& operator=(Archive&&) noexcept;

    const std::vector<std::string>& names() const;  ///< of all entries, in the archive's order
    bool has(std::string_view name) const;
    /// The content of an entry, its checksum compared. Throws Failure if there is none.
    std::vector<std::byte> read(std::string_view name) const;
    std::string read_text(std::string_view name) const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace gatewright::store
