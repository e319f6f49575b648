#include "project/witness.h"

#include <algorithm>
#include <limits>

#include "emulate/tensor_emulator.h"
#include "fixed/exact.h"
#include "operators/core.h"
#include "operators/map.h"
#include "operators/row.h"
#include "project/sensitivity.h"

namespace gatewright::project {

namespace {

using network::Format;
using network::NodeId;

constexpr std::int64_t most_elements = 4;    ///< of a quantiser that are aimed at
constexpr std::int64_t most_passes = 4;      ///< of an ascent
constexpr std::int64_t most_sums = 1 << 16;  ///< of an accumulator's site
constexpr int most_width = 62;               ///< of rounded operands

/// One element that may overflow.
struct Target {
    std::int64_t element = 0;
    std::int64_t sum = 0;    ///< of an accumulator
    std::int64_t probe = 0;  ///< element of the site's probes
    Interval range;          ///< rounded, at the type's binary point
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

/// The finding of a site: its place, and its target of the largest excess.
std::optional<Site> finished(Site site, const network::Network& network, NodeId id,
                             Overflow overflow) {
    if (site.targets.empty()) {
        return std::nullopt;
    }
    std::stable_sort(site.targets.begin(), site.targets.end(),
                     [](const Target& a, const Target& b) { return a.excess > b.excess; });
    const Target& first = site.targets.front();
    const network::Node& node = network.node(id);
    const bool accumulates = node.op == &operators::row_accumulate_operator;
    site.finding.node = id;
    site.finding.layer = node.where.layer;
    site.finding.overflow = overflow;
    site.finding.elements = static_cast<std::int64_t>(site.targets.size());
    site.finding.element = first.element;
    site.finding.sum = first.sum;
    site.finding.type = accumulates
                            ? node.fields<operators::AccumulateFields>().accumulator.type
                            : node.fields<operators::QuantizeFields>().type.at(first.element);
    site.finding.range = first.range;
    site.finding.limits = first.limits;
    return site;
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
            site.targets.push_back({e, 0, e, range, limits, reach / span});
        }
    }
    return finished(std::move(site), network, id, f.overflow);
}

/// Sums of an accumulator: the one of product k of column o in row r has probe (r O + o) K + k.
std::optional<Site> accumulator_site(const network::Network& network, NodeId id) {
    const network::Node& node = network.node(id);
    const auto& f = node.fields<operators::AccumulateFields>();
    const network::TensorType& x = network.type(node.inputs[0]);
    const std::int64_t products = f.weights.shape[0];
    const std::int64_t columns = f.weights.shape[1];
    const std::int64_t results = element_count(node.types.front().shape);
    const FixedType type = f.accumulator.type;
    const Interval limits = limits_of(type, f.accumulator.overflow);
    Site site;
    for (std::int64_t e = 0; e < results; ++e) {
        const std::int64_t o = e % columns;
        const Int128 first = fixed::quantize(f.initial.values[static_cast<std::size_t>(o)],
                                             static_cast<int>(f.initial_frac), type,
                                             f.accumulator.rounding, f.accumulator.overflow);
        Interval sum{first, first};
        Interval whole = sum;  // without overflow
        for (std::int64_t k = 0; k < products; ++k) {
            const Int128 w = f.weights.values[static_cast<std::size_t>(k * columns + o)];
            const Format& format = x.fixed->at(e / columns * products + k);
            const int frac = format.type.frac + static_cast<int>(f.frac);
            const int point = std::max(frac, type.frac);
            const auto product = fixed::product(format.range, {w, w});
            const auto next = [&](const Interval& from) {
                const auto a = fixed::shifted(from, point - type.frac);
                const auto b = product ? fixed::shifted(*product, point - frac) : std::nullopt;
                const auto total = a && b ? fixed::sum(*a, *b) : std::nullopt;
                if (!total) {
                    site.width = max_width;
                    return limits;
                }
                return Interval{rounded(total->low, point - type.frac, f.accumulator.rounding),
                                rounded(total->high, point - type.frac, f.accumulator.rounding)};
            };
            if (w == 0) {
                continue;
            }
            whole = next(whole);
            site.width = std::max(site.width, width_for(whole));
            const Interval before = next(sum);
            sum = before;
            if (!limits.contains(before)) {
                const auto span =
                    static_cast<double>(limits.high) - static_cast<double>(limits.low) + 1;
                const auto reach =
                    static_cast<double>(before.high) - static_cast<double>(before.low);
                site.targets.push_back({e, k, e * products + k, before, limits, reach / span});
                sum = f.accumulator.overflow == Overflow::wrap
                          ? limits
                          : Interval{std::clamp(before.low, limits.low, limits.high),
                                     std::clamp(before.high, limits.low, limits.high)};
            }
        }
    }
    if (results * products > most_sums) {
        site.width = max_width;
    }
    return finished(std::move(site), network, id, f.accumulator.overflow);
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
        const network::Value operand =
            model_.network.outputs()[first_output_ + sites_.size() + number].value;
        for (std::size_t t = 0; t < site.targets.size() && t < most_elements; ++t) {
            const Target& target = site.targets[t];
            const auto slopes = flat(sensitivity(model_.network, operand, target.probe));
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
                const int width = site.searched() ? site.width + 1 : 1;
                const int more = fine && site.searched() ? most_width - site.width : 0;
                out.network.set_output("", node.op == &operators::quantize_operator
                                               ? rounded_operand(out.network, node, width, more)
                                               : running_sums(out.network, node, width, more));
            }
        }
        return out;
    }

    static network::Value rounded_operand(network::Network& network, const network::Node& node,
                                          int width, int more) {
        auto fields = node.fields<operators::QuantizeFields>();
        std::vector<FixedType> types;
        const std::int64_t count = element_count(node.types.front().shape);
        for (std::int64_t e = 0; e < count; ++e) {
            types.push_back({true, width + more, fields.type.at(e).frac + more});
        }
        fields.type = PerElement<FixedType>::each(std::move(types));
        fields.overflow = Overflow::saturate;
        return network.add(operators::quantize_operator, network::Attributes::of(std::move(fields)),
                           node.inputs, node.where);
    }

    /// The sums after each product, in an accumulator wide enough: until the first overflow they
    /// are those of the model.
    static network::Value running_sums(network::Network& network, const network::Node& node,
                                       int width, int more) {
        auto fields = node.fields<operators::AccumulateFields>();
        const std::int64_t products = fields.weights.shape[0];
        const std::int64_t columns = fields.weights.shape[1];
        const auto old = fields;
        // Of a site that is not searched one column will do.
        const std::int64_t sums = width > 1 ? columns * products : 1;
        fields.weights = {{products, sums},
                          std::vector<std::int64_t>(static_cast<std::size_t>(products * sums), 0)};
        fields.initial = {{sums}, std::vector<std::int64_t>(static_cast<std::size_t>(sums), 0)};
        for (std::int64_t s = 0; s < sums && width > 1; ++s) {
            const std::int64_t o = s / products;
            // The model's accumulator begins with what it makes of `initial`.
            fields.initial.values[static_cast<std::size_t>(s)] = static_cast<std::int64_t>(
                fixed::quantize(old.initial.values[static_cast<std::size_t>(o)],
                                static_cast<int>(old.initial_frac), old.accumulator.type,
                                old.accumulator.rounding, old.accumulator.overflow));
            for (std::int64_t k = 0; k <= s % products; ++k) {
                fields.weights.values[static_cast<std::size_t>(k * sums + s)] =
                    old.weights.values[static_cast<std::size_t>(k * columns + o)];
            }
        }
        fields.initial_frac = old.accumulator.type.frac;
        fields.accumulator.type = {true, width + more, old.accumulator.type.frac + more};
        fields.accumulator.overflow = Overflow::saturate;
        return network.add(operators::row_accumulate_operator,
                           network::Attributes::of(std::move(fields)), node.inputs, node.where);
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
                const Int128 value = operands[static_cast<std::size_t>(target.probe * count + s)];
                if (!target.limits.contains(value)) {
                    note(site, first_of(site, target, operands, count, s), operands, samples, count,
                         s);
                    return;
                }
            }
        }
    }

    /// The first sum of the same accumulator that overflows: what comes after it is not the
    /// model's.
    static const Target& first_of(const Site& site, const Target& found,
                                  const std::vector<std::int64_t>& operands, std::int64_t count,
                                  std::int64_t sample) {
        const Target* first = &found;
        for (const Target& target : site.targets) {
            const Int128 value = operands[static_cast<std::size_t>(target.probe * count + sample)];
            if (target.element == found.element && target.sum < first->sum &&
                !target.limits.contains(value)) {
                first = &target;
            }
        }
        return *first;
    }

    void note(Site& site, const Target& target, const std::vector<std::int64_t>& operands,
              const PortIntegers& samples, std::int64_t count, std::int64_t sample) {
        const network::Node& node = model_.network.node(site.finding.node);
        const Int128 value = operands[static_cast<std::size_t>(target.probe * count + sample)];
        const FixedType type =
            node.op == &operators::quantize_operator
                ? node.fields<operators::QuantizeFields>().type.at(target.element)
                : site.finding.type;
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
        witness.sum = target.sum;
        witness.after =
            fixed::quantize(value, type.frac, type, Rounding::floor, site.finding.overflow);
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
            const std::int64_t v = operands[static_cast<std::size_t>(target.probe * count + s)];
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
        const network::Operator* op = model.network.node(id).op;
        std::optional<Site> site;
        if (op == &operators::quantize_operator) {
            site = site_of(model.network, id);
        } else if (op == &operators::row_accumulate_operator) {
            site = accumulator_site(model.network, id);
        }
        if (site) {
            sites.push_back(std::move(*site));
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
