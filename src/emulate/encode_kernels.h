#pragma once

#include <cstdint>

/// Encoding of tiles of inputs, at most 64 samples of at most 64 elements: round(a x + b) clamped
/// or wrapped into an interval, less a zero point; and the way from a tile of samples to one of
/// elements.
namespace gatewright::emulate {

inline constexpr std::int64_t tile = 64;

/// The numbers of each element. Bounds are integers of at most 2^22 for float, 2^30 for double:
/// what is clamped to, or, of what wraps, from where on a result is not sure.
template <class Real>
struct EncodeLines {
    const Real* a;
    const Real* b;
    const Real* low;
    const Real* high;
    const Real* margin;        ///< `nearest`: nearer to a rounding boundary than this is not sure
    const std::int32_t* base;  ///< wrapping: the lowest integer
    const std::int32_t* mask;  ///< wrapping: 2^bits - 1
    const std::int32_t* zero_point;
};

/// All but `nearest` ask that a x + b has no rounding error, short of an underflow.
enum class RowRounding { nearest, half_even, half_up, floor, toward_zero };

/// Row s is x[s * pitch + i] for i below `width`, and goes to out[s * tile + i]. Bit s of the
/// result is set if row s has an input that is not finite or a result that is not sure.
std::uint64_t encode_rows(const float* x, std::int64_t pitch, std::int64_t rows, std::int64_t width,
                          const EncodeLines<float>& lines, RowRounding rounding, bool wraps,
                          std::int32_t* out);
std::uint64_t encode_rows(const double* x, std::int64_t pitch, std::int64_t rows,
                          std::int64_t width, const EncodeLines<double>& lines,
                          RowRounding rounding, bool wraps, std::int32_t* out);

/// Most thresholds that count_rows takes.
inline constexpr int most_thresholds = 7;
/// The same for base + (number of thresholds t with x >= t); all elements have the same.
std::uint64_t count_rows(const float* x, std::int64_t pitch, std::int64_t rows, std::int64_t width,
                         const float* thresholds, int count, std::int32_t base, std::int32_t* out);

/// to[i * stride + s] = from[s * tile + i], for s below `rows` and i below `width`.
template <class Integer>
void transpose(const std::int32_t* from, std::int64_t rows, std::int64_t width, Integer* to,
               std::int64_t stride);

}  // namespace gatewright::emulate
