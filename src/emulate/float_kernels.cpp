#include "emulate/float_kernels.h"

#include <algorithm>
#include <cstring>

#include "emulate/float_contract.h"
#include "emulate/float_functions.h"

namespace gatewright::emulate {

namespace {

// The functions that have a kernel.
constexpr std::string_view function_names[] = {
    "affine",   "maximum", "minimum", "leaky", "absolute", "square", "sqrt", "reciprocal",
    "softsign", "exp",     "sigmoid", "tanh",  "silu",     "elu",    "selu"};

template <class Element>
struct Eight;
template <>
struct Eight<float> {
    using Vector __attribute__((vector_size(32))) = float;
};
template <>
struct Eight<double> {
    using Vector __attribute__((vector_size(64))) = double;
};

/// Spread of 8 samples, 8 elements at a time: in three rounds, lanes that differ in one bit of
/// their numbers change places.
template <class Element>
GATEWRIGHT_INLINE void spread(const Element* samples, std::int64_t elements, std::int64_t lanes,
                              double* rows) {
    using Vector = typename Eight<Element>::Vector;
    using Wide = typename Eight<double>::Vector;
    std::int64_t e = 0;
    for (; e + 8 <= elements; e += 8) {
        Vector x[8];
        for (int s = 0; s < 8; ++s) {
            std::memcpy(&x[s], samples + s * elements + e, sizeof(Vector));
        }
        for (const int s : {0, 1, 2, 3}) {
            const Vector a = x[s];
            const Vector b = x[s + 4];
            x[s] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
            x[s + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
        }
        for (const int s : {0, 1, 4, 5}) {
            const Vector a = x[s];
            const Vector b = x[s + 2];
            x[s] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
            x[s + 2] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
        }
        for (const int s : {0, 2, 4, 6}) {
            const Vector a = x[s];
            const Vector b = x[s + 1];
            x[s] = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
            x[s + 1] = __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
        }
        for (int i = 0; i < 8; ++i) {
            const Wide wide = __builtin_convertvector(x[i], Wide);
            std::memcpy(rows + (e + i) * lanes, &wide, sizeof(Wide));
        }
    }
    for (; e < elements; ++e) {
        for (int s = 0; s < 8; ++s) {
            rows[e * lanes + s] = static_cast<double>(samples[s * elements + e]);
        }
    }
}

}  // namespace

}  // namespace gatewright::emulate

#define GATEWRIGHT_FORM plain_form
#define GATEWRIGHT_TARGET
#include "emulate/float_form.inc"
#undef GATEWRIGHT_FORM
#undef GATEWRIGHT_TARGET

#if defined(__x86_64__) && defined(__GNUC__)
#define GATEWRIGHT_FORM avx2_form
#define GATEWRIGHT_TARGET __attribute__((target("arch=x86-64-v3")))
#include "emulate/float_form.inc"
#undef GATEWRIGHT_FORM
#undef GATEWRIGHT_TARGET

#define GATEWRIGHT_FORM avx512_form
#if defined(__clang__)
#define GATEWRIGHT_TARGET __attribute__((target("arch=x86-64-v4")))
#else
#define GATEWRIGHT_TARGET __attribute__((target("arch=x86-64-v4,prefer-vector-width=512")))
#endif
#include "emulate/float_form.inc"
#undef GATEWRIGHT_FORM
#undef GATEWRIGHT_TARGET
#endif

namespace gatewright::emulate {

std::span<const FloatForm> float_forms() {
    static const std::vector<FloatForm> forms = [] {
        std::vector<FloatForm> found;
#if defined(__x86_64__) && defined(__GNUC__)
        if (__builtin_cpu_supports("x86-64-v4")) {
            found.push_back(avx512_form::form("AVX-512", contract_avx512));
        }
        if (__builtin_cpu_supports("x86-64-v3")) {
            found.push_back(avx2_form::form("AVX2", contract_avx2));
        }
#endif
        found.push_back(plain_form::form("plain", contract_plain));
        return found;
    }();
    return forms;
}

FloatKernel find_float_kernel(std::string_view function, const FloatForm& form) {
    const auto* at = std::ranges::find(function_names, function);
    return at == std::end(function_names)
               ? nullptr
               : form.functions[static_cast<std::size_t>(at - std::begin(function_names))];
}

void softmax_rows(const double* const* x, double* const* y, std::int64_t rows, std::int64_t lanes) {
    std::vector<double> largest(x[0], x[0] + lanes);
    std::vector<double> sum(static_cast<std::size_t>(lanes), 0.0);
    for (std::int64_t r = 1; r < rows; ++r) {
        combine(Arithmetic::maximum, largest.data(), x[r], lanes, largest.data());
    }
    for (std::int64_t r = 0; r < rows; ++r) {
        float_form().shifted_exponentials(x[r], largest.data(), lanes, y[r], sum.data());
    }
    for (std::int64_t r = 0; r < rows; ++r) {
        combine(Arithmetic::divide, y[r], sum.data(), lanes, y[r]);
    }
}

}  // namespace gatewright::emulate
