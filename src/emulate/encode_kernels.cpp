#include "emulate/encode_kernels.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "emulate/clones.h"

namespace gatewright::emulate {

namespace {

#define GATEWRIGHT_INLINE inline __attribute__((always_inline))

/// Adding and taking off 1.5 * 2^digits rounds to an integer, ties to even, in any instruction set.
template <class Real>
constexpr Real round_magic = std::is_same_v<Real, float> ? Real(12582912) : Real(6755399441055744);

template <RowRounding rounding, bool wraps, class Real>
GATEWRIGHT_INLINE std::uint64_t rows_of(const Real* x, std::int64_t pitch, std::int64_t rows,
                                        std::int64_t width, const EncodeLines<Real>& lines,
                                        std::int32_t* out) {
    const Real* __restrict a = lines.a;
    const Real* __restrict b = lines.b;
    const Real* __restrict low = lines.low;
    const Real* __restrict high = lines.high;
    const Real* __restrict margin = lines.margin;
    [[maybe_unused]] const std::int32_t* __restrict base = lines.base;
    [[maybe_unused]] const std::int32_t* __restrict mask = lines.mask;
    const std::int32_t* __restrict zero_point = lines.zero_point;
    std::uint64_t unsure = 0;
    for (std::int64_t s = 0; s < rows; ++s) {
        const Real* __restrict from = x + s * pitch;
        std::int32_t* __restrict to = out + s * tile;
        int bad = 0;
        for (std::int64_t i = 0; i < width; ++i) {
            bad |= std::abs(from[i]) <= std::numeric_limits<Real>::max() ? 0 : 1;
            Real t = a[i] * from[i] + b[i];
            if constexpr (rounding == RowRounding::floor) {
                bad |= (t == 0) & (from[i] < 0) ? 1 : 0;  // the product may have lost all its bits
            }
            if constexpr (wraps) {
                bad |= (t >= low[i]) & (t <= high[i]) ? 0 : 1;
            }
            t = t > low[i] ? t : low[i];  // bounds are integers: rounding keeps them
            t = t < high[i] ? t : high[i];
            std::int32_t r = static_cast<std::int32_t>(t);
            if constexpr (rounding == RowRounding::nearest || rounding == RowRounding::half_even) {
                const Real near = (t + round_magic<Real>)-round_magic<Real>;
                r = static_cast<std::int32_t>(near);
                if constexpr (rounding == RowRounding::nearest) {
                    bad |= Real(0.5) - std::abs(t - near) >= margin[i] ? 0 : 1;
                }
            } else if constexpr (rounding != RowRounding::toward_zero) {
                r -= static_cast<Real>(r) > t ? 1 : 0;
                if constexpr (rounding == RowRounding::half_up) {
                    // Only a rest above 1/2 can be rounded here, and stays at least 1/2.
                    r += t - static_cast<Real>(r) >= Real(0.5) ? 1 : 0;
                }
            }
            if constexpr (wraps) {
                r = base[i] + ((r - base[i]) & mask[i]);
            }
            to[i] = r - zero_point[i];
        }
        unsure |= static_cast<std::uint64_t>(bad) << s;
    }
    return unsure;
}

template <bool wraps, class Real>
GATEWRIGHT_INLINE std::uint64_t rows_by(const Real* x, std::int64_t pitch, std::int64_t rows,
                                        std::int64_t width, const EncodeLines<Real>& lines,
                                        RowRounding rounding, std::int32_t* out) {
    switch (rounding) {
        case RowRounding::nearest:
            return rows_of<RowRounding::nearest, wraps>(x, pitch, rows, width, lines, out);
        case RowRounding::half_even:
            return rows_of<RowRounding::half_even, wraps>(x, pitch, rows, width, lines, out);
        case RowRounding::half_up:
            return rows_of<RowRounding::half_up, wraps>(x, pitch, rows, width, lines, out);
        case RowRounding::floor:
            return rows_of<RowRounding::floor, wraps>(x, pitch, rows, width, lines, out);
        case RowRounding::toward_zero:
            break;
    }
    return rows_of<RowRounding::toward_zero, wraps>(x, pitch, rows, width, lines, out);
}

template <int count>
GATEWRIGHT_INLINE std::uint64_t counts_of(const float* x, std::int64_t pitch, std::int64_t rows,
                                          std::int64_t width, const float* thresholds,
                                          std::int32_t base, std::int32_t* out) {
    std::uint64_t unsure = 0;
    for (std::int64_t s = 0; s < rows; ++s) {
        const float* __restrict from = x + s * pitch;
        std::int32_t* __restrict to = out + s * tile;
        int bad = 0;
        for (std::int64_t i = 0; i < width; ++i) {
            bad |= std::abs(from[i]) <= std::numeric_limits<float>::max() ? 0 : 1;
            std::int32_t n = base;
            for (int k = 0; k < count; ++k) {
                n += from[i] >= thresholds[k] ? 1 : 0;
            }
            to[i] = n;
        }
        unsure |= static_cast<std::uint64_t>(bad) << s;
    }
    return unsure;
}

GATEWRIGHT_CLONES
std::uint64_t rows_f32(const float* x, std::int64_t pitch, std::int64_t rows, std::int64_t width,
                       const EncodeLines<float>& lines, RowRounding rounding, bool wraps,
                       std::int32_t* out) {
    return wraps ? rows_by<true>(x, pitch, rows, width, lines, rounding, out)
                 : rows_by<false>(x, pitch, rows, width, lines, rounding, out);
}

GATEWRIGHT_CLONES
std::uint64_t rows_f64(const double* x, std::int64_t pitch, std::int64_t rows, std::int64_t width,
                       const EncodeLines<double>& lines, RowRounding rounding, bool wraps,
                       std::int32_t* out) {
    return wraps ? rows_by<true>(x, pitch, rows, width, lines, rounding, out)
                 : rows_by<false>(x, pitch, rows, width, lines, rounding, out);
}

GATEWRIGHT_CLONES
std::uint64_t counts_f32(const float* x, std::int64_t pitch, std::int64_t rows, std::int64_t width,
                         const float* t, int count, std::int32_t base, std::int32_t* out) {
    static_assert(most_thresholds == 7);
    switch (count) {
        case 0:
            return counts_of<0>(x, pitch, rows, width, t, base, out);
        case 1:
            return counts_of<1>(x, pitch, rows, width, t, base, out);
        case 2:
            return counts_of<2>(x, pitch, rows, width, t, base, out);
        case 3:
            return counts_of<3>(x, pitch, rows, width, t, base, out);
        case 4:
            return counts_of<4>(x, pitch, rows, width, t, base, out);
        case 5:
            return counts_of<5>(x, pitch, rows, width, t, base, out);
        case 6:
            return counts_of<6>(x, pitch, rows, width, t, base, out);
        default:
            return counts_of<7>(x, pitch, rows, width, t, base, out);
    }
}

GATEWRIGHT_CLONES
void narrow(const std::int32_t* __restrict from, std::int64_t count, std::int8_t* __restrict to) {
    for (std::int64_t i = 0; i < count; ++i) {
        to[i] = static_cast<std::int8_t>(from[i]);
    }
}

GATEWRIGHT_CLONES
void narrow(const std::int32_t* __restrict from, std::int64_t count, std::int16_t* __restrict to) {
    for (std::int64_t i = 0; i < count; ++i) {
        to[i] = static_cast<std::int16_t>(from[i]);
    }
}

/// The lower (half = 0) or upper halves of two vectors, lane by lane in turn.
template <int half, class Vector, std::size_t... lane>
GATEWRIGHT_INLINE Vector interleave(Vector a, Vector b, std::index_sequence<lane...>) {
    constexpr std::size_t n = sizeof...(lane);
    return __builtin_shufflevector(a, b, (half * n / 2 + lane / 2 + lane % 2 * n)...);
}

/// A square of 16 bytes by as many: the perfect shuffle of its halves, log2 times over.
template <class Integer>
GATEWRIGHT_INLINE void transpose_square(const Integer* from, Integer* to, std::int64_t stride) {
    constexpr int n = 16 / static_cast<int>(sizeof(Integer));
    constexpr std::make_index_sequence<n> lanes;
    typedef Integer Vector __attribute__((vector_size(16)));
    Vector v[n];
    for (int i = 0; i < n; ++i) {
        std::memcpy(&v[i], from + i * tile, sizeof(Vector));
    }
    for (int step = 1; step < n; step *= 2) {
        Vector w[n];
        for (int i = 0; i < n / 2; ++i) {
            w[2 * i] = interleave<0>(v[i], v[i + n / 2], lanes);
            w[2 * i + 1] = interleave<1>(v[i], v[i + n / 2], lanes);
        }
        std::memcpy(v, w, sizeof v);
    }
    for (int i = 0; i < n; ++i) {
        std::memcpy(to + i * stride, &v[i], sizeof(Vector));
    }
}

template <class Integer>
void transpose_tile(const Integer* from, std::int64_t rows, std::int64_t width, Integer* to,
                    std::int64_t stride) {
    constexpr std::int64_t n = 16 / static_cast<std::int64_t>(sizeof(Integer));
    const std::int64_t whole_rows = rows / n * n;
    const std::int64_t whole_width = width / n * n;
    for (std::int64_t i = 0; i < whole_width; i += n) {
        for (std::int64_t s = 0; s < whole_rows; s += n) {
            transpose_square(from + s * tile + i, to + i * stride + s, stride);
        }
    }
    for (std::int64_t i = 0; i < width; ++i) {
        for (std::int64_t s = i < whole_width ? whole_rows : 0; s < rows; ++s) {
            to[i * stride + s] = from[s * tile + i];
        }
    }
}

}  // namespace

std::uint64_t encode_rows(const float* x, std::int64_t pitch, std::int64_t rows, std::int64_t width,
                          const EncodeLines<float>& lines, RowRounding rounding, bool wraps,
                          std::int32_t* out) {
    return rows_f32(x, pitch, rows, width, lines, rounding, wraps, out);
}

std::uint64_t encode_rows(const double* x, std::int64_t pitch, std::int64_t rows,
                          std::int64_t width, const EncodeLines<double>& lines,
                          RowRounding rounding, bool wraps, std::int32_t* out) {
    return rows_f64(x, pitch, rows, width, lines, rounding, wraps, out);
}

std::uint64_t count_rows(const float* x, std::int64_t pitch, std::int64_t rows, std::int64_t width,
                         const float* thresholds, int count, std::int32_t base, std::int32_t* out) {
    return counts_f32(x, pitch, rows, width, thresholds, count, base, out);
}

template <>
void transpose(const std::int32_t* from, std::int64_t rows, std::int64_t width, std::int8_t* to,
               std::int64_t stride) {
    alignas(64) std::int8_t narrowed[tile * tile];
    narrow(from, rows * tile, narrowed);
    transpose_tile(narrowed, rows, width, to, stride);
}

template <>
void transpose(const std::int32_t* from, std::int64_t rows, std::int64_t width, std::int16_t* to,
               std::int64_t stride) {
    alignas(64) std::int16_t narrowed[tile * tile];
    narrow(from, rows * tile, narrowed);
    transpose_tile(narrowed, rows, width, to, stride);
}

template <>
void transpose(const std::int32_t* from, std::int64_t rows, std::int64_t width, std::int32_t* to,
               std::int64_t stride) {
    transpose_tile(from, rows, width, to, stride);
}

template <>
void transpose(const std::int32_t* from, std::int64_t rows, std::int64_t width, std::int64_t* to,
               std::int64_t stride) {
    for (std::int64_t i = 0; i < width; ++i) {
        for (std::int64_t s = 0; s < rows; ++s) {
            to[i * stride + s] = from[s * tile + i];
        }
    }
}

}  // namespace gatewright::emulate
