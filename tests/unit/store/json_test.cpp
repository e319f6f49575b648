#include "import/store/json.h"

#include <doctest/doctest.h>

#include <cmath>

#include "refusal.h"

using namespace gatewright;
using namespace gatewright::test;
using store::parse_json;

namespace {

std::string error_of(std::string_view text) {
    return refusal([&] { parse_json(text, "config.json"); });
}

}  // namespace

TEST_CASE("JSON: what Python writes is read, names stay in their order") {
    const auto json = parse_json(
        R"({"z": [NaN, -Infinity, null, Infinity, -1], "a": "NaN \" null \\", "é": true})", "f");
    CHECK(std::isnan(json["z"][0].get<double>()));
    CHECK(json["z"][1].get<double>() == -INFINITY);
    CHECK(json["z"][2].is_null());
    CHECK(json["z"][3].get<double>() == INFINITY);
    CHECK(json["z"][4].get<int>() == -1);
    CHECK(json["a"].get<std::string>() == "NaN \" null \\");
    CHECK(json.begin().key() == "z");
    CHECK(json.size() == 3);
    CHECK(parse_json("18446744073709551615", "f").get<std::uint64_t>() == UINT64_MAX);
}

TEST_CASE("JSON: what is no sound JSON is refused with the file's name") {
    CHECK(contains(error_of(""), "error GW0117: config.json: its JSON is empty"));
    for (const char* text : {"{", "[1,]", "nullnull", "-NaN", "1NaN", "NaNInfinity", "[Infinit]",
                             "\"\xff\"", "\"\\ud800\"", "\"", "[\"\\", "{\"a\" 1}", "01"}) {
        CAPTURE(text);
        CHECK(contains(error_of(text), "it is no sound JSON"));
    }
    CHECK(contains(error_of(R"({"a": 1, "b": {"a": 2}, "a": 3})"), "'a' occurs twice"));
    CHECK(contains(error_of("1e400"), "overflow"));
    CHECK(contains(error_of("18446744073709551616"), "more than 64 bits"));
    CHECK(contains(error_of("-9223372036854775809"), "more than 64 bits"));
    // Nothing of the file reaches the terminal as it is.
    CHECK(error_of("[\x1b[31m]").find('\x1b') == std::string::npos);
}

TEST_CASE("JSON: depth is limited") {
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    CHECK(error_of(nested(200)).empty());
    CHECK(contains(error_of(nested(201)), "deeper than 200"));
    CHECK(contains(error_of(std::string(1000000, '[')), "deeper than 200"));
    std::string objects;
    for (int i = 0; i < 300; ++i) {
        objects += "{\"a\":";
    }
    CHECK(contains(error_of(objects), "deeper than 200"));
}

TEST_CASE("JSON: every cut and every damaged byte gives a value or a Failure") {
    const std::string whole = R"({"a": [1.5, NaN, -Infinity, {"b": "tö\n"}], "c": null})";
    for (std::size_t i = 0; i < whole.size(); ++i) {
        CHECK(!error_of(whole.substr(0, i)).empty());
        for (int flip = 1; flip < 256; ++flip) {
            std::string damaged = whole;
            damaged[i] = static_cast<char>(damaged[i] ^ flip);
            error_of(damaged);
        }
    }
}
