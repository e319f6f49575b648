#include "backends/verilog/module.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>

#include "backends/verilog/chains.h"
#include "backends/verilog/names.h"

namespace gatewright::backends::verilog {

namespace {

using bits::Node;
using bits::NodeId;
using bits::Op;
using bits::Type;
using design::Machine;

/// `value` modulo 2^width, for example 8'hff.
std::string literal(Int128 value, int width) {
    UInt128 bits = static_cast<UInt128>(value);
    if (width < 128) {
        bits &= (static_cast<UInt128>(1) << width) - 1;
    }
    std::string digits;
    do {
        digits.push_back("0123456789abcdef"[static_cast<int>(bits & 15)]);
        bits >>= 4;
    } while (bits != 0);
    std::reverse(digits.begin(), digits.end());
    return fmt::format("{}'h{}", width, digits);
}

/// Some bits of a signal: what an operand is before it is extended.
struct Bits {
    std::string signal;
    int declared = 0;  ///< width of the signal
    int low = 0;
    int width = 0;
    bool is_signed = false;

    std::string bit(int i) const {
        return declared == 1 ? signal : fmt::format("{}[{}]", signal, low + i);
    }
    std::string slice(int bits) const {
        if (bits == declared) {
            return signal;
        }
        return bits == 1 ? bit(0) : fmt::format("{}[{}:{}]", signal, low + bits - 1, low);
    }
};

class Printer {
  public:
    explicit Printer(const Machine& machine)
        : machine_(machine), step_(machine.step), chains_(find_chains(machine)) {}

    PrintedModule print() {
        name_inputs();
        find_shielded();
        print_header();
        print_state_declarations();
        for (NodeId id = 0; id < step_.nodes.size(); ++id) {
            print_node(id);
        }
        print_outputs();
        print_state();
        print_memories();
        out_ += "endmodule\n";
        return {std::move(out_), !chains_.sums.empty(), std::move(input_names_),
                std::move(output_names_)};
    }

  private:
    void name_inputs() {
        for (const char* name : {"clk", "rst"}) {
            ports_.push_back(name);
        }
        const auto name_ports = [&](const std::vector<Machine::Port>& ports,
                                    std::vector<std::string>& names) {
            for (const Machine::Port& port : ports) {
                names.push_back(port.is_control ? port.name : names_.unique(port.name));
            }
        };
        name_ports(machine_.inputs, input_names_);
        name_ports(machine_.outputs, output_names_);
        for (std::size_t i = 0; i < machine_.inputs.size(); ++i) {
            const int total = width_of(machine_.inputs[i].lanes);
            int low = 0;
            for (const Type type : machine_.inputs[i].lanes) {
                inputs_.push_back(
                    {input_names_[i], std::max(1, total), low, type.width, type.is_signed});
                low += type.width;
            }
        }
        for (const Machine::Register& r : machine_.registers) {
            register_names_.push_back(names_.unique(r.name));
            inputs_.push_back(
                {register_names_.back(), r.type.width, 0, r.type.width, r.type.is_signed});
        }
        for (const Machine::Memory& memory : machine_.memories) {
            memory_names_.push_back(names_.unique(memory.name));
            read_names_.push_back(names_.unique(memory.name + "_word"));
            int low = 0;
            for (const Type type : memory.lanes) {
                inputs_.push_back(
                    {read_names_.back(), width_of(memory.lanes), low, type.width, type.is_signed});
                low += type.width;
            }
        }
    }

    void print_header() {
        out_ += "// Made by Gatewright. All signals are two's complement or unsigned integers.\n";
        // Weights of zero leave bits of inputs, and wraps leave high bits of sums, without a
        // reader.
        out_ += "/* verilator lint_off UNUSEDSIGNAL */\n";
        out_ += fmt::format("module {} (\n    input wire clk,\n    input wire rst", machine_.name);
        for (std::size_t i = 0; i < machine_.inputs.size(); ++i) {
            out_ += fmt::format(",\n    input wire {}{}",
                                range_text(width_of(machine_.inputs[i].lanes)), input_names_[i]);
        }
        for (std::size_t i = 0; i < machine_.outputs.size(); ++i) {
            out_ += fmt::format(",\n    output wire {}{}",
                                range_text(width_of(machine_.outputs[i].lanes)), output_names_[i]);
        }
        out_ += "\n);\n";
    }

    void print_state_declarations() {
        for (std::size_t i = 0; i < machine_.registers.size(); ++i) {
            if (machine_.registers[i].type.width > 0) {
                out_ += fmt::format("    reg {}{};\n", range_text(machine_.registers[i].type.width),
                                    register_names_[i]);
            }
        }
        for (std::size_t m = 0; m < machine_.memories.size(); ++m) {
            const Machine::Memory& memory = machine_.memories[m];
            const std::string range = range_text(width_of(memory.lanes));
            if (width_of(memory.lanes) == 0) {
                continue;
            }
            if (!memory.contents.empty()) {
                out_ += fmt::format("    reg {}{};\n", range, read_names_[m]);
                continue;
            }
            out_ += fmt::format("    {}reg {}{} [0:{}];\n    wire {}{};\n",
                                memory.in_tables ? "(* ram_style = \"distributed\" *) " : "", range,
                                memory_names_[m], memory.words - 1, range, read_names_[m]);
        }
    }

    /// Finds sums whose only reader is another sum. Yosys would merge the two into one of three
    /// operands, a row of carry-save adders before the carry chain: half as many tables again.
    void find_shielded() {
        enum class Reader : std::uint8_t { none, sum, other };
        std::vector<Reader> reader(step_.nodes.size(), Reader::none);
        shielded_.assign(step_.nodes.size(), 0);
        for (const bits::Output& output : step_.outputs) {
            reader[output.node] = Reader::other;
        }
        for (NodeId id = static_cast<NodeId>(step_.nodes.size()); id-- > 0;) {
            const Node& node = step_.nodes[id];
            const bool is_sum = node.op == Op::add || node.op == Op::sub || node.op == Op::mul;
            const bool is_alias = node.op == Op::cast || node.op == Op::shl;
            shielded_[id] = is_sum && reader[id] == Reader::sum && node.type.width > 1 ? 1 : 0;
            for (int k = 0; k < bits::info(node.op).operands; ++k) {
                const Reader now = is_sum && !is_chained(id) ? Reader::sum
                                   : is_alias                ? reader[id]
                                                             : Reader::other;
                Reader& of = reader[node.operand[k]];
                of = of == Reader::none ? now : Reader::other;
            }
        }
    }

    bool is_chained(NodeId id) const {
        return chains_.hidden[id] != 0 || chains_.sums.contains(id);
    }

    /// The operand's bits as the node has them.
    Bits operand(NodeId id) const {
        const Node& node = step_.nodes[id];
        if (node.op == Op::input) {
            return inputs_[static_cast<std::size_t>(node.immediate)];
        }
        return {signal_of_.at(id), node.type.width, 0, node.type.width, node.type.is_signed};
    }

    /// The integer of `bits`, modulo 2^width.
    static std::string extend(const Bits& bits, int width) {
        if (bits.width == 0) {
            return literal(0, width);
        }
        if (width <= bits.width) {
            return bits.slice(width);
        }
        const int more = width - bits.width;
        if (!bits.is_signed) {
            return fmt::format("{{{{{}{{1'b0}}}}, {}}}", more, bits.slice(bits.width));
        }
        return fmt::format("{{{{{}{{{}}}}}, {}}}", more, bits.bit(bits.width - 1),
                           bits.slice(bits.width));
    }

    std::string extend(NodeId id, int width) const {
        const Node& node = step_.nodes[id];
        return node.op == Op::constant ? literal(step_.constant(node), width)
                                       : extend(operand(id), width);
    }

    /// An operand of an addition. Where it is an unsigned complement, shifted or not, all of it is
    /// written as one complement, ones where the operand has zeros: so Yosys inverts in the tables
    /// of the sum and needs no inverters.
    std::string summand(NodeId id, int width) const {
        const Node* node = &step_.nodes[id];
        int shift = 0;
        if (node->op == Op::shl) {
            shift = static_cast<int>(node->immediate);
            const Node& from = step_.nodes[node->operand[0]];
            if (node->type.width < from.type.width + shift) {
                return extend(id, width);
            }
            node = &from;
        }
        const int own = node->type.width;
        const bool fits = node->op == Op::bit_not && !node->type.is_signed && own > 0 &&
                          step_.nodes[node->operand[0]].op != Op::constant && shift + own <= width;
        if (!fits) {
            return extend(id, width);
        }
        std::string parts = extend(node->operand[0], own);
        if (shift + own < width) {
            parts = fmt::format("{{{}{{1'b1}}}}, {}", width - shift - own, parts);
        }
        if (shift > 0) {
            parts += fmt::format(", {{{}{{1'b1}}}}", shift);
        }
        return fmt::format("~{{{}}}", parts);
    }

    std::string shifted_left(const Node& node) const {
        const int width = node.type.width;
        const int amount = static_cast<int>(node.immediate);
        if (amount == 0) {
            return extend(node.operand[0], width);
        }
        if (amount >= width) {
            return literal(0, width);
        }
        return fmt::format("{{{}, {}'b0}}", extend(node.operand[0], width - amount), amount);
    }

    std::string shifted_right(const Node& node) const {
        const Node& from = step_.nodes[node.operand[0]];
        if (from.op == Op::constant) {
            return literal(step_.constant(from) >> std::min<std::int64_t>(node.immediate, 127),
                           node.type.width);
        }
        Bits bits = operand(node.operand[0]);
        const int amount = static_cast<int>(std::min<std::int64_t>(node.immediate, 255));
        if (amount >= bits.width) {
            if (!bits.is_signed || bits.width == 0) {
                return literal(0, node.type.width);
            }
            bits.low += bits.width - 1;  // only the sign is left
            bits.width = 1;
        } else {
            bits.low += amount;
            bits.width -= amount;
        }
        return extend(bits, node.type.width);
    }

    /// A comparison, at a width that holds both operands.
    std::string compared(const Node& node, const char* sign) const {
        const Type a = step_.nodes[node.operand[0]].type;
        const Type b = step_.nodes[node.operand[1]].type;
        const bool as_signed = a.is_signed || b.is_signed;
        const auto room = [&](Type t) { return t.width + (as_signed && !t.is_signed ? 1 : 0); };
        const int width = std::max({1, room(a), room(b)});
        const std::string x = extend(node.operand[0], width);
        const std::string y = extend(node.operand[1], width);
        return as_signed ? fmt::format("$signed({}) {} $signed({})", x, sign, y)
                         : fmt::format("{} {} {}", x, sign, y);
    }

    std::string expression(const Node& node) const {
        const int width = node.type.width;
        const auto x = [&](int i) { return extend(node.operand[i], width); };
        switch (node.op) {
            case Op::add:
                return fmt::format("{} + {}", summand(node.operand[0], width),
                                   summand(node.operand[1], width));
            case Op::sub:
                return fmt::format("{} - {}", x(0), x(1));
            case Op::mul:
                return fmt::format("{} * {}", x(0), x(1));
            case Op::shl:
                return shifted_left(node);
            case Op::shr:
                return shifted_right(node);
            case Op::bit_and:
                return fmt::format("{} & {}", x(0), x(1));
            case Op::bit_or:
                return fmt::format("{} | {}", x(0), x(1));
            case Op::bit_xor:
                return fmt::format("{} ^ {}", x(0), x(1));
            case Op::bit_not:
                return fmt::format("~{}", x(0));
            case Op::equal:
                return compared(node, "==");
            case Op::less:
                return compared(node, "<");
            case Op::mux:
                return fmt::format("{} ? {} : {}", extend(node.operand[0], 1), x(1), x(2));
            case Op::cast:
                return x(0);
            default:
                throw std::logic_error("inputs, constants and reads have no expression");
        }
    }

    /// Bits [low, high) of an operand of a chain, before the chain inverts it.
    std::string chain_bits(const design::ChainOperand& operand, int low, int high) const {
        std::string parts;
        const auto put = [&](const std::string& part) {
            parts = part + (parts.empty() ? "" : ", ") + parts;
        };
        const UInt128 constant = operand.inverted ? ~operand.constant : operand.constant;
        const bool varies = operand.node != design::ChainOperand::none;
        const int first = varies ? std::clamp(operand.first, low, high) : high;
        const int end = varies ? std::clamp(operand.end, first, high) : high;
        if (first > low) {
            put(literal(static_cast<Int128>(constant >> low), first - low));
        }
        if (first < end) {
            Bits bits = this->operand(operand.node);
            const int skipped = std::min(first - operand.first, bits.width - 1);
            const int own = std::min(end - operand.first, bits.width) - skipped;
            const int sign = end - first - std::max(own, 0);
            bits.low += skipped;
            bits.width -= skipped;
            const std::string last = bits.bit(bits.width - 1);
            put(bits.slice(own));
            if (sign > 0) {
                put(fmt::format("{{{}{{{}}}}}", sign, last));
            }
        }
        if (end < high) {
            put(literal(static_cast<Int128>(constant >> end), high - end));
        }
        return fmt::format("{{{}}}", parts);
    }

    void print_chain(const design::ChainSum& sum, const std::string& name) {
        int inverted = 0;
        for (std::size_t k = 0; k < sum.operands.size(); ++k) {
            inverted |= sum.operands[k].inverted ? 1 << k : 0;
        }
        const auto bits = [&](std::size_t k) {
            return chain_bits(sum.operands[k], sum.low, sum.width);
        };
        out_ += fmt::format("    wire {}{};\n", range_text(sum.width), name);
        out_ += fmt::format(
            "    gatewright_sum #(\n        .WIDTH({}),\n        .TABLES({}),\n"
            "        .THREE({}),\n        .INVERT(3'd{}),\n        .ONES(2'd{})\n    ) {} (\n"
            "        .a({}),\n        .b({}),\n        .c({}),\n        .sum({})\n    );\n",
            sum.length(), sum.tables, sum.three ? 1 : 0, inverted, sum.ones,
            names_.unique(name + "_sum"), bits(0), bits(1), bits(2),
            sum.low == 0 ? name : fmt::format("{}[{}:{}]", name, sum.width - 1, sum.low));
        if (sum.low > 0) {
            const auto& wires = sum.operands[static_cast<std::size_t>(sum.wires)];
            out_ += fmt::format("    assign {}[{}:0] = {};\n", name, sum.low - 1,
                                chain_bits(wires, 0, sum.low));
        }
    }

    void print_node(NodeId id) {
        const Node& node = step_.nodes[id];
        if (node.op == Op::input || node.op == Op::constant || chains_.hidden[id] != 0) {
            return;
        }
        const std::string& origin = step_.origins[node.origin];
        const std::string name =
            names_.unique(fmt::format("{}_n{}", origin.empty() ? "w" : origin, id));
        signal_of_[id] = name;
        if (node.type.width == 0) {
            return;
        }
        if (node.op == Op::read) {
            print_read(node, name);
            return;
        }
        if (const auto chain = chains_.sums.find(id); chain != chains_.sums.end()) {
            print_chain(chain->second, name);
            return;
        }
        if (shielded_[id] != 0) {
            // Inverted twice, which costs nothing.
            const std::string inverted = names_.unique(name + "_inverted");
            out_ += fmt::format("    wire {0}{1} = ~({2});\n    wire {0}{3} = ~{1};\n",
                                range_text(node.type.width), inverted, expression(node), name);
            return;
        }
        out_ += fmt::format("    wire {}{} = {};\n", range_text(node.type.width), name,
                            expression(node));
    }

    void print_read(const Node& node, const std::string& name) {
        const bits::Table& table = step_.tables[static_cast<std::size_t>(node.immediate)];
        const int width = node.type.width;
        const int address = step_.nodes[node.operand[0]].type.width;
        if (address == 0) {
            out_ += fmt::format("    wire {}{} = {};\n", range_text(width), name,
                                literal(table.words[0], width));
            return;
        }
        // Inverted twice: Yosys moves a register that is a table's address behind the table, into
        // the stage before, which has no time for it.
        const std::string inverted = names_.unique(name + "_address_inverted");
        const std::string at = names_.unique(name + "_address");
        out_ += fmt::format("    wire {0}{1} = ~{2};\n    wire {0}{3} = ~{1};\n",
                            range_text(address), inverted, extend(node.operand[0], address), at);
        out_ += fmt::format("    reg {}{};\n    always @(*) begin\n        case ({})\n",
                            range_text(width), name, at);
        for (std::size_t i = 0; i + 1 < table.words.size(); ++i) {
            out_ +=
                fmt::format("            {}: {} = {};\n", literal(static_cast<Int128>(i), address),
                            name, literal(table.words[i], width));
        }
        out_ += fmt::format("            default: {} = {};\n        endcase\n    end\n", name,
                            literal(table.words.back(), width));
    }

    void print_outputs() {
        std::size_t next = 0;
        for (std::size_t i = 0; i < machine_.outputs.size(); ++i) {
            const std::string parts = packed(machine_.outputs[i].lanes, next);
            next += machine_.outputs[i].lanes.size();
            out_ += parts.empty()
                        ? fmt::format("    assign {} = 1'b0;\n", output_names_[i])
                        : fmt::format("    assign {} = {{{}}};\n", output_names_[i], parts);
        }
        first_next_ = next;
    }

    void print_state() {
        const auto enable_of = [&](const Machine::Register& r) {
            return r.enable < 0 ? std::string()
                                : extend(step_
                                             .outputs[first_next_ + machine_.registers.size() +
                                                      static_cast<std::size_t>(r.enable)]
                                             .node,
                                         1);
        };
        // Registers with the same reset and enable share one block.
        std::map<std::pair<bool, std::string>, std::string> blocks;
        std::string resets;
        for (std::size_t i = 0; i < machine_.registers.size(); ++i) {
            const Machine::Register& r = machine_.registers[i];
            if (r.type.width == 0) {
                continue;
            }
            blocks[{r.has_reset, enable_of(r)}] +=
                fmt::format("            {} <= {};\n", register_names_[i],
                            extend(step_.outputs[first_next_ + i].node, r.type.width));
            if (r.has_reset) {
                resets += fmt::format("            {} <= {};\n", register_names_[i],
                                      literal(r.initial, r.type.width));
            }
        }
        bool reset_done = false;
        for (const auto& [key, text] : blocks) {
            const auto& [has_reset, enable] = key;
            const std::string guard = enable.empty() ? "" : fmt::format("if ({}) ", enable);
            out_ += "    always @(posedge clk) begin\n";
            if (has_reset) {
                if (reset_done) {
                    throw std::logic_error("registers with reset share one enable");
                }
                reset_done = true;
                out_ += fmt::format(
                    "        if (rst) begin\n{}        end else {}begin\n{}"
                    "        end\n",
                    resets, guard, text);
            } else {
                out_ += fmt::format("        {}begin\n{}        end\n", guard, text);
            }
            out_ += "    end\n";
        }
    }

    /// Lanes of a word side by side, lane 0 at the lowest bits.
    std::string packed(const std::vector<Type>& lanes, std::size_t first_output) const {
        std::string parts;
        for (std::size_t l = 0; l < lanes.size(); ++l) {
            if (lanes[l].width > 0) {
                parts = extend(step_.outputs[first_output + l].node, lanes[l].width) +
                        (parts.empty() ? "" : ", ") + parts;
            }
        }
        return parts;
    }

    /// Reads are combinational, writes come with the clock.
    void print_memories() {
        std::size_t next = first_next_ + machine_.registers.size() + machine_.enables.size();
        for (std::size_t m = 0; m < machine_.memories.size(); ++m) {
            const Machine::Memory& memory = machine_.memories[m];
            const bool rom = !memory.contents.empty();
            const int width = width_of(memory.lanes);
            const int bits = std::max<int>(1, bits::narrowest(memory.words - 1).width);
            const std::size_t read = next;
            next += rom ? 1 : 3 + memory.lanes.size();
            if (width == 0) {
                continue;
            }
            const std::string address = extend(step_.outputs[read].node, bits);
            if (rom) {
                print_rom(memory, read_names_[m], address, bits);
                continue;
            }
            out_ +=
                fmt::format("    assign {} = {}[{}];\n", read_names_[m], memory_names_[m], address);
            out_ += fmt::format(
                "    always @(posedge clk) begin\n        if ({}) {}[{}] <= {{{}}};\n    end\n",
                extend(step_.outputs[read + 1].node, 1), memory_names_[m],
                extend(step_.outputs[read + 2].node, bits), packed(memory.lanes, read + 3));
        }
    }

    void print_rom(const Machine::Memory& memory, const std::string& name,
                   const std::string& address, int bits) {
        out_ += fmt::format("    always @(*) begin\n        case ({})\n", address);
        for (std::size_t w = 0; w < memory.contents.size(); ++w) {
            std::string parts;
            for (std::size_t l = 0; l < memory.lanes.size(); ++l) {
                if (memory.lanes[l].width > 0) {
                    parts = literal(memory.contents[w][l], memory.lanes[l].width) +
                            (parts.empty() ? "" : ", ") + parts;
                }
            }
            const bool last = w + 1 == memory.contents.size();
            out_ +=
                fmt::format("            {}: {} = {{{}}};\n",
                            last ? "default" : literal(static_cast<Int128>(w), bits), name, parts);
        }
        out_ += "        endcase\n    end\n";
    }

    const Machine& machine_;
    const bits::Function& step_;
    Names names_;
    std::vector<std::string> ports_;
    std::vector<std::string> input_names_;
    std::vector<std::string> output_names_;
    std::vector<std::string> register_names_;
    std::vector<std::string> memory_names_;
    std::vector<std::string> read_names_;  ///< the words that memories give
    std::vector<Bits> inputs_;
    std::map<NodeId, std::string> signal_of_;
    std::vector<char> shielded_;  ///< by node
    Chains chains_;
    std::size_t first_next_ = 0;
    std::string out_;
};

}  // namespace

int width_of(const std::vector<Type>& lanes) {
    int width = 0;
    for (const Type type : lanes) {
        width += type.width;
    }
    return width;
}

/// "[7:0] " or nothing for one bit.
std::string range_text(int width) {
    return width <= 1 ? std::string() : fmt::format("[{}:0] ", width - 1);
}

PrintedModule print_module(const Machine& machine) {
    return Printer(machine).print();
}

}  // namespace gatewright::backends::verilog
