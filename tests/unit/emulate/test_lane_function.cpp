#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "emulate/lane_function.h"
#include "fixed/fixed.h"

using namespace gatewright;
using bits::Lane;
using emulate::LaneFunction;

namespace {

constexpr std::int64_t block = bits::Evaluator::block;

struct Case {
    Interval range;
    int dropped;  ///< bits; negative: added
    FixedType type;
    std::int64_t factor = 1;
};

/// A product by the factor, quantised.
bits::Function quantiser(const Case& shape, Rounding rounding, Overflow overflow) {
    bits::Builder bits{"q"};
    fixed::Builder builder(bits);
    const fixed::Fixed x = builder.input("x", type_for(shape.range, shape.dropped), shape.range);
    const fixed::Fixed product = builder.mul_constant(x, shape.factor, 0);
    bits.output("y", builder.quantize(product, shape.type, rounding, overflow).bits);
    return bits.take();
}

std::vector<std::byte> run(const bits::Evaluator& body, const LaneFunction* function,
                           std::int64_t first) {
    alignas(64) std::byte x[block * 8];
    std::vector<std::byte> y(block * bits::lane_bytes(body.output_lanes()[0]));
    for (std::int64_t i = 0; i < block; ++i) {
        const std::int64_t value = first + i;  // little-endian
        std::memcpy(x + static_cast<std::size_t>(i) * bits::lane_bytes(body.input_lanes()[0]),
                    &value, bits::lane_bytes(body.input_lanes()[0]));
    }
    if (function != nullptr) {
        function->run(x, y.data(), block);
    } else {
        bits::Evaluator::Scratch scratch;
        const void* inputs[] = {x};
        void* outputs[] = {y.data()};
        body.run(inputs, outputs, scratch);
    }
    return y;
}

}  // namespace

TEST_CASE("functions read off quantisers give what the quantisers give") {
    const Case shapes[] = {
        {{-128, 127}, 3, {true, 4, 0}},        {{-128, 127}, 1, {true, 5, 0}},
        {{0, 255}, 2, {false, 6, 0}},          {{-2000, 3000}, 4, {true, 8, 0}},
        {{-32768, 32767}, 5, {true, 9, 0}},    {{-32768, 32767}, 0, {true, 12, 0}},
        {{-70000, 90000}, 6, {true, 8, 0}},    {{-70000, 90000}, 2, {false, 16, 0}},
        {{-100, 100}, -3, {true, 16, 3}, 1},   {{-100, 120}, 0, {true, 12, 0}, -5},
        {{-500, 500}, 3, {true, 16, 3}, 1000}, {{-4096, 4095}, 1, {true, 11, 0}},
    };
    int ramps = 0;
    for (const Case& shape : shapes) {
        for (const Rounding rounding :
             {Rounding::floor, Rounding::half_up, Rounding::half_even, Rounding::toward_zero}) {
            for (const Overflow overflow :
                 {Overflow::saturate, Overflow::wrap, Overflow::saturate_symmetric}) {
                const bits::Evaluator body(quantiser(shape, rounding, overflow));
                std::int64_t budget = 1 << 20;
                const auto function = LaneFunction::of(body, shape.range, budget);
                if (!function) {
                    continue;
                }
                ++ramps;
                const auto low = static_cast<std::int64_t>(shape.range.low);
                const auto last = static_cast<std::int64_t>(shape.range.high) - block + 1;
                bool equal = true;
                for (std::int64_t first = low;; first = std::min(first + block, last)) {
                    equal = equal && run(body, &*function, first) == run(body, nullptr, first);
                    if (first >= last) {
                        break;
                    }
                }
                CAPTURE(shape.dropped);
                CAPTURE(to_string(rounding));
                CAPTURE(to_string(overflow));
                CHECK(equal);
            }
        }
    }
    CHECK(ramps >= 90);  // most are ramps: all but some that round toward zero, or wrap askew
}

TEST_CASE("a function of neither form, or beyond the budget, is not read off") {
    bits::Builder bits{"square"};
    const bits::NodeId x = bits.input("x", {true, 8});
    bits.output("y", bits.mul(x, x, {true, 16}));
    const bits::Evaluator square(bits.take());
    std::int64_t budget = 1 << 20;
    CHECK_FALSE(LaneFunction::of(square, {-128, 127}, budget).has_value());
    CHECK(budget == (1 << 20) - 256);
    const bits::Evaluator wide(
        quantiser({{-70000, 90000}, 6, {true, 8, 0}}, Rounding::floor, Overflow::saturate));
    budget = 1000;
    CHECK_FALSE(LaneFunction::of(wide, {-70000, 90000}, budget).has_value());
}
