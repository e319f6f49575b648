#pragma once

#include <cstddef>
#include <string>
#include <string_view>

/// Text from files that nobody has checked.
namespace gatewright {

/// The text as it can stand in a message: printable ASCII, cut to `longest` characters. A name from
/// a hostile file could otherwise rewrite the user's terminal or fill it.
std::string printable(std::string_view text, std::size_t longest = 60);

/// Whether the bytes are well-formed UTF-8: no overlong forms, no surrogates, nothing past
/// U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace gatewright
