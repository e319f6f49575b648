#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "emulate/float_engine.h"
#include "emulate/float_kernels.h"
#include "emulate/reference.h"
#include "operators/function.h"
#include "operators/layers.h"
#include "operators/map.h"
#include "operators/move.h"

using namespace gatewright;
using namespace gatewright::operators;
using network::Attributes;
using network::Network;
using network::Value;

namespace {

struct Numbers {
    std::mt19937 random{7};

    Tensor tensor(Shape shape) {
        Tensor t = Tensor::filled(std::move(shape), 0.0);
        for (double& v : t.values) {
            v = std::uniform_real_distribution<double>(-2, 2)(random);
        }
        return t;
    }
};

/// The engine's outputs for as many samples as it has lanes, and the reference's, sample by sample.
void compare(const Network& layers, Numbers& numbers, double tolerance) {
    emulate::FloatEngine engine(layers);
    const std::int64_t lanes = engine.lanes();
    std::vector<std::vector<Tensor>> samples;  // [lane][input]
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
        auto& inputs = samples.emplace_back();
        for (const network::NodeId id : layers.inputs()) {
            inputs.push_back(numbers.tensor(layers.node(id).types.front().shape));
        }
    }
    std::vector<std::vector<double>> outputs(layers.outputs().size());
    for (int repeat = 0; repeat < 2; ++repeat) {  // buffers must not remember the first run
        engine.run(
            [&](std::size_t i, double* rows) {
                const std::size_t count = samples[0][i].values.size();
                for (std::size_t e = 0; e < count; ++e) {
                    for (std::int64_t lane = 0; lane < lanes; ++lane) {
                        rows[static_cast<std::int64_t>(e) * lanes + lane] =
                            samples[static_cast<std::size_t>(lane)][i].values[e];
                    }
                }
            },
            [&](std::size_t o, const double* rows) {
                const auto count = element_count(layers.type(layers.outputs()[o].value).shape);
                outputs[o].assign(rows, rows + count * lanes);
            });
    }
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
        const auto values =
            emulate::reference_values(layers, samples[static_cast<std::size_t>(lane)]);
        for (std::size_t o = 0; o < outputs.size(); ++o) {
            const Value value = layers.outputs()[o].value;
            const Tensor& expected = values[value.node][value.output];
            for (std::size_t e = 0; e < expected.values.size(); ++e) {
                const double got = outputs[o][e * static_cast<std::size_t>(lanes) +
                                              static_cast<std::size_t>(lane)];
                CHECK(std::abs(got - expected.values[e]) <=
                      tolerance * (1 + std::abs(expected.values[e])));
            }
        }
    }
}

Value constant(Network& n, Tensor value) {
    return n.add(network::constant_operator,
                 Attributes::of(network::ConstantFields{std::move(value)}), {}, {});
}

Value function(Network& n, const std::string& name, Value x, std::vector<Tensor> parameters = {}) {
    std::vector<Value> inputs = {x};
    for (Tensor& parameter : parameters) {
        inputs.push_back(constant(n, std::move(parameter)));
    }
    return n.add(function_operator, Attributes::of(FunctionFields{name}), inputs, {});
}

}  // namespace

TEST_CASE("float engine: dense layers give the reference's numbers") {
    Numbers numbers;
    for (const std::int64_t columns : {1, 3, 4, 9}) {
        Network n;
        const Value x = n.add_input("x", {{3, 7}, std::nullopt}, {});
        Value y = n.add(
            matmul_operator, Attributes(),
            {x, constant(n, numbers.tensor({7, columns})), constant(n, numbers.tensor({columns}))},
            {});
        y = function(n, "maximum", y, {Tensor::scalar(0)});
        y = function(n, "affine", y, {numbers.tensor({columns}), numbers.tensor({3, 1})});
        n.set_output("y", y);
        n.set_output("sum", n.add(add_operator, Attributes(),
                                  {y, constant(n, numbers.tensor({columns}))}, {}));
        n.set_output(
            "constant",
            n.add(multiply_operator, Attributes(),
                  {constant(n, numbers.tensor({2})), constant(n, numbers.tensor({2}))}, {}));
        compare(n, numbers, 1e-15);
    }
}

TEST_CASE("float engine: convolution, pooling, moves and reductions are the reference's, exactly") {
    Numbers numbers;
    for (const std::int64_t groups : {1, 2}) {
        Network n;
        const Value x = n.add_input("x", {{4, 6, 5}, std::nullopt}, {});
        const ConvFields conv{{2, 1}, {1, 2}, {1, 0}, {0, 1}, groups, {}};
        const Value y = n.add(conv_operator, Attributes::of(conv),
                              {x, constant(n, numbers.tensor({6, 4 / groups, 3, 2})),
                               constant(n, numbers.tensor({6}))},
                              {});
        PoolFields pool;
        pool.kernel = {2, 3};
        pool.strides = {1, 2};
        pool.dilations = {1, 1};
        pool.before = {0, 1};
        pool.after = {1, 1};
        for (const char* kind : {"max", "average"}) {
            pool.kind = kind;
            n.set_output(kind, n.add(pool_operator, Attributes::of(pool), {y}, {}));
        }
        for (const char* kind : {"sum", "mean", "max", "min"}) {
            n.set_output(
                std::string("reduce ") + kind,
                n.add(reduce_operator, Attributes::of(ReduceFields{kind, {0, 2}, false}), {y}, {}));
        }
        const Value turned =
            n.add(transpose_operator, Attributes::of(TransposeFields{{2, 0, 1}}), {y}, {});
        n.set_output("turned", turned);
        n.set_output("joined",
                     n.add(concat_operator, Attributes::of(ConcatFields{0}), {turned, turned}, {}));
        // A run of elements lies where its source lies; what it came from may be given away.
        const Value part = n.add(
            slice_operator, Attributes::of(SliceFields{{2, 0, 0}, {1, 1, 1}, {2, 6, 5}}), {x}, {});
        n.set_output("part", n.add(multiply_operator, Attributes(), {part, part}, {}));
        n.set_output(
            "norm", n.add(batch_norm_operator, Attributes::of(BatchNormFields{1e-3, 0}),
                          {part, constant(n, numbers.tensor({2})), constant(n, numbers.tensor({2})),
                           constant(n, numbers.tensor({2})), constant(n, Tensor{{2}, {0.5, 3}})},
                          {}));
        compare(n, numbers, 0);
    }
}

TEST_CASE("float engine: transposed convolution is the reference's, exactly") {
    Numbers numbers;
    for (const std::int64_t groups : {1, 2}) {
        for (const auto& [strides, dilations] :
             {std::pair<Shape, Shape>{{2, 3}, {1, 1}}, {{1, 2}, {2, 1}}, {{3, 3}, {1, 2}}}) {
            Network n;
            const Value x = n.add_input("x", {{4, 3, 5}, std::nullopt}, {});
            const ConvTransposeFields fields{strides, dilations, {1, 0}, {0, 2}, {1, 0}, groups};
            n.set_output("y", n.add(conv_transpose_operator, Attributes::of(fields),
                                    {x, constant(n, numbers.tensor({4, 3, 2, 3})),
                                     constant(n, numbers.tensor({3 * groups}))},
                                    {}));
            compare(n, numbers, 0);
        }
    }
}

TEST_CASE("float kernels: all forms of a sum of products give the same bits") {
    Numbers numbers;
    for (const emulate::FloatForm& form : emulate::float_forms()) {
        CAPTURE(std::string(form.name));
        for (const std::int64_t columns : {1, 2, 3, 4}) {
            for (const std::int64_t lanes : {8, 16, 24, 32, 64}) {
                const std::int64_t length = 37;
                const Tensor x = numbers.tensor({length, lanes});
                const Tensor w = numbers.tensor({length, columns});
                const Tensor bias = numbers.tensor({columns});
                const Tensor before = numbers.tensor({columns, lanes});
                std::vector<const double*> rows;
                for (std::int64_t k = 0; k < length; ++k) {
                    rows.push_back(x.values.data() + k * lanes);
                }
                for (const bool biased : {false, true}) {
                    Tensor sums = before;
                    double* out[emulate::most_columns];
                    for (std::int64_t j = 0; j < columns; ++j) {
                        out[j] = sums.values.data() + j * lanes;
                    }
                    form.contract[static_cast<std::size_t>(columns - 1)](
                        rows.data(), w.values.data(), length, lanes,
                        biased ? bias.values.data() : nullptr, out);
                    int wrong = 0;
                    for (std::int64_t i = 0; i < columns * lanes; ++i) {
                        const std::int64_t j = i / lanes;
                        double sum = biased ? bias.values[static_cast<std::size_t>(j)]
                                            : before.values[static_cast<std::size_t>(i)];
                        for (std::int64_t k = 0; k < length; ++k) {
                            sum =
                                std::fma(rows[static_cast<std::size_t>(k)][i % lanes],
                                         w.values[static_cast<std::size_t>(k * columns + j)], sum);
                        }
                        wrong += sums.values[static_cast<std::size_t>(i)] == sum ? 0 : 1;
                    }
                    CHECK(wrong == 0);
                }
            }
        }
    }
}

TEST_CASE("float kernels: all forms of the element-wise kernels give the same bits") {
    Numbers numbers;
    const emulate::FloatForm& plain = emulate::float_forms().back();
    CHECK(plain.name == "plain");
    const std::int64_t count = 203;  // not whole vectors
    const Tensor x = numbers.tensor({count});
    Tensor y = numbers.tensor({count});
    for (double& v : y.values) {
        v = v * 20 + 0.25;
    }
    const auto same = [](const std::vector<double>& a, const std::vector<double>& b) {
        return std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
    };
    const auto applied = [&](emulate::FloatKernel kernel, const std::vector<double>& to) {
        const double parameters[] = {0.75, 1.25, 1.5, -0.5};
        std::vector<double> out(to.size());
        kernel(to.data(), count, parameters, out.data());
        return out;
    };
    for (const emulate::FloatForm& form : emulate::float_forms()) {
        CAPTURE(std::string(form.name));
        REQUIRE(form.functions.size() == plain.functions.size());
        for (std::size_t i = 0; i < plain.functions.size(); ++i) {
            CAPTURE(i);
            CHECK(
                same(applied(form.functions[i], y.values), applied(plain.functions[i], y.values)));
        }
        CHECK(same(applied(form.batch_norm, y.values), applied(plain.batch_norm, y.values)));
        for (std::size_t i = 0; i < plain.combine.size(); ++i) {
            CAPTURE(i);
            std::vector<double> a(x.values.size());
            std::vector<double> b(x.values.size());
            form.combine[i](x.values.data(), y.values.data(), count, a.data());
            plain.combine[i](x.values.data(), y.values.data(), count, b.data());
            CHECK(same(a, b));
            form.combine_number[i](x.values.data(), 0.375, count, a.data());
            plain.combine_number[i](x.values.data(), 0.375, count, b.data());
            CHECK(same(a, b));
        }
        std::vector<double> a(x.values.size());
        std::vector<double> b(x.values.size());
        std::vector<double> sum_a = x.values;
        std::vector<double> sum_b = x.values;
        form.shifted_exponentials(y.values.data(), x.values.data(), count, a.data(), sum_a.data());
        plain.shifted_exponentials(y.values.data(), x.values.data(), count, b.data(), sum_b.data());
        CHECK(same(a, b));
        CHECK(same(sum_a, sum_b));
    }
}

TEST_CASE("float kernels: all forms bring samples to the rows where they belong") {
    Numbers numbers;
    for (const emulate::FloatForm& form : emulate::float_forms()) {
        CAPTURE(std::string(form.name));
        for (const std::int64_t elements : {1, 8, 21, 64}) {
            const std::int64_t lanes = 16;
            const Tensor samples = numbers.tensor({8, elements});
            const std::vector<float> narrow(samples.values.begin(), samples.values.end());
            std::vector<double> rows(static_cast<std::size_t>(elements * lanes), -7);
            std::vector<double> narrow_rows = rows;
            form.spread_double(samples.values.data(), elements, lanes, rows.data());
            form.spread_float(narrow.data(), elements, lanes, narrow_rows.data());
            int wrong = 0;
            for (std::int64_t i = 0; i < elements * lanes; ++i) {
                const auto from = static_cast<std::size_t>(i % lanes * elements + i / lanes);
                const auto at = static_cast<std::size_t>(i);
                const bool other = i % lanes >= 8;  // lanes of other samples stay as they are
                wrong += rows[at] == (other ? -7 : samples.values[from]) ? 0 : 1;
                wrong += narrow_rows[at] == (other ? -7 : double{narrow[from]}) ? 0 : 1;
            }
            CHECK(wrong == 0);
        }
    }
}

TEST_CASE("float engine: element-wise layers that take the place of others disturb nothing") {
    Numbers numbers;
    for (const std::int64_t rows : {1, 40}) {
        Network n;
        const Value x = n.add_input("x", {{rows, 5}, std::nullopt}, {});
        const auto dense = [&](Value from) {
            return n.add(
                matmul_operator, Attributes(),
                {from, constant(n, numbers.tensor({5, 6})), constant(n, numbers.tensor({6}))}, {});
        };
        // Two products that are joined; one is read again behind that.
        const Value a = dense(x);
        const Value b = function(n, "tanh", dense(x));
        const Value sum = n.add(add_operator, Attributes(), {a, b}, {});
        const Value less = n.add(subtract_operator, Attributes(), {sum, b}, {});
        // Through a reshape, and with an operand that is computed in between.
        const Value flat =
            n.add(reshape_operator, Attributes::of(ReshapeFields{{6 * rows}}), {dense(x)}, {});
        const Value other = n.add(reshape_operator, Attributes::of(ReshapeFields{{6 * rows}}),
                                  {function(n, "sigmoid", less)}, {});
        Value y = n.add(maximum_operator, Attributes(), {other, flat}, {});
        y = function(n, "exp", function(n, "leaky", y, {Tensor::scalar(0.5)}));
        n.set_output("y", n.add(divide_operator, Attributes(),
                                {constant(n, numbers.tensor({6 * rows})), y}, {}));
        n.set_output("sum", sum);
        compare(n, numbers, 2e-15);
    }
}

TEST_CASE("float engine: nodes without a form on rows take the reference") {
    Numbers numbers;
    Network n;
    const Value x = n.add_input("x", {{5}, std::nullopt}, {});
    n.set_output("argmax", n.add(argmax_operator, Attributes::of(ArgLayerFields{}), {x}, {}));
    n.set_output("mish", function(n, "mish", x));
    n.set_output("softmax",
                 n.add(softmax_operator, Attributes::of(SoftmaxFields{0, false}), {x}, {}));
    compare(n, numbers, 4e-16);
}

TEST_CASE("float kernels: near the functions of the table, also far out") {
    std::vector<double> xs = {0.0,   -0.0,  1e-300, -1e-9, 0.1,   -0.34, 0.35,  1.0,
                              -1.0,  5.5,   -20.0,  30.0,  -50.0, 88.5,  -708,  -745,
                              708.9, 800.0, -800,   1e10,  3.0,   -1e10, 1e300, 17.25,
                              -0.5,  0.25,  -2.0,   2.0,   -3.5,  4.0,   -6.0,  9.0};
    Numbers numbers;
    for (const double v : numbers.tensor({480}).values) {
        xs.push_back(v * 8);
    }
    const std::vector<double> parameters = {0.75, 1.25};
    const std::vector<long double> wide(parameters.begin(), parameters.end());
    int tried = 0;
    for (const Function& row : functions()) {
        const emulate::FloatKernel kernel = emulate::find_float_kernel(row.name);
        if (kernel == nullptr) {
            continue;
        }
        ++tried;
        std::vector<double> ys(xs.size());
        kernel(xs.data(), static_cast<std::int64_t>(xs.size()), parameters.data(), ys.data());
        for (std::size_t i = 0; i < xs.size(); ++i) {
            const auto true_value = static_cast<double>(
                row.value(xs[i], std::span(wide).first(static_cast<std::size_t>(row.parameters))));
            INFO(std::string(row.name), " at ", xs[i], ": ", ys[i], " for ", true_value);
            if (std::isnan(true_value)) {
                CHECK(std::isnan(ys[i]));
            } else if (std::isinf(true_value)) {
                CHECK(ys[i] == true_value);
            } else {
                CHECK(std::abs(ys[i] - true_value) <= 9e-16 * (1 + std::abs(true_value)));
            }
        }
        double nan = std::numeric_limits<double>::quiet_NaN();
        double y = 0;
        kernel(&nan, 1, parameters.data(), &y);
        if (row.name != "maximum" && row.name != "minimum") {
            CHECK(std::isnan(y));
        }
    }
    CHECK(tried >= 15);
}
