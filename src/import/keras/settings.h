#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostics.h"
#include "import/keras/model.h"
#include "import/layers/refusal.h"
#include "types/shape.h"

namespace gatewright::keras {

/// The configuration of a layer or of another serialised object, with a record of what was used:
/// reading a key marks it, and what is left at the end is an error. A key that is missing gives
/// `otherwise`; without that, it is an error, as null is unless a function says so.
class Settings {
  public:
    /// `prefix` is put before keys in messages ("activation.").
    Settings(const Json& config, Location where, std::string prefix = {});

    const Json& config() const { return config_; }
    /// Whether the key is there and not null. Does not mark it.
    bool has(const std::string& key) const;

    std::int64_t integer(const std::string& key);
    std::int64_t integer(const std::string& key, std::int64_t otherwise);
    double real(const std::string& key);
    double real(const std::string& key, double otherwise);
    std::string text(const std::string& key);
    std::string text(const std::string& key, const std::string& otherwise);
    bool flag(const std::string& key);
    bool flag(const std::string& key, bool otherwise);
    /// A list of integers, or one integer.
    Shape integers(const std::string& key);
    std::optional<Shape> optional_integers(const std::string& key);
    /// One integer for each of `count` axes; one integer alone serves all.
    Shape sizes(const std::string& key, std::size_t count);
    Shape sizes(const std::string& key, std::size_t count, std::int64_t otherwise);
    std::vector<double> reals(const std::string& key);
    /// The value as it is; null if the key is missing.
    const Json& json(const std::string& key);
    /// One of `choices`.
    std::string choice(const std::string& key, const std::string& otherwise,
                       std::initializer_list<std::string_view> choices);

    /// Marks a key whose value changes nothing here. The reason belongs in a comment.
    void ignore(const std::string& key);
    void ignore(std::initializer_list<const char*> keys);
    /// The same for all keys.
    void ignore_all();
    /// Refuses any value but null, false, 0, "" and empty lists and objects; a missing key is fine.
    void expect_unset(const std::string& key, const std::string& why);

    /// The value for messages, cut to a line; empty if the key is missing.
    std::string shown(const std::string& key) const;
    /// What was used so far of numbers, texts and lists of them, for messages.
    std::vector<layers::Setting> used_numbers() const;
    [[noreturn]] void refuse(const std::string& key, std::string message,
                             std::string remedy = {}) const;
    /// Keys that were not used and are not harmless everywhere (see settings.cpp).
    std::vector<std::string> unused() const;
    /// Adds an error for each of them.
    void report_unused(Diagnostics& diagnostics) const;

  private:
    const Json& value(const std::string& key);
    /// Marks a key, and tells whether it is there; refuses null.
    bool given(const std::string& key);
    const Json& required(const std::string& key);
    [[noreturn]] void wrong_kind(const std::string& key, std::string_view expected) const;

    const Json& config_;
    Location where_;
    std::string prefix_;
    std::set<std::string> used_;
};

/// A key that changes nothing in any layer, and why.
struct HarmlessKey {
    std::string_view key;  ///< "*_initializer": all keys with that ending
    std::string_view why;
};
std::span<const HarmlessKey> harmless_keys();

/// A number of a configuration; NaN and infinities too.
std::optional<double> number_of(const Json& value);

}  // namespace gatewright::keras
