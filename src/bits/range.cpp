#include "bits/range.h"

#include <algorithm>

namespace gatewright::bits {

namespace {

Range range_of(Type type) {
    return {lowest(type), highest(type), false};
}

/// All values from -2^(bits-1) to 2^(bits-1) - 1.
Range signed_range(int bits) {
    return range_of({true, static_cast<std::uint8_t>(bits)});
}

}  // namespace

bool exact_range(Op op, std::int64_t immediate, const Range& a, const Range& b, const Range& c,
                 Range& result) {
    switch (op) {
        case Op::add:
            return !__builtin_add_overflow(a.low, b.low, &result.low) &&
                   !__builtin_add_overflow(a.high, b.high, &result.high);
        case Op::sub:
            return !__builtin_sub_overflow(a.low, b.high, &result.low) &&
                   !__builtin_sub_overflow(a.high, b.low, &result.high);
        case Op::mul: {
            if (signed_bits(a) + signed_bits(b) > 127) {
                return false;
            }
            const auto [low, high] =
                std::minmax({a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high});
            result = {low, high, false};
            return true;
        }
        case Op::shl: {
            if (signed_bits(a) + immediate > 127) {
                return false;
            }
            const Int128 factor = static_cast<Int128>(1) << immediate;
            result = {a.low * factor, a.high * factor, false};
            return true;
        }
        case Op::shr: {
            const auto amount = static_cast<int>(std::min<std::int64_t>(immediate, 127));
            result = {a.low >> amount, a.high >> amount, false};
            return true;
        }
        case Op::bit_and:
            if (a.low >= 0 || b.low >= 0) {
                const Int128 most = b.low < 0   ? a.high
                                    : a.low < 0 ? b.high
                                                : std::min(a.high, b.high);
                result = {0, most, false};
                return true;
            }
            [[fallthrough]];
        case Op::bit_or:
        case Op::bit_xor:
            result = signed_range(std::max(signed_bits(a), signed_bits(b)));
            if (a.low >= 0 && b.low >= 0) {
                result.low = 0;
            }
            return true;
        case Op::bit_not:
            result = {~a.high, ~a.low, false};
            return true;
        case Op::equal:
        case Op::less:
            result = {0, 1, false};
            return true;
        case Op::mux:
            result = {std::min(b.low, c.low), std::max(b.high, c.high), false};
            return true;
        case Op::cast:
            result = a;
            return true;
        case Op::input:
        case Op::constant:
        case Op::read:
            break;
    }
    return false;
}

int signed_bits(const Range& r) {
    return std::max(bit_length(static_cast<UInt128>(r.low < 0 ? ~r.low : r.low)),
                    bit_length(static_cast<UInt128>(r.high < 0 ? ~r.high : r.high))) +
           1;
}

std::vector<Range> find_ranges(const Function& function) {
    std::vector<Range> table_ranges;
    table_ranges.reserve(function.tables.size());
    for (const Table& table : function.tables) {
        const auto [low, high] = std::minmax_element(table.words.begin(), table.words.end());
        table_ranges.push_back({*low, *high, false});
    }
    std::vector<Range> ranges(function.nodes.size());
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        const Node& node = function.nodes[i];
        Range exact;
        bool known = true;
        if (node.op == Op::input) {
            exact = range_of(node.type);
        } else if (node.op == Op::constant) {
            exact = {function.constant(node), function.constant(node), false};
        } else if (node.op == Op::read) {
            exact = table_ranges[static_cast<std::size_t>(node.immediate)];
        } else {
            known = exact_range(node.op, node.immediate, ranges[node.operand[0]],
                                ranges[node.operand[1]], ranges[node.operand[2]], exact);
        }
        const Range all = range_of(node.type);
        if (known && all.low <= exact.low && exact.high <= all.high) {
            ranges[i] = {exact.low, exact.high, false};
        } else {
            ranges[i] = all;
            ranges[i].reduced = true;
        }
    }
    return ranges;
}

}  // namespace gatewright::bits
