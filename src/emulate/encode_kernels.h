#pragma once

#include <cstddef>
#include <cstdint>

/// The inner loops of Encoder.
namespace gatewright::emulate {

/// integer(x) = clip(round(a * x + b), low, high) + offset in double.
///
/// Rounding starts from r, the integer nearest to y = a * x + b (ties to even), with d = y - r, and
/// is r + (d >= up) - (d <= down); `up` and `down` tell one rounding mode from another and may
/// depend on the sign of y.
///
/// Margin: let p = a' * x for the exact rational a', b' the exact b, and u = 2^-53. The stored a
/// and b are within u of a' and b', the product and the sum within u of theirs (a fused
/// multiply-add drops one of these), so |y - (p + b')| <= 4 u (|p| + |b'|) + O(u^2)
/// < 2^-50 (|y| + 2 |b'|). y is first clipped to [low - 1, high + 1], where it rounds to the same
/// level, so that 2^-50 (max(|low - 1|, |high + 1|) + 2 |b'|) bounds the error. A number whose y is
/// as near as that to a rounding boundary is `risky` and takes the exact path. Where a is a power
/// of two and b is zero, y is exact and the margin is negative: none is risky.
struct AffineQuantiser {
    double a = 1;
    double b = 0;
    double clip_low = 0;   ///< low - 1
    double clip_high = 0;  ///< high + 1
    double up[2] = {0, 0};    ///< for y >= 0, for y < 0
    double down[2] = {0, 0};
    double boundary = 0.5;  ///< the |d| at which the result changes: 0.5, or 0 (directed modes)
    double margin = -1;
    double low = 0;
    double high = 0;
    double offset = 0;
    double at_zero = 0;  ///< the integer of x = 0, which is exact and often met
};

/// What encode_affine found among its numbers.
inline constexpr std::int64_t some_risky = 1;
inline constexpr std::int64_t some_not_finite = 2;

/// Encodes x[0, n), element i by q[i * stride] (stride 0 or 1). Results are below 2^31 for lanes of
/// at most 32 bits, below 2^51 for i64. Risky and infinite numbers get some integer.
template <class X, class T>
std::int64_t encode_affine(const X* x, std::size_t n, const AffineQuantiser* q, std::size_t stride,
                           T* out);

/// Whether encode_affine calls this number risky.
bool is_risky(double x, const AffineQuantiser& q);

/// out[e * 64 + s] = in[s * 64 + e] for e < elements; `in` is a full tile of 64 x 64.
template <class T>
void transpose_tile(const T* in, std::size_t elements, T* out);

}  // namespace gatewright::emulate
