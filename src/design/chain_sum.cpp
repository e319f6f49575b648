#include "design/chain_sum.h"

#include <algorithm>
namespace gatewright::design {

using bits::Node;
using bits::NodeId;
using bits::Op;

namespace {

constexpr int most_width = 126;

UInt128 ones_below(int bit) {
    return (static_cast<UInt128>(1) << bit) - 1;
}

/// What is added: value * 2^shift, or that subtracted.
struct Term {
    NodeId node = 0;
    int shift = 0;
    bool minus = false;
};

/// The terms of a sum, and its constant modulo 2^width.
class Terms {
  public:
    Terms(const bits::Function& function, std::span<const char> merged)
        : function_(function), merged_(merged) {}

    std::vector<Term> list;
    UInt128 constant = 0;

    void add_operands(NodeId sum, int shift, bool minus) {
        const Node& node = function_.nodes[sum];
        add(node.operand[0], shift, minus);
        add(node.operand[1], shift, minus != (node.op == Op::sub));
    }

  private:
    void add(NodeId id, int shift, bool minus) {
        const Node& node = function_.nodes[id];
        const auto more = [&](UInt128 value) {
            value = shift > most_width ? 0 : value << shift;
            constant = minus ? constant - value : constant + value;
        };
        if (node.op == Op::constant) {
            more(static_cast<UInt128>(function_.constant(node)));
        } else if (node.type.width == 0) {
            return;
        } else if (!merged_.empty() && merged_[id] != 0) {
            add_operands(id, shift, minus);
        } else if (!is_seen_through(function_, id)) {
            list.push_back({id, shift, minus});
        } else if (node.op == Op::bit_not) {
            // An unsigned complement is 2^width - 1 - x, a signed one -1 - x.
            more((node.type.is_signed ? 0 : static_cast<UInt128>(1) << node.type.width) - 1);
            add(node.operand[0], shift, !minus);
        } else {
            const int by = node.op == Op::shl ? static_cast<int>(node.immediate) : 0;
            add(node.operand[0], shift + by, minus);
        }
    }

    const bits::Function& function_;
    std::span<const char> merged_;
};

/// A term's bits; -x is all bits of x inverted, and a one at its lowest.
ChainOperand operand_of(const bits::Function& function, const Term& term, int width,
                        UInt128& constant) {
    const bits::Type type = function.nodes[term.node].type;
    ChainOperand out;
    out.node = term.node;
    out.first = std::min(term.shift, width);
    out.end = type.is_signed ? width : std::min(term.shift + type.width, width);
    out.inverted = term.minus;
    if (term.minus && out.first < width) {
        constant += static_cast<UInt128>(1) << out.first;
        constant -= out.end < width ? static_cast<UInt128>(1) << out.end : 0;
    }
    return out;
}

bool varies(const ChainOperand& operand, int bit) {
    return operand.node != ChainOperand::none && operand.first <= bit && bit < operand.end;
}

/// Puts the ones of a constant where operands have no bits of their own, two ones for one a bit
/// higher where there is no room; what remains is added at the lowest bit. False: no room.
bool place(UInt128 constant, ChainSum& sum) {
    const int operands = sum.three ? 3 : 2;
    int missing = 0;  // ones of the bit above, to be placed twice
    for (int bit = sum.width; bit-- > sum.low;) {
        int need = static_cast<int>(constant >> bit & 1) + 2 * missing;
        for (int k = operands; k-- > 0 && need > 0;) {
            ChainOperand& operand = sum.operands[static_cast<std::size_t>(k)];
            if (!varies(operand, bit)) {
                operand.constant |= static_cast<UInt128>(1) << bit;
                --need;
            }
        }
        missing = need;
        if (missing > 4) {
            return false;
        }
    }
    sum.ones = missing;
    return missing <= operands - 1;
}

void count_tables(ChainSum& sum) {
    const ChainOperand& first = sum.operands[0];
    // Behind the last bit that others have, one more gets a carry of the full adders.
    int last = sum.low - 1;
    for (int bit = sum.low; bit < sum.width; ++bit) {
        int present = 0;
        bool turned = false;
        bool others = false;
        for (const ChainOperand& operand : sum.operands) {
            const bool here = varies(operand, bit);
            const bool one = (operand.constant >> bit & 1) != 0;
            present += here ? 1 : 0;
            turned = turned != ((here && operand.inverted) || one);
            others = others || (&operand != &first && (here || one));
        }
        if (others || first.inverted || (first.constant >> bit & 1) != 0) {
            last = bit;
        }
        sum.cells += present > 1 || (present == 1 && turned) || (sum.three && others) ? 1 : 0;
    }
    const bool carried = sum.three && last + 1 < sum.width && last >= sum.low;
    sum.tables = std::min(last + 1 + (carried ? 1 : 0), sum.width) - sum.low;
    sum.cells += carried ? 1 : 0;
    sum.cells = sum.three ? sum.tables : sum.cells;
}

bool is_sum(Op op) {
    return op == Op::add || op == Op::sub;
}

}  // namespace

std::vector<ChainReader> chain_readers(const bits::Function& function) {
    const std::size_t n = function.nodes.size();
    std::vector<std::uint8_t> uses(n, 0);
    std::vector<NodeId> user(n, ChainOperand::none);
    const auto used = [&](NodeId id, NodeId by) {
        uses[id] = static_cast<std::uint8_t>(std::min(uses[id] + 1, 2));
        user[id] = by;
    };
    for (NodeId id = 0; id < n; ++id) {
        const Node& node = function.nodes[id];
        for (int k = 0; k < bits::info(node.op).operands; ++k) {
            used(node.operand[k], id);
        }
    }
    for (const bits::Output& output : function.outputs) {
        used(output.node, ChainOperand::none);
    }
    std::vector<ChainReader> readers(n);
    for (NodeId id = static_cast<NodeId>(n); id-- > 0;) {
        const NodeId by = uses[id] == 1 ? user[id] : ChainOperand::none;
        if (by == ChainOperand::none) {
            continue;
        }
        const Node& node = function.nodes[by];
        if (is_sum(node.op)) {
            readers[id] = {by, 0};
        } else if (is_seen_through(function, by)) {
            readers[id] = readers[by];
            readers[id].shift += node.op == Op::shl ? node.immediate : 0;
        }
    }
    for (NodeId id = 0; id < n; ++id) {
        if (!is_sum(function.nodes[id].op)) {
            readers[id] = {};
        }
    }
    return readers;
}

bool is_seen_through(const bits::Function& function, NodeId id) {
    const Node& node = function.nodes[id];
    if (node.op != Op::cast && node.op != Op::shl && node.op != Op::bit_not) {
        return false;
    }
    const bits::Type from = function.nodes[node.operand[0]].type;
    if (node.op == Op::bit_not) {
        return from.is_signed == node.type.is_signed && from.width <= node.type.width;
    }
    const std::int64_t width = from.width + (node.op == Op::shl ? node.immediate : 0);
    return width <= node.type.width &&
           (from.is_signed == node.type.is_signed || (!from.is_signed && width < node.type.width));
}

std::optional<ChainSum> chain_sum(const bits::Function& function, NodeId id,
                                  std::span<const char> merged) {
    const Node& node = function.nodes[id];
    if (!is_sum(node.op) || node.type.width == 0 || node.type.width > most_width) {
        return std::nullopt;
    }
    Terms terms(function, merged);
    terms.add_operands(id, 0, false);
    if (terms.list.empty() || terms.list.size() > 3) {
        return std::nullopt;
    }
    ChainSum sum;
    sum.width = node.type.width;
    UInt128 constant = terms.constant;
    const auto reaches_higher = [](const ChainOperand& a, const ChainOperand& b) {
        return a.end != b.end ? a.end > b.end : a.inverted < b.inverted;
    };
    for (std::size_t k = 0; k < terms.list.size(); ++k) {
        sum.operands[k] = operand_of(function, terms.list[k], sum.width, constant);
        for (std::size_t j = k; j > 0 && reaches_higher(sum.operands[j], sum.operands[j - 1]);
             --j) {
            std::swap(sum.operands[j], sum.operands[j - 1]);
        }
    }
    constant &= ones_below(sum.width);
    // Below the second operand, the first has its bits as they are.
    sum.low = constant == 0 ? sum.width : trailing_zeros(constant);
    std::array<int, 2> lowest{sum.width, sum.width};
    for (std::size_t k = 0; k < terms.list.size(); ++k) {
        const ChainOperand& operand = sum.operands[k];
        if (operand.first < lowest[0]) {
            lowest = {operand.first, lowest[0]};
            sum.wires = static_cast<int>(k);
        } else {
            lowest[1] = std::min(lowest[1], operand.first);
        }
        sum.low = operand.inverted ? std::min(sum.low, operand.first) : sum.low;
    }
    sum.low = std::min(sum.low, lowest[1]);
    if (sum.low >= sum.width) {
        return std::nullopt;  // wires
    }
    for (const bool three : {false, true}) {
        ChainSum tried = sum;
        tried.three = three;
        if (terms.list.size() <= (three ? 3 : 2) && place(constant, tried)) {
            count_tables(tried);
            return tried;
        }
    }
    return std::nullopt;
}

}  // namespace gatewright::design
