#include "operators/function.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/diagnostics.h"

namespace gatewright::operators {

namespace {

BigInt as_integer(const Rational& value) {
    return boost::multiprecision::numerator(value);
}

/// Largest and smallest level, wrapped or clipped.
BigInt confine(BigInt level, const BigInt& low, const BigInt& high, Overflow overflow) {
    if (overflow == Overflow::wrap) {
        const BigInt span = high - low + 1;
        BigInt rest = (level - low) % span;
        if (rest < 0) {
            rest += span;
        }
        return low + rest;
    }
    return std::max(low, std::min(high, level));
}

long double to_long_double(const Rational& value) {
    return value.convert_to<long double>();
}

}  // namespace

bool is(const Step& step, std::string_view name) {
    return step.function->name == name;
}

Step make_step(std::string_view name, std::vector<PerElement<Rational>> parameters) {
    Step step;
    step.function = find_function(name);
    step.parameters = std::move(parameters);
    return step;
}

Step make_join(std::string_view name, std::vector<Step> f, std::vector<Step> g) {
    Step step = make_step(name);
    step.branches = {std::move(f), std::move(g)};
    return step;
}

bool is_exact(const Step& step) {
    const bool joins = is(step, "sum") || is(step, "difference") || is(step, "product") ||
                       is(step, "larger") || is(step, "smaller");
    return is(step, "affine") || is(step, "maximum") || is(step, "minimum") || is(step, "leaky") ||
           is(step, "absolute") ||
           (joins && std::all_of(step.branches.begin(), step.branches.end(),
                                 [](const std::vector<Step>& branch) {
                                     return std::all_of(branch.begin(), branch.end(), is_exact);
                                 }));
}

int direction(const Step& step, std::int64_t element) {
    if (is(step, "staircase")) {
        bool rises = true;
        bool falls = true;
        for (std::size_t i = 2; i < step.parameters.size(); i += 2) {
            const Rational& before = step.parameters[i - 2].at(element);
            const Rational& behind = step.parameters[i].at(element);
            rises = rises && before <= behind;
            falls = falls && before >= behind;
        }
        return rises ? 1 : (falls ? -1 : 0);
    }
    if (step.function->monotone == Monotone::none ||
        (is(step, "quantize") && step.overflow == Overflow::wrap)) {
        return 0;
    }
    if (step.function->monotone == Monotone::rising) {
        return 1;
    }
    const bool negative = step.parameters[0].at(element) < 0;
    return !negative ? 1 : (is(step, "affine") ? -1 : 0);
}

BigInt round(const Rational& value, Rounding rounding) {
    const BigInt below = gatewright::floor(value);
    const Rational rest = value - Rational(below);
    if (rest == 0) {
        return below;
    }
    const BigInt above = below + 1;
    const bool negative = value < 0;
    const Rational half(1, 2);
    switch (rounding) {
        case Rounding::floor:
            return below;
        case Rounding::ceil:
            return above;
        case Rounding::toward_zero:
            return negative ? above : below;
        case Rounding::away:
            return negative ? below : above;
        case Rounding::half_up:
            return rest < half ? below : above;
        case Rounding::half_down:
            return rest > half ? above : below;
        case Rounding::half_even:
            if (rest == half) {
                return (below & 1) == 0 ? below : above;
            }
            return rest < half ? below : above;
        case Rounding::half_away:
            if (rest == half) {
                return negative ? below : above;
            }
            return rest < half ? below : above;
        case Rounding::half_zero:
            if (rest == half) {
                return negative ? above : below;
            }
            return rest < half ? below : above;
    }
    return below;
}

BigInt quantize_level(const Step& step, const Rational& x, std::int64_t element) {
    const Rational scaled = x / step.parameters[0].at(element) + step.parameters[1].at(element);
    return confine(round(scaled, step.rounding), as_integer(step.parameters[2].at(element)),
                   as_integer(step.parameters[3].at(element)), step.overflow);
}

BigInt quantize_integer(const Step& step, const Rational& x, std::int64_t element) {
    const Rational& zero_point = step.parameters[1].at(element);
    const BigInt level = quantize_level(step, x, element);
    return boost::multiprecision::denominator(zero_point) == 1 ? level - as_integer(zero_point)
                                                               : level;
}

Rational exact_value(const Real& x) {
    if (x.exact) {
        return *x.exact;
    }
    if (std::isnan(x.value)) {
        throw Failure(Code::operator_inputs, {},
                      "a function of the model has no value somewhere in its input's range (the "
                      "logarithm of a negative number, say)",
                      "Clip the function's input in the model.");
    }
    if (std::isinf(x.value)) {
        return x.value < 0 ? Rational(-power_of_two(20000)) : power_of_two(20000);
    }
    int exponent = 0;
    const long double mantissa = std::frexp(x.value, &exponent);
    return Rational(static_cast<std::int64_t>(std::ldexp(mantissa, 63))) *
           power_of_two(exponent - 63);
}

namespace {

/// The joined value of both branches.
Real join(const Step& step, const Real& f, const Real& g) {
    const bool divides = is(step, "quotient") || is(step, "floor_quotient") || is(step, "modulo") ||
                         is(step, "remainder");
    if (f.exact && g.exact && step.function->join_exact != nullptr && !(divides && *g.exact == 0)) {
        return {step.function->join_exact(*f.exact, *g.exact), 0};
    }
    const auto value = [](const Real& x) { return x.exact ? to_long_double(*x.exact) : x.value; };
    return {std::nullopt, step.function->join(value(f), value(g))};
}

}  // namespace

Real apply(std::span<const Step> steps, Real x, std::int64_t element) {
    std::vector<long double> p;
    std::vector<Rational> q;
    for (const Step& step : steps) {
        if (!step.branches.empty()) {
            x = join(step, apply(step.branches[0], x, element),
                     apply(step.branches[1], x, element));
            continue;
        }
        if (is(step, "quantize")) {
            const Rational exact = exact_value(x);
            const BigInt level = quantize_level(step, exact, element);
            x.exact =
                step.parameters[0].at(element) * (Rational(level) - step.parameters[1].at(element));
            continue;
        }
        if (x.exact && is(step, "lookup")) {  // of many parameters, which are not worth a copy
            const BigInt last = step.parameters.size() - 1;
            const BigInt at = std::clamp(gatewright::floor(*x.exact), BigInt(0), last);
            x.exact = step.parameters[at.convert_to<std::size_t>()].at(element);
            continue;
        }
        if (x.exact && step.function->exact != nullptr) {
            q.clear();
            for (const auto& parameter : step.parameters) {
                q.push_back(parameter.at(element));
            }
            x.exact = step.function->exact(*x.exact, q);
            continue;
        }
        p.clear();
        for (const auto& parameter : step.parameters) {
            p.push_back(to_long_double(parameter.at(element)));
        }
        x.value = step.function->value(x.exact ? to_long_double(*x.exact) : x.value, p);
        x.exact.reset();
    }
    return x;
}

std::string print_field(const std::vector<Step>& steps) {
    std::string out = "[";
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const Step& step = steps[i];
        out += fmt::format("{}{}(", i == 0 ? "" : ", ", step.function->name);
        for (std::size_t k = 0; k < step.parameters.size(); ++k) {
            out += (k == 0 ? "" : ", ") + network::print_field(step.parameters[k]);
        }
        for (std::size_t k = 0; k < step.branches.size(); ++k) {
            out += (k == 0 ? "" : ", ") + print_field(step.branches[k]);
        }
        if (is(step, "quantize")) {
            out += fmt::format(", {}, {}", to_string(step.rounding), to_string(step.overflow));
        }
        out += ")";
    }
    return out + "]";
}

bool parse_field(std::string_view text, std::vector<Step>& steps) {
    if (!text.starts_with('[') || !text.ends_with(']')) {
        return false;
    }
    steps.clear();
    for (const std::string_view item : network::split_list(text.substr(1, text.size() - 2), ',')) {
        const std::size_t open = item.find('(');
        Step step;
        step.function =
            open == std::string_view::npos ? nullptr : find_function(item.substr(0, open));
        if (step.function == nullptr || !item.ends_with(')')) {
            return false;
        }
        auto arguments = network::split_list(item.substr(open + 1, item.size() - open - 2), ',');
        if (is(step, "quantize")) {
            if (arguments.size() != 6 || !network::parse_field(arguments[4], step.rounding) ||
                !network::parse_field(arguments[5], step.overflow)) {
                return false;
            }
            arguments.resize(4);
        }
        if (step.function->join != nullptr) {
            if (arguments.size() != 2 || !parse_field(arguments[0], step.branches.emplace_back()) ||
                !parse_field(arguments[1], step.branches.emplace_back())) {
                return false;
            }
            arguments.clear();
        }
        for (const std::string_view argument : arguments) {
            if (!network::parse_field(argument, step.parameters.emplace_back())) {
                return false;
            }
        }
        if (step.function->parameters >= 0 &&
            static_cast<std::size_t>(step.function->parameters) != step.parameters.size()) {
            return false;
        }
        steps.push_back(std::move(step));
    }
    return true;
}

}  // namespace gatewright::operators
