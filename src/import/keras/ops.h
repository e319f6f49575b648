#pragma once

#include <initializer_list>

#include "import/keras/call.h"

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
