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
    struct alignas(64) Line {  ///< of the memory, so that no vector lies across two
        double values[8];
    };
    /// A node at work.
    struct Work {
        FloatStep whole;
        RangeStep range;                             ///< or this
        std::vector<std::optional<Place>> operands;  ///< nothing: known to the step
        std::vector<Place> results;
        std::vector<const double*> inputs;  ///< where the places are
        std::vector<double*> outputs;

        FloatCall call(std::int64_t width) const { return {width, inputs, outputs}; }
    };
    /// Nodes that are computed together, each but the first element-wise and in the place of the
    /// one before it, which nothing else reads: while their rows are near.
    struct Group {
        std::vector<network::NodeId> nodes;
        std::vector<Work> works;
        bool finishes = false;  ///< the first says when rows are complete
        std::int64_t rows = 0;
    };

    std::int64_t lanes = most_lanes;
    std::vector<std::int64_t> buffer_sizes;  ///< in elements
    std::vector<std::vector<Line>> buffers;
    std::vector<Place> inputs;
    std::vector<Group> groups;
    struct Output {
        Place place;
        std::vector<double> constant;  ///< an output that depends on no input
        bool is_constant = false;
        std::int64_t count = 0;
    };
    std::vector<Output> outputs;

    explicit Plan(const network::Network& layers) { compile(layers); }

    double* at(const Place& place) {
        return buffers[place.buffer].data()->values + place.element * lanes;
    }
    void run(const Group& group) const;

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

    /// A node, and what is found out about it before memory is given away.
    struct Known {
        std::vector<Tensor> constants;    ///< the results of a node that needs no input
        std::optional<std::int64_t> run;  ///< the result is a run of the operand's elements
        std::size_t group = none;
        std::size_t tail_of = none;  ///< all of the last result of this group, read once at most
    };
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    std::vector<std::vector<std::int64_t>> uses_;  ///< [node][output]: how often it is read
    std::vector<Known> known_;

    FloatNode float_node(const network::Network& layers, network::NodeId id) const;
    void count_uses(const network::Network& layers);
    void find_groups(const network::Network& layers);
    std::size_t group_to_join(const FloatNode& f) const;
    void give_places(const network::Network& layers);
    void compile(const network::Network& layers);
};

FloatNode FloatEngine::Plan::float_node(const network::Network& layers, network::NodeId id) const {
    const network::Node& node = layers.node(id);
    if (node.op->reference == nullptr) {
        throw Failure(Code::not_in_circuit, node.where,
                      fmt::format("operator {} has no float reference", node.op->name));
    }
    FloatNode f{node, {}, {}};
    for (const network::Value value : node.inputs) {
        const std::vector<Tensor>& constants = known_[value.node].constants;
        f.inputs.push_back(layers.type(value));
        f.constants.push_back(constants.empty() ? nullptr : &constants[value.output]);
    }
    return f;
}

void FloatEngine::Plan::count_uses(const network::Network& layers) {
    for (const network::Node& node : layers.nodes()) {
        uses_.emplace_back(node.types.size(), 0);
    }
    for (const network::Node& node : layers.nodes()) {
        for (const network::Value value : node.inputs) {
            ++uses_[value.node][value.output];
        }
    }
    for (const network::NetworkOutput& output : layers.outputs()) {
        ++uses_[output.value.node][output.value.output];
    }
}

/// The group whose last result this element-wise node may take the place of: best one whose rows
/// are near when they are complete.
std::size_t FloatEngine::Plan::group_to_join(const FloatNode& f) const {
    std::size_t best = none;
    for (std::size_t i = 0; i < f.inputs.size(); ++i) {
        const network::Value value = f.node.inputs[i];
        const std::size_t group = known_[value.node].tail_of;
        if (f.constants[i] == nullptr && group != none && uses_[value.node][value.output] == 1 &&
            f.inputs[i].shape == f.node.types.front().shape &&
            (best == none || (groups[group].finishes && !groups[best].finishes))) {
            best = group;
        }
    }
    return best;
}

void FloatEngine::Plan::find_groups(const network::Network& layers) {
    known_.resize(layers.nodes().size());
    for (network::NodeId id = 0; id < layers.nodes().size(); ++id) {
        const network::Node& node = layers.node(id);
        Known& known = known_[id];
        if (node.op == &network::input_operator) {
            continue;
        }
        const FloatNode f = float_node(layers, id);
        if (std::ranges::find(f.constants, nullptr) == f.constants.end()) {
            known.constants = node.op->reference(node, f.constants);
            continue;
        }
        known.run = begin_of_run(f);
        if (known.run) {
            const network::Value value = node.inputs[0];
            const bool whole =
                element_count(f.inputs[0].shape) == element_count(node.types[0].shape);
            if (whole && uses_[value.node][value.output] == 1) {
                known.tail_of = known_[value.node].tail_of;
            }
            continue;
        }
        Work work;
        work.range = range_step(f);
        if (work.range == nullptr) {
            work.whole = row_step(f);
        }
        const bool on_rows = work.whole != nullptr;
        if (work.range == nullptr && !on_rows) {
            work.whole = reference_step(f);
        }
        known.group = work.range != nullptr ? group_to_join(f) : none;
        if (known.group == none) {
            known.group = groups.size();
            groups.push_back(
                {{}, {}, on_rows && finishes_rows(*node.op), element_count(node.types[0].shape)});
        }
        groups[known.group].nodes.push_back(id);
        groups[known.group].works.push_back(std::move(work));
        known.tail_of = node.types.size() == 1 ? known.group : none;
    }
}

void FloatEngine::Plan::give_places(const network::Network& layers) {
    const auto& nodes = layers.nodes();
    std::vector<std::vector<Place>> places(nodes.size());
    // Inputs are there from the beginning, wherever they stand, and are never given away.
    for (const network::NodeId id : layers.inputs()) {
        const Place place = take(element_count(nodes[id].types.front().shape));
        inputs.push_back(place);
        places[id] = {place};
        readers_[place.buffer] += uses_[id][0] + 1;
    }
    std::vector<std::size_t> order;  // of the groups: each when its last node can be computed
    for (network::NodeId id = 0; id < nodes.size(); ++id) {
        const network::Node& node = nodes[id];
        const Known& known = known_[id];
        if (known.run) {
            Place place = places[node.inputs[0].node][node.inputs[0].output];
            place.element += *known.run;
            readers_[place.buffer] += uses_[id][0];
            places[id] = {place};
            release(place.buffer);  // the move itself has read it
            continue;
        }
        if (known.group == none) {
            continue;
        }
        Group& group = groups[known.group];
        const auto at =
            static_cast<std::size_t>(std::ranges::find(group.nodes, id) - group.nodes.begin());
        Work& work = group.works[at];
        for (const network::Value value : node.inputs) {
            const bool constant = !known_[value.node].constants.empty();
            work.operands.push_back(constant ? std::nullopt
                                             : std::optional(places[value.node][value.output]));
        }
        for (std::size_t o = 0; o < node.types.size(); ++o) {
            work.results.push_back(at == 0 ? take(element_count(node.types[o].shape))
                                           : group.works.front().results.front());
            readers_[work.results[o].buffer] += std::max<std::int64_t>(1, uses_[id][o]);
        }
        places[id] = work.results;
        if (id != group.nodes.back()) {
            continue;
        }
        order.push_back(known.group);
        for (const Work& done : group.works) {
            for (const auto& operand : done.operands) {
                if (operand) {
                    release(operand->buffer);
                }
            }
        }
        for (std::size_t o = 0; o < node.types.size(); ++o) {
            if (uses_[id][o] == 0) {
                release(work.results[o].buffer);
            }
        }
    }
    std::vector<Group> ordered;
    for (const std::size_t group : order) {
        ordered.push_back(std::move(groups[group]));
    }
    groups = std::move(ordered);
    for (const network::NetworkOutput& output : layers.outputs()) {
        Output& o = outputs.emplace_back();
        o.count = element_count(layers.type(output.value).shape);
        const std::vector<Tensor>& constants = known_[output.value.node].constants;
        o.is_constant = !constants.empty();
        if (o.is_constant) {
            o.constant = constants[output.value.output].values;
        } else {
            o.place = places[output.value.node][output.value.output];
        }
    }
}

void FloatEngine::Plan::compile(const network::Network& layers) {
    count_uses(layers);
    find_groups(layers);
    give_places(layers);
    std::int64_t largest = 1;
    for (const network::Node& node : layers.nodes()) {
        for (const network::TensorType& type : node.types) {
            largest = std::max(largest, element_count(type.shape));
        }
    }
    // The kernels run best on long rows, as long as the largest tensor stays near: measured with
    // 2 MiB of second-level cache. Few lanes keep the memory of huge tensors small.
    constexpr std::pair<std::int64_t, std::int64_t> choices[] = {
        {2'000, most_lanes}, {14'000, 32}, {130'000, 16}};  // elements of the largest tensor, lanes
    lanes = 8;
    for (const auto& [elements, count] : std::views::reverse(choices)) {
        if (largest <= elements) {
            lanes = count;
        }
    }
    for (const std::int64_t size : buffer_sizes) {
        buffers.emplace_back(static_cast<std::size_t>(size * lanes / 8), Line{});
    }
    for (Group& group : groups) {
        for (Work& work : group.works) {
            for (const auto& operand : work.operands) {
                work.inputs.push_back(operand ? at(*operand) : nullptr);
            }
            for (const Place& place : work.results) {
                work.outputs.push_back(at(place));
            }
        }
    }
}

void FloatEngine::Plan::run(const Group& group) const {
    const bool begins_whole = group.works.front().whole != nullptr;
    std::vector<FloatCall> calls;
    for (const Work& work : group.works) {
        calls.push_back(work.call(lanes));
    }
    const Finish ranges = [&](std::int64_t first, std::int64_t rows) {
        for (std::size_t i = begins_whole ? 1 : 0; i < calls.size(); ++i) {
            group.works[i].range(calls[i], first, rows);
        }
    };
    if (begins_whole) {
        if (group.finishes && calls.size() > 1) {
            calls.front().finished = &ranges;
        }
        group.works.front().whole(calls.front());
        if (group.finishes || calls.size() == 1) {
            return;
        }
    }
    const std::int64_t block = calls.size() == 1 ? group.rows : 2048 / lanes;
    for (std::int64_t first = 0; first < group.rows; first += block) {
        ranges(first, std::min(block, group.rows - first));
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
    for (const Plan::Group& group : plan.groups) {
        plan.run(group);
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
