// The dialects of C++: what ops.def means in plain integers, in ap_int and in ac_int.

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "backends/hls/hls.h"

namespace gatewright::backends::hls {

namespace {

using bits::Op;
using bits::Type;

std::string_view infix(Op op) {
    switch (op) {
        case Op::add:
            return "+";
        case Op::sub:
            return "-";
        case Op::mul:
            return "*";
        case Op::bit_and:
            return "&";
        case Op::bit_or:
            return "|";
        case Op::bit_xor:
            return "^";
        case Op::equal:
            return "==";
        default:
            return "<";
    }
}

std::string high_half(Int128 value) {
    return fmt::format("{}ULL", static_cast<std::uint64_t>(static_cast<UInt128>(value) >> 64));
}
std::string low_half(Int128 value) {
    return fmt::format("{}ULL", static_cast<std::uint64_t>(value));
}
bool is_long(Int128 value) {
    return bits::holds({true, 64}, value) && value != bits::lowest({true, 64});
}

// Plain C++: a value lives in the narrowest signed integer that holds its type, unsigned types too,
// so that comparisons mix freely. Arithmetic is done modulo 2^64 or 2^128 and cut to the type.

int container(Type type) {
    const int width = type.width + (type.is_signed ? 0 : 1);
    return width <= 8 ? 8 : width <= 16 ? 16 : width <= 32 ? 32 : width <= 64 ? 64 : 128;
}

std::string cpp_type(Type type) {
    return container(type) == 128 ? "i128" : fmt::format("std::int{}_t", container(type));
}

std::string cpp_literal(Int128 value, Type) {
    if (is_long(value)) {
        return bits::holds({true, 32}, value) && value != bits::lowest({true, 32})
                   ? to_string(value)
                   : to_string(value) + "LL";
    }
    return fmt::format("i128(u128({}) << 64 | {})", high_half(value), low_half(value));
}

std::string cpp_operation(const bits::Node& node, std::span<const Operand> x) {
    const int width = node.type.width;
    if (width == 0) {
        return "0";
    }
    const std::string_view modular = width <= 64 ? "u64" : "u128";
    const auto wide = [&](const Operand& a) { return fmt::format("{}({})", modular, a.text); };
    const auto cut = [&](const std::string& value) {
        return fmt::format("to_{}<{}>({})", node.type.is_signed ? "signed" : "unsigned", width,
                           value);
    };
    switch (node.op) {
        case Op::shl:
            return node.immediate >= width
                       ? "0"
                       : cut(fmt::format("{} << {}", wide(x[0]), node.immediate));
        case Op::shr: {
            const std::int64_t amount =
                std::min<std::int64_t>(node.immediate, container(x[0].type) - 1);
            const std::string value = fmt::format("{}({})", cpp_type(x[0].type), x[0].text);
            return cut(fmt::format("{}({} >> {})", modular, value, amount));
        }
        case Op::bit_not:
            return cut("~" + wide(x[0]));
        case Op::equal:
        case Op::less:
            return fmt::format("{} {} {} ? 1 : 0", x[0].text, infix(node.op), x[1].text);
        case Op::mux:
            return cut(fmt::format("{} != 0 ? {} : {}", x[0].text, wide(x[1]), wide(x[2])));
        case Op::cast:
            return cut(wide(x[0]));
        default:
            return cut(fmt::format("{} {} {}", wide(x[0]), infix(node.op), wide(x[1])));
    }
}

std::string cpp_index(const Operand& a) {
    return fmt::format("std::size_t({})", a.text);
}

constexpr std::string_view cpp_prelude = R"(#include <cstddef>
#include <cstdint>

#ifndef GATEWRIGHT_INTEGERS
#define GATEWRIGHT_INTEGERS
__extension__ typedef __int128 i128;
__extension__ typedef unsigned __int128 u128;
typedef std::uint64_t u64;

// The low `width` bits of a value as an integer.
template <int width>
constexpr std::int64_t to_signed(u64 value) {
    return std::int64_t(value << (64 - width)) >> (64 - width);
}
template <int width>
constexpr i128 to_signed(u128 value) {
    return i128(value << (128 - width)) >> (128 - width);
}
template <int width>
constexpr i128 to_unsigned(u64 value) {
    return value & (~u64(0) >> (64 - width));
}
template <int width>
constexpr i128 to_unsigned(u128 value) {
    return i128(value & (~u128(0) >> (128 - width)));
}
#endif
)";

constexpr std::string_view cpp_conversions = R"(
template <class T>
T from_integer(integer value) {
    return T(value);
}
template <class T>
integer to_integer(T value) {
    return value;
}
)";

// Vitis: ap_int grows by itself, and an assignment cuts. A type of width 0 is one bit that is 0.

std::string vitis_type(Type type) {
    return fmt::format("{}<{}>", type.is_signed ? "ap_int" : "ap_uint",
                       std::max<int>(type.width, 1));
}

std::string vitis_literal(Int128 value, Type type) {
    if (is_long(value)) {
        return fmt::format("{}({}LL)", vitis_type(type), to_string(value));
    }
    return fmt::format("{0}(ap_uint<128>(ap_uint<128>({1}) << 64) | ap_uint<128>({2}))",
                       vitis_type(type), high_half(value), low_half(value));
}

/// The operations that look the same wherever an operator's result grows to hold it: the only
/// thing to do is to take it into the node's type.
std::string growing_operation(const bits::Node& node, const std::string& type,
                              std::span<const Operand> x) {
    switch (node.op) {
        case Op::mux:
            return fmt::format("{0} != 0 ? {1}({2}) : {1}({3})", x[0].text, type, x[1].text,
                               x[2].text);
        case Op::cast:
            return fmt::format("{}({})", type, x[0].text);
        default:
            return fmt::format("{}({} {} {})", type, x[0].text, infix(node.op), x[1].text);
    }
}

std::string growing_index(const Operand& a) {
    return fmt::format("({}).to_uint()", a.text);
}

std::string vitis_operation(const bits::Node& node, std::span<const Operand> x) {
    const std::string type = vitis_type(node.type);
    if (node.type.width == 0) {
        return type + "(0)";
    }
    const auto whole = [&](const Operand& a) { return a.type.width + (a.type.is_signed ? 0 : 1); };
    const auto as = [](int width, const Operand& a) {
        return fmt::format("ap_int<{}>({})", width, a.text);
    };
    switch (node.op) {
        case Op::shl: {
            if (node.immediate >= node.type.width) {
                return type + "(0)";
            }
            const int width = std::max<int>(node.type.width, whole(x[0]));
            return fmt::format("{}({} << {})", type, as(width, x[0]), node.immediate);
        }
        case Op::shr: {
            const int width = whole(x[0]);
            const std::int64_t amount = std::min<std::int64_t>(node.immediate, width - 1);
            return fmt::format("{}({} >> {})", type, as(std::max(width, 1), x[0]),
                               std::max<std::int64_t>(amount, 0));
        }
        case Op::bit_not:
            return fmt::format("{}(~{})", type, as(std::max<int>(whole(x[0]), 1), x[0]));
        case Op::equal:
        case Op::less:
        case Op::bit_and:
        case Op::bit_or:
        case Op::bit_xor: {
            const int width = std::max({whole(x[0]), whole(x[1]), 1});
            return fmt::format("{}({} {} {})", type, as(width, x[0]), infix(node.op),
                               as(width, x[1]));
        }
        default:
            return growing_operation(node, type, x);
    }
}

constexpr std::string_view vitis_conversions = R"(
template <class T>
T from_integer(integer value) {
    const ap_uint<128> high = ap_uint<128>((unsigned long long)(value >> 64)) << 64;
    return T(high | ap_uint<128>((unsigned long long)value));
}
template <class T>
integer to_integer(T value) {
    const ap_int<128> all = value;
    const ap_int<128> high = all >> 64;
    return integer((unsigned __int128)(unsigned long long)high.to_uint64() << 64 |
                   (unsigned long long)all.to_uint64());
}
)";

constexpr std::string_view vitis_script =
    R"(# vitis_hls -f build_hls.tcl: compiles and checks, then synthesises.
# PART names the device, CLOCK_PERIOD the nanoseconds, both from the environment.

proc setting {{variable default}} {{
    return [expr {{[info exists ::env($variable)] ? $::env($variable) : $default}}]
}}
open_project -reset {name}_hls
set_top {name}
add_files {name}.cpp
add_files -tb {name}_main.cpp
add_files -tb ../inputs.txt
add_files -tb ../expected.txt
open_solution -reset solution -flow_target vivado
set_part [setting PART xcu250-figd2104-2L-e]
create_clock -period [setting CLOCK_PERIOD 5]
csim_design -argv "inputs.txt expected.txt"
csynth_design
exit
)";

// Catapult: ac_int grows by itself as well. A shift keeps the type of what is shifted, and there is
// no type without bits.

std::string catapult_type(Type type) {
    return fmt::format("ac_int<{}, {}>", std::max<int>(type.width, 1), type.is_signed);
}

std::string catapult_literal(Int128 value, Type type) {
    if (is_long(value)) {
        return fmt::format("{}({}LL)", catapult_type(type), to_string(value));
    }
    return fmt::format("{0}((ac_int<128, false>({1}) << 64) | ac_int<128, false>({2}))",
                       catapult_type(type), high_half(value), low_half(value));
}

std::string catapult_operation(const bits::Node& node, std::span<const Operand> x) {
    const std::string type = catapult_type(node.type);
    if (node.type.width == 0) {
        return type + "(0)";
    }
    switch (node.op) {
        case Op::shl: {
            if (node.immediate >= node.type.width) {
                return type + "(0)";
            }
            const int width = std::max<int>(node.type.width, x[0].type.width + 1);
            return fmt::format("{}(ac_int<{}, true>({}) << {})", type, width, x[0].text,
                               node.immediate);
        }
        case Op::shr: {
            const auto most = std::max<std::int64_t>(x[0].type.width, 1) - 1;
            // What is left of a number without a sign is 0, of one with a sign its sign.
            return node.immediate > most && !x[0].type.is_signed
                       ? type + "(0)"
                       : fmt::format("{}({} >> {})", type, x[0].text,
                                     std::min<std::int64_t>(node.immediate, most));
        }
        case Op::bit_not:
            return fmt::format("{}(~{})", type, x[0].text);
        default:
            return growing_operation(node, type, x);
    }
}

constexpr std::string_view catapult_conversions = R"(
template <class T>
T from_integer(integer value) {
    const ac_int<128, false> high = (unsigned long long)(value >> 64);
    return T((high << 64) | ac_int<128, false>((unsigned long long)value));
}
template <class T>
integer to_integer(T value) {
    const ac_int<128, true> all = value;
    const ac_int<128, true> high = all >> 64;
    return integer((unsigned __int128)high.to_uint64() << 64 | all.to_uint64());
}
)";

constexpr std::string_view catapult_script =
    R"(# catapult -shell -file build_hls.tcl: compiles, then synthesises.
# CLOCK_PERIOD gives the nanoseconds, LIBRARY the technology, both from the environment.

proc setting {{variable default}} {{
    return [expr {{[info exists ::env($variable)] ? $::env($variable) : $default}}]
}}
solution new -state initial
solution options set /Input/CppStandard c++17
solution file add {name}.cpp
solution file add {name}_main.cpp -exclude true
go analyze
directive set -DESIGN_HIERARCHY {name}
go compile
solution library add [setting LIBRARY nangate-45nm_beh]
go libraries
directive set -CLOCKS [list clk [list -CLOCK_PERIOD [setting CLOCK_PERIOD 5]]]
go assembly
directive set /{name}/core/main -PIPELINE_INIT_INTERVAL 1
go extract
exit
)";

constexpr Dialect table[] = {
    {.name = "cpp",
     .help = "plain C++20 with the integers of the compiler",
     .standard = "c++20",
     .prelude = cpp_prelude,
     .conversions = cpp_conversions,
     .ram_initial = " = {}",
     .type = &cpp_type,
     .literal = &cpp_literal,
     .operation = &cpp_operation,
     .index = &cpp_index},
    {.name = "vitis",
     .help = "C++ for Vitis HLS with ap_int, and a script for it",
     .standard = "c++14",
     .prelude = "#include <ap_int.h>\n",
     .conversions = vitis_conversions,
     .pipeline = "#pragma HLS PIPELINE II=1",
     .inlined = "#pragma HLS INLINE",
     .ram_storage = "static ",
     .headers = {"ap_int.h", "AP_TYPES", "Vitis HLS has them in its folder include.",
                 "vivado/ap_types"},
     .compiler_flags = "-Wno-unknown-pragmas",
     .script_file = "build_hls.tcl",
     .script = vitis_script,
     .type = &vitis_type,
     .literal = &vitis_literal,
     .operation = &vitis_operation,
     .index = &growing_index},
    {.name = "catapult",
     .help = "C++ for Catapult with ac_int, and a script for it",
     .standard = "c++17",
     .prelude = "#include <ac_int.h>\n",
     .conversions = catapult_conversions,
     .headers = {"ac_int.h", "AC_TYPES", "Catapult has them in its folder shared/include.",
                 "catapult/ac_types/include"},
     .compiler_flags = "-Wno-unknown-pragmas",
     .script_file = "build_hls.tcl",
     .script = catapult_script,
     .type = &catapult_type,
     .literal = &catapult_literal,
     .operation = &catapult_operation,
     .index = &growing_index},
};

}  // namespace

std::span<const Dialect> dialects() {
    return table;
}

const Dialect* find_dialect(std::string_view name) {
    const auto* found = std::find_if(std::begin(table), std::end(table),
                                     [&](const Dialect& d) { return d.name == name; });
    return found == std::end(table) ? nullptr : found;
}

}  // namespace gatewright::backends::hls
