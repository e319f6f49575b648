#include <doctest/doctest.h>

#include "bits/builder.h"
#include "design/design.h"
#include "design/layer_functions.h"
#include "design/machine.h"
#include "design/rates.h"

using namespace gatewright;
using namespace gatewright::design;

namespace {

const Lane byte{{false, 8, 0}, {0, 255}};
const Lane sum_lane{{false, 10, 0}, {0, 1020}};

/// Sums four words: a loop, a register, and an output in the last iteration.
Process summing(const std::string& name) {
    Process p;
    p.name = name;
    p.origin = {"model.onnx", "layer \"one\"", "Sum", ""};
    p.loops = {{"i", 4}};
    p.inputs = {{"x", {byte}}};
    p.outputs = {{"y", {sum_lane}}};
    p.registers = {{"sum", sum_lane, 0}};
    bits::Builder control("control");
    const bits::NodeId i = control.input("i", {false, 2});
    control.output("x.when", control.constant(1));
    control.output("y.when", control.equal(i, control.constant(3)));
    p.control = control.take();
    bits::Builder body("body");
    body.input("i", {false, 2});
    const bits::NodeId x = body.input("x.0", byte.bits());
    const bits::NodeId sum = body.input("sum", sum_lane.bits());
    const bits::NodeId next = body.add(sum, x, sum_lane.bits());
    body.output("y.0", next);
    body.output("sum", next);
    p.body = body.take();
    return p;
}

/// Gives each word of ten bits four times: it takes one in the first of four iterations.
Process repeating(const std::string& name) {
    Process p;
    p.name = name;
    p.loops = {{"i", 4}};
    p.inputs = {{"x", {sum_lane}}};
    p.outputs = {{"y", {sum_lane}}};
    p.registers = {{"held", sum_lane, 5}};
    p.memories = {{"rom", {byte}, 4, {{1}, {2}, {3}, {250}}}, {"ram", {sum_lane, byte}, 4, {}}};
    bits::Builder control("control");
    const bits::NodeId i = control.input("i", {false, 2});
    control.output("x.when", control.equal(i, control.constant(0)));
    control.output("y.when", control.constant(1));
    control.output("rom.read_address", i);
    control.output("ram.read_address", i);
    control.output("ram.write_when", control.constant(1));
    control.output("ram.write_address", i);
    p.control = control.take();
    bits::Builder body("body");
    const bits::NodeId at = body.input("i", {false, 2});
    const bits::NodeId x = body.input("x.0", sum_lane.bits());
    const bits::NodeId held = body.input("held", sum_lane.bits());
    const bits::NodeId rom = body.input("rom.0", byte.bits());
    body.input("ram.0", sum_lane.bits());
    body.input("ram.1", byte.bits());
    const bits::NodeId now = body.mux(body.equal(at, body.constant(0)), x, held, sum_lane.bits());
    body.output("y.0", body.bit_xor(now, body.cast(rom, sum_lane.bits()), sum_lane.bits()));
    body.output("held", now);
    body.output("ram.0", now);
    body.output("ram.1", rom);
    p.body = body.take();
    return p;
}

Design chain(std::int64_t depth) {
    Design d;
    d.name = "chain";
    d.processes = {summing("first"), repeating("second")};
    d.inputs = {{"x", {byte}, 4, {3, 2, 1, 0}}};
    d.outputs = {{"y", {sum_lane}, 4, {}}};
    d.channels = {{{-1, 0}, {0, 0}, {byte}, 0},
                  {{0, 0}, {1, 0}, {sum_lane}, depth},
                  {{1, 0}, {-1, 0}, {sum_lane}, 0}};
    return d;
}

/// What verify() says of a chain after a change.
template <class Change>
std::string fault_after(Change change) {
    Design d = chain(2);
    change(d);
    const std::vector<std::string> faults = verify(d);
    return faults.empty() ? "sound" : faults.front();
}

}  // namespace

TEST_CASE("a sound design has no faults") {
    CHECK(verify(chain(0)) == std::vector<std::string>());
    for (const Process& process : chain(2).processes) {
        CHECK(verify(handshaked(process)) == std::vector<std::string>());
    }
}

TEST_CASE("every broken invariant of a design is found") {
    using D = Design&;
    CHECK(fault_after([](D d) { d.processes[0].loops[0].count = 1; }) ==
          "process 'first': loop 'i' counts to 1");
    CHECK(fault_after([](D d) { d.processes[0].loops[0].name = "j"; }) ==
          "process 'first': the inputs of its control: 'j' is expected in place of 'i'");
    CHECK(fault_after([](D d) { d.processes[0].loops[0].count = 5; }).find("is u2 instead of u3") !=
          std::string::npos);
    CHECK(fault_after([](D d) { d.processes[0].registers[0].initial = 1021; }) ==
          "process 'first': register 'sum' starts outside its range");
    CHECK(fault_after([](D d) { d.processes[0].outputs[0].lanes[0].range.high = 1024; }) ==
          "process 'first': y: ufixed<10,0> does not hold its range");
    CHECK(fault_after([](D d) { d.processes[0].body.outputs.pop_back(); }) ==
          "process 'first': the outputs of its body has 1 signals instead of 2");
    CHECK(fault_after([](D d) { d.processes[1].memories[1].words = 3; }) ==
          "process 'second': memory 'ram' is read at 3");
    CHECK(fault_after([](D d) { d.processes[1].memories[0].contents[3][0] = 256; }) ==
          "process 'second': memory 'rom' has other contents than its words and lanes");
    CHECK(fault_after([](D d) { d.processes[1].name = "first"; }) ==
          "two processes are called 'first'");
    CHECK(fault_after([](D d) { d.inputs[0].order[0] = 2; }) ==
          "the order of port 'x' is no permutation of its elements");
    CHECK(fault_after([](D d) { d.channels[1].lanes[0] = byte; }) ==
          "channel 1 has other lanes than its ends");
    CHECK(fault_after([](D d) { d.outputs[0].words = 3; }) ==
          "channel 2 gets 4 words a frame and gives 3");
    CHECK(fault_after([](D d) { d.channels[2].from = {0, 0}; }) ==
          "channel 2 gets 1 words a frame and gives 4");
    CHECK(fault_after([](D d) { d.channels[2].to = {7, 0}; }) == "channel 2 leads to no port");
    CHECK(fault_after([](D d) { d.channels.pop_back(); }) == "2 ports have no channel");
    CHECK(fault_after([](D d) { d.channels.push_back(d.channels[0]); }) ==
          "channel 3 has a writer that has another reader");
}

TEST_CASE("the text form of a design round-trips, and says in which line it is wrong") {
    const std::string text = to_text(chain(2));
    CHECK(to_text(from_text(text)) == text);
    CHECK(text.find("memory \"ram\" words 4 : ufixed<10,0>[0,1020] ufixed<8,0>[0,255]") !=
          std::string::npos);
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string changed = text;
        const std::size_t at = changed.find(from);
        REQUIRE(at != std::string::npos);
        changed.replace(at, from.size(), to);
        return changed;
    };
    const auto message = [](const std::string& changed) {
        try {
            from_text(changed);
        } catch (const Failure& failure) {
            return failure.diagnostics().front().message;
        }
        return std::string("accepted");
    };
    CHECK(message("") == "line 0: the text holds no design");
    CHECK(message(with("loop \"i\" 4", "loop \"i\" four")) ==
          "line 5: an integer is expected, not 'four'");
    CHECK(message(with("loop \"i\" 4", "loop \"i\" 0")) ==
          "line 5: the loops of a frame have no iteration or too many");
    CHECK(message(with("take \"x\"", "take \"x")) == "line 6: a name has no closing quote");
    CHECK(message(with("words 4", "words 5"))
              .ends_with("the order of port 'x' is no permutation of its elements"));
    CHECK(message(with("| %0 = input", "| %0 = inputs"))
              .starts_with("the function below line 9: line "));
    CHECK(message(with("channel top.0", "pipe top.0")).find("'pipe' is no part of a design") !=
          std::string::npos);
}

TEST_CASE("latency and interval follow from the control") {
    CHECK(latency_of(summing("p")) == 3);
    CHECK(latency_of(repeating("p")) == 3);
    CHECK(port_uses(summing("p")) ==
          std::vector<std::vector<bool>>{{true, true, true, true}, {false, false, false, true}});
    // With wires, the second process starts in the cycle that the first one ends its frame in: it
    // is then busy for three more, in which the first one goes on.
    const Rates wires = rates_of(chain(0));
    CHECK(wires.latency == 6);
    CHECK(wires.interval == 4);
    // A queue costs a cycle of latency and none of rate.
    const Rates queue = rates_of(chain(2));
    CHECK(queue.latency == 7);
    CHECK(queue.interval == 4);
    CHECK(queue.most_words == std::vector<std::int64_t>{0, 1, 0});
}

TEST_CASE("the layers of a function, by themselves, compute the whole") {
    bits::Builder b("whole");
    const bits::Type s8{true, 8};
    const bits::NodeId x = b.input("x", s8);
    const bits::NodeId y = b.input("y", s8);
    b.set_origin("first");
    const bits::NodeId sum = b.add(x, y, {true, 9});
    const bits::NodeId square = b.mul(sum, sum, {true, 18});
    b.set_origin("second");
    const int table = b.table("t", {false, 3}, {1, 2, 3, 4});
    const bits::NodeId low = b.read(table, b.cast(sum, {false, 2}), {false, 3});
    const bits::NodeId end =
        b.sub(square, b.mul(low, b.constant(Int128{1} << 70), {true, 80}), {true, 90});
    b.output("end", end);
    b.output("sum", sum);
    const bits::Function whole = b.take();
    const std::vector<bits::Function> layers = layer_functions(whole);
    REQUIRE(layers.size() == 2);
    CHECK(layers[0].name == "first");
    CHECK(layers[1].name == "second");
    for (const bits::Function& layer : layers) {
        CHECK(bits::verify(layer) == std::vector<std::string>());
    }
    REQUIRE(layers[0].inputs.size() == 2);
    REQUIRE(layers[0].outputs.size() == 2);
    REQUIRE(layers[1].inputs.size() == 2);
    REQUIRE(layers[1].outputs.size() == 1);
    for (const int a : {-128, -3, 0, 5, 127}) {
        const auto expected = bits::evaluate(whole, {a, 77});
        // The second layer takes the sum first, then the square; the first gives them so.
        const auto between = bits::evaluate(layers[0], {a, 77});
        CHECK((bits::evaluate(layers[1], between).front() == expected[0]));
        CHECK((between[0] == expected[1]));
    }
}
