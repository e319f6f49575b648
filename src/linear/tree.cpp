#include "linear/tree.h"

#include <algorithm>
#include <queue>
#include <tuple>

namespace gatewright::linear {

namespace {

/// A term of a sum, with the key that orders joining.
struct Item {
    int depth;
    int shift;
    int width;
    std::int32_t value;
    bool negative;

    auto key() const { return std::tuple(depth, shift, width, value, negative); }
    bool operator>(const Item& other) const { return key() > other.key(); }
};

Item join(const Item& first, const Item& second, std::vector<ValueInfo>& values,
          std::vector<Addition>& additions) {
    // The low operand is the positive one, so that its low bits pass unchanged.
    const bool swap = first.shift > second.shift ||
                      (first.shift == second.shift && first.negative && !second.negative);
    const Item& low = swap ? second : first;
    const Item& high = swap ? first : second;
    const Addition addition{.a = low.value,
                            .b = high.value,
                            .shift_b = static_cast<std::uint8_t>(high.shift - low.shift),
                            .negate_b = low.negative != high.negative};
    const ValueInfo info = info_of(addition, values[static_cast<std::size_t>(low.value)],
                                   values[static_cast<std::size_t>(high.value)]);
    additions.push_back(addition);
    values.push_back(info);
    return {info.depth, low.shift, info.width, static_cast<std::int32_t>(values.size()) - 1,
            low.negative};
}

/// Changes the signs of values so that fewer outputs are negated.
class SignChanger {
  public:
    explicit SignChanger(AdderGraph& graph)
        : graph_(graph), uses_(static_cast<std::size_t>(graph.n_in) + graph.additions.size()) {
        for (std::size_t i = 0; i < graph.additions.size(); ++i) {
            uses_[static_cast<std::size_t>(graph.additions[i].a)].push_back(use_of_addition(i));
            uses_[static_cast<std::size_t>(graph.additions[i].b)].push_back(use_of_addition(i));
        }
        for (std::size_t o = 0; o < graph.outputs.size(); ++o) {
            if (graph.outputs[o].value >= 0) {
                uses_[static_cast<std::size_t>(graph.outputs[o].value)].push_back(
                    -static_cast<std::int64_t>(o) - 1);
            }
        }
    }

    void run() {
        for (const Output& output : graph_.outputs) {
            if (output.value >= 0 && output.negate && uses_allow(output.value) &&
                can_flip(output.value)) {
                flip(output.value);
            }
        }
    }

  private:
    static std::int64_t use_of_addition(std::size_t i) { return static_cast<std::int64_t>(i); }

    Addition* maker(std::int32_t value) {
        return value < graph_.n_in
                   ? nullptr
                   : &graph_.additions[static_cast<std::size_t>(value - graph_.n_in)];
    }

    // Whether every use of the value stays valid, and no output worse, if it changes sign.
    bool uses_allow(std::int32_t value) {
        return std::ranges::all_of(
            uses_[static_cast<std::size_t>(value)], [&](const std::int64_t use) {
                if (use < 0) {
                    return graph_.outputs[static_cast<std::size_t>(-use - 1)].negate;
                }
                const Addition& reader = graph_.additions[static_cast<std::size_t>(use)];
                return reader.a != reader.b &&
                       !(reader.a == value ? reader.negate_b : reader.negate_a);
            });
    }

    // Whether the value itself can be made with the other sign.
    bool can_flip(std::int32_t value) {
        const Addition* addition = maker(value);
        return addition != nullptr &&
               (addition->negate_a != addition->negate_b || operand_to_flip(value) >= 0);
    }

    // An operand of a sum that nothing else reads and that can change sign, or -1.
    std::int32_t operand_to_flip(std::int32_t value) {
        const Addition& addition = *maker(value);
        // Negating the high operand keeps the low one's bits free.
        const bool a_first = addition.shift_a > addition.shift_b;
        for (const std::int32_t operand :
             {a_first ? addition.a : addition.b, a_first ? addition.b : addition.a}) {
            if (uses_[static_cast<std::size_t>(operand)].size() == 1 && can_flip(operand)) {
                return operand;
            }
        }
        return -1;
    }

    void flip(std::int32_t value) {
        Addition& addition = *maker(value);
        if (addition.negate_a != addition.negate_b) {
            std::swap(addition.negate_a, addition.negate_b);
        } else {
            // -(a + b) = (-a) - b, where -a is what the flipped operand now is.
            const std::int32_t operand = operand_to_flip(value);
            flip(operand);
            // flip() has negated its use here; the sum as a whole changes sign on top.
            addition.negate_a = !addition.negate_a;
            addition.negate_b = !addition.negate_b;
        }
        for (const std::int64_t use : uses_[static_cast<std::size_t>(value)]) {
            if (use < 0) {
                Output& output = graph_.outputs[static_cast<std::size_t>(-use - 1)];
                output.negate = !output.negate;
                continue;
            }
            Addition& reader = graph_.additions[static_cast<std::size_t>(use)];
            bool& sign = reader.a == value ? reader.negate_a : reader.negate_b;
            sign = !sign;
        }
    }

    AdderGraph& graph_;
    std::vector<std::vector<std::int64_t>> uses_;
};

}  // namespace

Output add_up(const std::vector<Term>& terms, std::vector<ValueInfo>& values,
              std::vector<Addition>& additions) {
    if (terms.empty()) {
        return {};
    }
    std::priority_queue<Item, std::vector<Item>, std::greater<>> waiting;
    for (const Term& term : terms) {
        const ValueInfo& info = values[static_cast<std::size_t>(term.value)];
        waiting.push({info.depth, term.shift, info.width, term.value, term.negative});
    }
    while (waiting.size() > 1) {
        const Item first = waiting.top();
        waiting.pop();
        const Item second = waiting.top();
        waiting.pop();
        waiting.push(join(first, second, values, additions));
    }
    const Item& root = waiting.top();
    return {root.value, static_cast<std::uint8_t>(root.shift), root.negative};
}

int least_depth(const std::vector<Term>& terms, const std::vector<ValueInfo>& values) {
    std::priority_queue<int, std::vector<int>, std::greater<>> depths;
    for (const Term& term : terms) {
        depths.push(values[static_cast<std::size_t>(term.value)].depth);
    }
    while (depths.size() > 1) {
        depths.pop();
        const int second = depths.top();
        depths.pop();
        depths.push(second + 1);
    }
    return depths.empty() ? 0 : depths.top();
}

void absorb_signs(AdderGraph& graph) {
    SignChanger(graph).run();
}

}  // namespace gatewright::linear
