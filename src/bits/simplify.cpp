// The operations of Builder: each checks its operands, then folds constants and removes
// identities, and only then makes a node. Every rule is an equality of integers under the one rule
// of ops.def; where it leans on an intermediate result not being reduced, it checks that first.

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "bits/builder.h"

namespace gatewright::bits {

namespace {

constexpr Type one_bit{false, 1};
constexpr NodeId none = ~NodeId{0};

void require(bool condition, const char* message) {
    if (!condition) {
        throw std::logic_error(std::string("bits::Builder: ") + message);
    }
}

/// k where value is 2^k, else -1.
int power_of_two(Int128 value) {
    return value > 0 && (value & (value - 1)) == 0 ? trailing_zeros(static_cast<UInt128>(value))
                                                   : -1;
}

/// Whether shl by `amount` into `type` never loses a bit of an operand of type `from`.
bool shl_is_exact(Type from, int amount, Type type) {
    if (from.width == 0) {
        return true;
    }
    const int width = from.width + amount;
    return width <= 128 && holds_all(type, Type{from.is_signed, static_cast<std::uint8_t>(width)});
}

/// Whether shr by `amount` into `type` gives the exact quotient for an operand of type `from`.
bool shr_is_exact(Type from, int amount, Type type) {
    const int width = std::max(from.width - amount, from.is_signed ? 1 : 0);
    return holds_all(type, Type{from.is_signed, static_cast<std::uint8_t>(width)});
}

/// (x + c) + value as x + (c + value), and (c - x) + value as (c + value) - x; `none` where `a` is
/// no such sum, or where its reduction shows.
NodeId joined_constants(Builder& builder, NodeId a, Int128 value, Type type) {
    const Node node = builder.node(a);
    const bool is_sum = node.op == Op::add && builder.is_constant(node.operand[1]);
    const bool is_difference = node.op == Op::sub && builder.is_constant(node.operand[0]);
    if (!is_sum && !is_difference) {
        return none;
    }
    const NodeId x = node.operand[is_sum ? 0 : 1];
    const Int128 c = builder.constant_value(node.operand[is_sum ? 1 : 0]);
    const Type from = builder.type(x);
    const Int128 bound = static_cast<Int128>(1) << 120;
    if (from.width > 120 || c > bound || c < -bound || value > bound || value < -bound) {
        return none;
    }
    const Int128 ends[2] = {is_sum ? lowest(from) + c : c - highest(from),
                            is_sum ? highest(from) + c : c - lowest(from)};
    const bool exact = holds(node.type, ends[0]) && holds(node.type, ends[1]);
    if (!exact && type.width > node.type.width) {
        return none;
    }
    const NodeId total = builder.constant(c + value);
    return is_sum ? builder.add(x, total, type) : builder.sub(total, x, type);
}

}  // namespace

NodeId Builder::checked(NodeId a) const {
    require(a < function_.nodes.size(), "an operand does not exist");
    return a;
}

/// The node to take instead of operand `a`: a cast that changes no value is looked through, what
/// has no bits is the constant 0, and a constant has its narrowest type, so that it is shared.
NodeId Builder::operand(NodeId a) {
    const Node& node = function_.nodes[checked(a)];
    if (node.type.width == 0) {
        return constant(0);
    }
    if (node.op == Op::constant) {
        return constant(function_.constant(node));
    }
    if (node.op == Op::cast && holds_all(node.type, type(node.operand[0]))) {
        return node.operand[0];
    }
    return a;
}

bool Builder::is_value(NodeId id, Int128 value) const {
    return is_constant(id) && constant_value(id) == value;
}

/// Whether node `id` can stand as minus `negated` in a sum of type `of`.
bool Builder::is_negation(NodeId id, Type of, NodeId& negated) const {
    const Node& node = function_.nodes[id];
    if (node.op != Op::sub || !is_value(node.operand[0], 0)) {
        return false;
    }
    negated = node.operand[1];
    const Type inner = type(negated);
    const bool exact =
        inner.width < 128 && holds(node.type, -lowest(inner)) && holds(node.type, -highest(inner));
    return exact || of.width <= node.type.width;
}

/// Emits with the smaller operand number first, but constants last, so that a + b is b + a.
NodeId Builder::commutative(Op op, Type type, NodeId a, NodeId b) {
    const bool swap = is_constant(a) != is_constant(b) ? is_constant(a) : b < a;
    return swap ? emit(op, type, 0, b, a) : emit(op, type, 0, a, b);
}

NodeId Builder::add(NodeId a, NodeId b, Type type) {
    require(is_legal(type), "illegal type");
    a = operand(a);
    b = operand(b);
    if (is_constant(a)) {
        std::swap(a, b);
    }
    if (is_constant(b)) {
        const Int128 value = constant_value(b);
        if (is_constant(a)) {
            return constant(apply(Op::add, type, 0, constant_value(a), value), type);
        }
        if (value == 0) {
            return cast(a, type);
        }
        if (const NodeId sum = joined_constants(*this, a, value, type); sum != none) {
            return sum;
        }
    }
    if (type.width == 0) {
        return constant(0, type);
    }
    if (a == b) {
        return shl(a, 1, type);
    }
    NodeId negated = 0;
    if (is_negation(b, type, negated)) {
        return sub(a, negated, type);
    }
    if (is_negation(a, type, negated)) {
        return sub(b, negated, type);
    }
    return commutative(Op::add, type, a, b);
}

NodeId Builder::sub(NodeId a, NodeId b, Type type) {
    require(is_legal(type), "illegal type");
    a = operand(a);
    b = operand(b);
    if (is_constant(b)) {
        const Int128 value = constant_value(b);
        if (is_constant(a)) {
            return constant(apply(Op::sub, type, 0, constant_value(a), value), type);
        }
        if (value == 0) {
            return cast(a, type);
        }
        if (value > lowest({true, 128})) {
            return add(a, constant(-value), type);
        }
    }
    if (type.width == 0 || a == b) {
        return constant(0, type);
    }
    NodeId negated = 0;
    if (is_negation(b, type, negated)) {
        return add(a, negated, type);
    }
    return emit(Op::sub, type, 0, a, b);
}

NodeId Builder::mul(NodeId a, NodeId b, Type type) {
    require(is_legal(type), "illegal type");
    a = operand(a);
    b = operand(b);
    if (is_constant(a)) {
        std::swap(a, b);
    }
    if (is_constant(b)) {
        const Int128 value = constant_value(b);
        if (is_constant(a)) {
            return constant(apply(Op::mul, type, 0, constant_value(a), value), type);
        }
        if (value == 0) {
            return constant(0, type);
        }
        if (const int k = power_of_two(value); k >= 0) {
            return shl(a, k, type);
        }
        if (value > lowest({true, 128})) {
            if (const int k = power_of_two(-value); k >= 0) {
                return sub(constant(0), shl(a, k, type), type);
            }
        }
    }
    if (type.width == 0) {
        return constant(0, type);
    }
    return commutative(Op::mul, type, a, b);
}

NodeId Builder::shl(NodeId a, int amount, Type type) {
    require(is_legal(type), "illegal type");
    require(amount >= 0, "negative shift");
    a = operand(a);
    if (amount >= type.width) {
        return constant(0, type);
    }
    if (is_constant(a)) {
        return constant(apply(Op::shl, type, amount, constant_value(a)), type);
    }
    if (amount == 0) {
        return cast(a, type);
    }
    if (const Node node = function_.nodes[a]; node.op == Op::shl) {
        const int inner = static_cast<int>(node.immediate);
        if (shl_is_exact(this->type(node.operand[0]), inner, node.type) ||
            type.width <= node.type.width + amount) {
            return shl(node.operand[0], inner + amount, type);
        }
    }
    return emit(Op::shl, type, amount, a);
}

NodeId Builder::shr(NodeId a, int amount, Type type) {
    require(is_legal(type), "illegal type");
    require(amount >= 0, "negative shift");
    a = operand(a);
    const Type from = this->type(a);
    if (is_constant(a)) {
        return constant(apply(Op::shr, type, amount, constant_value(a)), type);
    }
    if (type.width == 0 || (!from.is_signed && amount >= from.width)) {
        return constant(0, type);
    }
    amount = std::min(amount, from.width - 1);  // all further bits are the sign
    if (amount == 0) {
        return cast(a, type);
    }
    const Node node = function_.nodes[a];
    const int inner = static_cast<int>(node.immediate);
    if (node.op == Op::shr && shr_is_exact(this->type(node.operand[0]), inner, node.type)) {
        return shr(node.operand[0], inner + amount, type);
    }
    if (node.op == Op::shl && shl_is_exact(this->type(node.operand[0]), inner, node.type)) {
        return inner >= amount ? shl(node.operand[0], inner - amount, type)
                               : shr(node.operand[0], amount - inner, type);
    }
    return emit(Op::shr, type, amount, a);
}

NodeId Builder::bit_and(NodeId a, NodeId b, Type type) {
    require(is_legal(type), "illegal type");
    a = operand(a);
    b = operand(b);
    if (is_constant(a)) {
        std::swap(a, b);
    }
    if (is_constant(b)) {
        const Int128 value = constant_value(b);
        if (is_constant(a)) {
            return constant(apply(Op::bit_and, type, 0, constant_value(a), value), type);
        }
        if (wrap(value, type) == 0) {
            return constant(0, type);
        }
        const Type from = this->type(a);
        const bool keeps_all = !from.is_signed && (value & highest(from)) == highest(from);
        if (value == -1 || keeps_all) {
            return cast(a, type);
        }
    }
    if (type.width == 0) {
        return constant(0, type);
    }
    return a == b ? cast(a, type) : commutative(Op::bit_and, type, a, b);
}

NodeId Builder::bit_or(NodeId a, NodeId b, Type type) {
    require(is_legal(type), "illegal type");
    a = operand(a);
    b = operand(b);
    if (is_constant(a)) {
        std::swap(a, b);
    }
    if (is_constant(b)) {
        const Int128 value = constant_value(b);
        if (is_constant(a)) {
            return constant(apply(Op::bit_or, type, 0, constant_value(a), value), type);
        }
        if (value == 0) {
            return cast(a, type);
        }
        if (value == -1) {
            return constant(wrap(-1, type), type);
        }
    }
    if (type.width == 0) {
        return constant(0, type);
    }
    return a == b ? cast(a, type) : commutative(Op::bit_or, type, a, b);
}

NodeId Builder::bit_xor(NodeId a, NodeId b, Type type) {
    require(is_legal(type), "illegal type");
    a = operand(a);
    b = operand(b);
    if (is_constant(a)) {
        std::swap(a, b);
    }
    if (is_constant(b)) {
        const Int128 value = constant_value(b);
        if (is_constant(a)) {
            return constant(apply(Op::bit_xor, type, 0, constant_value(a), value), type);
        }
        if (value == 0) {
            return cast(a, type);
        }
        if (value == -1) {
            return bit_not(a, type);
        }
    }
    if (type.width == 0 || a == b) {
        return constant(0, type);
    }
    return commutative(Op::bit_xor, type, a, b);
}

NodeId Builder::bit_not(NodeId a, Type type) {
    require(is_legal(type), "illegal type");
    a = operand(a);
    if (is_constant(a)) {
        return constant(apply(Op::bit_not, type, 0, constant_value(a)), type);
    }
    if (type.width == 0) {
        return constant(0, type);
    }
    if (const Node node = function_.nodes[a]; node.op == Op::bit_not) {
        const Type inner = this->type(node.operand[0]);
        const bool exact = holds(node.type, ~lowest(inner)) && holds(node.type, ~highest(inner));
        if (exact || type.width <= node.type.width) {
            return cast(node.operand[0], type);
        }
    }
    return emit(Op::bit_not, type, 0, a);
}

NodeId Builder::equal(NodeId a, NodeId b) {
    a = operand(a);
    b = operand(b);
    if (is_constant(a)) {
        std::swap(a, b);
    }
    if (is_constant(a) && is_constant(b)) {
        return constant(constant_value(a) == constant_value(b) ? 1 : 0, one_bit);
    }
    if (a == b) {
        return constant(1, one_bit);
    }
    if (is_constant(b) && !holds(type(a), constant_value(b))) {
        return constant(0, one_bit);
    }
    if (type(a) == one_bit && is_constant(b)) {
        return constant_value(b) == 1 ? a : bit_not(a, one_bit);
    }
    return commutative(Op::equal, one_bit, a, b);
}

NodeId Builder::less(NodeId a, NodeId b) {
    a = operand(a);
    b = operand(b);
    const auto low = [&](NodeId id) {
        return is_constant(id) ? constant_value(id) : lowest(type(id));
    };
    const auto high = [&](NodeId id) {
        return is_constant(id) ? constant_value(id) : highest(type(id));
    };
    if (high(a) < low(b)) {
        return constant(1, one_bit);
    }
    if (a == b || low(a) >= high(b)) {
        return constant(0, one_bit);
    }
    if (type(b) == one_bit && is_value(a, 0)) {
        return b;
    }
    if (type(a) == one_bit && is_value(b, 1)) {
        return bit_not(a, one_bit);
    }
    return emit(Op::less, one_bit, 0, a, b);
}

NodeId Builder::mux(NodeId condition, NodeId if_set, NodeId if_clear, Type type) {
    require(is_legal(type), "illegal type");
    require(this->type(checked(condition)) == one_bit, "a condition is not one unsigned bit");
    if_set = operand(if_set);
    if_clear = operand(if_clear);
    if (is_constant(condition)) {
        return cast(constant_value(condition) != 0 ? if_set : if_clear, type);
    }
    if (type.width == 0 || if_set == if_clear) {
        return cast(if_set, type);
    }
    if (is_constant(if_set) && is_constant(if_clear)) {
        const Int128 set = wrap(constant_value(if_set), type);
        const Int128 clear = wrap(constant_value(if_clear), type);
        if (set == clear) {
            return constant(set, type);
        }
        if (set == wrap(1, type) && clear == 0) {
            return cast(condition, type);
        }
        if (set == 0 && clear == wrap(1, type)) {
            return cast(bit_not(condition, one_bit), type);
        }
    }
    if (const Node node = function_.nodes[condition];
        node.op == Op::bit_not && this->type(node.operand[0]) == one_bit) {
        return mux(node.operand[0], if_clear, if_set, type);
    }
    return emit(Op::mux, type, 0, condition, if_set, if_clear);
}

NodeId Builder::cast(NodeId a, Type type) {
    require(is_legal(type), "illegal type");
    a = operand(a);
    if (is_constant(a)) {
        return constant(wrap(constant_value(a), type), type);
    }
    if (type.width == 0) {
        return constant(0, type);
    }
    // The operand's own cast loses bits (else it was looked through); it does not matter where this
    // cast keeps no more of them.
    while (function_.nodes[a].op == Op::cast && type.width <= this->type(a).width) {
        a = function_.nodes[a].operand[0];
    }
    return this->type(a) == type ? a : emit(Op::cast, type, 0, a);
}

NodeId Builder::read(int table, NodeId address, Type type) {
    require(is_legal(type), "illegal type");
    require(table >= 0 && static_cast<std::size_t>(table) < function_.tables.size(),
            "the table does not exist");
    const Type index = this->type(checked(address));
    const std::vector<Int128>& words = function_.tables[static_cast<std::size_t>(table)].words;
    require(!index.is_signed && index.width < 64 && words.size() == std::size_t{1} << index.width,
            "the address does not match the size of the table");
    if (index.width == 0) {
        return constant(wrap(words[0], type), type);
    }
    if (is_constant(address)) {
        return constant(wrap(words[static_cast<std::size_t>(constant_value(address))], type), type);
    }
    if (type.width == 0) {
        return constant(0, type);
    }
    return emit(Op::read, type, table, address);
}

}  // namespace gatewright::bits
