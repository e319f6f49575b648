#include "emulate/float_contract.h"

#include <algorithm>
#include <cmath>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

namespace gatewright::emulate {

namespace {

/// What each of the forms below computes, for processors without fused products among their
/// instructions.
template <int columns>
void plain(const double* const* rows, const double* weights, std::int64_t length,
           std::int64_t lanes, const double* bias, double* const* sums) {
    for (int j = 0; j < columns; ++j) {
        if (bias != nullptr) {
            std::fill(sums[j], sums[j] + lanes, bias[j]);
        }
        for (std::int64_t k = 0; k < length; ++k) {
            const double w = weights[k * columns + j];
            for (std::int64_t lane = 0; lane < lanes; ++lane) {
                sums[j][lane] = std::fma(rows[k][lane], w, sums[j][lane]);
            }
        }
    }
}

}  // namespace

const Contracts contract_plain = {plain<1>, plain<2>, plain<3>, plain<4>};

#if defined(__x86_64__) && defined(__GNUC__)

// As many sums are kept in registers as the multipliers need to stay busy: `vectors` of lanes for
// each column.
#define GATEWRIGHT_CONTRACT(NAME, TARGET, VECTOR, WIDTH, LOAD, STORE, SET, FMA)                   \
    template <int columns, int vectors>                                                           \
    __attribute__((target(TARGET))) inline void NAME##_lanes(                                     \
        const double* const* rows, const double* weights, std::int64_t length, std::int64_t lane, \
        const double* bias, double* const* sums) {                                                \
        VECTOR sum[columns][vectors];                                                             \
        for (int j = 0; j < columns; ++j) {                                                       \
            for (int v = 0; v < vectors; ++v) {                                                   \
                sum[j][v] = bias != nullptr ? SET(bias[j]) : LOAD(sums[j] + lane + v * WIDTH);    \
            }                                                                                     \
        }                                                                                         \
        for (std::int64_t k = 0; k < length; ++k) {                                               \
            VECTOR x[vectors];                                                                    \
            for (int v = 0; v < vectors; ++v) {                                                   \
                x[v] = LOAD(rows[k] + lane + v * WIDTH);                                          \
            }                                                                                     \
            for (int j = 0; j < columns; ++j) {                                                   \
                const VECTOR w = SET(weights[k * columns + j]);                                   \
                for (int v = 0; v < vectors; ++v) {                                               \
                    sum[j][v] = FMA(x[v], w, sum[j][v]);                                          \
                }                                                                                 \
            }                                                                                     \
        }                                                                                         \
        for (int j = 0; j < columns; ++j) {                                                       \
            for (int v = 0; v < vectors; ++v) {                                                   \
                STORE(sums[j] + lane + v * WIDTH, sum[j][v]);                                     \
            }                                                                                     \
        }                                                                                         \
    }                                                                                             \
    template <int columns, int vectors>                                                           \
    __attribute__((target(TARGET))) void NAME(const double* const* rows, const double* weights,   \
                                              std::int64_t length, std::int64_t lanes,            \
                                              const double* bias, double* const* sums) {          \
        std::int64_t lane = 0;                                                                    \
        for (; lane + vectors * WIDTH <= lanes; lane += vectors * WIDTH) {                        \
            NAME##_lanes<columns, vectors>(rows, weights, length, lane, bias, sums);              \
        }                                                                                         \
        for (; lane + 4 * WIDTH <= lanes && vectors > 4; lane += 4 * WIDTH) {                     \
            NAME##_lanes<columns, 4>(rows, weights, length, lane, bias, sums);                    \
        }                                                                                         \
        for (; lane + 2 * WIDTH <= lanes; lane += 2 * WIDTH) {                                    \
            NAME##_lanes<columns, 2>(rows, weights, length, lane, bias, sums);                    \
        }                                                                                         \
        for (; lane < lanes; lane += WIDTH) {                                                     \
            NAME##_lanes<columns, 1>(rows, weights, length, lane, bias, sums);                    \
        }                                                                                         \
    }

namespace {

GATEWRIGHT_CONTRACT(avx2, "avx2,fma", __m256d, 4, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_set1_pd,
                    _mm256_fmadd_pd)
GATEWRIGHT_CONTRACT(avx512, "avx512f", __m512d, 8, _mm512_loadu_pd, _mm512_storeu_pd,
                    _mm512_set1_pd, _mm512_fmadd_pd)

}  // namespace

const Contracts contract_avx2 = {avx2<1, 8>, avx2<2, 4>, avx2<3, 2>, avx2<4, 2>};
const Contracts contract_avx512 = {avx512<1, 8>, avx512<2, 4>, avx512<3, 4>, avx512<4, 4>};

#endif

}  // namespace gatewright::emulate
