// Arithmetic of extents, and what the exporter asserts of them.

#include <fmt/format.h>

#include "import/torch/rules.h"

namespace gatewright::torch {

namespace {

void give(Call& call, Extent extent) {
    for (const std::string& name : call.node().outputs) {
        call.importer().define_number(name, extent);
    }
}

void size(Call& call) {
    const Operand x = call.operand("self");
    const std::int64_t at = call.normalised(call.integer("dim"), x.rank());
    if (at == x.batch_axis) {
        give(call, {1, true});
        return;
    }
    give(call, {x.sample_shape()[static_cast<std::size_t>(call.axis(x, at))], false});
}

void count(Call& call) {
    const Operand x = call.operand("self");
    give(call, {element_count(x.sample_shape()), x.batch_axis >= 0});
}

Extent side(Call& call, const char* name) {
    return call.extents(name).front();
}

void multiply(Call& call) {
    const Extent a = side(call, "a");
    const Extent b = side(call, "b");
    if (a.batch && b.batch) {
        throw BatchMixed();
    }
    const bool sound = a.value == 0 || std::abs(b.value) < INT64_MAX / std::abs(a.value);
    if (!sound) {
        call.refuse("a product of extents is too large");
    }
    give(call, {a.value * b.value, a.batch || b.batch});
}

void add(Call& call, std::int64_t sign) {
    const Extent a = side(call, "a");
    const Extent b = side(call, "b");
    if (a.batch != b.batch) {
        throw BatchMixed();
    }
    const std::int64_t value = a.value + sign * b.value;
    give(call, {value, a.batch && value != 0});
}

void divide(Call& call) {
    const Extent a = side(call, "a");
    const Extent b = side(call, "b");
    if (b.value == 0) {
        call.refuse("an extent is divided by zero");
    }
    if (a.batch && b.batch && a.value % b.value == 0) {
        give(call, {a.value / b.value, false});
        return;
    }
    if (b.batch || (a.batch && a.value % b.value != 0)) {
        throw BatchMixed();
    }
    std::int64_t value = a.value / b.value;
    value -= a.value % b.value != 0 && (a.value < 0) != (b.value < 0) ? 1 : 0;
    give(call, {value, a.batch});
}

/// Assertions of the exporter, and the conditions that they are about: they say what holds for the
/// extents and values that the model was exported for, and compute nothing.
void assertion(Call& call) {
    for (const auto& [name, argument] : call.node().arguments) {
        call.ignore(name);
    }
}

const RuleRow rows[] = {
    {"aten.sym_size", "int", &size},
    {"aten.sym_numel", "default", &count},
    {"_operator.mul", "default", &multiply},
    {"_operator.add", "default", [](Call& c) { add(c, 1); }},
    {"_operator.sub", "default", [](Call& c) { add(c, -1); }},
    {"_operator.floordiv", "default", &divide},
    {"_operator.ge", "default", &assertion},
    {"_operator.le", "default", &assertion},
    {"_operator.gt", "default", &assertion},
    {"_operator.lt", "default", &assertion},
    {"_operator.eq", "default", &assertion},
    {"_operator.ne", "default", &assertion},
    {"_operator.and_", "default", &assertion},
    {"aten._assert_scalar", "default", &assertion},
    {"aten._assert_async", "default msg", &assertion},
    {"aten._assert_tensor_metadata", "default", &assertion},
    {"aten.sym_constrain_range", "default", &assertion},
    {"aten.sym_constrain_range_for_size", "default", &assertion},
};

}  // namespace

std::span<const RuleRow> symbol_rules() {
    return rows;
}

}  // namespace gatewright::torch
