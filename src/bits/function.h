#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/int128.h"

/// The bits level: integers of explicit width in static single assignment. There is no binary
/// point left here, so that a printer is one expression per operation (ops.def).
namespace gatewright::bits {

enum class Op : std::uint8_t {
#define OPERATION(name, operands, has_immediate, meaning) name,
#include "bits/ops.def"
#undef OPERATION
};

struct OpInfo {
    std::string_view name;
    int operands;
    bool has_immediate;
    std::string_view meaning;
};
const OpInfo& info(Op op);
inline constexpr int op_count = 0
#define OPERATION(name, operands, has_immediate, meaning) +1
#include "bits/ops.def"
#undef OPERATION
    ;

/// An integer type. Width 0 holds only zero. Signed types have at most 128 bits, unsigned ones at
/// most 127, so that every value is an Int128.
struct Type {
    bool is_signed = false;
    std::uint8_t width = 0;

    bool operator==(const Type&) const = default;
};

/// `value` reduced modulo 2^width into `type`.
Int128 wrap(Int128 value, Type type);
/// Whether `type` holds `value` without reduction.
bool holds(Type type, Int128 value);
/// Whether `type` holds every value of `other` without reduction.
bool holds_all(Type type, Type other);
/// Whether the type has a legal width.
constexpr bool is_legal(Type type) {
    return type.width <= (type.is_signed ? 128 : 127);
}
/// The smallest and the largest value of a type.
Int128 lowest(Type type);
Int128 highest(Type type);
/// The narrowest type that holds the value.
Type narrowest(Int128 value);
/// "s8", "u3".
std::string to_string(Type type);

/// A node of a function, by its number.
using NodeId = std::uint32_t;

/// 32 bytes. Operands precede the node.
struct Node {
    std::int64_t immediate = 0;
    NodeId operand[3] = {0, 0, 0};
    std::uint32_t origin = 0;  ///< index into Function::origins
    Op op = Op::constant;
    Type type;
};
static_assert(sizeof(Node) == 32);

struct Input {
    std::string name;
    Type type;
};

struct Output {
    std::string name;
    NodeId node = 0;
};

/// The one rule of ops.def on plain integers, for every operation but input, constant and read
/// (std::logic_error for these). Operands that the operation does not have are ignored.
Int128 apply(Op op, Type type, std::int64_t immediate, Int128 a, Int128 b = 0, Int128 c = 0);

/// A table of constants that `read` looks words up in. It has 2^n words.
struct Table {
    std::string name;
    Type type;
    std::vector<Int128> words;
};

/// A function from inputs to outputs. A process or a machine says which of them are ports and
/// which are state. Made by Builder; checked by verify().
struct Function {
    std::string name;
    std::vector<Input> inputs;
    std::vector<Node> nodes;
    std::vector<Output> outputs;
    std::vector<Table> tables;
    std::vector<Int128> wide_constants;
    std::vector<std::string> origins = {""};  ///< layer names, for names in generated code

    /// The integer of a constant node.
    Int128 constant(const Node& node) const;
};

/// Checks every invariant: operand order and count, types, immediates, table sizes. Returns what is
/// wrong, one sentence each; empty if the function is sound.
std::vector<std::string> verify(const Function& function);

/// The text form. It round-trips: from_text(to_text(f)) has the same nodes.
///
///     function add3
///     input x : s8
///     table t : u4 = 1 2 3 4
///     origin 1 = "fc1"
///     %0 = input 0 : s8
///     %1 = constant 3 : u2
///     %2 = add %0 %1 : s9 @1
///     output y = %2
std::string to_text(const Function& function);

/// Parses the text form; throws Failure with the line number on anything else.
Function from_text(std::string_view text);

/// Evaluates one sample, plainly, node by node: the definition that everything else is held to.
std::vector<Int128> evaluate(const Function& function, const std::vector<Int128>& inputs);

}  // namespace gatewright::bits
