#pragma once

#include <cstdint>

/// The inner loops of staircases.
namespace gatewright::emulate {

struct Stairs {
    std::int32_t base;
    const std::int32_t* edges;
    const std::int32_t* rises;  ///< null: all are 1
    int steps;
};

/// out[i] = base + the sum of rises[k] over the edges[k] <= in[i], modulo the lane of `out`; the
/// edges lie in the lane of `in`. `count` is a multiple of 64.
void climb(const std::int8_t* in, std::int8_t* out, std::int64_t count, const Stairs& stairs);
void climb(const std::int8_t* in, std::int16_t* out, std::int64_t count, const Stairs& stairs);
void climb(const std::int16_t* in, std::int8_t* out, std::int64_t count, const Stairs& stairs);
void climb(const std::int16_t* in, std::int16_t* out, std::int64_t count, const Stairs& stairs);
void climb(const std::int32_t* in, std::int8_t* out, std::int64_t count, const Stairs& stairs);
void climb(const std::int32_t* in, std::int16_t* out, std::int64_t count, const Stairs& stairs);

}  // namespace gatewright::emulate
