#pragma once

#include <span>
#include <string>
#include <string_view>

#include "backends/emitted_file.h"
#include "base/int128.h"
#include "design/design.h"

/// C++ from a process: loops become `for` loops, the body one expression per bits operation. There
/// is one printer; a dialect is a row of a table that says how types, literals and operations look.
namespace gatewright::backends::hls {

/// How an operation's operands look: the text of each and its type.
struct Operand {
    std::string text;
    bits::Type type;
};

/// The headers of a dialect's integers, where the compiler does not bring them.
struct Headers {
    std::string_view file;      ///< for example "ap_int.h"; empty: none are needed
    std::string_view variable;  ///< of the Makefile: their folder; GATEWRIGHT_<variable> for tests
    std::string_view help;      ///< where they come from
    std::string_view package;   ///< their folder in an installed hls4ml, which ships them
};

struct Dialect {
    std::string_view name;
    std::string_view help;
    std::string_view standard;          ///< the least C++ standard, as the compiler's option
    std::string_view prelude;           ///< before everything in the header
    std::string_view conversions;       ///< for main(): `integer` (128 bits) to and from a type
    std::string_view pipeline = {};     ///< the line that opens an iteration; may be empty
    std::string_view inlined = {};      ///< the line that opens a function to be inlined
    std::string_view ram_storage = {};  ///< before a RAM's declaration
    std::string_view ram_initial = {};  ///< behind it
    Headers headers = {};
    std::string_view compiler_flags = {};  ///< for g++, beside the standard
    std::string_view script_file = {};     ///< for the vendor's tool; may be empty
    std::string_view script = {};          ///< its text, with {name} for the top function
    std::string (*type)(bits::Type type);
    std::string (*literal)(Int128 value, bits::Type type);
    /// The node's value in its own type; not for input, constant and read.
    std::string (*operation)(const bits::Node& node, std::span<const Operand> operands);
    /// A value of `from` as an index of an array.
    std::string (*index)(const Operand& operand);
};

/// "cpp": plain C++20; "vitis": ap_int and pragmas of Vitis HLS; "catapult": ac_int.
std::span<const Dialect> dialects();
/// Null if there is none of that name.
const Dialect* find_dialect(std::string_view name);

/// The process as a function `void name(const <in>_word in[words], ..., <out>_word out[words])`
/// that computes one frame: {name}.h, {name}.cpp, and {name}_main.cpp, a program that reads frames
/// as decimal integers (the words of the first port, then the next) and prints a line per frame, or
/// compares with a file of such lines.
EmittedFiles emit(const design::Process& process, const Dialect& dialect);

/// The same with a Makefile (`make check` compares ../inputs.txt and ../expected.txt) and the
/// dialect's script.
EmittedFiles emit_with_scripts(const design::Process& process, const Dialect& dialect);

}  // namespace gatewright::backends::hls
