#include "emulate/decode.h"
#include "emulate/encode.h"
#include "emulate/tensor_emulator.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <random>
#include <set>

#include "bits/evaluator.h"
#include "bits/function.h"
#include "operators/catalogue.h"
#include "operators/core.h"
#include "operators/layers.h"
#include "operators/lowering.h"
#include "operators/map.h"
#include "operators/move.h"
#include "operators/row.h"

using namespace gatewright;
using namespace gatewright::operators;
using bits::Lane;
using emulate::Samples;
using emulate::TensorEmulator;
using network::Attributes;
using network::Format;
using network::Network;
using network::TensorType;
using network::Value;

namespace {

constexpr std::int64_t sample_counts[] = {1, 63, 64, 65, 130};

Location at(std::string layer) {
    return {"model", std::move(layer), "Test", ""};
}

using Random = std::mt19937_64;

std::int64_t between(Random& random, std::int64_t low, std::int64_t high) {
    const auto span = static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) + 1;
    const std::uint64_t offset = span == 0 ? random() : random() % span;
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(low) + offset);
}

/// An integer within a format, often one of its ends.
std::int64_t integer_of(Random& random, const Format& format) {
    const auto low = static_cast<std::int64_t>(format.range.low);
    const auto high = static_cast<std::int64_t>(format.range.high);
    switch (random() % 4) {
        case 0:
            return low;
        case 1:
            return high;
        default:
            return between(random, low, high);
    }
}

Format signed_format(int width, int frac) {
    const FixedType type{true, width, frac};
    return {type, type.range()};
}
Format unsigned_format(int width, int frac) {
    const FixedType type{false, width, frac};
    return {type, type.range()};
}

Lane lane_of(const TensorType& type) {
    Lane lane = Lane::i16;
    for (const Format& f : formats_of(type)) {
        lane = std::max(
            lane, bits::lane_for({f.type.is_signed, static_cast<std::uint8_t>(f.type.width)}));
    }
    return lane;
}

/// Completes a model whose network has only core operators: inputs arrive as they are.
CoreModel model_of(Network n) {
    CoreModel model;
    for (const network::NodeId id : n.inputs()) {
        const TensorType& type = n.node(id).types[0];
        const std::string name(n.input_name(id));
        model.model_inputs.push_back({name, type.shape});
        std::vector<Rational> scale;
        std::vector<Rational> low;
        std::vector<Rational> high;
        for (const Format& f : formats_of(type)) {
            scale.push_back(power_of_two(-f.type.frac));
            low.emplace_back(to_bigint(f.range.low));
            high.emplace_back(to_bigint(f.range.high));
        }
        using Each = PerElement<Rational>;
        model.encodings.push_back({name,
                                   {},
                                   {make_step("quantize", {Each::each(scale), Rational(0),
                                                           Each::each(low), Each::each(high)})}});
    }
    model.decodings.resize(n.outputs().size());
    model.network = std::move(n);
    return model;
}

/// The network's outputs for one sample, element by element on 128-bit integers.
std::vector<std::vector<Int128>> plainly(const Network& n,
                                         const std::vector<std::vector<Int128>>& inputs) {
    std::map<Value, std::vector<Int128>> values;
    std::size_t next = 0;
    for (network::NodeId id = 0; id < n.nodes().size(); ++id) {
        const network::Node& node = n.node(id);
        std::vector<TensorType> types;
        std::vector<const std::vector<Int128>*> x;
        for (const Value v : node.inputs) {
            types.push_back(n.type(v));
            x.push_back(&values.at(v));
        }
        std::vector<std::vector<Int128>> y(node.types.size());
        if (node.op == &network::input_operator) {
            y[0] = inputs[next++];
        } else if (node.op->is_contract) {
            const ContractForms forms = contract_forms(node, types[0]);
            auto from = x[0]->begin();
            for (const std::int32_t number : forms.form_of) {
                const linear::Matrix& w = forms.forms[static_cast<std::size_t>(number)].matrix;
                for (std::int64_t o = 0; o < w.n_out; ++o) {
                    Int128 sum = 0;
                    for (std::int64_t k = 0; k < w.n_in; ++k) {
                        sum += from[k] * Int128{w.at(k, o)};
                    }
                    y[0].push_back(sum);
                }
                from += w.n_in;
            }
        } else if (node.op->element != nullptr) {
            const Bodies bodies = map_bodies(node, types);
            std::vector<std::vector<std::int64_t>> index;
            for (const TensorType& type : types) {
                index.push_back(broadcast_index(type.shape, node.types[0].shape));
            }
            for (std::size_t e = 0; e < bodies.body_of.size(); ++e) {
                std::vector<Int128> words;
                for (std::size_t i = 0; i < x.size(); ++i) {
                    words.push_back((*x[i])[static_cast<std::size_t>(index[i][e])]);
                }
                const auto body = static_cast<std::size_t>(bodies.body_of[e]);
                y[0].push_back(bits::evaluate(bodies.bodies[body].function, words).at(0));
            }
        } else if (node.op->row != nullptr) {
            const Bodies bodies = row_bodies(node, types);
            const auto length = static_cast<std::ptrdiff_t>(types[0].shape.back());
            const std::size_t rows = bodies.body_of.size();
            for (std::size_t r = 0; r < rows; ++r) {
                const auto from = x[0]->begin() + static_cast<std::ptrdiff_t>(r) * length;
                const auto body = static_cast<std::size_t>(bodies.body_of[r]);
                const auto words = bits::evaluate(bodies.bodies[body].function,
                                                  std::vector<Int128>(from, from + length));
                auto word = words.begin();
                for (std::size_t o = 0; o < y.size(); ++o) {
                    const auto part =
                        element_count(node.types[o].shape) / static_cast<std::int64_t>(rows);
                    y[o].insert(y[o].end(), word, word + part);
                    word += part;
                }
                CHECK(word == words.end());
            }
        } else {
            for (const network::Source& source : node.op->sources(node, types)) {
                y[0].push_back(source.input < 0 ? Int128{0}
                                                : x[static_cast<std::size_t>(source.input)]->at(
                                                      static_cast<std::size_t>(source.element)));
            }
        }
        for (std::uint32_t i = 0; i < y.size(); ++i) {
            REQUIRE(static_cast<std::int64_t>(y[i].size()) == element_count(node.types[i].shape));
            values[{id, i}] = y[i];
        }
    }
    std::vector<std::vector<Int128>> out;
    for (const auto& output : n.outputs()) {
        out.push_back(values.at(output.value));
    }
    return out;
}

using Integers = std::vector<std::vector<std::int64_t>>;

Integers random_inputs(const Network& n, std::int64_t samples, Random& random) {
    Integers inputs;
    for (const network::NodeId id : n.inputs()) {
        auto& port = inputs.emplace_back();
        for (const Format& format : formats_of(n.node(id).types[0])) {
            for (std::int64_t s = 0; s < samples; ++s) {
                port.push_back(integer_of(random, format));
            }
        }
    }
    return inputs;
}

/// run_integers on random inputs against the plain evaluation.
void check_integers(const CoreModel& model, Random& random,
                    std::span<const std::int64_t> counts = sample_counts) {
    REQUIRE(network::verify(model.network).empty());
    const TensorEmulator emulator(model);
    const emulate::SampleEmulator by_sample(model);
    for (const std::int64_t samples : counts) {
        CAPTURE(samples);
        const Integers inputs = random_inputs(model.network, samples, random);
        const Integers outputs = emulator.run_integers(inputs, samples);
        REQUIRE(outputs.size() == model.network.outputs().size());
        std::int64_t wrong = 0;
        for (std::int64_t s = 0; s < samples; ++s) {
            std::vector<std::vector<Int128>> words;
            for (const auto& port : inputs) {
                auto& sample = words.emplace_back();
                for (std::size_t i = static_cast<std::size_t>(s); i < port.size();
                     i += static_cast<std::size_t>(samples)) {
                    sample.emplace_back(port[i]);
                }
            }
            std::vector<std::vector<std::int64_t>> own;
            for (const auto& sample : words) {
                own.emplace_back(sample.begin(), sample.end());
            }
            if (s < 2) {  // as large models run
                const auto one_by_one = by_sample.run(own);
                for (std::size_t o = 0; o < outputs.size(); ++o) {
                    for (std::size_t e = 0; e < one_by_one[o].size(); ++e) {
                        wrong +=
                            one_by_one[o][e] != outputs[o][e * static_cast<std::size_t>(samples) +
                                                           static_cast<std::size_t>(s)];
                    }
                }
            }
            const auto expected = plainly(model.network, words);
            for (std::size_t o = 0; o < outputs.size(); ++o) {
                REQUIRE(outputs[o].size() ==
                        expected[o].size() * static_cast<std::size_t>(samples));
                for (std::size_t e = 0; e < expected[o].size(); ++e) {
                    const std::size_t i =
                        e * static_cast<std::size_t>(samples) + static_cast<std::size_t>(s);
                    wrong += Int128{outputs[o][i]} == expected[o][e] ? 0 : 1;
                }
            }
        }
        CHECK(wrong == 0);
    }
}

/// The numbers of encoded inputs, as arrays of a file.
NamedArrays arrays_of(const Network& n, const Integers& inputs, std::int64_t samples) {
    NamedArrays arrays;
    std::size_t port = 0;
    for (const network::NodeId id : n.inputs()) {
        const TensorType& type = n.node(id).types[0];
        const std::int64_t elements = element_count(type.shape);
        std::vector<double> values;
        for (std::int64_t s = 0; s < samples; ++s) {
            for (std::int64_t e = 0; e < elements; ++e) {
                values.push_back(std::ldexp(
                    static_cast<double>(inputs[port][static_cast<std::size_t>(e * samples + s)]),
                    -type.fixed->at(e).type.frac));
            }
        }
        Shape shape = type.shape;
        shape.insert(shape.begin(), samples);
        arrays.emplace_back(n.input_name(id),
                            NpyArray::of(std::move(shape), std::span<const double>(values)));
        ++port;
    }
    return arrays;
}

/// run on one and on three threads against decoded run_integers; inputs of at most 53 bits.
void check_run(const CoreModel& model, Random& random) {
    const TensorEmulator emulator(model);
    for (const std::int64_t samples : sample_counts) {
        CAPTURE(samples);
        const Integers inputs = random_inputs(model.network, samples, random);
        const Samples arrays =
            emulate::match_arrays(model, arrays_of(model.network, inputs, samples), "x.npz");
        std::int64_t last = 0;
        const auto one =
            emulator.run(arrays, 1, [&](std::int64_t done) { last = std::max(last, done); });
        CHECK(last == samples);
        const auto three = emulator.run(arrays, 3);
        CHECK(one.shapes == three.shapes);
        CHECK(one.values == three.values);
        const Integers integers = emulator.run_integers(inputs, samples);
        REQUIRE(one.values.size() == integers.size());
        for (std::size_t o = 0; o < integers.size(); ++o) {
            const emulate::Decoder decoder(model, o);
            const TensorType& type = model.network.type(model.network.outputs()[o].value);
            CHECK(one.shapes[o] == type.shape);
            const std::int64_t elements = element_count(type.shape);
            std::vector<float> decoded(static_cast<std::size_t>(elements * samples));
            std::vector<float> plain;
            decoder.decode(integers[o].data(), samples, samples, decoded.data());
            for (std::int64_t s = 0; s < samples; ++s) {
                for (std::int64_t e = 0; e < elements; ++e) {
                    plain.push_back(static_cast<float>(
                        std::ldexp(static_cast<long double>(
                                       integers[o][static_cast<std::size_t>(e * samples + s)]),
                                   -type.fixed->at(e).type.frac)));
                }
            }
            CHECK(one.values[o] == decoded);
            if (model.decodings[o].steps.empty()) {
                CHECK(one.values[o] == plain);
            }
        }
    }
}

struct Contraction {
    std::int64_t rows = 1;  ///< rows that share the groups
    std::int64_t groups = 1;
    std::int64_t inputs = 1;
    std::int64_t outputs = 1;
    int input_width = 8;
    int weight_width = 8;
    bool mixed = false;  ///< formats differ from element to element
};

ContractFields weights_of(const Contraction& c, Random& random) {
    ContractFields fields;
    fields.weights.shape = {c.groups, c.inputs, c.outputs};
    fields.frac = between(random, -2, 6);
    const std::int64_t top = std::int64_t{1} << (c.weight_width - 1);
    for (std::int64_t i = 0; i < c.groups * c.inputs * c.outputs; ++i) {
        const bool zero_column = (i % c.outputs) % 4 == 2 || random() % 8 == 0;
        fields.weights.values.push_back(zero_column ? 0 : between(random, -top, top - 1));
    }
    return fields;
}

Value contraction(Network& n, const Contraction& c, Random& random) {
    Shape shape = {c.rows, c.groups, c.inputs};
    std::vector<Format> formats;
    for (std::int64_t e = 0; e < element_count(shape); ++e) {
        const int width =
            c.mixed ? static_cast<int>(between(random, 1, c.input_width)) : c.input_width;
        const int frac = c.mixed ? static_cast<int>(between(random, 0, 3)) : 2;
        formats.push_back(c.mixed && random() % 2 == 0 ? unsigned_format(width, frac)
                                                       : signed_format(width, frac));
    }
    const Value x = n.add_input("x", {shape, PerElement<Format>::each(formats)}, at("x"));
    return n.add(contract_operator, Attributes::of(weights_of(c, random)), {x}, at("fc"));
}

Value quantise(Network& n, Value x, FixedType type, Rounding rounding = Rounding::floor,
               Overflow overflow = Overflow::wrap) {
    return n.add(quantize_operator, Attributes::of(QuantizeFields{type, rounding, overflow}), {x},
                 at("quantise"));
}

}  // namespace

TEST_CASE("contractions in lanes of 16, 32 and 64 bits are the plain sums") {
    Random random(11);
    std::map<Lane, int> seen;
    for (int round = 0; round < 120; ++round) {
        Contraction c;
        c.rows = between(random, 1, 2);
        c.groups = between(random, 1, 3);
        c.inputs = round % 10 == 0 ? 70 : between(random, 1, 70);
        c.outputs = between(random, 1, 9);
        c.mixed = random() % 3 == 0;
        constexpr int widths[][2] = {{4, 3}, {8, 8}, {12, 20}, {16, 31}, {30, 20}, {1, 2}};
        c.input_width = widths[round % 6][0];
        c.weight_width = widths[round % 6][1];
        CAPTURE(round);
        Network n;
        n.name = "contraction";
        const Value y = contraction(n, c, random);
        n.set_output("y", y);
        const Lane lane = lane_of(n.type(y));
        ++seen[lane];
        REQUIRE(lane <= Lane::i64);
        const std::int64_t counts[] = {sample_counts[round % 5]};
        check_integers(model_of(std::move(n)), random, counts);
    }
    CHECK(seen[Lane::i16] >= 10);
    CHECK(seen[Lane::i32] >= 10);
    CHECK(seen[Lane::i64] >= 10);
}

TEST_CASE("long sums of small weights are right where all of their terms are extreme") {
    Random random(14);
    for (const int width : {2, 3, 4, 5}) {
        for (const int weight_width : {2, 3, 8}) {
            for (const std::int64_t inputs : {15, 255, 256, 257, 784}) {
                CAPTURE(width);
                CAPTURE(weight_width);
                CAPTURE(inputs);
                const Format format = signed_format(width, 0);
                ContractFields fields;
                fields.weights.shape = {1, inputs, 5};
                const std::int64_t top = std::int64_t{1} << (weight_width - 1);
                for (std::int64_t i = 0; i < inputs * 5; ++i) {
                    // Only negative ones, none, and both.
                    const std::int64_t w = i % 5 == 0 ? -top : between(random, -top, top - 1);
                    fields.weights.values.push_back(i % 5 == 3 ? 0 : w);
                }
                Network n;
                n.name = "long";
                const Value x = n.add_input("x", {{inputs}, PerElement<Format>(format)}, at("x"));
                const Value y = n.add(contract_operator, Attributes::of(fields), {x}, at("fc"));
                n.set_output("y", y);
                const std::vector<Format> formats = formats_of(n.type(y));
                // Sample o drives output o to its upper end, sample 5 + o to its lower one.
                constexpr std::int64_t samples = 10;
                Integers in(1, std::vector<std::int64_t>(static_cast<std::size_t>(inputs * 10)));
                Integers expected(1, std::vector<std::int64_t>(5 * samples));
                for (std::int64_t s = 0; s < samples; ++s) {
                    for (std::int64_t k = 0; k < inputs; ++k) {
                        const auto weight = [&](std::int64_t o) {
                            return fields.weights.values[static_cast<std::size_t>(k * 5 + o)];
                        };
                        const bool high = (weight(s % 5) > 0) == (s < 5);
                        const auto value =
                            static_cast<std::int64_t>(high ? format.range.high : format.range.low);
                        in[0][static_cast<std::size_t>(k * samples + s)] = value;
                        for (std::int64_t o = 0; o < 5; ++o) {
                            expected[0][static_cast<std::size_t>(o * samples + s)] +=
                                weight(o) * value;
                        }
                    }
                }
                // Where all weights of an output share a power of two, its integers leave it out.
                for (std::int64_t i = 0; i < 5 * samples; ++i) {
                    const int frac = formats[static_cast<std::size_t>(i / samples)].type.frac;
                    REQUIRE(frac <= 0);
                    expected[0][static_cast<std::size_t>(i)] /= std::int64_t{1} << -frac;
                }
                const CoreModel model = model_of(std::move(n));
                CHECK(TensorEmulator(model).run_integers(in, samples) == expected);
            }
        }
    }
}

TEST_CASE("contractions beyond 64 bits are the plain sums") {
    Random random(12);
    for (int round = 0; round < 24; ++round) {
        CAPTURE(round);
        Contraction c;
        c.groups = between(random, 1, 2);
        c.inputs = between(random, 2, 70);
        c.outputs = between(random, 1, 9);
        c.input_width = 45;
        c.weight_width = 40;
        c.mixed = round % 2 == 0;
        Network n;
        n.name = "wide";
        Value y = contraction(n, c, random);
        REQUIRE((c.outputs == 3 || lane_of(n.type(y)) == Lane::i128));
        // Seen through both halves of its integers, and through a second wide contraction.
        const int frac = formats_of(n.type(y))[0].type.frac;
        n.set_output("low", quantise(n, y, {true, 60, frac}));
        n.set_output(
            "high", quantise(n, y, {true, 60, frac - 50}, Rounding::half_even, Overflow::saturate));
        Contraction second;
        second.inputs = c.outputs;
        second.outputs = between(random, 1, 6);
        second.weight_width = 12;
        const Value z =
            n.add(contract_operator, Attributes::of(weights_of(second, random)), {y}, at("fc2"));
        n.set_output("second", quantise(n, z, {true, 60, frac}));
        const std::int64_t counts[] = {sample_counts[round % 5]};
        check_integers(model_of(std::move(n)), random, counts);
    }
}

TEST_CASE("wide inputs that only meet zero weights do not widen or disturb a narrow sum") {
    Random random(13);
    for (const int width : {8, 20, 40, 64}) {
        CAPTURE(width);
        Network n;
        n.name = "narrow";
        const std::vector<Format> formats = {signed_format(6, 0), signed_format(width, 0),
                                             unsigned_format(5, 0)};
        const Value x = n.add_input("x", {{3}, PerElement<Format>::each(formats)}, at("x"));
        ContractFields fields;
        fields.weights = {{1, 3, 5}, {1, -2, 0, 3, 7, 0, 0, 0, 0, 0, 4, -5, 0, 6, -7}};
        const Value y = n.add(contract_operator, Attributes::of(fields), {x}, at("fc"));
        n.set_output("y", y);
        CHECK(lane_of(n.type(y)) == Lane::i16);
        CHECK(n.type(y).fixed->at(2).range == Interval{0, 0});
        check_integers(model_of(std::move(n)), random);
    }
}

TEST_CASE("sums that wrap on their way come out right") {
    // 200 x 100 twice exceeds 16 bits before the third product brings it back.
    Network n;
    n.name = "wrap";
    const Format positive{{false, 8, 0}, {200, 200}};
    const Value x = n.add_input("x", {{4}, PerElement<Format>(positive)}, at("x"));
    ContractFields fields;
    fields.weights = {{1, 4, 1}, {127, 127, -127, -120}};
    const Value y = n.add(contract_operator, Attributes::of(fields), {x}, at("fc"));
    n.set_output("y", y);
    REQUIRE(lane_of(n.type(y)) == Lane::i16);
    const CoreModel model = model_of(std::move(n));
    const auto out = TensorEmulator(model).run_integers({std::vector<std::int64_t>(4, 200)}, 1);
    CHECK(out == Integers{{1400}});
}

TEST_CASE("maps are their bodies, element by element") {
    Random random(14);
    for (const int width : {5, 14, 27}) {
        CAPTURE(width);
        Network n;
        n.name = "maps";
        std::vector<Format> formats;
        for (int e = 0; e < 6; ++e) {
            formats.push_back(e % 2 == 0 ? signed_format(width, e % 3)
                                         : unsigned_format(width - e % 4, e % 2));
        }
        const Value x = n.add_input("x", {{2, 3}, PerElement<Format>::each(formats)}, at("x"));
        const Value row =
            n.add_input("row", {{3}, PerElement<Format>(signed_format(width, 1))}, at("row"));
        const Value column = n.add_input(
            "column", {{2, 1}, PerElement<Format>(unsigned_format(3, 0))}, at("column"));
        const auto map = [&](const network::Operator& op, Attributes fields,
                             std::vector<Value> inputs) {
            const Value y =
                n.add(op, std::move(fields), std::move(inputs), at(std::string(op.name)));
            n.set_output("y" + std::to_string(n.outputs().size()), y);
            return y;
        };
        for (const network::Operator* op : {&add_operator, &subtract_operator, &multiply_operator,
                                            &maximum_operator, &minimum_operator}) {
            map(*op, Attributes(), {x, row});
            map(*op, Attributes(), {column, x});
            map(*op, Attributes(), {row, column});
        }
        using Numbers = PerElement<Int128>;
        map(affine_operator,
            Attributes::of(AffineFields{Numbers::along({3, -5}, 3),
                                        Numbers::each({1, -2, 3, -4, 5, 6}),
                                        PerElement<std::int64_t>::along({0, 2, 1}, 1)}),
            {x});
        map(leaky_operator,
            Attributes::of(LeakyFields{Numbers::along({1, -3, 0}, 1), Int128{4}, std::int64_t{3}}),
            {x});
        map(clamp_operator,
            Attributes::of(
                ClampFields{PerElement<Interval>::along({{-3, 9}, {0, 5}, {-100, 100}}, 1)}),
            {x});
        map(absolute_operator, Attributes(), {x});
        map(thresholds_operator,
            Attributes::of(ThresholdFields{
                PerElement<std::vector<Int128>>::along({{-4, 0, 3}, {1, 2, 5, 5}}, 3), Int128{-2},
                PerElement<std::int64_t>::along({1, -1}, 3), std::int64_t{0}}),
            {x});
        const Value small =
            map(quantize_operator,
                Attributes::of(
                    QuantizeFields{FixedType{true, 4, 0}, Rounding::half_even, Overflow::saturate}),
                {x});
        std::vector<Int128> words;
        for (int i = 0; i < 16; ++i) {
            words.push_back(i * i * 37 % 101 - 50);
        }
        map(table_operator,
            Attributes::of(
                TableFields{Int128{-8}, PerElement<std::vector<Int128>>(words), std::int64_t{1}}),
            {small});
        for (const Rounding rounding :
             {Rounding::floor, Rounding::ceil, Rounding::toward_zero, Rounding::away,
              Rounding::half_up, Rounding::half_down, Rounding::half_even, Rounding::half_away,
              Rounding::half_zero}) {
            for (const Overflow overflow :
                 {Overflow::wrap, Overflow::saturate, Overflow::saturate_symmetric}) {
                map(quantize_operator,
                    Attributes::of(
                        QuantizeFields{PerElement<FixedType>::along(
                                           {{true, 4, 0}, {false, 3, -1}, {true, 7, 1}}, 1),
                                       rounding, overflow}),
                    {x});
            }
        }
        FixedConstantFields constant{{{2, 3}, {5, -6, 7, 0, 300, -40000}}, 2};
        const Value c = map(fixed_constant_operator, Attributes::of(constant), {});
        map(add_operator, Attributes(), {x, c});
        const CoreModel model = model_of(std::move(n));
        check_integers(model, random);
        check_run(model, random);
    }
}

TEST_CASE("rows are their bodies") {
    Random random(15);
    for (const int width : {6, 15, 30}) {
        for (const std::int64_t length : {1, 2, 7}) {
            CAPTURE(width);
            CAPTURE(length);
            Network n;
            n.name = "rows";
            std::vector<Format> formats;
            for (std::int64_t e = 0; e < 3 * length; ++e) {
                formats.push_back(e < length ? signed_format(width, 1)
                                             : unsigned_format(width - static_cast<int>(e % 3), 0));
            }
            const Value x =
                n.add_input("x", {{3, length}, PerElement<Format>::each(formats)}, at("x"));
            const auto row = [&](const network::Operator& op, Attributes fields) {
                const Value y = n.add(op, std::move(fields), {x}, at(std::string(op.name)));
                const std::size_t results = n.node(y.node).types.size();
                for (std::uint32_t i = 0; i < results; ++i) {
                    n.set_output("y" + std::to_string(n.outputs().size()), {y.node, i});
                }
            };
            row(row_sum_operator, Attributes());
            row(row_max_operator, Attributes());
            row(row_min_operator, Attributes());
            for (const bool smallest : {false, true}) {
                row(row_argmax_operator, Attributes::of(ArgmaxFields{smallest, false}));
                row(row_argmax_operator, Attributes::of(ArgmaxFields{smallest, true}));
                row(row_top_k_operator, Attributes::of(TopKFields{(length + 1) / 2, smallest}));
            }
            const CoreModel model = model_of(std::move(n));
            check_integers(model, random);
            check_run(model, random);
        }
    }
}

TEST_CASE("moves copy the elements that they say, and zeros, between lanes") {
    Random random(16);
    Network n;
    n.name = "moves";
    std::vector<Format> formats;
    for (int e = 0; e < 2 * 4 * 5; ++e) {
        formats.push_back(e == 17 ? signed_format(45, 3) : signed_format(3 + e % 9, e % 3));
    }
    const Value x = n.add_input("x", {{2, 4, 5}, PerElement<Format>::each(formats)}, at("x"));
    const Value narrow =
        n.add_input("narrow", {{2, 1, 5}, PerElement<Format>(unsigned_format(4, 1))}, at("narrow"));
    const auto move = [&](const network::Operator& op, Attributes fields,
                          std::vector<Value> inputs) {
        const Value y = n.add(op, std::move(fields), std::move(inputs), at(std::string(op.name)));
        n.set_output("y" + std::to_string(n.outputs().size()), y);
        return y;
    };
    move(reshape_operator, Attributes::of(ReshapeFields{{8, 5}}), {x});
    move(transpose_operator, Attributes::of(TransposeFields{{2, 0, 1}}), {x});
    // Without the one wide element, so from 64-bit lanes to narrow ones.
    const Value cut =
        move(slice_operator, Attributes::of(SliceFields{{1, 3, 4}, {1, -2, -1}, {1, 2, 3}}), {x});
    CHECK(lane_of(n.type(x)) == Lane::i64);
    CHECK(lane_of(n.type(cut)) == Lane::i16);
    move(concat_operator, Attributes::of(ConcatFields{1}), {narrow, x, narrow});
    move(expand_operator, Attributes::of(ExpandFields{{2, 3, 5}}), {narrow});
    for (const char* mode : {"zero", "edge", "reflect"}) {
        move(pad_operator, Attributes::of(PadFields{{0, 1, 2}, {1, 2, 0}, mode}), {x});
    }
    move(index_operator, Attributes::of(IndexFields{{2, 2}, {{2, 2}, {39, 0, 17, 17}}}), {x});
    for (const bool clip : {false, true}) {
        move(window_operator,
             Attributes::of(WindowFields{{3, 2}, {1, 2}, {1, 1}, {1, 0}, {1, 1}, clip}), {x});
    }
    const CoreModel model = model_of(std::move(n));
    check_integers(model, random);
    check_run(model, random);
}

TEST_CASE("a lowered network with encoding and decoding runs as its core network") {
    Random random(17);
    Network n;
    n.name = "layers";
    const auto constant = [&](Shape shape, int modulus, double unit) {
        Tensor t{shape, {}};
        for (std::int64_t i = 0; i < element_count(shape); ++i) {
            t.values.push_back(static_cast<double>(i * 7 % modulus - modulus / 2) * unit);
        }
        return n.add(network::constant_operator, Attributes::of(network::ConstantFields{t}), {},
                     at("constant"));
    };
    const auto quantised = [&](Value x, double scale, double low, double high) {
        FakeQuantizeFields f;
        f.scale = Tensor::scalar(scale);
        f.zero_point = Tensor::scalar(0);
        f.low = Tensor::scalar(low);
        f.high = Tensor::scalar(high);
        return n.add(fake_quantize_operator, Attributes::of(f), {x}, at("quant"));
    };
    Value x = n.add_input("x", {{2, 6, 6}, std::nullopt}, at("x"));
    x = quantised(x, 0.5, -128, 127);
    ConvFields conv;
    conv.strides = conv.dilations = conv.before = conv.after = {1, 1};
    x = n.add(conv_operator, Attributes::of(conv),
              {x, constant({5, 2, 3, 3}, 11, 0.25), constant({5}, 3, 0.75)}, at("conv"));
    x = n.add(function_operator, Attributes::of(FunctionFields{"maximum"}), {x, constant({}, 1, 0)},
              at("relu"));
    x = quantised(x, 0.3, 0, 15);
    PoolFields pool;
    pool.kind = "max";
    pool.kernel = pool.strides = {2, 2};
    pool.dilations = {1, 1};
    pool.before = pool.after = {0, 0};
    x = n.add(pool_operator, Attributes::of(pool), {x}, at("pool"));
    x = n.add(reshape_operator, Attributes::of(ReshapeFields{{45}}), {x}, at("flatten"));
    const Value logits =
        n.add(matmul_operator, Attributes(), {x, constant({45, 7}, 13, 0.125)}, at("fc"));
    n.set_output("logits", logits);
    n.set_output("softmax",
                 n.add(softmax_operator, Attributes::of(SoftmaxFields{}), {logits}, at("softmax")));
    n.set_output("class",
                 n.add(argmax_operator, Attributes::of(ArgLayerFields{}), {logits}, at("argmax")));
    const CoreModel model = lower(n, {});
    check_integers(model, random);

    const TensorEmulator emulator(model);
    for (const std::int64_t samples : sample_counts) {
        std::vector<double> values;
        Integers integers(1);
        for (std::int64_t i = 0; i < samples * 72; ++i) {
            values.push_back(static_cast<double>(between(random, -600, 600)) / 8);
        }
        const Samples arrays = emulate::match_arrays(
            model, {{"x", NpyArray::of({samples, 2, 6, 6}, std::span<const double>(values))}}, "x");
        integers[0].resize(values.size());
        emulate::Encoder(model, 0).encode(arrays, 0, samples, integers[0].data(), samples);
        const auto one = emulator.run(arrays, 1);
        const auto three = emulator.run(arrays, 3);
        CHECK(one.values == three.values);
        const Integers results = emulator.run_integers(integers, samples);
        for (std::size_t o = 0; o < results.size(); ++o) {
            const emulate::Decoder decoder(model, o);
            std::vector<float> decoded(results[o].size());
            decoder.decode(results[o].data(), samples, samples, decoded.data());
            CHECK(one.values[o] == decoded);
        }
    }
}

TEST_CASE("an error in one thread is the error of the run") {
    Network n;
    n.name = "bad";
    const Value x = n.add_input("x", {{2}, PerElement<Format>(signed_format(8, 2))}, at("x"));
    n.set_output("y", x);
    const CoreModel model = model_of(std::move(n));
    const TensorEmulator emulator(model);
    std::vector<double> values(2 * 300, 1.0);
    values[401] = std::nan("");
    const Samples arrays = emulate::match_arrays(
        model, {{"x", NpyArray::of({300, 2}, std::span<const double>(values))}}, "x");
    for (const int threads : {1, 3}) {
        CHECK_THROWS_AS(emulator.run(arrays, threads), Failure);
    }
}

TEST_CASE("no samples give no values") {
    Network n;
    n.name = "empty";
    n.set_output("y", n.add_input("x", {{2}, PerElement<Format>(signed_format(8, 2))}, at("x")));
    const CoreModel model = model_of(std::move(n));
    const auto result = TensorEmulator(model).run(
        emulate::match_arrays(model, {{"x", NpyArray::of({0, 2}, std::span<const double>())}}, "x"),
        3);
    CHECK(result.shapes == std::vector<Shape>{{2}});
    CHECK(result.values == std::vector<std::vector<float>>{{}});
}
