#include "import/layers/refusal.h"

#include <fmt/format.h>

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

Diagnostic completed(Diagnostic refusal, std::string_view value) {
    if (refusal.where.attribute.empty()) {
        return refusal;
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
