#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

/// Arithmetic in double on rows of lanes: a row holds one element of a tensor for `lanes` samples,
/// a multiple of 8. Every operation is exactly specified and sums go in order, so that all machines
/// give the same numbers.
namespace gatewright::emulate {

/// For each k in order, sums[j] = fma(rows[k], weights[columns k + j], sums[j]): the product is
/// added unrounded. For the rows of `sums`, which begin as bias[j], or as they are without bias.
using Contract = void (*)(const double* const* rows, const double* weights, std::int64_t length,
                          std::int64_t lanes, const double* bias, double* const* sums);
inline constexpr std::int64_t most_columns = 4;  ///< of one contraction

/// One element of a function of one variable, `count` numbers; may work in place.
using FloatKernel = void (*)(const double* x, std::int64_t count, const double* parameters,
                             double* y);

enum class Arithmetic { add, subtract, multiply, divide, maximum, minimum };
/// y[i] = a[i] op b[i].
using Combine = void (*)(const double* a, const double* b, std::int64_t count, double* y);
/// y[i] = a[i] op b.
using CombineNumber = void (*)(const double* a, double b, std::int64_t count, double* y);

/// rows[e * lanes + s] = samples[s * elements + e], for 8 samples and `elements` elements.
template <class Element>
using Spread = void (*)(const Element* samples, std::int64_t elements, std::int64_t lanes,
                        double* rows);

/// The kernels in the instructions of one kind of processor. All forms give the same bits.
struct FloatForm {
    std::string_view name;
    std::array<Contract, most_columns> contract;  ///< of 1, 2, ... columns
    /// Of the rows of operators/function.h that have one; find_float_kernel finds them by name.
    std::span<const FloatKernel> functions;
    FloatKernel batch_norm;  ///< p0 (x - p1) / p2 + p3
    std::array<Combine, 6> combine;
    std::array<CombineNumber, 6> combine_number;
    /// y[i] = exp(x[i] - largest[i]), added to sum[i].
    void (*shifted_exponentials)(const double* x, const double* largest, std::int64_t lanes,
                                 double* y, double* sum);
    Spread<float> spread_float;
    Spread<double> spread_double;
};

/// The forms that this machine runs, the best first.
std::span<const FloatForm> float_forms();
inline const FloatForm& float_form() {
    static const FloatForm& best = float_forms().front();
    return best;
}

/// The kernel for a function, or null. Within two units in the last place of the true value (in
/// absolute terms: of 1, where it is smaller).
FloatKernel find_float_kernel(std::string_view function, const FloatForm& form = float_form());

inline void combine(Arithmetic operation, const double* a, const double* b, std::int64_t count,
                    double* y) {
    float_form().combine[static_cast<std::size_t>(operation)](a, b, count, y);
}

/// y[i] = exp(x[i] - largest[i]) along `rows` rows, divided by their sum: a softmax.
void softmax_rows(const double* const* x, double* const* y, std::int64_t rows, std::int64_t lanes);

}  // namespace gatewright::emulate
