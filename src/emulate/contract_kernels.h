#pragma once

#include <cstdint>

/// The inner loops of contractions: a block of 64 samples, four outputs at a time.
namespace gatewright::emulate {

/// out[j][s] = sum over k of weights[k * 4 + j] * x[k][s] modulo the lane, for j in 0 .. 3 and s in
/// 0 .. 63. Sums may wrap on the way; the final value fits, so it is right.
void contract4(const std::int16_t* x, const std::int16_t* weights, std::int64_t length,
               std::int16_t* out);
void contract4(const std::int32_t* x, const std::int32_t* weights, std::int64_t length,
               std::int32_t* out);
void contract4(const std::int64_t* x, const std::int64_t* weights, std::int64_t length,
               std::int64_t* out);

}  // namespace gatewright::emulate
