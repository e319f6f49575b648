#include "project/function_check.h"

#include <algorithm>

#include "bits/evaluator.h"
#include "fixed/exact.h"
#include "operators/core.h"
#include "operators/map.h"

namespace gatewright::project {

namespace {

using bits::Evaluator;
using network::Node;

constexpr UInt128 most_in_full = 1 << 24;
constexpr std::int64_t most_work = std::int64_t{1} << 32;  ///< operations of bodies
constexpr std::int64_t spread = 1 << 16;

/// The definition of a map of one operand on integers, for arguments that rise from call to call.
class Definition {
  public:
    /// `frac`: of the operand.
    Definition(const Node& node, std::int64_t element, int frac)
        : node_(node), element_(element), frac_(frac) {}

    static bool has(const Node& node) {
        return node.op == &operators::table_operator ||
               node.op == &operators::thresholds_operator ||
               node.op == &operators::quantize_operator || node.op == &operators::affine_operator ||
               node.op == &operators::clamp_operator || node.op == &operators::leaky_operator ||
               node.op == &operators::absolute_operator;
    }

    Int128 at(Int128 n) {
        if (node_.op == &operators::table_operator) {
            const auto& f = node_.fields<operators::TableFields>();
            return f.words.at(element_)[static_cast<std::size_t>(n - f.low.at(element_))];
        }
        if (node_.op == &operators::thresholds_operator) {
            const auto& f = node_.fields<operators::ThresholdFields>();
            const std::vector<Int128>& thresholds = f.thresholds.at(element_);
            while (passed_ < thresholds.size() && n >= thresholds[passed_]) {
                ++passed_;
            }
            return f.base.at(element_) + f.step.at(element_) * static_cast<Int128>(passed_);
        }
        if (node_.op == &operators::quantize_operator) {
            const auto& f = node_.fields<operators::QuantizeFields>();
            return fixed::quantize(n, frac_, f.type.at(element_), f.rounding, f.overflow);
        }
        if (node_.op == &operators::affine_operator) {
            const auto& f = node_.fields<operators::AffineFields>();
            return f.multiplier.at(element_) * n + f.addend.at(element_);
        }
        if (node_.op == &operators::clamp_operator) {
            const Interval& r = node_.fields<operators::ClampFields>().range.at(element_);
            return std::max(r.low, std::min(r.high, n));
        }
        if (node_.op == &operators::leaky_operator) {
            const auto& f = node_.fields<operators::LeakyFields>();
            return n * (n < 0 ? f.negative.at(element_) : f.positive.at(element_));
        }
        return n < 0 ? -n : n;
    }

    /// Arguments next to which the result may change in an uncommon way.
    std::vector<Int128> edges(const Interval& range) const {
        std::vector<Int128> out = {range.low, range.high, 0};
        if (node_.op == &operators::thresholds_operator) {
            out = node_.fields<operators::ThresholdFields>().thresholds.at(element_);
            out.insert(out.end(), {range.low, range.high, 0});
        } else if (node_.op == &operators::clamp_operator) {
            const Interval& r = node_.fields<operators::ClampFields>().range.at(element_);
            out.insert(out.end(), {r.low, r.high});
        } else if (node_.op == &operators::quantize_operator) {
            const auto& type = node_.fields<operators::QuantizeFields>().type.at(element_);
            const int dropped = frac_ - type.frac;
            const Interval r = type.range();
            for (const Int128 level :
                 {r.low, r.low + 1, r.high, r.high + 1, Int128{0}, Int128{1}}) {
                // The grid point of the level, and the middles around it.
                if (const auto point = fixed::shifted({level, level}, std::max(0, dropped))) {
                    const Int128 half =
                        dropped > 0 && dropped < 120 ? static_cast<Int128>(1) << (dropped - 1) : 0;
                    const Int128 n = dropped >= 0
                                         ? point->low
                                         : fixed::round_shift(level, -dropped, Rounding::floor);
                    out.insert(out.end(), {n, n - half, n + half});
                }
            }
        }
        return out;
    }

  private:
    const Node& node_;
    std::int64_t element_;
    int frac_;
    std::size_t passed_ = 0;  ///< thresholds not above the last argument
};

/// Compares a body with its definition at arguments that rise.
class Reader {
  public:
    Reader(const bits::Function& function, Definition definition)
        : evaluator_(function, {bits::Lane::i128}, {bits::Lane::i128}), definition_(definition) {}

    void read(Int128 n) {
        arguments_[count_++] = n;
        if (count_ == Evaluator::block) {
            flush();
        }
    }

    void flush() {
        if (count_ == 0) {
            return;
        }
        std::fill(arguments_.begin() + static_cast<std::ptrdiff_t>(count_), arguments_.end(),
                  arguments_.front());
        const void* in = arguments_.data();
        void* out = results_.data();
        evaluator_.run(&in, &out, scratch_);
        for (std::size_t i = 0; i < count_; ++i) {
            wrong += results_[i] != definition_.at(arguments_[i]) ? 1 : 0;
        }
        entries += static_cast<std::int64_t>(count_);
        count_ = 0;
    }

    std::int64_t entries = 0;
    std::int64_t wrong = 0;

  private:
    Evaluator evaluator_;
    Definition definition_;
    Evaluator::Scratch scratch_;
    std::vector<Int128> arguments_ = std::vector<Int128>(Evaluator::block);
    std::vector<Int128> results_ = std::vector<Int128>(Evaluator::block);
    std::size_t count_ = 0;
};

/// The arguments at which a body of a wide range is read, rising.
std::vector<Int128> sparse_arguments(const Definition& definition, const Interval& range) {
    std::vector<Int128> out;
    for (const Int128 edge : definition.edges(range)) {
        for (const Int128 n : {edge - 1, edge, edge + 1}) {
            if (range.contains(n)) {
                out.push_back(n);
            }
        }
    }
    // Evenly, but not in step with powers of two.
    const Int128 step = (range.high / spread - range.low / spread) | 1;
    Int128 n = range.low;
    for (std::int64_t i = 0; i < spread && range.high - step >= n; ++i) {
        out.push_back(n += step);
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

}  // namespace

FunctionCheck check_functions(const operators::CoreModel& model) {
    FunctionCheck out;
    std::int64_t work = 0;
    for (const bool data : {true, false}) {  // tables and thresholds, then formulas
        for (const Node& node : model.network.nodes()) {
            const bool is_data =
                node.op == &operators::table_operator || node.op == &operators::thresholds_operator;
            if (!Definition::has(node) || is_data != data) {
                continue;
            }
            const std::vector<network::TensorType> types = {model.network.type(node.inputs[0])};
            const operators::Bodies bodies = operators::map_bodies(node, types);
            std::vector<bool> seen(bodies.bodies.size(), false);
            for (std::size_t e = 0; e < bodies.body_of.size(); ++e) {
                const auto b = static_cast<std::size_t>(bodies.body_of[e]);
                if (seen[b]) {
                    continue;
                }
                seen[b] = true;
                const operators::Body& body = bodies.bodies[b];
                const Interval range = body.inputs[0].range;
                const Definition definition(node, static_cast<std::int64_t>(e),
                                            body.inputs[0].type.frac);
                Reader reader(body.function, definition);
                const UInt128 last =
                    static_cast<UInt128>(range.high) - static_cast<UInt128>(range.low);
                const std::int64_t cost =
                    last < most_in_full
                        ? static_cast<std::int64_t>((last + 1) * body.function.nodes.size())
                        : most_work + 1;
                ++out.functions;
                if (work + cost <= most_work) {
                    ++out.in_full;
                    work += cost;
                    for (Int128 n = range.low; n <= range.high; ++n) {
                        reader.read(n);
                    }
                } else {
                    ++out.at_edges;
                    for (const Int128 n : sparse_arguments(definition, range)) {
                        reader.read(n);
                    }
                }
                reader.flush();
                out.entries += reader.entries;
                out.wrong += reader.wrong;
            }
        }
    }
    return out;
}

}  // namespace gatewright::project
