// Prints functions of the bits level and what they compute, for tests/python/test_bits.py and for
// whatever else has to agree (printers): each operation on all types of 1 to 4 bits with all
// values, then random functions of up to 128 bits with random values. Blocks of
//
//     case NAME
//     <text form>
//     values
//     inputs -> outputs        one sample a line
//     end
//
// The outputs come from Evaluator; the program fails if evaluate() says otherwise.

#include <fmt/format.h>

#include <cstdio>

#include "../unit/bits/samples.h"

namespace {

using namespace gatewright;
using namespace gatewright::bits;
using samples::Values;

bool print_case(const std::string& name, const Function& f, const std::vector<Values>& inputs) {
    std::string out = fmt::format("case {}\n{}values\n", name, to_text(f));
    const std::vector<Values> outputs = samples::run(Evaluator(f), inputs);
    bool agree = true;
    for (std::size_t s = 0; s < inputs.size(); ++s) {
        for (const Int128 value : inputs[s]) {
            out += to_string(value) + ' ';
        }
        out += "->";
        for (const Int128 value : outputs[s]) {
            out += ' ' + to_string(value);
        }
        out += '\n';
        agree = agree && evaluate(f, inputs[s]) == outputs[s];
    }
    fmt::print("{}end\n", out);
    return agree;
}

}  // namespace

int main() {
    bool agree = true;
    for (const Function& f : samples::small_functions()) {
        agree = print_case(f.name, f, samples::all_values(f)) && agree;
    }
    constexpr int random_cases = 200;
    for (int i = 0; i < random_cases; ++i) {
        std::mt19937_64 random(static_cast<std::uint64_t>(i));
        const int narrowest = i % 4 == 0 ? 100 : i % 2 == 0 ? 50 : 1;
        const int widest = i % 8 == 1 ? 16 : 128;
        const Function f = samples::random_function(60, narrowest, widest, random);
        agree = print_case(fmt::format("random_{}", i), f, samples::random_values(f, 40, random)) &&
                agree;
    }
    if (!agree) {
        fmt::print(stderr, "Evaluator and evaluate() differ\n");
    }
    return agree ? 0 : 1;
}
