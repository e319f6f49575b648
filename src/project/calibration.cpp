#include "project/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>

#include "emulate/reference.h"
#include "emulate/tensor_emulator.h"
#include "operators/layers.h"
#include "project/commands.h"

namespace gatewright::project {

namespace {

using network::Network;
using network::Node;

struct Range {
    double low = std::numeric_limits<double>::infinity();
    double high = -std::numeric_limits<double>::infinity();

    void add(double value) {
        low = std::min(low, value);
        high = std::max(high, value);
    }
};

/// The first samples only.
emulate::Samples first_samples(const emulate::Samples& samples, const Network& network) {
    emulate::Samples out;
    out.count = std::min(samples.count, most_samples);
    out.has_batch_axis = samples.has_batch_axis;
    const auto ids = network.inputs();
    for (std::size_t i = 0; i < samples.inputs.size(); ++i) {
        const ArraySource& array = samples.inputs[i];
        const std::int64_t each = element_count(network.node(ids[i]).types.front().shape);
        Shape shape = array.shape();
        if (out.has_batch_axis && !shape.empty()) {
            shape[0] = out.count;
        }
        out.inputs.emplace_back(array.part(0, each * out.count, std::move(shape)));
    }
    return out;
}

/// What the results at the sites span on the samples, on real numbers.
std::map<Site, Range> measured(const Network& network, const std::vector<Site>& sites,
                               const emulate::Samples& samples) {
    std::vector<std::vector<double>> all;
    for (std::size_t i = 0; i < samples.inputs.size(); ++i) {
        const auto values = to_doubles(samples.inputs[i].whole());
        const std::string name(network.input_name(network.inputs()[i]));
        const bool finite = values && std::all_of(values->begin(), values->end(),
                                                  [](double v) { return std::isfinite(v); });
        if (!finite) {
            throw Failure(Code::array_mismatch, {"", name, "input", ""},
                          "the calibration samples hold a number that is not finite",
                          "Inputs must be finite numbers.");
        }
        all.push_back(*values);
    }
    std::map<Site, Range> out;
    const auto ids = network.inputs();
    for (std::int64_t s = 0; s < samples.count; ++s) {
        std::vector<Tensor> inputs;
        for (std::size_t i = 0; i < ids.size(); ++i) {
            const Shape& shape = network.node(ids[i]).types.front().shape;
            const std::int64_t count = element_count(shape);
            inputs.push_back({shape, std::vector<double>(all[i].begin() + s * count,
                                                         all[i].begin() + (s + 1) * count)});
        }
        const auto values = emulate::reference_values(network, inputs);
        for (const Site& site : sites) {
            if (site.role != Role::result && site.role != Role::input) {
                continue;
            }
            Range& range = out[site];
            for (const double v : values[site.value.node][site.value.output].values) {
                if (!std::isfinite(v)) {
                    throw Failure(Code::array_mismatch, network.node(site.value.node).where,
                                  fmt::format("its result is {} for calibration sample {}", v, s),
                                  "Calibrate with inputs as the model was trained for.");
                }
                range.add(v);
            }
        }
    }
    return out;
}

/// A function whose results are never below zero, whatever comes in.
bool never_negative(const Network& network, network::Value value) {
    static constexpr std::array<std::string_view, 6> functions = {"absolute", "square", "sigmoid",
                                                                  "softplus", "exp",    "sqrt"};
    const Node& node = network.node(value.node);
    if (node.op == &operators::softmax_operator) {
        return !node.fields<operators::SoftmaxFields>().logarithm;
    }
    if (node.op != &operators::function_operator) {
        return false;
    }
    const std::string& name = node.fields<operators::FunctionFields>().function;
    if (name == "maximum" || name == "minimum") {
        const Tensor bound = constant_of(network, {Role::weight, {}, value.node, 1});
        const bool positive =
            std::all_of(bound.values.begin(), bound.values.end(), [](double v) { return v >= 0; });
        return positive && (name == "maximum" || never_negative(network, node.inputs[0]));
    }
    return std::find(functions.begin(), functions.end(), name) != functions.end();
}

FixedType input_type(const ArraySource& array, const std::string& name, const Range& range,
                     int bits) {
    try {
        const FixedType type = lossless_type(array, name);
        if (type.width <= bits && type.width > 0 && std::abs(type.frac) <= 128) {
            return type;
        }
    } catch (const Failure& failure) {
        if (failure.diagnostics().front().code != Code::width_exceeded) {
            throw;
        }
    }
    return fitting_type(range.low, range.high, bits, range.low < 0);
}

struct Loss {
    double largest = 0;
    std::int64_t same_argmax = 0;
};

Loss loss_of(const std::vector<std::vector<float>>& reference,
             const std::vector<std::vector<float>>& values, std::int64_t samples) {
    Loss out;
    for (std::int64_t s = 0; s < samples; ++s) {
        bool same = true;
        for (std::size_t o = 0; o < reference.size(); ++o) {
            const auto count = static_cast<std::ptrdiff_t>(reference[o].size()) / samples;
            const auto p = reference[o].begin() + s * count;
            const auto q = values[o].begin() + s * count;
            same = same && std::max_element(p, p + count) - p == std::max_element(q, q + count) - q;
            for (std::ptrdiff_t i = 0; i < count; ++i) {
                out.largest = std::max(
                    out.largest, std::abs(static_cast<double>(p[i]) - static_cast<double>(q[i])));
            }
        }
        out.same_argmax += same ? 1 : 0;
    }
    return out;
}

}  // namespace

nlohmann::ordered_json Calibration::json() const {
    return {{"samples", samples},
            {"bits", bits},
            {"largest_difference", largest_difference},
            {"same_argmax", same_argmax}};
}

FixedType fitting_type(double low, double high, int bits, bool is_signed) {
    FixedType type{is_signed, bits, 0};
    const double largest = std::max(std::abs(low), std::abs(high));
    if (largest == 0) {
        type.frac = bits - (is_signed ? 1 : 0);
        return type;
    }
    int exponent = 0;
    std::frexp(largest, &exponent);
    const Interval range = type.range();
    const auto fits = [&](int frac) {
        return std::nearbyint(std::ldexp(high, frac)) <= static_cast<double>(range.high) &&
               std::nearbyint(std::ldexp(low, frac)) >= static_cast<double>(range.low);
    };
    type.frac = bits - exponent + 1;
    while (!fits(type.frac)) {
        --type.frac;
    }
    type.frac = std::min(type.frac, 128);
    return type;
}

Calibration calibrate(const network::ImportedModel& model, const std::vector<TypedSite>& configured,
                      const emulate::Samples& all_samples, const CalibrationOptions& options) {
    const Network& network = model.network;
    const emulate::Samples samples = first_samples(all_samples, network);
    if (samples.count == 0) {
        throw Failure(Code::array_mismatch, {}, "there are no samples to calibrate with",
                      "Give an array with at least one sample.");
    }
    const bool keeps = is_quantised(network);
    std::vector<Site> sites;
    for (const Site& site : model_sites(network)) {
        const bool known = std::any_of(configured.begin(), configured.end(),
                                       [&](const TypedSite& t) { return t.site == site; });
        if (!known && site.role != Role::accumulator && (!keeps || site.role == Role::input)) {
            sites.push_back(site);
        }
    }
    std::map<Site, Range> ranges = measured(network, sites, samples);
    for (const Site& site : sites) {
        if (site.role == Role::weight || site.role == Role::bias) {
            for (const double v : constant_of(network, site).values) {
                ranges[site].add(v);
            }
        }
    }
    const auto ids = network.inputs();
    const auto typed = [&](int bits) {
        std::vector<TypedSite> types = configured;
        for (const Site& site : sites) {
            const Range& range = ranges.at(site);
            SiteType type;
            if (site.role == Role::input) {
                const auto i = static_cast<std::size_t>(
                    std::find(ids.begin(), ids.end(), site.value.node) - ids.begin());
                type.type =
                    input_type(samples.inputs[i], std::string(network.input_name(site.value.node)),
                               range, bits);
            } else if (site.role == Role::result) {
                const double spare = is_bounded(network, site) ? 1 : 2;
                const bool is_signed = range.low < 0 || !never_negative(network, site.value);
                type.type = fitting_type(range.low * spare, range.high * spare, bits, is_signed);
            } else {
                type.type = fitting_type(range.low, range.high, bits, true);
                if (site.role == Role::bias) {
                    // Finer than a product of two tensors, a bias only widens the sum.
                    type.type.frac = std::min(type.type.frac, 2 * bits);
                }
            }
            types.push_back({site, type});
        }
        return with_types(network, types);
    };
    const emulate::ReferenceResult reference =
        emulate::run_reference(with_final_activation(network, FinalActivation::drop), samples);
    const auto attempt = [&](int bits) {
        Calibration out;
        out.network = typed(bits);
        network::ImportedModel changed;
        changed.network = out.network;
        changed.batched = model.batched;
        changed.inputs = model.inputs;
        const operators::CoreModel core = lower_model(changed, FinalActivation::drop, {});
        const auto result = emulate::TensorEmulator(core).run(samples, 1);
        const Loss loss = loss_of(reference.values, result.values, samples.count);
        out.samples = samples.count;
        out.bits = bits;
        out.largest_difference = loss.largest;
        out.same_argmax = loss.same_argmax;
        return out;
    };
    if (!options.max_error) {
        return attempt(options.bits.value_or(default_bits));
    }
    double best = std::numeric_limits<double>::infinity();
    std::optional<Failure> failure;
    for (int bits = fewest_bits; bits <= most_bits; ++bits) {
        try {
            Calibration out = attempt(bits);
            if (out.largest_difference <= *options.max_error) {
                return out;
            }
            best = std::min(best, out.largest_difference);
        } catch (const Failure& f) {
            failure = f;  // this width has no circuit (a table too large)
        }
    }
    if (best == std::numeric_limits<double>::infinity() && failure) {
        throw Failure(*failure);
    }
    throw Failure(Code::error_budget, {model.network.name, "", "", ""},
                  fmt::format("with {} to {} bits the outputs come as near as {:.3g} to the float "
                              "model's, not {:.3g}",
                              fewest_bits, most_bits, best, *options.max_error),
                  "Ask for less with --max-error, or give types with --config.");
}

}  // namespace gatewright::project
