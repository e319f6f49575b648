#include "network_recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "network_maker.h"
#include "operators/layers.h"
#include "operators/map.h"
#include "operators/move.h"

namespace gatewright::network_recipe {

void Maker::add(Kind kind, const Made x) {
    const auto rank = static_cast<std::int64_t>(x.shape.size());
    const auto axis = rank > 0 ? random_.in(0, rank - 1) : 0;
    switch (kind) {
        case Kind::quantise:
            made_.push_back(quantised(x));
            break;
        case Kind::dense: {
            if (rank == 0) {
                break;
            }
            const std::int64_t n = random_.in(1, 4);
            const Shape shape = {x.shape.back(), n};
            Value w = small_constant(shape, random_.of<std::int64_t>({1, 3, 7, 20}),
                                     random_.of({1.0, 0.5, 0.25, 0.125}));
            if (random_.one_in(3)) {
                w = add(ops::multiply_operator, Attributes(),
                        {w, constant_of({n}, [&] { return scale(); })});
            }
            std::vector<Value> inputs = {x.value, w};
            const ops::Accumulation sums = accumulation();
            if (!sums.is_exact() && random_.one_in(2)) {
                inputs.push_back(small_constant({n}, 20, random_.of({0.25, 0.0625, 1.0 / 3})));
            }
            Value y = add(ops::matmul_operator, Attributes::of(ops::MatmulFields{sums}), inputs);
            if (random_.one_in(2)) {
                y = add(ops::add_operator, Attributes(),
                        {y, small_constant({n}, 20, random_.of({0.25, 0.0625, 1.0 / 3}))});
            }
            keep(y, x.bits + 9);
            break;
        }
        case Kind::scale:
            keep(
                add(ops::multiply_operator, Attributes(),
                    {x.value, constant_of(parameter_shape(x.shape),
                                          [&] { return scale() * (random_.one_in(3) ? -1 : 1); })}),
                x.bits + 4);
            break;
        case Kind::batch_norm: {
            if (rank == 0) {
                break;
            }
            const Shape shape = {x.shape[static_cast<std::size_t>(axis)]};
            ops::BatchNormFields f;
            f.axis = axis;
            f.epsilon = random_.of({1e-5, 0.25, 1e-3});
            const bool plain = random_.one_in(2);
            f.epsilon = plain ? 0.25 : f.epsilon;
            const Value gamma = small_constant(shape, 6, 0.25);
            const Value beta = small_constant(shape, 8, 0.125);
            const Value mean = small_constant(shape, 8, 0.125);
            const Value variance = constant_of(
                shape, [&] { return plain ? random_.of({0.75, 3.75, 0.0}) : 0.3 * scale(); });
            const Value y = add(ops::batch_norm_operator, Attributes::of(f),
                                {x.value, gamma, beta, mean, variance});
            // A factor that is any double needs a quantiser behind it.
            if (plain) {
                keep(y, x.bits + 5);
            } else {
                keep(quantised({y, x.shape, 40}));
            }
            break;
        }
        case Kind::piecewise: {
            const auto limit = [&] { return small_constant(parameter_shape(x.shape), 8, 0.5); };
            Value y = x.value;
            switch (random_.in(0, 4)) {
                case 0:
                    y = function("maximum", {y, constant({}, {0})});
                    break;
                case 1:
                    y = function("leaky", {y, constant({}, {random_.of({0.25, 0.1, 0.01, -0.5})})});
                    break;
                case 2:
                    y = function("minimum", {function("maximum", {y, limit()}), limit()});
                    break;
                case 3:
                    y = function("absolute", {y});
                    break;
                default:
                    y = function("sign", {y});
            }
            keep(y, x.bits + 3);
            break;
        }
        case Kind::transcendental: {
            Value y = function(random_.of({"sigmoid", "tanh", "softplus", "softsign", "square"}),
                               {x.value});
            if (random_.one_in(4)) {
                y = add(ops::multiply_operator, Attributes(),
                        {y, constant({}, {random_.of({-3.0, 0.3, 8.0})})});
            }
            keep(quantised({y, x.shape, 40}));
            break;
        }
        case Kind::gate: {
            // Functions of one tensor that meet again: x sigmoid(x) and the like.
            Value f = function(random_.of({"sigmoid", "tanh", "softplus", "softsign"}), {x.value});
            if (random_.one_in(2)) {
                f = add(ops::add_operator, Attributes(), {f, constant({}, {1})});
            }
            Value g = x.value;
            if (random_.one_in(2)) {
                g = function(random_.of({"absolute", "square", "tanh"}), {g});
            }
            if (random_.one_in(2)) {
                g = add(ops::multiply_operator, Attributes(),
                        {g, constant({}, {random_.of({-0.5, 0.3, 2.0})})});
            }
            const Operator& op =
                *random_.of({&ops::add_operator, &ops::subtract_operator, &ops::multiply_operator,
                             &ops::maximum_operator, &ops::minimum_operator});
            const bool swapped = random_.one_in(2);
            Value y = add(op, Attributes(), {swapped ? g : f, swapped ? f : g});
            if (random_.one_in(3)) {
                y = add(ops::subtract_operator, Attributes(), {x.value, y});
            }
            keep(quantised({y, x.shape, 40}));
            break;
        }
        case Kind::binary: {
            const Made& other = made_[static_cast<std::size_t>(
                random_.in(0, static_cast<std::int64_t>(made_.size()) - 1))];
            const Operator& op =
                *random_.of({&ops::add_operator, &ops::subtract_operator, &ops::multiply_operator,
                             &ops::maximum_operator, &ops::minimum_operator});
            if (!broadcast(x.shape, other.shape)) {
                break;
            }
            const Value y = add(op, Attributes(), {x.value, other.value});
            keep(y, &op == &ops::multiply_operator ? x.bits + other.bits
                                                   : std::max(x.bits, other.bits) + 3);
            break;
        }
        case Kind::concat: {
            const Made& other = made_[static_cast<std::size_t>(
                random_.in(0, static_cast<std::int64_t>(made_.size()) - 1))];
            Shape a = x.shape;
            Shape b = other.shape;
            if (rank == 0 || a.size() != b.size()) {
                break;
            }
            a[static_cast<std::size_t>(axis)] = b[static_cast<std::size_t>(axis)] = 0;
            if (a == b) {
                keep(add(ops::concat_operator, Attributes::of(ops::ConcatFields{axis}),
                         {x.value, other.value}),
                     std::max(x.bits, other.bits) + 2);
            }
            break;
        }
        case Kind::reshape: {
            const std::int64_t count = element_count(x.shape);
            Shape shape = {count};
            for (const std::int64_t d : {2, 3}) {
                if (count % d == 0 && random_.one_in(2)) {
                    shape = {d, count / d};
                }
            }
            if (count % 4 == 0 && random_.one_in(3)) {
                shape = {count / 4, 2, 2};
            }
            keep(add(ops::reshape_operator, Attributes::of(ops::ReshapeFields{shape}), {x.value}),
                 x.bits);
            break;
        }
        case Kind::transpose: {
            Shape p(x.shape.size());
            std::iota(p.begin(), p.end(), std::int64_t{0});
            for (std::size_t i = p.size(); i-- > 1;) {
                std::swap(p[i],
                          p[static_cast<std::size_t>(random_.in(0, static_cast<std::int64_t>(i)))]);
            }
            keep(add(ops::transpose_operator, Attributes::of(ops::TransposeFields{p}), {x.value}),
                 x.bits);
            break;
        }
        case Kind::slice: {
            ops::SliceFields f;
            for (const std::int64_t extent : x.shape) {
                f.steps.push_back(random_.of<std::int64_t>({1, 1, 2, -1}));
                f.starts.push_back(random_.in(0, extent - 1));
                const std::int64_t room = f.steps.back() > 0
                                              ? (extent - 1 - f.starts.back()) / f.steps.back()
                                              : f.starts.back();
                f.sizes.push_back(1 + random_.in(std::min<std::int64_t>(1, room), room));
            }
            keep(add(ops::slice_operator, Attributes::of(f), {x.value}), x.bits);
            break;
        }
        case Kind::reduce: {
            if (rank == 0) {
                break;
            }
            const ops::ReduceFields f{
                random_.of<std::string>({"sum", "mean", "max", "min"}), {axis}, random_.one_in(2)};
            keep(add(ops::reduce_operator, Attributes::of(f), {x.value}), x.bits + 5);
            break;
        }
        case Kind::argmax:
            if (rank > 0) {
                keep(add(ops::argmax_operator,
                         Attributes::of(ops::ArgLayerFields{axis, random_.one_in(2),
                                                            random_.one_in(3), random_.one_in(3)}),
                         {x.value}),
                     3);
            }
            break;
        case Kind::top_k: {
            if (rank == 0) {
                break;
            }
            const auto extent = x.shape[static_cast<std::size_t>(axis)];
            const Value y = add(ops::top_k_operator,
                                Attributes::of(ops::TopKLayerFields{axis, random_.in(1, extent),
                                                                    random_.one_in(3)}),
                                {x.value});
            keep({y.node, 1}, 3);
            keep(y, x.bits);
            break;
        }
        case Kind::convolution: {
            if (rank != 3) {
                break;
            }
            ops::ConvFields f;
            const std::int64_t pad = random_.in(0, 1);
            const std::int64_t stride = random_.in(1, 2);
            f.strides = {stride, 1};
            f.dilations = {1, 1};
            f.before = {pad, 0};
            f.after = {pad, random_.in(0, 1)};
            f.groups = random_.one_in(3) ? x.shape[0] : 1;
            const std::int64_t channels =
                f.groups == 1 ? random_.in(1, 3) : f.groups * random_.in(1, 2);
            const Shape shape = {channels, x.shape[0] / f.groups,
                                 random_.in(1, std::min<std::int64_t>(2, x.shape[1])),
                                 random_.in(1, std::min<std::int64_t>(3, x.shape[2]))};
            f.accumulator = accumulation();
            std::vector<Value> inputs = {x.value, small_constant(shape, 3, 0.25)};
            if (random_.one_in(2)) {
                inputs.push_back(small_constant({channels}, 9, 0.125));
            }
            keep(add(ops::conv_operator, Attributes::of(f), inputs), x.bits + 8);
            break;
        }
        case Kind::pool: {
            if (rank != 3 || x.shape[1] < 2 || x.shape[2] < 2) {
                break;
            }
            ops::PoolFields f;
            f.kind = random_.of<std::string>({"max", "average"});
            f.kernel = {2, random_.in(1, 2)};
            f.strides = {random_.in(1, 2), f.kernel[1]};
            f.dilations = {x.shape[1] > 2 ? random_.in(1, 2) : 1, 1};
            f.before = {random_.in(0, 1), 0};
            f.after = {random_.in(0, 1), 0};
            f.count_padding = random_.one_in(2);
            keep(add(ops::pool_operator, Attributes::of(f), {x.value}), x.bits + 3);
            break;
        }
        default:
            add_choice(kind, x);
    }
}

Recipe random_recipe(std::uint64_t seed) {
    Random random(seed);
    Recipe out;
    out.seed = random.next();
    out.inputs = static_cast<int>(random.in(1, 2));
    out.rank = static_cast<int>(random.of<std::int64_t>({1, 1, 2, 3}));
    out.extent = out.rank == 1 ? 6 : (out.rank == 2 ? 4 : 3);
    const std::int64_t count = random.in(1, 8);
    for (std::int64_t i = 0; i < count; ++i) {
        const auto kind = random.one_in(5) ? 0 : random.in(0, kinds - 1);
        out.layers.push_back({static_cast<Kind>(kind),
                              static_cast<std::uint32_t>(random.one_in(2) ? 0 : random.in(0, 2)),
                              random.next()});
    }
    out.outputs = static_cast<int>(random.in(1, 3));
    return out;
}

Network build(const Recipe& recipe) {
    return Maker(recipe).run();
}

std::vector<std::vector<Tensor>> samples_of(const Network& network, std::uint64_t seed, int count) {
    Random random(seed);
    std::vector<std::vector<Tensor>> out;
    for (int s = 0; s < count; ++s) {
        auto& sample = out.emplace_back();
        for (const network::NodeId input : network.inputs()) {
            Tensor x{network.node(input).types.front().shape, {}};
            for (std::int64_t e = 0; e < element_count(x.shape); ++e) {
                const double grid = random.of({1.0 / 64, 1.0 / 16, 0.25, 0.5, 0.375, 0.05});
                x.values.push_back(static_cast<double>(random.in(-64, 64)) * grid);
            }
            sample.push_back(std::move(x));
        }
    }
    return out;
}

std::string to_string(const Recipe& recipe) {
    std::string out = fmt::format("recipe: seed {}, {} inputs of rank {}, {} outputs\n",
                                  recipe.seed, recipe.inputs, recipe.rank, recipe.outputs);
    for (const Layer& layer : recipe.layers) {
        out += fmt::format("  kind {} from {} seed {}\n", static_cast<int>(layer.kind), layer.from,
                           layer.seed);
    }
    return out;
}

}  // namespace gatewright::network_recipe
