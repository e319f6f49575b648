#include "emulate/extent.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include "emulate/clones.h"

namespace gatewright::emulate {

namespace {

/// The same in integers, which compilers turn into vectors: `low` and `high` are the numbers' bits,
/// ordered as signed integers are.
template <class Integer>
struct Bits {
    Integer low = 0;
    Integer high = 0;
    Integer finest = std::numeric_limits<Integer>::max();  ///< biased exponent of the finest bit
};

#define GATEWRIGHT_BITS_OF(name, Real, Integer)                                              \
    GATEWRIGHT_CLONES void name(const Real* x, std::int64_t count, Bits<Integer>& bits) {    \
        constexpr int digits = std::numeric_limits<Real>::digits - 1;                        \
        constexpr Integer hidden = Integer{1} << digits;                                     \
        constexpr Integer most = std::numeric_limits<Integer>::max();                        \
        Integer low = bits.low;                                                              \
        Integer high = bits.high;                                                            \
        Integer finest = bits.finest;                                                        \
        for (std::int64_t i = 0; i < count; ++i) {                                           \
            const auto u = std::bit_cast<Integer>(x[i]);                                     \
            const Integer order = u ^ ((u >> (8 * sizeof u - 1)) & most);                    \
            low = order < low ? order : low;                                                 \
            high = order > high ? order : high;                                              \
            const Integer exponent = (u & most) >> digits;                                   \
            const Integer mantissa = (u & (hidden - 1)) | (exponent != 0 ? hidden : 0);      \
            const auto lowest = static_cast<Real>(mantissa & -mantissa); /* exact */         \
            const Integer bit =                                                              \
                (std::bit_cast<Integer>(lowest) >> digits) + (exponent != 0 ? exponent : 1); \
            const Integer own = mantissa != 0 ? bit : most;                                  \
            finest = own < finest ? own : finest;                                            \
        }                                                                                    \
        bits = {low, high, finest};                                                          \
    }
GATEWRIGHT_BITS_OF(bits_of_floats, float, std::int32_t)
GATEWRIGHT_BITS_OF(bits_of_doubles, double, std::int64_t)

void bits_of(const float* x, std::int64_t count, Bits<std::int32_t>& bits) {
    bits_of_floats(x, count, bits);
}
void bits_of(const double* x, std::int64_t count, Bits<std::int64_t>& bits) {
    bits_of_doubles(x, count, bits);
}

/// Takes more numbers into account.
template <class Real>
void add(std::span<const Real> x, Extent& extent) {
    using Integer = std::conditional_t<sizeof(Real) == 4, std::int32_t, std::int64_t>;
    using Limits = std::numeric_limits<Real>;
    Bits<Integer> bits;
    bits_of(x.data(), static_cast<std::int64_t>(x.size()), bits);
    const auto number = [](Integer order) {
        return std::bit_cast<Real>(order < 0 ? order ^ std::numeric_limits<Integer>::max() : order);
    };
    const Real low = number(bits.low);
    const Real high = number(bits.high);
    if (!std::isfinite(low) || !std::isfinite(high)) {
        extent.wrong =
            *std::find_if_not(x.begin(), x.end(), [](Real v) { return std::isfinite(v); });
        return;
    }
    extent.low = std::min<double>(extent.low, low);
    extent.high = std::max<double>(extent.high, high);
    if (bits.finest != std::numeric_limits<Integer>::max()) {
        // The biases of the number's exponent and of its lowest bit's, and the mantissa's digits.
        constexpr int bias = 2 * (Limits::max_exponent - 1) + Limits::digits - 1;
        const int frac = bias - static_cast<int>(bits.finest);
        extent.frac = extent.frac ? std::max(*extent.frac, frac) : frac;
    }
}

template <class Real>
std::span<const Real> numbers(const std::byte* data, std::int64_t count) {
    return {reinterpret_cast<const Real*>(data), static_cast<std::size_t>(count)};
}

}  // namespace

std::optional<Extent> extent_of(const ArraySource& array) {
    constexpr std::int64_t part = 1 << 14;  // stays in the cache
    Extent extent;
    std::vector<std::byte> buffer;
    for (std::int64_t first = 0; first < array.size() && !extent.wrong; first += part) {
        const std::int64_t count = std::min(part, array.size() - first);
        if (array.dtype() == DType::float32) {
            add(numbers<float>(array.read(first, count, buffer), count), extent);
        } else if (array.dtype() == DType::float64) {
            add(numbers<double>(array.read(first, count, buffer), count), extent);
        } else {
            const auto values = to_doubles(array.part(first, count, {count}));
            if (!values) {
                return std::nullopt;
            }
            add(std::span<const double>(*values), extent);
        }
    }
    return extent;
}

}  // namespace gatewright::emulate
