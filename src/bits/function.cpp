#include "bits/function.h"

#include <array>
#include <stdexcept>

namespace gatewright::bits {

namespace {

constexpr auto infos = std::to_array<OpInfo>({
#define OPERATION(name, operands, has_immediate, meaning) {#name, operands, has_immediate, meaning},
#include "bits/ops.def"
#undef OPERATION
});

UInt128 low_bits(int width) {
    return width >= 128 ? ~static_cast<UInt128>(0) : (static_cast<UInt128>(1) << width) - 1;
}

Int128 shift_right(Int128 value, std::int64_t amount) {
    return amount > 127 ? (value < 0 ? -1 : 0) : value >> amount;
}

UInt128 shift_left(UInt128 value, std::int64_t amount) {
    return amount > 127 ? 0 : value << amount;
}

}  // namespace

const OpInfo& info(Op op) {
    return infos.at(static_cast<std::size_t>(op));
}

Int128 wrap(Int128 value, Type type) {
    const UInt128 mask = low_bits(type.width);
    UInt128 bits = static_cast<UInt128>(value) & mask;
    if (type.is_signed && type.width > 0 && (bits >> (type.width - 1)) != 0) {
        bits |= ~mask;
    }
    return static_cast<Int128>(bits);
}

bool holds(Type type, Int128 value) {
    return lowest(type) <= value && value <= highest(type);
}

bool holds_all(Type type, Type other) {
    if (other.width == 0) {
        return true;
    }
    if (type.is_signed == other.is_signed) {
        return type.width >= other.width;
    }
    return type.is_signed && type.width > other.width;
}

Int128 lowest(Type type) {
    if (!type.is_signed || type.width == 0) {
        return 0;
    }
    return static_cast<Int128>(~low_bits(type.width - 1));
}

Int128 highest(Type type) {
    if (type.width == 0) {
        return 0;
    }
    return static_cast<Int128>(low_bits(type.is_signed ? type.width - 1 : type.width));
}

Type narrowest(Int128 value) {
    if (value >= 0) {
        return {false, static_cast<std::uint8_t>(bit_length(static_cast<UInt128>(value)))};
    }
    return {true, static_cast<std::uint8_t>(bit_length(static_cast<UInt128>(~value)) + 1)};
}

std::string to_string(Type type) {
    return (type.is_signed ? "s" : "u") + std::to_string(type.width);
}

Int128 apply(Op op, Type type, std::int64_t immediate, Int128 a, Int128 b, Int128 c) {
    // The exact result modulo 2^128 is enough, because 2^width divides it; where an operation looks
    // at more than the low bits (shr, comparisons) the exact result itself fits.
    const auto ua = static_cast<UInt128>(a);
    const auto ub = static_cast<UInt128>(b);
    const auto reduced = [type](UInt128 exact) { return wrap(static_cast<Int128>(exact), type); };
    switch (op) {
        case Op::add:
            return reduced(ua + ub);
        case Op::sub:
            return reduced(ua - ub);
        case Op::mul:
            return reduced(ua * ub);
        case Op::shl:
            return reduced(shift_left(ua, immediate));
        case Op::shr:
            return wrap(shift_right(a, immediate), type);
        case Op::bit_and:
            return reduced(ua & ub);
        case Op::bit_or:
            return reduced(ua | ub);
        case Op::bit_xor:
            return reduced(ua ^ ub);
        case Op::bit_not:
            return reduced(~ua);
        case Op::equal:
            return wrap(a == b ? 1 : 0, type);
        case Op::less:
            return wrap(a < b ? 1 : 0, type);
        case Op::mux:
            return wrap(a != 0 ? b : c, type);
        case Op::cast:
            return wrap(a, type);
        case Op::input:
        case Op::constant:
        case Op::read:
            break;
    }
    throw std::logic_error("bits::apply: the operation needs its function");
}

Int128 Function::constant(const Node& node) const {
    if (node.type.width > 64) {
        return wide_constants.at(static_cast<std::size_t>(node.immediate));
    }
    return wrap(node.immediate, node.type);  // an unsigned 64-bit value is stored as its bits
}

std::vector<Int128> evaluate(const Function& function, const std::vector<Int128>& inputs) {
    if (inputs.size() != function.inputs.size()) {
        throw std::logic_error("bits::evaluate: wrong number of inputs");
    }
    std::vector<Int128> values(function.nodes.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        const Node& node = function.nodes[i];
        const auto at = [&](int k) { return values[node.operand[k]]; };
        switch (node.op) {
            case Op::input:
                values[i] = inputs.at(static_cast<std::size_t>(node.immediate));
                if (!holds(node.type, values[i])) {
                    throw std::logic_error("bits::evaluate: an input lies outside its type");
                }
                break;
            case Op::constant:
                values[i] = function.constant(node);
                break;
            case Op::read: {
                const Table& table = function.tables.at(static_cast<std::size_t>(node.immediate));
                values[i] = wrap(table.words.at(static_cast<std::size_t>(at(0))), node.type);
                break;
            }
            default:
                values[i] = apply(node.op, node.type, node.immediate, at(0), at(1), at(2));
        }
    }
    std::vector<Int128> outputs;
    outputs.reserve(function.outputs.size());
    for (const Output& output : function.outputs) {
        outputs.push_back(values[output.node]);
    }
    return outputs;
}

}  // namespace gatewright::bits
