#include "samples.h"

#include <algorithm>

#include "bits/builder.h"

namespace gatewright::bits::samples {

Function simplified(const Function& f) {
    Builder builder(f.name);
    std::vector<NodeId> arguments;
    for (const Input& input : f.inputs) {
        arguments.push_back(builder.input(input.name, input.type));
    }
    const std::vector<NodeId> results = builder.inline_call(f, arguments);
    for (std::size_t o = 0; o < results.size(); ++o) {
        builder.output(f.outputs[o].name, results[o]);
    }
    return builder.take();
}

std::vector<Function> small_functions() {
    std::vector<Function> out;
    const std::vector<Type> operands = types(1, 4);
    const std::vector<Type> results = types(1, 5);
    const auto add = [&](Op op, std::vector<Type> of, std::int64_t immediate, Table table = {}) {
        Function f;
        f.name = std::string(info(op).name);
        for (const Type type : of) {
            f.name += "_" + to_string(type);
            push_input(f, type);
        }
        if (!table.words.empty()) {
            f.tables.push_back(std::move(table));
        }
        const bool is_comparison = op == Op::equal || op == Op::less;
        for (const Type type : is_comparison ? std::vector<Type>{{false, 1}} : results) {
            const NodeId second = of.size() > 1 ? 1 : 0;
            const NodeId third = of.size() > 2 ? 2 : 0;
            push_output(f, push(f, op, type, immediate, 0, second, third));
        }
        out.push_back(std::move(f));
    };
    for (const Type a : operands) {
        for (const Op op : {Op::bit_not, Op::cast}) {
            add(op, {a}, 0);
        }
        for (int amount = 0; amount <= 6; ++amount) {
            add(Op::shl, {a}, amount);
            add(Op::shr, {a}, amount);
            out[out.size() - 1].name += "_by_" + std::to_string(amount);
            out[out.size() - 2].name += "_by_" + std::to_string(amount);
        }
        for (const Type b : operands) {
            for (const Op op : {Op::add, Op::sub, Op::mul, Op::bit_and, Op::bit_or, Op::bit_xor,
                                Op::equal, Op::less}) {
                add(op, {a, b}, 0);
            }
            add(Op::mux, {{false, 1}, a, b}, 0);
            if (!a.is_signed) {
                Table table{"words", b, {}};
                for (Int128 i = 0; i <= highest(a); ++i) {
                    table.words.push_back(wrap(i * 7 + 3, b));
                }
                add(Op::read, {a}, 0, std::move(table));
                out.back().name += "_of_" + to_string(b);
            }
        }
    }
    return out;
}

}  // namespace gatewright::bits::samples
