#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace gatewright {

/// One value of T for a whole tensor, for each position along one axis, or for each element:
/// element e has values()[(e / inner()) % values().size()]. Uniform is the case of one value.
/// The form is kept canonical: a tensor whose values are all equal is uniform.
template <class T>
class PerElement {
  public:
    PerElement() : values_(1) {}
    PerElement(T value) : values_{std::move(value)} {}  // NOLINT: one value is the common case

    /// One value per position of an axis; `inner` is the product of the extents behind that axis.
    static PerElement along(std::vector<T> values, std::int64_t inner) {
        PerElement out;
        out.values_ = std::move(values);
        out.inner_ = inner;
        const bool equal = std::all_of(out.values_.begin(), out.values_.end(),
                                       [&](const T& v) { return v == out.values_.front(); });
        if (equal && !out.values_.empty()) {
            out.values_.resize(1, out.values_.front());
            out.inner_ = 1;
        }
        return out;
    }

    /// One value per element, row-major.
    static PerElement each(std::vector<T> values) { return along(std::move(values), 1); }

    const T& at(std::int64_t element) const {
        return values_[static_cast<std::size_t>((element / inner_) %
                                                static_cast<std::int64_t>(values_.size()))];
    }
    bool is_uniform() const { return values_.size() == 1; }
    const std::vector<T>& values() const { return values_; }
    std::int64_t inner() const { return inner_; }

    bool operator==(const PerElement&) const = default;

  private:
    std::vector<T> values_;
    std::int64_t inner_ = 1;
};

}  // namespace gatewright
