#include "emulate/contract_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstring>

#include "emulate/clones.h"

namespace gatewright::emulate {

// A vector of 64 bytes; the compiler splits it where registers are narrower. Unsigned, so that sums
// wrap by definition.
#define GATEWRIGHT_CONTRACT(name, Lane, Unsigned)                                             \
    GATEWRIGHT_CLONES static void name(const std::byte* x, const std::uint32_t* lines,        \
                                       const Lane* weights, std::int64_t length, Lane* out) { \
        typedef Unsigned Vector __attribute__((vector_size(64)));                             \
        constexpr int lanes = 64 / static_cast<int>(sizeof(Lane));                            \
        for (int part = 0; part < 64; part += lanes) {                                        \
            const std::byte* from = x + static_cast<std::size_t>(part) * sizeof(Lane);        \
            Vector sum0{};                                                                    \
            Vector sum1{};                                                                    \
            Vector sum2{};                                                                    \
            Vector sum3{};                                                                    \
            for (std::int64_t k = 0; k < length; ++k) {                                       \
                Vector v;                                                                     \
                std::memcpy(&v, from + std::size_t{lines[k]} * 64, sizeof v);                 \
                const Lane* w = weights + k * 4;                                              \
                sum0 += v * static_cast<Unsigned>(w[0]);                                      \
                sum1 += v * static_cast<Unsigned>(w[1]);                                      \
                sum2 += v * static_cast<Unsigned>(w[2]);                                      \
                sum3 += v * static_cast<Unsigned>(w[3]);                                      \
            }                                                                                 \
            std::memcpy(out + part, &sum0, sizeof sum0);                                      \
            std::memcpy(out + 64 + part, &sum1, sizeof sum1);                                 \
            std::memcpy(out + 128 + part, &sum2, sizeof sum2);                                \
            std::memcpy(out + 192 + part, &sum3, sizeof sum3);                                \
        }                                                                                     \
    }                                                                                         \
    void contract4(const std::byte* x, const std::uint32_t* lines, const Lane* weights,       \
                   std::int64_t length, Lane* out) {                                          \
        name(x, lines, weights, length, out);                                                 \
    }

GATEWRIGHT_CONTRACT(contract4_i16, std::int16_t, std::uint16_t)
GATEWRIGHT_CONTRACT(contract4_i32, std::int32_t, std::uint32_t)
GATEWRIGHT_CONTRACT(contract4_i64, std::int64_t, std::uint64_t)

// Products of pairs are one instruction, for which there is no portable word: here each instruction
// set has its own.
#define GATEWRIGHT_PAIRS(name, Vector, zero, broadcast, madd, add)                           \
    static void name(const std::int16_t* x, const std::int16_t* weights, std::int64_t pairs, \
                     std::int32_t* out) {                                                    \
        constexpr int lanes = static_cast<int>(sizeof(Vector) / sizeof(std::int32_t));       \
        for (int part = 0; part < 64; part += lanes) {                                       \
            Vector sum0 = zero();                                                            \
            Vector sum1 = zero();                                                            \
            Vector sum2 = zero();                                                            \
            Vector sum3 = zero();                                                            \
            for (std::int64_t i = 0; i < pairs; ++i) {                                       \
                Vector v;                                                                    \
                std::int32_t w[4];                                                           \
                std::memcpy(&v, x + (i * 64 + part) * 2, sizeof v);                          \
                std::memcpy(w, weights + i * 8, sizeof w);                                   \
                sum0 = add(sum0, madd(v, broadcast(w[0])));                                  \
                sum1 = add(sum1, madd(v, broadcast(w[1])));                                  \
                sum2 = add(sum2, madd(v, broadcast(w[2])));                                  \
                sum3 = add(sum3, madd(v, broadcast(w[3])));                                  \
            }                                                                                \
            std::memcpy(out + part, &sum0, sizeof sum0);                                     \
            std::memcpy(out + 64 + part, &sum1, sizeof sum1);                                \
            std::memcpy(out + 128 + part, &sum2, sizeof sum2);                               \
            std::memcpy(out + 192 + part, &sum3, sizeof sum3);                               \
        }                                                                                    \
    }

#if defined(__x86_64__)
GATEWRIGHT_PAIRS(pairs_sse2, __m128i, _mm_setzero_si128, _mm_set1_epi32, _mm_madd_epi16,
                 _mm_add_epi32)
__attribute__((target("avx2"))) GATEWRIGHT_PAIRS(pairs_avx2, __m256i, _mm256_setzero_si256,
                                                 _mm256_set1_epi32, _mm256_madd_epi16,
                                                 _mm256_add_epi32)
    __attribute__((target("avx512f,avx512bw")))
    GATEWRIGHT_PAIRS(pairs_avx512, __m512i, _mm512_setzero_si512, _mm512_set1_epi32,
                     _mm512_madd_epi16, _mm512_add_epi32)
#else
static void pairs_plain(const std::int16_t* x, const std::int16_t* weights, std::int64_t pairs,
                        std::int32_t* out) {
    for (int j = 0; j < 4; ++j) {
        for (int s = 0; s < 64; ++s) {
            std::uint32_t sum = 0;
            for (std::int64_t i = 0; i < pairs; ++i) {
                for (int b = 0; b < 2; ++b) {
                    sum += static_cast<std::uint32_t>(std::int32_t{x[(i * 64 + s) * 2 + b]} *
                                                      weights[i * 8 + j * 2 + b]);
                }
            }
            out[j * 64 + s] = static_cast<std::int32_t>(sum);
        }
    }
}
#endif

        void contract4_pairs(const std::int16_t* x, const std::int16_t* weights, std::int64_t pairs,
                             std::int32_t* out) {
#if defined(__x86_64__)
    static const auto best = __builtin_cpu_supports("avx512bw") ? pairs_avx512
                             : __builtin_cpu_supports("avx2")   ? pairs_avx2
                                                                : pairs_sse2;
    best(x, weights, pairs, out);
#else
    pairs_plain(x, weights, pairs, out);
#endif
}

#define GATEWRIGHT_PAIR_ROWS(name, Lane)                                                \
    GATEWRIGHT_CLONES                                                                   \
    void name(const std::byte* x, const std::uint32_t* lines, std::int64_t length,      \
              std::int16_t* __restrict pairs) {                                         \
        for (std::int64_t k = 0; k + 1 < length; k += 2) {                              \
            const auto* __restrict a =                                                  \
                reinterpret_cast<const Lane*>(x + std::size_t{lines[k]} * 64);          \
            const auto* __restrict b =                                                  \
                reinterpret_cast<const Lane*>(x + std::size_t{lines[k + 1]} * 64);      \
            for (int s = 0; s < 64; ++s) {                                              \
                pairs[k * 64 + s * 2] = a[s];                                           \
                pairs[k * 64 + s * 2 + 1] = b[s];                                       \
            }                                                                           \
        }                                                                               \
        if (length % 2 != 0) {                                                          \
            const auto* __restrict a =                                                  \
                reinterpret_cast<const Lane*>(x + std::size_t{lines[length - 1]} * 64); \
            for (int s = 0; s < 64; ++s) {                                              \
                pairs[(length - 1) * 64 + s * 2] = a[s];                                \
                pairs[(length - 1) * 64 + s * 2 + 1] = 0;                               \
            }                                                                           \
        }                                                                               \
    }
GATEWRIGHT_PAIR_ROWS(pair_bytes, std::int8_t)
GATEWRIGHT_PAIR_ROWS(pair_shorts, std::int16_t)

GATEWRIGHT_CLONES
void add_runs(const std::byte* x, const std::uint32_t* lines, const std::int32_t* runs,
              const std::int32_t* end, std::int16_t* sums) {
    typedef std::uint8_t Bytes __attribute__((vector_size(64)));
    while (runs < end) {
        std::int16_t* __restrict to = sums + std::int64_t{runs[0]} * 64;
        const std::int32_t plus = runs[1];
        const std::int32_t minus = runs[2];
        runs += 3;
        Bytes sum{};
        Bytes taken{};
        for (std::int32_t i = 0; i < plus; ++i) {
            Bytes v;
            std::memcpy(&v, x + std::size_t{lines[runs[i]]} * 64, sizeof v);
            sum += v;
        }
        runs += plus;
        for (std::int32_t i = 0; i < minus; ++i) {
            Bytes v;
            std::memcpy(&v, x + std::size_t{lines[runs[i]]} * 64, sizeof v);
            taken += v;
        }
        runs += minus;
        sum -= taken;
        std::int8_t bytes[64];
        std::memcpy(bytes, &sum, sizeof sum);
        for (int s = 0; s < 64; ++s) {
            to[s] = static_cast<std::int16_t>(to[s] + bytes[s]);
        }
    }
}

}  // namespace gatewright::emulate
