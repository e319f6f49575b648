#include <fmt/format.h>

#include <bit>
#include <unordered_set>

#include "bits/function.h"

namespace gatewright::bits {

namespace {

constexpr Type one_bit{false, 1};

/// Collects the faults of one function.
class Verifier {
  public:
    explicit Verifier(const Function& function) : function_(function) {}

    std::vector<std::string> run() {
        check_ports();
        check_tables();
        if (function_.origins.empty() || !function_.origins[0].empty()) {
            fault("origin 0 is not the empty name");
        }
        for (std::size_t i = 0; i < function_.nodes.size(); ++i) {
            check_node(static_cast<NodeId>(i));
        }
        return std::move(faults_);
    }

  private:
    void fault(std::string sentence) { faults_.push_back(std::move(sentence)); }

    void check_type(Type type, const std::string& where) {
        if (!is_legal(type)) {
            fault(fmt::format("{} has the illegal type {}", where, to_string(type)));
        }
    }

    void check_name(std::unordered_set<std::string>& names, const std::string& name,
                    std::string_view what) {
        if (name.empty()) {
            fault(fmt::format("an {} has no name", what));
        } else if (!names.insert(name).second) {
            fault(fmt::format("two {}s are named '{}'", what, name));
        }
    }

    void check_ports() {
        std::unordered_set<std::string> names;
        for (const Input& input : function_.inputs) {
            check_name(names, input.name, "input");
            check_type(input.type, fmt::format("input '{}'", input.name));
        }
        names.clear();
        for (const Output& output : function_.outputs) {
            check_name(names, output.name, "output");
            if (output.node >= function_.nodes.size()) {
                fault(fmt::format("output '{}' names node %{}, which does not exist", output.name,
                                  output.node));
            }
        }
    }

    void check_tables() {
        std::unordered_set<std::string> names;
        for (const Table& table : function_.tables) {
            const std::string where = fmt::format("table '{}'", table.name);
            if (!names.insert(table.name).second) {
                fault(fmt::format("two tables are named '{}'", table.name));
            }
            check_type(table.type, where);
            if (!std::has_single_bit(table.words.size())) {
                fault(fmt::format("{} has {} words, which is no power of two", where,
                                  table.words.size()));
            }
            for (const Int128 word : table.words) {
                if (is_legal(table.type) && !holds(table.type, word)) {
                    fault(fmt::format("{} of type {} holds {}", where, to_string(table.type),
                                      gatewright::to_string(word)));
                    break;
                }
            }
        }
    }

    void check_node(NodeId id) {
        const Node& node = function_.nodes[id];
        if (static_cast<int>(node.op) >= op_count) {
            fault(fmt::format("%{} has no known operation", id));
            return;
        }
        const OpInfo& row = info(node.op);
        const std::string where = fmt::format("%{} ({})", id, row.name);
        check_type(node.type, where);
        if (node.origin >= function_.origins.size()) {
            fault(fmt::format("{} names origin {}, which does not exist", where, node.origin));
        }
        for (int k = 0; k < 3; ++k) {
            if (k >= row.operands && node.operand[k] != 0) {
                fault(fmt::format("{} has more than {} operands", where, row.operands));
                return;
            }
            if (k < row.operands && node.operand[k] >= id) {
                fault(
                    fmt::format("{} uses %{}, which does not precede it", where, node.operand[k]));
                return;
            }
        }
        if (!row.has_immediate && node.immediate != 0) {
            fault(fmt::format("{} has an immediate", where));
        }
        check_operation(node, where);
    }

    Type type_of(NodeId id) const { return function_.nodes[id].type; }

    void check_operation(const Node& node, const std::string& where) {
        const auto number = static_cast<std::size_t>(node.immediate);  // huge where negative
        switch (node.op) {
            case Op::input:
                if (number >= function_.inputs.size()) {
                    fault(fmt::format("{} names input {}, which does not exist", where,
                                      node.immediate));
                } else if (function_.inputs[number].type != node.type) {
                    fault(fmt::format("{} has another type than its input", where));
                }
                break;
            case Op::constant:
                check_constant(node, where);
                break;
            case Op::shl:
            case Op::shr:
                if (node.immediate < 0 || node.immediate >= max_width) {
                    fault(fmt::format("{} shifts by {}, not by 0 to {}", where, node.immediate,
                                      max_width - 1));
                }
                break;
            case Op::equal:
            case Op::less:
                if (node.type != one_bit) {
                    fault(fmt::format("{} is not one unsigned bit", where));
                }
                break;
            case Op::mux:
                if (type_of(node.operand[0]) != one_bit) {
                    fault(fmt::format("{} has a condition that is not one unsigned bit", where));
                }
                break;
            case Op::read:
                check_read(node, where);
                break;
            default:
                break;
        }
    }

    void check_constant(const Node& node, const std::string& where) {
        if (node.type.width > 64) {
            const auto number = static_cast<std::size_t>(node.immediate);
            if (number >= function_.wide_constants.size()) {
                fault(fmt::format("{} names wide constant {}, which does not exist", where,
                                  node.immediate));
            } else if (is_legal(node.type) && !holds(node.type, function_.wide_constants[number])) {
                fault(fmt::format("{} lies outside its type", where));
            }
        } else if (node.type != Type{false, 64} && !holds(node.type, node.immediate)) {
            fault(fmt::format("{} lies outside its type", where));
        }
    }

    void check_read(const Node& node, const std::string& where) {
        const auto number = static_cast<std::size_t>(node.immediate);
        if (number >= function_.tables.size()) {
            fault(fmt::format("{} names table {}, which does not exist", where, node.immediate));
            return;
        }
        const Type address = type_of(node.operand[0]);
        const std::size_t words = function_.tables[number].words.size();
        if (address.is_signed || address.width >= 64 || words != std::size_t{1} << address.width) {
            fault(fmt::format("{} has an address of type {} for a table of {} words", where,
                              to_string(address), words));
        }
    }

    const Function& function_;
    std::vector<std::string> faults_;
};

}  // namespace

std::vector<std::string> verify(const Function& function) {
    return Verifier(function).run();
}

}  // namespace gatewright::bits
