#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostics.h"
#include "bits/function.h"
#include "types/fixed_type.h"

/// Level 2, where and when: processes joined by channels. A Design is a Kahn network: what it
/// computes does not depend on stalls or on the depth of its queues.
namespace gatewright::design {

/// One number of a word: ports, channels and memories hold rows of lanes, not packed bits.
struct Lane {
    FixedType type;
    Interval range;  ///< of the integer

    bits::Type bits() const { return {type.is_signed, static_cast<std::uint8_t>(type.width)}; }
    bool operator==(const Lane&) const = default;
};

/// One loop of a process's perfect nest; constant bounds, counting 0 .. count-1.
struct Loop {
    std::string name;
    std::int64_t count = 1;
};

struct Port {
    std::string name;
    std::vector<Lane> lanes;  ///< of one word
};

/// Carries a value from one iteration to the next; set to `initial` before each frame's first.
struct Register {
    std::string name;
    Lane lane;
    Int128 initial = 0;
};

/// Read and written at most once per iteration, the read first. Without `contents` it is a RAM
/// whose words are undefined until written in the same frame: they may be read, but no output may
/// depend on them (emulate::DesignEmulator sees to that). With `contents` it is a ROM.
struct Memory {
    std::string name;
    std::vector<Lane> lanes;
    std::int64_t words = 0;
    std::vector<std::vector<Int128>> contents;  ///< [word][lane], or empty
};

/// A perfect nest of constant-bound loops, run once per frame for ever, around a body that is one
/// iteration. No loops means one iteration per frame.
///
/// `control` says when and where, from loop counters alone, so that rates are static:
///   inputs:  one per loop (unsigned counter, in the order of `loops`)
///   outputs: per input port `when` (1 bit: a word is taken in this iteration),
///            per output port `when`,
///            per memory `read_address`; per RAM also `write_when` and `write_address`.
/// `body` says what:
///   inputs:  the counters; the lanes of each input port (meaningless where not taken); the
///            registers; the lanes that each memory reads
///   outputs: the lanes of each output port; the next value of each register; per RAM the lanes
///            to write.
/// Names of the functions' inputs and outputs: counters by loop name, lanes `port.lane`, registers
/// by name, memory lanes `memory.lane`, control outputs `port.when`, `memory.read_address`, ...
struct Process {
    std::string name;
    Location origin;
    std::vector<Loop> loops;  ///< outermost first
    std::vector<Port> inputs;
    std::vector<Port> outputs;
    std::vector<Register> registers;
    std::vector<Memory> memories;
    bits::Function control;
    bits::Function body;

    /// Product of the loop counts.
    std::int64_t iterations() const;
};

/// One end of a channel: a port of a process, or (process -1) port number `port` of the top.
struct End {
    int process = -1;
    int port = 0;

    bool operator==(const End&) const = default;
};

/// One writer, one reader, equal words per frame. Depth 0: wires.
struct Channel {
    End from;
    End to;
    std::vector<Lane> lanes;
    std::int64_t depth = 0;
};

/// A port of the whole design: a tensor, sent as `words` words a frame of `lanes` each. Element
/// order[w * lanes + l] of the tensor is lane l of word w.
struct TopPort {
    std::string name;  ///< the model's input or output
    std::vector<Lane> lanes;
    std::int64_t words = 1;
    std::vector<std::int64_t> order;  ///< empty: row-major
};

struct Design {
    std::string name;
    std::vector<Process> processes;
    std::vector<Channel> channels;
    std::vector<TopPort> inputs;
    std::vector<TopPort> outputs;
};

/// Checks every invariant above: names, counts and types of control and body, lanes of channels,
/// one writer and one reader, words per frame equal at both ends, addresses in range. Runs the
/// control of every process through one frame. Returns what is wrong; empty if sound.
std::vector<std::string> verify(const Design& design);

/// The text form, which round-trips. Functions are in the text form of src/bits, indented by "| ".
///
///     design block
///     input "x" words 48 order 0 8 1 9 : fixed<4,1>[-8,7]
///     output "y" words 12 : ufixed<4,0>[0,15]
///     process "block_0" at "model.onnx" "conv1" "Conv" ""
///     loop "row" 8
///     take "x" : fixed<4,1>[-8,7]
///     give "y" : ufixed<4,0>[0,15]
///     register "window_0" = 0 : fixed<4,1>[-8,7]
///     memory "lines" words 10 : fixed<4,1>[-8,7] fixed<4,1>[-8,7]
///     word 3 -1                                   (one line for each word of a ROM)
///     control
///     | function ...
///     body
///     | function ...
///     channel top.0 to 0.0 depth 0 : fixed<4,1>[-8,7]
std::string to_text(const Design& design);
/// Parses the text form; throws Failure (design_text) with the line on anything else, and on a
/// design that verify() faults.
Design from_text(std::string_view text);

}  // namespace gatewright::design
