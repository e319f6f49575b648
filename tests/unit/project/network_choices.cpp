#include <algorithm>
#include <optional>

#include "network_maker.h"
#include "operators/layers.h"
#include "operators/map.h"
#include "operators/move.h"
#include "operators/selection.h"

namespace gatewright::network_recipe {

namespace {

Shape least(Shape a, const Shape& b) {
    for (std::size_t i = 0; i < a.size(); ++i) {
        a[i] = std::min(a[i], b[i]);
    }
    return a;
}

}  // namespace

/// Ones and zeros: x compared with a constant, or with another tensor where they broadcast.
Value Maker::truths(const Made& x, const Made& y) {
    const bool fits = broadcast(x.shape, y.shape).has_value() && random_.one_in(2);
    const Value b = fits ? y.value : small_constant(parameter_shape(x.shape), 4, 0.5);
    return add(ops::join_operator,
               Attributes::of(ops::JoinFields{
                   random_.of<std::string>({"less", "less_equal", "greater", "greater_equal",
                                            "equal", "not_equal", "and", "or", "xor"})}),
               {x.value, b});
}

/// Positions of an axis: constants, or computed integers. With "error" all lie inside.
Value Maker::positions(const Shape& shape, std::int64_t extent, bool wrap,
                       const std::string& outside) {
    const std::int64_t beyond = outside == "error" ? 0 : 2;
    const std::int64_t low = (wrap ? -extent : 0) - beyond;
    const std::int64_t high = extent - 1 + beyond;
    const Made from = other();
    const std::int64_t count = element_count(shape);
    if (element_count(from.shape) < count || random_.one_in(2)) {
        return constant_of(shape, [&] { return static_cast<double>(random_.in(low, high)); });
    }
    const Value flat =
        add(ops::reshape_operator, Attributes::of(ops::ReshapeFields{{element_count(from.shape)}}),
            {from.value});
    const Value some =
        add(ops::slice_operator, Attributes::of(ops::SliceFields{{0}, {1}, {count}}), {flat});
    ops::FakeQuantizeFields f;
    f.scale = Tensor::scalar(1);
    f.zero_point = Tensor::scalar(0);
    f.low = Tensor::scalar(static_cast<double>(low));
    f.high = Tensor::scalar(static_cast<double>(high));
    const Value whole = add(ops::fake_quantize_operator, Attributes::of(f), {some});
    return add(ops::reshape_operator, Attributes::of(ops::ReshapeFields{shape}), {whole});
}

/// h = q(f(x_t W + h U)) along the first axis, written out.
void Maker::recurrence(const Made& x) {
    const std::int64_t features = x.shape[1];
    const std::int64_t units = random_.in(1, 3);
    const Value w = small_constant({features, units}, 3, 0.5);
    const Value u = small_constant({units, units}, 3, 0.25);
    const char* activation = random_.of({"tanh", "sigmoid", "absolute"});
    std::optional<Value> h;
    for (std::int64_t t = 0; t < std::min<std::int64_t>(3, x.shape[0]); ++t) {
        const Value step =
            add(ops::slice_operator,
                Attributes::of(ops::SliceFields{{t, 0}, {1, 1}, {1, features}}), {x.value});
        Value sum = add(ops::matmul_operator, Attributes(), {step, w});
        if (h) {
            sum = add(ops::add_operator, Attributes(),
                      {sum, add(ops::matmul_operator, Attributes(), {*h, u})});
        }
        h = quantised({function(activation, {sum}), {1, units}, 40}).value;
    }
    keep(*h, 8);
}

void Maker::add_choice(Kind kind, const Made& x) {
    const auto rank = static_cast<std::int64_t>(x.shape.size());
    const auto axis = rank > 0 ? random_.in(0, rank - 1) : 0;
    switch (kind) {
        case Kind::compare:
            keep(truths(x, other()), 1);
            break;
        case Kind::select: {
            const Made& a = other();
            const Made& b = other();
            const Value condition = random_.one_in(4) ? x.value : truths(x, other());
            const auto shape = broadcast(network_.type(condition).shape, a.shape);
            if (!shape || !broadcast(*shape, b.shape)) {
                break;
            }
            keep(add(ops::select_operator, Attributes(), {condition, a.value, b.value}),
                 std::max(a.bits, b.bits) + 2);
            break;
        }
        case Kind::gather: {
            if (rank == 0) {
                break;
            }
            const std::int64_t extent = x.shape[static_cast<std::size_t>(axis)];
            const bool wrap = random_.one_in(2);
            const auto outside = random_.of<std::string>({"error", "clamp", "zero"});
            if (random_.one_in(2)) {
                const Shape shape = random_.of<Shape>({{2}, {3}, {}, {2, 2}});
                keep(add(ops::gather_operator,
                         Attributes::of(ops::GatherFields{axis, wrap, outside}),
                         {x.value, positions(shape, extent, wrap, outside)}),
                     x.bits + 1);
            } else {
                Shape shape = x.shape;
                shape[static_cast<std::size_t>(axis)] = random_.in(1, 3);
                keep(add(ops::gather_elements_operator,
                         Attributes::of(ops::GatherElementsFields{axis, wrap, outside}),
                         {x.value, positions(shape, extent, wrap, outside)}),
                     x.bits + 1);
            }
            break;
        }
        case Kind::scatter: {
            if (rank == 0) {
                break;
            }
            ops::ScatterFields f;
            f.axis = axis;
            f.reduction = random_.of<std::string>({"none", "sum", "prod", "max", "min"});
            f.wrap = random_.one_in(2);
            f.outside = random_.of<std::string>({"error", "zero"});
            Shape shape = x.shape;
            shape[static_cast<std::size_t>(axis)] = random_.in(1, 3);
            const std::int64_t extent = x.shape[static_cast<std::size_t>(axis)];
            const Value updates =
                add(ops::slice_operator,
                    Attributes::of(ops::SliceFields{
                        Shape(x.shape.size(), 0), Shape(x.shape.size(), 1), least(shape, x.shape)}),
                    {quantised(x).value});
            const Shape written = least(shape, x.shape);
            keep(add(ops::scatter_operator, Attributes::of(f),
                     {x.value, positions(written, extent, f.wrap, f.outside), updates}),
                 x.bits + 18);
            break;
        }
        case Kind::cumulative: {
            if (rank == 0) {
                break;
            }
            ops::CumulativeFields f;
            f.kind = random_.of<std::string>({"sum", "prod", "max", "min"});
            f.axis = axis;
            // Of one element nothing is left but a constant, which is folded in doubles.
            f.exclusive = (f.kind == "sum" || f.kind == "prod") && random_.one_in(3) &&
                          x.shape[static_cast<std::size_t>(axis)] > 1;
            f.reverse = random_.one_in(3);
            if (f.kind == "prod" && x.bits > 8) {
                break;
            }
            const Value y = add(ops::cumulative_operator, Attributes::of(f), {x.value});
            if (network_.node(y.node).types.size() == 2) {
                keep({y.node, 1}, 3);
            }
            keep(y, f.kind == "prod" ? x.bits * 6 : x.bits + 4);
            break;
        }
        case Kind::product: {
            if (rank == 0 || x.bits > 8) {
                break;
            }
            const ops::ReduceFields f{"prod", {axis}, random_.one_in(2)};
            keep(add(ops::reduce_operator, Attributes::of(f), {x.value}), x.bits * 6);
            break;
        }
        case Kind::pad: {
            ops::PadFields f;
            f.mode = random_.of<std::string>({"zero", "edge", "reflect"});
            for (const std::int64_t extent : x.shape) {
                const std::int64_t most = std::min<std::int64_t>(2, extent - 1);
                f.before.push_back(random_.in(0, most));
                f.after.push_back(random_.in(0, most));
            }
            if (rank > 0) {
                keep(add(ops::pad_operator, Attributes::of(f), {x.value}), x.bits);
            }
            break;
        }
        case Kind::expand: {
            Shape shape = x.shape;
            shape.insert(shape.begin(), random_.in(1, 3));
            keep(add(ops::expand_operator, Attributes::of(ops::ExpandFields{shape}), {x.value}),
                 x.bits);
            break;
        }
        case Kind::recurrence:
            if (rank == 2) {
                recurrence(x);
            }
            break;
        default:
            break;
    }
}

}  // namespace gatewright::network_recipe
