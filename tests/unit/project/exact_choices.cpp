#include "exact_choices.h"

#include <stdexcept>

#include "exact_numbers.h"
#include "operators/layers.h"
#include "operators/move.h"
#include "operators/selection.h"

namespace gatewright::exact_layers {

namespace {

namespace ops = operators;
using network::Node;
using Inputs = std::vector<const Numbers*>;

Number truth(bool holds) {
    return {Rational(holds ? 1 : 0)};
}

/// Comparisons and logic; unknown where an error leaves both answers.
Number joined(const std::string& name, const Number& a, const Number& b) {
    if (!a.known || !b.known) {
        return unknown();
    }
    const Rational difference = a.value - b.value;
    const Rational error = a.error + b.error;
    if (error != 0 && absolute(difference) <= error) {
        return unknown();
    }
    if (name == "less") {
        return truth(difference < 0);
    }
    if (name == "less_equal") {
        return truth(difference <= 0);
    }
    if (name == "greater") {
        return truth(difference > 0);
    }
    if (name == "greater_equal") {
        return truth(difference >= 0);
    }
    if (name == "equal") {
        return truth(difference == 0);
    }
    if (name == "not_equal") {
        return truth(difference != 0);
    }
    if ((a.error != 0 && absolute(a.value) <= a.error) ||
        (b.error != 0 && absolute(b.value) <= b.error)) {
        return unknown();
    }
    const bool p = a.value != 0;
    const bool q = b.value != 0;
    if (name == "and" || name == "or" || name == "xor") {
        return truth(name == "and" ? p && q : (name == "or" ? p || q : p != q));
    }
    throw std::logic_error("no exact " + name);
}

Number selected(const Number& condition, const Number& a, const Number& b) {
    if (!condition.is_exact()) {
        return unknown();
    }
    return condition.value != 0 ? a : b;
}

/// Where a position leads within an axis: -1 for nowhere, -2 where the position is not known.
template <class Fields>
std::int64_t place(const Fields& f, const Number& position, std::int64_t extent) {
    if (!position.is_exact()) {
        return -2;
    }
    std::int64_t at = position.value.convert_to<std::int64_t>();
    if (f.wrap && at < 0) {
        at += extent;
    }
    if (at >= 0 && at < extent) {
        return at;
    }
    if (f.outside == "clamp") {
        return at < 0 ? 0 : extent - 1;
    }
    return -1;
}

Number read(const Numbers& x, Shape at, std::size_t axis, std::int64_t there) {
    if (there == -2) {
        return unknown();
    }
    if (there < 0) {
        return {0};
    }
    at[axis] = there;
    return x.values[static_cast<std::size_t>(number_of(at, x.shape))];
}

Numbers gathered(const Node& node, const Numbers& x, const Numbers& index) {
    const auto& f = node.fields<ops::GatherFields>();
    const auto axis = static_cast<std::size_t>(f.axis);
    Numbers y{node.types[0].shape, {}};
    for (std::int64_t e = 0; e < element_count(y.shape); ++e) {
        const Shape p = at(e, y.shape);
        const auto begin = p.begin() + f.axis;
        const auto end = begin + static_cast<std::ptrdiff_t>(index.shape.size());
        const Number& position =
            index.values[static_cast<std::size_t>(number_of(Shape(begin, end), index.shape))];
        Shape from(p.begin(), begin);
        from.push_back(0);
        from.insert(from.end(), end, p.end());
        y.values.push_back(read(x, from, axis, place(f, position, x.shape[axis])));
    }
    return y;
}

Numbers elements_gathered(const Node& node, const Numbers& x, const Numbers& index) {
    const auto& f = node.fields<ops::GatherElementsFields>();
    const auto axis = static_cast<std::size_t>(f.axis);
    Numbers y{index.shape, {}};
    for (std::int64_t e = 0; e < element_count(y.shape); ++e) {
        const Number& position = index.values[static_cast<std::size_t>(e)];
        y.values.push_back(read(x, at(e, y.shape), axis, place(f, position, x.shape[axis])));
    }
    return y;
}

Numbers scattered(const Node& node, Numbers y, const Numbers& index, const Numbers& updates) {
    const auto& f = node.fields<ops::ScatterFields>();
    const auto axis = static_cast<std::size_t>(f.axis);
    for (std::int64_t e = 0; e < element_count(index.shape); ++e) {
        const Number& update = updates.values[static_cast<std::size_t>(e)];
        const std::int64_t there =
            place(f, index.values[static_cast<std::size_t>(e)], y.shape[axis]);
        if (there == -2) {
            for (Number& number : y.values) {
                number = unknown();
            }
            return y;
        }
        if (there < 0) {
            continue;
        }
        Shape to = at(e, index.shape);
        to[axis] = there;
        Number& slot = y.values[static_cast<std::size_t>(number_of(to, y.shape))];
        if (f.reduction == "none") {
            slot = update;
        } else if (f.reduction == "sum") {
            slot = sum(slot, update, 1);
        } else if (f.reduction == "prod") {
            slot = product(slot, update);
        } else {
            slot = larger(slot, update, f.reduction == "min");
        }
    }
    return y;
}

/// Sums, products and extrema from the beginning (or the end) on; of extrema also where they are.
std::vector<Numbers> accumulated(const Node& node, const Numbers& x) {
    const auto& f = node.fields<ops::CumulativeFields>();
    const auto axis = static_cast<std::size_t>(f.axis);
    const std::int64_t extent = x.shape[axis];
    Numbers y = x;
    Numbers positions{x.shape, std::vector<Number>(x.values.size())};
    for (std::int64_t e = 0; e < element_count(x.shape); ++e) {
        const Shape p = at(e, x.shape);
        const auto value = [&](std::int64_t i) {
            Shape q = p;
            q[axis] = i;
            return x.values[static_cast<std::size_t>(number_of(q, x.shape))];
        };
        const std::int64_t first = f.reverse ? extent - 1 : 0;
        const std::int64_t step = f.reverse ? -1 : 1;
        const std::int64_t count =
            (f.reverse ? extent - 1 - p[axis] : p[axis]) + (f.exclusive ? 0 : 1);
        Number total{f.kind == "prod" ? 1 : 0};
        std::int64_t found = first;
        bool sure = true;
        for (std::int64_t k = 0; k < count; ++k) {
            const std::int64_t i = first + k * step;
            const Number v = value(i);
            if (f.kind == "sum" || f.kind == "prod") {
                total = f.kind == "sum" ? sum(total, v, 1) : product(total, v);
                continue;
            }
            sure = sure && v.is_exact();
            // The last among equals.
            if (k == 0 || (f.kind == "max" ? v.value >= total.value : v.value <= total.value)) {
                found = i;
            }
            total = k == 0 ? v : larger(total, v, f.kind == "min");
        }
        y.values[static_cast<std::size_t>(e)] = total;
        positions.values[static_cast<std::size_t>(e)] = sure ? Number{Rational(found)} : unknown();
    }
    if (f.kind == "sum" || f.kind == "prod") {
        return {y};
    }
    return {y, positions};
}

Numbers padded(const Node& node, const Numbers& x) {
    const auto& f = node.fields<ops::PadFields>();
    Numbers y{node.types[0].shape, {}};
    for (std::int64_t e = 0; e < element_count(y.shape); ++e) {
        Shape p = at(e, y.shape);
        bool inside = true;
        for (std::size_t i = 0; i < p.size(); ++i) {
            const std::int64_t last = x.shape[i] - 1;
            p[i] -= f.before[i];
            const bool here = p[i] >= 0 && p[i] <= last;
            inside = inside && here;
            if (!here) {
                p[i] = f.mode == "reflect" ? (p[i] < 0 ? -p[i] : 2 * last - p[i])
                                           : std::clamp<std::int64_t>(p[i], 0, last);
            }
        }
        y.values.push_back(f.mode == "zero" && !inside
                               ? Number{0}
                               : x.values[static_cast<std::size_t>(number_of(p, x.shape))]);
    }
    return y;
}

template <class F>
Numbers each(const Node& node, F value) {
    Numbers y{node.types[0].shape, {}};
    for (std::int64_t e = 0; e < element_count(y.shape); ++e) {
        y.values.push_back(value(at(e, y.shape)));
    }
    return y;
}

}  // namespace

std::optional<std::vector<Numbers>> choice(const Node& node, const Inputs& in) {
    if (node.op == &ops::join_operator) {
        return {{each(node, [&](const Shape& p) {
            return joined(node.fields<ops::JoinFields>().function, broadcast_at(*in[0], p),
                          broadcast_at(*in[1], p));
        })}};
    }
    if (node.op == &ops::select_operator) {
        return {{each(node, [&](const Shape& p) {
            return selected(broadcast_at(*in[0], p), broadcast_at(*in[1], p),
                            broadcast_at(*in[2], p));
        })}};
    }
    if (node.op == &ops::expand_operator) {
        return {{each(node, [&](const Shape& p) { return broadcast_at(*in[0], p); })}};
    }
    if (node.op == &ops::gather_operator) {
        return {{gathered(node, *in[0], *in[1])}};
    }
    if (node.op == &ops::gather_elements_operator) {
        return {{elements_gathered(node, *in[0], *in[1])}};
    }
    if (node.op == &ops::scatter_operator) {
        return {{scattered(node, *in[0], *in[1], *in[2])}};
    }
    if (node.op == &ops::cumulative_operator) {
        return accumulated(node, *in[0]);
    }
    if (node.op == &ops::pad_operator) {
        return {{padded(node, *in[0])}};
    }
    return std::nullopt;
}

}  // namespace gatewright::exact_layers
