#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/diagnostics.h"

/// What a user reads when an argument of a layer is refused: always its value and what to do.
namespace gatewright::layers {

/// `text`, cut at `most` bytes and not within a character.
std::string shortened(std::string_view text, std::size_t most = 80);

/// A refusal that names an attribute, with the attribute's value (as the file has it; empty: it is
/// not there) and a remedy, where its writer gave none. Others are as they were.
Diagnostic completed(Diagnostic refusal, std::string_view value);

}  // namespace gatewright::layers
