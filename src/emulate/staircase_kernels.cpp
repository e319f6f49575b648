#include "emulate/staircase_kernels.h"

#include <cstring>

#include "emulate/clones.h"

namespace gatewright::emulate {

// Vectors of 64 bytes, as in contractions. A comparison gives 0 or -1 in each lane; sums wrap, and
// their low bits are all that the output holds.
#define GATEWRIGHT_CLIMB(name, In, Sum, Out)                                               \
    GATEWRIGHT_CLONES static void name(const In* in, Out* out, std::int64_t count,         \
                                       const Stairs& stairs) {                             \
        typedef In Vector __attribute__((vector_size(64)));                                \
        typedef Sum Sums __attribute__((vector_size(64)));                                 \
        constexpr int lanes = 64 / static_cast<int>(sizeof(In));                           \
        typedef Out Results __attribute__((vector_size(lanes * sizeof(Out))));             \
        for (std::int64_t i = 0; i < count; i += lanes) {                                  \
            Vector x;                                                                      \
            std::memcpy(&x, in + i, sizeof x);                                             \
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
            std::memcpy(out + i, &result, sizeof result);                                  \
        }                                                                                  \
    }                                                                                      \
    void climb(const In* in, Out* out, std::int64_t count, const Stairs& stairs) {         \
        name(in, out, count, stairs);                                                      \
    }

GATEWRIGHT_CLIMB(climb_8_8, std::int8_t, std::uint8_t, std::int8_t)
GATEWRIGHT_CLIMB(climb_16_8, std::int16_t, std::uint16_t, std::int8_t)
GATEWRIGHT_CLIMB(climb_16_16, std::int16_t, std::uint16_t, std::int16_t)
GATEWRIGHT_CLIMB(climb_32_8, std::int32_t, std::uint32_t, std::int8_t)
GATEWRIGHT_CLIMB(climb_32_16, std::int32_t, std::uint32_t, std::int16_t)

// Sums of bytes would lose the upper half.
void climb(const std::int8_t* in, std::int16_t* out, std::int64_t count, const Stairs& stairs) {
    for (std::int64_t i = 0; i < count; i += 64) {
        std::int16_t wide[64];
        for (int s = 0; s < 64; ++s) {
            wide[s] = in[i + s];
        }
        climb_16_16(wide, out + i, 64, stairs);
    }
}

}  // namespace gatewright::emulate
