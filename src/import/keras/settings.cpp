#include "import/keras/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "import/layers/refusal.h"

namespace gatewright::keras {

namespace {

const Json null_value;

const HarmlessKey harmless[] = {
    {"name", "names the layer"},
    {"trainable", "concerns training only"},
    {"dtype", "judged for all layers alike (precision.cpp)"},
    {"dtype_policy", "judged for all layers alike (precision.cpp)"},
    {"autocast", "casts between float types, none of which changes a value here"},
    {"batch_input_shape", "repeats the input's shape"},
    {"batch_shape", "repeats the input's shape"},
    {"input_shape", "repeats the input's shape"},
    {"input_dtype", "repeats the input's type"},
    {"*_initializer", "gives weights before training; the file holds those after it"},
    {"*_regularizer", "adds to the loss of training only"},
    {"*_constraint", "acts on weights after a step of training only"},
};

bool matches(const HarmlessKey& row, const std::string& key) {
    return row.key.starts_with('*') ? key.ends_with(row.key.substr(1)) : key == row.key;
}

}  // namespace

std::span<const HarmlessKey> harmless_keys() {
    return harmless;
}

std::optional<double> number_of(const Json& value) {
    if (value.is_number()) {
        return value.get<double>();
    }
    return std::nullopt;
}

Settings::Settings(const Json& config, Location where, std::string prefix)
    : config_(config), where_(std::move(where)), prefix_(std::move(prefix)) {}

bool Settings::has(const std::string& key) const {
    const auto at = config_.is_object() ? config_.find(key) : config_.end();
    return at != config_.end() && !at->is_null();
}

const Json& Settings::value(const std::string& key) {
    used_.insert(key);
    return has(key) ? *config_.find(key) : null_value;
}

bool Settings::given(const std::string& key) {
    used_.insert(key);
    const auto at = config_.is_object() ? config_.find(key) : config_.end();
    if (at == config_.end()) {
        return false;
    }
    if (at->is_null()) {
        refuse(key, "it is null, and has a meaning only if it is a value or left out");
    }
    return true;
}

const Json& Settings::required(const std::string& key) {
    const Json& found = value(key);
    if (found.is_null()) {
        Location where = where_;
        where.attribute = prefix_ + key;
        throw Failure(Code::model_config_malformed, where, "it is missing",
                      "Save the model again with the framework that made it.");
    }
    return found;
}

void Settings::wrong_kind(const std::string& key, std::string_view expected) const {
    refuse(key, fmt::format("it is {}, and should be {}", shown(key), expected));
}

void Settings::refuse(const std::string& key, std::string message, std::string remedy) const {
    Location where = where_;
    where.attribute = prefix_ + key;
    throw Failure(std::vector<Diagnostic>{layers::completed(
        {Code::unsupported_attribute, where, std::move(message), std::move(remedy)}, shown(key),
        {})});
}

std::string Settings::shown(const std::string& key) const {
    const auto at = config_.is_object() ? config_.find(key) : config_.end();
    if (at == config_.end()) {
        return {};
    }
    if (at->is_number_float() && !std::isfinite(at->get<double>())) {
        return fmt::format("{}", at->get<double>());  // JSON has no word for it
    }
    return layers::shortened(at->dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::vector<layers::Setting> Settings::used_numbers() const {
    std::vector<layers::Setting> out;
    for (const std::string& key : used_) {
        if (has(key) && !config_[key].is_object() && !config_[key].is_boolean()) {
            out.push_back({prefix_ + key, shown(key)});
        }
    }
    return out;
}

std::int64_t Settings::integer(const std::string& key) {
    const Json& found = required(key);
    if (found.is_number_integer() &&
        (!found.is_number_unsigned() || found.get<std::uint64_t>() <= std::uint64_t{INT64_MAX})) {
        return found.get<std::int64_t>();
    }
    const auto real = number_of(found);
    if (real && std::abs(*real) < 9e15 && *real == std::floor(*real)) {
        return static_cast<std::int64_t>(*real);
    }
    wrong_kind(key, "an integer");
}

std::int64_t Settings::integer(const std::string& key, std::int64_t otherwise) {
    return given(key) ? integer(key) : otherwise;
}

double Settings::real(const std::string& key) {
    const auto found = number_of(required(key));
    if (!found) {
        wrong_kind(key, "a number");
    }
    return *found;
}

double Settings::real(const std::string& key, double otherwise) {
    return given(key) ? real(key) : otherwise;
}

std::string Settings::text(const std::string& key) {
    const Json& found = required(key);
    if (!found.is_string()) {
        wrong_kind(key, "a text");
    }
    return found.get<std::string>();
}

std::string Settings::text(const std::string& key, const std::string& otherwise) {
    return given(key) ? text(key) : otherwise;
}

bool Settings::flag(const std::string& key) {
    const Json& found = required(key);
    if (found.is_number_integer() && (found == 0 || found == 1)) {
        return found == 1;
    }
    if (!found.is_boolean()) {
        wrong_kind(key, "true or false");
    }
    return found.get<bool>();
}

bool Settings::flag(const std::string& key, bool otherwise) {
    return given(key) ? flag(key) : otherwise;
}

Shape Settings::integers(const std::string& key) {
    const Json& found = required(key);
    if (!found.is_array()) {
        return {integer(key)};
    }
    Shape out;
    for (const Json& part : found) {
        if (!part.is_number_integer()) {
            wrong_kind(key, "integers");
        }
        out.push_back(part.get<std::int64_t>());
    }
    return out;
}

std::optional<Shape> Settings::optional_integers(const std::string& key) {
    used_.insert(key);
    return has(key) ? std::optional(integers(key)) : std::nullopt;
}

Shape Settings::sizes(const std::string& key, std::size_t count) {
    Shape out = integers(key);
    if (out.size() == 1 && count != 1) {
        out.assign(count, out.front());
    }
    if (out.size() != count) {
        wrong_kind(key, fmt::format("{} integers, one for each axis", count));
    }
    return out;
}

Shape Settings::sizes(const std::string& key, std::size_t count, std::int64_t otherwise) {
    return given(key) ? sizes(key, count) : Shape(count, otherwise);
}

std::vector<double> Settings::reals(const std::string& key) {
    const Json& found = required(key);
    if (!found.is_array()) {
        return {real(key)};
    }
    std::vector<double> out;
    for (const Json& part : found) {
        const auto number = number_of(part);
        if (!number) {
            wrong_kind(key, "numbers");
        }
        out.push_back(*number);
    }
    return out;
}

const Json& Settings::json(const std::string& key) {
    return value(key);
}

std::string Settings::choice(const std::string& key, const std::string& otherwise,
                             std::initializer_list<std::string_view> choices) {
    std::string found = text(key, otherwise);
    if (std::find(choices.begin(), choices.end(), found) == choices.end()) {
        refuse(key, fmt::format("it is '{}', and only {} is supported here", found,
                                fmt::join(choices, ", ")));
    }
    return found;
}

void Settings::ignore(const std::string& key) {
    used_.insert(key);
}

void Settings::ignore(std::initializer_list<const char*> keys) {
    for (const char* key : keys) {
        used_.insert(key);
    }
}

void Settings::ignore_all() {
    if (config_.is_object()) {
        for (const auto& [key, found] : config_.items()) {
            used_.insert(key);
        }
    }
}

void Settings::expect_unset(const std::string& key, const std::string& why) {
    const Json& found = value(key);
    const bool unset = found.is_null() || found == false || found == 0 || found == "" ||
                       ((found.is_array() || found.is_object()) && found.empty());
    if (!unset) {
        refuse(key, why);
    }
}

std::vector<std::string> Settings::unused() const {
    std::vector<std::string> out;
    if (!config_.is_object()) {
        return out;
    }
    for (const auto& [key, found] : config_.items()) {
        const bool known =
            used_.contains(key) || std::any_of(std::begin(harmless), std::end(harmless),
                                               [&](const auto& row) { return matches(row, key); });
        if (!known) {
            out.push_back(key);
        }
    }
    return out;
}

void Settings::report_unused(Diagnostics& diagnostics) const {
    for (const std::string& key : unused()) {
        Location where = where_;
        where.attribute = prefix_ + key;
        diagnostics.add(Code::unsupported_attribute, where,
                        "this argument is not known for this layer",
                        "Save the model without it, or with a supported version of Keras.");
    }
}

}  // namespace gatewright::keras
