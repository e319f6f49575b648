// Lowering of quantisers: Lowering::quantize finds the integer step function of each element's
// chain and gives the tensor the cheapest form that all of its elements have.

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <unordered_map>

#include <fmt/format.h>

#include "operators/core.h"
#include "operators/lowering.h"
#include "operators/map.h"
#include "operators/step_function.h"

namespace gatewright::operators {

namespace {

using network::Attributes;
using network::Format;

constexpr std::int64_t most_levels = 4096;  ///< listed one by one
constexpr std::int64_t most_table_words = 1 << 16;
constexpr std::int64_t few_words = 1 << 8;  ///< a table this small is always considered

/// Elements that share base format and parameters: element e is in the group of entry
/// (e / inner) % group_of.size().
struct Groups {
    std::vector<std::int64_t> first;  ///< one element of each group
    std::int64_t inner = 1;
    std::vector<std::int32_t> group_of;  ///< [entry]
};

/// Numbers equal values alike.
struct Numbering {
    struct Hash {
        std::size_t operator()(const Rational& v) const {
            const std::size_t a = hash_value(boost::multiprecision::numerator(v));
            return a * 31 + hash_value(boost::multiprecision::denominator(v));
        }
    };
    std::unordered_map<Rational, std::int32_t, Hash> numbers;

    std::int32_t operator()(const Rational& v) {
        return numbers.try_emplace(v, static_cast<std::int32_t>(numbers.size())).first->second;
    }
};

/// A pattern of a tensor, in numbers.
struct NumberedPattern {
    std::int64_t inner;
    std::vector<std::int32_t> numbers;
};

Groups group_elements(std::int64_t count, const PerElement<Format>& formats,
                      const std::vector<Step>& steps, const Step& quantiser) {
    std::vector<NumberedPattern> patterns;
    if (!formats.is_uniform()) {
        NumberedPattern& pattern = patterns.emplace_back(NumberedPattern{formats.inner(), {}});
        std::map<std::tuple<bool, int, int, Int128, Int128>, std::int32_t> known;
        for (const Format& f : formats.values()) {
            const auto key =
                std::tuple(f.type.is_signed, f.type.width, f.type.frac, f.range.low, f.range.high);
            pattern.numbers.push_back(
                known.try_emplace(key, static_cast<std::int32_t>(known.size())).first->second);
        }
    }
    const auto note = [&](const PerElement<Rational>& p) {
        if (!p.is_uniform()) {
            NumberedPattern& pattern = patterns.emplace_back(NumberedPattern{p.inner(), {}});
            Numbering number;
            for (const Rational& v : p.values()) {
                pattern.numbers.push_back(number(v));
            }
        }
    };
    const std::function<void(const std::vector<Step>&)> note_steps =
        [&](const std::vector<Step>& chain) {
            for (const Step& step : chain) {
                for (const auto& p : step.parameters) {
                    note(p);
                }
                for (const auto& branch : step.branches) {
                    note_steps(branch);
                }
            }
        };
    note_steps(steps);
    for (const auto& p : quantiser.parameters) {
        note(p);
    }
    Groups out;
    std::int64_t inner = 0;
    std::int64_t period = 1;
    for (const NumberedPattern& p : patterns) {
        inner = std::gcd(inner, p.inner);
        period = std::min(std::lcm(period, p.inner * static_cast<std::int64_t>(p.numbers.size())),
                          std::max<std::int64_t>(1, count));
    }
    out.inner = inner == 0 || period % inner != 0 ? 1 : inner;
    std::map<std::vector<std::int32_t>, std::int32_t> known;
    std::vector<std::int32_t> key(patterns.size());
    for (std::int64_t e = 0; e < period; e += out.inner) {
        for (std::size_t i = 0; i < patterns.size(); ++i) {
            const auto& numbers = patterns[i].numbers;
            key[i] = numbers[static_cast<std::size_t>(e / patterns[i].inner) % numbers.size()];
        }
        const auto [at, is_new] = known.try_emplace(key, static_cast<std::int32_t>(known.size()));
        if (is_new) {
            out.first.push_back(e);
        }
        out.group_of.push_back(at->second);
    }
    return out;
}

/// One value per group, spread over the elements.
template <class T>
PerElement<T> spread(const Groups& groups, const std::function<T(std::size_t)>& value) {
    std::vector<T> values;
    std::vector<T> of_group;
    for (std::size_t g = 0; g < groups.first.size(); ++g) {
        of_group.push_back(value(g));
    }
    for (const std::int32_t g : groups.group_of) {
        values.push_back(of_group[static_cast<std::size_t>(g)]);
    }
    return PerElement<T>::along(std::move(values), groups.inner);
}

/// The forms found for one group.
struct Forms {
    std::optional<AffineForm> affine;
    std::optional<ThresholdForm> thresholds;
    std::optional<std::vector<Int128>> words;
};

Forms find_forms(const StepFunction& f) {
    Forms forms;
    forms.thresholds = threshold_form(f, most_levels);
    if (forms.thresholds) {
        forms.affine = fit_affine(*forms.thresholds);
    }
    if (!forms.affine) {
        forms.affine = direct_affine(f, false);
    }
    const bool needs_table = !forms.affine && !forms.thresholds;
    forms.words = table_form(f, needs_table ? most_table_words : few_words);
    return forms;
}

/// Whether the quantiser of `f` may wrap: its chain, which is seen at both ends if it never turns,
/// leaves the levels there. (What a wrap gives may be the nearest level by chance, so levels
/// without end are compared, not results.)
bool may_wrap(const StepFunction& f) {
    Step clipped = *f.quantiser;
    clipped.overflow = Overflow::saturate;
    StepFunction clipping = f;
    clipping.quantiser = &clipped;
    Step endless = clipped;
    endless.parameters[2] = Rational(-power_of_two(100));
    endless.parameters[3] = power_of_two(100);
    StepFunction unbounded = f;
    unbounded.quantiser = &endless;
    const auto leaves = [&](Int128 n) { return unbounded.at(n) != clipping.at(n); };
    return clipping.direction() == 0 || leaves(f.domain.low) || leaves(f.domain.high);
}

bool same_rounding(const std::vector<Forms>& forms) {
    return std::all_of(forms.begin(), forms.end(), [&](const Forms& f) {
        return f.affine && f.affine->rounding == forms.front().affine->rounding &&
               f.affine->overflow == forms.front().affine->overflow;
    });
}

}  // namespace

RealTensor Lowering::encode(const RealTensor& x, const Step& quantiser) {
    const std::int64_t count = element_count(x.shape);
    const auto integer_zero = [](const Rational& z) {
        return boost::multiprecision::denominator(z) == 1;
    };
    const PerElement<Format> formats = combine<Format>(
        count,
        [&](const Rational& s, const Rational& z, const Rational& l, const Rational& h) {
            const Rational shift = integer_zero(z) ? z : Rational(0);
            const Interval range{*to_int128(floor(Rational(l - shift))),
                                 *to_int128(floor(Rational(h - shift)))};
            const auto log = exact_log2(s);
            return Format{type_for(range, log ? -*log : 0), range};
        },
        quantiser.parameters[0], quantiser.parameters[1], quantiser.parameters[2],
        quantiser.parameters[3]);
    const ModelInput& input = model_.model_inputs[static_cast<std::size_t>(x.model_input)];
    std::vector<Step> steps = x.steps;
    steps.push_back(quantiser);
    Linear out;
    out.shape = x.shape;
    out.where = where_;
    // Two quantisers may read one input, each in its own way; equal ones share a port.
    bool found = false;
    const auto ports = core_.inputs();
    for (std::size_t i = 0; i < model_.encodings.size() && !found; ++i) {
        const Encoding& known = model_.encodings[i];
        if (known.model_input == input.name && known.index == x.index && known.steps == steps &&
            core_.node(ports[i]).types.front().shape == x.shape) {
            out.value = {ports[i], 0};
            found = true;
        }
    }
    if (!found) {
        std::string port = input.name;
        for (std::size_t i = 0; i < ports.size(); ++i) {
            if (core_.input_name(ports[i]) == port) {
                port = fmt::format("{}_{}", input.name, ports.size());
            }
        }
        out.value = core_.add_input(port, {x.shape, formats}, where_);
        model_.encodings.push_back({input.name, x.index, std::move(steps)});
    }
    out.scale = combine<Rational>(
        count, [](const Rational& s) { return exact_log2(s) ? Rational(1) : s; },
        quantiser.parameters[0]);
    out.offset = combine<Rational>(
        count,
        [&](const Rational& s, const Rational& z) {
            return integer_zero(z) ? Rational(0) : Rational(-s * z);
        },
        quantiser.parameters[0], quantiser.parameters[1]);
    return real(out);
}

RealTensor Lowering::quantize(const RealTensor& x, const Step& quantiser) {
    if (x.base == RealTensor::Base::model_input) {
        return encode(x, quantiser);
    }
    for (std::size_t i = 0; i < x.steps.size(); ++i) {
        if (is(x.steps[i], "softmax") || is(x.steps[i], "log_softmax")) {
            RealTensor before = x;
            before.steps.resize(i);
            RealTensor after = quantized_softmax(*this, before, x.steps[i], quantiser);
            if (i + 1 < x.steps.size()) {
                refuse(Code::value_not_quantised,
                       "a function follows the softmax before its quantiser",
                       "Quantise the softmax itself.");
            }
            return after;
        }
    }
    const std::int64_t count = element_count(x.shape);
    const network::TensorType type = core_.type(x.value);
    // What joins functions of the same elements neither rises nor falls, so it is a table here, of
    // which there is none too large: where it can be computed that is better.
    std::size_t exact = 0;
    std::size_t joins = 0;
    while (exact < x.steps.size() && is_exact(x.steps[exact])) {
        joins = x.steps[exact].branches.empty() ? joins : exact + 1;
        ++exact;
    }
    const bool curved = exact < x.steps.size();
    const bool large =
        std::any_of(type.fixed->values().begin(), type.fixed->values().end(), [&](const Format& f) {
            return f.range.high - f.range.low >= (curved ? most_table_words : few_words);
        });
    if (joins > 0 && large) {
        return quantize(computed(x, joins), quantiser);
    }
    const Groups groups = group_elements(count, *type.fixed, x.steps, quantiser);
    // A quantiser that never wraps is as good as one that saturates, and has more forms. One that
    // does is kept apart from bounds before it, so that what overflows can be seen.
    bool wraps = quantiser.overflow == Overflow::wrap;
    if (wraps) {
        wraps = std::any_of(groups.first.begin(), groups.first.end(), [&](std::int64_t e) {
            const Format& format = type.fixed->at(e);
            return may_wrap(
                {format.range, power_of_two(-format.type.frac), x.steps, &quantiser, e});
        });
        if (!wraps) {
            Step clipped = quantiser;
            clipped.overflow = Overflow::saturate;
            return quantize(x, clipped);
        }
    }
    std::vector<Forms> forms;
    bool all_affine = true;
    bool all_thresholds = true;
    bool all_words = true;
    double affine_cost = 0;
    double threshold_cost = 0;
    double word_cost = 0;
    std::vector<StepFunction> functions_of_group;
    for (const std::int64_t e : groups.first) {
        const Format& format = type.fixed->at(e);
        functions_of_group.push_back(
            {format.range, power_of_two(-format.type.frac), x.steps, &quantiser, e});
        forms.push_back(find_forms(functions_of_group.back()));
        const Forms& f = forms.back();
        all_affine = all_affine && f.affine;
        all_thresholds = all_thresholds && f.thresholds;
        all_words = all_words && f.words;
        affine_cost += f.affine ? cost(*f.affine, format.range) : 0;
        threshold_cost += f.thresholds ? cost(*f.thresholds, format.range) : 0;
        word_cost += f.words ? table_cost(*f.words) : 0;
    }
    if (all_affine && !same_rounding(forms)) {
        for (std::size_t g = 0; g < forms.size(); ++g) {
            forms[g].affine = direct_affine(functions_of_group[g], true);
        }
        all_affine = same_rounding(forms);
    }
    if (!all_affine &&
        (!all_thresholds || threshold_cost > 200.0 * static_cast<double>(groups.first.size()))) {
        // A bent line (leaky ReLU, absolute value) is computed as such before it is rounded.
        std::size_t bent = 0;
        bool piecewise = true;
        for (std::size_t i = 0; i < x.steps.size() && piecewise; ++i) {
            const Step& s = x.steps[i];
            const bool bounds = is(s, "maximum") || is(s, "minimum");
            const bool bends = is(s, "leaky") || is(s, "absolute") || (wraps && bounds);
            piecewise = bends || bounds || is(s, "affine");
            bent = bends && piecewise ? i + 1 : bent;
        }
        if (bent > 0) {
            return quantize(computed(x, bent), quantiser);
        }
    }
    if (!all_affine && !all_thresholds && !all_words) {
        // Where some elements lack each form, larger tables may still serve all.
        all_words = true;
        word_cost = 0;
        for (std::size_t g = 0; g < forms.size(); ++g) {
            forms[g].words = table_form(functions_of_group[g], most_table_words);
            all_words = all_words && forms[g].words;
        }
        // Or the chain begins with what a circuit computes by itself.
        std::size_t first = 0;
        while (first < x.steps.size() &&
               (is_exact(x.steps[first]) || has_integer_values(x.steps[first]))) {
            ++first;
        }
        while (first > 0 && is(x.steps[first - 1], "affine")) {
            --first;
        }
        if (!all_words && first > 0) {
            return quantize(computed(x, first), quantiser);
        }
        if (!all_words) {
            refuse(
                Code::function_too_wide,
                fmt::format("its function of a value of type {} would need a table of more than "
                            "{} words",
                            to_string(type.fixed->at(groups.first.front()).type), most_table_words),
                "Quantise the value before this function to 16 bits or fewer (in the model, or "
                "with `result:` in the configuration).");
        }
    }
    Linear out;
    out.shape = x.shape;
    out.where = where_;
    out.scale = combine<Rational>(
        count, [](const Rational& s) { return exact_log2(s) ? Rational(1) : s; },
        quantiser.parameters[0]);
    out.offset = combine<Rational>(
        count,
        [](const Rational& s, const Rational& z) {
            return boost::multiprecision::denominator(z) == 1 ? Rational(0) : Rational(-s * z);
        },
        quantiser.parameters[0], quantiser.parameters[1]);
    const PerElement<std::int64_t> frac = combine<std::int64_t>(
        count,
        [](const Rational& s) {
            const auto log = exact_log2(s);
            return static_cast<std::int64_t>(log ? -*log : 0);
        },
        quantiser.parameters[0]);

    const bool use_words = all_words && !(wraps && all_affine) &&
                           (!all_affine || word_cost < affine_cost) &&
                           (!all_thresholds || word_cost < threshold_cost);
    const bool use_affine =
        all_affine && !use_words && (!all_thresholds || affine_cost <= threshold_cost);
    if (use_words) {
        TableFields fields;
        fields.low =
            spread<Int128>(groups, [&](std::size_t g) { return functions_of_group[g].domain.low; });
        fields.words =
            spread<std::vector<Int128>>(groups, [&](std::size_t g) { return *forms[g].words; });
        fields.frac = frac;
        out.value = core(table_operator, Attributes::of(std::move(fields)), {x.value});
        return real(out);
    }
    if (!use_affine) {
        ThresholdFields fields;
        fields.thresholds = spread<std::vector<Int128>>(
            groups, [&](std::size_t g) { return forms[g].thresholds->thresholds; });
        fields.base =
            spread<Int128>(groups, [&](std::size_t g) { return forms[g].thresholds->base; });
        fields.step = spread<std::int64_t>(
            groups, [&](std::size_t g) { return std::int64_t{forms[g].thresholds->step}; });
        fields.frac = frac;
        out.value = core(thresholds_operator, Attributes::of(std::move(fields)), {x.value});
        return real(out);
    }
    AffineFields line;
    line.multiplier =
        spread<Int128>(groups, [&](std::size_t g) { return forms[g].affine->multiplier; });
    line.addend = spread<Int128>(groups, [&](std::size_t g) { return forms[g].affine->addend; });
    line.frac = combine<std::int64_t>(
        count, [](std::int64_t shift, std::int64_t f) { return shift + f; },
        spread<std::int64_t>(groups,
                             [&](std::size_t g) { return std::int64_t{forms[g].affine->shift}; }),
        frac);
    Value value = core(affine_operator, Attributes::of(std::move(line)), {x.value});
    const PerElement<Interval> range =
        spread<Interval>(groups, [&](std::size_t g) { return forms[g].affine->range; });
    QuantizeFields rounding;
    rounding.rounding = forms.front().affine->rounding;
    rounding.overflow =
        forms.front().affine->overflow == Overflow::wrap ? Overflow::wrap : Overflow::saturate;
    rounding.type = combine<FixedType>(
        count, [](const Interval& r, std::int64_t f) { return type_for(r, static_cast<int>(f)); },
        range, frac);
    const PerElement<Interval> whole =
        combine<Interval>(count, [](const FixedType& t) { return t.range(); }, rounding.type);
    value = core(quantize_operator, Attributes::of(std::move(rounding)), {value});
    if (!(whole == range)) {
        value = core(clamp_operator, Attributes::of(ClampFields{range}), {value});
    }
    const PerElement<Int128> base =
        spread<Int128>(groups, [&](std::size_t g) { return forms[g].affine->base; });
    if (!(base == PerElement<Int128>(0))) {
        AffineFields shift;
        shift.addend = base;
        shift.frac = frac;
        value = core(affine_operator, Attributes::of(std::move(shift)), {value});
    }
    out.value = value;
    return real(out);
}

}  // namespace gatewright::operators
