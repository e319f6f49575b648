#include "emulate/float_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <ranges>
#include <utility>

#include "emulate/float_plan.h"

namespace gatewright::emulate {

namespace {

/// Where a value lies: in a buffer, some elements behind its begin.
struct Place {
    std::size_t buffer = 0;
    std::int64_t element = 0;
};

/// If the only operand's elements come in a row, where they begin: then the result is the operand.
std::optional<std::int64_t> begin_of_run(const FloatNode& f) {
    if (f.node.op->sources == nullptr || f.inputs.size() != 1) {
        return std::nullopt;
    }
    const auto sources = f.node.op->sources(f.node, f.inputs);
    for (std::size_t e = 0; e < sources.size(); ++e) {
        if (sources[e].input != 0 ||
            sources[e].element != sources[0].element + static_cast<std::int64_t>(e)) {
            return std::nullopt;
        }
    }
    return sources.empty() ? 0 : sources[0].element;
}

}  // namespace

struct FloatEngine::Plan {
    struct Step {
        FloatStep work;
        std::vector<Place> inputs;
        std::vector<bool> computed;  ///< one an input; others are known to the step
        std::vector<Place> outputs;
    };

    std::int64_t lanes = 64;
    std::vector<std::int64_t> buffer_sizes;  ///< in elements
    std::vector<std::vector<double>> buffers;
    std::vector<Place> inputs;
    std::vector<Step> steps;
    struct Output {
        Place place;
        std::vector<double> constant;  ///< an output that depends on no input
        bool is_constant = false;
        std::int64_t count = 0;
    };
    std::vector<Output> outputs;

    explicit Plan(const network::Network& layers) { compile(layers); }

    double* at(const Place& place) { return buffers[place.buffer].data() + place.element * lanes; }

  private:
    std::vector<std::size_t> free_;
    std::vector<std::int64_t> readers_;  ///< of each buffer: values in it that are still needed

    Place take(std::int64_t elements) {
        // The smallest free buffer that is large enough, else the largest free one grows.
        std::size_t best = free_.size();
        for (std::size_t i = 0; i < free_.size(); ++i) {
            if (best == free_.size()) {
                best = i;
                continue;
            }
            const std::int64_t size = buffer_sizes[free_[i]];
            const std::int64_t chosen = buffer_sizes[free_[best]];
            const bool fits = size >= elements;
            if (fits ? (chosen < elements || size < chosen)
                     : (chosen < elements && size > chosen)) {
                best = i;
            }
        }
        std::size_t buffer = buffer_sizes.size();
        if (best < free_.size()) {
            buffer = free_[best];
            free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(best));
            buffer_sizes[buffer] = std::max(buffer_sizes[buffer], elements);
        } else {
            buffer_sizes.push_back(elements);
            readers_.push_back(0);
        }
        return {buffer, 0};
    }

    void release(std::size_t buffer) {
        if (--readers_[buffer] == 0) {
            free_.push_back(buffer);
        }
    }

    void compile(const network::Network& layers);
};

void FloatEngine::Plan::compile(const network::Network& layers) {
    const auto& nodes = layers.nodes();
    // How often each value is read; outputs are read at the end.
    std::vector<std::vector<std::int64_t>> uses(nodes.size());
    for (std::size_t id = 0; id < nodes.size(); ++id) {
        uses[id].assign(nodes[id].types.size(), 0);
    }
    for (const network::Node& node : nodes) {
        for (const network::Value value : node.inputs) {
            ++uses[value.node][value.output];
        }
    }
    for (const network::NetworkOutput& output : layers.outputs()) {
        ++uses[output.value.node][output.value.output];
    }

    std::vector<std::vector<Tensor>> constants(nodes.size());  // of nodes that need no input
    std::vector<std::vector<Place>> places(nodes.size());
    std::int64_t largest = 1;
    // Inputs are there from the beginning, wherever they stand, and are never given away.
    for (const network::NodeId id : layers.inputs()) {
        const Place place = take(element_count(nodes[id].types.front().shape));
        inputs.push_back(place);
        places[id] = {place};
        readers_[place.buffer] += uses[id][0] + 1;
    }
    for (network::NodeId id = 0; id < nodes.size(); ++id) {
        const network::Node& node = nodes[id];
        for (const network::TensorType& type : node.types) {
            largest = std::max(largest, element_count(type.shape));
        }
        if (node.op == &network::input_operator) {
            continue;
        }
        if (node.op->reference == nullptr) {
            throw Failure(Code::not_in_circuit, node.where,
                          fmt::format("operator {} has no float reference", node.op->name));
        }
        FloatNode f{node, {}, {}};
        bool constant = true;
        for (const network::Value value : node.inputs) {
            const bool known = !constants[value.node].empty();
            constant = constant && known;
            f.inputs.push_back(layers.type(value));
            f.constants.push_back(known ? &constants[value.node][value.output] : nullptr);
        }
        if (constant) {
            constants[id] = node.op->reference(node, f.constants);
            continue;
        }
        if (const auto run = begin_of_run(f)) {
            Place place = places[node.inputs[0].node][node.inputs[0].output];
            place.element += *run;
            readers_[place.buffer] += uses[id][0];
            places[id] = {place};
            release(place.buffer);  // the move itself has read it
            continue;
        }
        Step step;
        step.work = row_step(f);
        if (step.work == nullptr) {
            step.work = reference_step(f);
        }
        for (const network::TensorType& type : node.types) {
            const Place place = take(element_count(type.shape));
            step.outputs.push_back(place);
            const auto number = step.outputs.size() - 1;
            readers_[place.buffer] += std::max<std::int64_t>(1, uses[id][number]);
        }
        places[id] = step.outputs;
        for (std::size_t i = 0; i < node.inputs.size(); ++i) {
            const network::Value value = node.inputs[i];
            step.computed.push_back(f.constants[i] == nullptr);
            step.inputs.push_back(step.computed.back() ? places[value.node][value.output]
                                                       : Place{});
        }
        for (std::size_t i = 0; i < node.inputs.size(); ++i) {
            if (step.computed[i]) {
                release(step.inputs[i].buffer);
            }
        }
        for (std::size_t o = 0; o < node.types.size(); ++o) {
            if (uses[id][o] == 0) {
                release(step.outputs[o].buffer);
            }
        }
        steps.push_back(std::move(step));
    }
    for (const network::NetworkOutput& output : layers.outputs()) {
        Output& o = outputs.emplace_back();
        o.count = element_count(layers.type(output.value).shape);
        o.is_constant = !constants[output.value.node].empty();
        if (o.is_constant) {
            o.constant = constants[output.value.node][output.value.output].values;
        } else {
            o.place = places[output.value.node][output.value.output];
        }
    }
    // The kernels run best on long rows, as long as the largest tensor stays near: measured with
    // 2 MiB of second-level cache. Few lanes keep the memory of huge tensors small.
    constexpr std::pair<std::int64_t, std::int64_t> choices[] = {
        {2'000, 64}, {14'000, 32}, {130'000, 16}};  // elements of the largest tensor, lanes
    lanes = 8;
    for (const auto& [elements, count] : std::views::reverse(choices)) {
        if (largest <= elements) {
            lanes = count;
        }
    }
    for (const std::int64_t size : buffer_sizes) {
        buffers.emplace_back(static_cast<std::size_t>(size * lanes), 0.0);
    }
}

FloatEngine::FloatEngine(const network::Network& layers) : plan_(std::make_unique<Plan>(layers)) {}
FloatEngine::~FloatEngine() = default;
FloatEngine::FloatEngine(FloatEngine&&) noexcept = default;
FloatEngine& FloatEngine::operator=(FloatEngine&&) noexcept = default;

std::int64_t FloatEngine::lanes() const {
    return plan_->lanes;
}

void FloatEngine::run(const std::function<void(std::size_t, double*)>& load,
                      const std::function<void(std::size_t, const double*)>& store) {
    Plan& plan = *plan_;
    for (std::size_t i = 0; i < plan.inputs.size(); ++i) {
        load(i, plan.at(plan.inputs[i]));
    }
    std::vector<const double*> inputs;
    std::vector<double*> outputs;
    for (const Plan::Step& step : plan.steps) {
        inputs.clear();
        outputs.clear();
        for (std::size_t i = 0; i < step.inputs.size(); ++i) {
            inputs.push_back(step.computed[i] ? plan.at(step.inputs[i]) : nullptr);
        }
        for (const Place& place : step.outputs) {
            outputs.push_back(plan.at(place));
        }
        step.work({plan.lanes, inputs, outputs});
    }
    for (std::size_t o = 0; o < plan.outputs.size(); ++o) {
        const Plan::Output& output = plan.outputs[o];
        if (!output.is_constant) {
            store(o, plan.at(output.place));
            continue;
        }
        std::vector<double> rows;
        for (const double value : output.constant) {
            rows.insert(rows.end(), static_cast<std::size_t>(plan.lanes), value);
        }
        store(o, rows.data());
    }
}

}  // namespace gatewright::emulate
