#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "types/tensor.h"

namespace gatewright::store {

/// A .safetensors file in memory: a JSON header that says where each tensor lies, then the bytes of
/// all of them, without gaps and without overlaps. All places are checked before the first tensor
/// is read. Throws Failure (store_malformed, or model_config_malformed for a header that is no
/// JSON).
class SafeTensors {
  public:
    /// Takes the file's bytes; `file` is named in errors.
    SafeTensors(std::vector<std::byte> bytes, std::string file);

    std::vector<std::string> names() const;
    bool has(std::string_view name) const { return entries_.contains(name); }
    const Shape& shape(std::string_view name) const { return entry(name).shape; }
    /// The format's name of a tensor's element type: "F32", "BF16".
    std::string_view type(std::string_view name) const;
    /// Throws Failure if there is none, or if an integer of it is not exact in a double.
    Tensor read(std::string_view name) const;
    /// What the writer noted, as texts.
    const std::map<std::string, std::string>& notes() const { return notes_; }

  private:
    struct Entry {
        std::size_t type = 0;  ///< its place in the table of types
        Shape shape;
        std::uint64_t begin = 0;  ///< of its bytes, counted from the header's end
        std::uint64_t end = 0;
    };
    const Entry& entry(std::string_view name) const;
    void check_places() const;
    [[noreturn]] void fail(std::string_view tensor, const std::string& message) const;

    std::vector<std::byte> bytes_;
    std::string file_;
    std::uint64_t data_ = 0;  ///< where the tensors' bytes begin
    std::map<std::string, Entry, std::less<>> entries_;
    std::map<std::string, std::string> notes_;
};

}  // namespace gatewright::store
