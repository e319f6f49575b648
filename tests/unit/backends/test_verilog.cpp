#include "backends/verilog/verilog.h"

#include <doctest/doctest.h>

#include <map>
#include <random>

#include "../bits/samples.h"
#include "fixed/fixed.h"
#include "passes/pipeline.h"
#include "verilog_runner.h"

using namespace gatewright;
using bits::Function;
using bits::NodeId;
using bits::Op;
using bits::Type;
using verilog_runner::Frames;

namespace {

/// Many small functions side by side: input i of each is one of the lanes for its place, chosen by
/// its type.
class Batch {
  public:
    explicit Batch(std::string name) {
        all_.name = std::move(name);
        condition_ = bits::samples::push_input(all_, {false, 1});
        for (auto& place : lanes_) {
            for (const Type type : bits::samples::types(1, 4)) {
                place.push_back(bits::samples::push_input(all_, type));
            }
        }
    }

    /// The first input of a mux is the condition.
    void add(const Function& f) {
        std::vector<NodeId> at;
        for (const bits::Node& node : f.nodes) {
            bits::Node copy = node;
            if (node.op == Op::input) {
                const bool mux = f.inputs.size() == 3;
                const auto input = static_cast<std::size_t>(node.immediate);
                at.push_back(mux && input == 0 ? condition_
                                               : lane(input - (mux ? 1 : 0), node.type));
                continue;
            }
            for (int i = 0; i < bits::info(node.op).operands; ++i) {
                copy.operand[i] = at[node.operand[i]];
            }
            if (node.op == Op::read) {
                copy.immediate += static_cast<std::int64_t>(all_.tables.size());
            }
            at.push_back(static_cast<NodeId>(all_.nodes.size()));
            all_.nodes.push_back(copy);
        }
        for (const bits::Table& table : f.tables) {
            all_.tables.push_back(table);
            all_.tables.back().name = f.name;
        }
        for (const bits::Output& output : f.outputs) {
            all_.outputs.push_back({f.name + "_" + output.name, at[output.node]});
        }
        ports_.emplace_back(f.name, f.outputs.size());
    }

    design::Design design() const { return verilog_runner::design_of(all_, ports_); }

    /// Each value of the condition and of both places, in all combinations.
    Frames frames() const {
        Frames out;
        for (int word = 0; word < 512; ++word) {
            std::vector<Int128> frame = {word / 256};
            for (const int value : {word % 16, word / 16 % 16}) {
                for (const Type type : bits::samples::types(1, 4)) {
                    frame.push_back(bits::wrap(value, type));
                }
            }
            out.push_back(std::move(frame));
        }
        return out;
    }

    Frames expected() const {
        Frames out;
        for (const auto& frame : frames()) {
            out.push_back(bits::evaluate(all_, frame));
        }
        return out;
    }

    std::size_t outputs() const { return all_.outputs.size(); }

  private:
    NodeId lane(std::size_t place, Type type) const {
        for (const NodeId id : lanes_[place]) {
            if (all_.nodes[id].type == type) {
                return id;
            }
        }
        throw std::logic_error("no lane of that type");
    }

    Function all_;
    NodeId condition_ = 0;
    std::vector<NodeId> lanes_[2];
    std::vector<std::pair<std::string, std::size_t>> ports_;
};

/// Operations of an operand and a constant, at either place.
std::vector<Function> constant_functions() {
    std::vector<Function> out;
    for (const Type a : {Type{false, 3}, Type{true, 3}}) {
        for (const Type c : bits::samples::types(1, 3)) {
            for (Int128 value = bits::lowest(c); value <= bits::highest(c); ++value) {
                Function f;
                f.name = "with_" + to_string(a) + "_" + to_string(c) + "_" +
                         to_string(value - bits::lowest(c));
                bits::samples::push_input(f, a);
                bits::samples::push_constant(f, c, value);
                for (const Op op : {Op::add, Op::sub, Op::mul, Op::bit_and, Op::bit_or, Op::bit_xor,
                                    Op::equal, Op::less}) {
                    const bool is_comparison = op == Op::equal || op == Op::less;
                    for (const Type type : is_comparison
                                               ? std::vector<Type>{{false, 1}}
                                               : std::vector<Type>{{false, 5}, {true, 2}}) {
                        bits::samples::push_output(f, bits::samples::push(f, op, type, 0, 0, 1));
                        bits::samples::push_output(f, bits::samples::push(f, op, type, 0, 1, 0));
                    }
                }
                out.push_back(std::move(f));
            }
        }
    }
    return out;
}

/// One register level behind the only stage.
backends::verilog::Options registered(const design::Design& design) {
    backends::verilog::Options options;
    options.pipeline = design::combinational(design.processes.front().body);
    options.pipeline->register_outputs = true;
    return options;
}

/// No warning of `verilator --lint-only -Wall`.
void check_lint(const design::Design& design, const backends::verilog::Options& options) {
    static const bool has_lint = verilog_runner::have(flow::ToolId::verilator);
    if (has_lint) {
        for (const std::string& warning : verilog_runner::lint(design, options)) {
            FAIL_CHECK(design.name, ": ", warning);
        }
    }
}

}  // namespace

TEST_CASE("every operation on small types is the same in simulated Verilog") {
    if (!verilog_runner::have(flow::ToolId::icarus)) {
        return;
    }
    std::map<std::string, Batch> batches;
    std::vector<Function> functions = bits::samples::small_functions();
    for (Function& f : constant_functions()) {
        functions.push_back(std::move(f));
    }
    for (const Function& f : functions) {
        const std::string name = "small_" + f.name.substr(0, f.name.find('_'));
        batches.try_emplace(name, name).first->second.add(f);
    }
    std::size_t outputs = 0;
    for (const auto& [name, batch] : batches) {
        const design::Design design = batch.design();
        for (const std::string& wrong : bits::verify(design.processes.front().body)) {
            FAIL_CHECK(name, ": ", wrong);
        }
        const Frames frames = batch.frames();
        const std::string printed =
            verilog_runner::simulate(design, registered(design), frames, batch.expected());
        CHECK_MESSAGE(verilog_runner::passed(printed, frames.size()), name << "\n" << printed);
        outputs += batch.outputs();
        check_lint(design, registered(design));
    }
    CHECK(outputs > 5000);
}

TEST_CASE("a wrong value is seen by the simulation") {
    if (!verilog_runner::have(flow::ToolId::icarus)) {
        return;
    }
    Batch batch("seen");
    batch.add(bits::samples::small_functions().front());
    const design::Design design = batch.design();
    const Frames frames = batch.frames();
    Frames expected = batch.expected();
    expected.back().back() ^= 1;
    const std::string printed =
        verilog_runner::simulate(design, registered(design), frames, expected);
    CHECK(printed.find("GATEWRIGHT FAIL frames=512 mismatches=1 ") != std::string::npos);
}

TEST_CASE("every small quantisation is the same in simulated Verilog") {
    if (!verilog_runner::have(flow::ToolId::icarus)) {
        return;
    }
    struct Made {
        std::size_t source;
        FixedType type;
        Overflow overflow;
        FixedType result;
    };
    for (const Rounding rounding :
         {Rounding::floor, Rounding::ceil, Rounding::toward_zero, Rounding::away, Rounding::half_up,
          Rounding::half_down, Rounding::half_even, Rounding::half_away, Rounding::half_zero}) {
        bits::Builder builder("quantise_" + to_string(rounding));
        fixed::Builder build(builder);
        std::vector<FixedType> types;
        std::vector<fixed::Fixed> sources;
        for (const int width : {1, 3, 5}) {
            for (const bool is_signed : {false, true}) {
                types.push_back({is_signed, width, 2});
                sources.push_back(build.input("x" + std::to_string(types.size()), types.back(),
                                              types.back().range()));
            }
        }
        std::vector<Made> made;
        std::vector<std::pair<std::string, std::size_t>> ports;
        for (std::size_t s = 0; s < sources.size(); ++s) {
            for (const Overflow overflow :
                 {Overflow::wrap, Overflow::saturate, Overflow::saturate_symmetric}) {
                ports.emplace_back("from_" + std::to_string(s) + "_" + to_string(overflow), 0);
                for (int width = 1; width <= 4; ++width) {
                    for (const bool is_signed : {false, true}) {
                        for (int frac = -2; frac <= 4; ++frac) {
                            const FixedType type{is_signed, width, frac};
                            const fixed::Fixed y =
                                build.quantize(sources[s], type, rounding, overflow);
                            CHECK(y.type.frac == frac);
                            builder.output("y" + std::to_string(made.size()), y.bits);
                            made.push_back({s, type, overflow, y.type});
                            ++ports.back().second;
                        }
                    }
                }
            }
        }
        const design::Design design = verilog_runner::design_of(builder.take(), ports);
        Frames frames;
        Frames expected;
        for (int word = 0; word < 32; ++word) {
            auto& frame = frames.emplace_back();
            for (const FixedType& type : types) {
                frame.push_back(
                    bits::wrap(word, {type.is_signed, static_cast<std::uint8_t>(type.width)}));
            }
            auto& results = expected.emplace_back();
            for (const Made& m : made) {
                results.push_back(fixed::quantize(frame[m.source], types[m.source].frac, m.type,
                                                  rounding, m.overflow));
            }
        }
        const std::string printed =
            verilog_runner::simulate(design, registered(design), frames, expected);
        CHECK_MESSAGE(verilog_runner::passed(printed, frames.size()), to_string(rounding)
                                                                          << "\n"
                                                                          << printed);
        check_lint(design, registered(design));
    }
}

TEST_CASE("a pipelined random function is the function, with gaps and a clock enable too") {
    if (!verilog_runner::have(flow::ToolId::icarus)) {
        return;
    }
    std::mt19937_64 random(3);
    for (int stages = 1; stages <= 6; ++stages) {
        // Widths beyond 64 bits in every other one.
        Function f = bits::samples::random_function(150, 1, stages % 2 == 0 ? 12 : 90, random);
        f.name = "random_" + std::to_string(stages);
        const Frames frames = bits::samples::random_values(f, 200, random);
        Frames expected;
        for (const auto& frame : frames) {
            expected.push_back(bits::evaluate(f, frame));
        }
        passes::PipelineOptions how;
        how.stages = stages;
        how.register_inputs = stages % 2 == 0;
        how.register_outputs = stages % 3 == 0;
        backends::verilog::Options options;
        options.pipeline = passes::pipeline(f, passes::delay_model("generic"), how);
        const std::int64_t latency =
            stages - 1 + (how.register_inputs ? 1 : 0) + (how.register_outputs ? 1 : 0);
        const design::Design design =
            verilog_runner::design_of(f, {{"y", f.outputs.size() - 1}, {"same", 1}});
        for (const bool clock_enable : {false, true}) {
            options.clock_enable = clock_enable;
            CHECK(backends::verilog::interface_of(design, options).latency == latency);
            check_lint(design, options);
            for (const std::uint64_t seed : {0, 1, 2}) {
                const std::string printed =
                    verilog_runner::simulate(design, options, frames, expected, seed);
                CHECK_MESSAGE(verilog_runner::passed(printed, frames.size()),
                              "stages " << stages << ", clock_enable " << clock_enable << ", seed "
                                        << seed << "\n"
                                        << printed);
                if (seed == 0) {
                    CHECK(printed.find(" latency=" + std::to_string(latency) + " interval=1 ") !=
                          std::string::npos);
                }
            }
        }
    }
}

TEST_CASE("values that wait in memories and shift registers come in their cycle") {
    if (!verilog_runner::have(flow::ToolId::icarus)) {
        return;
    }
    // Inputs are added at the start and at each end of two chains, of unequal lengths.
    bits::Builder builder("waits");
    std::vector<bits::NodeId> inputs;
    for (int i = 0; i < 5; ++i) {
        inputs.push_back(builder.input("x" + std::to_string(i), {i % 2 == 0, 7}));
    }
    bits::NodeId sum = inputs[0];
    for (int i = 0; i < 24; ++i) {
        const bits::Type type{true, 12};
        sum = builder.sub(builder.shl(sum, 1, type), builder.shr(sum, 2, type), type);
        sum = builder.add(sum, inputs[i == 12 ? 1 : 0], type);
        if (i % 12 == 11) {
            for (const bits::NodeId input : inputs) {
                sum = builder.bit_xor(sum, input, type);
            }
        }
    }
    builder.output("y", sum);
    builder.output("same", inputs[2]);
    const Function f = builder.take();
    std::mt19937_64 random(5);
    const Frames frames = bits::samples::random_values(f, 200, random);
    Frames expected;
    for (const auto& frame : frames) {
        expected.push_back(bits::evaluate(f, frame));
    }
    const design::Design design = verilog_runner::design_of(f, {{"y", 1}, {"same", 1}});
    for (const char* target : {"ecp5", "xcup"}) {
        passes::PipelineOptions how;
        how.stages = 24;
        how.register_inputs = true;
        backends::verilog::Options options;
        options.pipeline = passes::pipeline(f, passes::delay_model(target), how);
        CHECK(options.pipeline->stored.size() >= 8);
        for (const bool clock_enable : {false, true}) {
            options.clock_enable = clock_enable;
            check_lint(design, options);
            for (const std::uint64_t seed : {0, 1, 2}) {
                const std::string printed =
                    verilog_runner::simulate(design, options, frames, expected, seed);
                CHECK_MESSAGE(verilog_runner::passed(printed, frames.size()),
                              target << ", clock_enable " << clock_enable << ", seed " << seed
                                     << "\n"
                                     << printed);
            }
        }
    }
}
