#include "bits/program.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "bits/range.h"

namespace gatewright::bits {

namespace {

constexpr std::array<Lane, lane_count> lanes = {Lane::i8, Lane::i16, Lane::i32, Lane::i64,
                                                Lane::i128};
constexpr BlockRef no_block = ~BlockRef{0};
constexpr std::uint32_t never = ~std::uint32_t{0};

int lane_bits(int lane) {
    return 8 << lane;
}
std::uint32_t lane_lines(int lane) {
    return std::uint32_t{1} << lane;
}  // of 64 bytes, for a block
int index_of(Lane lane) {
    return static_cast<int>(std::find(lanes.begin(), lanes.end(), lane) - lanes.begin());
}

/// The narrowest lane that holds the range.
int lane_index(Range range) {
    int lane = 0;
    while (lane_bits(lane) < signed_bits(range)) {
        ++lane;
    }
    return lane;
}

/// One node as the kernels do it, after fusing.
struct Step {
    Kernel kernel = Kernel::add;
    int lane = 0;  ///< of the operands and the result; `read` has its address in i32
    int count = 0;
    NodeId operand[4] = {0, 0, 0, 0};
    int shift = 0;

    int operand_lane() const { return kernel == Kernel::read ? 2 : lane; }
};

struct ConstantKey {
    Int128 value;
    int lane;
    bool operator==(const ConstantKey&) const = default;
};
struct ConstantHash {
    std::size_t operator()(const ConstantKey& key) const {
        const auto bits = static_cast<UInt128>(key.value);
        return (static_cast<std::size_t>(bits) * 31 + static_cast<std::size_t>(bits >> 64)) * 8 +
               static_cast<std::size_t>(key.lane);
    }
};

void write_lane(std::byte* to, int lane, Int128 value) {
    const auto put = [to](auto v) {
        const auto* bytes = reinterpret_cast<const std::byte*>(&v);
        std::copy(bytes, bytes + sizeof(v), to);
    };
    switch (lane) {
        case 0:
            return put(static_cast<std::int8_t>(value));
        case 1:
            return put(static_cast<std::int16_t>(value));
        case 2:
            return put(static_cast<std::int32_t>(value));
        case 3:
            return put(static_cast<std::int64_t>(value));
        default:
            return put(value);
    }
}

/// Chooses lanes, fuses, orders, allocates blocks. Several short passes over the nodes:
///  1. exact ranges, from which follow the lanes and where a result has to be reduced;
///  2. which nodes need a block of their own, after casts, shifts and comparisons have been fused
///     into their users;
///  3. an order that keeps few blocks live;
///  4. instructions.
class Compiler {
  public:
    Compiler(const Function& function, Program& program)
        : f_(function), p_(program), ranges_(find_ranges(function)) {}

    void run() {
        choose_lanes();
        mark_needed();
        choose_order();
        find_last_uses();
        emit_all();
    }

  private:
    // ---- 1. lanes

    void choose_lanes() {
        const std::size_t n = f_.nodes.size();
        root_.resize(n);
        uses_.assign(n, 0);
        for (std::size_t i = 0; i < n; ++i) {
            const Node& node = f_.nodes[i];
            const bool is_alias = node.op == Op::cast && !ranges_[i].reduced;
            root_[i] = is_alias ? root_[node.operand[0]] : static_cast<NodeId>(i);
            for (int k = 0; !is_alias && k < info(node.op).operands; ++k) {
                ++uses_[root_[node.operand[k]]];
            }
        }
        for (const Output& output : f_.outputs) {
            ++uses_[root_[output.node]];
        }
        lane_.resize(n);
        for (std::size_t i = 0; i < n; ++i) {
            lane_[i] = static_cast<std::uint8_t>(stored_lane(static_cast<NodeId>(i)));
        }
    }

    /// The lane that a node's kernel works in. It holds the node's range; comparisons and right
    /// shifts also need all of their operands' bits.
    int stored_lane(NodeId id) const {
        const Node& node = f_.nodes[id];
        const auto of = [&](int k) { return static_cast<int>(lane_[root_[node.operand[k]]]); };
        const int natural = lane_index(ranges_[id]);
        switch (node.op) {
            case Op::shr:
                return std::max(natural, of(0));
            case Op::equal:
            case Op::less:
                return std::max({natural, of(0), of(1)});
            case Op::mux:
                return is_fused_condition(id)
                           ? std::max(natural, static_cast<int>(lane_[root_[node.operand[0]]]))
                           : natural;
            default:
                return natural;
        }
    }

    /// Whether a mux compares by itself. It does so in the lane of the comparison, so that a
    /// comparison of wide numbers with several users is better done once.
    bool is_fused_condition(NodeId mux) const {
        const NodeId condition = root_[f_.nodes[mux].operand[0]];
        const Op op = f_.nodes[condition].op;
        return (op == Op::less || op == Op::equal) && !is_leaf(condition) &&
               (uses_[condition] == 1 || lane_[condition] <= lane_index(ranges_[mux]));
    }

    // ---- 2. fusing

    /// Replaces an operand that is an unreduced shift by what it shifts.
    bool fuse_shift(const Step& step, NodeId& operand, int& shift) const {
        const Node& node = f_.nodes[operand];
        if (node.op != Op::shl || ranges_[operand].reduced ||
            node.immediate >= lane_bits(step.lane)) {
            return false;
        }
        shift = static_cast<int>(node.immediate);
        operand = root_[node.operand[0]];
        return true;
    }

    Step step_of(NodeId id) const {
        const Node& node = f_.nodes[id];
        Step step;
        step.lane = lane_[id];
        step.count = info(node.op).operands;
        for (int k = 0; k < step.count; ++k) {
            step.operand[k] = root_[node.operand[k]];
        }
        switch (node.op) {
            case Op::add:
                step.kernel = Kernel::add;
                if (fuse_shift(step, step.operand[1], step.shift)) {
                    step.kernel = Kernel::add_shifted;
                } else if (fuse_shift(step, step.operand[0], step.shift)) {
                    std::swap(step.operand[0], step.operand[1]);
                    step.kernel = Kernel::add_shifted;
                }
                break;
            case Op::sub:
                step.kernel = Kernel::sub;
                if (fuse_shift(step, step.operand[1], step.shift)) {
                    step.kernel = Kernel::sub_shifted;
                } else if (fuse_shift(step, step.operand[0], step.shift)) {
                    step.kernel = Kernel::shifted_sub;
                }
                break;
            case Op::shl:
                step.kernel = Kernel::shl;
                step.shift = static_cast<int>(std::min<std::int64_t>(node.immediate, 128));
                if (step.shift >= lane_bits(step.lane)) {  // nothing is left: a - a
                    step.kernel = Kernel::sub;
                    step.operand[1] = step.operand[0];
                    step.count = 2;
                }
                break;
            case Op::shr:
                step.kernel = Kernel::shr;
                step.shift = static_cast<int>(
                    std::min<std::int64_t>(node.immediate, lane_bits(step.lane) - 1));
                break;
            case Op::mux:
                step.kernel = Kernel::mux;
                if (is_fused_condition(id)) {
                    const Node& condition = f_.nodes[step.operand[0]];
                    step.kernel =
                        condition.op == Op::less ? Kernel::select_less : Kernel::select_equal;
                    step.count = 4;
                    step.operand[3] = step.operand[2];
                    step.operand[2] = step.operand[1];
                    step.operand[1] = root_[condition.operand[1]];
                    step.operand[0] = root_[condition.operand[0]];
                }
                break;
            case Op::mul:
                step.kernel = Kernel::mul;
                break;
            case Op::bit_and:
                step.kernel = Kernel::bit_and;
                break;
            case Op::bit_or:
                step.kernel = Kernel::bit_or;
                break;
            case Op::bit_xor:
                step.kernel = Kernel::bit_xor;
                break;
            case Op::bit_not:
                step.kernel = Kernel::bit_not;
                break;
            case Op::equal:
                step.kernel = Kernel::equal;
                break;
            case Op::less:
                step.kernel = Kernel::less;
                break;
            case Op::read:
                step.kernel = Kernel::read;
                step.shift = f_.nodes[node.operand[0]].type.width;
                break;
            case Op::cast:  // one that reduces
            case Op::input:
            case Op::constant:
                step.kernel = Kernel::wrap;
                break;
        }
        return step;
    }

    bool is_constant(NodeId id) const { return ranges_[id].low == ranges_[id].high; }
    bool is_leaf(NodeId id) const { return f_.nodes[id].op == Op::input || is_constant(id); }

    void mark_needed() {
        needed_.assign(f_.nodes.size(), 0);
        for (const Output& output : f_.outputs) {
            needed_[root_[output.node]] = 1;
        }
        for (std::size_t i = f_.nodes.size(); i-- > 0;) {
            const auto id = static_cast<NodeId>(i);
            if (needed_[i] == 0 || is_leaf(id)) {
                continue;
            }
            const Step step = step_of(id);
            for (int k = 0; k < step.count; ++k) {
                needed_[step.operand[k]] = 1;
            }
        }
    }

    // ---- 3. order

    /// The function's own order, or depth first from the outputs: whichever keeps less memory live.
    void choose_order() {
        for (std::size_t i = 0; i < f_.nodes.size(); ++i) {
            const auto id = static_cast<NodeId>(i);
            if (needed_[i] != 0 && !is_leaf(id)) {
                order_.push_back(id);
            }
        }
        std::vector<NodeId> own = order_;
        const std::size_t own_peak = peak_memory();
        order_ = depth_first();
        if (peak_memory() >= own_peak) {
            order_ = std::move(own);
        }
    }

    std::vector<NodeId> depth_first() const {
        std::vector<NodeId> order;
        order.reserve(order_.size());
        std::vector<char> seen(f_.nodes.size(), 0);
        std::vector<std::pair<NodeId, int>> stack;
        for (const Output& output : f_.outputs) {
            const NodeId root = root_[output.node];
            if (seen[root] == 0 && !is_leaf(root)) {
                seen[root] = 1;
                stack.emplace_back(root, 0);
            }
            while (!stack.empty()) {
                const NodeId id = stack.back().first;
                const Step step = step_of(id);
                int& next = stack.back().second;
                if (next == step.count) {
                    order.push_back(id);
                    stack.pop_back();
                    continue;
                }
                const NodeId operand = step.operand[next++];
                if (seen[operand] == 0 && !is_leaf(operand)) {
                    seen[operand] = 1;
                    stack.emplace_back(operand, 0);
                }
            }
        }
        return order;
    }

    /// The largest number of lines that are live at once in the present order.
    std::size_t peak_memory() {
        find_last_uses();
        std::vector<std::uint32_t> dying(order_.size() + 1, 0);
        for (const NodeId id : order_) {
            if (last_use_[id] != never) {
                dying[last_use_[id]] += lane_lines(lane_[id]);
            }
        }
        std::size_t live = 0;
        std::size_t peak = 0;
        for (std::size_t i = 0; i < order_.size(); ++i) {
            const NodeId id = order_[i];
            live += last_use_[id] != never ? lane_lines(lane_[id]) : 0;
            peak = std::max(peak, live);
            live -= dying[i];
        }
        return peak;
    }

    void find_last_uses() {
        last_use_.assign(f_.nodes.size(), never);
        for (std::size_t i = 0; i < order_.size(); ++i) {
            const Step step = step_of(order_[i]);
            for (int k = 0; k < step.count; ++k) {
                last_use_[step.operand[k]] = static_cast<std::uint32_t>(i);
            }
        }
    }

    // ---- 4. instructions

    BlockRef allocate(int lane) {
        std::vector<BlockRef>& free = free_[static_cast<std::size_t>(lane)];
        if (!free.empty()) {
            const BlockRef place = free.back();  // the one used last is still in the cache
            free.pop_back();
            return place;
        }
        const BlockRef place = p_.scratch_lines;
        p_.scratch_lines += lane_lines(lane);
        if (p_.scratch_lines >= in_constants) {
            throw std::logic_error("bits::Evaluator: the function is too large");
        }
        return place;
    }

    void release(NodeId id) {
        for (int lane = 0; lane < lane_count; ++lane) {
            BlockRef& place = blocks_[id][static_cast<std::size_t>(lane)];
            if (place != no_block) {
                free_[static_cast<std::size_t>(lane)].push_back(place);
                place = no_block;
            }
        }
    }

    void emit(int code, BlockRef d, BlockRef a) {
        Instruction in;
        in.code = static_cast<std::uint16_t>(code);
        in.d = d;
        in.a = a;
        p_.code.push_back(in);
    }

    BlockRef constant(Int128 value, int lane) {
        value = wrap(value, {true, static_cast<std::uint8_t>(lane_bits(lane))});
        const auto line = static_cast<BlockRef>(p_.constants.size());
        const auto [it, is_new] = constants_.try_emplace({value, lane}, line | in_constants);
        if (is_new) {
            p_.constants.resize(line + lane_lines(lane));
            std::byte* to = p_.constants[line].bytes;
            for (std::size_t i = 0; i < Evaluator::block; ++i) {
                write_lane(to + i * lane_bytes(lanes[static_cast<std::size_t>(lane)]), lane, value);
            }
        }
        return it->second;
    }

    /// The block that holds node `id` in `lane` (truncated if need be): loaded or converted where
    /// it is not there yet.
    BlockRef value(NodeId id, int lane) {
        const Node& node = f_.nodes[id];
        if (is_constant(id)) {
            return constant(ranges_[id].low, lane);
        }
        BlockRef& place = blocks_[id][static_cast<std::size_t>(lane)];
        if (place == no_block) {
            place = allocate(lane);
            if (node.op == Op::input) {
                const auto port = static_cast<BlockRef>(node.immediate);
                emit(code_of(Kernel::load, index_of(p_.input_lanes[port]), lane), place, port);
            } else {
                const BlockRef from = blocks_[id][lane_[id]];
                emit(code_of(Kernel::convert, lane_[id], lane), place, from);
            }
        }
        return place;
    }

    BlockRef table(const Node& node, int lane) {
        const std::int64_t type = node.type.width * 2 + (node.type.is_signed ? 1 : 0);
        const std::int64_t code = (node.immediate * 1024 + type) * 8 + lane;
        const auto line = static_cast<BlockRef>(p_.tables.size());
        const auto [it, is_new] = tables_.try_emplace(code, line);
        if (is_new) {
            const std::vector<Int128>& words =
                f_.tables[static_cast<std::size_t>(node.immediate)].words;
            const std::size_t bytes = lane_bytes(lanes[static_cast<std::size_t>(lane)]);
            p_.tables.resize(line + (words.size() * bytes + sizeof(Line) - 1) / sizeof(Line));
            for (std::size_t i = 0; i < words.size(); ++i) {
                write_lane(p_.tables[line].bytes + i * bytes, lane, wrap(words[i], node.type));
            }
        }
        return it->second;
    }

    void emit_step(NodeId id) {
        const Node& node = f_.nodes[id];
        const Step step = step_of(id);
        std::array<BlockRef, 4> refs = {0, 0, 0, 0};
        for (int k = 0; k < step.count; ++k) {
            refs[static_cast<std::size_t>(k)] = value(step.operand[k], step.operand_lane());
        }
        Instruction in;
        in.code = static_cast<std::uint16_t>(code_of(step.kernel, step.lane));
        in.shift = static_cast<std::uint8_t>(step.shift);
        in.a = refs[0];
        in.b = refs[1];
        in.c = refs[2];
        in.e = refs[3];
        if (step.kernel == Kernel::read) {
            in.b = table(node, step.lane);
        }
        // A signed type that fills its lane needs no reduction: the lane's arithmetic does it.
        const bool reduces = ranges_[id].reduced && node.op != Op::read &&
                             !(node.type.is_signed && node.type.width == lane_bits(step.lane));
        if (step.kernel == Kernel::wrap && !reduces) {
            blocks_[id][static_cast<std::size_t>(step.lane)] = allocate(step.lane);
            emit(code_of(Kernel::convert, step.lane, step.lane),
                 blocks_[id][static_cast<std::size_t>(step.lane)], in.a);
            return;
        }
        BlockRef unreduced = no_block;
        if (reduces && step.kernel != Kernel::wrap) {
            unreduced = allocate(step.lane);
            in.d = unreduced;
            p_.code.push_back(in);
            in.a = unreduced;
        }
        if (reduces) {
            in.code = static_cast<std::uint16_t>(code_of(Kernel::wrap, step.lane));
            in.shift = node.type.width;
            in.is_signed = node.type.is_signed;
        }
        in.d = allocate(step.lane);
        p_.code.push_back(in);
        blocks_[id][static_cast<std::size_t>(step.lane)] = in.d;
        if (unreduced != no_block) {
            free_[static_cast<std::size_t>(step.lane)].push_back(unreduced);
        }
    }

    void emit_outputs(NodeId id) {
        for (const std::uint32_t port : ports_of_[id]) {
            const int lane = is_leaf(id) ? lane_index(ranges_[id]) : lane_[id];
            emit(code_of(Kernel::store, lane, index_of(p_.output_lanes[port])), port,
                 value(id, lane));
        }
    }

    void emit_all() {
        blocks_.resize(f_.nodes.size());
        for (auto& row : blocks_) {
            row.fill(no_block);
        }
        for (std::size_t o = 0; o < f_.outputs.size(); ++o) {
            ports_of_[root_[f_.outputs[o].node]].push_back(static_cast<std::uint32_t>(o));
        }
        for (std::size_t i = 0; i < order_.size(); ++i) {
            const NodeId id = order_[i];
            emit_step(id);
            if (ports_of_.contains(id)) {
                emit_outputs(id);
            }
            const Step step = step_of(id);
            for (int k = 0; k < step.count; ++k) {
                if (last_use_[step.operand[k]] == i) {
                    release(step.operand[k]);
                }
            }
            if (last_use_[id] == never) {
                release(id);
            }
        }
        for (const Output& output : f_.outputs) {
            const NodeId id = root_[output.node];
            if (is_leaf(id) && ports_of_.contains(id)) {
                emit_outputs(id);
                release(id);
                ports_of_.erase(id);
            }
        }
    }

    const Function& f_;
    Program& p_;
    const std::vector<Range> ranges_;
    std::vector<std::uint8_t> lane_;
    std::vector<char> needed_;
    std::vector<NodeId> root_;  ///< the node itself, or what a cast without effect casts
    std::vector<std::uint32_t> uses_;
    std::vector<NodeId> order_;
    std::vector<std::uint32_t> last_use_;  ///< position in order_
    std::vector<std::array<BlockRef, lane_count>> blocks_;
    std::array<std::vector<BlockRef>, lane_count> free_;
    std::unordered_map<ConstantKey, BlockRef, ConstantHash> constants_;
    std::unordered_map<std::int64_t, BlockRef> tables_;
    std::unordered_map<NodeId, std::vector<std::uint32_t>> ports_of_;
};

}  // namespace

Program compile(const Function& function, std::vector<Lane> input_lanes,
                std::vector<Lane> output_lanes) {
    Program program;
    program.input_lanes = std::move(input_lanes);
    program.output_lanes = std::move(output_lanes);
    Compiler(function, program).run();
    return program;
}

}  // namespace gatewright::bits
