#include <fmt/format.h>

#include <charconv>
#include <filesystem>

#include "network/network.h"

/// Printing and parsing of the text form (network.h shows it).
namespace gatewright::network {

namespace {

std::string print_value(Value value) {
    return value.output == 0 ? fmt::format("%{}", value.node)
                             : fmt::format("%{}.{}", value.node, value.output);
}

std::string print_location(const Location& where) {
    std::string out = print_field(where.layer) + " " + print_field(where.type);
    if (!where.file.empty()) {
        // Without its folder: a network is the same wherever its file lies.
        out += " " + print_field(std::filesystem::path(where.file).filename().string());
    }
    return out;
}

class Parser {
  public:
    Parser(std::string_view text, const Operator* (*find)(std::string_view))
        : text_(text), find_(find) {}

    Network parse() {
        while (!text_.empty()) {
            const std::size_t end = text_.find('\n');
            const std::string_view line = trim(text_.substr(0, end));
            text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 1);
            ++line_number_;
            if (line.starts_with("network ")) {
                if (!parse_field(trim(line.substr(8)), network_.name)) {
                    fail("the network's name is not a quoted string");
                }
            } else if (line.starts_with("output ")) {
                parse_output(line.substr(7));
            } else if (line.starts_with('%')) {
                parse_node(line);
            } else if (!line.empty()) {
                fail("not a line of a network");
            }
        }
        return std::move(network_);
    }

  private:
    [[noreturn]] void fail(const std::string& what) const {
        throw Failure(Code::network_text, {}, fmt::format("line {}: {}", line_number_, what));
    }

    Value parse_value(std::string_view text) const {
        Value value;
        if (!text.starts_with('%')) {
            fail(fmt::format("'{}' is not a value", text));
        }
        text.remove_prefix(1);
        const std::size_t dot = text.find('.');
        std::int64_t node = 0;
        std::int64_t output = 0;
        if (!parse_field(text.substr(0, dot), node) ||
            (dot != std::string_view::npos && !parse_field(text.substr(dot + 1), output)) ||
            node < 0 || node >= static_cast<std::int64_t>(network_.nodes().size()) || output < 0 ||
            output >=
                static_cast<std::int64_t>(network_.node(static_cast<NodeId>(node)).types.size())) {
            fail(fmt::format("'%{}' is not an earlier value", text));
        }
        value.node = static_cast<NodeId>(node);
        value.output = static_cast<std::uint32_t>(output);
        return value;
    }

    void parse_output(std::string_view text) {
        const std::size_t equals = text.rfind(" = ");
        std::string name;
        if (equals == std::string_view::npos || !parse_field(trim(text.substr(0, equals)), name)) {
            fail("expected: output \"name\" = %value");
        }
        network_.set_output(name, parse_value(trim(text.substr(equals + 3))));
    }

    Attributes parse_attributes(const Operator& op, std::string_view text) const {
        const FieldTable& table = op.fields();
        std::shared_ptr<void> fields = table.make();
        for (const std::string_view item : split_list(text, ',')) {
            const std::size_t equals = item.find('=');
            if (equals == std::string_view::npos) {
                fail(fmt::format("'{}' is not a field", item.substr(0, 40)));
            }
            const std::string_view name = trim(item.substr(0, equals));
            bool known = false;
            for (const FieldTable::Row& row : table.rows) {
                if (row.name == name) {
                    known = true;
                    if (!row.parse(trim(item.substr(equals + 1)), fields.get())) {
                        fail(fmt::format("field '{}' of {} has no such value", name, op.name));
                    }
                }
            }
            if (!known) {
                fail(fmt::format("operator {} has no field '{}'", op.name, name));
            }
        }
        return Attributes(std::move(fields), &table);
    }

    static std::size_t closing(std::string_view text, std::size_t open, char left, char right) {
        int depth = 0;
        bool quoted = false;
        for (std::size_t i = open; i < text.size(); ++i) {
            const char c = text[i];
            if (quoted) {
                if (c == '\\') {
                    ++i;
                } else if (c == '"') {
                    quoted = false;
                }
            } else if (c == '"') {
                quoted = true;
            } else if (c == left) {
                ++depth;
            } else if (c == right && --depth == 0) {
                return i;
            }
        }
        return std::string_view::npos;
    }

    Location parse_location(std::string_view text) const {
        Location where;
        const auto items = split_list(text, ' ');
        if ((items.size() != 2 && items.size() != 3) || !parse_field(items[0], where.layer) ||
            !parse_field(items[1], where.type) ||
            (items.size() == 3 && !parse_field(items[2], where.file))) {
            fail("expected: // \"layer\" \"type\" \"file\"");
        }
        return where;
    }

    TensorType parse_type(std::string_view text) const {
        TensorType type;
        const std::size_t close = text.find(']');
        if (close == std::string_view::npos ||
            !parse_field(text.substr(0, close + 1), type.shape) ||
            !checked_element_count(type.shape)) {
            fail("the type has no sound shape");
        }
        const std::string_view rest = trim(text.substr(close + 1));
        if (rest == "float") {
            return type;
        }
        PerElement<Format> formats;
        Format format;
        if (rest.starts_with("per ") && parse_field(rest, formats)) {
            type.fixed = std::move(formats);
        } else if (parse_field(rest, format)) {
            type.fixed = format;
        } else {
            fail("the type has no sound element");
        }
        return type;
    }

    void parse_node(std::string_view line) {
        const std::size_t equals = line.find(" = ");
        std::int64_t number = -1;
        if (equals == std::string_view::npos || !parse_field(line.substr(1, equals - 1), number) ||
            number != static_cast<std::int64_t>(network_.nodes().size())) {
            fail(fmt::format("expected %{} = ...", network_.nodes().size()));
        }
        std::string_view rest = line.substr(equals + 3);
        const std::size_t name_end = rest.find_first_of("( {");
        const std::string_view op_name = rest.substr(0, name_end);
        const Operator* op = op_name == input_operator.name ? &input_operator : find_(op_name);
        if (op == nullptr) {
            fail(fmt::format("unknown operator '{}'", op_name));
        }
        rest.remove_prefix(op_name.size());
        std::vector<Value> inputs;
        if (rest.starts_with('(')) {
            const std::size_t close = closing(rest, 0, '(', ')');
            if (close == std::string_view::npos) {
                fail("missing ')'");
            }
            for (const std::string_view item : split_list(rest.substr(1, close - 1), ',')) {
                inputs.push_back(parse_value(item));
            }
            rest.remove_prefix(close + 1);
        }
        rest = trim(rest);
        Attributes attributes = parse_attributes(*op, "");
        if (rest.starts_with('{')) {
            const std::size_t close = closing(rest, 0, '{', '}');
            if (close == std::string_view::npos) {
                fail("missing '}'");
            }
            attributes = parse_attributes(*op, rest.substr(1, close - 1));
            rest = trim(rest.substr(close + 1));
        }
        Location where;
        const std::size_t comment = rest.find("  // ");
        if (comment != std::string_view::npos) {
            where = parse_location(trim(rest.substr(comment + 5)));
            rest = rest.substr(0, comment);
        }
        if (!rest.starts_with(": ")) {
            fail("expected ': ' and a type");
        }
        if (op == &input_operator) {
            network_.add_input(attributes.as<InputFields>().name, parse_type(trim(rest.substr(2))),
                               std::move(where));
        } else {
            network_.add(*op, std::move(attributes), std::move(inputs), std::move(where));
        }
    }

    std::string_view text_;
    const Operator* (*find_)(std::string_view);
    Network network_;
    int line_number_ = 0;
};

}  // namespace

std::string to_text(const Network& network) {
    std::string out = "network " + print_field(network.name) + "\n";
    for (NodeId id = 0; id < network.nodes().size(); ++id) {
        const Node& node = network.node(id);
        out += fmt::format("%{} = {}", id, node.op->name);
        if (node.op != &input_operator && node.op != &constant_operator) {
            out += "(";
            for (std::size_t i = 0; i < node.inputs.size(); ++i) {
                out += (i == 0 ? "" : ", ") + print_value(node.inputs[i]);
            }
            out += ")";
        }
        const FieldTable& table = node.attributes.table();
        if (!table.rows.empty()) {
            out += " {";
            for (std::size_t i = 0; i < table.rows.size(); ++i) {
                out += fmt::format("{}{} = {}", i == 0 ? "" : ", ", table.rows[i].name,
                                   table.rows[i].print(node.attributes.data()));
            }
            out += "}";
        }
        out += " : ";
        for (std::size_t i = 0; i < node.types.size(); ++i) {
            out += (i == 0 ? "" : " | ") + to_string(node.types[i]);
        }
        if (!node.where.layer.empty()) {
            out += "  // " + print_location(node.where);
        }
        out += "\n";
    }
    for (const NetworkOutput& output : network.outputs()) {
        out += fmt::format("output {} = {}\n", print_field(output.name), print_value(output.value));
    }
    return out;
}

Network from_text(std::string_view text, const Operator* (*find)(std::string_view name)) {
    return Parser(text, find).parse();
}

}  // namespace gatewright::network
