#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "base/diagnostics.h"
#include "import/torch/modules.h"
#include "import/torch/pickle.h"
#include "import/torch/torch_file.h"

using namespace gatewright;
using torch::Pickle;
using torch::PickleValue;

namespace {

/// A literal with the zeros in it.
template <std::size_t size>
std::string whole_text(const char (&literal)[size]) {
    return {literal, size - 1};
}

std::span<const std::byte> bytes_of(const std::string& text) {
    return std::as_bytes(std::span(text));
}

Pickle read(const std::string& text) {
    return torch::read_pickle(bytes_of(text), "x.pt");
}

Code code_of(const std::string& text) {
    try {
        read(text);
    } catch (const Failure& failure) {
        return failure.diagnostics().front().code;
    }
    return Code::unknown_option;  // nothing was refused
}

}  // namespace

TEST_CASE("a pickle's plain values are read") {
    // {"a": (1, -2, 2.5, None, True), "b": ["x", b"y"]}, protocol 2 with a memo
    const std::string text = whole_text(
        "\x80\x02}q\x00(X\x01\x00\x00\x00"
        "a(K\x01J\xfe\xff\xff\xffG\x40\x04\x00\x00\x00\x00\x00\x00N\x88tq\x01"
        "X\x01\x00\x00\x00"
        "b]q\x02(X\x01\x00\x00\x00xC\x01yeu.");
    const Pickle pickle = read(text);
    CHECK(pickle.size == text.size());
    const PickleValue* a = pickle.find(pickle.at(pickle.root), "a");
    REQUIRE(a != nullptr);
    REQUIRE(a->items.size() == 5);
    CHECK(pickle.at(a->items[0]).integer == 1);
    CHECK(pickle.at(a->items[1]).integer == -2);
    CHECK(pickle.at(a->items[2]).real == 2.5);
    CHECK(pickle.at(a->items[3]).kind == PickleValue::Kind::none);
    CHECK(pickle.at(a->items[4]).kind == PickleValue::Kind::boolean);
    const PickleValue* b = pickle.find(pickle.at(pickle.root), "b");
    REQUIRE(b != nullptr);
    CHECK(pickle.at(b->items.at(1)).kind == PickleValue::Kind::bytes);
}

TEST_CASE("text opcodes of protocol 0 are read") {
    const Pickle pickle = read("(dp0\nS'k'\np1\n(lp2\nI7\naL12L\naF0.5\naI01\nas.");
    const PickleValue* list = pickle.find(pickle.at(pickle.root), "k");
    REQUIRE(list != nullptr);
    REQUIRE(list->items.size() == 4);
    CHECK(pickle.at(list->items[1]).integer == 12);
    CHECK(pickle.at(list->items[2]).real == 0.5);
    CHECK(pickle.at(list->items[3]).kind == PickleValue::Kind::boolean);
}

TEST_CASE("code that a pickle names is refused, by each way of naming it") {
    CHECK(code_of("cos\nsystem\n(S'true'\ntR.") == Code::code_refused);
    CHECK(code_of("(ios\nsystem\n.") == Code::code_refused);
    CHECK(code_of("cbuiltins\neval\n.") == Code::code_refused);
    CHECK(code_of(whole_text("\x80\x04\x8c\x05posix\x8c\x06system\x93.")) == Code::code_refused);
    CHECK(code_of("c__main__\nNet\n)\x81.") == Code::code_refused);
    CHECK(code_of("ctorch.nn\nos.system\n.") == Code::code_refused);
}

TEST_CASE("malformed pickles are refused") {
    CHECK(code_of("") == Code::store_malformed);
    CHECK(code_of(".") == Code::store_malformed);           // nothing to give
    CHECK(code_of("t.") == Code::store_malformed);          // no mark
    CHECK(code_of("(.") == Code::store_malformed);          // a mark is no value
    CHECK(code_of("h\7.") == Code::store_malformed);        // nothing remembered
    CHECK(code_of("K\1R.") == Code::store_malformed);       // calls nothing
    CHECK(code_of("K\1K\2a.") == Code::store_malformed);    // appends to a number
    CHECK(code_of("}(K\1u.") == Code::store_malformed);     // a key without a value
    CHECK(code_of("\x80\x09N.") == Code::store_malformed);  // protocol 9
    CHECK(code_of("X\xff\xff\xff\x7f"
                  "a.") == Code::store_malformed);
    CHECK(code_of(whole_text("\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.")) == Code::store_malformed);
    CHECK(code_of("Izz\n.") == Code::store_malformed);
    CHECK(code_of("\xff.") == Code::store_malformed);
}

TEST_CASE("every cut of a pickle is refused, none crashes") {
    const std::string whole = whole_text(
        "\x80\x02}q\x00(X\x01\x00\x00\x00"
        "a(K\x01J\xfe\xff\xff\xffG\x40\x04\x00\x00\x00\x00\x00\x00N\x88tq\x01"
        "u.");
    read(whole);
    for (std::size_t length = 0; length < whole.size(); ++length) {
        CHECK_THROWS_AS(read(whole.substr(0, length)), Failure);
    }
}

TEST_CASE("nesting and memo indices cost no more than their bytes") {
    const std::size_t depth = 200000;
    std::string deep(depth, ']');
    deep += std::string(depth - 1, 'a') + ".";
    CHECK(read(deep).values.size() == depth);
    CHECK(read(whole_text("Nr\xff\xff\xff\xffj\xff\xff\xff\xff.")).values.size() == 1);
    // Lists that are copied again and again would grow without measure.
    std::string copies = "(" + std::string(1000, 'N') + "lp0\n0";
    for (int i = 0; i < 10000; ++i) {
        copies += "cbuiltins\nset\n(g0\ntR0";
    }
    CHECK(code_of(copies + "N.") == Code::store_malformed);
}

TEST_CASE("a value that holds itself is read, and no module") {
    // A Sequential whose _modules hold the Sequential itself.
    const std::string text =
        "ctorch.nn.modules.container\nSequential\n)\x81p0\n}p1\nS'_modules'\n}p2\nS'0'\ng0\nssb.";
    const Pickle pickle = read(text);
    CHECK(pickle.at(pickle.root).kind == PickleValue::Kind::object);
    // As a whole file of the older form: magic number, version, machine, content, keys.
    const std::string file =
        whole_text("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.") +
        whole_text("\x80\x02M\xe9\x03.") + "}." + text + "].";
    const auto bytes = bytes_of(file);
    const torch::TorchFile saved({bytes.begin(), bytes.end()}, "x.pt");
    CHECK_THROWS_AS(torch::program_of_module(saved), Failure);
}
