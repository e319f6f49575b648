#include "project/witness.h"

#include <algorithm>
#include <limits>

#include "emulate/tensor_emulator.h"
#include "fixed/exact.h"
#include "operators/core.h"
#include "operators/map.h"
#include "project/sensitivity.h"

namespace gatewright::project {

namespace {

using network::Format;
using network::NodeId;

constexpr std::int64_t most_elements = 4;  ///< of a quantiser that are aimed at
constexpr std::int64_t most_passes = 4;    ///< of an ascent
constexpr int most_width = 62;             ///< of rounded operands

/// One element that may overflow.
struct Target {
    std::int64_t element = 0;
    Interval range;  ///< rounded, at the type's binary point
    Interval limits;
    double excess = 0;
};

struct Site {
    Overflowing finding;
    std::vector<Target> targets;  ///< those of the largest excess first
    int width = 0;                ///< of the rounded operands

    /// Of 64 bits, which the emulator gives, the search uses those that it can negate.
    bool searched() const { return width <= most_width; }
};

Interval limits_of(const FixedType& type, Overflow overflow) {
    Interval limits = type.range();
    if (overflow == Overflow::saturate_symmetric && type.is_signed && type.width > 0) {
        limits.low = -limits.high;
    }
    return limits;
}

/// The operand's integer, rounded, at the binary point of the type.
Int128 rounded(Int128 value, int dropped, Rounding rounding) {
    if (dropped >= 0) {
        return fixed::round_shift(value, dropped, rounding);
    }
    const auto moved = fixed::shifted({value, value}, -dropped);
    return moved ? moved->low
                 : (value < 0 ? std::numeric_limits<Int128>::min()
                              : std::numeric_limits<Int128>::max());
}

std::optional<Site> site_of(const network::Network& network, NodeId id) {
    const network::Node& node = network.node(id);
    const auto& f = node.fields<operators::QuantizeFields>();
    const network::TensorType& x = network.type(node.inputs[0]);
    Site site;
    const std::int64_t count = element_count(x.shape);
    for (std::int64_t e = 0; e < count; ++e) {
        const Format& format = x.fixed->at(e);
        const FixedType type = f.type.at(e);
        const int dropped = format.type.frac - type.frac;
        const Interval limits = limits_of(type, f.overflow);
        // Rounding never falls, so the ends of the range are those of the operand's.
        const Interval range{rounded(format.range.low, dropped, f.rounding),
                             rounded(format.range.high, dropped, f.rounding)};
        site.width = std::max(site.width, width_for(range));
        if (!limits.contains(range)) {
            const auto span =
                static_cast<double>(limits.high) - static_cast<double>(limits.low) + 1;
            const auto reach = static_cast<double>(range.high) - static_cast<double>(range.low);
            site.targets.push_back({e, range, limits, reach / span});
        }
    }
    if (site.targets.empty()) {
        return std::nullopt;
    }
    std::stable_sort(site.targets.begin(), site.targets.end(),
                     [](const Target& a, const Target& b) { return a.excess > b.excess; });
    const Target& first = site.targets.front();
    site.finding.node = id;
    site.finding.layer = node.where.layer;
    site.finding.overflow = f.overflow;
    site.finding.elements = static_cast<std::int64_t>(site.targets.size());
    site.finding.element = first.element;
    site.finding.type = f.type.at(first.element);
    site.finding.range = first.range;
    site.finding.limits = first.limits;
    return site;
}

/// Products and elements of one sample.
std::int64_t work_of(const network::Network& network) {
    std::int64_t work = 1;
    for (const network::Node& node : network.nodes()) {
        for (const network::TensorType& type : node.types) {
            const std::int64_t count = element_count(type.shape);
            work += node.op->is_contract
                        ? count * node.fields<operators::ContractFields>().weights.shape[1]
                        : count;
        }
    }
    return work;
}

/// The whole inputs of the model as one list of integers.
using Point = std::vector<std::int64_t>;

class Search {
  public:
    Search(const operators::CoreModel& model, std::vector<Site>& sites,
           const WitnessOptions& options)
        : model_(with_outputs(model, sites)), emulator_(model_), sites_(sites), options_(options) {
        for (const NodeId id : model_.network.inputs()) {
            const network::TensorType& type = model_.network.node(id).types.front();
            ports_.push_back(element_count(type.shape));
            for (std::int64_t e = 0; e < ports_.back(); ++e) {
                const Interval& r = type.fixed->at(e).range;
                low_.push_back(static_cast<std::int64_t>(r.low));
                high_.push_back(static_cast<std::int64_t>(r.high));
            }
        }
    }

    /// Looks at all sites at once.
    void try_samples(const PortIntegers& samples, std::int64_t count) {
        const auto values = emulator_.run_integers(samples, count);
        for (std::size_t s = 0; s < sites_.size(); ++s) {
            if (sites_[s].searched()) {
                look(sites_[s], values[first_output_ + s], samples, count);
            }
        }
    }

    void climb(std::size_t number) {
        Site& site = sites_[number];
        const bool wraps = site.finding.overflow == Overflow::wrap;
        const std::int64_t most =
            std::min(options_.most_tries / (wraps ? 1 : 10),
                     options_.work / work_of(model_.network) /
                         static_cast<std::int64_t>(std::max<std::size_t>(1, sites_.size())));
        const network::Value operand = model_.network.node(site.finding.node).inputs[0];
        for (std::size_t t = 0; t < site.targets.size() && t < most_elements; ++t) {
            const Target& target = site.targets[t];
            const auto slopes = flat(sensitivity(model_.network, operand, target.element));
            for (const bool up : {true, false}) {
                const bool possible = up ? target.range.high > target.limits.high
                                         : target.range.low < target.limits.low;
                if (possible && !site.finding.witness) {
                    climb_from(number, target, up, corner(slopes, up), most);
                }
            }
        }
    }

  private:
    /// The model with further outputs: the operands of all sites rounded, as their quantisers do;
    /// then the same with as many more bits as there is room for, which tell an ascent more.
    static operators::CoreModel with_outputs(const operators::CoreModel& model,
                                             const std::vector<Site>& sites) {
        operators::CoreModel out = model;
        for (const bool fine : {false, true}) {
            for (const Site& site : sites) {
                const network::Node node = out.network.node(site.finding.node);
                auto fields = node.fields<operators::QuantizeFields>();
                std::vector<FixedType> types;
                const std::int64_t count = element_count(node.types.front().shape);
                for (std::int64_t e = 0; e < count; ++e) {
                    const int width = site.searched() ? site.width + 1 : 1;
                    const int more = fine && site.searched() ? most_width - site.width : 0;
                    types.push_back({true, width + more, fields.type.at(e).frac + more});
                }
                fields.type = PerElement<FixedType>::each(std::move(types));
                fields.overflow = Overflow::saturate;
                out.network.set_output(
                    "", out.network.add(operators::quantize_operator,
                                        network::Attributes::of(std::move(fields)), node.inputs,
                                        node.where));
            }
        }
        return out;
    }

    static std::vector<double> flat(const std::vector<std::vector<double>>& ports) {
        std::vector<double> out;
        for (const auto& port : ports) {
            out.insert(out.end(), port.begin(), port.end());
        }
        return out;
    }

    Point corner(const std::vector<double>& slopes, bool up) const {
        Point out(slopes.size());
        for (std::size_t i = 0; i < out.size(); ++i) {
            const double s = up ? slopes[i] : -slopes[i];
            out[i] = s > 0   ? high_[i]
                     : s < 0 ? low_[i]
                             : std::clamp<std::int64_t>(0, low_[i], high_[i]);
        }
        return out;
    }

    PortIntegers ports_of(const std::vector<Point>& points) const {
        PortIntegers out;
        std::size_t first = 0;
        for (const std::int64_t count : ports_) {
            auto& port = out.emplace_back();
            for (std::int64_t e = 0; e < count; ++e, ++first) {
                for (const Point& point : points) {
                    port.push_back(point[first]);
                }
            }
        }
        return out;
    }

    /// Notes the first overflow among the rounded operands of a site.
    void look(Site& site, const std::vector<std::int64_t>& operands, const PortIntegers& samples,
              std::int64_t count) {
        if (site.finding.witness) {
            return;
        }
        site.finding.tries += count;
        for (const Target& target : site.targets) {
            for (std::int64_t s = 0; s < count; ++s) {
                const Int128 value = operands[static_cast<std::size_t>(target.element * count + s)];
                if (!target.limits.contains(value)) {
                    note(site, target, value, samples, count, s);
                    return;
                }
            }
        }
    }

    void note(Site& site, const Target& target, Int128 value, const PortIntegers& samples,
              std::int64_t count, std::int64_t sample) {
        const auto& f = model_.network.node(site.finding.node).fields<operators::QuantizeFields>();
        const FixedType type = f.type.at(target.element);
        Witness witness;
        for (const auto& port : samples) {
            auto& integers = witness.inputs.emplace_back();
            for (std::size_t i = static_cast<std::size_t>(sample); i < port.size();
                 i += static_cast<std::size_t>(count)) {
                integers.push_back(port[i]);
            }
        }
        witness.element = target.element;
        witness.before = value;
        witness.after = fixed::quantize(value, type.frac, type, f.rounding, f.overflow);
        site.finding.witness = std::move(witness);
    }

    /// The operand at the points, larger where better; notes overflows.
    std::vector<std::int64_t> values_at(std::size_t number, const Target& target, bool up,
                                        const std::vector<Point>& points) {
        const auto count = static_cast<std::int64_t>(points.size());
        const PortIntegers samples = ports_of(points);
        const auto all = emulator_.run_integers(samples, count);
        look(sites_[number], all[first_output_ + number], samples, count);
        const auto& operands = all[first_output_ + sites_.size() + number];
        std::vector<std::int64_t> out;
        for (std::int64_t s = 0; s < count; ++s) {
            const std::int64_t v = operands[static_cast<std::size_t>(target.element * count + s)];
            out.push_back(up ? v : -v);
        }
        return out;
    }

    /// Ascent: each input by itself to its ends and to zero, then the best moves together.
    void climb_from(std::size_t number, const Target& target, bool up, Point point,
                    std::int64_t most) {
        Overflowing& finding = sites_[number].finding;
        std::int64_t best = values_at(number, target, up, {point}).front();
        struct Move {
            std::int64_t gain;
            std::size_t input;
            std::int64_t value;
        };
        for (std::int64_t pass = 0; pass < most_passes; ++pass) {
            std::vector<Move> moves;
            for (std::size_t first = 0; first < point.size();) {
                std::vector<Point> points;
                std::vector<Move> tried;
                for (; first < point.size() && points.size() < 256; ++first) {
                    for (const std::int64_t value :
                         {low_[first], high_[first],
                          std::clamp<std::int64_t>(0, low_[first], high_[first])}) {
                        if (value != point[first]) {
                            points.push_back(point);
                            points.back()[first] = value;
                            tried.push_back({0, first, value});
                        }
                    }
                }
                if (points.empty() || finding.witness || finding.tries >= most) {
                    break;
                }
                const auto values = values_at(number, target, up, points);
                for (std::size_t i = 0; i < values.size(); ++i) {
                    tried[i].gain = values[i] - best;
                    if (tried[i].gain > 0) {
                        moves.push_back(tried[i]);
                    }
                }
            }
            if (moves.empty() || finding.witness) {
                return;
            }
            std::stable_sort(moves.begin(), moves.end(),
                             [](const Move& a, const Move& b) { return a.gain > b.gain; });
            std::vector<Point> points;
            for (std::size_t n = moves.size(); n > 0; n /= 2) {
                points.push_back(point);
                for (std::size_t i = n; i-- > 0;) {  // of two for one input the better one stays
                    points.back()[moves[i].input] = moves[i].value;
                }
            }
            const auto values = values_at(number, target, up, points);
            const auto top = std::max_element(values.begin(), values.end());
            best = *top;
            point = points[static_cast<std::size_t>(top - values.begin())];
        }
    }

    operators::CoreModel model_;  ///< with the operands of the sites as further outputs
    emulate::TensorEmulator emulator_;
    std::vector<Site>& sites_;
    const WitnessOptions& options_;
    std::vector<std::int64_t> ports_;  ///< elements of each port
    Point low_;
    Point high_;
    std::size_t first_output_ = model_.network.outputs().size() - 2 * sites_.size();
};

}  // namespace

std::vector<Overflowing> find_overflows(const operators::CoreModel& model,
                                        const PortIntegers& samples, std::int64_t sample_count,
                                        const WitnessOptions& options) {
    std::vector<Site> sites;
    for (NodeId id = 0; id < model.network.nodes().size(); ++id) {
        if (model.network.node(id).op == &operators::quantize_operator) {
            if (auto site = site_of(model.network, id)) {
                sites.push_back(std::move(*site));
            }
        }
    }
    if (!sites.empty()) {
        Search search(model, sites, options);
        search.try_samples(samples, sample_count);
        for (std::size_t s = 0; s < sites.size(); ++s) {
            if (!sites[s].finding.witness && sites[s].searched()) {
                search.climb(s);
            }
        }
    }
    std::vector<Overflowing> out;
    for (Site& site : sites) {
        out.push_back(std::move(site.finding));
    }
    return out;
}

}  // namespace gatewright::project
