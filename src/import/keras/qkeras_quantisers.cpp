#include "import/keras/qkeras_quantisers.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <variant>

#include "base/diagnostics.h"

namespace gatewright::keras {

namespace {

using Json = nlohmann::ordered_json;
using Kind = Quantiser::Kind;

/// An argument of a constructor: None, True, 1, 'auto'.
using Argument = std::variant<std::monostate, bool, double, std::string>;

struct Unused {};  ///< changes nothing at inference; the table says why

/// A parameter of a quantiser's constructor, and the member that keeps it.
struct Parameter {
    std::string_view name;
    std::variant<double Quantiser::*, bool Quantiser::*, std::optional<double> Quantiser::*,
                 std::string Quantiser::*, Alpha Quantiser::*, Unused>
        member;
};

struct Class {
    std::string_view name;
    Kind kind;
    std::vector<Parameter> parameters;  ///< in the order of the constructor
};

// Names of variables, whether numbers are variables, and the gradient's form (use_ste: both forms
// give (1 - q) x + q xq) are of no matter at inference.
constexpr Parameter bits{"bits", &Quantiser::bits};
constexpr Parameter integer{"integer", &Quantiser::integer};
constexpr Parameter symmetric{"symmetric", &Quantiser::symmetric};
constexpr Parameter keep_negative{"keep_negative", &Quantiser::keep_negative};
constexpr Parameter alpha{"alpha", &Quantiser::alpha};
constexpr Parameter stochastic{"use_stochastic_rounding", &Quantiser::use_stochastic_rounding};
constexpr Parameter scale_axis{"scale_axis", &Quantiser::scale_axis};
constexpr Parameter qnoise{"qnoise_factor", &Quantiser::qnoise_factor};
constexpr Parameter var_name{"var_name", Unused{}};
constexpr Parameter use_ste{"use_ste", Unused{}};
constexpr Parameter use_variables{"use_variables", Unused{}};
constexpr Parameter slope{"negative_slope", &Quantiser::negative_slope};
constexpr Parameter max_value{"max_value", &Quantiser::max_value};
constexpr Parameter quadratic{"quadratic_approximation", &Quantiser::quadratic_approximation};
constexpr Parameter log2_rounding{"log2_rounding", &Quantiser::log2_rounding};
constexpr Parameter threshold{"threshold", &Quantiser::threshold};
constexpr Parameter unrolls{"number_of_unrolls", &Quantiser::number_of_unrolls};
// Of sampling, which is done in training only (and always by bernoulli, which is refused).
constexpr Parameter temperature{"temperature", Unused{}};
constexpr Parameter real_probability{"use_real_sigmoid", Unused{}};

const std::vector<Class>& classes() {
    static const std::vector<Class> table = {
        {"quantized_bits",
         Kind::bits,
         {bits, integer, symmetric, keep_negative, alpha, stochastic, scale_axis, qnoise, var_name,
          use_ste, use_variables}},
        {"quantized_hswish",
         Kind::hswish,
         {bits,
          integer,
          symmetric,
          alpha,
          stochastic,
          scale_axis,
          qnoise,
          var_name,
          use_ste,
          use_variables,
          {"relu_shift", &Quantiser::relu_shift},
          {"relu_upper_bound", &Quantiser::hswish_bound}}},
        {"quantized_relu",
         Kind::relu,
         {bits,
          integer,
          {"use_sigmoid", &Quantiser::use_sigmoid},
          slope,
          stochastic,
          {"relu_upper_bound", &Quantiser::relu_upper_bound},
          {"is_quantized_clip", &Quantiser::is_quantized_clip},
          qnoise,
          var_name,
          use_ste,
          use_variables}},
        {"quantized_ulaw", Kind::ulaw, {bits, integer, symmetric, {"u", &Quantiser::u}}},
        {"quantized_tanh",
         Kind::tanh,
         {bits, stochastic, symmetric, {"use_real_tanh", &Quantiser::use_real}}},
        {"quantized_sigmoid",
         Kind::sigmoid,
         {bits, symmetric, {"use_real_sigmoid", &Quantiser::use_real}, stochastic}},
        {"quantized_po2",
         Kind::po2,
         {bits, max_value, stochastic, quadratic, log2_rounding, qnoise, var_name, use_ste,
          use_variables}},
        {"quantized_relu_po2",
         Kind::relu_po2,
         {bits, max_value, slope, stochastic, quadratic, log2_rounding, qnoise, var_name, use_ste,
          use_variables}},
        {"binary", Kind::binary, {{"use_01", &Quantiser::use_01}, alpha, stochastic}},
        {"ternary", Kind::ternary, {alpha, threshold, stochastic, unrolls}},
        {"stochastic_binary", Kind::binary, {alpha, temperature, real_probability}},
        {"stochastic_ternary",
         Kind::ternary,
         {alpha, threshold, temperature, real_probability, unrolls}},
        {"bernoulli", Kind::bernoulli, {alpha, temperature, real_probability}},
        {"smooth_sigmoid", Kind::function, {}},
        {"hard_sigmoid", Kind::function, {}},
        {"binary_sigmoid", Kind::function, {}},
        {"smooth_tanh", Kind::function, {}},
        {"hard_tanh", Kind::function, {}},
        {"binary_tanh", Kind::function, {}},
    };
    return table;
}

const Class* find_class(std::string_view name) {
    const auto row = std::find_if(classes().begin(), classes().end(),
                                  [&](const Class& c) { return c.name == name; });
    return row == classes().end() ? nullptr : &*row;
}

/// Reads one quantiser; errors name it and where it is.
class Reader {
  public:
    Reader(const Location& where, std::string name) : where_(where), name_(std::move(name)) {}

    [[noreturn]] void refuse(const std::string& message, std::string remedy = {}) const {
        throw Failure(Code::unsupported_attribute, where_,
                      fmt::format("its quantiser {}: {}", name_, message), std::move(remedy));
    }

    void set(Quantiser& quantiser, const Parameter& parameter, const Argument& value) const {
        std::visit([&](auto member) { set(quantiser, parameter.name, member, value); },
                   parameter.member);
    }

    void check(const Quantiser& q) const;

  private:
    [[noreturn]] void refuse_value(std::string_view parameter, std::string_view wanted) const {
        refuse(fmt::format("{} is not {}", parameter, wanted));
    }

    double number(std::string_view parameter, const Argument& value) const {
        const auto* number = std::get_if<double>(&value);
        if (number == nullptr || !std::isfinite(*number)) {
            refuse_value(parameter, "a number");
        }
        return *number;
    }

    void set(Quantiser& q, std::string_view parameter, double Quantiser::* member,
             const Argument& value) const {
        q.*member = number(parameter, value);
    }
    void set(Quantiser& q, std::string_view parameter, bool Quantiser::* member,
             const Argument& value) const {
        if (const auto* flag = std::get_if<bool>(&value)) {
            q.*member = *flag;
            return;
        }
        const double n = number(parameter, value);
        if (n != 0 && n != 1) {
            refuse_value(parameter, "True or False");
        }
        q.*member = n == 1;
    }
    void set(Quantiser& q, std::string_view parameter, std::optional<double> Quantiser::* member,
             const Argument& value) const {
        q.*member = std::holds_alternative<std::monostate>(value)
                        ? std::nullopt
                        : std::optional(number(parameter, value));
    }
    void set(Quantiser& q, std::string_view parameter, std::string Quantiser::* member,
             const Argument& value) const {
        const auto* text = std::get_if<std::string>(&value);
        if (text == nullptr) {
            refuse_value(parameter, "a text");
        }
        q.*member = *text;
    }
    void set(Quantiser& q, std::string_view parameter, Alpha Quantiser::* member,
             const Argument& value) const {
        Alpha& a = q.*member;
        if (std::holds_alternative<std::monostate>(value)) {
            a.kind = Alpha::Kind::none;
        } else if (const auto* text = std::get_if<std::string>(&value)) {
            if (*text != "auto" && *text != "auto_po2") {
                refuse_value(parameter, "None, a number, 'auto' or 'auto_po2'");
            }
            a.kind = *text == "auto" ? Alpha::Kind::automatic : Alpha::Kind::automatic_po2;
        } else {
            a = {Alpha::Kind::number, number(parameter, value)};
        }
    }
    void set(Quantiser&, std::string_view, Unused, const Argument&) const {}

    void check_integer(std::string_view parameter, double value, double low, double high) const {
        if (value != std::floor(value) || value < low || value > high) {
            refuse(fmt::format("{} is {}, and not an integer from {} to {}", parameter, value, low,
                               high));
        }
    }
    void check_slope(double slope) const;

    const Location& where_;
    std::string name_;
};

void Reader::check_slope(double value) const {
    int exponent = 0;
    if (value < 0 || (value > 0 && std::frexp(value, &exponent) != 0.5)) {
        refuse(fmt::format("negative_slope is {}, and neither 0 nor a power of two", value));
    }
}

/// What QKeras asserts or cannot compute, and sizes.
void Reader::check(const Quantiser& q) const {
    switch (q.kind) {
        case Kind::hswish:
            if (!(q.relu_shift > 0) || !(q.hswish_bound > 0)) {
                refuse("relu_shift and relu_upper_bound must be positive");
            }
            [[fallthrough]];
        case Kind::bits:
            check_integer("bits", q.bits, 0, 62);
            // QKeras computes 2^integer of integers, which a negative one ends with an error.
            check_integer("integer", q.integer, 0, 30);
            if (q.scale_axis) {
                check_integer("scale_axis", *q.scale_axis, -1, 32);
            }
            break;
        case Kind::relu:
            check_slope(q.negative_slope);
            check_integer("bits", q.bits, q.negative_slope != 0 ? 1 : 0, 30);
            check_integer("integer", q.integer, 0, 30);
            break;
        case Kind::ulaw:
            check_integer("bits", q.bits, 1, 16);
            check_integer("integer", q.integer, -30, 30);
            if (!(q.u > 0)) {
                refuse("u must be positive");
            }
            break;
        case Kind::tanh:
            check_integer("bits", q.bits, 1, 30);
            break;
        case Kind::sigmoid:
            check_integer("bits", q.bits, 0, 30);
            break;
        case Kind::relu_po2:
        case Kind::po2: {
            check_slope(q.negative_slope);
            if (q.max_value && !(*q.max_value > 0)) {
                refuse("max_value is not positive");  // 0 makes all numbers NaN
            }
            const int sign_bits = (q.kind == Kind::po2 ? 1 : 0) + (q.max_value.value_or(2) > 1);
            check_integer("bits", q.bits, sign_bits, 30);
            if (q.log2_rounding != "rnd" && q.log2_rounding != "floor") {
                refuse_value("log2_rounding", "'rnd' or 'floor'");
            }
            break;
        }
        case Kind::ternary:
            check_integer("number_of_unrolls", q.number_of_unrolls, 0, 1000);
            if (q.name == "stochastic_ternary" && q.threshold == 1.0) {
                refuse("QKeras does not take a threshold of 1");
            }
            break;
        case Kind::bernoulli:
            refuse("it draws random numbers whenever it is used, so the model has no one result",
                   "Use binary or stochastic_binary, which is deterministic at inference.");
        case Kind::binary:
        case Kind::function:
            break;
    }
    if (!(q.qnoise_factor >= 0 && q.qnoise_factor <= 1)) {
        refuse("qnoise_factor is not between 0 and 1");
    }
}

/// The arguments of "name(1, 2, alpha='auto')", positional ones without a name.
struct Text {
    std::string name;
    std::vector<std::pair<std::string, Argument>> arguments;
};

std::string_view trimmed(std::string_view text) {
    const auto from = text.find_first_not_of(" \t\n\r");
    if (from == std::string_view::npos) {
        return {};
    }
    return text.substr(from, text.find_last_not_of(" \t\n\r") - from + 1);
}

/// QKeras reads such texts without Python's grammar: None, brackets and anything else than numbers,
/// True, False and quoted texts come out as something that nobody meant, so they are refused.
Argument read_argument(std::string_view text, const Reader& reader) {
    if (text == "True" || text == "False") {
        return text == "True";
    }
    const bool quoted = text.size() >= 2 && (text.front() == '\'' || text.front() == '"') &&
                        text.back() == text.front();
    if (quoted) {
        return std::string(text.substr(1, text.size() - 2));
    }
    const std::string_view digits = text.starts_with('+') ? text.substr(1) : text;
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size() ||
        !std::isfinite(value)) {
        reader.refuse(
            fmt::format("QKeras cannot read the argument '{}'", std::string(text.substr(0, 40))),
            "Write numbers, True, False or quoted texts, and leave out what is None.");
    }
    return value;
}

Text split_text(const std::string& text, const Location& where) {
    Text out;
    const auto open = text.find('(');
    out.name = text.substr(0, open);
    if (open == std::string::npos) {
        return out;
    }
    const Reader reader(where, text.size() > 200 ? text.substr(0, 200) : text);
    const std::string_view rest = trimmed(std::string_view(text).substr(open + 1));
    if (rest.empty() || rest.find_first_of("()") != rest.size() - 1 || rest.back() != ')') {
        reader.refuse("its text has no single pair of brackets around arguments");
    }
    std::string_view inside = trimmed(rest.substr(0, rest.size() - 1));
    while (!inside.empty()) {
        const auto comma = inside.find(',');
        const std::string_view part = trimmed(inside.substr(0, comma));
        inside = comma == std::string_view::npos ? std::string_view() : inside.substr(comma + 1);
        if (part.empty() || (comma != std::string_view::npos && trimmed(inside).empty())) {
            reader.refuse("its text has a comma without an argument");
        }
        const auto equals = part.find('=');
        const std::string key(equals == std::string_view::npos ? ""
                                                               : trimmed(part.substr(0, equals)));
        const std::string_view value =
            equals == std::string_view::npos ? part : trimmed(part.substr(equals + 1));
        if (key.empty() && !out.arguments.empty() && !out.arguments.back().first.empty()) {
            reader.refuse("an argument without a name follows one with a name");
        }
        out.arguments.emplace_back(key, read_argument(value, reader));
    }
    return out;
}

Argument argument_of(const Json& value, std::string_view parameter, const Reader& reader) {
    if (value.is_null()) {
        return std::monostate();
    }
    if (value.is_boolean()) {
        return value.get<bool>();
    }
    if (value.is_number()) {
        return value.get<double>();
    }
    if (value.is_string()) {
        return value.get<std::string>();
    }
    reader.refuse(fmt::format("{} is neither a number nor a text", parameter));
}

/// Sets named arguments (positional ones have no name) on a fresh quantiser.
Quantiser construct(const Class& row,
                    const std::vector<std::pair<std::string, Argument>>& arguments,
                    const Reader& reader) {
    Quantiser q;
    q.kind = row.kind;
    q.name = row.name;
    std::vector<std::string_view> given;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const auto& [name, value] = arguments[i];
        auto parameter = row.parameters.end();
        if (!name.empty()) {
            parameter = std::find_if(row.parameters.begin(), row.parameters.end(),
                                     [&](const Parameter& p) { return p.name == name; });
        } else if (i < row.parameters.size()) {
            parameter = row.parameters.begin() + static_cast<std::ptrdiff_t>(i);
        }
        if (parameter == row.parameters.end()) {
            reader.refuse(name.empty()
                              ? fmt::format("it has only {} parameters", row.parameters.size())
                              : fmt::format("it has no parameter '{}'", name));
        }
        if (std::find(given.begin(), given.end(), parameter->name) != given.end()) {
            reader.refuse(fmt::format("{} is given twice", parameter->name));
        }
        given.push_back(parameter->name);
        reader.set(q, *parameter, value);
    }
    if (q.alpha.is_automatic() && (q.kind == Kind::bits || q.kind == Kind::hswish)) {
        q.symmetric = true;
    }
    reader.check(q);
    return q;
}

/// A function is written by name, or as an object whose config is the name.
std::optional<std::string> name_of(const Json& serialised) {
    if (serialised.is_string()) {
        const auto text = serialised.get<std::string>();
        return text.substr(0, text.find('('));
    }
    const auto name = serialised.is_object() ? serialised.find("class_name") : serialised.end();
    if (name == serialised.end() || !name->is_string()) {
        return std::nullopt;
    }
    if (*name == "function") {
        const auto config = serialised.find("config");
        return config != serialised.end() && config->is_string()
                   ? std::optional(config->get<std::string>())
                   : std::nullopt;
    }
    auto text = name->get<std::string>();
    // With the name of the package in front where a program registered it.
    const auto mark = text.rfind('>');
    return mark == std::string::npos ? text : text.substr(mark + 1);
}

}  // namespace

bool names_quantiser(const Json& serialised) {
    const auto name = name_of(serialised);
    return name && find_class(*name) != nullptr;
}

Quantiser read_quantiser(const Json& serialised, const Location& where) {
    const auto name = name_of(serialised);
    if (!name) {
        Reader(where, "").refuse("it is neither an object nor a text");
    }
    const Reader reader(where, name->substr(0, 100));
    const Class* row = find_class(*name);
    if (row == nullptr) {
        std::vector<std::string> known;
        for (const Class& c : classes()) {
            known.emplace_back(c.name);
        }
        const std::string near = nearest(*name, known);
        reader.refuse("there is no such quantiser in QKeras",
                      near.empty() ? "" : fmt::format("Did you mean {}?", near));
    }
    if (serialised.is_string()) {
        const auto text = serialised.get<std::string>();
        if (row->kind == Kind::function && text != *name) {
            reader.refuse("it is a function, and takes no arguments here");
        }
        return construct(*row, split_text(text, where).arguments, reader);
    }
    std::vector<std::pair<std::string, Argument>> arguments;
    for (const auto& [key, value] : serialised.items()) {
        // Where the class came from, and how Keras wrote the object.
        const bool known = key == "class_name" || key == "config" || key == "module" ||
                           key == "registered_name" || key == "__passive_serialization__" ||
                           key == "name";
        if (!known) {
            reader.refuse(fmt::format("its object has an unknown entry '{}'", key));
        }
    }
    const auto config = serialised.find("config");
    if (row->kind != Kind::function && config != serialised.end()) {
        if (!config->is_object()) {
            reader.refuse("its config is no object");
        }
        for (const auto& [key, value] : config->items()) {
            arguments.emplace_back(key, argument_of(value, key, reader));
        }
    }
    return construct(*row, arguments, reader);
}

void compute_alpha(Quantiser& q) {
    const bool has_alpha = q.kind == Kind::bits || q.kind == Kind::hswish ||
                           q.kind == Kind::binary || q.kind == Kind::ternary;
    if (has_alpha && q.alpha.kind == Alpha::Kind::none) {
        q.alpha.kind = Alpha::Kind::automatic_po2;
        q.symmetric = q.symmetric || q.kind == Kind::bits || q.kind == Kind::hswish;
    }
}

}  // namespace gatewright::keras
