#include "passes/timing.h"

#include <algorithm>

#include "design/chain_sum.h"
#include "design/pipeline.h"
#include "passes/small_values.h"

namespace gatewright::passes {

using bits::Node;
using bits::NodeId;
using bits::Op;

namespace {

constexpr int max_leaves = 6;

bool is_bitwise(Op op) {
    return op == Op::bit_and || op == Op::bit_or || op == Op::bit_xor || op == Op::bit_not ||
           op == Op::mux;
}

bool is_wiring(Op op) {
    return op == Op::cast || op == Op::shl || op == Op::shr;
}

int log2_ceil(int value) {
    return value <= 1 ? 0 : bit_length(static_cast<UInt128>(value - 1));
}

/// Non-zero digits of the canonical signed form: the additions of a product with a constant.
int signed_digits(Int128 value) {
    const auto x = static_cast<UInt128>(value < 0 ? -value : value);
    const UInt128 changed = x ^ (x * 3);
    int count = 0;
    for (UInt128 rest = changed; rest != 0; rest &= rest - 1) {
        ++count;
    }
    return count;
}

Delay all_bits(int time) {
    return {Delay::never, time, Delay::never, time};
}

Delay then(const Delay& first, const Delay& second) {
    return {std::max(first.early_early + second.early_early, first.early_late + second.late_early),
            std::max(first.late_early + second.early_early, first.late_late + second.late_early),
            std::max(first.early_early + second.early_late, first.early_late + second.late_late),
            std::max(first.late_early + second.early_late, first.late_late + second.late_late)};
}

}  // namespace

TimingGraph::TimingGraph(const bits::Function& function, const DelayModel& model,
                         std::span<const char> merged)
    : function_(function),
      model_(model),
      merged_(merged),
      merges_(merged.size(), 0),
      reader_(merged.size(), 0),
      is_placed_(function.nodes.size(), 0),
      is_output_(function.nodes.size(), 0) {
    find_low_zeros();
    find_needed_bits();
    find_operands();
    find_users();
    find_loads();
    fuse_small();
    find_complements();
}

NodeId TimingGraph::source(NodeId id) const {
    return design::register_source(function_, id);
}

void TimingGraph::find_low_zeros() {
    low_zeros_.assign(function_.nodes.size(), 0);
    for (NodeId id = 0; id < function_.nodes.size(); ++id) {
        const Node& node = function_.nodes[id];
        int zeros = 0;
        const auto of = [&](int k) { return static_cast<int>(low_zeros_[node.operand[k]]); };
        if (node.op == Op::constant) {
            const Int128 value = function_.constant(node);
            zeros = value == 0 ? 127 : trailing_zeros(static_cast<UInt128>(value));
        } else if (node.op == Op::shl) {
            zeros = of(0) + static_cast<int>(node.immediate);
        } else if (node.op == Op::cast) {
            zeros = of(0);
        } else if (node.op == Op::shr) {
            zeros = of(0) - static_cast<int>(std::min<std::int64_t>(node.immediate, 127));
        } else if (node.op == Op::add || node.op == Op::sub) {
            zeros = std::min(of(0), of(1));
        } else if (node.op == Op::mux) {
            zeros = std::min(of(1), of(2));
        } else if (node.op == Op::bit_xor || node.op == Op::bit_or) {
            zeros = std::min(of(0), of(1));
        }
        low_zeros_[id] = static_cast<std::uint8_t>(std::clamp(zeros, 0, 127));
    }
}

/// Bits of sums depend on no higher ones, those of bitwise operations on one of each operand.
void TimingGraph::find_needed_bits() {
    needed_bits_.assign(function_.nodes.size(), {});
    const auto need = [&](NodeId id, std::int64_t low, std::int64_t high) {
        const auto clamped = [&](std::int64_t bit) {
            return static_cast<int>(std::clamp<std::int64_t>(bit, 0, width(id)));
        };
        needed_bits_[id].low = std::min(needed_bits_[id].low, clamped(low));
        needed_bits_[id].high = std::max(needed_bits_[id].high, clamped(high));
    };
    for (const bits::Output& output : function_.outputs) {
        need(output.node, 0, width(output.node));
    }
    for (NodeId id = static_cast<NodeId>(function_.nodes.size()); id-- > 0;) {
        const Node& node = function_.nodes[id];
        const Bits own = needed_bits_[id];
        for (int k = 0; k < bits::info(node.op).operands && own.high != 0; ++k) {
            const NodeId o = node.operand[k];
            switch (node.op) {
                case Op::add:
                case Op::sub:
                case Op::mul:
                    need(o, 0, own.high);
                    break;
                case Op::bit_and:
                case Op::bit_or:
                case Op::bit_xor:
                case Op::bit_not:
                case Op::cast:
                    // Bits above the operand's are its sign.
                    need(o, std::min(own.low, width(o) - 1), own.high);
                    break;
                case Op::shl:
                    need(o, std::min(own.low - node.immediate, width(o) - std::int64_t{1}),
                         own.high - node.immediate);
                    break;
                case Op::shr:
                    need(o, std::min(own.low + node.immediate, width(o) - std::int64_t{1}),
                         own.high + node.immediate);
                    break;
                case Op::mux:
                    need(o, k == 0 ? 0 : std::min(own.low, width(o) - 1),
                         k == 0 ? width(o) : own.high);
                    break;
                default:
                    need(o, 0, width(o));
            }
        }
    }
}

/// Finds the values that each node takes, what of it is fused, and the node's own delay.
void TimingGraph::find_operands() {
    const std::size_t n = function_.nodes.size();
    first_operand_.reserve(n + 1);
    first_operand_.push_back(0);
    own_.resize(n);
    std::vector<std::array<NodeId, max_leaves>> leaves(n);
    std::vector<std::uint8_t> leaf_count(n, 0);
    for (NodeId id = 0; id < n; ++id) {
        const Node& node = function_.nodes[id];
        const bool is_value = node.op != Op::constant && node.op != Op::input &&
                              !design::is_transparent(function_, id) && !is_merged(id);
        if (is_value) {
            is_placed_[id] = 1;
            for (int k = 0; k < bits::info(node.op).operands; ++k) {
                add_operand(id, node.operand[k], node.op == Op::mux && k == 0,
                            needs_inverters(id, k));
            }
        }
        first_operand_.push_back(static_cast<std::uint32_t>(operands_.size()));
        if (is_value) {
            own_[id] = own_delay(id);
            if (is_bitwise(node.op) && !is_joining(node)) {
                fuse(id, leaves, leaf_count);
            }
        }
    }
    for (const bits::Output& output : function_.outputs) {
        is_output_[source(output.node)] = 1;
    }
}

/// What few bits decide is one table of them, whatever sums lie between.
void TimingGraph::fuse_small() {
    const SmallValues small(function_, *this, model_);
    for (NodeId id = 0; id < size(); ++id) {
        if (!small.is_small(id)) {
            continue;
        }
        for (std::uint32_t k = first_operand_[id]; k < first_operand_[id + 1]; ++k) {
            operands_[k].is_fused = operands_[k].is_fused || small.is_small(operands_[k].source);
        }
    }
}

/// Whether operand k of a sum or comparison is inverted by what is not part of the carry cells.
bool TimingGraph::needs_inverters(NodeId id, int k) const {
    const Node& node = function_.nodes[id];
    const bool is_subtracted = k == 1 && (node.op == Op::sub || node.op == Op::less);
    if ((!is_subtracted && node.op != Op::add && node.op != Op::less) || model_.inverts ||
        chain_length(id) <= model_.mapping.longest_in_tables) {
        return false;
    }
    bool is_inverted = is_subtracted && !model_.mapping.subtracts;
    for (NodeId o = node.operand[k]; design::is_transparent(function_, o);
         o = function_.nodes[o].operand[0]) {
        is_inverted ^= function_.nodes[o].op == Op::bit_not;
    }
    return is_inverted;
}

void TimingGraph::find_complements() {
    const auto takes_straight = [&](NodeId user, NodeId value) {
        const Op op = function_.nodes[user].op;
        const bool is_chain = op == Op::add || op == Op::sub || op == Op::less || op == Op::mul;
        return is_chain && std::ranges::any_of(operands(user), [&](const Operand& operand) {
                   return operand.source == value && !operand.is_inverted;
               });
    };
    reads_inverted_.assign(size(), 0);
    for (NodeId id = 0; id < size(); ++id) {
        reads_inverted_[id] =
            is_placed(id) && !is_output(id) &&
            std::ranges::none_of(users(id), [&](NodeId user) { return takes_straight(user, id); });
    }
}

bool TimingGraph::has_inverters(const Operand& operand, bool together) const {
    return operand.is_inverted && !(together && reads_inverted_[operand.source] != 0);
}

/// Of a merged sum, its operands are those of its reader.
void TimingGraph::add_operand(NodeId id, NodeId operand, bool is_condition, bool is_inverted) {
    const NodeId from = source(operand);
    if (is_merged(from)) {
        merges_[id] = 1;
        reader_[from] = id;
        for (const NodeId inner :
             {function_.nodes[from].operand[0], function_.nodes[from].operand[1]}) {
            add_operand(id, inner, is_condition, is_inverted);
        }
    } else if (function_.nodes[from].op != Op::constant) {
        operands_.push_back({from, false, is_condition, is_inverted});
    }
}

/// One lookup table over the leaves of the operands if they fit, else over the operands.
void TimingGraph::fuse(NodeId id, std::vector<std::array<NodeId, max_leaves>>& leaves,
                       std::vector<std::uint8_t>& count) {
    const int limit = std::min(model_.lut_inputs, max_leaves);
    const std::span<Operand> operands{operands_.data() + first_operand_[id],
                                      operands_.data() + operands_.size()};
    std::array<NodeId, max_leaves> seen{};
    int used = 0;
    bool fits = true;
    const auto add = [&](NodeId leaf) {
        if (std::find(seen.begin(), seen.begin() + used, leaf) != seen.begin() + used) {
            return;
        }
        fits = fits && used < limit;
        if (fits) {
            seen[static_cast<std::size_t>(used++)] = leaf;
        }
    };
    for (const Operand& operand : operands) {
        const std::uint8_t inner = count[operand.source];
        if (inner == 0) {
            add(operand.source);
        }
        for (std::uint8_t i = 0; i < inner; ++i) {
            add(leaves[operand.source][i]);
        }
    }
    if (fits) {
        for (Operand& operand : operands) {
            operand.is_fused = count[operand.source] != 0;
        }
    } else {
        used = 0;
        for (const Operand& operand : operands) {
            seen[static_cast<std::size_t>(used++)] = operand.source;
        }
    }
    leaves[id] = seen;
    count[id] = static_cast<std::uint8_t>(used);
}

void TimingGraph::find_users() {
    const std::size_t n = size();
    first_user_.assign(n + 1, 0);
    for (const Operand& operand : operands_) {
        ++first_user_[operand.source + 1];
    }
    for (std::size_t i = 0; i < n; ++i) {
        first_user_[i + 1] += first_user_[i];
    }
    users_.resize(operands_.size());
    std::vector<std::uint32_t> next(first_user_.begin(), first_user_.end() - 1);
    for (NodeId id = 0; id < n; ++id) {
        for (const Operand& operand : operands(id)) {
            users_[next[operand.source]++] = id;
        }
    }
}

/// A value that many read waits for longer wires: once more for each doubling of its readers.
void TimingGraph::find_loads() {
    load_.assign(size(), 0);
    for (NodeId id = 0; id < size(); ++id) {
        std::int64_t pins = is_output_[id];
        for (const NodeId user : users(id)) {
            bool selects = false;
            for (const Operand& operand : operands(user)) {
                selects = selects || (operand.source == id && operand.is_condition);
            }
            pins += selects ? width(user) : 1;
        }
        load_[id] = is_wiring(function_.nodes[id].op) || is_joining(function_.nodes[id])
                        ? 0
                        : model_.fanout_ps * log2_ceil(static_cast<int>(std::min<std::int64_t>(
                                                 pins, std::int64_t{1} << 30)));
    }
}

bool TimingGraph::is_joining(const Node& node) const {
    const auto fits_below = [&](NodeId a, NodeId b) {
        const bits::Type type = function_.nodes[a].type;
        return !type.is_signed && type.width <= low_zeros(b);
    };
    return node.op == Op::bit_or && (fits_below(node.operand[0], node.operand[1]) ||
                                     fits_below(node.operand[1], node.operand[0]));
}

int TimingGraph::chain_length(NodeId id) const {
    const Node& node = function_.nodes[id];
    const NodeId a = node.operand[0];
    const NodeId b = node.operand[1];
    if (node.op == Op::less) {
        return std::max(function_.nodes[a].type.width, function_.nodes[b].type.width);
    }
    const int zeros = node.op == Op::add ? std::max(low_zeros(a), low_zeros(b)) : low_zeros(b);
    return std::max(needed_bits(id).high - zeros, 0);
}

int TimingGraph::levels_of_tables(int inputs) const {
    int count = 1;
    for (; inputs > model_.lut_inputs; ++count) {
        inputs = (inputs + model_.lut_inputs - 1) / model_.lut_inputs;
    }
    return count;
}

Delay TimingGraph::own_delay(NodeId id) const {
    const Node& node = function_.nodes[id];
    if (is_wiring(node.op) || is_joining(node)) {
        return {0, Delay::never, Delay::never, 0};
    }
    const int table = table_ps();
    if (is_bitwise(node.op)) {
        return {table, Delay::never, Delay::never, table};
    }
    int in_bits = 0;
    for (int k = 0; k < bits::info(node.op).operands; ++k) {
        const Node& operand = function_.nodes[node.operand[k]];
        in_bits += operand.op == Op::constant ? 0 : operand.type.width;
    }
    if (in_bits <= model_.lut_inputs) {
        return all_bits(table);
    }
    // On to the chain and off it again is paid at every chain: only a sum's very lowest bit has no
    // carry before it, and the next one decides. What chains behind chains share are the carries.
    const auto chain = [&](int length) {
        const int entry = length > 1 ? model_.carry_entry_ps : 0;
        const int carries = model_.carry_ps * std::max(length - 1, 0);
        return Delay{table + entry, Delay::never, table + entry + carries, table + entry};
    };
    const bool is_sum = node.op == Op::add || node.op == Op::sub || node.op == Op::less;
    if (is_sum && !merges(id) && chain_length(id) <= model_.mapping.longest_in_tables) {
        return all_bits(table);  // or several, with the multiplexers beside them
    }
    if (merges(id)) {
        // The full adders' carries go through the table of the next bit as well.
        const auto sum = design::chain_sum(function_, id, merged_);
        const Delay two = chain(sum ? sum->length() : node.type.width);
        const Delay more{model_.ternary_ps, Delay::never, Delay::never, model_.ternary_ps};
        return sum && !sum->three ? two : then(more, two);
    }
    const Node& a = function_.nodes[node.operand[0]];
    const Node& b = function_.nodes[node.operand[1]];
    switch (node.op) {
        case Op::add:
        case Op::sub:
            return chain(chain_length(id));
        case Op::less: {
            const Delay all = chain(chain_length(id));
            return {all.early_late, all.late_late, all.early_late, all.late_late};
        }
        case Op::equal:
            return all_bits(levels_of_tables(in_bits) * table);
        case Op::mul: {
            int terms = std::min(a.type.width, b.type.width);
            for (const Node* constant : {&a, &b}) {
                if (constant->op == Op::constant) {
                    terms = signed_digits(function_.constant(*constant));
                }
            }
            Delay all{0, Delay::never, Delay::never, 0};
            for (int level = log2_ceil(terms); level > 0; --level) {
                all = then(all, chain(node.type.width));
            }
            if (model_.multiplier_ps != 0 && a.op != Op::constant && b.op != Op::constant &&
                model_.multiplier_ps < all.after({0, 0}).late) {
                return all_bits(model_.multiplier_ps);
            }
            return all;
        }
        case Op::read: {
            // Tables of more inputs than one lookup table has: four times as many a level, with the
            // multiplexers beside the tables.
            const int more = std::max(a.type.width - model_.lut_inputs, 0);
            return all_bits((1 + (more + 1) / 2) * table);
        }
        default:
            return all_bits(table);
    }
}

Delay TimingGraph::delay(NodeId id, const Operand& operand, bool together) const {
    Delay out = own_[id];
    if (operand.is_fused && together) {
        out = {0, Delay::never, Delay::never, 0};
    }
    if (operand.is_condition) {
        out = all_bits(std::max(out.late_late, 0));
    }
    const int more = load_[id] + (has_inverters(operand, together) ? table_ps() : 0);
    out.early_early += more;
    out.late_early += more;
    out.early_late += more;
    out.late_late += more;
    return out;
}

Arrival TimingGraph::evaluate(NodeId id, std::int32_t s, const std::vector<std::int32_t>& stage,
                              const std::vector<Arrival>& arrival) const {
    Arrival out{0, 0};
    for (const Operand& operand : operands(id)) {
        const bool together = stage[operand.source] == s && is_placed(operand.source);
        const Arrival in = together ? arrival[operand.source] : registered(operand.source);
        const Arrival via = delay(id, operand, together).after(in);
        out.early = std::max(out.early, via.early);
        out.late = std::max(out.late, via.late);
    }
    out.late = std::max(out.late, out.early);
    return out;
}

}  // namespace gatewright::passes
