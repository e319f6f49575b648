#include <doctest/doctest.h>

#include <algorithm>

#include "operators/map.h"
#include "operators/row.h"
#include "project/function_check.h"
#include "project/samples.h"
#include "project/witness.h"

using namespace gatewright;
using namespace gatewright::project;
using network::Attributes;
using network::Value;

namespace {

/// y = op(x) for one element of the type.
template <class Fields>
operators::CoreModel model_of(const FixedType& type, const network::Operator& op, Fields fields,
                              Shape shape = {1}) {
    operators::CoreModel model;
    const Value x = model.network.add_input(
        "x", {shape, PerElement<network::Format>({type, type.range()})}, {"", "x", "", ""});
    model.network.set_output(
        "y", model.network.add(op, Attributes::of(std::move(fields)), {x}, {"", "layer", "", ""}));
    return model;
}

operators::QuantizeFields quantizer(int width, int frac, Rounding rounding, Overflow overflow) {
    operators::QuantizeFields f;
    f.type = FixedType{true, width, frac};
    f.rounding = rounding;
    f.overflow = overflow;
    return f;
}

}  // namespace

TEST_CASE("functions of few integers are read in full") {
    for (const Overflow overflow : {Overflow::wrap, Overflow::saturate}) {
        const FunctionCheck check =
            check_functions(model_of(FixedType{true, 12, 6}, operators::quantize_operator,
                                     quantizer(6, 2, Rounding::half_even, overflow)));
        CHECK(check.functions == 1);
        CHECK(check.in_full == 1);
        CHECK(check.entries == 4096);
        CHECK(check.wrong == 0);
    }
    operators::ThresholdFields f;
    f.thresholds = std::vector<Int128>{-20, 0, 1, 99};
    f.base = 3;
    f.step = std::int64_t{-1};
    const FunctionCheck check =
        check_functions(model_of(FixedType{true, 8, 0}, operators::thresholds_operator, f));
    CHECK(check.entries == 256);
    CHECK(check.wrong == 0);
}

TEST_CASE("functions of many integers are read at their edges, and counted as such") {
    operators::ThresholdFields f;
    f.thresholds = std::vector<Int128>{-(Int128{1} << 37), 0, 1, Int128{1} << 38};
    const FunctionCheck check =
        check_functions(model_of(FixedType{true, 40, 0}, operators::thresholds_operator, f));
    CHECK(check.in_full == 0);
    CHECK(check.at_edges == 1);
    CHECK(check.entries > 60000);
    CHECK(check.wrong == 0);
}

TEST_CASE("a long accumulator that wraps on the way is found, with the sum that does") {
    operators::AccumulateFields f;
    f.weights = {{3, 1}, {1, 1, -2}};
    f.initial = {{1}, {0}};
    f.accumulator = {FixedType{true, 4, 0}, Rounding::floor, Overflow::wrap};
    const operators::CoreModel model =
        model_of(FixedType{false, 3, 0}, operators::row_accumulate_operator, f, {3});
    const VerificationSamples none = verification_samples(model, 0, 1);
    const auto found = find_overflows(model, none.ports, none.count(), {});
    REQUIRE(found.size() == 1);
    CHECK(found[0].elements == 2);  // the second sum and the third
    REQUIRE(found[0].witness.has_value());
    const auto& x = found[0].witness->inputs.at(0);
    const std::int64_t sum = found[0].witness->sum;
    CHECK(sum == 1);
    CHECK(found[0].witness->before == x[0] + x[1]);
    CHECK(found[0].witness->before > 7);
    CHECK(found[0].witness->after == x[0] + x[1] - 16);
}

TEST_CASE("samples lie in the ranges, and hold ties and ends") {
    const operators::CoreModel model =
        model_of(FixedType{true, 5, 0}, operators::absolute_operator, network::NoFields{}, {6});
    const VerificationSamples samples = verification_samples(model, 50, 7);
    CHECK(samples.random == 50);
    const auto count = static_cast<std::size_t>(samples.count());
    REQUIRE(samples.ports.at(0).size() == 6 * count);
    int lowest = 0;
    int ties = 0;
    for (std::size_t s = 0; s < count; ++s) {
        std::vector<std::int64_t> x;
        for (std::size_t e = 0; e < 6; ++e) {
            x.push_back(samples.ports[0][e * count + s]);
            CHECK(x.back() >= -16);
            CHECK(x.back() <= 15);
        }
        lowest += std::count(x.begin(), x.end(), -16) == 6 ? 1 : 0;
        ties += std::count(x.begin(), x.end(), x[0]) == 6 ? 1 : 0;
    }
    CHECK(lowest >= 1);
    CHECK(ties >= 10);
    CHECK(verification_samples(model, 50, 7).ports == samples.ports);
    CHECK(verification_samples(model, 50, 8).ports != samples.ports);
}
