// Cumulative sums, products and extrema along an axis.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "operators/core.h"
#include "operators/lowering.h"
#include "operators/selection.h"

namespace gatewright::operators {

namespace {

using network::field_table;
using Types = std::span<const TensorType>;
using Tensors = std::span<const Tensor* const>;

bool is_extremum(const CumulativeFields& f) {
    return f.kind == "max" || f.kind == "min";
}

std::vector<TensorType> infer_cumulative(const Node& node, Types inputs) {
    const auto& f = node.fields<CumulativeFields>();
    const Shape& x = inputs[0].shape;
    const bool known =
        f.kind == "sum" || f.kind == "prod" || f.kind == "log_sum_exp" || is_extremum(f);
    const bool exclusive = f.exclusive && f.kind != "sum" && f.kind != "prod";
    if (!known || exclusive || f.axis < 0 || f.axis >= static_cast<std::int64_t>(x.size())) {
        throw Failure(Code::operator_inputs, node.where,
                      fmt::format("there is no cumulative {}{} along axis {} of shape {}", f.kind,
                                  f.exclusive ? " (exclusive)" : "", f.axis, to_string(x)));
    }
    return std::vector<TensorType>(is_extremum(f) ? 2 : 1, TensorType{x, std::nullopt});
}

/// What was found so far, and the value behind it.
double accumulated(const std::string& kind, double so_far, double value) {
    if (kind == "sum") {
        return so_far + value;
    }
    if (kind == "prod") {
        return so_far * value;
    }
    if (kind == "log_sum_exp") {
        const double top = std::max(so_far, value);
        return std::isinf(top) ? top : top + std::log1p(std::exp(std::min(so_far, value) - top));
    }
    const bool better = kind == "max" ? value >= so_far : value <= so_far;
    return std::isnan(value) || better ? value : so_far;
}

std::vector<Tensor> cumulative_reference(const Node& node, Tensors inputs) {
    const auto& f = node.fields<CumulativeFields>();
    const Tensor& x = *inputs[0];
    Tensor y = x;
    Tensor positions = Tensor::filled(x.shape, 0);
    const std::int64_t length = x.shape[static_cast<std::size_t>(f.axis)];
    const std::int64_t inner = strides_of(x.shape)[static_cast<std::size_t>(f.axis)];
    const std::int64_t rows = length == 0 ? 0 : element_count(x.shape) / length;
    for (std::int64_t r = 0; r < rows; ++r) {
        const std::int64_t first = r / inner * inner * length + r % inner;
        double so_far = f.kind == "prod" ? 1 : 0;
        std::int64_t found = 0;
        for (std::int64_t i = 0; i < length; ++i) {
            const std::int64_t at = f.reverse ? length - 1 - i : i;
            const auto e = static_cast<std::size_t>(first + at * inner);
            const bool starts = i == 0 && f.kind != "sum" && f.kind != "prod";
            const double next = starts ? x.values[e] : accumulated(f.kind, so_far, x.values[e]);
            // A later equal one is found; what is no number stays.
            const bool moves =
                starts || next == x.values[e] || (std::isnan(x.values[e]) && !std::isnan(so_far));
            found = moves ? at : found;
            y.values[e] = f.exclusive ? so_far : next;
            positions.values[e] = static_cast<double>(found);
            so_far = next;
        }
    }
    if (is_extremum(f)) {
        return {y, positions};
    }
    return {y};
}

}  // namespace

const network::Operator cumulative_operator = {
    .name = "cumulative",
    .formula = "y[i] = sum (product, ...) of x[0 .. i] along an axis",
    .fields = &field_table<CumulativeFields>,
    .infer = &infer_cumulative,
    .reference = &cumulative_reference,
    .lower = &lower_cumulative};

}  // namespace gatewright::operators
