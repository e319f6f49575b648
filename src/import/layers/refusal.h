#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostics.h"

/// What a user reads when an argument of a layer is refused: always its value and what to do.
namespace gatewright::layers {

/// An argument of a layer with its value, as messages show it.
struct Setting {
    std::string name;
    std::string value;
};

/// `text`, cut at `most` bytes and not within a character.
std::string shortened(std::string_view text, std::size_t most = 80);

/// A refusal with what its writer left out: the value of the attribute that it names (as the file
/// has it; empty: it is not there), or, where it names none, all of the layer's `settings`; and a
/// remedy.
Diagnostic completed(Diagnostic refusal, std::string_view value,
                     const std::vector<Setting>& settings);

}  // namespace gatewright::layers
