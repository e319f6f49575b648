// Tensors made of nothing but numbers.

#include <fmt/format.h>

#include <cmath>

#include "import/torch/rules.h"

namespace gatewright::torch {

namespace {

Operand made(Call& call, Shape shape, double value) {
    if (!checked_element_count(shape) || *checked_element_count(shape) > (std::int64_t{1} << 28)) {
        call.refuse(fmt::format("a tensor of shape {} is too large", to_string(shape)),
                    "Make a tensor of fewer elements.");
    }
    const ScalarType type = call.result_type();
    if (type == ScalarType::float32) {
        value = static_cast<double>(static_cast<float>(value));
    } else if (type == ScalarType::boolean) {
        value = value != 0 ? 1 : 0;
    } else if (is_integral(type)) {
        value = std::trunc(value);
    }
    return Call::tensor(Tensor::filled(std::move(shape), value));
}

/// One tensor for each sample, all the same; its batch stands at `batch_axis`, nowhere if negative.
Operand for_all_samples(Call& call, const Operand& sample, int batch_axis) {
    return batch_axis < 0 ? sample : call.repeated(sample.constant, batch_axis);
}

void filled(Call& call, std::optional<double> fixed) {
    call.ignore("dtype");  // the program says the result's type
    const double value = fixed ? *fixed : call.real("fill_value");
    Shape shape;
    int batch_axis = -1;
    for (const Extent& extent : call.extents("size")) {
        if (!extent.batch) {
            shape.push_back(extent.value);
            continue;
        }
        if (batch_axis >= 0) {
            throw BatchMixed();
        }
        batch_axis = static_cast<int>(shape.size());
        if (extent.value != 1) {
            shape.push_back(extent.value);
            call.join(batch_axis);
        }
    }
    call.set(for_all_samples(call, made(call, std::move(shape), value), batch_axis));
}

void filled_like(Call& call, std::optional<double> fixed) {
    call.ignore("dtype");
    const Operand x = call.operand("self");
    const double value = fixed ? *fixed : call.real("fill_value");
    call.set(for_all_samples(call, made(call, x.sample_shape(), value), x.batch_axis));
}

void new_filled(Call& call, std::optional<double> fixed) {
    call.ignore("self");  // gives the type and the place only
    filled(call, fixed);
}

/// Tensors whose elements nobody has set. What reads them before something is written has no
/// defined value in PyTorch either.
void empty(Call& call) {
    filled(call, 0);
}

void empty_like(Call& call) {
    filled_like(call, 0);
}

/// The order of the axes in memory says nothing of what they hold.
void empty_permuted(Call& call) {
    call.ignore("physical_layout");
    filled(call, 0);
}

/// self with all elements replaced.
void fill(Call& call, std::optional<double> fixed) {
    const Operand x = call.operand("self");
    const auto all = [&](double value) {
        return for_all_samples(call, made(call, x.sample_shape(), value), x.batch_axis);
    };
    if (fixed) {
        call.set(all(*fixed));
        return;
    }
    const Operand value = call.operand("value");
    call.set(call.add(all(0), value));
}

/// An integer argument; nothing if it is of another kind.
std::optional<Extent> extent_of(Call& call, std::string_view name) {
    for (const auto& [key, argument] : call.node().arguments) {
        if (key == name && argument.kind == Argument::Kind::integer) {
            return call.importer().number(argument.integers.front(), call.where(std::string(name)));
        }
    }
    return std::nullopt;
}

void arange(Call& call) {
    call.ignore("dtype");
    if (const auto all = extent_of(call, "end"); all && all->batch) {
        // One number for each sample: where its part of all elements begins.
        if (call.integer("start", 0) != 0 || !call.has("step") ||
            call.integer("step") != all->value || call.outputs() != 1) {
            throw BatchMixed();
        }
        call.ignore("end");
        call.importer().define_starts(call.node().outputs.front(), all->value);
        return;
    }
    const double start = call.has("start") ? call.real("start") : 0;
    const double end = call.real("end");
    const double step = call.has("step") ? call.real("step") : 1;
    const double count = std::ceil((end - start) / step);
    if (step == 0 || !(count >= 0) || count > 1e8) {
        call.refuse(fmt::format("it counts from {} to {} by {}", start, end, step),
                    "Count at most 100,000,000 steps, and towards the end.",
                    step == 0 ? "step" : "end");
    }
    Tensor out{{static_cast<std::int64_t>(count)}, {}};
    const bool single = call.result_type() == ScalarType::float32;
    for (std::int64_t i = 0; i < out.shape[0]; ++i) {
        const double value = start + static_cast<double>(i) * step;
        out.values.push_back(single
                                 ? static_cast<double>(static_cast<float>(value))
                                 : (is_integral(call.result_type()) ? std::trunc(value) : value));
    }
    call.set(Call::tensor(std::move(out)));
}

void linspace(Call& call) {
    call.ignore("dtype");
    const double start = call.real("start");
    const double end = call.real("end");
    const std::int64_t steps = call.integer("steps");
    call.demand(steps >= 0 && steps <= 100000000, "steps", "it is out of range");
    call.demand(!is_integral(call.result_type()), "dtype", "its points are integers");
    Tensor out{{steps}, {}};
    const double step = steps > 1 ? (end - start) / static_cast<double>(steps - 1) : 0;
    for (std::int64_t i = 0; i < steps; ++i) {
        // From both ends towards the middle.
        const double value = i < steps / 2 ? start + step * static_cast<double>(i)
                                           : end - step * static_cast<double>(steps - 1 - i);
        out.values.push_back(static_cast<double>(static_cast<float>(steps == 1 ? start : value)));
    }
    call.set(Call::tensor(std::move(out)));
}

void eye(Call& call) {
    call.ignore("dtype");
    const std::int64_t rows = call.integer("n");
    const std::int64_t columns = call.integer("m", rows);
    Operand out = made(call, {rows, columns}, 0);
    for (std::int64_t i = 0; i < std::min(rows, columns); ++i) {
        out.constant.values[static_cast<std::size_t>(i * columns + i)] = 1;
    }
    call.set(out);
}

void scalar_tensor(Call& call) {
    call.ignore("dtype");
    const double value = call.real("s");
    call.set(made(call, {}, value));
}

const RuleRow rows[] = {
    {"aten.zeros", "default", [](Call& c) { filled(c, 0); }},
    {"aten.ones", "default", [](Call& c) { filled(c, 1); }},
    {"aten.full", "default", [](Call& c) { filled(c, std::nullopt); }},
    {"aten.zeros_like", "default", [](Call& c) { filled_like(c, 0); }},
    {"aten.ones_like", "default", [](Call& c) { filled_like(c, 1); }},
    {"aten.full_like", "default", [](Call& c) { filled_like(c, std::nullopt); }},
    {"aten.new_zeros", "default", [](Call& c) { new_filled(c, 0); }},
    {"aten.new_ones", "default", [](Call& c) { new_filled(c, 1); }},
    {"aten.new_full", "default", [](Call& c) { new_filled(c, std::nullopt); }},
    {"aten.empty", "memory_format", &empty},
    {"aten.empty_permuted", "default", &empty_permuted},
    {"aten.empty_like", "default", &empty_like},
    {"aten.new_empty", "default", [](Call& c) { new_filled(c, 0); }},
    {"aten.fill", "Scalar Tensor", [](Call& c) { fill(c, std::nullopt); }},
    {"aten.zero", "default", [](Call& c) { fill(c, 0); }},
    {"aten.arange", "default start start_step", &arange},
    {"aten.linspace", "default", &linspace},
    {"aten.eye", "default m", &eye},
    {"aten.scalar_tensor", "default", &scalar_tensor},
    {"prims.scalar_tensor", "default", &scalar_tensor},
};

}  // namespace

std::span<const RuleRow> creation_rules() {
    return rows;
}

}  // namespace gatewright::torch
