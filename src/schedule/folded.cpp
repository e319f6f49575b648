#include "schedule/folded.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "operators/core.h"

namespace gatewright::schedule {

namespace {

using design::Lane;
using fixed::Fixed;
using operators::Format;

/// The dense layer of a model that is nothing else.
const network::Node& only_contraction(const network::Network& network, std::int64_t reuse) {
    const network::Node* found = nullptr;
    for (const network::Node& node : network.nodes()) {
        if (node.op->is_contract && found == nullptr) {
            found = &node;
        } else if (node.op != &network::input_operator) {
            throw Failure(Code::not_in_circuit, node.where,
                          fmt::format("'{}' cannot be folded", node.op->name),
                          "Fold one dense layer at a time.");
        }
    }
    if (found == nullptr || network.outputs().size() != 1 || network.inputs().size() != 1) {
        throw Failure(Code::not_in_circuit, found == nullptr ? Location{} : found->where,
                      "only one dense layer between an input and an output can be folded",
                      "Fold one dense layer at a time.");
    }
    const Shape& weights = found->fields<operators::ContractFields>().weights.shape;
    if (reuse < 1 || weights[1] % reuse != 0) {
        throw Failure(Code::not_in_circuit, found->where,
                      fmt::format("its {} inputs do not split into {} steps", weights[1], reuse),
                      "Take a reuse factor that divides the number of inputs.");
    }
    return *found;
}

Interval hull_of(const std::optional<Interval>& a, const Interval& b) {
    return a ? hull(*a, b) : b;
}

Lane lane_of(const Fixed& value) {
    return {value.type, value.range};
}

class Folder {
  public:
    Folder(const operators::CoreModel& model, std::int64_t reuse)
        : network_(model.network),
          node_(only_contraction(network_, reuse)),
          forms_(operators::contract_forms(node_, network_.type(node_.inputs[0]))),
          reuse_(reuse),
          bits_(node_.where.layer),
          builder_(bits_) {
        if (forms_.form_of.size() != 1) {
            throw Failure(Code::not_in_circuit, node_.where,
                          fmt::format("its input has {} rows", forms_.form_of.size()),
                          "Fold a layer of one row.");
        }
        process_.name = network_.name;
        process_.origin = node_.where;
    }

    design::Design run() {
        const operators::ContractForm& form = forms_.forms.front();
        const auto inputs = static_cast<std::int64_t>(form.inputs.size());
        const auto outputs = static_cast<std::int64_t>(form.outputs.size());
        per_step_ = inputs / reuse_;
        builder_.set_origin(node_.where.layer);
        if (reuse_ > 1) {
            process_.loops.push_back({"step", reuse_});
            bits_.input("step", counter());
        }
        const std::vector<Fixed> x = inputs_of(form);
        const std::vector<Fixed> sums = sums_of(form);
        const std::vector<Fixed> weights = weights_of(form);

        design::Port port{std::string(network_.outputs()[0].name), {}};
        std::vector<bits::NodeId> next;
        for (std::int64_t o = 0; o < outputs; ++o) {
            std::vector<Fixed> products;
            for (std::int64_t j = 0; j < per_step_; ++j) {
                products.push_back(
                    builder_.mul(x[static_cast<std::size_t>(j)],
                                 weights[static_cast<std::size_t>(j * outputs + o)]));
            }
            const auto column = static_cast<std::size_t>(o);
            const Fixed step = builder_.align(builder_.sum(products), 0);
            const Fixed sum = builder_.add(sums[column], step);
            next.push_back(bits_.cast(sum.bits, process_.registers[column].lane.bits()));
            // In the last step, the only one that is seen, the sum is whole.
            const Fixed y = builder_.scale(builder_.assume_range(sum, form.outputs[column].range),
                                           -form.outputs[column].type.frac);
            bits_.output(fmt::format("{}.{}", port.name, o), y.bits);
            port.lanes.push_back(lane_of(y));
        }
        for (std::size_t o = 0; o < next.size(); ++o) {
            bits_.output(process_.registers[o].name, next[o]);
        }
        process_.outputs.push_back(std::move(port));
        process_.body = bits_.take();
        process_.control = control();
        return assemble();
    }

  private:
    bits::Type counter() const {
        return {false, static_cast<std::uint8_t>(bit_length(static_cast<UInt128>(reuse_ - 1)))};
    }

    /// Lane j carries inputs j, j + K / reuse, ...: as wide as the widest of them. The matrix knows
    /// their binary points, so that the body sees integers.
    std::vector<Fixed> inputs_of(const operators::ContractForm& form) {
        design::Port port{std::string(network_.input_name(network_.inputs()[0])), {}};
        std::vector<Fixed> x;
        for (std::int64_t j = 0; j < per_step_; ++j) {
            const Format& first = form.inputs[static_cast<std::size_t>(j)];
            std::optional<Interval> range;
            bool aligned = true;
            for (std::int64_t s = 0; s < reuse_; ++s) {
                const Format& format = form.inputs[static_cast<std::size_t>(s * per_step_ + j)];
                range = hull_of(range, format.range);
                aligned = aligned && format.type.frac == first.type.frac;
            }
            const FixedType type = type_for(*range, aligned ? first.type.frac : 0);
            const Fixed value = builder_.input(fmt::format("{}.{}", port.name, j), type, *range);
            x.push_back(builder_.scale(value, type.frac));
            port.lanes.push_back({type, *range});
        }
        process_.inputs.push_back(std::move(port));
        return x;
    }

    /// A register for each output, with the range of all sums that it holds in a frame.
    std::vector<Fixed> sums_of(const operators::ContractForm& form) {
        std::vector<Fixed> sums;
        for (std::int64_t o = 0; o < form.matrix.n_out; ++o) {
            Interval sum{0, 0};
            Interval all{0, 0};
            for (std::int64_t k = 0; k < form.matrix.n_in; ++k) {
                const Int128 weight = form.matrix.at(k, o);
                const Interval& range = form.inputs[static_cast<std::size_t>(k)].range;
                sum.low += weight * (weight < 0 ? range.high : range.low);
                sum.high += weight * (weight < 0 ? range.low : range.high);
                if ((k + 1) % per_step_ == 0) {
                    all = hull(all, sum);
                }
            }
            design::Register state{fmt::format("sum{}", o), {type_for(all, 0), all}, 0};
            sums.push_back(builder_.input(state.name, state.lane.type, all));
            process_.registers.push_back(std::move(state));
        }
        return sums;
    }

    /// What each step multiplies with, [K / reuse, O]: a lane of the ROM, or a constant where all
    /// steps agree.
    std::vector<Fixed> weights_of(const operators::ContractForm& form) {
        design::Memory rom{"weights", {}, reuse_, {}};
        rom.contents.resize(static_cast<std::size_t>(reuse_));
        std::vector<Fixed> weights;
        for (std::int64_t j = 0; j < per_step_; ++j) {
            for (std::int64_t o = 0; o < form.matrix.n_out; ++o) {
                std::optional<Interval> range;
                for (std::int64_t s = 0; s < reuse_; ++s) {
                    const Int128 weight = form.matrix.at(s * per_step_ + j, o);
                    range = hull_of(range, {weight, weight});
                }
                if (range->low == range->high) {
                    weights.push_back(builder_.constant(range->low, 0));
                    continue;
                }
                for (std::int64_t s = 0; s < reuse_; ++s) {
                    rom.contents[static_cast<std::size_t>(s)].push_back(
                        form.matrix.at(s * per_step_ + j, o));
                }
                const Lane lane{type_for(*range, 0), *range};
                weights.push_back(builder_.input(fmt::format("weights.{}", rom.lanes.size()),
                                                 lane.type, lane.range));
                rom.lanes.push_back(lane);
            }
        }
        if (!rom.lanes.empty()) {
            process_.memories.push_back(std::move(rom));
        }
        return weights;
    }

    bits::Function control() const {
        bits::Builder control("control");
        bits::NodeId step = control.constant(0);
        bits::NodeId last = control.constant(1);
        if (reuse_ > 1) {
            step = control.input("step", counter());
            last = control.equal(step, control.constant(reuse_ - 1));
        }
        control.output(process_.inputs[0].name + ".when", control.constant(1));
        control.output(process_.outputs[0].name + ".when", last);
        if (!process_.memories.empty()) {
            control.output("weights.read_address", step);
        }
        return control.take();
    }

    design::Design assemble() {
        design::Design design;
        design.name = network_.name;
        const design::Port& x = process_.inputs[0];
        const design::Port& y = process_.outputs[0];
        design.inputs.push_back({x.name, x.lanes, reuse_, {}});
        design.outputs.push_back({y.name, y.lanes, 1, {}});
        design.channels.push_back({{-1, 0}, {0, 0}, x.lanes, 0});
        design.channels.push_back({{0, 0}, {-1, 0}, y.lanes, 0});
        design.processes.push_back(std::move(process_));
        return design;
    }

    const network::Network& network_;
    const network::Node& node_;
    operators::ContractForms forms_;
    std::int64_t reuse_;
    std::int64_t per_step_ = 1;
    bits::Builder bits_;
    fixed::Builder builder_;
    design::Process process_;
};

}  // namespace

design::Design folded(const operators::CoreModel& model, std::int64_t reuse) {
    return Folder(model, reuse).run();
}

}  // namespace gatewright::schedule
