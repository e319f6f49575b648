#include <fmt/format.h>

#include <charconv>
#include <iterator>
#include <limits>

#include "base/diagnostics.h"
#include "base/line_reader.h"
#include "bits/function.h"

namespace gatewright::bits {

namespace {

bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '[' || c == ']' || c == '/';
}

/// A name as it is, in quotes where it holds anything but letters, digits and _ . [ ] /
std::string spelled(const std::string& name) {
    bool plain = !name.empty();
    for (const char c : name) {
        plain = plain && is_plain(c);
    }
    return plain ? name : quoted(name);
}

/// A reader over one line at a time.
class Parser {
  public:
    explicit Parser(std::string_view text) : reader_(text) {}

    Function run() {
        bool named = false;
        while (reader_.next_line()) {
            if (reader_.rest().empty()) {
                continue;
            }
            if (!named) {
                expect("function");
                function_.name = name();
                named = true;
            } else {
                statement();
            }
            if (!reader_.rest().empty()) {
                fail(fmt::format("'{}' is not expected here", reader_.rest()));
            }
        }
        if (!named) {
            fail("the text holds no function");
        }
        const std::vector<std::string> faults = verify(function_);
        if (!faults.empty()) {
            fail(faults.front());
        }
        return std::move(function_);
    }

  private:
    [[noreturn]] void fail(const std::string& message) const {
        throw Failure(Code::text_form, {}, fmt::format("line {}: {}", reader_.number(), message));
    }

    /// The next token without its end at a space; a sign like ':' is a token of its own.
    std::string_view word() {
        const std::string_view line = reader_.rest();
        std::size_t n = 0;
        while (n < line.size() && (is_plain(line[n]) || (n == 0 && line[n] == '-'))) {
            ++n;
        }
        reader_.skip(n);
        return line.substr(0, n);
    }

    bool accept(char sign) {
        if (!reader_.rest().starts_with(sign)) {
            return false;
        }
        reader_.skip(1);
        return true;
    }

    void expect(char sign) {
        if (!accept(sign)) {
            fail(fmt::format("'{}' is expected before '{}'", sign, reader_.rest()));
        }
    }

    void expect(std::string_view keyword) {
        const std::string_view got = word();
        if (got != keyword) {
            fail(fmt::format("'{}' is expected, not '{}'", keyword, got));
        }
    }

    std::string name() {
        std::string out;
        if (reader_.quoted(out)) {
            return out;
        }
        if (reader_.rest().starts_with('"')) {
            fail("'\"' is expected at the end of a name");
        }
        const std::string_view token = word();
        if (token.empty() || token[0] == '-') {
            fail("a name is expected");
        }
        return std::string(token);
    }

    Int128 integer() {
        const std::string_view token = word();
        Int128 value = 0;
        if (!parse_int128(token, value)) {
            fail(fmt::format("an integer of at most 128 bits is expected, not '{}'", token));
        }
        return value;
    }

    std::uint32_t number() {
        const Int128 value = integer();
        if (value < 0 || value > std::numeric_limits<std::uint32_t>::max()) {
            fail(fmt::format("the number {} is out of range", gatewright::to_string(value)));
        }
        return static_cast<std::uint32_t>(value);
    }

    Type type() {
        const std::string_view token = word();
        int width = -1;
        if (token.size() > 1 && (token[0] == 's' || token[0] == 'u')) {
            const auto [end, error] =
                std::from_chars(token.data() + 1, token.data() + token.size(), width);
            if (error != std::errc() || end != token.data() + token.size()) {
                width = -1;
            }
        }
        if (width < 0 || width > max_width ||
            !is_legal({token[0] == 's', static_cast<std::uint8_t>(width)})) {
            fail(fmt::format("a type like s8 or u3 is expected, not '{}'", token));
        }
        return {token[0] == 's', static_cast<std::uint8_t>(width)};
    }

    void statement() {
        if (accept('%')) {
            return node();
        }
        const std::string_view keyword = word();
        if (keyword == "input") {
            std::string port = name();
            expect(':');
            function_.inputs.push_back({std::move(port), type()});
        } else if (keyword == "output") {
            std::string port = name();
            expect('=');
            expect('%');
            function_.outputs.push_back({std::move(port), number()});
        } else if (keyword == "table") {
            table();
        } else if (keyword == "origin") {
            if (number() != function_.origins.size()) {
                fail(fmt::format("origin {} is expected", function_.origins.size()));
            }
            expect('=');
            function_.origins.push_back(name());
        } else {
            fail(fmt::format("input, output, table, origin or a node is expected, not '{}'",
                             keyword));
        }
    }

    void table() {
        Table table;
        table.name = name();
        expect(':');
        table.type = type();
        expect('=');
        while (!reader_.rest().empty()) {
            table.words.push_back(integer());
        }
        function_.tables.push_back(std::move(table));
    }

    Op operation() {
        const std::string_view token = word();
        for (int i = 0; i < op_count; ++i) {
            if (info(static_cast<Op>(i)).name == token) {
                return static_cast<Op>(i);
            }
        }
        fail(fmt::format("there is no operation '{}'", token));
    }

    void node() {
        if (number() != function_.nodes.size()) {
            fail(fmt::format("node %{} is expected", function_.nodes.size()));
        }
        expect('=');
        Node node;
        node.op = operation();
        const OpInfo& row = info(node.op);
        for (int k = 0; k < row.operands; ++k) {
            expect('%');
            node.operand[k] = number();
        }
        const Int128 immediate = row.has_immediate ? integer() : 0;
        expect(':');
        node.type = type();
        if (node.op == Op::constant) {
            if (!holds(node.type, immediate)) {
                fail(fmt::format("{} does not hold {}", to_string(node.type),
                                 gatewright::to_string(immediate)));
            }
            if (node.type.width > 64) {
                node.immediate = static_cast<std::int64_t>(function_.wide_constants.size());
                function_.wide_constants.push_back(immediate);
            } else {
                node.immediate = static_cast<std::int64_t>(immediate);
            }
        } else {
            if (immediate < 0 || immediate > std::numeric_limits<std::uint32_t>::max()) {
                fail("the immediate is out of range");
            }
            node.immediate = static_cast<std::int64_t>(immediate);
        }
        if (accept('@')) {
            node.origin = number();
        }
        function_.nodes.push_back(node);
    }

    LineReader reader_;
    Function function_;
};

}  // namespace

std::string to_text(const Function& function) {
    std::string out = fmt::format("function {}\n", spelled(function.name));
    const auto at = std::back_inserter(out);
    for (const Input& input : function.inputs) {
        fmt::format_to(at, "input {} : {}\n", spelled(input.name), to_string(input.type));
    }
    for (const Table& table : function.tables) {
        fmt::format_to(at, "table {} : {} =", spelled(table.name), to_string(table.type));
        for (const Int128 word : table.words) {
            fmt::format_to(at, " {}", gatewright::to_string(word));
        }
        out += '\n';
    }
    for (std::size_t i = 1; i < function.origins.size(); ++i) {
        fmt::format_to(at, "origin {} = {}\n", i, quoted(function.origins[i]));
    }
    for (std::size_t i = 0; i < function.nodes.size(); ++i) {
        const Node& node = function.nodes[i];
        const OpInfo& row = info(node.op);
        fmt::format_to(at, "%{} = {}", i, row.name);
        for (int k = 0; k < row.operands; ++k) {
            fmt::format_to(at, " %{}", node.operand[k]);
        }
        if (node.op == Op::constant) {
            fmt::format_to(at, " {}", gatewright::to_string(function.constant(node)));
        } else if (row.has_immediate) {
            fmt::format_to(at, " {}", node.immediate);
        }
        fmt::format_to(at, " : {}", to_string(node.type));
        if (node.origin != 0) {
            fmt::format_to(at, " @{}", node.origin);
        }
        out += '\n';
    }
    for (const Output& output : function.outputs) {
        fmt::format_to(at, "output {} = %{}\n", spelled(output.name), output.node);
    }
    return out;
}

Function from_text(std::string_view text) {
    return Parser(text).run();
}

}  // namespace gatewright::bits
