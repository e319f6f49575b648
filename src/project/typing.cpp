#include "project/typing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "import/layers/random.h"
#include "operators/layers.h"
#include "operators/map.h"
#include "operators/move.h"

namespace gatewright::project {

namespace {

using network::Network;
using network::Node;
using network::NodeId;
using network::Value;

template <std::size_t N>
bool is_one_of(std::string_view name, const std::array<std::string_view, N>& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

std::string_view function_of(const Node& node) {
    return node.op == &operators::function_operator
               ? std::string_view(node.fields<operators::FunctionFields>().function)
               : std::string_view();
}

/// Its results are few levels by themselves.
bool quantises(const Node& node) {
    static constexpr std::array<std::string_view, 7> functions = {
        "sign", "floor", "ceil", "round", "count_thresholds", "staircase", "float_quantize"};
    return node.op == &operators::fake_quantize_operator || is_one_of(function_of(node), functions);
}

/// Piecewise linear: exact on fixed-point numbers without a table.
bool bends(const Node& node) {
    static constexpr std::array<std::string_view, 6> functions = {
        "affine", "maximum", "minimum", "leaky", "absolute", "thresholded_relu"};
    return is_one_of(function_of(node), functions);
}

bool is_curved(const Node& node) {
    return node.op == &operators::softmax_operator ||
           (node.op == &operators::function_operator && !bends(node) && !quantises(node));
}

bool is_sum_or_scale(const Node& node) {
    return node.op == &operators::add_operator || node.op == &operators::subtract_operator ||
           node.op == &operators::multiply_operator || node.op == &operators::divide_operator;
}

bool is_product(const Node& node) {
    return node.op == &operators::matmul_operator || node.op == &operators::conv_operator ||
           node.op == &operators::conv_transpose_operator;
}

/// Makes numbers that its inputs do not hold, so that widths grow.
bool computes(const Node& node) {
    const bool averages = (node.op == &operators::pool_operator &&
                           node.fields<operators::PoolFields>().kind == "average") ||
                          (node.op == &operators::reduce_operator &&
                           (node.fields<operators::ReduceFields>().kind == "sum" ||
                            node.fields<operators::ReduceFields>().kind == "mean"));
    return is_product(node) || is_sum_or_scale(node) || averages || is_curved(node) ||
           bends(node) || node.op == &operators::batch_norm_operator;
}

bool moves(const Node& node) {
    return node.op->sources != nullptr;
}

/// Each element of the result is a function of one element of each input.
bool is_by_element(const Node& node) {
    return (node.op == &operators::function_operator && !quantises(node)) ||
           node.op == &operators::batch_norm_operator || is_sum_or_scale(node) ||
           node.op == &operators::maximum_operator || node.op == &operators::minimum_operator;
}

/// What follows from the arena: who uses a value, and what is constant.
struct Analysis {
    explicit Analysis(const Network& network_) : network(network_) {
        const auto count = network.nodes().size();
        constant.resize(count);
        plain.resize(count);
        for (NodeId id = 0; id < count; ++id) {
            const Node& node = network.node(id);
            bool all = node.op != &network::input_operator;
            bool all_plain = !quantises(node) && node.where.type != "DequantizeLinear";
            for (const Value value : node.inputs) {
                users[value].push_back(id);
                all = all && constant[value.node];
                all_plain = all_plain && plain[value.node];
            }
            constant[id] = all;
            plain[id] = all && all_plain;
            find_source(id);
        }
        for (const network::NetworkOutput& output : network.outputs()) {
            is_output[output.value] = true;
        }
    }

    /// The tensor of whose elements alone those of the node are functions: that of its inputs if
    /// they have the same one, else its own.
    void find_source(NodeId id) {
        const Node& node = network.node(id);
        std::optional<Value> common;
        bool same = is_by_element(node) && !constant[id];
        for (const Value value : node.inputs) {
            if (constant[value.node] || !same) {
                continue;
            }
            const Value from = value.output == 0 ? source[value.node] : value;
            same = (!common || *common == from) &&
                   network.type(from).shape == node.types.front().shape;
            common = from;
        }
        source.push_back(same && common ? *common : Value{id, 0});
        if (same && is_curved(node)) {
            has_curve[source[id]] = true;
        }
    }

    /// Within one function of a tensor, which has curves and is typed itself.
    bool is_inside(Value value) const {
        const Value from = value.output == 0 ? source[value.node] : value;
        return from != value && has_curve.contains(from) && uses(from).size() > 1 &&
               !is_output.contains(value) && !uses(value).empty() &&
               std::all_of(uses(value).begin(), uses(value).end(),
                           [&](NodeId id) { return source[id] == from; });
    }

    const std::vector<NodeId>& uses(Value value) const {
        static const std::vector<NodeId> none;
        const auto at = users.find(value);
        return at == users.end() ? none : at->second;
    }

    /// The one node that uses the value, moves of one tensor passed over; null if there are more,
    /// or if it is an output.
    const Node* next(Value value) const {
        while (!is_output.contains(value) && uses(value).size() == 1) {
            const NodeId id = uses(value).front();
            const Node& node = network.node(id);
            if (!moves(node) || node.inputs.size() != 1) {
                return &node;
            }
            value = {id, 0};
        }
        return nullptr;
    }

    /// Nothing but outputs, perhaps moved, come of the value.
    bool is_last(Value value) const {
        return std::all_of(uses(value).begin(), uses(value).end(),
                           [&](NodeId id) { return moves(network.node(id)) && is_last({id, 0}); });
    }

    bool has_constant_operand(const Node& node) const {
        return std::any_of(node.inputs.begin(), node.inputs.end(),
                           [&](Value value) { return constant[value.node]; });
    }

    /// The chain that rounds once goes on after the value.
    bool goes_on(Value value) const {
        if (is_inside(value)) {
            return true;
        }
        const Node* node = next(value);
        return node != nullptr &&
               (quantises(*node) || bends(*node) || node->op == &operators::batch_norm_operator ||
                (is_sum_or_scale(*node) && has_constant_operand(*node)));
    }

    const Network& network;
    std::map<Value, std::vector<NodeId>> users;
    std::map<Value, bool> is_output;
    std::vector<Value> source;
    std::map<Value, bool> has_curve;  ///< of a source: a function of it is curved
    std::vector<bool> constant;
    std::vector<bool> plain;  ///< constant, and not quantised by the model
};

/// An input is quantised at once if that is all that is done with it.
bool is_quantised_input(const Analysis& analysis, Value value) {
    const auto& uses = analysis.uses(value);
    return std::all_of(uses.begin(), uses.end(), [&](NodeId id) {
        const Node& node = analysis.network.node(id);
        if (quantises(node)) {
            return true;
        }
        const bool by_element = node.op == &operators::function_operator ||
                                node.op == &operators::batch_norm_operator ||
                                (is_sum_or_scale(node) && analysis.has_constant_operand(node)) ||
                                (moves(node) && node.inputs.size() == 1);
        return by_element && !analysis.is_output.contains({id, 0}) &&
               is_quantised_input(analysis, {id, 0});
    });
}

}  // namespace

std::string_view role_name(Role role) {
    switch (role) {
        case Role::input:
            return "input";
        case Role::weight:
            return "weight";
        case Role::bias:
            return "bias";
        case Role::accumulator:
            return "accumulator";
        case Role::result:
            break;
    }
    return "result";
}

const std::string& layer_of(const Network& network, const Site& site) {
    const bool by_value = site.role == Role::input || site.role == Role::result;
    return network.node(by_value ? site.value.node : site.node).where.layer;
}

bool is_quantised(const Network& network) {
    return std::any_of(network.nodes().begin(), network.nodes().end(), [](const Node& node) {
        // Words of random inputs are integers in any model.
        if (node.where.type == layers::random_type) {
            return false;
        }
        return node.op == &operators::fake_quantize_operator ||
               function_of(node) == "count_thresholds" || function_of(node) == "staircase" ||
               function_of(node) == "float_quantize";
    });
}

std::vector<Site> model_sites(const Network& network) {
    const Analysis analysis(network);
    std::vector<Site> sites;
    for (NodeId id = 0; id < network.nodes().size(); ++id) {
        const Node& node = network.node(id);
        const Value value{id, 0};
        if (node.op == &network::input_operator) {
            if (!is_quantised_input(analysis, value)) {
                sites.push_back({Role::input, value, 0, 0});
            }
            continue;
        }
        if (analysis.constant[id]) {
            continue;
        }
        const bool adds =
            node.op == &operators::add_operator || node.op == &operators::subtract_operator;
        for (std::size_t i = 0; i < node.inputs.size() && (is_product(node) || adds); ++i) {
            if (analysis.plain[node.inputs[i].node]) {
                const bool is_bias = adds || i == 2;
                sites.push_back({is_bias ? Role::bias : Role::weight, {}, id, i});
            }
        }
        const bool accumulates = node.op != &operators::conv_transpose_operator;
        if (is_product(node) && accumulates && analysis.has_constant_operand(node)) {
            sites.push_back({Role::accumulator, {}, id, 0});
        }
        if (computes(node) && !analysis.goes_on(value) &&
            !(is_curved(node) && analysis.is_last(value))) {
            sites.push_back({Role::result, value, 0, 0});
        }
    }
    return sites;
}

std::vector<Site> layer_results(const Network& network, const std::string& layer, bool named) {
    const Analysis analysis(network);
    std::vector<Site> sites;
    for (NodeId id = 0; id < network.nodes().size(); ++id) {
        const Node& node = network.node(id);
        const Value value{id, 0};
        if (node.where.layer != layer || analysis.constant[id] || quantises(node) ||
            node.op == &network::input_operator || node.op == &operators::argmax_operator ||
            (!named && !computes(node))) {
            continue;
        }
        const auto& uses = analysis.uses(value);
        const bool leaves = analysis.is_output.contains(value) ||
                            std::any_of(uses.begin(), uses.end(), [&](NodeId user) {
                                return network.node(user).where.layer != layer;
                            });
        if (leaves) {
            sites.push_back({Role::result, value, 0, 0});
        }
    }
    return sites;
}

Tensor constant_of(const Network& network, const Site& site) {
    const std::function<Tensor(Value)> value_of = [&](Value value) {
        const Node& node = network.node(value.node);
        std::vector<Tensor> inputs;
        std::vector<const Tensor*> arguments;
        for (const Value input : node.inputs) {
            inputs.push_back(value_of(input));
        }
        for (const Tensor& input : inputs) {
            arguments.push_back(&input);
        }
        return node.op->reference(node, arguments).at(value.output);
    };
    return value_of(network.node(site.node).inputs[site.argument]);
}

bool is_bounded(const Network& network, const Site& site) {
    static constexpr std::array<std::string_view, 5> bounded = {"sigmoid", "tanh", "softsign",
                                                                "erf", "atan"};
    const Node& node = network.node(site.value.node);
    return node.op == &operators::softmax_operator || is_one_of(function_of(node), bounded) ||
           function_of(node) == "minimum";
}

namespace {

/// The sum that gives a matrix product its bias: it alone uses the product, and adds a constant
/// with one element for each column. Null if there is none.
const Node* bias_of(const Analysis& analysis, NodeId product) {
    const Node& node = analysis.network.node(product);
    const Value value{product, 0};
    if (node.op != &operators::matmul_operator || node.inputs.size() != 2 ||
        !analysis.constant[node.inputs[1].node] || analysis.is_output.contains(value) ||
        analysis.uses(value).size() != 1) {
        return nullptr;
    }
    const Node& sum = analysis.network.node(analysis.uses(value).front());
    if (sum.op != &operators::add_operator) {
        return nullptr;
    }
    const Value bias = sum.inputs[sum.inputs[0] == value ? 1 : 0];
    const Shape& shape = analysis.network.type(bias).shape;
    const Shape& product_shape = node.types.front().shape;
    const bool by_column =
        !shape.empty() && !product_shape.empty() && shape.back() == product_shape.back() &&
        element_count(shape) == shape.back() && sum.types.front().shape == product_shape &&
        analysis.network.type(node.inputs[1]).shape.size() > 1;
    return analysis.constant[bias.node] && by_column ? &sum : nullptr;
}

/// The same layer with an accumulator.
network::Attributes with_accumulator(const Node& node, const SiteType& type) {
    const operators::Accumulation accumulator{type.type, type.rounding, type.overflow};
    if (node.op == &operators::conv_operator) {
        operators::ConvFields fields = node.fields<operators::ConvFields>();
        fields.accumulator = accumulator;
        return network::Attributes::of(std::move(fields));
    }
    return network::Attributes::of(operators::MatmulFields{accumulator});
}

}  // namespace

network::Network with_types(const Network& network, const std::vector<TypedSite>& types) {
    std::map<Site, SiteType> type_of;
    for (const TypedSite& typed : types) {
        type_of[typed.site] = typed.type;
    }
    const Analysis analysis(network);
    std::map<NodeId, NodeId> product_of;  // of a sum that is the bias of a product
    for (const TypedSite& typed : types) {
        const NodeId id = typed.site.node;
        if (typed.site.role == Role::accumulator &&
            !type_of.contains({Role::result, {id, 0}, 0, 0})) {
            if (const Node* sum = bias_of(analysis, id)) {
                product_of[static_cast<NodeId>(sum - network.nodes().data())] = id;
            }
        }
    }
    std::set<NodeId> waiting;  // products that are made with their bias
    for (const auto& [sum, product] : product_of) {
        waiting.insert(product);
    }
    Network out;
    out.name = network.name;
    const auto quantised = [&](Value value, const Site& site, const Location& where) {
        const auto at = type_of.find(site);
        if (at == type_of.end()) {
            return value;
        }
        const SiteType& t = at->second;
        const Interval range = t.type.range();
        const auto high = static_cast<double>(range.high);
        operators::FakeQuantizeFields fields;
        fields.scale = Tensor::scalar(std::ldexp(1.0, -t.type.frac));
        fields.zero_point = Tensor::scalar(0);
        fields.high = Tensor::scalar(high);
        fields.low = Tensor::scalar(t.overflow == Overflow::saturate_symmetric && t.type.is_signed
                                        ? -high
                                        : static_cast<double>(range.low));
        fields.rounding = t.rounding;
        fields.overflow = t.overflow == Overflow::wrap ? Overflow::wrap : Overflow::saturate;
        return out.add(operators::fake_quantize_operator, network::Attributes::of(fields), {value},
                       where);
    };
    std::map<Value, Value> renamed;
    std::map<NodeId, std::vector<Value>> arguments_of;  // of those products
    for (NodeId id = 0; id < network.nodes().size(); ++id) {
        const Node& node = network.node(id);
        if (node.op == &network::input_operator) {
            const Value input =
                out.add_input(std::string(network.input_name(id)), node.types.front(), node.where);
            renamed[{id, 0}] = quantised(input, {Role::input, {id, 0}, 0, 0}, node.where);
            continue;
        }
        std::vector<Value> inputs;
        for (std::size_t i = 0; i < node.inputs.size(); ++i) {
            if (waiting.contains(node.inputs[i].node)) {
                inputs.push_back({});  // the product, which is not made yet
                continue;
            }
            Value value = renamed.at(node.inputs[i]);
            value = quantised(value, {Role::weight, {}, id, i}, node.where);
            inputs.push_back(quantised(value, {Role::bias, {}, id, i}, node.where));
        }
        if (waiting.contains(id)) {
            arguments_of[id] = std::move(inputs);
            continue;
        }
        // A sum becomes its product.
        const auto of_sum = product_of.find(id);
        const NodeId summed = of_sum == product_of.end() ? id : of_sum->second;
        const Node& made = network.node(summed);
        if (summed != id) {
            const Value product{summed, 0};
            const Value bias = inputs[node.inputs[0] == product ? 1 : 0];
            inputs = arguments_of.at(summed);
            inputs.push_back(bias);
        }
        const auto accumulator = type_of.find({Role::accumulator, {}, summed, 0});
        const network::Attributes attributes = accumulator == type_of.end()
                                                   ? made.attributes
                                                   : with_accumulator(made, accumulator->second);
        const Value added = out.add(*made.op, attributes, inputs, made.where);
        for (std::uint32_t i = 0; i < node.types.size(); ++i) {
            const Value result{added.node, i};
            renamed[{id, i}] = quantised(result, {Role::result, {id, i}, 0, 0}, node.where);
        }
    }
    for (const network::NetworkOutput& output : network.outputs()) {
        out.set_output(output.name, renamed.at(output.value));
    }
    return out.pruned();
}

}  // namespace gatewright::project
