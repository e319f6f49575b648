#include "backends/verilog/chains.h"

namespace gatewright::backends::verilog {

using bits::NodeId;

Chains find_chains(const design::Machine& machine) {
    const bits::Function& step = machine.step;
    Chains out{{}, machine.merged};
    out.hidden.resize(step.nodes.size(), 0);
    if (machine.merged.empty()) {
        return out;
    }
    const auto readers = design::chain_readers(step);
    for (NodeId id = 0; id < step.nodes.size(); ++id) {
        if (out.hidden[id] == 0) {
            continue;
        }
        const NodeId reader = readers[id].node;
        auto chain = reader == design::ChainOperand::none
                         ? std::nullopt
                         : design::chain_sum(step, reader, out.hidden);
        if (chain) {
            out.sums.emplace(reader, *chain);
        } else {
            out.hidden[id] = 0;
        }
    }
    for (NodeId id = 0; id < step.nodes.size(); ++id) {
        if (design::is_seen_through(step, id) && out.hidden[step.nodes[id].operand[0]] != 0) {
            out.hidden[id] = 1;
        }
    }
    return out;
}

}  // namespace gatewright::backends::verilog
