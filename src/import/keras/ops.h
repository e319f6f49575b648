#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "import/keras/call.h"
#include "import/keras/rules.h"

/// What the rules for functions of tensors share (ops_rules.cpp). Internal to these files.
namespace gatewright::keras {

/// A constant parameter: of the configuration, or an argument of the call by name or position; null
/// if there is none. Refuses what is computed.
const Json& parameter(Call& call, std::initializer_list<const char*> names,
                      std::size_t position = SIZE_MAX);
std::int64_t integer_of(Call& call, const Json& value, const char* name);
/// A list of integers, or one.
Shape integers_of(Call& call, const Json& value, const char* name);
/// Yes or no; refuses everything else.
bool flag_of(Call& call, std::initializer_list<const char*> names, std::size_t position = SIZE_MAX,
             bool otherwise = false);
/// Numbers in nested lists, or an array as Keras 3 serialises it.
Operand constant_of(Call& call, const Json& value, const char* name);
/// An argument that is a tensor or a constant.
Operand operand_of(Call& call, std::size_t position, std::initializer_list<const char*> names);
/// The first one, whatever a function calls it.
Operand x_of(Call& call);

/// A real number; `otherwise` if it is not given.
double real_of(Call& call, const char* name, std::size_t position, double otherwise);
/// An axis of a sample; BatchMixed if none is given and there is no other.
std::int64_t sample_axis(Call& call, const Operand& x, std::optional<std::int64_t> otherwise,
                         const char* name = "axis", std::size_t position = 1);
/// Axes of a sample in order, each once.
Shape axes_of(Call& call, const Operand& x, const Json& given, const char* name);
/// The axes of a reduction; BatchMixed if none are given: all axes, of all samples.
Shape reduced_axes(Call& call, const Operand& x, std::size_t position = 1);
/// A function of two numbers (operators/function.h).
Operand joined(Call& call, const char* name, const Operand& a, const Operand& b);
/// a where the condition holds, else b.
Operand chosen(Call& call, const Operand& condition, const Operand& a, const Operand& b);
/// All elements along an axis in rising order, and where they were.
std::vector<Operand> ordered(Call& call, const Operand& x, std::int64_t axis);

/// An operation of keras.ops by the name of its class.
struct OpRow {
    std::string_view name;
    Rule rule;
};
std::vector<RuleRow> op_rules(std::span<const OpRow> rows);

// Functions that move elements (ops_moves.cpp).
void reshape_op(Call& call);
void transpose_op(Call& call);
void swapaxes_op(Call& call);
void squeeze_op(Call& call);
void expand_dims_op(Call& call);
void concatenate_op(Call& call);
void stack_op(Call& call);
void split_op(Call& call);
void repeat_op(Call& call);
void tile_op(Call& call);
void flip_op(Call& call);
void pad_op(Call& call);
void get_item_op(Call& call);
void same_op(Call& call);
void cast_op(Call& call);

}  // namespace gatewright::keras
