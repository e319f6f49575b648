#include "import/layers/refusal.h"

#include <fmt/format.h>

#include <algorithm>

namespace gatewright::layers {

std::string shortened(std::string_view text, std::size_t most) {
    if (text.size() <= most) {
        return std::string(text);
    }
    std::size_t end = most - 3;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) {
        --end;
    }
    return std::string(text.substr(0, end)) + "...";
}

namespace {

/// A refusal that is of a whole layer: its settings are what can be changed.
Diagnostic with_settings(Diagnostic refusal, const std::vector<Setting>& settings) {
    constexpr std::size_t most = 8;
    std::string shown;
    for (std::size_t i = 0; i < std::min(most, settings.size()); ++i) {
        shown += fmt::format("{}{} = {}", shown.empty() ? "" : ", ", settings[i].name,
                             shortened(settings[i].value, 40));
    }
    const bool of_shapes =
        refusal.code == Code::operator_inputs || refusal.code == Code::unsupported_form;
    if (of_shapes && !shown.empty()) {
        refusal.message +=
            fmt::format(" (with {}{})", shown, settings.size() > most ? ", ..." : "");
    }
    if (refusal.remedy.empty()) {
        refusal.remedy = shown.empty() ? "Give the layer other inputs, or write it in another way."
                                       : "Give the layer other settings or other inputs.";
    }
    return refusal;
}

}  // namespace

Diagnostic completed(Diagnostic refusal, std::string_view value,
                     const std::vector<Setting>& settings) {
    if (refusal.where.attribute.empty()) {
        return with_settings(std::move(refusal), settings);
    }
    const std::string shown = shortened(value);
    std::string_view bare = shown;
    if (bare.size() > 1 && (bare.front() == '"' || bare.front() == '\'')) {
        bare = bare.substr(1, bare.size() - 2);
    }
    const bool told = refusal.message.starts_with(fmt::format("it is {}", shown)) ||
                      refusal.message.starts_with(fmt::format("it is '{}'", bare));
    if (!shown.empty() && !told) {
        refusal.message = fmt::format("it is {}: {}", shown, refusal.message);
    }
    if (refusal.remedy.empty()) {
        refusal.remedy =
            fmt::format("Make the model with another value of {}.", refusal.where.attribute);
    }
    return refusal;
}

}  // namespace gatewright::layers
