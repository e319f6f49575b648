#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

/// Zip archives in memory: of arrays (.npz) and of models (.keras, .pt2). What an archive says of
/// itself is not trusted: all sizes are judged before the first byte is inflated, and contents are
/// compared with their checksums.
namespace gatewright {

/// How an archive is judged, and how its faults are reported.
struct ZipRules {
    /// Throws. `entry` is a printable name, or empty where the archive as a whole is at fault.
    std::function<void(const std::string& entry, const std::string& message)> refuse;
    const char* plural = "entries";  ///< what the entries are, in messages: "arrays"
    std::uint64_t limit = 0;         ///< of the bytes of all entries together
    /// All entries together may have this many times the archive's bytes, once they are more than
    /// `unjudged`. Deflate reaches 1032; data that mean something stay far below.
    std::uint64_t most_ratio = 1032;
    std::uint64_t unjudged = 0;
};

struct ZipEntry {
    std::string name;
    std::uint64_t size = 0;  ///< of the content
};

/// Whether the bytes begin as a zip archive does.
bool is_zip(std::span<const std::byte> bytes);

class ZipArchive {
  public:
    /// `bytes` must outlive the archive. Refuses damaged archives, entries that are encrypted, of
    /// one name, or packed in other ways than stored and deflated, and those against the rules.
    ZipArchive(std::span<const std::byte> bytes, ZipRules rules);
    ~ZipArchive();
    ZipArchive(ZipArchive&&) noexcept;
    ZipArchive& operator=(ZipArchive&&) noexcept;

    const std::vector<ZipEntry>& entries() const { return entries_; }
    /// The content of an entry by its place in the list. Refuses one that is damaged.
    std::vector<std::byte> read(std::size_t index) const;

  private:
    struct State;
    [[noreturn]] void refuse(const std::string& entry, const std::string& message) const;

    ZipRules rules_;
    std::vector<ZipEntry> entries_;
    std::unique_ptr<State> state_;
};

}  // namespace gatewright
