#include "operators/axis_move.h"

#include "operators/move.h"

namespace gatewright::operators {

using network::Node;
using network::TensorType;

namespace {

/// Position p of axis i adds f(i, p).
template <class F>
AxisMove by_axis(Shape extents, F f) {
    AxisMove move{std::move(extents), {}};
    for (std::size_t i = 0; i < move.extents.size(); ++i) {
        AxisMove::Term& term = move.terms.emplace_back(AxisMove::Term{i, i, {}});
        for (std::int64_t p = 0; p < move.extents[i]; ++p) {
            term.at.push_back(f(i, p));
        }
    }
    return move;
}

AxisMove of_reshape(const Node&, const Shape& x) {
    // One axis of all elements would need a table of them.
    const auto strides = strides_of(x);
    return by_axis(x, [&](std::size_t i, std::int64_t p) { return p * strides[i]; });
}

AxisMove of_transpose(const Node& node, const Shape& x) {
    const Shape& permutation = node.fields<TransposeFields>().permutation;
    const auto strides = strides_of(x);
    Shape shape;
    for (const std::int64_t axis : permutation) {
        shape.push_back(x[static_cast<std::size_t>(axis)]);
    }
    return by_axis(std::move(shape), [&](std::size_t i, std::int64_t p) {
        return p * strides[static_cast<std::size_t>(permutation[i])];
    });
}

AxisMove of_slice(const Node& node, const Shape& x) {
    const auto& f = node.fields<SliceFields>();
    const auto strides = strides_of(x);
    return by_axis(f.sizes, [&](std::size_t i, std::int64_t p) {
        return (f.starts[i] + p * f.steps[i]) * strides[i];
    });
}

AxisMove of_expand(const Node& node, const Shape& x) {
    const Shape& shape = node.fields<ExpandFields>().shape;
    const auto strides = strides_of(x);
    const std::size_t more = shape.size() - x.size();
    return by_axis(shape, [&](std::size_t i, std::int64_t p) {
        return i < more || x[i - more] == 1 ? 0 : p * strides[i - more];
    });
}

AxisMove of_pad(const Node& node, const Shape& x) {
    const auto& f = node.fields<PadFields>();
    const auto strides = strides_of(x);
    Shape shape = x;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        shape[i] += f.before[i] + f.after[i];
    }
    return by_axis(std::move(shape), [&](std::size_t i, std::int64_t p) {
        std::int64_t at = p - f.before[i];
        if (at < 0 || at >= x[i]) {
            if (f.mode == "zero") {
                return AxisMove::outside;
            }
            const std::int64_t last = x[i] - 1;
            at = f.mode == "edge" ? std::clamp<std::int64_t>(at, 0, last)
                                  : (at < 0 ? -at : 2 * last - at);
        }
        return at * strides[i];
    });
}

/// Where tap `tap` of the patch at a position of spatial axis i lies on that axis.
std::int64_t under_tap(const WindowFields& f, std::size_t i, std::int64_t extent,
                       std::int64_t position, std::int64_t tap) {
    const std::int64_t first = position * f.strides[i] - f.before[i];
    const std::int64_t at = first + tap * f.dilations[i];
    if (at >= 0 && at < extent) {
        return at;
    }
    if (!f.clip) {
        return AxisMove::outside;
    }
    // The nearest tap of this patch that lies inside.
    while (first + tap * f.dilations[i] < 0) {
        ++tap;
    }
    while (first + tap * f.dilations[i] >= extent) {
        --tap;
    }
    return std::max(first + tap * f.dilations[i], AxisMove::outside);
}

/// The result's axes: positions, then channels, then taps.
AxisMove of_window(const Node& node, const Shape& x) {
    const auto& f = node.fields<WindowFields>();
    const auto strides = strides_of(x);
    const std::size_t rank = f.kernel.size();
    AxisMove move;
    for (std::size_t i = 0; i < rank; ++i) {
        move.extents.push_back(window_extent(f, i, x[i + 1]));
    }
    move.extents.push_back(x[0]);
    move.extents.insert(move.extents.end(), f.kernel.begin(), f.kernel.end());
    AxisMove::Term channels{rank, rank, {}};
    for (std::int64_t c = 0; c < x[0]; ++c) {
        channels.at.push_back(c * strides[0]);
    }
    move.terms.push_back(std::move(channels));
    for (std::size_t i = 0; i < rank; ++i) {
        AxisMove::Term term{i, rank + 1 + i, {}};
        for (std::int64_t p = 0; p < move.extents[i]; ++p) {
            for (std::int64_t tap = 0; tap < f.kernel[i]; ++tap) {
                const std::int64_t at = under_tap(f, i, x[i + 1], p, tap);
                term.at.push_back(at < 0 ? AxisMove::outside : at * strides[i + 1]);
            }
        }
        move.terms.push_back(std::move(term));
    }
    return move;
}

struct Row {
    const network::Operator* op;
    AxisMove (*move)(const Node& node, const Shape& x);
};
constexpr Row rows[] = {
    {&reshape_operator, &of_reshape}, {&transpose_operator, &of_transpose},
    {&slice_operator, &of_slice},     {&expand_operator, &of_expand},
    {&pad_operator, &of_pad},         {&window_operator, &of_window},
};

}  // namespace

bool AxisMove::has_zeros() const {
    return element_count(extents) > 0 && std::any_of(terms.begin(), terms.end(), [](const Term& t) {
               return std::find(t.at.begin(), t.at.end(), outside) != t.at.end();
           });
}

bool AxisMove::keeps_order(std::int64_t elements) const {
    if (element_count(extents) != elements) {
        return false;
    }
    const auto strides = strides_of(extents);
    return std::all_of(terms.begin(), terms.end(), [&](const Term& term) {
        const std::int64_t taps = term.axis == term.minor ? 1 : extents[term.minor];
        for (std::size_t i = 0; i < term.at.size(); ++i) {
            const auto n = static_cast<std::int64_t>(i);
            if (term.at[i] !=
                n / taps * strides[term.axis] + (taps == 1 ? 0 : n % taps * strides[term.minor])) {
                return false;
            }
        }
        return true;
    });
}

std::optional<AxisMove> axis_move(const Node& node, std::span<const TensorType> inputs) {
    for (const Row& row : rows) {
        if (row.op == node.op) {
            return row.move(node, inputs[0].shape);
        }
    }
    return std::nullopt;
}

bool makes_zeros(const Node& node, std::span<const TensorType> inputs) {
    const auto move = axis_move(node, inputs);
    return move && move->has_zeros();
}

std::vector<std::int64_t> moved_elements(const Node& node, std::span<const TensorType> inputs) {
    if (node.op == &index_operator) {
        return node.fields<IndexFields>().index.values;
    }
    std::vector<std::int64_t> out;
    if (const auto move = axis_move(node, inputs)) {
        out.reserve(static_cast<std::size_t>(element_count(move->extents)));
        move->for_each([&](std::int64_t element, std::int64_t count) {
            if (count == 1) {
                out.push_back(element);
            } else {
                out.insert(out.end(), static_cast<std::size_t>(count), element);
            }
        });
        return out;
    }
    for (const network::Source& source : node.op->sources(node, inputs)) {
        out.push_back(source.input < 0 ? AxisMove::outside : source.element);
    }
    return out;
}

}  // namespace gatewright::operators
