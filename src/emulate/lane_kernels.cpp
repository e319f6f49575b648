#include "emulate/lane_kernels.h"

#include <algorithm>
#include <cstring>

#include "emulate/clones.h"

namespace gatewright::emulate {

using bits::Lane;

namespace {

#define GATEWRIGHT_INLINE inline __attribute__((always_inline))

// Vectors of 64 bytes, as in contractions. A comparison gives 0 or -1 in each lane; sums wrap, and
// their low bits are all that the output holds.
#define GATEWRIGHT_CLIMB(name, In, Sum, Out)                                               \
    GATEWRIGHT_CLONES void name(const std::byte* from, std::byte* to, std::int64_t count,  \
                                const Stairs& stairs) {                                    \
        typedef In Vector __attribute__((vector_size(64)));                                \
        typedef Sum Sums __attribute__((vector_size(64)));                                 \
        constexpr int lanes = 64 / static_cast<int>(sizeof(In));                           \
        typedef Out Results __attribute__((vector_size(lanes * sizeof(Out))));             \
        for (std::int64_t i = 0; i < count; i += lanes) {                                  \
            Vector x;                                                                      \
            std::memcpy(&x, from, sizeof x);                                               \
            from += sizeof x;                                                              \
            Sums sum = Sums{} + static_cast<Sum>(stairs.base);                             \
            if (stairs.rises == nullptr) {                                                 \
                for (int k = 0; k < stairs.steps; ++k) {                                   \
                    sum -= reinterpret_cast<Sums>(x >= static_cast<In>(stairs.edges[k]));  \
                }                                                                          \
            } else {                                                                       \
                for (int k = 0; k < stairs.steps; ++k) {                                   \
                    sum += reinterpret_cast<Sums>(x >= static_cast<In>(stairs.edges[k])) & \
                           static_cast<Sum>(stairs.rises[k]);                              \
                }                                                                          \
            }                                                                              \
            const Results result = __builtin_convertvector(sum, Results);                  \
            std::memcpy(to, &result, sizeof result);                                       \
            to += sizeof result;                                                           \
        }                                                                                  \
    }

GATEWRIGHT_CLIMB(climb_8_8, std::int8_t, std::uint8_t, std::int8_t)
GATEWRIGHT_CLIMB(climb_16_8, std::int16_t, std::uint16_t, std::int8_t)
GATEWRIGHT_CLIMB(climb_16_16, std::int16_t, std::uint16_t, std::int16_t)
GATEWRIGHT_CLIMB(climb_32_8, std::int32_t, std::uint32_t, std::int8_t)
GATEWRIGHT_CLIMB(climb_32_16, std::int32_t, std::uint32_t, std::int16_t)

// Sums of bytes would lose the upper half.
void climb_8_16(const std::byte* in, std::byte* out, std::int64_t count, const Stairs& stairs) {
    for (std::int64_t i = 0; i < count; i += 64) {
        std::int16_t wide[64];
        for (int s = 0; s < 64; ++s) {
            wide[s] = static_cast<std::int8_t>(in[i + s]);
        }
        climb_16_16(reinterpret_cast<const std::byte*>(wide), out + i * 2, 64, stairs);
    }
}

std::int32_t half_of(const Ramp& ramp) {
    return (std::int32_t{1} << ramp.shift) >> 1;
}

template <class Work, class In, class Out>
GATEWRIGHT_INLINE void ramp_lanes(const std::byte* from, std::byte* to, std::int64_t count,
                                  const Ramp& ramp) {
    constexpr int lanes = 64 / static_cast<int>(sizeof(Work));
    typedef Work Vector __attribute__((vector_size(64)));
    typedef In Inputs __attribute__((vector_size(lanes * sizeof(In))));
    typedef Out Outputs __attribute__((vector_size(lanes * sizeof(Out))));
    const Vector addend = Vector{} + static_cast<Work>(ramp.addend);
    const Vector factor = Vector{} + static_cast<Work>(ramp.factor);
    const Vector low = Vector{} + static_cast<Work>(ramp.low);
    const Vector high = Vector{} + static_cast<Work>(ramp.high);
    const Vector mask = high - low;
    const auto shift = static_cast<Work>(ramp.shift);
    const Vector below_half = Vector{} + static_cast<Work>(half_of(ramp) - 1);
    const bool scales = ramp.factor != 1;
    const bool even = ramp.even;
    const bool wraps = ramp.wraps;
    for (std::int64_t i = 0; i < count; i += lanes) {
        Inputs x;
        std::memcpy(&x, from, sizeof x);
        from += sizeof x;
        Vector y = __builtin_convertvector(x, Vector);
        if (scales) {
            y *= factor;
        }
        y += addend;
        if (even) {
            y += ((y >> shift) & 1) + below_half;
        }
        y >>= shift;
        if (wraps) {
            y = low + ((y - low) & mask);
        } else {
            y = y < low ? low : y;
            y = y > high ? high : y;
        }
        const Outputs result = __builtin_convertvector(y, Outputs);
        std::memcpy(to, &result, sizeof result);
        to += sizeof result;
    }
}

template <class Work, class In>
GATEWRIGHT_INLINE void ramp_to(const std::byte* in, std::byte* out, Lane out_lane,
                               std::int64_t count, const Ramp& ramp) {
    if (out_lane == Lane::i8) {
        ramp_lanes<Work, In, std::int8_t>(in, out, count, ramp);
    } else if (out_lane == Lane::i16) {
        ramp_lanes<Work, In, std::int16_t>(in, out, count, ramp);
    } else {
        ramp_lanes<Work, In, std::int32_t>(in, out, count, ramp);
    }
}

GATEWRIGHT_CLONES
void ramp_short(const std::byte* in, Lane in_lane, std::byte* out, Lane out_lane,
                std::int64_t count, const Ramp& ramp) {
    if (in_lane == Lane::i8) {
        ramp_to<std::int16_t, std::int8_t>(in, out, out_lane, count, ramp);
    } else {
        ramp_to<std::int16_t, std::int16_t>(in, out, out_lane, count, ramp);
    }
}

GATEWRIGHT_CLONES
void ramp_long(const std::byte* in, Lane in_lane, std::byte* out, Lane out_lane, std::int64_t count,
               const Ramp& ramp) {
    if (in_lane == Lane::i8) {
        ramp_to<std::int32_t, std::int8_t>(in, out, out_lane, count, ramp);
    } else if (in_lane == Lane::i16) {
        ramp_to<std::int32_t, std::int16_t>(in, out, out_lane, count, ramp);
    } else {
        ramp_to<std::int32_t, std::int32_t>(in, out, out_lane, count, ramp);
    }
}

}  // namespace

void climb(const std::byte* in, Lane in_lane, std::byte* out, Lane out_lane, std::int64_t count,
           const Stairs& stairs) {
    const bool narrow = out_lane == Lane::i8;
    if (in_lane == Lane::i8) {
        (narrow ? climb_8_8 : climb_8_16)(in, out, count, stairs);
    } else if (in_lane == Lane::i16) {
        (narrow ? climb_16_8 : climb_16_16)(in, out, count, stairs);
    } else {
        (narrow ? climb_32_8 : climb_32_16)(in, out, count, stairs);
    }
}

void climb(const std::byte* in, Lane in_lane, std::byte* out, Lane out_lane, std::int64_t count,
           const Ramp& ramp) {
    (ramp.is_short ? ramp_short : ramp_long)(in, in_lane, out, out_lane, count, ramp);
}

std::int64_t ramp_value(const Ramp& ramp, std::int64_t x) {
    std::int64_t y = x * ramp.factor + ramp.addend;
    if (ramp.even) {
        y += ((y >> ramp.shift) & 1) + half_of(ramp) - 1;
    }
    y >>= ramp.shift;
    if (ramp.wraps) {
        return ramp.low + ((y - ramp.low) & (ramp.high - ramp.low));
    }
    return std::clamp<std::int64_t>(y, ramp.low, ramp.high);
}

}  // namespace gatewright::emulate
