#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "network/network.h"
#include "types/per_element.h"
#include "types/shape.h"

/// How values repeat over the elements of a tensor. Large tensors (a convolution's patches) have
/// far fewer values than elements: what is found here keeps cost with the values.
namespace gatewright::operators {

/// Element e has entries[(e / inner) % entries.size()].
struct Pattern {
    std::int64_t inner = 1;
    std::vector<std::int32_t> entries;
};

/// The shortest pattern over neighbouring axes that these numbers, one an element, have; -1 fits
/// anything.
Pattern pattern_of(std::span<const std::int32_t> numbers, const Shape& shape);

/// The values of a pattern; an entry that is -1 takes `any`.
template <class T>
PerElement<T> spread(const Pattern& pattern, const std::vector<T>& values, const T& any) {
    std::vector<T> out;
    out.reserve(pattern.entries.size());
    for (const std::int32_t entry : pattern.entries) {
        out.push_back(entry < 0 ? any : values[static_cast<std::size_t>(entry)]);
    }
    return PerElement<T>::along(std::move(out), pattern.inner);
}

/// Elements in equal positions of this pattern have equal keys of a map (Operator::element_key):
/// element e stands at (e % period) / inner.
struct KeyPattern {
    std::int64_t inner = 1;
    std::int64_t period = 1;
};
/// Nothing where the keys follow no pattern.
std::optional<KeyPattern> key_pattern(const network::Node& node);

/// Tensors beyond this many elements are never whole in a circuit, and their zeros of padding are
/// typed as their neighbours are, so that the types stay the same for all pixels.
inline constexpr std::int64_t large_tensor = std::int64_t{1} << 17;

}  // namespace gatewright::operators
