#include "emulate/float_kernels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "emulate/clones.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

namespace gatewright::emulate {

namespace {

using Contract = void (*)(const double* const* rows, const double* weights, std::int64_t length,
                          std::int64_t lanes, double* const* sums);

/// What each of the forms below computes, for processors without fused products among their
/// instructions.
void contract4_plain(const double* const* rows, const double* weights, std::int64_t length,
                     std::int64_t lanes, double* const* sums) {
    for (std::int64_t k = 0; k < length; ++k) {
        for (std::int64_t j = 0; j < 4; ++j) {
            const double w = weights[k * 4 + j];
            for (std::int64_t lane = 0; lane < lanes; ++lane) {
                sums[j][lane] = std::fma(rows[k][lane], w, sums[j][lane]);
            }
        }
    }
}

#if defined(__x86_64__) && defined(__GNUC__)

// As many sums are kept in registers as the two multipliers need to stay busy.
template <int vectors>
__attribute__((target("avx512f"))) inline void contract4_lanes_512(const double* const* rows,
                                                                   const double* weights,
                                                                   std::int64_t length,
                                                                   std::int64_t lane,
                                                                   double* const* sums) {
    __m512d sum[4][vectors];
    for (int j = 0; j < 4; ++j) {
        for (int v = 0; v < vectors; ++v) {
            sum[j][v] = _mm512_loadu_pd(sums[j] + lane + v * 8);
        }
    }
    for (std::int64_t k = 0; k < length; ++k) {
        __m512d x[vectors];
        for (int v = 0; v < vectors; ++v) {
            x[v] = _mm512_loadu_pd(rows[k] + lane + v * 8);
        }
        for (int j = 0; j < 4; ++j) {
            const __m512d w = _mm512_set1_pd(weights[k * 4 + j]);
            for (int v = 0; v < vectors; ++v) {
                sum[j][v] = _mm512_fmadd_pd(x[v], w, sum[j][v]);
            }
        }
    }
    for (int j = 0; j < 4; ++j) {
        for (int v = 0; v < vectors; ++v) {
            _mm512_storeu_pd(sums[j] + lane + v * 8, sum[j][v]);
        }
    }
}

__attribute__((target("avx512f"))) void contract4_512(const double* const* rows,
                                                      const double* weights, std::int64_t length,
                                                      std::int64_t lanes, double* const* sums) {
    std::int64_t lane = 0;
    for (; lane + 32 <= lanes; lane += 32) {
        contract4_lanes_512<4>(rows, weights, length, lane, sums);
    }
    for (; lane + 16 <= lanes; lane += 16) {
        contract4_lanes_512<2>(rows, weights, length, lane, sums);
    }
    for (; lane < lanes; lane += 8) {
        contract4_lanes_512<1>(rows, weights, length, lane, sums);
    }
}

__attribute__((target("avx2,fma"))) void contract4_256(const double* const* rows,
                                                       const double* weights, std::int64_t length,
                                                       std::int64_t lanes, double* const* sums) {
    for (std::int64_t lane = 0; lane < lanes; lane += 8) {
        __m256d sum[4][2];
        for (int j = 0; j < 4; ++j) {
            sum[j][0] = _mm256_loadu_pd(sums[j] + lane);
            sum[j][1] = _mm256_loadu_pd(sums[j] + lane + 4);
        }
        for (std::int64_t k = 0; k < length; ++k) {
            const __m256d x0 = _mm256_loadu_pd(rows[k] + lane);
            const __m256d x1 = _mm256_loadu_pd(rows[k] + lane + 4);
            for (int j = 0; j < 4; ++j) {
                const __m256d w = _mm256_broadcast_sd(weights + k * 4 + j);
                sum[j][0] = _mm256_fmadd_pd(x0, w, sum[j][0]);
                sum[j][1] = _mm256_fmadd_pd(x1, w, sum[j][1]);
            }
        }
        for (int j = 0; j < 4; ++j) {
            _mm256_storeu_pd(sums[j] + lane, sum[j][0]);
            _mm256_storeu_pd(sums[j] + lane + 4, sum[j][1]);
        }
    }
}

Contract fastest_contract() {
    return __builtin_cpu_supports("avx512f")                                 ? contract4_512
           : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? contract4_256
                                                                             : contract4_plain;
}

#else

Contract fastest_contract() {
    return contract4_plain;
}

#endif

// exp(x) = 2^n e^r with |r| <= ln 2 / 2. e^r - 1 is the sum of r^i / i! up to i = 13: what is left
// out is below 2^-55 of it.
struct Split {
    double scale;     // 2^n
    double fraction;  // e^r - 1
};

inline Split split_exponential(double x) {
    constexpr double magic = 0x1.8p52;  // adding it leaves n in the low bits
    constexpr double low = -708.0;      // below, 2^n would be no normal number
    constexpr double high = 709.0;
    x = x < low ? low : x;
    x = x > high ? high : x;
    const double shifted = x * 0x1.71547652b82fep0 + magic;
    const double n = shifted - magic;
    const double r = (x - n * 0x1.62e42fefa0000p-1) - n * 0x1.cf79abc9e3b3ap-40;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r * r + r;
    const std::int64_t bits = std::bit_cast<std::int64_t>(shifted);
    const std::int64_t exponent = bits - std::bit_cast<std::int64_t>(magic) + 1023;
    return {std::bit_cast<double>(static_cast<std::uint64_t>(exponent) << 52), p};
}

inline double exponential(double x) {
    const Split s = split_exponential(x);
    double y = s.scale * s.fraction + s.scale;
    y = x < -708.0 ? 0.0 : y;  // the true value is below 2^-1021
    y = x > 709.0 ? std::numeric_limits<double>::infinity() : y;
    return y;
}

inline double exponential_minus_1(double x) {
    const Split s = split_exponential(x);
    const double y = s.scale * s.fraction + (s.scale - 1.0);
    return x > 709.0 ? std::numeric_limits<double>::infinity() : y;
}

inline double logistic(double x) {
    return 1.0 / (1.0 + exponential(-x));
}

inline double hyperbolic_tangent(double x) {
    const double magnitude = std::abs(x);
    const double clipped = magnitude > 30.0 ? 30.0 : magnitude;  // 1 to the last place
    const double e = exponential_minus_1(2.0 * clipped);
    return std::copysign(e / (e + 2.0), x);
}

// A kernel is one expression for one number; the compiler makes vectors of the loop.
#define GATEWRIGHT_FLOAT_KERNEL(name, expression)                                        \
    GATEWRIGHT_CLONES void name(const double* xs, std::int64_t count,                    \
                                [[maybe_unused]] const double* parameters, double* ys) { \
        [[maybe_unused]] const double p = parameters != nullptr ? parameters[0] : 0.0;   \
        for (std::int64_t i = 0; i < count; ++i) {                                       \
            const double x = xs[i];                                                      \
            ys[i] = (expression);                                                        \
        }                                                                                \
    }

GATEWRIGHT_FLOAT_KERNEL(kernel_affine, p* x + parameters[1])
GATEWRIGHT_FLOAT_KERNEL(kernel_maximum, x < p ? p : x)
GATEWRIGHT_FLOAT_KERNEL(kernel_minimum, p < x ? p : x)
GATEWRIGHT_FLOAT_KERNEL(kernel_leaky, x < 0 ? p * x : x)
GATEWRIGHT_FLOAT_KERNEL(kernel_absolute, std::abs(x))
GATEWRIGHT_FLOAT_KERNEL(kernel_square, x* x)
GATEWRIGHT_FLOAT_KERNEL(kernel_sqrt, std::sqrt(x))
GATEWRIGHT_FLOAT_KERNEL(kernel_reciprocal, 1.0 / x)
GATEWRIGHT_FLOAT_KERNEL(kernel_softsign, x / (1.0 + std::abs(x)))
GATEWRIGHT_FLOAT_KERNEL(kernel_exp, exponential(x))
GATEWRIGHT_FLOAT_KERNEL(kernel_sigmoid, logistic(x))
GATEWRIGHT_FLOAT_KERNEL(kernel_tanh, hyperbolic_tangent(x))
GATEWRIGHT_FLOAT_KERNEL(kernel_silu, x / (1.0 + exponential(-p * x)))
GATEWRIGHT_FLOAT_KERNEL(kernel_elu, x < 0 ? p * exponential_minus_1(x) : x)
GATEWRIGHT_FLOAT_KERNEL(kernel_selu, parameters[1] * (x < 0 ? p * exponential_minus_1(x) : x))

struct KernelRow {
    std::string_view function;
    FloatKernel kernel;
};
const auto kernels = std::to_array<KernelRow>({
    {"affine", kernel_affine},
    {"maximum", kernel_maximum},
    {"minimum", kernel_minimum},
    {"leaky", kernel_leaky},
    {"absolute", kernel_absolute},
    {"square", kernel_square},
    {"sqrt", kernel_sqrt},
    {"reciprocal", kernel_reciprocal},
    {"softsign", kernel_softsign},
    {"exp", kernel_exp},
    {"sigmoid", kernel_sigmoid},
    {"tanh", kernel_tanh},
    {"silu", kernel_silu},
    {"elu", kernel_elu},
    {"selu", kernel_selu},
});

#define GATEWRIGHT_COMBINE(name, expression)                                            \
    GATEWRIGHT_CLONES void name(const double* as, const double* bs, std::int64_t count, \
                                double* ys) {                                           \
        for (std::int64_t i = 0; i < count; ++i) {                                      \
            const double a = as[i];                                                     \
            const double b = bs[i];                                                     \
            ys[i] = (expression);                                                       \
        }                                                                               \
    }
GATEWRIGHT_COMBINE(combine_add, a + b)
GATEWRIGHT_COMBINE(combine_subtract, a - b)
GATEWRIGHT_COMBINE(combine_multiply, a* b)
GATEWRIGHT_COMBINE(combine_divide, a / b)
GATEWRIGHT_COMBINE(combine_maximum, a < b ? b : a)
GATEWRIGHT_COMBINE(combine_minimum, b < a ? b : a)

GATEWRIGHT_CLONES
void shifted_exponentials(const double* x, const double* largest, std::int64_t lanes, double* y,
                          double* sum) {
    for (std::int64_t i = 0; i < lanes; ++i) {
        y[i] = exponential(x[i] - largest[i]);
        sum[i] += y[i];
    }
}

}  // namespace

void contract4(const double* const* rows, const double* weights, std::int64_t length,
               std::int64_t lanes, double* const* sums) {
    static const Contract contract = fastest_contract();
    contract(rows, weights, length, lanes, sums);
}

FloatKernel find_float_kernel(std::string_view function) {
    for (const KernelRow& row : kernels) {
        if (row.function == function) {
            return row.kernel;
        }
    }
    return nullptr;
}

void combine(Arithmetic operation, const double* a, const double* b, std::int64_t count,
             double* y) {
    using Kernel = void (*)(const double*, const double*, std::int64_t, double*);
    constexpr Kernel table[] = {combine_add,    combine_subtract, combine_multiply,
                                combine_divide, combine_maximum,  combine_minimum};
    table[static_cast<std::size_t>(operation)](a, b, count, y);
}

void softmax_rows(const double* const* x, double* const* y, std::int64_t rows, std::int64_t lanes) {
    std::vector<double> largest(x[0], x[0] + lanes);
    std::vector<double> sum(static_cast<std::size_t>(lanes), 0.0);
    for (std::int64_t r = 1; r < rows; ++r) {
        combine(Arithmetic::maximum, largest.data(), x[r], lanes, largest.data());
    }
    for (std::int64_t r = 0; r < rows; ++r) {
        shifted_exponentials(x[r], largest.data(), lanes, y[r], sum.data());
    }
    for (std::int64_t r = 0; r < rows; ++r) {
        combine(Arithmetic::divide, y[r], sum.data(), lanes, y[r]);
    }
}

}  // namespace gatewright::emulate
