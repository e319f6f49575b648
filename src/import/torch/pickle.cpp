#include "import/torch/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "base/diagnostics.h"
#include "base/plain_text.h"
#include "import/torch/pickle_bytes.h"
#include "import/torch/pickle_names.h"

namespace gatewright::torch {

namespace {

using Kind = PickleValue::Kind;

/// Characters from space to tilde.
bool is_printable(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

class Reader : private PickleBytes {
  public:
    Reader(std::span<const std::byte> bytes, const std::string& file,
           const layers::ImportOptions& options)
        : PickleBytes(bytes, file), options_(options) {}

    Pickle run() {
        while (!step()) {
        }
        out_.size = at();
        return std::move(out_);
    }

  private:
    static constexpr PickleRef mark = UINT32_MAX;

    PickleRef add(PickleValue value) {
        if (out_.values.size() >= mark - 1) {
            malformed("has too many values");
        }
        out_.values.push_back(std::move(value));
        return static_cast<PickleRef>(out_.values.size() - 1);
    }
    void push(PickleValue value) { stack_.push_back(add(std::move(value))); }
    void push_kind(Kind kind) {
        PickleValue value;
        value.kind = kind;
        push(std::move(value));
    }
    void push_integer(std::int64_t integer, Kind kind = Kind::integer) {
        PickleValue value;
        value.kind = kind;
        value.integer = integer;
        push(std::move(value));
    }
    void push_text(std::string text_of, Kind kind = Kind::text) {
        // Names stand in messages; what is no plain text names nothing here.
        if (!is_printable(text_of)) {
            kind = kind == Kind::text ? Kind::bytes : kind;
            text_of = printable(text_of);
        }
        PickleValue value;
        value.kind = kind;
        value.text = std::move(text_of);
        push(std::move(value));
    }
    void push_items(Kind kind, std::vector<PickleRef> items, std::string text_of = {}) {
        PickleValue value;
        value.kind = kind;
        value.items = std::move(items);
        value.text = std::move(text_of);
        push(std::move(value));
    }

    PickleRef pop() {
        if (stack_.empty() || stack_.back() == mark) {
            malformed("takes a value that is not there");
        }
        const PickleRef ref = stack_.back();
        stack_.pop_back();
        return ref;
    }
    PickleValue& top() {
        if (stack_.empty() || stack_.back() == mark) {
            malformed("takes a value that is not there");
        }
        return out_.values[stack_.back()];
    }
    std::vector<PickleRef> pop_to_mark() {
        std::size_t from = stack_.size();
        while (from > 0 && stack_[from - 1] != mark) {
            --from;
        }
        if (from == 0) {
            malformed("closes what was not opened");
        }
        std::vector<PickleRef> items(stack_.begin() + static_cast<std::ptrdiff_t>(from),
                                     stack_.end());
        stack_.resize(from - 1);
        return items;
    }

    void long_integer(std::span<const std::byte> bytes) {
        // Little endian, two's complement. Longer ones are kept as reals, which nothing here uses.
        if (bytes.size() <= 8) {
            std::uint64_t value = 0;
            for (std::size_t i = 0; i < bytes.size(); ++i) {
                value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
            }
            if (!bytes.empty() && bytes.size() < 8 &&
                (std::to_integer<unsigned>(bytes.back()) & 0x80U) != 0) {
                value |= ~std::uint64_t{0} << (8 * bytes.size());
            }
            push_integer(std::bit_cast<std::int64_t>(value));
            return;
        }
        double value = 0;
        for (std::size_t i = bytes.size(); i-- > 0;) {
            value = value * 256 + std::to_integer<unsigned>(bytes[i]);
        }
        push_real(value);
    }
    void push_real(double real) {
        PickleValue value;
        value.kind = Kind::real;
        value.real = real;
        push(std::move(value));
    }

    void decimal_integer(std::string digits) {
        if (digits == "00" || digits == "01") {
            push_integer(digits == "01" ? 1 : 0, Kind::boolean);
            return;
        }
        if (digits.ends_with('L')) {
            digits.pop_back();
        }
        std::int64_t value = 0;
        const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (result.ec == std::errc::result_out_of_range) {
            push_real(HUGE_VAL);
            return;
        }
        if (result.ec != std::errc{} || result.ptr != digits.data() + digits.size()) {
            malformed(fmt::format("holds '{}' for an integer", digits));
        }
        push_integer(value);
    }

    void decimal_real(const std::string& digits) {
        double value = 0;
        const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (result.ec != std::errc{} || result.ptr != digits.data() + digits.size()) {
            malformed(fmt::format("holds '{}' for a number", digits));
        }
        push_real(value);
    }

    void global(const std::string& module, const std::string& name) {
        std::string full = module + "." + name;
        if (!is_printable(full)) {
            malformed("names with what is no name");
        }
        if (!is_known_name(full) && options_.rule(full, name, false) == nullptr) {
            const bool is_class = module.starts_with("__main__") ||
                                  module.find('.') != std::string::npos || module == "models" ||
                                  module == "model";
            throw Failure(Code::code_refused, {file(), "", "", ""},
                          fmt::format("the file asks for {} '{}', which is code outside PyTorch's "
                                      "own layers; nothing of a file is run",
                                      is_class ? "the class or function" : "the function", full),
                          fmt::format("Export the model with torch.export.save (.pt2){}",
                                      is_class ? ". " + layers::how_to_register(name) : "."));
        }
        if (full.starts_with("__builtin__.")) {
            full = "builtins." + full.substr(12);
        }
        push_text(std::move(full), Kind::global);
    }

    /// callable(arguments): what it would make, as far as it is plain data.
    void call(PickleRef callable, std::vector<PickleRef> arguments, Kind kind) {
        const PickleValue& function = out_.values[callable];
        if (function.kind != Kind::global) {
            malformed("calls what is no name");
        }
        const std::string name = function.text;
        const bool none = arguments.empty();
        const bool copies =
            arguments.size() == 1 && (out_.values[arguments[0]].kind == Kind::list ||
                                      out_.values[arguments[0]].kind == Kind::tuple);
        if (name == "collections.OrderedDict" || name == "builtins.dict" ||
            name == "collections.defaultdict" || name == "collections.Counter") {
            std::vector<PickleRef> items;
            if (copies) {
                for (const PickleRef pair : out_.values[arguments[0]].items) {
                    if (out_.values[pair].items.size() != 2) {
                        malformed("makes a dict of what are no pairs");
                    }
                    items.push_back(out_.values[pair].items[0]);
                    items.push_back(out_.values[pair].items[1]);
                }
            } else if (!none && name != "collections.defaultdict") {
                malformed("makes a dict of what are no pairs");
            }
            push_items(Kind::dict, std::move(items));
        } else if ((name == "builtins.set" || name == "builtins.frozenset" ||
                    name == "builtins.list" || name == "builtins.tuple" || name == "torch.Size") &&
                   (none || copies)) {
            const bool fixed = name == "builtins.tuple" || name == "torch.Size";
            // An own copy, of the size that the source has: bounded by the file's own lists.
            std::vector<PickleRef> items;
            if (copies) {
                copied_ += out_.values[arguments[0]].items.size();
                if (copied_ > size()) {
                    malformed("copies its lists without measure");
                }
                items = out_.values[arguments[0]].items;
            }
            push_items(fixed ? Kind::tuple : Kind::list, std::move(items));
        } else {
            push_items(kind, std::move(arguments), name);
        }
    }

    std::vector<PickleRef> tuple_items(PickleRef ref) {
        if (out_.values[ref].kind != Kind::tuple) {
            malformed("calls with what is no tuple");
        }
        copied_ += out_.values[ref].items.size();
        if (copied_ > size()) {
            malformed("copies its lists without measure");
        }
        return out_.values[ref].items;
    }

    /// Something outside the pickle. Old files name the class of a module so, with its source text.
    void persistent(PickleRef id) {
        const PickleValue& value = out_.values[id];
        if (value.kind == Kind::tuple && value.items.size() >= 2) {
            const PickleValue& tag = out_.values[value.items[0]];
            if (tag.kind == Kind::text && tag.text == "module" &&
                out_.values[value.items[1]].kind == Kind::global) {
                stack_.push_back(value.items[1]);
                return;
            }
        }
        push_items(Kind::persistent, {id});
    }

    void append(PickleValue& list, std::span<const PickleRef> items) {
        if (list.kind != Kind::list && list.kind != Kind::object && list.kind != Kind::call) {
            malformed("appends to what is no list");
        }
        list.items.insert(list.items.end(), items.begin(), items.end());
    }
    void set_items(PickleValue& dict, std::span<const PickleRef> items) {
        if (items.size() % 2 != 0) {
            malformed("sets a key without a value");
        }
        if (dict.kind != Kind::dict) {
            malformed("sets keys of what is no dict");
        }
        dict.items.insert(dict.items.end(), items.begin(), items.end());
    }

    void remember(std::uint64_t index) {
        if (stack_.empty() || stack_.back() == mark) {
            malformed("remembers a value that is not there");
        }
        memo_[index] = stack_.back();
    }
    void recall(std::uint64_t index) {
        const auto found = memo_.find(index);
        if (found == memo_.end()) {
            malformed("recalls a value that it did not remember");
        }
        stack_.push_back(found->second);
    }
    std::uint64_t index_line() {
        const std::string digits = line();
        std::uint64_t value = 0;
        const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        if (result.ec != std::errc{} || result.ptr != digits.data() + digits.size()) {
            malformed("holds no number where one is due");
        }
        return value;
    }

    void tuple_of(std::size_t count) {
        std::vector<PickleRef> items(count);
        for (std::size_t i = count; i-- > 0;) {
            items[i] = pop();
        }
        push_items(Kind::tuple, std::move(items));
    }

    /// One instruction; true at the end.
    bool step();

    const layers::ImportOptions& options_;
    std::size_t copied_ = 0;
    std::vector<PickleRef> stack_;
    std::unordered_map<std::uint64_t, PickleRef> memo_;
    Pickle out_;
};

bool Reader::step() {
    const auto code = static_cast<unsigned char>(take(1)[0]);
    switch (code) {
        case '.':
            out_.root = pop();
            return true;
        case 0x80:  // PROTO
            if (number(1) > 5) {
                malformed("is of a protocol above 5");
            }
            break;
        case 0x95:  // FRAME: a hint for buffers
            if (number(8) > left()) {
                malformed("has a frame beyond its end");
            }
            break;
        case '(':
            stack_.push_back(mark);
            break;
        case '0':
            if (stack_.empty()) {
                malformed("takes a value that is not there");
            }
            stack_.pop_back();
            break;
        case '1':
            pop_to_mark();
            break;
        case '2': {
            const PickleRef ref = pop();
            stack_.push_back(ref);
            stack_.push_back(ref);
            break;
        }
        case 'N':
            push_kind(Kind::none);
            break;
        case 0x88:
        case 0x89:
            push_integer(code == 0x88 ? 1 : 0, Kind::boolean);
            break;
        case 'I':
        case 'L':
            decimal_integer(line());
            break;
        case 'F':
            decimal_real(line());
            break;
        case 'J':
            push_integer(static_cast<std::int32_t>(static_cast<std::uint32_t>(number(4))));
            break;
        case 'K':
            push_integer(static_cast<std::int64_t>(number(1)));
            break;
        case 'M':
            push_integer(static_cast<std::int64_t>(number(2)));
            break;
        case 0x8a:
            long_integer(take(number(1)));
            break;
        case 0x8b:
            long_integer(take(number(4)));
            break;
        case 'G': {
            std::uint64_t bits = 0;
            for (const std::byte b : take(8)) {
                bits = bits << 8 | std::to_integer<std::uint64_t>(b);
            }
            push_real(std::bit_cast<double>(bits));
            break;
        }
        case 'S': {
            const std::string quoted = line();
            if (quoted.size() < 2 || quoted.front() != quoted.back()) {
                malformed("holds a text without quotes");
            }
            push_text(quoted.substr(1, quoted.size() - 2));
            break;
        }
        case 'V':
            push_text(line());
            break;
        case 'T':
        case 'X':
            push_text(text(number(4)));
            break;
        case 'U':
        case 0x8c:
            push_text(text(number(1)));
            break;
        case 0x8d:
            push_text(text(number(8)));
            break;
        case 'B':
            push_text(text(number(4)), Kind::bytes);
            break;
        case 'C':
            push_text(text(number(1)), Kind::bytes);
            break;
        case 0x8e:
        case 0x96:
            push_text(text(number(8)), Kind::bytes);
            break;
        case ']':
        case 0x8f:  // EMPTY_SET
            push_kind(Kind::list);
            break;
        case '}':
            push_kind(Kind::dict);
            break;
        case ')':
            push_kind(Kind::tuple);
            break;
        case 'l':
        case 0x91:  // FROZENSET
            push_items(Kind::list, pop_to_mark());
            break;
        case 't':
            push_items(Kind::tuple, pop_to_mark());
            break;
        case 0x85:
        case 0x86:
        case 0x87:
            tuple_of(code - 0x84U);
            break;
        case 'd': {
            const std::vector<PickleRef> items = pop_to_mark();
            push_kind(Kind::dict);
            set_items(top(), items);
            break;
        }
        case 'a': {
            const PickleRef item = pop();
            append(top(), {&item, 1});
            break;
        }
        case 'e':
        case 0x90: {  // ADDITEMS
            const std::vector<PickleRef> items = pop_to_mark();
            append(top(), items);
            break;
        }
        case 's': {
            const PickleRef value = pop();
            const PickleRef items[2] = {pop(), value};
            set_items(top(), items);
            break;
        }
        case 'u': {
            const std::vector<PickleRef> items = pop_to_mark();
            set_items(top(), items);
            break;
        }
        case 'p':
            remember(index_line());
            break;
        case 'q':
            remember(number(1));
            break;
        case 'r':
            remember(number(4));
            break;
        case 0x94:
            remember(memo_.size());
            break;
        case 'g':
            recall(index_line());
            break;
        case 'h':
            recall(number(1));
            break;
        case 'j':
            recall(number(4));
            break;
        case 'c': {
            const std::string module = line();
            global(module, line());
            break;
        }
        case 0x93: {  // STACK_GLOBAL
            const PickleRef name = pop();
            const PickleRef module = pop();
            if (out_.values[name].kind != Kind::text || out_.values[module].kind != Kind::text) {
                malformed("names with what is no text");
            }
            global(std::string(out_.values[module].text), std::string(out_.values[name].text));
            break;
        }
        case 'R': {
            std::vector<PickleRef> arguments = tuple_items(pop());
            call(pop(), std::move(arguments), Kind::call);
            break;
        }
        case 0x81: {  // NEWOBJ
            std::vector<PickleRef> arguments = tuple_items(pop());
            call(pop(), std::move(arguments), Kind::object);
            break;
        }
        case 0x92: {  // NEWOBJ_EX
            const PickleRef keywords = pop();
            if (out_.values[keywords].kind != Kind::dict || !out_.values[keywords].items.empty()) {
                malformed("makes an object with keywords");
            }
            std::vector<PickleRef> arguments = tuple_items(pop());
            call(pop(), std::move(arguments), Kind::object);
            break;
        }
        case 'o': {
            std::vector<PickleRef> items = pop_to_mark();
            if (items.empty()) {
                malformed("makes an object without a class");
            }
            const PickleRef callable = items.front();
            items.erase(items.begin());
            call(callable, std::move(items), Kind::object);
            break;
        }
        case 'i': {
            const std::string module = line();
            const std::string name = line();
            std::vector<PickleRef> items = pop_to_mark();
            global(module, name);
            call(pop(), std::move(items), Kind::object);
            break;
        }
        case 'b': {
            const PickleRef state = pop();
            PickleValue& object = top();
            if (object.kind == Kind::dict || object.kind == Kind::list) {
                break;  // attributes of an ordered dict (state dicts: `_metadata`), no content
            }
            if (object.kind != Kind::object && object.kind != Kind::call) {
                malformed("sets the state of what is no object");
            }
            object.state = state;
            object.has_state = true;
            break;
        }
        case 'P':
            push_text(line());
            push_items(Kind::persistent, {pop()});
            break;
        case 'Q':
            persistent(pop());
            break;
        default:
            malformed(fmt::format("has an instruction {:#04x} that is not known", code));
    }
    return false;
}

}  // namespace

const PickleValue* Pickle::find(const PickleValue& dict, std::string_view key) const {
    if (dict.kind != Kind::dict) {
        return nullptr;
    }
    // The last one stands: setting a key again replaces its value.
    for (std::size_t i = dict.items.size(); i >= 2; i -= 2) {
        const PickleValue& k = values[dict.items[i - 2]];
        if (k.kind == Kind::text && k.text == key) {
            return &values[dict.items[i - 1]];
        }
    }
    return nullptr;
}

Pickle read_pickle(std::span<const std::byte> bytes, const std::string& file,
                   const layers::ImportOptions& options) {
    return Reader(bytes, file, options).run();
}

}  // namespace gatewright::torch
