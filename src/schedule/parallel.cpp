#include "schedule/parallel.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <stdexcept>

#include "operators/core.h"
#include "operators/map.h"
#include "schedule/contraction_graphs.h"
#include "schedule/graph_sums.h"

namespace gatewright::schedule {

namespace {

using fixed::Fixed;
using network::NodeId;
using network::Value;

/// Half a step of coarser roundings is no constant that a sum has room for.
constexpr int most_dropped = 90;

class Unroller {
  public:
    Unroller(const operators::CoreModel& model, ContractionGraphs& graphs,
             const passes::DelayModel& delays)
        : delays_(delays),
          network_(model.network),
          graphs_(graphs),
          bits_(model.network.name),
          builder_(bits_) {}

    ParallelDesign run() {
        for (NodeId id = 0; id < network_.nodes().size(); ++id) {
            unroll(id);
        }
        design::Process process;
        for (const network::NetworkOutput& output : network_.outputs()) {
            design::Port port{output.name, {}};
            const std::vector<Fixed>& values = values_.at(output.value);
            for (std::size_t e = 0; e < values.size(); ++e) {
                bits_.output(fmt::format("{}.{}", output.name, e), values[e].bits);
                port.lanes.push_back({values[e].type, values[e].range});
            }
            process.outputs.push_back(std::move(port));
        }
        process.name = network_.name;
        process.inputs = std::move(inputs_);
        const std::vector<bits::NodeId> numbers = numbers_after_take(process);
        process.body = bits_.take();
        note_results(numbers);
        process.control = control_of(process);
        out_.layers = figures_by_layer(process.body);
        assemble(std::move(process));
        return std::move(out_);
    }

  private:
    void unroll(NodeId id) {
        const network::Node& node = network_.node(id);
        builder_.set_origin(node.where.layer);
        if (node.op == &network::input_operator) {
            unroll_input(id, node);
        } else if (node.op->element != nullptr) {
            unroll_map(id, node);
        } else if (node.op->row != nullptr) {
            unroll_row(id, node);
        } else if (node.op->sources != nullptr) {
            unroll_move(id, node);
        } else {
            unroll_contraction(id, node);
        }
        check_points(id, node);
    }

    /// The integers mean what the network says: outputs are read by its types.
    void check_points(NodeId id, const network::Node& node) const {
        for (std::uint32_t i = 0; i < node.types.size(); ++i) {
            const auto& formats = *node.types[i].fixed;
            const std::vector<Fixed>& values = values_.at({id, i});
            for (std::size_t e = 0; e < values.size(); ++e) {
                const int frac = formats.at(static_cast<std::int64_t>(e)).type.frac;
                if (values[e].type.frac != frac) {
                    throw std::logic_error(fmt::format(
                        "schedule: an element of {} ({}) has its binary point at {} instead of {}",
                        node.op->name, node.where.layer, values[e].type.frac, frac));
                }
            }
        }
    }

    void unroll_input(NodeId id, const network::Node& node) {
        const std::string name(network_.input_name(id));
        design::Port port{name, {}};
        std::vector<Fixed>& values = values_[{id, 0}];
        for (const network::Format& format : operators::formats_of(node.types.front())) {
            values.push_back(builder_.input(fmt::format("{}.{}", name, values.size()), format.type,
                                            format.range));
            port.lanes.push_back({format.type, format.range});
        }
        inputs_.push_back(std::move(port));
    }

    void unroll_map(NodeId id, const network::Node& node) {
        const Shape& shape = node.types.front().shape;
        std::vector<std::vector<std::int64_t>> index;
        for (const Value value : node.inputs) {
            index.push_back(broadcast_index(network_.type(value).shape, shape));
        }
        std::vector<Fixed> values;
        std::vector<Fixed> arguments(node.inputs.size());
        const std::int64_t count = element_count(shape);
        for (std::int64_t e = 0; e < count; ++e) {
            for (std::size_t i = 0; i < arguments.size(); ++i) {
                arguments[i] = values_.at(node.inputs[i])[static_cast<std::size_t>(
                    index[i][static_cast<std::size_t>(e)])];
            }
            values.push_back(node.op->element(builder_, node, arguments, e));
        }
        values_[{id, 0}] = std::move(values);
    }

    void unroll_row(NodeId id, const network::Node& node) {
        const std::vector<Fixed>& x = values_.at(node.inputs[0]);
        const auto length = static_cast<std::size_t>(network_.type(node.inputs[0]).shape.back());
        for (std::size_t first = 0; first < x.size(); first += length) {
            const auto rows = node.op->row(builder_, node, std::span(x).subspan(first, length));
            for (std::uint32_t i = 0; i < rows.size(); ++i) {
                auto& values = values_[{id, i}];
                values.insert(values.end(), rows[i].begin(), rows[i].end());
            }
        }
    }

    void unroll_move(NodeId id, const network::Node& node) {
        std::vector<network::TensorType> types;
        for (const Value value : node.inputs) {
            types.push_back(network_.type(value));
        }
        std::vector<Fixed> values;
        const auto& formats = *node.types.front().fixed;
        for (const network::Source& source : node.op->sources(node, types)) {
            // A zero has the binary point of its element.
            const int frac = formats.at(static_cast<std::int64_t>(values.size())).type.frac;
            values.push_back(source.input < 0
                                 ? builder_.constant(0, frac)
                                 : values_.at(node.inputs[static_cast<std::size_t>(
                                       source.input)])[static_cast<std::size_t>(source.element)]);
        }
        values_[{id, 0}] = std::move(values);
    }

    void unroll_contraction(NodeId id, const network::Node& node) {
        const operators::ContractForms forms =
            operators::contract_forms(node, network_.type(node.inputs[0]));
        std::vector<std::size_t> built;  // contraction of each form
        const std::vector<RowGraph>& graphs = graphs_.of(id);
        for (std::size_t f = 0; f < forms.forms.size(); ++f) {
            const operators::ContractForm& form = forms.forms[f];
            BuiltContraction contraction;
            contraction.layer = node.where.layer;
            contraction.matrix = form.matrix;
            for (const network::Format& format : form.inputs) {
                contraction.ranges.push_back(format.range);
            }
            contraction.graph = graphs[f].graph;
            contraction.shared = graphs[f].shared;
            const GroupedGraph* grouped = graphs_.grouped(id)[f];
            if (grouped != nullptr) {
                contraction.graph = *without_groups(*grouped, contraction.ranges);
            }
            built.push_back(out_.contractions.size());
            out_.contractions.push_back(std::move(contraction));
        }
        const std::vector<Fixed>& x = values_.at(node.inputs[0]);
        const std::size_t length = forms.forms.empty() ? 1 : forms.forms.front().inputs.size();
        std::vector<std::vector<Fixed>> results(forms.form_of.size());
        for (std::size_t f = 0; f < forms.forms.size(); ++f) {
            std::vector<std::size_t> rows;
            std::vector<std::vector<Fixed>> integers;
            for (std::size_t r = 0; r < forms.form_of.size(); ++r) {
                if (static_cast<std::size_t>(forms.form_of[r]) != f) {
                    continue;
                }
                rows.push_back(r);
                std::vector<Fixed>& row = integers.emplace_back();
                for (const Fixed& value : std::span(x).subspan(r * length, length)) {
                    row.push_back(builder_.scale(value, value.type.frac));
                }
            }
            if (rows.empty()) {
                continue;
            }
            BuiltContraction& contraction = out_.contractions[built[f]];
            contraction.copies += static_cast<std::int64_t>(rows.size());
            const auto first = static_cast<std::int64_t>(rows.front()) * contraction.matrix.n_out;
            const auto sums = add_up(contraction, graphs_.grouped(id)[f], integers,
                                     constants_next({id, 0}, first));
            for (std::size_t i = 0; i < rows.size(); ++i) {
                for (std::size_t o = 0; o < sums[i].size(); ++o) {
                    // The matrix works on integers; the binary point comes back here.
                    results[rows[i]].push_back(
                        builder_.scale(sums[i][o], -forms.forms[f].outputs[o].type.frac));
                }
            }
        }
        std::vector<Fixed> values;
        for (const std::vector<Fixed>& row : results) {
            values.insert(values.end(), row.begin(), row.end());
        }
        values_[{id, 0}] = std::move(values);
    }

    /// Where all that read a contraction add constants to it, biases or half a step of rounding, or
    /// compare it with numbers or look it up: what its elements from `first` on, of one row, get
    /// added. Nothing where something else reads it.
    std::optional<Next> constants_next(Value value, std::int64_t first) const {
        std::optional<Next> out;
        for (const auto& output : network_.outputs()) {
            if (output.value == value) {
                return std::nullopt;
            }
        }
        for (NodeId id = value.node + 1; id < network_.nodes().size(); ++id) {
            const network::Node& node = network_.node(id);
            if (std::find(node.inputs.begin(), node.inputs.end(), value) == node.inputs.end()) {
                continue;
            }
            const bool is_move = node.op->sources != nullptr;
            const std::optional<Next> next =
                is_move ? constants_next({id, 0}, 0) : added_constants(id, value, first);
            if (!next) {
                return std::nullopt;
            }
            const bool compares = next->compares && (!out || out->compares);
            out = is_move || out ? Next{} : next;
            out->compares = compares;
        }
        return out;
    }

    /// The same for one reader.
    std::optional<Next> added_constants(NodeId id, Value value, std::int64_t first) const {
        const network::Node& node = network_.node(id);
        if (node.op == &operators::thresholds_operator || node.op == &operators::table_operator) {
            return Next{};
        }
        const network::TensorType& type = network_.type(value);
        const std::int64_t count = type.shape.empty() ? 1 : type.shape.back();
        Constants out(static_cast<std::size_t>(count));
        if (node.op == &operators::affine_operator) {
            const auto& fields = node.fields<operators::AffineFields>();
            if (node.types.front().shape != type.shape) {
                return std::nullopt;
            }
            const std::optional<Next> then = constants_next({id, 0}, first);
            bool any = then.has_value();
            for (std::int64_t o = 0; o < count; ++o) {
                const Int128 addend = fields.addend.at(first + o);
                any = any || addend != 0;
                if (fields.multiplier.at(first + o) == 1) {
                    const bool more = then && !then->constants.empty();
                    const auto at = static_cast<std::size_t>(o);
                    out[at] = addend + (more ? then->constants[at].value_or(0) : 0);
                }
            }
            return any ? std::optional(Next{std::move(out), false}) : std::nullopt;
        }
        if (node.op != &operators::quantize_operator) {
            return std::nullopt;
        }
        const auto& fields = node.fields<operators::QuantizeFields>();
        if (fields.rounding != Rounding::half_up && fields.rounding != Rounding::half_even) {
            return std::nullopt;
        }
        for (std::int64_t o = 0; o < count; ++o) {
            const int dropped =
                type.fixed->at(first + o).type.frac - fields.type.at(first + o).frac;
            if (dropped < 1 || dropped > most_dropped) {
                return std::nullopt;
            }
            out[static_cast<std::size_t>(o)] = static_cast<Int128>(1) << (dropped - 1);
        }
        return Next{std::move(out), false};
    }

    /// The sums of a contraction for rows of integers; `next` is what reads them.
    std::vector<std::vector<Fixed>> add_up(const BuiltContraction& contraction,
                                           const GroupedGraph* grouped,
                                           const std::vector<std::vector<Fixed>>& rows,
                                           const std::optional<Next>& next) {
        if (grouped == nullptr) {
            return graph_sums(builder_, contraction.graph, contraction.ranges, rows, next,
                              delays_.inverts, contraction.shared);
        }
        std::vector<std::vector<Fixed>> values;
        for (const std::vector<Fixed>& row : rows) {
            values.push_back(add_groups(builder_, *grouped, row, delays_.lut_inputs));
        }
        return graph_sums(builder_, grouped->graph, grouped->ranges, values, next, delays_.inverts);
    }

    static constexpr bits::NodeId no_wire = ~bits::NodeId{0};

    /// What bits::Builder::take makes of the numbers of nodes: those that an output needs, and
    /// inputs, keep their order.
    std::vector<bits::NodeId> numbers_after_take(const design::Process& process) const {
        std::vector<char> live(bits_.size(), 0);
        for (std::size_t o = 0; o < process.outputs.size(); ++o) {
            for (const Fixed& value : values_.at(network_.outputs()[o].value)) {
                live[value.bits] = 1;
            }
        }
        for (std::size_t i = live.size(); i-- > 0;) {
            const bits::Node& node = bits_.node(static_cast<bits::NodeId>(i));
            live[i] = live[i] != 0 || node.op == bits::Op::input ? 1 : 0;
            for (int k = 0; live[i] != 0 && k < bits::info(node.op).operands; ++k) {
                live[node.operand[k]] = 1;
            }
        }
        bits::NodeId count = 0;
        std::vector<bits::NodeId> numbers(live.size(), no_wire);
        for (std::size_t i = 0; i < live.size(); ++i) {
            if (live[i] != 0) {
                numbers[i] = count++;
            }
        }
        return numbers;
    }

    void note_results(const std::vector<bits::NodeId>& numbers) {
        for (NodeId id = 0; id < network_.nodes().size(); ++id) {
            const network::Node& node = network_.node(id);
            for (std::uint32_t i = 0; i < node.types.size() && node.op->sources == nullptr; ++i) {
                const std::vector<Fixed>& values = values_.at({id, i});
                for (std::size_t e = 0; e < values.size(); ++e) {
                    const bits::NodeId wire = numbers[values[e].bits];
                    if (wire != no_wire && values[e].range.low != values[e].range.high) {
                        out_.results.push_back({wire, {id, i}, static_cast<std::int64_t>(e)});
                    }
                }
            }
        }
    }

    /// Each port is used once in the only iteration.
    static bits::Function control_of(const design::Process& process) {
        bits::Builder control("control");
        const bits::NodeId one = control.constant(1);
        for (const auto* ports : {&process.inputs, &process.outputs}) {
            for (const design::Port& port : *ports) {
                control.output(port.name + ".when", one);
            }
        }
        return control.take();
    }

    void assemble(design::Process process) {
        design::Design& design = out_.design;
        design.name = network_.name;
        for (std::size_t i = 0; i < process.inputs.size(); ++i) {
            const design::Port& port = process.inputs[i];
            design.inputs.push_back({port.name, port.lanes, 1, {}});
            design.channels.push_back(
                {{-1, static_cast<int>(i)}, {0, static_cast<int>(i)}, port.lanes, 0});
        }
        for (std::size_t i = 0; i < process.outputs.size(); ++i) {
            const design::Port& port = process.outputs[i];
            design.outputs.push_back({port.name, port.lanes, 1, {}});
            design.channels.push_back(
                {{0, static_cast<int>(i)}, {-1, static_cast<int>(i)}, port.lanes, 0});
        }
        design.processes.push_back(std::move(process));
    }

    const passes::DelayModel& delays_;
    const network::Network& network_;
    ContractionGraphs& graphs_;
    bits::Builder bits_;
    fixed::Builder builder_;
    std::map<Value, std::vector<Fixed>> values_;
    std::vector<design::Port> inputs_;
    ParallelDesign out_;
};

}  // namespace

ParallelDesign parallel(const operators::CoreModel& model, const linear::Search& search,
                        const passes::DelayModel& delays) {
    ContractionGraphs graphs(model.network, search, delays);
    return parallel(model, graphs, delays);
}

ParallelDesign parallel(const operators::CoreModel& model, ContractionGraphs& graphs,
                        const passes::DelayModel& delays) {
    return Unroller(model, graphs, delays).run();
}

std::vector<LayerFigures> figures_by_layer(const bits::Function& function) {
    std::vector<LayerFigures> layers;
    std::vector<std::size_t> layer_of(function.origins.size(), static_cast<std::size_t>(-1));
    for (const bits::Node& node : function.nodes) {
        using bits::Op;
        const bool wiring = node.op == Op::constant || node.op == Op::input ||
                            node.op == Op::cast || node.op == Op::shl || node.op == Op::shr;
        if (wiring) {
            continue;
        }
        std::size_t& at = layer_of[node.origin];
        if (at == static_cast<std::size_t>(-1)) {
            at = layers.size();
            layers.push_back({function.origins[node.origin], {}, 0, 0, 0, 0, 0});
        }
        LayerFigures& layer = layers[at];
        ++layer.operations;
        layer.adders += node.op == Op::add || node.op == Op::sub ? 1 : 0;
        layer.multipliers += node.op == Op::mul ? 1 : 0;
        layer.comparisons += node.op == Op::less || node.op == Op::equal ? 1 : 0;
        layer.tables += node.op == Op::read ? 1 : 0;
    }
    return layers;
}

}  // namespace gatewright::schedule
