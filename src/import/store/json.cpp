#include "import/store/json.h"

#include <fmt/format.h>

#include <cctype>
#include <cstdint>
#include <deque>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "base/diagnostics.h"
#include "base/plain_text.h"

namespace gatewright::store {

namespace {

using nlohmann::ordered_json;

constexpr std::size_t deepest = 200;

[[noreturn]] void malformed(const std::string& file, const std::string& message) {
    throw Failure(Code::model_config_malformed, {file, {}, {}, {}}, message,
                  "Save or export the model again");
}

/// What Python writes for numbers that JSON does not have. The library's lexer refuses them, so
/// each becomes a null before it sees the text, and the list says what the nulls in their order
/// were.
struct Literal {
    std::string_view text;
    double value;
};
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr Literal literals[] = {
    {"null", 0},
    {"NaN", std::numeric_limits<double>::quiet_NaN()},
    {"-Infinity", -infinity},
    {"Infinity", infinity},
};

struct PlainJson {
    std::string text;                  ///< no literal is left but null
    std::deque<const Literal*> nulls;  ///< what the text had in place of each
};

PlainJson plain_json(std::string_view text) {
    PlainJson out;
    out.text.reserve(text.size());
    bool quoted = false;
    for (std::size_t i = 0; i < text.size();) {
        const char c = text[i];
        if (quoted) {
            const std::size_t step = c == '\\' && i + 1 < text.size() ? 2 : 1;
            out.text += text.substr(i, step);
            i += step;
            quoted = c != '"';
            continue;
        }
        const Literal* found = nullptr;
        if (c == 'n' || c == 'N' || c == '-' || c == 'I') {
            for (const Literal& literal : literals) {
                if (text.substr(i).starts_with(literal.text)) {
                    found = &literal;
                    break;
                }
            }
        }
        if (found != nullptr) {
            out.text += "null";
            out.nulls.push_back(found);
            i += found->text.size();
            continue;
        }
        quoted = c == '"';
        out.text += c;
        ++i;
    }
    return out;
}

/// Builds the value from the parser's events.
class Builder final : public nlohmann::json_sax<ordered_json> {
  public:
    Builder(std::string file, std::deque<const Literal*> nulls)
        : file_(std::move(file)), nulls_(std::move(nulls)) {}

    ordered_json result() { return std::move(result_); }

    bool null() override {
        // The lexer takes each of the text's nulls for one token, or stops.
        if (nulls_.empty()) {
            malformed(file_, "it is no sound JSON");
        }
        const Literal* literal = nulls_.front();
        nulls_.pop_front();
        return literal == literals ? add(nullptr) : add(literal->value);
    }
    bool boolean(bool value) override { return add(value); }
    bool number_integer(number_integer_t value) override { return add(value); }
    bool number_unsigned(number_unsigned_t value) override { return add(value); }
    bool number_float(number_float_t value, const string_t& text) override {
        if (text.find_first_of(".eE") == std::string::npos) {
            malformed(file_, fmt::format("the integer {} has more than 64 bits", printable(text)));
        }
        return add(value);
    }
    bool string(string_t& value) override { return add(std::move(value)); }
    bool binary(binary_t&) override { return false; }  // no JSON text has any

    bool start_object(std::size_t) override { return open(ordered_json::object()); }
    bool key(string_t& name) override {
        if (!open_.back().names.insert(name).second) {
            malformed(file_, fmt::format("the name '{}' occurs twice in one object of its JSON",
                                         printable(name)));
        }
        open_.back().key = std::move(name);
        return true;
    }
    bool end_object() override { return close(); }
    bool start_array(std::size_t) override { return open(ordered_json::array()); }
    bool end_array() override { return close(); }

    bool parse_error(std::size_t, const std::string&,
                     const nlohmann::detail::exception& error) override {
        // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
        std::string_view text = error.what();
        if (const std::size_t end = text.find("] "); end != std::string_view::npos) {
            text.remove_prefix(end + 2);
        }
        malformed(file_, fmt::format("it is no sound JSON: {}", printable(text, 200)));
    }

  private:
    struct Container {
        ordered_json value;
        std::string key;              ///< of the member that comes next
        std::set<std::string> names;  ///< of an object's members
    };

    bool open(ordered_json empty) {
        if (open_.size() == deepest) {
            malformed(file_, fmt::format("its JSON is nested deeper than {} levels", deepest));
        }
        open_.push_back({std::move(empty), {}, {}});
        return true;
    }

    bool close() {
        ordered_json value = std::move(open_.back().value);
        open_.pop_back();
        return add(std::move(value));
    }

    bool add(ordered_json value) {
        if (open_.empty()) {
            result_ = std::move(value);
        } else if (Container& parent = open_.back(); parent.value.is_array()) {
            parent.value.push_back(std::move(value));
        } else {
            // The map's own insertion would compare the name with all before it, again.
            using Members = std::vector<std::pair<const std::string, ordered_json>>;
            Members& members = parent.value.get_ref<ordered_json::object_t&>();
            members.emplace_back(std::move(parent.key), std::move(value));
        }
        return true;
    }

    std::string file_;
    std::deque<const Literal*> nulls_;
    std::vector<Container> open_;
    ordered_json result_;
};

}  // namespace

ordered_json parse_json(std::string_view text, const std::string& file) {
    if (text.empty()) {
        malformed(file, "its JSON is empty");
    }
    PlainJson plain = plain_json(text);
    Builder builder(file, std::move(plain.nulls));
    ordered_json::sax_parse(plain.text, &builder);
    return builder.result();
}

}  // namespace gatewright::store
