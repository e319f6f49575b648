#pragma once

#include <cstdint>

/// Encoding of a row of float32 inputs: round(a x + b) clamped into [low, high], less a zero point.
namespace gatewright::emulate {

struct EncodeLines {
    const double* a;
    const double* b;
    const double* low;
    const double* high;
    const double* margin;  ///< nearer to a rounding boundary than this, the row is not sure
    const double* zero_point;
};

/// a x + b has no rounding error: ties go to even. False if an input is not finite.
bool encode_row_exact(const float* x, const EncodeLines& lines, std::int64_t count,
                      std::int32_t* out);
/// To nearest. False if an input is not finite or a value lies too near a boundary to be sure.
bool encode_row_near(const float* x, const EncodeLines& lines, std::int64_t count,
                     std::int32_t* out);

}  // namespace gatewright::emulate
