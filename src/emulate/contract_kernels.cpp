#include "emulate/contract_kernels.h"

#include <cstring>

#include "emulate/clones.h"

namespace gatewright::emulate {

// A vector of 64 bytes; the compiler splits it where registers are narrower. Unsigned, so that sums
// wrap by definition.
#define GATEWRIGHT_CONTRACT(name, Lane, Unsigned)                                               \
    GATEWRIGHT_CLONES static void name(const Lane* x, const Lane* weights, std::int64_t length, \
                                       Lane* out) {                                             \
        typedef Unsigned Vector __attribute__((vector_size(64)));                               \
        constexpr int lanes = 64 / static_cast<int>(sizeof(Lane));                              \
        for (int part = 0; part < 64; part += lanes) {                                          \
            Vector sum0{};                                                                      \
            Vector sum1{};                                                                      \
            Vector sum2{};                                                                      \
            Vector sum3{};                                                                      \
            for (std::int64_t k = 0; k < length; ++k) {                                         \
                Vector v;                                                                       \
                std::memcpy(&v, x + k * 64 + part, sizeof v);                                   \
                const Lane* w = weights + k * 4;                                                \
                sum0 += v * static_cast<Unsigned>(w[0]);                                        \
                sum1 += v * static_cast<Unsigned>(w[1]);                                        \
                sum2 += v * static_cast<Unsigned>(w[2]);                                        \
                sum3 += v * static_cast<Unsigned>(w[3]);                                        \
            }                                                                                   \
            std::memcpy(out + part, &sum0, sizeof sum0);                                        \
            std::memcpy(out + 64 + part, &sum1, sizeof sum1);                                   \
            std::memcpy(out + 128 + part, &sum2, sizeof sum2);                                  \
            std::memcpy(out + 192 + part, &sum3, sizeof sum3);                                  \
        }                                                                                       \
    }

GATEWRIGHT_CONTRACT(contract4_i16, std::int16_t, std::uint16_t)
GATEWRIGHT_CONTRACT(contract4_i32, std::int32_t, std::uint32_t)
GATEWRIGHT_CONTRACT(contract4_i64, std::int64_t, std::uint64_t)

void contract4(const std::int16_t* x, const std::int16_t* weights, std::int64_t length,
               std::int16_t* out) {
    contract4_i16(x, weights, length, out);
}
void contract4(const std::int32_t* x, const std::int32_t* weights, std::int64_t length,
               std::int32_t* out) {
    contract4_i32(x, weights, length, out);
}
void contract4(const std::int64_t* x, const std::int64_t* weights, std::int64_t length,
               std::int64_t* out) {
    contract4_i64(x, weights, length, out);
}

}  // namespace gatewright::emulate
