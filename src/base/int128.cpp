#include "base/int128.h"

#include <algorithm>

namespace gatewright {

std::string to_string(Int128 value) {
    UInt128 magnitude = value < 0 ? -static_cast<UInt128>(value) : static_cast<UInt128>(value);
    std::string digits;
    do {
        digits.push_back(static_cast<char>('0' + static_cast<int>(magnitude % 10)));
        magnitude /= 10;
    } while (magnitude != 0);
    if (value < 0) {
        digits.push_back('-');
    }
    std::reverse(digits.begin(), digits.end());
    return digits;
}

bool parse_int128(std::string_view text, Int128& value) {
    const bool negative = !text.empty() && text.front() == '-';
    if (negative) {
        text.remove_prefix(1);
    }
    if (text.empty()) {
        return false;
    }
    const UInt128 limit = (static_cast<UInt128>(1) << 127) - (negative ? 0 : 1);
    UInt128 magnitude = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') {
            return false;
        }
        const UInt128 digit = static_cast<UInt128>(c - '0');
        if (magnitude > (limit - digit) / 10) {
            return false;
        }
        magnitude = magnitude * 10 + digit;
    }
    value = static_cast<Int128>(negative ? -magnitude : magnitude);
    return true;
}

}  // namespace gatewright
