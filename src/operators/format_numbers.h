#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "network/network.h"

/// What is computed once for all elements of equal formats: formats by number, elements by class.
namespace gatewright::operators {

/// Numbers equal formats alike, so that a body's key is a few small integers.
class FormatNumbers {
  public:
    std::int32_t number(const Format& format) {
        const auto key = std::tuple(format.type.is_signed, format.type.width, format.type.frac,
                                    format.range.low, format.range.high);
        const auto [at, is_new] =
            numbers_.try_emplace(key, static_cast<std::int32_t>(numbers_.size()));
        if (is_new) {
            formats_.push_back(format);
        }
        return at->second;
    }
    /// The format of each number.
    const std::vector<Format>& formats() const { return formats_; }

  private:
    std::vector<Format> formats_;
    std::map<std::tuple<bool, int, int, Int128, Int128>, std::int32_t> numbers_;
};

/// Format numbers of the entries of a tensor's formats.
inline std::vector<std::int32_t> entry_numbers(const TensorType& type, FormatNumbers& numbers) {
    std::vector<std::int32_t> distinct;
    distinct.reserve(type.fixed->values().size());
    for (const Format& format : type.fixed->values()) {
        distinct.push_back(numbers.number(format));
    }
    return distinct;
}

/// Format numbers of all elements of a tensor; computed per distinct value, not per element.
inline std::vector<std::int32_t> format_numbers(const TensorType& type, FormatNumbers& numbers) {
    const std::vector<std::int32_t> distinct = entry_numbers(type, numbers);
    const auto count = static_cast<std::size_t>(element_count(type.shape));
    const auto inner = static_cast<std::size_t>(type.fixed->inner());
    std::vector<std::int32_t> out;
    out.reserve(count);
    while (out.size() < count) {
        for (std::size_t i = 0; i < distinct.size() && out.size() < count; ++i) {
            out.insert(out.end(), std::min(inner, count - out.size()), distinct[i]);
        }
    }
    return out;
}

/// Elements in classes; at first all are in one.
struct Classes {
    std::vector<std::int32_t> class_of;  ///< [element]
    std::vector<std::int64_t> first;     ///< the first element of each class

    explicit Classes(std::size_t count) : class_of(count, 0) {
        if (count > 0) {
            first.push_back(0);
        }
    }

    /// Tells elements with different keys apart.
    template <class F>
    void refine(F key) {
        std::map<std::pair<std::int32_t, std::int64_t>, std::int32_t> known;
        first.clear();
        std::pair<std::int32_t, std::int64_t> last{-1, 0};
        std::int32_t number = 0;
        for (std::size_t e = 0; e < class_of.size(); ++e) {
            const std::pair<std::int32_t, std::int64_t> now{class_of[e], key(e)};
            if (now != last) {
                const auto [at, is_new] =
                    known.try_emplace(now, static_cast<std::int32_t>(known.size()));
                if (is_new) {
                    first.push_back(static_cast<std::int64_t>(e));
                }
                number = at->second;
                last = now;
            }
            class_of[e] = number;
        }
    }
};

}  // namespace gatewright::operators
