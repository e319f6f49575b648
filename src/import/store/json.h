#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gatewright::store {

/// Parses JSON as Python writes it: with NaN, Infinity and -Infinity as numbers too. Refuses depths
/// over 200, numbers out of range, names that occur twice in one object, and bytes that are no
/// UTF-8. `file` is named in errors. Throws Failure (model_config_malformed).
nlohmann::ordered_json parse_json(std::string_view text, const std::string& file);

}  // namespace gatewright::store
