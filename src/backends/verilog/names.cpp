#include "backends/verilog/names.h"

#include <algorithm>
#include <array>

namespace gatewright::backends::verilog {

namespace {

// Keywords of Verilog-2005 and SystemVerilog that a layer could plausibly be called, and the
// generated code's own names.
constexpr auto reserved = std::to_array<std::string_view>({
    "always",
    "and",
    "assign",
    "automatic",
    "begin",
    "bit",
    "buf",
    "byte",
    "case",
    "casex",
    "casez",
    "cell",
    "checker",
    "class",
    "clocking",
    "config",
    "const",
    "context",
    "continue",
    "cover",
    "deassign",
    "default",
    "defparam",
    "design",
    "disable",
    "do",
    "edge",
    "else",
    "end",
    "endcase",
    "endmodule",
    "endfunction",
    "enum",
    "event",
    "expect",
    "export",
    "extends",
    "final",
    "first_match",
    "for",
    "force",
    "forever",
    "fork",
    "function",
    "generate",
    "genvar",
    "global",
    "highz0",
    "highz1",
    "if",
    "iff",
    "import",
    "initial",
    "inout",
    "input",
    "inside",
    "instance",
    "int",
    "integer",
    "interface",
    "intersect",
    "join",
    "large",
    "let",
    "liblist",
    "library",
    "local",
    "localparam",
    "logic",
    "longint",
    "macromodule",
    "matches",
    "medium",
    "modport",
    "module",
    "nand",
    "negedge",
    "new",
    "nmos",
    "nor",
    "not",
    "null",
    "or",
    "output",
    "package",
    "packed",
    "parameter",
    "pmos",
    "posedge",
    "primitive",
    "priority",
    "program",
    "property",
    "protected",
    "pull0",
    "pull1",
    "pulldown",
    "pullup",
    "pure",
    "rand",
    "real",
    "realtime",
    "ref",
    "reg",
    "release",
    "repeat",
    "return",
    "rnmos",
    "scalared",
    "sequence",
    "shortint",
    "shortreal",
    "signed",
    "small",
    "solve",
    "specify",
    "static",
    "string",
    "strong0",
    "strong1",
    "struct",
    "super",
    "supply0",
    "supply1",
    "table",
    "tagged",
    "task",
    "this",
    "throughout",
    "time",
    "timeprecision",
    "timeunit",
    "tran",
    "tri",
    "tri0",
    "tri1",
    "triand",
    "trior",
    "trireg",
    "type",
    "typedef",
    "union",
    "unique",
    "unsigned",
    "use",
    "uwire",
    "var",
    "vectored",
    "virtual",
    "void",
    "wait",
    "wand",
    "weak0",
    "weak1",
    "while",
    "wildcard",
    "wire",
    "with",
    "within",
    "wor",
    "xnor",
    "xor",
    "clk",
    "rst",
    "in_valid",
    "out_valid",
    "clock_enable",
    "testbench",
});

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

}  // namespace

std::string legal_name(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const bool legal = is_letter(c) || is_digit(c);
        if (legal || (!out.empty() && out.back() != '_')) {
            out.push_back(legal ? c : '_');
        }
    }
    while (!out.empty() && out.back() == '_') {
        out.pop_back();
    }
    // Names become parts of file names too, which 255 bytes bound. The ends tell names apart.
    constexpr std::size_t longest = 100;
    if (out.size() > longest) {
        out = out.substr(0, longest / 2) + "_" + out.substr(out.size() - longest / 2 + 2);
    }
    if (out.empty() || is_digit(out.front()) || out.front() == '_') {
        out = "n" + out;
    }
    if (std::find(reserved.begin(), reserved.end(), out) != reserved.end()) {
        out += "_";
        out += "1";
    }
    return out;
}

std::string Names::unique(std::string_view text) {
    const std::string base = legal_name(text);
    std::string name = base;
    for (int i = 2; !used_.insert(name).second; ++i) {
        name = base + "_" + std::to_string(i);
    }
    return name;
}

std::string Names::unique_stream(std::string_view text) {
    const std::string base = legal_name(text);
    std::string name = base;
    const auto taken = [&](const char* suffix) { return used_.contains(name + suffix); };
    for (int i = 2; taken("") || taken("_valid") || taken("_ready"); ++i) {
        name = base + "_" + std::to_string(i);
    }
    used_.insert({name, name + "_valid", name + "_ready"});
    return name;
}

}  // namespace gatewright::backends::verilog
