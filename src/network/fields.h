#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/int128.h"
#include "types/fixed_type.h"
#include "types/per_element.h"
#include "types/rational.h"
#include "types/tensor.h"

/// Typed fields of operators. An operator's fields are a plain struct that lists them once:
///
///     struct LeakyFields {
///         double alpha = 0.01;
///         bool operator==(const LeakyFields&) const = default;
///         static constexpr auto fields() {
///             return std::tuple{Field{"alpha", &LeakyFields::alpha, "slope below zero"}};
///         }
///     };
///
/// From that list come printing, parsing, equality and the documentation.
namespace gatewright::network {

template <class Struct, class Member>
struct Field {
    std::string_view name;
    Member Struct::* member;
    std::string_view help;
};
template <class Struct, class Member>
Field(const char*, Member Struct::*, const char*) -> Field<Struct, Member>;

/// Text of one field's value, and its inverse (false if the text is not one).
std::string print_field(bool value);
std::string print_field(std::int64_t value);
std::string print_field(Int128 value);
std::string print_field(double value);  ///< shortest decimal that reads back the same
std::string print_field(const std::string& value);
std::string print_field(Rounding value);
std::string print_field(Overflow value);
std::string print_field(const FixedType& value);
std::string print_field(const Rational& value);
std::string print_field(const Shape& value);
std::string print_field(const Tensor& value);
std::string print_field(const IntTensor& value);
std::string print_field(const Interval& value);
std::string print_field(const std::vector<Int128>& value);

bool parse_field(std::string_view text, bool& value);
bool parse_field(std::string_view text, std::int64_t& value);
bool parse_field(std::string_view text, Int128& value);
bool parse_field(std::string_view text, double& value);
bool parse_field(std::string_view text, std::string& value);
bool parse_field(std::string_view text, Rounding& value);
bool parse_field(std::string_view text, Overflow& value);
bool parse_field(std::string_view text, FixedType& value);
bool parse_field(std::string_view text, Rational& value);
bool parse_field(std::string_view text, Shape& value);
bool parse_field(std::string_view text, Tensor& value);
bool parse_field(std::string_view text, IntTensor& value);
bool parse_field(std::string_view text, Interval& value);
bool parse_field(std::string_view text, std::vector<Int128>& value);

/// Splits "a; b; c" at the top level of brackets and quotes.
std::vector<std::string_view> split_list(std::string_view text, char separator);
std::string_view trim(std::string_view text);

template <class T>
std::string print_field(const PerElement<T>& value) {
    std::string out = "per " + std::to_string(value.inner()) + " (";
    bool first = true;
    for (const T& v : value.values()) {
        out += (first ? "" : "; ") + print_field(v);
        first = false;
    }
    return out + ")";
}

template <class T>
bool parse_field(std::string_view text, PerElement<T>& value) {
    if (!text.starts_with("per ") || !text.ends_with(')')) {
        return false;
    }
    const std::size_t open = text.find('(');
    std::int64_t inner = 0;
    if (open == std::string_view::npos || !parse_field(trim(text.substr(4, open - 4)), inner) ||
        inner < 1) {
        return false;
    }
    std::vector<T> values;
    for (const std::string_view item :
         split_list(text.substr(open + 1, text.size() - open - 2), ';')) {
        if (!parse_field(trim(item), values.emplace_back())) {
            return false;
        }
    }
    if (values.empty()) {
        return false;
    }
    value = PerElement<T>::along(std::move(values), inner);
    return true;
}

/// What the text form, equality and the documentation need to know of one struct of fields.
struct FieldTable {
    struct Row {
        std::string_view name;
        std::string_view help;
        std::string (*print)(const void* fields);
        bool (*parse)(std::string_view text, void* fields);
    };
    std::vector<Row> rows;
    std::shared_ptr<void> (*make)();
    bool (*equal)(const void* a, const void* b);
};

namespace detail {

template <class T, std::size_t I>
std::string print_one(const void* fields) {
    return print_field(static_cast<const T*>(fields)->*(std::get<I>(T::fields()).member));
}
template <class T, std::size_t I>
bool parse_one(std::string_view text, void* fields) {
    return parse_field(text, static_cast<T*>(fields)->*(std::get<I>(T::fields()).member));
}
template <class T, std::size_t... I>
std::vector<FieldTable::Row> rows(std::index_sequence<I...>) {
    return {FieldTable::Row{std::get<I>(T::fields()).name, std::get<I>(T::fields()).help,
                            &print_one<T, I>, &parse_one<T, I>}...};
}

}  // namespace detail

template <class T>
const FieldTable& field_table() {
    static const FieldTable table = {
        detail::rows<T>(std::make_index_sequence<std::tuple_size_v<decltype(T::fields())>>()),
        []() -> std::shared_ptr<void> { return std::make_shared<T>(); },
        [](const void* a, const void* b) {
            return *static_cast<const T*>(a) == *static_cast<const T*>(b);
        }};
    return table;
}

/// For operators without fields.
struct NoFields {
    bool operator==(const NoFields&) const = default;
    static constexpr auto fields() { return std::tuple<>{}; }
};

/// A node's fields: an immutable struct behind one pointer.
class Attributes {
  public:
    Attributes() : Attributes(of(NoFields{})) {}

    template <class T>
    static Attributes of(T fields) {
        return Attributes(std::make_shared<const T>(std::move(fields)), &field_table<T>());
    }
    Attributes(std::shared_ptr<const void> fields, const FieldTable* table)
        : fields_(std::move(fields)), table_(table) {}

    /// The struct; T must be what the operator's row in the catalogue names.
    template <class T>
    const T& as() const {
        return *static_cast<const T*>(fields_.get());
    }
    const FieldTable& table() const { return *table_; }
    const void* data() const { return fields_.get(); }

    bool operator==(const Attributes& other) const {
        return table_ == other.table_ && table_->equal(data(), other.data());
    }

  private:
    std::shared_ptr<const void> fields_;
    const FieldTable* table_;
};

}  // namespace gatewright::network
