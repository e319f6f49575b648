#include <doctest/doctest.h>

#include <functional>

#include "base/diagnostics.h"
#include "samples.h"

using namespace gatewright;
using namespace gatewright::bits;
using samples::Values;

namespace {

constexpr const char* example =
    "function add3\n"
    "input x : s8\n"
    "input \"a b\" : u2\n"
    "table t : u4 = 1 2 3 4\n"
    "origin 1 = \"fc1\"\n"
    "%0 = input 0 : s8\n"
    "%1 = input 1 : u2\n"
    "%2 = constant -170141183460469231731687303715884105728 : s128\n"
    "%3 = constant 18446744073709551615 : u64\n"
    "%4 = add %0 %2 : s128 @1\n"
    "%5 = read %1 0 : u4\n"
    "%6 = shl %5 3 : u7\n"
    "%7 = less %0 %6 : u1\n"
    "%8 = mux %7 %4 %3 : s128 @1\n"
    "output \"y\\n\" = %8\n"
    "output y2 = %6\n";

std::string failure(const std::string& text) {
    try {
        from_text(text);
    } catch (const Failure& f) {
        CHECK(f.diagnostics().at(0).code == Code::text_form);
        return f.what();
    }
    return "nothing";
}

/// A sound function with a bit of everything, for breaking.
Function sound() {
    return from_text(example);
}

bool says(const Function& f, std::string_view part) {
    for (const std::string& fault : verify(f)) {
        if (fault.find(part) != std::string::npos) {
            return true;
        }
    }
    return false;
}

}  // namespace

TEST_CASE("the text form round-trips") {
    const Function f = from_text(example);
    CHECK(to_text(f) == example);
    CHECK(f.nodes.size() == 9);
    CHECK(f.inputs[1].name == "a b");
    CHECK(f.outputs[0].name == "y\n");
    CHECK(f.nodes[4].origin == 1);
    const Int128 all_ones = static_cast<Int128>(~std::uint64_t{0});
    CHECK(evaluate(f, {100, 2}) == Values{all_ones, 24});
    CHECK(evaluate(f, {5, 2}) == Values{lowest({true, 128}) + 5, 24});
}

TEST_CASE("blank lines and spaces do not matter; the last line may end without a newline") {
    const Function f = from_text("\n  function f\r\n\ninput x:s3\n%0=input 0:s3\noutput y=%0");
    CHECK(f.outputs.size() == 1);
}

TEST_CASE("parse errors name the line") {
    const auto contains = [](const std::string& text, const char* part) {
        const std::string message = failure(text);
        CAPTURE(message);
        CHECK(message.find(part) != std::string::npos);
    };
    contains("", "holds no function");
    contains("input x : s8\n", "line 1: 'function' is expected");
    contains("function f\ninput x : s129\n", "line 2: a type like s8");
    contains("function f\ninput x : u128\n", "line 2: a type like s8");
    contains("function f\ninput x : 8\n", "line 2: a type like s8");
    contains("function f\ninput x s8\n", "line 2: ':' is expected");
    contains("function f\ninput \"x : s8\n", "line 2: '\"' is expected");
    contains("function f\nnonsense\n", "line 2: input, output, table, origin or a node");
    contains("function f\n%1 = constant 0 : u1\n", "line 2: node %0 is expected");
    contains("function f\n%0 = frob 0 : u1\n", "line 2: there is no operation 'frob'");
    contains("function f\n%0 = constant 2 : u1\n", "line 2: u1 does not hold 2");
    contains("function f\n%0 = constant x : u1\n", "line 2: an integer");
    contains("function f\n%0 = constant 0 : u1 u1\n", "line 2: 'u1' is not expected here");
    contains("function f\n%0 = input -1 : u1\n", "line 2: the immediate is out of range");
    contains("function f\n%0 = constant 0 : u1\noutput y = %9\n", "line 3: output 'y' names");
    contains("function f\n%0 = cast %0 : u1\n", "does not precede it");
    contains("function f\n%0 = cast %99999999999 : u1\n", "line 2: the number 99999999999");
    contains("function f\norigin 2 = \"x\"\n", "line 2: origin 1 is expected");
    contains("function f\ntable t : u1 = 0 1 2\n", "no power of two");
    contains("function f\n%0 = constant 170141183460469231731687303715884105728 : s128\n",
             "line 2: an integer of at most 128 bits");
}

TEST_CASE("text damaged at any place is an error or another sound function, never a crash") {
    const std::string text = example;
    std::mt19937_64 random(3);
    int refused = 0;
    for (int i = 0; i < 3000; ++i) {
        std::string damaged = text;
        for (std::uint64_t k = 0; k <= random() % 3; ++k) {
            const std::size_t at = random() % damaged.size();
            switch (random() % 3) {
                case 0:
                    damaged.erase(at, 1 + random() % 3);
                    break;
                case 1:
                    damaged[at] = static_cast<char>(' ' + random() % 95);
                    break;
                default:
                    damaged.resize(at + 1);
            }
        }
        Function f;
        try {
            f = from_text(damaged);
        } catch (const Failure&) {
            ++refused;
            continue;
        }
        CHECK(to_text(from_text(to_text(f))) == to_text(f));
    }
    CHECK(refused > 1000);
    CHECK(refused < 3000);
}

TEST_CASE("the verifier sees each broken invariant") {
    REQUIRE(verify(sound()).empty());
    struct Breakage {
        const char* expected;
        std::function<void(Function&)> apply;
    };
    const std::vector<Breakage> breakages = {
        {"does not precede it", [](Function& f) { f.nodes[4].operand[0] = 4; }},
        {"does not precede it", [](Function& f) { f.nodes[4].operand[1] = 1000; }},
        {"more than 2 operands", [](Function& f) { f.nodes[4].operand[2] = 1; }},
        {"has an immediate", [](Function& f) { f.nodes[4].immediate = 1; }},
        {"origin 9", [](Function& f) { f.nodes[4].origin = 9; }},
        {"origin 0", [](Function& f) { f.origins.clear(); }},
        {"origin 0", [](Function& f) { f.origins[0] = "x"; }},
        {"no known operation", [](Function& f) { f.nodes[4].op = static_cast<Op>(op_count); }},
        {"illegal type u128", [](Function& f) { f.nodes[4].type = {false, 128}; }},
        {"illegal type s129", [](Function& f) { f.nodes[4].type = {true, 129}; }},
        {"input 'x' has the illegal type", [](Function& f) { f.inputs[0].type = {true, 200}; }},
        {"another type than its input", [](Function& f) { f.nodes[0].type = {true, 9}; }},
        {"names input 2", [](Function& f) { f.nodes[0].immediate = 2; }},
        {"names input -1", [](Function& f) { f.nodes[0].immediate = -1; }},
        {"names wide constant 1", [](Function& f) { f.nodes[2].immediate = 1; }},
        {"names wide constant -1", [](Function& f) { f.nodes[2].immediate = -1; }},
        {"lies outside its type", [](Function& f) { f.nodes[2].type = {true, 127}; }},
        {"lies outside its type", [](Function& f) { f.nodes[3].type = {false, 63}; }},
        {"names table 1", [](Function& f) { f.nodes[5].immediate = 1; }},
        {"an address of type s8", [](Function& f) { f.nodes[5].operand[0] = 0; }},
        {"for a table of 8 words", [](Function& f) { f.tables[0].words.resize(8); }},
        {"has 3 words", [](Function& f) { f.tables[0].words.resize(3); }},
        {"has 0 words", [](Function& f) { f.tables[0].words.clear(); }},
        {"holds 16", [](Function& f) { f.tables[0].words[1] = 16; }},
        {"two tables", [](Function& f) { f.tables.push_back(f.tables[0]); }},
        {"shifts by -1", [](Function& f) { f.nodes[6].immediate = -1; }},
        {"shifts by 128", [](Function& f) { f.nodes[6].immediate = 128; }},
        {"is not one unsigned bit", [](Function& f) { f.nodes[7].type = {true, 1}; }},
        {"a condition that is not", [](Function& f) { f.nodes[8].operand[0] = 0; }},
        {"names node %9", [](Function& f) { f.outputs[0].node = 9; }},
        {"an output has no name", [](Function& f) { f.outputs[0].name.clear(); }},
        {"an input has no name", [](Function& f) { f.inputs[0].name.clear(); }},
        {"two outputs are named 'y2'", [](Function& f) { f.outputs[0].name = "y2"; }},
        {"two inputs are named 'x'", [](Function& f) { f.inputs[1].name = "x"; }},
    };
    for (const Breakage& breakage : breakages) {
        Function f = sound();
        breakage.apply(f);
        CAPTURE(breakage.expected);
        CAPTURE(verify(f).empty() ? std::string("sound") : verify(f)[0]);
        CHECK(says(f, breakage.expected));
    }
}
