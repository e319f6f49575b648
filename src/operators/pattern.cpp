#include "operators/pattern.h"

#include <algorithm>

namespace gatewright::operators {

namespace {

/// Whether numbers of `length` positions, each of `inner` elements, repeat; fills the entries.
bool repeats(std::span<const std::int32_t> numbers, std::int64_t inner, std::int64_t length,
             std::vector<std::int32_t>& entries) {
    entries.assign(static_cast<std::size_t>(length), -1);
    const auto count = static_cast<std::int64_t>(numbers.size());
    for (std::int64_t e = 0; e < count;) {
        for (std::int64_t i = 0; i < length && e < count; ++i) {
            std::int32_t& entry = entries[static_cast<std::size_t>(i)];
            for (const std::int64_t end = e + inner; e < end; ++e) {
                const std::int32_t number = numbers[static_cast<std::size_t>(e)];
                if (number < 0 || number == entry) {
                    continue;
                }
                if (entry >= 0) {
                    return false;
                }
                entry = number;
            }
        }
    }
    return true;
}

}  // namespace

Pattern pattern_of(std::span<const std::int32_t> numbers, const Shape& shape) {
    struct Candidate {
        std::int64_t inner;
        std::int64_t length;
    };
    std::vector<Candidate> candidates = {{1, 1}};
    std::int64_t inner = 1;
    for (std::size_t last = shape.size(); last-- > 0;) {
        std::int64_t length = 1;
        for (std::size_t first = last + 1; first-- > 0;) {
            length *= shape[first];
            candidates.push_back({inner, length});
        }
        inner *= shape[last];
    }
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.length < b.length; });
    Pattern out;
    for (const Candidate& candidate : candidates) {
        if (candidate.length > 0 &&
            repeats(numbers, candidate.inner, candidate.length, out.entries)) {
            out.inner = candidate.length == 1 ? 1 : candidate.inner;
            return out;
        }
    }
    return out;
}

}  // namespace gatewright::operators
