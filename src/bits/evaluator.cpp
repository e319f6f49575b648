#include "bits/evaluator.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>

#include "bits/program.h"

namespace gatewright::bits {

namespace {

std::vector<Lane> natural_input_lanes(const Function& function) {
    std::vector<Lane> lanes;
    for (const Input& input : function.inputs) {
        lanes.push_back(lane_for(input.type));
    }
    return lanes;
}

std::vector<Lane> natural_output_lanes(const Function& function) {
    std::vector<Lane> lanes;
    for (const Output& output : function.outputs) {
        lanes.push_back(lane_for(function.nodes[output.node].type));
    }
    return lanes;
}

void check_lanes(const std::vector<Lane>& lanes, const std::vector<Lane>& least) {
    if (lanes.size() != least.size() ||
        !std::equal(lanes.begin(), lanes.end(), least.begin(), std::greater_equal<>())) {
        throw std::logic_error("bits::Evaluator: a port does not fit its lane");
    }
}

}  // namespace

Lane lane_for(Type type) {
    const int bits = type.width + (type.is_signed ? 0 : 1);
    for (const Lane lane : {Lane::i8, Lane::i16, Lane::i32, Lane::i64}) {
        if (bits <= 8 * static_cast<int>(lane)) {
            return lane;
        }
    }
    return Lane::i128;
}

Evaluator::Evaluator(const Function& function, std::vector<Lane> input_lanes,
                     std::vector<Lane> output_lanes) {
    check_lanes(input_lanes, natural_input_lanes(function));
    check_lanes(output_lanes, natural_output_lanes(function));
    program_ = std::make_unique<Program>(
        compile(function, std::move(input_lanes), std::move(output_lanes)));
}

Evaluator::Evaluator(const Function& function)
    : Evaluator(function, natural_input_lanes(function), natural_output_lanes(function)) {}

Evaluator::~Evaluator() = default;
Evaluator::Evaluator(Evaluator&&) noexcept = default;
Evaluator& Evaluator::operator=(Evaluator&&) noexcept = default;

const std::vector<Lane>& Evaluator::input_lanes() const {
    return program_->input_lanes;
}
const std::vector<Lane>& Evaluator::output_lanes() const {
    return program_->output_lanes;
}

void Evaluator::run(const void* const* inputs, void* const* outputs, Scratch& scratch) const {
    const Program& p = *program_;
    std::size_t space = (std::size_t{p.scratch_lines} + 1) * sizeof(Line);
    if (scratch.memory.size() < space) {
        scratch.memory.resize(space);
    }
    void* memory = scratch.memory.data();
    space = scratch.memory.size();
    auto* lines = static_cast<Line*>(
        std::align(alignof(Line), std::size_t{p.scratch_lines} * sizeof(Line), memory, space));
    execute(p.code.data(), p.code.data() + p.code.size(), p.constants.data(), p.tables.data(),
            lines, inputs, outputs);
}

}  // namespace gatewright::bits
