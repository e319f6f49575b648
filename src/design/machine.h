#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bits/function.h"
#include "design/design.h"

namespace gatewright::design {

/// What stands between a Process and Verilog: one clock cycle as a bits function with state.
/// RTL backends print a machine; it is derived, never written by hand.
///
/// `step` has as inputs, in this order: the lanes of the input ports, the present values of the
/// registers, the lanes that each memory reads. It has as outputs, in this order: the lanes of the
/// output ports, the next values of the registers, the enables (one unsigned bit each), and for
/// each memory the read address and, if it is a RAM, the write enable (one unsigned bit), the write
/// address and the lanes to write.
///
/// Clock and reset are implied: all state changes at the rising edge of `clk`; `rst` (synchronous,
/// active high, stronger than any enable) puts each register that has a reset to its initial value.
/// A memory is read before it is written in a cycle.
struct Machine {
    struct Port {
        std::string name;
        /// Lanes packed into one bus, lane 0 at the lowest bits; a control signal is one bit.
        std::vector<bits::Type> lanes;
        bool is_control = false;  ///< in_valid and the like: it keeps its name as it is
    };
    struct Register {
        std::string name;
        bits::Type type;
        bool has_reset = false;
        Int128 initial = 0;
        int enable = -1;  ///< index into `enables`, -1: always
    };
    struct Memory {
        std::string name;
        std::vector<bits::Type> lanes;
        std::int64_t words = 0;
        std::vector<std::vector<Int128>> contents;  ///< ROM, or empty
        bool in_tables = false;  ///< a RAM of lookup tables, never a block memory
    };

    std::string name;
    std::vector<Port> inputs;
    std::vector<Port> outputs;
    std::vector<Register> registers;
    std::vector<std::string> enables;
    std::vector<Memory> memories;
    bits::Function step;
    /// By node of `step`, or empty: sums that their only reader adds in its own carry chain, as in
    /// Pipeline. A printer that knows no such chains takes them as any other.
    std::vector<char> merged;
    std::int64_t latency = 0;   ///< cycles from a frame's first word in to its last word out
    std::int64_t interval = 1;  ///< initiation interval: cycles between frames
};

/// Checks counts, types and indices of a machine against the order above, and its step function.
/// Returns what is wrong; empty if sound.
std::vector<std::string> verify(const Machine& machine);

/// A value that only waits: nothing between level `first`, where it comes from, and `levels`
/// register levels later reads it.
struct DelayLine {
    bits::NodeId value = 0;
    std::int32_t first = 0;
    std::int32_t levels = 0;
};

/// Where the registers of a pipelined function lie: the stage of every node. A value that is used
/// in a later stage than its own crosses registers. Made by passes::pipeline.
/// Invariant: no node is in an earlier stage than its operands; 0 <= stage < stages.
struct Pipeline {
    std::vector<std::int32_t> stage;  ///< of each node of the function
    /// By node, or empty: sums that their only reader, a sum of the same stage, adds in its own
    /// carry chain (design/chain_sum.h).
    std::vector<char> merged;
    int stages = 1;                 ///< combinational stages; stages - 1 register levels between
    bool register_inputs = false;   ///< one more register level before the first stage
    bool register_outputs = false;  ///< and after the last
    double critical_path_ns = 0;    ///< estimated, register to register

    /// Delay lines that are held in cells of their own, all but their last level, which is a
    /// register: so nothing else waits for such cells. Chosen by passes::store_delay_lines.
    std::vector<DelayLine> stored;
    bool stored_in_memories = false;  ///< else in shift registers

    /// Cycles from a value in to its result out.
    std::int64_t latency() const {
        return stages - 1 + (register_inputs ? 1 : 0) + (register_outputs ? 1 : 0);
    }
};

/// Everything in one stage: combinational from inputs to outputs.
Pipeline combinational(const bits::Function& function);

/// Where the nodes of one origin (a layer) lie in a pipeline.
struct OriginTiming {
    std::int32_t first = 0;          ///< register levels before its first operation
    std::int32_t last = -1;          ///< and before its last; -1: it has no operation
    std::int64_t register_bits = 0;  ///< that hold its results, summed over all levels
};

/// [origin]
std::vector<OriginTiming> timing_by_origin(const bits::Function& function,
                                           const Pipeline& pipeline);

/// Data bits that cross a register level, summed over all levels.
std::int64_t register_bits(const bits::Function& function, const Pipeline& pipeline);

/// A process without loops, registers or memories as a pipeline that takes a frame in every cycle.
/// Ports: `in_valid`, then the process's inputs; `out_valid`, then its outputs. With `clock_enable`
/// there is an input of that name, and nothing moves in cycles where it is 0. The valid bits are
/// reset, data are not.
Machine pipelined(const Process& process, const Pipeline& pipeline, bool clock_enable = false);

/// Any process as a machine with a handshake on each port: one iteration in each cycle in which all
/// input words that it takes are there and all output words that it makes find room. The body is
/// combinational, so the interval is the number of iterations. Registers have their initial values
/// in the first iteration of a frame, counters are reset.
/// Ports, for each input port p: `p`, `p_valid`, and the output `p_ready`; for each output port q:
/// `q`, `q_valid`, and the input `q_ready`. A word moves in the cycles where both are 1.
/// `p_ready` depends on the valids of other inputs and on the readies of outputs: a queue of two or
/// more words cuts such chains.
Machine handshaked(const Process& process);

}  // namespace gatewright::design
