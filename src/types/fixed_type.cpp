#include "types/fixed_type.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace gatewright {

namespace {

constexpr auto rounding_names = std::to_array<std::pair<Rounding, std::string_view>>({
    {Rounding::floor, "floor"},
    {Rounding::ceil, "ceil"},
    {Rounding::toward_zero, "toward_zero"},
    {Rounding::away, "away"},
    {Rounding::half_up, "half_up"},
    {Rounding::half_down, "half_down"},
    {Rounding::half_even, "half_even"},
    {Rounding::half_away, "half_away"},
    {Rounding::half_zero, "half_zero"},
});

constexpr auto overflow_names = std::to_array<std::pair<Overflow, std::string_view>>({
    {Overflow::wrap, "wrap"},
    {Overflow::saturate, "saturate"},
    {Overflow::saturate_symmetric, "saturate_symmetric"},
});

template <class Table, class E>
std::string name_of(const Table& table, E value) {
    const auto row = std::find_if(table.begin(), table.end(),
                                  [&](const auto& entry) { return entry.first == value; });
    return std::string(row->second);
}

template <class E, class Table>
std::optional<E> value_of(const Table& table, std::string_view name) {
    const auto row = std::find_if(table.begin(), table.end(),
                                  [&](const auto& entry) { return entry.second == name; });
    return row == table.end() ? std::nullopt : std::optional<E>(row->first);
}

bool take_int(std::string_view& text, int& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc()) {
        return false;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return true;
}

bool take(std::string_view& text, std::string_view prefix) {
    if (!text.starts_with(prefix)) {
        return false;
    }
    text.remove_prefix(prefix.size());
    return true;
}

}  // namespace

Interval hull(const Interval& a, const Interval& b) {
    return {std::min(a.low, b.low), std::max(a.high, b.high)};
}

Interval FixedType::range() const {
    if (width == 0) {
        return {0, 0};
    }
    if (is_signed) {
        const UInt128 half = static_cast<UInt128>(1) << (width - 1);
        return {static_cast<Int128>(-half), static_cast<Int128>(half - 1)};
    }
    if (width >= 128) {
        return {0, static_cast<Int128>(~static_cast<UInt128>(0) >> 1)};
    }
    return {0, static_cast<Int128>((static_cast<UInt128>(1) << width) - 1)};
}

int width_for(const Interval& range) {
    if (range.low >= 0) {
        return bit_length(static_cast<UInt128>(range.high));
    }
    const int low_bits = bit_length(static_cast<UInt128>(-(range.low + 1)));
    const int high_bits = range.high > 0 ? bit_length(static_cast<UInt128>(range.high)) : 0;
    return std::max(low_bits, high_bits) + 1;
}

FixedType type_for(const Interval& range, int frac) {
    return {range.low < 0, width_for(range), frac};
}

std::string to_string(const FixedType& type) {
    return fmt::format("{}fixed<{},{}>", type.is_signed ? "" : "u", type.width, type.frac);
}

std::optional<FixedType> parse_fixed_type(std::string_view text) {
    FixedType type;
    type.is_signed = !take(text, "u");
    if (take(text, "fixed<") && take_int(text, type.width) && take(text, ",")) {
        while (take(text, " ")) {
        }
        const int widest = max_width - (type.is_signed ? 0 : 1);
        if (take_int(text, type.frac) && text == ">" && type.width >= 0 && type.width <= widest) {
            return type;
        }
    }
    return std::nullopt;
}

std::string to_string(Rounding rounding) {
    return name_of(rounding_names, rounding);
}
std::string to_string(Overflow overflow) {
    return name_of(overflow_names, overflow);
}

std::optional<Rounding> parse_rounding(std::string_view text) {
    return value_of<Rounding>(rounding_names, text);
}
std::optional<Overflow> parse_overflow(std::string_view text) {
    return value_of<Overflow>(overflow_names, text);
}

}  // namespace gatewright
