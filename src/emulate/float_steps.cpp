// Steps of the float engine: element-wise layers, moves, reductions, on rows of samples.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

#include "emulate/float_kernels.h"
#include "emulate/float_plan.h"
#include "emulate/float_products.h"
#include "operators/accumulation.h"
#include "operators/core.h"
#include "operators/layers.h"
#include "operators/map.h"
#include "operators/move.h"
#include "operators/pooling.h"

namespace gatewright::emulate {

std::vector<std::int64_t> sources_of(const network::Operator& op, network::Attributes attributes,
                                     const Shape& x) {
    network::Node node;
    node.op = &op;
    node.attributes = std::move(attributes);
    const std::vector<network::TensorType> types = {{x, std::nullopt}};
    std::vector<std::int64_t> out;
    for (const network::Source& source : op.sources(node, types)) {
        out.push_back(source.input < 0 ? -1 : source.element);
    }
    return out;
}

namespace {

using namespace gatewright::operators;
using network::Node;
using network::TensorType;

/// Values that broadcast to a shape: one, or one for each element.
std::vector<double> spread_values(const Tensor& values, const Shape& from, const Shape& to) {
    if (values.values.size() == 1) {
        return values.values;
    }
    std::vector<double> out;
    for (const std::int64_t e : broadcast_index(from, to)) {
        out.push_back(values.values[static_cast<std::size_t>(e)]);
    }
    return out;
}

/// For each element of y, the element of an operand that broadcasts to it; empty: element e itself.
std::vector<std::int64_t> rows_of(const FloatNode& f, std::size_t i) {
    const Shape& y = f.node.types.front().shape;
    return f.inputs[i].shape == y ? std::vector<std::int64_t>{}
                                  : broadcast_index(f.inputs[i].shape, y);
}

RangeStep combine_step(const FloatNode& f, Arithmetic operation) {
    const std::array<std::vector<std::int64_t>, 2> index = {rows_of(f, 0), rows_of(f, 1)};
    std::array<std::vector<double>, 2> stored;
    for (std::size_t i = 0; i < 2; ++i) {
        if (f.constants[i] != nullptr) {
            stored[i] =
                spread_values(*f.constants[i], f.inputs[i].shape, f.node.types.front().shape);
        } else if (index[i].empty() && f.constants[1 - i] == nullptr && index[1 - i].empty()) {
            return [operation](const FloatCall& call, std::int64_t first, std::int64_t rows) {
                const std::int64_t at = first * call.lanes;
                combine(operation, call.inputs[0] + at, call.inputs[1] + at, rows * call.lanes,
                        call.outputs[0] + at);
            };
        }
    }
    const bool turns = operation == Arithmetic::add || operation == Arithmetic::multiply;
    if (f.constants[1] != nullptr || (f.constants[0] != nullptr && turns)) {
        const std::size_t other = f.constants[1] != nullptr ? 0 : 1;
        return [kernel = float_form().combine_number[static_cast<std::size_t>(operation)],
                index = index[other], other, values = stored[1 - other]](
                   const FloatCall& call, std::int64_t first, std::int64_t rows) {
            const double* x = call.inputs[other];
            double* y = call.outputs[0];
            const std::int64_t lanes = call.lanes;
            if (index.empty() && values.size() == 1) {
                kernel(x + first * lanes, values[0], rows * lanes, y + first * lanes);
                return;
            }
            for (std::int64_t e = first; e < first + rows; ++e) {
                const auto at = static_cast<std::size_t>(e);
                kernel(x + (index.empty() ? e : index[at]) * lanes,
                       values[values.size() == 1 ? 0 : at], lanes, y + e * lanes);
            }
        };
    }
    return
        [operation, index, stored](const FloatCall& call, std::int64_t first, std::int64_t rows) {
            alignas(64) std::array<std::array<double, most_lanes>, 2> constant;
            for (std::int64_t e = first; e < first + rows; ++e) {
                std::array<const double*, 2> x{};
                for (std::size_t i = 0; i < 2; ++i) {
                    const auto at = static_cast<std::size_t>(e);
                    if (stored[i].empty()) {
                        x[i] = call.inputs[i] + (index[i].empty() ? e : index[i][at]) * call.lanes;
                    } else {
                        std::fill_n(constant[i].data(), call.lanes,
                                    stored[i][stored[i].size() == 1 ? 0 : at]);
                        x[i] = constant[i].data();
                    }
                }
                combine(operation, x[0], x[1], call.lanes, call.outputs[0] + e * call.lanes);
            }
        };
}

/// `kernel` with `each` parameters for every element, or the same ones for all.
RangeStep kernel_step(FloatKernel kernel, std::vector<double> parameters, std::size_t each,
                      bool uniform) {
    if (uniform) {
        return [kernel, parameters = std::move(parameters)](const FloatCall& call,
                                                            std::int64_t first, std::int64_t rows) {
            kernel(call.inputs[0] + first * call.lanes, rows * call.lanes,
                   parameters.empty() ? nullptr : parameters.data(),
                   call.outputs[0] + first * call.lanes);
        };
    }
    return [kernel, parameters = std::move(parameters), each](
               const FloatCall& call, std::int64_t first, std::int64_t rows) {
        for (std::int64_t e = first; e < first + rows; ++e) {
            kernel(call.inputs[0] + e * call.lanes, call.lanes,
                   parameters.data() + static_cast<std::size_t>(e) * each,
                   call.outputs[0] + e * call.lanes);
        }
    };
}

bool is_constant_behind_first(const FloatNode& f) {
    return f.constants[0] == nullptr &&
           std::none_of(f.constants.begin() + 1, f.constants.end(),
                        [](const Tensor* constant) { return constant == nullptr; });
}

RangeStep function_step(const FloatNode& f) {
    const FloatKernel kernel = find_float_kernel(f.node.fields<FunctionFields>().function);
    const Shape& y = f.node.types.front().shape;
    if (kernel == nullptr || !is_constant_behind_first(f) || f.inputs[0].shape != y) {
        return nullptr;
    }
    const std::size_t each = f.constants.size() - 1;
    std::vector<std::vector<double>> values;
    bool uniform = true;
    for (std::size_t i = 1; i < f.constants.size(); ++i) {
        values.push_back(spread_values(*f.constants[i], f.inputs[i].shape, y));
        uniform = uniform && values.back().size() == 1;
    }
    std::vector<double> parameters;
    const std::size_t count = uniform ? 1 : static_cast<std::size_t>(element_count(y));
    for (std::size_t e = 0; e < count; ++e) {
        for (const std::vector<double>& value : values) {
            parameters.push_back(value[value.size() == 1 ? 0 : e]);
        }
    }
    return kernel_step(kernel, std::move(parameters), each, uniform);
}

RangeStep batch_norm_step(const FloatNode& f) {
    if (!is_constant_behind_first(f)) {
        return nullptr;
    }
    const auto& fields = f.node.fields<BatchNormFields>();
    const Shape& shape = f.node.types.front().shape;
    const std::int64_t inner = strides_of(shape)[static_cast<std::size_t>(fields.axis)];
    const auto channels = static_cast<std::int64_t>(f.constants[1]->values.size());
    std::vector<double> parameters;
    for (std::int64_t e = 0; e < element_count(shape); ++e) {
        const auto c = static_cast<std::size_t>((e / inner) % channels);
        parameters.insert(parameters.end(), {f.constants[1]->values[c], f.constants[3]->values[c],
                                             std::sqrt(f.constants[4]->values[c] + fields.epsilon),
                                             f.constants[2]->values[c]});
    }
    return kernel_step(float_form().batch_norm, std::move(parameters), 4, false);
}

FloatStep move_step(const FloatNode& f) {
    const std::vector<network::Source> sources = f.node.op->sources(f.node, f.inputs);
    std::vector<std::vector<double>> stored;
    for (const Tensor* constant : f.constants) {
        stored.push_back(constant != nullptr ? constant->values : std::vector<double>{});
    }
    return [sources, stored](const FloatCall& call) {
        double* y = call.outputs[0];
        for (const network::Source& source : sources) {
            if (source.input < 0) {
                std::fill(y, y + call.lanes, 0.0);
            } else if (const auto& constant = stored[static_cast<std::size_t>(source.input)];
                       !constant.empty()) {
                std::fill(y, y + call.lanes, constant[static_cast<std::size_t>(source.element)]);
            } else {
                std::memcpy(y,
                            call.inputs[static_cast<std::size_t>(source.input)] +
                                source.element * call.lanes,
                            static_cast<std::size_t>(call.lanes) * sizeof(double));
            }
            y += call.lanes;
        }
    };
}

/// Elements of the rows that a reduction over `axes` (sorted) joins, [row][member].
std::vector<std::int64_t> members_of(const Shape& shape, const Shape& axes) {
    Shape permutation;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(i)) == axes.end()) {
            permutation.push_back(static_cast<std::int64_t>(i));
        }
    }
    permutation.insert(permutation.end(), axes.begin(), axes.end());
    return sources_of(transpose_operator, network::Attributes::of(TransposeFields{permutation}),
                      shape);
}

/// y[row] = members joined in order, then divided by divisors[row % size] if there are any.
FloatStep join_step(Arithmetic operation, std::vector<std::int64_t> members, std::int64_t length,
                    std::vector<double> divisors) {
    return [operation, members = std::move(members), length,
            divisors = std::move(divisors)](const FloatCall& call) {
        const std::vector<double> zeros(static_cast<std::size_t>(call.lanes), 0.0);
        const std::int64_t rows = static_cast<std::int64_t>(members.size()) / length;
        const auto row = [&](std::int64_t member) {
            return member < 0 ? zeros.data() : call.inputs[0] + member * call.lanes;
        };
        for (std::int64_t r = 0; r < rows; ++r) {
            const std::int64_t* member = members.data() + r * length;
            double* y = call.outputs[0] + r * call.lanes;
            std::memcpy(y, row(member[0]), static_cast<std::size_t>(call.lanes) * sizeof(double));
            for (std::int64_t i = 1; i < length; ++i) {
                combine(operation, y, row(member[i]), call.lanes, y);
            }
            if (!divisors.empty()) {
                const double divisor = divisors[static_cast<std::size_t>(r) % divisors.size()];
                for (std::int64_t i = 0; i < call.lanes; ++i) {
                    y[i] /= divisor;
                }
            }
        }
    };
}

FloatStep reduce_step(const FloatNode& f) {
    const auto& fields = f.node.fields<ReduceFields>();
    if (fields.kind == "prod") {
        return nullptr;
    }
    std::int64_t length = 1;
    for (const std::int64_t axis : fields.axes) {
        length *= f.inputs[0].shape[static_cast<std::size_t>(axis)];
    }
    std::vector<double> divisors;
    if (fields.kind == "mean") {
        divisors.push_back(static_cast<double>(length));
    }
    return join_step(fields.kind == "max"   ? Arithmetic::maximum
                     : fields.kind == "min" ? Arithmetic::minimum
                                            : Arithmetic::add,
                     members_of(f.inputs[0].shape, fields.axes), length, std::move(divisors));
}

FloatStep pool_step(const FloatNode& f) {
    const auto& fields = f.node.fields<PoolFields>();
    const Shape& x = f.inputs[0].shape;
    const Shape& y = f.node.types.front().shape;
    const std::vector<std::int64_t> patches =
        sources_of(window_operator, network::Attributes::of(pool_window(fields)), x);
    const std::int64_t channels = x[0];
    const std::int64_t length = element_count(fields.kernel);
    const std::int64_t positions = element_count(y) / channels;
    std::vector<std::int64_t> members;  // of y[c, p]: patches are [p, c, length]
    for (std::int64_t c = 0; c < channels; ++c) {
        for (std::int64_t p = 0; p < positions; ++p) {
            const auto first = patches.begin() + (p * channels + c) * length;
            members.insert(members.end(), first, first + length);
        }
    }
    std::vector<double> divisors;
    if (fields.kind != "max") {
        for (const std::int64_t count : pool_counts(fields, x, y)) {
            divisors.push_back(static_cast<double>(count));
        }
    }
    return join_step(fields.kind == "max" ? Arithmetic::maximum : Arithmetic::add,
                     std::move(members), length, std::move(divisors));
}

FloatStep softmax_step(const FloatNode& f) {
    const auto& fields = f.node.fields<SoftmaxFields>();
    if (fields.logarithm) {
        return nullptr;
    }
    const std::int64_t length = f.inputs[0].shape[static_cast<std::size_t>(fields.axis)];
    return [length, members = members_of(f.inputs[0].shape, {fields.axis})](const FloatCall& call) {
        std::vector<const double*> x(static_cast<std::size_t>(length));
        std::vector<double*> y(static_cast<std::size_t>(length));
        for (std::size_t first = 0; first < members.size();
             first += static_cast<std::size_t>(length)) {
            for (std::size_t i = 0; i < x.size(); ++i) {
                x[i] = call.inputs[0] + members[first + i] * call.lanes;
                y[i] = call.outputs[0] + members[first + i] * call.lanes;
            }
            softmax_rows(x.data(), y.data(), length, call.lanes);
        }
    };
}

struct StepRow {
    const network::Operator* op;
    FloatStep (*make)(const FloatNode& node);
};

const StepRow steps[] = {
    {&matmul_operator, matmul_step},
    {&conv_operator, conv_step},
    {&conv_transpose_operator, conv_transpose_step},
    {&reduce_operator, reduce_step},
    {&pool_operator, pool_step},
    {&softmax_operator, softmax_step},
};

struct RangeRow {
    const network::Operator* op;
    RangeStep (*make)(const FloatNode& node);
};

template <Arithmetic operation>
RangeStep combine_row(const FloatNode& f) {
    return combine_step(f, operation);
}

const RangeRow ranges[] = {
    {&add_operator, combine_row<Arithmetic::add>},
    {&subtract_operator, combine_row<Arithmetic::subtract>},
    {&multiply_operator, combine_row<Arithmetic::multiply>},
    {&divide_operator, combine_row<Arithmetic::divide>},
    {&maximum_operator, combine_row<Arithmetic::maximum>},
    {&minimum_operator, combine_row<Arithmetic::minimum>},
    {&function_operator, function_step},
    {&batch_norm_operator, batch_norm_step},
};

}  // namespace

FloatStep row_step(const FloatNode& node) {
    if (node.node.op->sources != nullptr) {
        return move_step(node);
    }
    for (const StepRow& row : steps) {
        if (row.op == node.node.op) {
            return row.make(node);
        }
    }
    return nullptr;
}

RangeStep range_step(const FloatNode& node) {
    for (const RangeRow& row : ranges) {
        if (row.op == node.node.op) {
            return row.make(node);
        }
    }
    return nullptr;
}

bool finishes_rows(const network::Operator& op) {
    return &op == &matmul_operator || &op == &conv_operator || &op == &conv_transpose_operator;
}

FloatStep reference_step(const FloatNode& f) {
    struct Operands {
        network::Node node;
        std::vector<Tensor> tensors;
        std::vector<bool> computed;
    };
    Operands operands{f.node, {}, {}};
    for (std::size_t i = 0; i < f.inputs.size(); ++i) {
        operands.computed.push_back(f.constants[i] == nullptr);
        operands.tensors.push_back(
            f.constants[i] != nullptr ? *f.constants[i] : Tensor::filled(f.inputs[i].shape, 0.0));
    }
    return [operands = std::move(operands)](const FloatCall& call) {
        std::vector<Tensor> tensors = operands.tensors;
        std::vector<const Tensor*> arguments;
        for (const Tensor& tensor : tensors) {
            arguments.push_back(&tensor);
        }
        for (std::int64_t lane = 0; lane < call.lanes; ++lane) {
            for (std::size_t i = 0; i < tensors.size(); ++i) {
                if (operands.computed[i]) {
                    const double* row = call.inputs[i] + lane;
                    for (double& value : tensors[i].values) {
                        value = *row;
                        row += call.lanes;
                    }
                }
            }
            const std::vector<Tensor> results =
                operands.node.op->reference(operands.node, arguments);
            for (std::size_t o = 0; o < results.size(); ++o) {
                double* row = call.outputs[o] + lane;
                for (const double value : results[o].values) {
                    *row = value;
                    row += call.lanes;
                }
            }
        }
    };
}

}  // namespace gatewright::emulate