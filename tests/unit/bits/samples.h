#pragma once

#include <cstddef>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "bits/evaluator.h"
#include "bits/function.h"

/// Functions made node by node (no Builder, so that nothing is simplified) and values for them.
namespace gatewright::bits::samples {

using Values = std::vector<Int128>;

inline Type type_of(bool is_signed, int width) {
    return {is_signed, static_cast<std::uint8_t>(width)};
}

/// All types of these widths.
inline std::vector<Type> types(int first, int last) {
    std::vector<Type> out;
    for (int width = first; width <= last; ++width) {
        out.push_back(type_of(false, width));
        out.push_back(type_of(true, width));
    }
    return out;
}

inline NodeId push(Function& f, Op op, Type type, std::int64_t immediate = 0, NodeId a = 0,
                   NodeId b = 0, NodeId c = 0) {
    Node node;
    node.op = op;
    node.type = type;
    node.immediate = immediate;
    node.operand[0] = a;
    node.operand[1] = b;
    node.operand[2] = c;
    f.nodes.push_back(node);
    return static_cast<NodeId>(f.nodes.size() - 1);
}

inline NodeId push_input(Function& f, Type type) {
    const auto number = f.inputs.size();
    f.inputs.push_back({"x" + std::to_string(number), type});
    return push(f, Op::input, type, static_cast<std::int64_t>(number));
}

inline NodeId push_constant(Function& f, Type type, Int128 value) {
    if (type.width <= 64) {
        return push(f, Op::constant, type, static_cast<std::int64_t>(value));
    }
    f.wide_constants.push_back(value);
    return push(f, Op::constant, type, static_cast<std::int64_t>(f.wide_constants.size()) - 1);
}

inline void push_output(Function& f, NodeId node) {
    f.outputs.push_back({"y" + std::to_string(f.outputs.size()), node});
}

/// Every combination of values of the inputs' types (which must be narrow).
inline std::vector<Values> all_values(const Function& f) {
    std::vector<Values> out = {{}};
    for (const Input& input : f.inputs) {
        std::vector<Values> longer;
        for (const Values& head : out) {
            for (Int128 v = lowest(input.type); v <= highest(input.type); ++v) {
                longer.push_back(head);
                longer.back().push_back(v);
            }
        }
        out.swap(longer);
    }
    return out;
}

inline Int128 random_value(Type type, std::mt19937_64& random) {
    switch (random() % 6) {
        case 0:
            return lowest(type);
        case 1:
            return highest(type);
        case 2:
            return wrap(static_cast<Int128>(random() % 5) - 2, type);
        default:
            break;
    }
    const auto high = static_cast<UInt128>(random()) << 64;
    return wrap(static_cast<Int128>(high | random()), type);
}

inline std::vector<Values> random_values(const Function& f, std::size_t count,
                                         std::mt19937_64& random) {
    std::vector<Values> out(count);
    for (Values& sample : out) {
        for (const Input& input : f.inputs) {
            sample.push_back(random_value(input.type, random));
        }
    }
    return out;
}

/// A function of `nodes` random operations whose types have `narrowest` to `widest` bits; all of
/// them, needed or not, are legal, and many reduce their results.
inline Function random_function(std::size_t nodes, int narrowest, int widest,
                                std::mt19937_64& random) {
    Function f;
    f.name = "random";
    f.origins = {"", "layer one", "layer \"two\""};
    const auto random_type = [&] {
        const int width =
            narrowest + static_cast<int>(random() % static_cast<unsigned>(widest - narrowest + 1));
        return type_of(width == 128 || random() % 2 == 0, width);
    };
    for (int i = 0; i < 4; ++i) {
        push_input(f, random_type());
    }
    std::vector<NodeId> conditions = {push_input(f, {false, 1})};
    std::vector<NodeId> addresses = {push_input(f, {false, 3}), push_input(f, {false, 2})};
    for (const int width : {2, 3}) {
        Table table{"t" + std::to_string(width), random_type(), {}};
        for (int i = 0; i < 1 << width; ++i) {
            table.words.push_back(random_value(table.type, random));
        }
        f.tables.push_back(std::move(table));
    }
    const auto any = [&] {
        const std::size_t recent = std::min<std::size_t>(f.nodes.size(), 12);
        const std::size_t range = random() % 3 == 0 ? f.nodes.size() : recent;
        return static_cast<NodeId>(f.nodes.size() - 1 - random() % range);
    };
    while (f.nodes.size() < nodes) {
        const auto op = static_cast<Op>(random() % static_cast<unsigned>(op_count));
        const Type type = random_type();
        NodeId made = 0;
        switch (op) {
            case Op::input:
                continue;
            case Op::constant:
                made = push_constant(f, type, random_value(type, random));
                break;
            case Op::shl:
            case Op::shr:
                made = push(
                    f, op, type,
                    static_cast<std::int64_t>(random() % 4 == 0 ? random() % 128 : random() % 8),
                    any());
                break;
            case Op::equal:
            case Op::less:
                made = push(f, op, {false, 1}, 0, any(), any());
                conditions.push_back(made);
                break;
            case Op::mux:
                made = push(f, op, type, 0, conditions[random() % conditions.size()], any(), any());
                break;
            case Op::bit_not:
                made = push(f, op, type, 0, any());
                break;
            case Op::cast: {
                const Type to = random() % 4 == 0 ? type_of(false, 2 + (random() % 2 == 0)) : type;
                made = push(f, op, to, 0, any());
                if (!to.is_signed && (to.width == 2 || to.width == 3)) {
                    addresses.push_back(made);
                }
                break;
            }
            case Op::read: {
                const NodeId address = addresses[random() % addresses.size()];
                made = push(f, op, type, f.nodes[address].type.width - 2, address);
                break;
            }
            default:
                made = push(f, op, type, 0, any(), any());
        }
        f.nodes[made].origin = static_cast<std::uint32_t>(random() % 3);
    }
    for (int i = 0; i < 8; ++i) {
        push_output(f, i == 0 ? static_cast<NodeId>(f.nodes.size() - 1) : any());
    }
    push_output(f, static_cast<NodeId>(random() % 4));  // an input
    return f;
}

inline Int128 read_lane(const std::byte* from, Lane lane) {
    const auto get = [from](auto value) {
        std::memcpy(&value, from, sizeof(value));
        return static_cast<Int128>(value);
    };
    switch (lane) {
        case Lane::i8:
            return get(std::int8_t{});
        case Lane::i16:
            return get(std::int16_t{});
        case Lane::i32:
            return get(std::int32_t{});
        case Lane::i64:
            return get(std::int64_t{});
        case Lane::i128:
            break;
    }
    return get(Int128{});
}

/// What `evaluator` gives for each sample. The last block is filled up with the first sample.
inline std::vector<Values> run(const Evaluator& evaluator, const std::vector<Values>& samples) {
    constexpr std::size_t block = Evaluator::block;
    const auto memory = [](const std::vector<Lane>& lanes) {
        std::vector<std::vector<std::byte>> ports;
        for (const Lane lane : lanes) {
            ports.emplace_back(block * lane_bytes(lane));
        }
        return ports;
    };
    auto inputs = memory(evaluator.input_lanes());
    auto outputs = memory(evaluator.output_lanes());
    std::vector<const void*> in;
    std::vector<void*> out;
    for (const auto& port : inputs) {
        in.push_back(port.data());
    }
    for (auto& port : outputs) {
        out.push_back(port.data());
    }
    Evaluator::Scratch scratch;
    std::vector<Values> results;
    for (std::size_t first = 0; first < samples.size(); first += block) {
        for (std::size_t s = 0; s < block; ++s) {
            const Values& sample = samples[first + s < samples.size() ? first + s : 0];
            for (std::size_t i = 0; i < inputs.size(); ++i) {
                const std::size_t bytes = lane_bytes(evaluator.input_lanes()[i]);
                std::memcpy(inputs[i].data() + s * bytes, &sample[i], bytes);  // little-endian
            }
        }
        evaluator.run(in.data(), out.data(), scratch);
        for (std::size_t s = 0; s < block && first + s < samples.size(); ++s) {
            Values& result = results.emplace_back();
            for (std::size_t o = 0; o < outputs.size(); ++o) {
                const Lane lane = evaluator.output_lanes()[o];
                result.push_back(read_lane(outputs[o].data() + s * lane_bytes(lane), lane));
            }
        }
    }
    return results;
}

/// The same function made again through Builder, which simplifies it.
Function simplified(const Function& f);

/// Each operation on each combination of types of 1 to 4 bits, with every result type of 1 to 5
/// bits as an output (one unsigned bit for comparisons). Shifts go by 0 to 6.
std::vector<Function> small_functions();

}  // namespace gatewright::bits::samples
