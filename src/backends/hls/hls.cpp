#include "backends/hls/hls.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <iterator>
#include <set>

namespace gatewright::backends::hls {

namespace {

using bits::Function;
using bits::Node;
using bits::Op;

/// Legal identifiers, each unique; `suffix` keeps names off the keywords of C++.
class Identifiers {
  public:
    std::string unique(std::string_view text, std::string_view suffix) {
        std::string base;
        for (const char c : text) {
            const bool legal = std::isalnum(static_cast<unsigned char>(c)) != 0;
            // No two underscores in a row: such names are the compiler's.
            if (legal || (!base.empty() && base.back() != '_')) {
                base += legal ? c : '_';
            }
        }
        if (base.empty() || std::isdigit(static_cast<unsigned char>(base.front())) != 0) {
            base.insert(0, "n");
        }
        while (base.back() == '_') {
            base.pop_back();
        }
        std::string name = base + std::string(suffix);
        for (int number = 2; !used_.insert(name).second; ++number) {
            name = fmt::format("{}{}{}", base, number, suffix);
        }
        return name;
    }

  private:
    std::set<std::string> used_;
};

/// A body of more statements than this is printed as functions of that many: compilers take time
/// that grows with the square of a function's length.
constexpr std::size_t part_length = 500;

class Printer {
  public:
    Printer(const design::Process& process, const Dialect& dialect)
        : process_(process), dialect_(dialect) {
        name_ = names_.unique(process.name, "");
        static const std::set<std::string, std::less<>> taken = {
            "auto",   "bool",   "break",  "case",   "char",  "class",  "const",  "default",
            "delete", "do",     "double", "else",   "enum",  "float",  "for",    "goto",
            "if",     "int",    "long",   "main",   "new",   "not",    "or",     "and",
            "xor",    "return", "short",  "signed", "std",   "static", "struct", "switch",
            "this",   "try",    "union",  "void",   "while", "using",  "input",  "integer"};
        if (taken.contains(name_)) {
            name_ = names_.unique(process.name, "_circuit");
        }
        for (const design::Port& port : process.inputs) {
            inputs_.push_back(names_.unique(port.name, "_in"));
        }
        for (const design::Port& port : process.outputs) {
            outputs_.push_back(names_.unique(port.name, "_out"));
        }
        for (const design::Memory& memory : process.memories) {
            memories_.push_back(names_.unique(memory.name, "_memory"));
        }
        for (const design::Register& state : process.registers) {
            registers_.push_back(names_.unique(state.name, "_register"));
        }
        for (const design::Loop& loop : process.loops) {
            loops_.push_back(names_.unique(loop.name, "_loop"));
        }
        count_words();
        split_body();
    }

    EmittedFiles files() {
        EmittedFiles out;
        out.push_back({name_ + ".h", header()});
        out.push_back({name_ + ".cpp", source()});
        out.push_back({name_ + "_main.cpp", program()});
        return out;
    }

  private:
    /// Words a frame of each port, by walking through the loops.
    void count_words() {
        words_.assign(inputs_.size() + outputs_.size(), 0);
        std::vector<Int128> counters(process_.loops.size(), 0);
        std::int64_t iterations = 1;
        for (const design::Loop& loop : process_.loops) {
            iterations *= loop.count;
        }
        for (std::int64_t i = 0; i < iterations; ++i) {
            const auto when = bits::evaluate(process_.control, counters);
            for (std::size_t p = 0; p < words_.size(); ++p) {
                words_[p] += when[p] != 0 ? 1 : 0;
            }
            for (std::size_t l = counters.size(); l-- > 0;) {
                if (++counters[l] < process_.loops[l].count) {
                    break;
                }
                counters[l] = 0;
            }
        }
    }

    /// Gives each node of a long body its part; inputs are in none.
    void split_body() {
        const Function& f = process_.body;
        std::vector<int> part(f.nodes.size(), -1);
        std::size_t statements = 0;
        for (bits::NodeId id = 0; id < f.nodes.size(); ++id) {
            if (f.nodes[id].op != Op::constant && f.nodes[id].op != Op::input) {
                part[id] = static_cast<int>(statements++ / part_length);
            }
        }
        if (statements <= 2 * part_length) {
            return;
        }
        parts_ = static_cast<int>((statements - 1) / part_length) + 1;
        part_of_ = std::move(part);
        crosses_.assign(f.nodes.size(), false);
        for (bits::NodeId id = 0; id < f.nodes.size(); ++id) {
            for (int i = 0; i < bits::info(f.nodes[id].op).operands; ++i) {
                const bits::NodeId operand = f.nodes[id].operand[i];
                crosses_[operand] = crosses_[operand] || part_of_[operand] != part_of_[id];
            }
        }
        for (const bits::Output& output : f.outputs) {
            crosses_[output.node] = true;
        }
    }
    bool is_split(const Function& f) const { return parts_ > 0 && &f == &process_.body; }

    std::string signature() const {
        std::vector<std::string> arguments;
        for (std::size_t p = 0; p < inputs_.size(); ++p) {
            arguments.push_back(fmt::format("const {0}_{1}_word {1}[{2}]", name_, inputs_[p],
                                            std::max<std::int64_t>(words_[p], 1)));
        }
        for (std::size_t p = 0; p < outputs_.size(); ++p) {
            arguments.push_back(fmt::format("{0}_{1}_word {1}[{2}]", name_, outputs_[p],
                                            std::max<std::int64_t>(words_[inputs_.size() + p], 1)));
        }
        return fmt::format("void {}({})", name_, fmt::join(arguments, ", "));
    }

    std::string row_type(const std::string& type, const std::vector<design::Lane>& lanes) const {
        std::string text = fmt::format("struct {} {{\n", type);
        for (std::size_t l = 0; l < lanes.size(); ++l) {
            text += fmt::format("    {} e{};  // {}\n", dialect_.type(lanes[l].bits()), l,
                                to_string(lanes[l].type));
        }
        return text + "};\n";
    }

    std::string header() const {
        std::string text = "#pragma once\n\n" + std::string(dialect_.prelude) + "\n";
        const auto rows = [&](const auto& ports, const std::vector<std::string>& names) {
            for (std::size_t p = 0; p < ports.size(); ++p) {
                text += fmt::format("// One word of {}.\n", printable(ports[p].name)) +
                        row_type(fmt::format("{}_{}_word", name_, names[p]), ports[p].lanes) + "\n";
            }
        };
        rows(process_.inputs, inputs_);
        rows(process_.outputs, outputs_);
        return text + "// Computes one frame.\n" + signature() + ";\n";
    }

    static std::string printable(std::string_view text) {
        std::string out;
        for (const char c : text) {
            out += std::isprint(static_cast<unsigned char>(c)) != 0 && c != '\\' ? c : '_';
        }
        return out;
    }

    // Statements of one function: every node but inputs and constants becomes a variable.

    std::string operand(const Function& f, bits::NodeId id, std::string_view prefix) const {
        const Node& node = f.nodes[id];
        if (node.op == Op::constant) {
            return dialect_.literal(f.constant(node), node.type);
        }
        const bool elsewhere = is_split(f) && part_of_[id] != part_;
        return fmt::format("{}{}{}", elsewhere ? "s." : "", prefix, id);
    }

    void statements(const Function& f, std::string_view prefix,
                    const std::vector<std::string>& inputs, std::string_view indent) {
        std::uint32_t origin = 0;
        for (bits::NodeId id = 0; id < f.nodes.size(); ++id) {
            const Node& node = f.nodes[id];
            if (node.op == Op::constant || (is_split(f) && part_of_[id] != part_)) {
                continue;
            }
            if (node.origin != origin && node.op != Op::input) {
                origin = node.origin;
                put("{}// {}\n", indent, printable(f.origins[origin]));
            }
            std::string value;
            std::vector<Operand> operands;
            for (int i = 0; i < bits::info(node.op).operands; ++i) {
                operands.push_back(
                    {operand(f, node.operand[i], prefix), f.nodes[node.operand[i]].type});
            }
            if (node.op == Op::input) {
                value = fmt::format("{}({})", dialect_.type(node.type),
                                    inputs[static_cast<std::size_t>(node.immediate)]);
            } else if (node.op == Op::read) {
                const Operand word{fmt::format("{}table{}[{}]", prefix, node.immediate,
                                               dialect_.index(operands[0])),
                                   f.tables[static_cast<std::size_t>(node.immediate)].type};
                Node cast = node;
                cast.op = Op::cast;
                value = dialect_.operation(cast, std::span(&word, 1));
            } else {
                value = dialect_.operation(node, operands);
            }
            put("{}const {} {}{} = {};\n", indent, dialect_.type(node.type), prefix, id, value);
            if (is_split(f) && crosses_[id]) {
                put("{0}s.{1}{2} = {1}{2};\n", indent, prefix, id);
            }
        }
    }

    void tables(const Function& f, std::string_view prefix) {
        for (std::size_t t = 0; t < f.tables.size(); ++t) {
            const bits::Table& table = f.tables[t];
            std::vector<std::string> words;
            for (const Int128 word : table.words) {
                words.push_back(dialect_.literal(word, table.type));
            }
            put("// {}\nstatic const {} {}table{}[{}] = {{{}}};\n\n", printable(table.name),
                dialect_.type(table.type), prefix, t, words.size(), fmt::join(words, ", "));
        }
    }

    void declare_memories() {
        for (std::size_t m = 0; m < memories_.size(); ++m) {
            const design::Memory& memory = process_.memories[m];
            for (std::size_t l = 0; l < memory.lanes.size(); ++l) {
                const bits::Type type = memory.lanes[l].bits();
                const std::string name = fmt::format("{}{}", memories_[m], l);
                if (memory.contents.empty()) {
                    put("    {}{} {}[{}]{};\n", dialect_.ram_storage, dialect_.type(type), name,
                        memory.words, dialect_.ram_initial);
                    continue;
                }
                std::vector<std::string> words;
                for (const auto& word : memory.contents) {
                    words.push_back(dialect_.literal(word[l], type));
                }
                put("    static const {} {}[{}] = {{{}}};\n", dialect_.type(type), name,
                    memory.words, fmt::join(words, ", "));
            }
        }
    }

    std::string when(std::size_t output) const {
        const Function& f = process_.control;
        const Node& node = f.nodes[f.outputs[output].node];
        if (node.op == Op::constant) {
            return f.constant(node) != 0 ? "true" : "false";
        }
        return operand(f, f.outputs[output].node, "c") + " != 0";
    }
    std::string address(std::size_t output) const {
        const Function& f = process_.control;
        const bits::NodeId id = f.outputs[output].node;
        return dialect_.index({operand(f, id, "c"), f.nodes[id].type});
    }

    std::string source() {
        put("#include \"{}.h\"\n\n", name_);
        tables(process_.control, "c");
        tables(process_.body, "v");
        parts();
        put("{} {{\n", signature());
        declare_memories();
        for (std::size_t r = 0; r < registers_.size(); ++r) {
            const bits::Type type = process_.registers[r].lane.bits();
            put("    {} {} = {};\n", dialect_.type(type), registers_[r],
                dialect_.literal(process_.registers[r].initial, type));
        }
        const bool looping = !process_.loops.empty();
        std::string indent = "    ";
        if (looping) {
            for (const auto* ports : {&inputs_, &outputs_}) {
                for (const std::string& port : *ports) {
                    put("    int {}_at = 0;\n", port);
                }
            }
        }
        for (std::size_t l = 0; l < loops_.size(); ++l) {
            put("{0}for (int {1} = 0; {1} < {2}; ++{1}) {{\n", indent, loops_[l],
                process_.loops[l].count);
            indent += "    ";
        }
        if (!dialect_.pipeline.empty()) {
            put("{}\n", dialect_.pipeline);
        }
        iteration(indent, looping);
        for (std::size_t l = loops_.size(); l-- > 0;) {
            indent.resize(indent.size() - 4);
            put("{}}}\n", indent);
        }
        put("}}\n");
        return fmt::to_string(text_);
    }

    /// The functions that a long body is split into, and the variables that they share.
    void parts() {
        if (parts_ == 0) {
            return;
        }
        const Function& f = process_.body;
        put("struct {}_values {{\n", name_);
        for (bits::NodeId id = 0; id < f.nodes.size(); ++id) {
            if (crosses_[id] && f.nodes[id].op != Op::constant) {
                put("    {} v{};\n", dialect_.type(f.nodes[id].type), id);
            }
        }
        put("}};\n\n");
        for (part_ = 0; part_ < parts_; ++part_) {
            put("void {0}_part{1}({0}_values& s) {{\n", name_, part_);
            if (!dialect_.inlined.empty()) {
                put("{}\n", dialect_.inlined);
            }
            statements(f, "v", {}, "    ");
            put("}}\n\n");
        }
        part_ = -1;
    }

    void iteration(const std::string& indent, bool looping) {
        statements(process_.control, "c", loops_, indent);
        std::vector<std::string> values = loops_;
        for (std::size_t p = 0; p < inputs_.size(); ++p) {
            if (looping) {
                // A word that is not taken has no meaning; the last one stands in for it.
                const std::string word = inputs_[p] + "_word";
                const std::int64_t last = std::max<std::int64_t>(words_[p] - 1, 0);
                put("{0}const {1}_{2}_word {3} = {2}[{2}_at < {4} ? {2}_at : {4}];\n", indent,
                    name_, inputs_[p], word, last);
                put("{}if ({}) {{\n{}    ++{}_at;\n{}}}\n", indent, when(p), indent, inputs_[p],
                    indent);
            }
            for (std::size_t l = 0; l < process_.inputs[p].lanes.size(); ++l) {
                values.push_back(
                    fmt::format("{}.e{}", looping ? inputs_[p] + "_word" : inputs_[p] + "[0]", l));
            }
        }
        values.insert(values.end(), registers_.begin(), registers_.end());
        std::size_t slot = inputs_.size() + outputs_.size();
        std::vector<std::size_t> slots;
        for (std::size_t m = 0; m < memories_.size(); ++m) {
            slots.push_back(slot);
            for (std::size_t l = 0; l < process_.memories[m].lanes.size(); ++l) {
                values.push_back(fmt::format("{}{}[{}]", memories_[m], l, address(slot)));
            }
            slot += process_.memories[m].contents.empty() ? 3 : 1;
        }
        const Function& body = process_.body;
        if (parts_ > 0) {
            put("{}{}_values s;\n", indent, name_);
        }
        statements(body, "v", values, indent);
        for (int part = 0; part < parts_; ++part) {
            put("{}{}_part{}(s);\n", indent, name_, part);
        }

        std::size_t result = 0;
        const auto assign = [&](std::string_view deeper, const std::string& to, bits::Type type) {
            put("{}{}{} = {}({});\n", indent, deeper, to, dialect_.type(type),
                operand(body, body.outputs[result++].node, "v"));
        };
        for (std::size_t p = 0; p < outputs_.size(); ++p) {
            const std::string condition = when(inputs_.size() + p);
            put("{}if ({}) {{\n", indent, condition);
            for (std::size_t l = 0; l < process_.outputs[p].lanes.size(); ++l) {
                assign("    ",
                       fmt::format("{0}[{1}].e{2}", outputs_[p],
                                   looping ? outputs_[p] + "_at" : std::string("0"), l),
                       process_.outputs[p].lanes[l].bits());
            }
            if (looping) {
                put("{}    ++{}_at;\n", indent, outputs_[p]);
            }
            put("{}}}\n", indent);
        }
        for (std::size_t r = 0; r < registers_.size(); ++r) {
            assign("", registers_[r], process_.registers[r].lane.bits());
        }
        for (std::size_t m = 0; m < memories_.size(); ++m) {
            if (!process_.memories[m].contents.empty()) {
                continue;
            }
            put("{}if ({}) {{\n", indent, when(slots[m] + 1));
            for (std::size_t l = 0; l < process_.memories[m].lanes.size(); ++l) {
                assign("    ", fmt::format("{}{}[{}]", memories_[m], l, address(slots[m] + 2)),
                       process_.memories[m].lanes[l].bits());
            }
            put("{}}}\n", indent);
        }
    }

    std::string program() const {
        std::string text = fmt::format(
            R"(// {1}_main [INPUTS [EXPECTED]]: reads frames as decimal integers, from INPUTS or standard input,
// and prints what becomes of them, a line each; or, given EXPECTED, counts what differs from it.

#include <fstream>
#include <iostream>
#include <string>

#include "{1}.h"

__extension__ typedef __int128 integer;
__extension__ typedef unsigned __int128 natural;

namespace {{
{0}
std::ifstream inputs_file;
std::ifstream expected_file;
bool comparing = false;
long mismatches = 0;

bool read(std::istream& from, integer& value) {{
    std::string text;
    if (!(from >> text)) {{
        return false;
    }}
    natural sum = 0;
    for (const char c : text) {{
        if (c != '-') {{
            sum = sum * 10 + natural(c - '0');
        }}
    }}
    value = integer(text[0] == '-' ? -sum : sum);
    return true;
}}

void give(integer value) {{
    if (comparing) {{
        integer expected = 0;
        mismatches += read(expected_file, expected) && expected == value ? 0 : 1;
        return;
    }}
    natural rest = value < 0 ? -natural(value) : natural(value);
    std::string text;
    do {{
        text.insert(text.begin(), char('0' + int(rest % 10)));
        rest /= 10;
    }} while (rest != 0);
    std::cout << (value < 0 ? "-" : "") << text << ' ';
}}

// False at the end of the inputs.
bool frame(std::istream& from) {{
    integer value = 0;
)",
            dialect_.conversions, name_);
        const auto each_word = [&](const auto& ports, const std::vector<std::string>& names,
                                   std::size_t first, bool reading) {
            for (std::size_t p = 0; p < ports.size(); ++p) {
                text += fmt::format("    for (int word = 0; word < {}; ++word) {{\n",
                                    words_[first + p]);
                for (std::size_t l = 0; l < ports[p].lanes.size(); ++l) {
                    const std::string element = fmt::format("{}[word].e{}", names[p], l);
                    if (reading) {
                        text += fmt::format(
                            "        if (!read(from, value)) {{\n            return false;\n"
                            "        }}\n        {} = from_integer<{}>(value);\n",
                            element, dialect_.type(ports[p].lanes[l].bits()));
                    } else {
                        text += fmt::format("        give(to_integer({}));\n", element);
                    }
                }
                text += "    }\n";
            }
        };
        std::vector<std::string> arguments;
        for (std::size_t p = 0; p < words_.size(); ++p) {
            const std::string& name =
                p < inputs_.size() ? inputs_[p] : outputs_[p - inputs_.size()];
            text += fmt::format("    {0}_{1}_word {1}[{2}];\n", name_, name,
                                std::max<std::int64_t>(words_[p], 1));
            arguments.push_back(name);
        }
        each_word(process_.inputs, inputs_, 0, true);
        text += fmt::format("    {}({});\n", name_, fmt::join(arguments, ", "));
        each_word(process_.outputs, outputs_, inputs_.size(), false);
        return text + R"(    return true;
}

}  // namespace

int main(int count, char** arguments) {
    if (count > 1) {
        inputs_file.open(arguments[1]);
    }
    if (count > 2) {
        expected_file.open(arguments[2]);
        comparing = true;
    }
    long frames = 0;
    while (frame(count > 1 ? static_cast<std::istream&>(inputs_file) : std::cin)) {
        std::cout << (comparing ? "" : "\n");
        ++frames;
    }
    if (!comparing) {
        return 0;
    }
    std::cout << frames << " frames, " << mismatches << " mismatches\n";
    return frames > 0 && mismatches == 0 ? 0 : 1;
}
)";
    }

    template <class... Arguments>
    void put(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
        fmt::format_to(std::back_inserter(text_), format, std::forward<Arguments>(arguments)...);
    }

    const design::Process& process_;
    const Dialect& dialect_;
    Identifiers names_;
    std::string name_;
    std::vector<std::string> inputs_, outputs_, memories_, registers_, loops_;
    std::vector<std::int64_t> words_;  ///< a frame, of the inputs, then of the outputs
    int parts_ = 0;                    ///< functions that the body is split into; 0: it is not
    int part_ = -1;                    ///< the one at work; -1: the process's own function
    std::vector<int> part_of_;         ///< [node of the body]
    std::vector<bool> crosses_;        ///< [node of the body]: used outside its part
    fmt::memory_buffer text_;
};

}  // namespace

EmittedFiles emit(const design::Process& process, const Dialect& dialect) {
    return Printer(process, dialect).files();
}

EmittedFiles emit_with_scripts(const design::Process& process, const Dialect& dialect) {
    EmittedFiles files = emit(process, dialect);
    const std::string name = files.front().path.substr(0, files.front().path.size() - 2);
    std::string headers;
    std::string flags =
        dialect.compiler_flags.empty() ? "" : " " + std::string(dialect.compiler_flags);
    if (!dialect.headers.file.empty()) {
        headers = fmt::format(
            "# {0}: the folder of {1}. {2}\n\nifndef {0}\n"
            "$(error give the folder of {1}, as in: make check {0}=FOLDER)\nendif\n\n",
            dialect.headers.variable, dialect.headers.file, dialect.headers.help);
        flags += fmt::format(" -isystem $({})", dialect.headers.variable);
    }
    files.push_back(
        {"Makefile",
         fmt::format(
             "# make: the program {0}_main. make check: runs it on the samples of inputs.txt and\n"
             "# compares with expected.txt, which the tensor emulator made.\n"
             "{1}{4}CXXFLAGS ?= -O1\n\n"
             "{0}_main: {0}.cpp {0}_main.cpp {0}.h\n"
             "\t$(CXX) -std={2}{3} $(CXXFLAGS) {0}.cpp {0}_main.cpp -o $@\n\n"
             "check: {0}_main\n\t./{0}_main ../inputs.txt ../expected.txt\n\n"
             ".PHONY: check\n",
             name, headers, dialect.standard, flags, headers.empty() ? "\n" : "")});
    if (!dialect.script.empty()) {
        files.push_back({std::string(dialect.script_file),
                         fmt::format(fmt::runtime(dialect.script), fmt::arg("name", name))});
    }
    return files;
}

}  // namespace gatewright::backends::hls
