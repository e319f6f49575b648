#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "import/keras/moves.h"
#include "import/keras/rules.h"
#include "import/layers/normalisation.h"
#include "operators/selection.h"

namespace gatewright::keras {

namespace {

using Binary = Operand (layers::Builder::*)(const Operand&, const Operand&);

/// The masks of all inputs; nothing for those without.
std::vector<std::optional<Operand>> masks_of(Call& call) {
    std::vector<std::optional<Operand>> out;
    for (std::size_t i = 0; i < call.inputs(); ++i) {
        out.push_back(call.mask(i));
    }
    return out;
}

/// Keras 2 keeps a step that all masks keep; Keras 3 one that any keeps, if all inputs have masks.
std::optional<Operand> merged_mask(Call& call) {
    std::optional<Operand> out;
    for (const auto& mask : masks_of(call)) {
        if (!mask) {
            if (call.keras2()) {
                continue;
            }
            return std::nullopt;
        }
        if (!out) {
            out = mask;
        } else if (out->sample_shape() != mask->sample_shape()) {
            call.refuse("the masks of its inputs have different shapes");
        } else {
            out = call.keras2() ? call.minimum(*out, *mask) : call.maximum(*out, *mask);
        }
    }
    return out;
}

void set_merged(Call& call, Operand y, Kind kind) {
    auto mask = merged_mask(call);
    call.set_values({{std::move(y), kind, std::move(mask)}});
}

void check_inputs(Call& call, std::size_t least, std::size_t most = SIZE_MAX) {
    if (call.inputs() < least || call.inputs() > most) {
        call.refuse(fmt::format("it has {} inputs", call.inputs()));
    }
}

/// Inputs with fewer axes get extents of 1 behind the batch.
std::vector<Operand> of_one_rank(Call& call) {
    std::size_t rank = 0;
    for (const Operand& x : call.operands()) {
        rank = std::max(rank, x.sample_shape().size());
    }
    std::vector<Operand> out;
    for (const Operand& x : call.operands()) {
        out.push_back(with_rank(call, x, rank));
    }
    return out;
}

Kind common_kind(Call& call) {
    Kind kind = call.input().kind;
    for (std::size_t i = 1; i < call.inputs(); ++i) {
        if (call.input(i).kind != kind) {
            return Kind::real;
        }
    }
    return kind;
}

void merge(Call& call, Binary binary) {
    check_inputs(call, 2);
    const std::vector<Operand> xs = of_one_rank(call);
    Operand y = xs.front();
    for (std::size_t i = 1; i < xs.size(); ++i) {
        y = (call.*binary)(y, xs[i]);
    }
    set_merged(call, y, common_kind(call));
}

void subtract(Call& call) {
    check_inputs(call, 2, 2);
    merge(call, &layers::Builder::subtract);
}

void average(Call& call) {
    merge(call, &layers::Builder::add);
    Value& sum = call.results().front();
    sum.operand = call.divide(sum.operand, Call::number(static_cast<double>(call.inputs())));
    sum.kind = Kind::real;
}

void concatenate(Call& call) {
    check_inputs(call, 1);
    const std::int64_t axis = call.axis(call.operand(), call.settings.integer("axis", -1));
    for (const Operand& x : call.operands()) {
        Shape shape = x.sample_shape();
        const Shape& first = call.operand().sample_shape();
        if (shape.size() != first.size()) {
            call.refuse("its inputs have different numbers of axes");
        }
        shape[static_cast<std::size_t>(axis)] = first[static_cast<std::size_t>(axis)];
        if (shape != first) {
            call.refuse("its inputs have different extents on other axes than the joined one");
        }
    }
    std::optional<Operand> mask;
    const auto masks = masks_of(call);
    const bool masked = std::any_of(masks.begin(), masks.end(), [](const auto& m) { return !!m; });
    if (masked) {
        // Along the features the joined steps are masked as in a merge; in Keras 2 inputs without a
        // mask count as kept, in Keras 3 they keep all.
        const auto last = static_cast<std::int64_t>(call.operand().sample_shape().size()) - 1;
        if (axis != last || last < 1) {
            call.refuse("it joins inputs with masks along another axis than the last",
                        "Join along the features.");
        }
        bool all = true;
        for (const auto& m : masks) {
            if (!m) {
                all = all && call.keras2();
            } else {
                mask = !mask           ? *m
                       : call.keras2() ? call.minimum(*mask, *m)
                                       : call.maximum(*mask, *m);
            }
        }
        if (!all) {
            mask.reset();  // any step is kept
        }
    }
    const Operand y = call.concatenated(call.operands(), axis);
    call.set_values({{y, common_kind(call), mask}});
}

/// x with one axis in another place, the others in order.
Operand moved(Call& call, const Operand& x, std::int64_t from, std::int64_t to) {
    Shape order(x.sample_shape().size());
    std::iota(order.begin(), order.end(), std::int64_t{0});
    order.erase(order.begin() + from);
    order.insert(order.begin() + to, from);
    return call.transposed(x, order, x.batch_axis);
}

void dot(Call& call) {
    check_inputs(call, 2, 2);
    const Shape axes = call.settings.sizes("axes", 2);
    std::array<Operand, 2> xs = {call.operand(0), call.operand(1)};
    const bool normalise = call.settings.flag("normalize", false);
    std::array<std::int64_t, 2> along{};
    for (std::size_t i = 0; i < 2; ++i) {
        along[i] = call.axis(xs[i], axes[i]);
        if (normalise) {
            xs[i] = layers::lp_normalised(
                call, xs[i], 2, {along[i]},
                call.keras2() ? layers::NormFloor::largest_squared : layers::NormFloor::largest,
                call.keras2() ? 1e-12 : 1e-7);
        }
    }
    const auto extent = [&](std::size_t i) {
        return xs[i].sample_shape()[static_cast<std::size_t>(along[i])];
    };
    if (extent(0) != extent(1)) {
        call.settings.refuse("axes",
                             fmt::format("it joins {} positions with {}", extent(0), extent(1)));
    }
    const auto rank = [&](std::size_t i) {
        return static_cast<std::int64_t>(xs[i].sample_shape().size());
    };
    const Operand a = moved(call, xs[0], along[0], rank(0) - 1);
    const Operand b = moved(call, xs[1], along[1], 0);
    Shape left(a.sample_shape().begin(), a.sample_shape().end() - 1);
    const Shape right(b.sample_shape().begin() + 1, b.sample_shape().end());
    const Operand y = call.matmul(call.reshaped(a, {element_count(left), extent(0)}, 0),
                                  call.reshaped(b, {extent(0), element_count(right)}, 0));
    left.insert(left.end(), right.begin(), right.end());
    if (left.empty()) {
        left = {1};
    }
    call.argument("mask");  // a product has none
    call.set_values({{call.reshaped(y, left, 0), Kind::real, std::nullopt}});
}

const RuleRow rows[] = {
    {"Add", [](Call& c) { merge(c, &layers::Builder::add); }, Masking::own},
    {"Subtract", &subtract, Masking::own},
    {"Multiply", [](Call& c) { merge(c, &layers::Builder::multiply); }, Masking::own},
    {"Average", &average, Masking::own},
    {"Maximum", [](Call& c) { merge(c, &layers::Builder::maximum); }, Masking::own},
    {"Minimum", [](Call& c) { merge(c, &layers::Builder::minimum); }, Masking::own},
    {"Concatenate", &concatenate, Masking::own},
    {"Dot", &dot, Masking::own},
};

}  // namespace

std::span<const RuleRow> merge_rules() {
    return rows;
}

}  // namespace gatewright::keras
