#pragma once

#include <cstddef>
#include <cstdint>

#include "bits/evaluator.h"

/// The inner loops of functions of one integer.
namespace gatewright::emulate {

struct Stairs {
    std::int32_t base;
    const std::int32_t* edges;
    const std::int32_t* rises;  ///< null: all are 1
    int steps;
};

/// out[i] = base + the sum of rises[k] over the edges[k] <= in[i], modulo the lane of `out`; the
/// edges lie in the lane of `in`. `count` is a multiple of 64. Lanes: at most i32 and i16.
void climb(const std::byte* in, bits::Lane in_lane, std::byte* out, bits::Lane out_lane,
           std::int64_t count, const Stairs& stairs);

/// y = (x * factor + addend) / 2^shift, rounded down or, if `even`, to the nearest integer with
/// halves to even; then clamped into [low, high] or, with a mask 2^bits - 1 = high - low, wrapped
/// into it.
struct Ramp {
    std::int32_t factor = 1;
    std::int32_t addend = 0;
    std::int32_t shift = 0;
    std::int32_t low = 0;
    std::int32_t high = 0;
    bool even = false;
    bool wraps = false;
    bool is_short = false;  ///< nothing on the way leaves 16 bits
};

/// The definition, on one number.
std::int64_t ramp_value(const Ramp& ramp, std::int64_t x);
/// out[i] = ramp of in[i]; `count` is a multiple of 64. Lanes: at most i32; of a short ramp i16.
void climb(const std::byte* in, bits::Lane in_lane, std::byte* out, bits::Lane out_lane,
           std::int64_t count, const Ramp& ramp);

}  // namespace gatewright::emulate
