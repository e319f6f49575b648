#include "project/wires.h"

#include <algorithm>
#include <optional>

#include "bits/range.h"

namespace gatewright::project {

namespace {

using bits::Node;
using bits::NodeId;
using bits::Op;

/// constant + sum of coefficient * wire, the wires in order.
struct Form {
    Int128 constant = 0;
    std::vector<std::pair<NodeId, Int128>> terms;
};

/// a * factor_a + b * factor_b, or nothing beyond 128 bits.
std::optional<Form> combine(const Form& a, Int128 factor_a, const Form& b, Int128 factor_b) {
    Form out;
    bool beyond = false;
    const auto sum = [&](Int128 x, Int128 y) {
        Int128 p = 0;
        Int128 q = 0;
        Int128 total = 0;
        beyond = __builtin_mul_overflow(x, factor_a, &p) ||
                 __builtin_mul_overflow(y, factor_b, &q) || __builtin_add_overflow(p, q, &total) ||
                 beyond;
        return total;
    };
    out.constant = sum(a.constant, b.constant);
    out.terms.reserve(a.terms.size() + b.terms.size());
    std::size_t i = 0;
    std::size_t j = 0;
    while (i < a.terms.size() || j < b.terms.size()) {
        const bool from_a =
            j == b.terms.size() || (i < a.terms.size() && a.terms[i].first <= b.terms[j].first);
        const bool from_b =
            i == a.terms.size() || (j < b.terms.size() && b.terms[j].first <= a.terms[i].first);
        const NodeId wire = from_a ? a.terms[i].first : b.terms[j].first;
        const Int128 c = sum(from_a ? a.terms[i].second : 0, from_b ? b.terms[j].second : 0);
        i += from_a ? 1 : 0;
        j += from_b ? 1 : 0;
        if (c != 0) {
            out.terms.emplace_back(wire, c);
        }
    }
    return beyond ? std::nullopt : std::optional(std::move(out));
}

std::optional<Interval> hull_of(const Form& form, const std::vector<Interval>& ranges) {
    Interval out{form.constant, form.constant};
    bool beyond = false;
    const auto add = [&](Int128& to, Int128 c, Int128 value) {
        Int128 product = 0;
        beyond = __builtin_mul_overflow(c, value, &product) ||
                 __builtin_add_overflow(to, product, &to) || beyond;
    };
    for (const auto& [wire, c] : form.terms) {
        add(out.low, c, c > 0 ? ranges[wire].low : ranges[wire].high);
        add(out.high, c, c > 0 ? ranges[wire].high : ranges[wire].low);
    }
    return beyond ? std::nullopt : std::optional(out);
}

Interval intersection(const Interval& a, const Interval& b) {
    return {std::max(a.low, b.low), std::min(a.high, b.high)};
}

class Analysis {
  public:
    Analysis(const bits::Function& function, const std::vector<Interval>& inputs,
             const std::vector<KnownRange>& known)
        : f_(function), inputs_(inputs), uses_(function.nodes.size(), 0) {
        for (const bits::Node& node : f_.nodes) {
            known_.push_back({bits::lowest(node.type), bits::highest(node.type)});
        }
        for (const KnownRange& k : known) {
            known_[k.wire] = intersection(known_[k.wire], k.range);
        }
        for (const Node& node : f_.nodes) {
            for (int i = 0; i < bits::info(node.op).operands; ++i) {
                ++uses_[node.operand[i]];
            }
        }
        forms_.resize(f_.nodes.size());
        table_ranges_.reserve(f_.tables.size());
        for (const bits::Table& table : f_.tables) {
            const auto [low, high] = std::minmax_element(table.words.begin(), table.words.end());
            table_ranges_.push_back({*low, *high});
        }
    }

    WireRanges run() {
        const auto count = static_cast<NodeId>(f_.nodes.size());
        out_.ranges.resize(count);
        out_.proofs.resize(count, WireProof::interval);
        for (NodeId id = 0; id < count; ++id) {
            visit(id);
            const Node& node = f_.nodes[id];
            for (int i = 0; i < bits::info(node.op).operands; ++i) {
                if (--uses_[node.operand[i]] == 0) {
                    forms_[node.operand[i]].reset();
                }
            }
        }
        return std::move(out_);
    }

  private:
    void visit(NodeId id) {
        const Node& node = f_.nodes[id];
        const Interval type{bits::lowest(node.type), bits::highest(node.type)};
        std::optional<Interval> range = by_interval(node);
        std::optional<Form> form = linear(node);
        const std::optional<Interval> hull = form ? hull_of(*form, out_.ranges) : std::nullopt;
        if (hull) {
            if (!range || !type.contains(*range)) {
                out_.proofs[id] = WireProof::linear_form;
                // Forms of bitwise operations are those of the reduced result.
                const bool is_bitwise = node.op == Op::bit_not || node.op == Op::bit_xor;
                range = is_bitwise ? std::nullopt : range;
            }
            range = range ? intersection(*range, *hull) : *hull;
        }
        if (!range || !type.contains(*range)) {
            range = type;
            out_.proofs[id] = WireProof::reduced;
        }
        out_.ranges[id] = intersection(*range, known_[id]);
        // A form goes on only while it tells all that is known.
        const bool goes_on = hull && out_.ranges[id] == *hull;
        forms_[id] = goes_on ? std::move(*form) : Form{0, {{id, 1}}};
    }

    std::optional<Interval> by_interval(const Node& node) const {
        if (node.op == Op::input) {
            return inputs_[static_cast<std::size_t>(node.immediate)];
        }
        if (node.op == Op::constant) {
            return Interval{f_.constant(node), f_.constant(node)};
        }
        if (node.op == Op::read) {
            return table_ranges_[static_cast<std::size_t>(node.immediate)];
        }
        const auto operand = [&](int i) {
            const Interval& r = out_.ranges[node.operand[i]];
            return bits::Range{r.low, r.high, false};
        };
        bits::Range result;
        if (!bits::exact_range(node.op, node.immediate, operand(0), operand(1), operand(2),
                               result)) {
            return std::nullopt;
        }
        return Interval{result.low, result.high};
    }

    std::optional<Form> linear(const Node& node) const {
        const auto form = [&](int i) -> const Form& { return *forms_[node.operand[i]]; };
        static const Form zero;
        switch (node.op) {
            case Op::constant:
                return Form{f_.constant(node), {}};
            case Op::cast:
                return form(0);
            case Op::add:
                return combine(form(0), 1, form(1), 1);
            case Op::sub:
                return combine(form(0), 1, form(1), -1);
            case Op::shl:
                if (node.immediate > 126) {
                    return std::nullopt;
                }
                return combine(form(0), static_cast<Int128>(1) << node.immediate, zero, 0);
            case Op::mul:
                if (form(0).terms.empty()) {
                    return combine(form(1), form(0).constant, zero, 0);
                }
                if (form(1).terms.empty()) {
                    return combine(form(0), form(1).constant, zero, 0);
                }
                return std::nullopt;
            case Op::bit_not:
                return complement(node);
            case Op::bit_xor:
                return with_sign_inverted(node);
            default:
                return std::nullopt;
        }
    }

    /// An unsigned complement is 2^width - 1 - x.
    std::optional<Form> complement(const Node& node) const {
        const Interval& range = out_.ranges[node.operand[0]];
        const int width = node.type.width;
        if (node.type.is_signed || width > 120) {
            return std::nullopt;
        }
        const Int128 all = (static_cast<Int128>(1) << width) - 1;
        if (range.low < 0 || range.high > all) {
            return std::nullopt;
        }
        return combine(*forms_[node.operand[0]], -1, Form{all, {}}, 1);
    }

    /// A number of width bits and sign whose sign is inverted, taken as unsigned, is larger by
    /// 2^(width - 1).
    std::optional<Form> with_sign_inverted(const Node& node) const {
        const int width = node.type.width;
        const Node& mask = f_.nodes[node.operand[1]];
        if (node.type.is_signed || width < 1 || width > 120 || mask.op != Op::constant) {
            return std::nullopt;
        }
        const Int128 half = static_cast<Int128>(1) << (width - 1);
        const Interval& range = out_.ranges[node.operand[0]];
        if (f_.constant(mask) != half || range.low < -half || range.high >= half) {
            return std::nullopt;
        }
        return combine(*forms_[node.operand[0]], 1, Form{half, {}}, 1);
    }

    const bits::Function& f_;
    const std::vector<Interval>& inputs_;
    std::vector<Interval> known_;
    std::vector<std::uint32_t> uses_;
    std::vector<std::optional<Form>> forms_;
    std::vector<Interval> table_ranges_;
    WireRanges out_;
};

}  // namespace

WireRanges find_wire_ranges(const bits::Function& function, const std::vector<Interval>& inputs,
                            const std::vector<KnownRange>& known) {
    return Analysis(function, inputs, known).run();
}

}  // namespace gatewright::project
