#pragma once

#include <cstdint>
#include <span>
#include <string_view>

/// Arithmetic in double on rows of lanes: a row holds one element of a tensor for `lanes` samples,
/// a multiple of 8. Every operation is exactly specified and sums go in order, so that all machines
/// give the same numbers.
namespace gatewright::emulate {

/// For each k in order, sums[j] = fma(rows[k], weights[4 k + j], sums[j]): the product is added
/// unrounded. For the four rows of `sums`.
void contract4(const double* const* rows, const double* weights, std::int64_t length,
               std::int64_t lanes, double* const* sums);

/// One element of a function of one variable, `count` numbers; may work in place.
using FloatKernel = void (*)(const double* x, std::int64_t count, const double* parameters,
                             double* y);
/// The kernel for a row of operators/function.h that has one, or null. Within two units in the last
/// place of the true value (in absolute terms: of 1, where it is smaller).
FloatKernel find_float_kernel(std::string_view function);

enum class Arithmetic { add, subtract, multiply, divide, maximum, minimum };

/// y[i] = a[i] op b[i].
void combine(Arithmetic operation, const double* a, const double* b, std::int64_t count, double* y);

/// y[i] = exp(x[i] - largest[i]) along `rows` rows, divided by their sum: a softmax.
void softmax_rows(const double* const* x, double* const* y, std::int64_t rows, std::int64_t lanes);

}  // namespace gatewright::emulate
