#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "emulate/encode.h"

using namespace gatewright;
using namespace gatewright::operators;
using emulate::Encoder;
using emulate::match_arrays;
using emulate::Samples;

namespace {

const Location here{"model", "x", "input", ""};

constexpr Rounding all_roundings[] = {
    Rounding::floor,     Rounding::ceil,      Rounding::toward_zero,
    Rounding::away,      Rounding::half_up,   Rounding::half_down,
    Rounding::half_even, Rounding::half_away, Rounding::half_zero};

struct Quantiser {
    PerElement<Rational> scale = Rational(1);
    PerElement<Rational> zero_point = Rational(0);
    PerElement<Rational> low = Rational(-128);
    PerElement<Rational> high = Rational(127);
    Rounding rounding = Rounding::half_even;
    Overflow overflow = Overflow::saturate;
};

Step step_of(const Quantiser& q) {
    Step step = make_step("quantize", {q.scale, q.zero_point, q.low, q.high});
    step.rounding = q.rounding;
    step.overflow = q.overflow;
    return step;
}

/// A network that is one port of `elements` elements, and its encoding.
CoreModel model_of(std::int64_t elements, std::vector<Step> steps,
                   std::vector<std::int64_t> index = {}) {
    CoreModel model;
    const FixedType type{true, 64, 0};
    model.network.name = "port";
    const auto x = model.network.add_input(
        "x", {{elements}, PerElement<network::Format>(network::Format{type, type.range()})}, here);
    model.network.set_output("y", x);
    model.model_inputs.push_back({"x", {elements}});
    model.encodings.push_back({"x", std::move(index), std::move(steps)});
    model.decodings.emplace_back();
    return model;
}

NpyArray bytes_of(Shape shape, const std::vector<std::int8_t>& values) {
    NpyArray array;
    array.dtype = DType::int8;
    array.shape = std::move(shape);
    for (const std::int8_t v : values) {
        array.data.push_back(static_cast<std::byte>(v));
    }
    return array;
}
NpyArray array_of(Shape shape, const std::vector<float>& values) {
    return NpyArray::of(std::move(shape), std::span<const float>(values));
}
NpyArray array_of(Shape shape, const std::vector<double>& values) {
    return NpyArray::of(std::move(shape), std::span<const double>(values));
}
NpyArray array_of(Shape shape, const std::vector<std::int8_t>& values) {
    return bytes_of(std::move(shape), values);
}

std::int64_t exactly(const Encoding& encoding, double x, std::int64_t element) {
    const auto steps = std::span(encoding.steps);
    const Real value =
        operators::apply(steps.first(steps.size() - 1), {to_rational(x), 0}, element);
    return static_cast<std::int64_t>(
        *to_int128(quantize_integer(steps.back(), exact_value(value), element)));
}

/// Numbers around zero and around both ends of a quantiser's levels, in quarters of a step, and
/// their neighbours; tiny ones and huge ones.
template <class T>
std::vector<T> numbers(const Rational& scale, const Rational& zero_point, const Rational& low,
                       const Rational& high) {
    std::vector<T> out = {T(0), T(1), T(-1)};
    if constexpr (std::is_integral_v<T>) {
        for (int i = -128; i < 128; ++i) {
            out.push_back(static_cast<T>(i));
        }
    } else {
        using Limits = std::numeric_limits<T>;
        for (const T v : {Limits::denorm_min(), Limits::min(), Limits::max(), Limits::epsilon(),
                          T(1e-30), T(1e30), T(12345.678), T(0.3)}) {
            out.push_back(v);
            out.push_back(-v);
        }
        out.push_back(-T(0));
        for (const Rational& centre : {Rational(zero_point), Rational(0), low, high}) {
            for (int quarter = -10; quarter <= 10; ++quarter) {
                const Rational exact = (centre - zero_point + Rational(quarter, 4)) * scale;
                const T v = static_cast<T>(to_double(exact));
                out.push_back(v);
                out.push_back(std::nextafter(v, Limits::infinity()));
                out.push_back(std::nextafter(v, -Limits::infinity()));
            }
        }
    }
    return out;
}

/// Encodes `samples` samples of the numbers in turn, in two parts, and compares all of them.
/// `known` holds the integers of the pool where they are the same for all elements.
template <class T, class Integer = std::int64_t>
void check(const CoreModel& model, std::int64_t elements, std::int64_t samples,
           const std::vector<T>& pool, std::size_t start = 0,
           const std::vector<std::int64_t>& known = {}) {
    std::vector<T> values(static_cast<std::size_t>(elements * samples));
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = pool[(start + i) % pool.size()];
    }
    const Samples arrays =
        match_arrays(model, {{"x", array_of({samples, elements}, values)}}, "x.npy");
    REQUIRE(arrays.count == samples);
    const Encoder encoder(model, 0);
    REQUIRE(encoder.elements() == elements);
    const std::int64_t stride = samples + 1;
    constexpr Integer untouched = 77;
    std::vector<Integer> out(static_cast<std::size_t>(elements * stride), untouched);
    const std::int64_t part = samples / 2;
    encoder.encode(arrays, 0, part, out.data(), stride);
    encoder.encode(arrays, part, samples - part, out.data() + part, stride);
    const Encoding& encoding = model.encodings[0];
    std::int64_t wrong = 0;
    for (std::int64_t e = 0; e < elements; ++e) {
        const std::int64_t from =
            encoding.index.empty() ? e : encoding.index[static_cast<std::size_t>(e)];
        for (std::int64_t s = 0; s < samples; ++s) {
            const auto i = static_cast<std::size_t>(s * elements + from);
            const auto x = static_cast<double>(values[i]);
            const auto got =
                static_cast<std::int64_t>(out[static_cast<std::size_t>(e * stride + s)]);
            const std::int64_t expected =
                known.empty() ? exactly(encoding, x, e) : known[(start + i) % pool.size()];
            if (got != expected && wrong++ == 0) {
                CAPTURE(x);
                CAPTURE(e);
                CHECK(got == expected);
            }
        }
        CHECK(out[static_cast<std::size_t>(e * stride + samples)] == untouched);
    }
    CHECK(wrong == 0);
}

template <class T>
void check_quantiser(const Quantiser& q) {
    const std::vector<T> pool =
        numbers<T>(q.scale.at(0), q.zero_point.at(0), q.low.at(0), q.high.at(0));
    const auto size = static_cast<std::int64_t>(pool.size());
    std::vector<std::int64_t> known;
    for (const T x : pool) {
        known.push_back(exactly({"x", {}, {step_of(q)}}, static_cast<double>(x), 0));
    }
    for (const std::int64_t elements : {1, 63, 64, 65, 200}) {
        // An odd number of samples that brings every number to the encoder.
        const std::int64_t samples = (size / elements + 2) | 1;
        const CoreModel model = model_of(elements, {step_of(q)});
        check<T>(model, elements, samples, pool, 0, known);
        check<T, std::int32_t>(model, elements, 3, pool, 5, known);
        check<T, std::int16_t>(model, elements, 1, pool, 11, known);
        check<T, std::int16_t>(model, elements, 127, pool, 3, known);
        const auto [least, most] = std::minmax_element(known.begin(), known.end());
        if (*least >= -128 && *most <= 127) {
            check<T, std::int8_t>(model, elements, 130, pool, 1, known);
            check<T, std::int8_t>(model, elements, 2, pool, 17, known);
        }
    }
}

template <class F>
void refused(F f) {
    try {
        f();
        FAIL("nothing was refused");
    } catch (const Failure& failure) {
        REQUIRE(failure.diagnostics().size() == 1);
        CHECK(failure.diagnostics()[0].code == Code::array_mismatch);
    }
}

}  // namespace

TEST_CASE_TEMPLATE("numbers are encoded as the exact path rounds them", T, float, double,
                   std::int8_t) {
    for (const Rounding rounding : all_roundings) {
        for (const Rational& scale :
             {Rational(1, 8), Rational(4), Rational(1, 10), Rational(3, 7), to_rational(0.1)}) {
            for (const int zero_point : {0, -37, 11}) {
                CAPTURE(to_string(rounding));
                CAPTURE(to_string(scale));
                CAPTURE(zero_point);
                Quantiser q;
                q.scale = scale;
                q.zero_point = Rational(zero_point);
                q.rounding = rounding;
                check_quantiser<T>(q);
            }
        }
    }
}

TEST_CASE_TEMPLATE("levels of one bit, of many bits, and wrapped ones", T, float, double,
                   std::int8_t) {
    for (const Rounding rounding : all_roundings) {
        for (const Overflow overflow :
             {Overflow::saturate, Overflow::wrap, Overflow::saturate_symmetric}) {
            CAPTURE(to_string(rounding));
            CAPTURE(to_string(overflow));
            Quantiser q;
            q.rounding = rounding;
            q.overflow = overflow;
            q.scale = Rational(1, 4);
            q.low = Rational(-1);
            q.high = Rational(0);
            check_quantiser<T>(q);
            q.scale = Rational(5, 3);
            q.low = Rational(0);
            q.high = Rational(1);
            q.zero_point = Rational(1, 2);  // no integer: the level itself is encoded
            check_quantiser<T>(q);
            q.scale = Rational(2, 7);
            q.low = Rational(-3);
            q.high = Rational(4);
            q.zero_point = Rational(-2);
            check_quantiser<T>(q);
            q.scale = Rational(1, 1024);
            q.zero_point = Rational(0);
            q.low = Rational(-16384);
            q.high = Rational(16383);
            check_quantiser<T>(q);
        }
    }
}

TEST_CASE_TEMPLATE("levels of 31, 40, 54 and 63 bits saturate at their own ends", T, float,
                   double) {
    for (const int bits : {30, 39, 53, 62}) {
        for (const Rational& scale : {Rational(1), Rational(1, 3), power_of_two(-20)}) {
            for (const Rounding rounding :
                 {Rounding::half_even, Rounding::floor, Rounding::half_up}) {
                CAPTURE(bits);
                CAPTURE(to_string(scale));
                CAPTURE(to_string(rounding));
                Quantiser q;
                q.scale = scale;
                q.low = -power_of_two(bits);
                q.high = power_of_two(bits) - 1;
                q.rounding = rounding;
                const auto pool = numbers<T>(scale, 0, q.low.at(0), q.high.at(0));
                check<T>(model_of(65, {step_of(q)}), 65, 5, pool);
            }
        }
    }
}

TEST_CASE_TEMPLATE("parameters per element, affine steps and an index", T, float, double) {
    for (const Rounding rounding : all_roundings) {
        CAPTURE(to_string(rounding));
        Quantiser q;
        q.rounding = rounding;
        const auto pool = numbers<T>(Rational(1, 8), 3, -128, 127);
        for (const std::int64_t elements : {3, 64, 65}) {
            std::vector<Rational> scales;
            std::vector<Rational> powers;
            std::vector<Rational> points;
            std::vector<std::int64_t> backwards;
            for (std::int64_t e = 0; e < elements; ++e) {
                scales.emplace_back(e % 5 + 1, e % 7 + 8);
                powers.push_back(power_of_two(static_cast<int>(e % 9) - 6));
                points.emplace_back(e % 4 - 1);
                backwards.push_back(elements - 1 - e);
            }
            q.scale = PerElement<Rational>::each(powers);
            q.zero_point = Rational(0);
            check<T>(model_of(elements, {step_of(q)}), elements, 17, pool);
            q.scale = PerElement<Rational>::each(scales);
            q.zero_point = PerElement<Rational>::each(points);
            check<T>(model_of(elements, {step_of(q)}), elements, 17, pool);
            const Step affine = make_step(
                "affine", {PerElement<Rational>::each(powers), PerElement<Rational>::each(points)});
            check<T>(model_of(elements, {affine, step_of(q)}, backwards), elements, 17, pool);
            // The line's terms cancel: a rounding boundary far from zero.
            const Step far = make_step("affine", {Rational(3, 4), Rational(-100000001, 7)});
            std::vector<T> distant;
            for (int i = -40; i <= 40; ++i) {
                distant.push_back(static_cast<T>(100000001.0 / 7 / 0.75 + i * 0.125));
            }
            check<T>(model_of(elements, {far, step_of(q)}), elements, 5, distant);
            // So far that a double's error exceeds the levels' distance.
            const Step beyond =
                make_step("affine", {Rational(3, 7), Rational(-power_of_two(62) * Rational(3, 7))});
            Quantiser wide = q;
            wide.scale = Rational(3);
            wide.low = Rational(-200);
            wide.high = Rational(200);
            std::vector<T> remote;
            T below = static_cast<T>(0x1p62);
            T above = below;
            for (int i = 0; i < 10; ++i) {
                remote.push_back(below);
                remote.push_back(above);
                below = std::nextafter(below, T(0));
                above = std::nextafter(above, std::numeric_limits<T>::max());
            }
            check<T>(model_of(elements, {beyond, step_of(wide)}), elements, 5, remote);
        }
    }
}

TEST_CASE_TEMPLATE("wrapped levels of as many bits as each element has", T, float, double) {
    constexpr std::int64_t elements = 67;
    std::vector<Rational> scales;
    std::vector<Rational> lows;
    std::vector<Rational> highs;
    for (std::int64_t e = 0; e < elements; ++e) {
        scales.push_back(power_of_two(static_cast<int>(e % 5) - 4));
        const int bits = static_cast<int>(e % 8);  // none: always the same
        highs.push_back(bits == 0 ? Rational(0) : power_of_two(bits - 1) - 1);
        lows.push_back(bits == 0 ? Rational(0) : -power_of_two(bits - 1));
    }
    for (const Rounding rounding : all_roundings) {
        CAPTURE(to_string(rounding));
        Quantiser q;
        q.rounding = rounding;
        q.overflow = Overflow::wrap;
        q.scale = PerElement<Rational>::each(scales);
        q.low = PerElement<Rational>::each(lows);
        q.high = PerElement<Rational>::each(highs);
        const auto pool = numbers<T>(Rational(1, 8), 3, -128, 127);
        check<T>(model_of(elements, {step_of(q)}), elements, 70, pool);
        std::vector<T> near;  // levels that single precision decides
        for (int i = -500; i < 500; ++i) {
            near.push_back(static_cast<T>(i) / 97);
        }
        check<T>(model_of(elements, {step_of(q)}), elements, 70, near);
        const Step affine = make_step("affine", {Rational(3, 7), Rational(1, 3)});
        check<T>(model_of(elements, {affine, step_of(q)}), elements, 70, near);
    }
}

TEST_CASE("thresholds beyond all floats, and of falling lines") {
    std::vector<float> pool = numbers<float>(Rational(1, 2), 0, -4, 3);
    for (const Rational& a : {power_of_two(-140), Rational(-1, 3), Rational(-1), Rational(0)}) {
        for (const Rational& b : {Rational(0), Rational(1, 2), Rational(2)}) {
            Quantiser q;
            q.low = Rational(-4);
            q.high = Rational(3);
            const Step affine = make_step("affine", {a, b});
            check<float>(model_of(65, {affine, step_of(q)}), 65, 9, pool);
        }
    }
}

TEST_CASE_TEMPLATE("steps that are no line take the exact path", T, float, double) {
    Quantiser q;
    q.scale = Rational(1, 16);
    const auto pool = numbers<T>(Rational(1, 16), 0, -128, 127);
    check<T>(model_of(5, {make_step("tanh"), step_of(q)}), 5, 21, pool);
    check<T>(model_of(5, {make_step("maximum", {Rational(1, 3)}), step_of(q)}), 5, 21, pool);
}

TEST_CASE("the smallest doubles are rounded by their sign, even where a product loses them") {
    for (const Rounding rounding : all_roundings) {
        CAPTURE(to_string(rounding));
        Quantiser q;
        q.scale = power_of_two(40);
        q.rounding = rounding;
        const double least = std::numeric_limits<double>::denorm_min();
        const std::vector<double> pool = {least, -least, 0.0, -0.0, 3 * least, -1e-300};
        check<double>(model_of(1, {step_of(q)}), 1, 7, pool);
    }
}

TEST_CASE("the smallest scale a double has") {
    Quantiser q;
    q.scale = to_rational(std::numeric_limits<double>::denorm_min());
    const double least = std::numeric_limits<double>::denorm_min();
    check<double>(model_of(1, {step_of(q)}), 1, 7, {0.0, least, -least, 100 * least, 1.0, -1.0});
}

TEST_CASE("numbers that are not finite are refused, wherever they stand") {
    for (const std::int64_t elements : {1, 63, 64, 65, 200}) {
        for (const int kind : {0, 1, 2, 3}) {
            Quantiser q;
            q.scale = kind % 2 == 0 ? Rational(1, 8) : Rational(1, 10);
            q.rounding = kind < 2 ? Rounding::half_even : Rounding::floor;
            const CoreModel model = model_of(elements, {step_of(q)});
            const Encoder encoder(model, 0);
            std::vector<std::int64_t> out(static_cast<std::size_t>(elements * 3));
            for (const double bad :
                 {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                  -std::numeric_limits<double>::infinity()}) {
                for (const std::int64_t at : {std::int64_t{0}, elements - 1, elements * 3 - 1}) {
                    std::vector<double> wide(static_cast<std::size_t>(elements * 3), 0.25);
                    wide[static_cast<std::size_t>(at)] = bad;
                    const std::vector<float> narrow(wide.begin(), wide.end());
                    const Shape shape = {3, elements};
                    const Samples a = match_arrays(model, {{"x", array_of(shape, wide)}}, "x.npy");
                    const Samples b =
                        match_arrays(model, {{"x", array_of(shape, narrow)}}, "x.npy");
                    refused([&] { encoder.encode(a, 0, 3, out.data(), 3); });
                    refused([&] { encoder.encode(b, 0, 3, out.data(), 3); });
                }
            }
        }
    }
}

TEST_CASE("arrays are matched by name, by x, and by x0, x1") {
    const NpyArray a = array_of({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
    const NpyArray b = array_of({2, 1}, std::vector<float>{7, 8});
    const std::vector<ModelInput> one = {{"image", {3}}};
    const std::vector<ModelInput> two = {{"image", {3}}, {"flag", {1}}};
    for (const char* name : {"image", "x", "x0"}) {
        const Samples s = match_arrays(one, true, {{"other", b}, {name, a}}, "f");
        CHECK(s.count == 2);
        CHECK(s.has_batch_axis);
        REQUIRE(s.inputs.size() == 1);
        CHECK(s.inputs[0].whole() == a);
    }
    const Samples preferred = match_arrays(one, true, {{"x", b}, {"image", a}}, "f");
    CHECK(preferred.inputs[0].whole() == a);
    for (const auto& [first, second] :
         {std::pair{"image", "flag"}, {"x0", "x1"}, {"image", "x1"}, {"x0", "flag"}}) {
        const Samples s = match_arrays(two, true, {{second, b}, {first, a}}, "f");
        CHECK(s.inputs[0].whole() == a);
        CHECK(s.inputs[1].whole() == b);
    }
    refused([&] { match_arrays(one, true, {{"y", a}}, "f"); });
    refused([&] { match_arrays(two, true, {{"image", a}}, "f"); });
    refused([&] { match_arrays(two, true, {{"x", a}, {"flag", b}}, "f"); });
}

TEST_CASE("arrays of a wrong shape or a wrong number of samples are refused") {
    const auto zeros_of = [&](Shape shape) {
        const auto count = element_count(shape);
        return array_of(std::move(shape), std::vector<float>(static_cast<std::size_t>(count)));
    };
    const std::vector<ModelInput> one = {{"image", {3}}};
    const std::vector<ModelInput> two = {{"image", {3}}, {"flag", {1}}};
    for (const Shape& shape : std::vector<Shape>{{}, {3}, {2, 4}, {2, 3, 1}, {3, 2}}) {
        CAPTURE(to_string(shape));
        refused([&] { match_arrays(one, true, {{"x", zeros_of(shape)}}, "f"); });
    }
    refused([&] {
        match_arrays(two, true, {{"x0", zeros_of({2, 3})}, {"x1", zeros_of({3, 1})}}, "f");
    });
    refused(
        [&] { match_arrays(two, false, {{"x0", zeros_of({1, 3})}, {"x1", zeros_of({1})}}, "f"); });
    // Without a batch axis in the model, one sample may come as it is.
    const Samples bare = match_arrays(one, false, {{"x", zeros_of({3})}}, "f");
    CHECK(bare.count == 1);
    CHECK(!bare.has_batch_axis);
    const Samples batch = match_arrays(one, false, {{"x", zeros_of({4, 3})}}, "f");
    CHECK(batch.count == 4);
    CHECK(batch.has_batch_axis);
    CHECK(match_arrays(one, true, {{"x", zeros_of({0, 3})}}, "f").count == 0);
}

TEST_CASE("64-bit integers are taken where a double holds them") {
    const std::vector<ModelInput> one = {{"image", {2}}};
    const std::int64_t edge = std::int64_t{1} << 53;
    const std::vector<std::int64_t> good = {edge, -edge};
    const std::vector<std::int64_t> bad = {1, edge + 1};
    const Samples s = match_arrays(one, true, {{"x", NpyArray::of({1, 2}, std::span(good))}}, "f");
    CHECK(s.inputs[0].whole() == array_of({1, 2}, std::vector<double>{0x1p53, -0x1p53}));
    refused([&] { match_arrays(one, true, {{"x", NpyArray::of({1, 2}, std::span(bad))}}, "f"); });
}
