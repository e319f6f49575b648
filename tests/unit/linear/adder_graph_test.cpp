#include "linear/adder_graph.h"

#include <doctest/doctest.h>

#include <limits>
#include <random>

#include "base/diagnostics.h"

using namespace gatewright;
using namespace gatewright::linear;

namespace {

using Rows = std::vector<std::vector<std::int64_t>>;

Matrix matrix_of(const Rows& rows) {
    Matrix matrix;
    matrix.n_in = static_cast<std::int64_t>(rows.size());
    matrix.n_out = rows.empty() ? 0 : static_cast<std::int64_t>(rows.front().size());
    for (const auto& row : rows) {
        matrix.weights.insert(matrix.weights.end(), row.begin(), row.end());
    }
    return matrix;
}

std::vector<Interval> bytes(const Matrix& matrix) {
    return std::vector<Interval>(static_cast<std::size_t>(matrix.n_in), Interval{-128, 127});
}

AdderGraph build(const Matrix& matrix, int extra_depth = -1) {
    return build_adder_graph(matrix, bytes(matrix), {.extra_depth = extra_depth});
}

/// All values of the graph for inputs x.
std::vector<Int128> run(const AdderGraph& graph, const std::vector<Int128>& x) {
    std::vector<Int128> values = x;
    for (const Addition& addition : graph.additions) {
        const Int128 a = values[static_cast<std::size_t>(addition.a)] *
                         (static_cast<Int128>(1) << addition.shift_a);
        const Int128 b = values[static_cast<std::size_t>(addition.b)] *
                         (static_cast<Int128>(1) << addition.shift_b);
        values.push_back((addition.negate_a ? -a : a) + (addition.negate_b ? -b : b));
    }
    return values;
}

std::vector<Int128> outputs(const AdderGraph& graph, const std::vector<Int128>& x) {
    const std::vector<Int128> values = run(graph, x);
    std::vector<Int128> y;
    for (const Output& output : graph.outputs) {
        Int128 value = 0;
        if (output.value >= 0) {
            value = values[static_cast<std::size_t>(output.value)] *
                    (static_cast<Int128>(1) << output.shift);
        }
        y.push_back(output.negate ? -value : value);
    }
    return y;
}

std::vector<Int128> product(const std::vector<Int128>& x, const Matrix& matrix) {
    std::vector<Int128> y(static_cast<std::size_t>(matrix.n_out));
    for (std::int64_t i = 0; i < matrix.n_in; ++i) {
        for (std::int64_t o = 0; o < matrix.n_out; ++o) {
            y[static_cast<std::size_t>(o)] += x[static_cast<std::size_t>(i)] * matrix.at(i, o);
        }
    }
    return y;
}

/// Proves the graph, multiplies two samples both ways and looks at the interface's promises.
void check(const AdderGraph& graph, const Matrix& matrix) {
    REQUIRE(prove(graph, matrix) == "");
    for (const Addition& addition : graph.additions) {
        CHECK_FALSE((addition.negate_a && addition.negate_b));
    }
    for (int sample = 0; sample < 2; ++sample) {
        std::vector<Int128> x;
        for (std::int64_t i = 0; i < matrix.n_in; ++i) {
            x.push_back((i * 37 + sample * 101) % 256 - 128);
        }
        CHECK(outputs(graph, x) == product(x, matrix));
    }
}

Matrix random_matrix(std::mt19937_64& random, std::int64_t n_in, std::int64_t n_out,
                     std::int64_t low, std::int64_t high) {
    Matrix matrix{n_in, n_out, {}};
    for (std::int64_t k = 0; k < n_in * n_out; ++k) {
        const auto span = static_cast<std::uint64_t>(high - low) + 1;
        matrix.weights.push_back(low + static_cast<std::int64_t>(random() % span));
    }
    return matrix;
}

bool same(const AdderGraph& a, const AdderGraph& b) {
    return a.n_in == b.n_in && a.additions == b.additions && a.outputs == b.outputs;
}

}  // namespace

TEST_CASE("zero, empty and single-element matrices") {
    const Matrix zero = matrix_of({{0, 0}, {0, 0}});
    const AdderGraph graph = build(zero);
    check(graph, zero);
    CHECK(graph.additions.empty());
    CHECK(graph.outputs == std::vector<Output>{{}, {}});

    for (const Matrix& empty : {Matrix{0, 3, {}}, Matrix{3, 0, {}}, Matrix{0, 0, {}}}) {
        check(build(empty), empty);
        CHECK(build(empty).outputs.size() == static_cast<std::size_t>(empty.n_out));
    }
    for (const std::int64_t weight : {1, -1, 8, -8}) {
        const Matrix one = matrix_of({{weight}});
        check(build(one), one);
        CHECK(build(one).additions.empty());
    }
}

TEST_CASE("one row, one column") {
    const Matrix row = matrix_of({{1, 2, 3, -3, 5, 6, 7, -12, 0, 45, 64}});
    check(build(row), row);
    CHECK(build(row).additions.size() == 4);  // 3, 5, 7 and 45 = 9 * 5 or 3 * 15

    const Matrix column = matrix_of({{1}, {-2}, {3}, {0}, {7}});
    check(build(column), column);
}

TEST_CASE("powers of two cost nothing") {
    const Matrix matrix = matrix_of({{4, 0, 0}, {0, -16, 0}, {0, 0, 1}});
    check(build(matrix), matrix);
    CHECK(build(matrix).additions.empty());
}

TEST_CASE("equal, opposite and scaled columns are computed once") {
    const Matrix matrix = matrix_of({{3, 3, -3, 12, 3}, {5, 5, -5, 20, 5}});
    const AdderGraph graph = build(matrix);
    check(graph, matrix);
    CHECK(graph.additions.size() == 3);
    const Matrix equal = matrix_of(Rows(6, std::vector<std::int64_t>(6, 77)));
    check(build(equal), equal);
    CHECK(build(equal).additions.size() == 5 + 3);  // the sum once, times 77 (64 + 8 + 4 + 1)
}

TEST_CASE("huge weights") {
    const std::int64_t big = (std::int64_t{1} << 62) - 1;
    const std::int64_t least = std::numeric_limits<std::int64_t>::min();
    const std::int64_t most = std::numeric_limits<std::int64_t>::max();
    std::mt19937_64 random(7);
    const Matrix matrix = matrix_of({{big, -big, 0x2aaaaaaaaaaaaaaa}, {1, big - 12345, 3}});
    check(build(matrix), matrix);
    check(build(matrix, 0), matrix);
    const Matrix extreme = matrix_of({{least, most, least}, {most, least, least}, {1, -1, 0}});
    check(build(extreme), extreme);
    const Matrix many = random_matrix(random, 6, 5, -big, big);
    check(build(many), many);
    check(build(many, 0), many);
}

TEST_CASE("a sign is absorbed unless all terms are negative") {
    for (const Rows& column : {Rows{{-1}, {1}, {-1}}, Rows{{-4}, {1}, {-1}}, Rows{{3}, {-8}, {-1}},
                               Rows{{-7}, {-1}}, Rows{{-1}, {-1}, {-1}, {-1}, {1}}, Rows{{-3}}}) {
        const Matrix mixed = matrix_of(column);
        for (const int extra : {-1, 0}) {
            const AdderGraph graph = build(mixed, extra);
            check(graph, mixed);
            CHECK_FALSE(graph.outputs.front().negate);
        }
    }
    const Matrix negative = matrix_of({{-1}, {-2}});
    const AdderGraph graph = build(negative);
    check(graph, negative);
    CHECK(graph.outputs.front().negate);
}

TEST_CASE("random matrices are exact, and no deeper than allowed") {
    std::mt19937_64 random(1);
    for (int trial = 0; trial < 60; ++trial) {
        CAPTURE(trial);
        const auto n_in = static_cast<std::int64_t>(random() % 12 + 1);
        const auto n_out = static_cast<std::int64_t>(random() % 12 + 1);
        const std::int64_t span = std::int64_t{1} << random() % 12;
        const Matrix matrix = random_matrix(random, n_in, n_out, -span, span);
        std::int64_t before = std::numeric_limits<std::int64_t>::max();
        check(build(matrix), matrix);
        for (const int extra : {0, 1, 2, 1000}) {
            const AdderGraph graph = build(matrix, extra);
            check(graph, matrix);
            if (extra == 0) {
                before = figures_of(graph, bytes(matrix)).depth;
            }
            CHECK(figures_of(graph, bytes(matrix)).depth <= before + extra);
        }
    }
}

TEST_CASE("the shallowest depth is that of the digits alone") {
    // Eight digits in the longest column: three levels.
    const Matrix matrix = matrix_of({{5, 1, 3}, {5, 1, 0}, {3, 1, 3}, {7, 1, 5}});
    CHECK(figures_of(build(matrix, 0), bytes(matrix)).depth <= 3);
}

TEST_CASE("wide, sparse and ternary matrices, and sharing in blocks") {
    std::mt19937_64 random(3);
    const Matrix ternary = random_matrix(random, 100, 30, -1, 1);
    const AdderGraph whole = build(ternary);
    check(whole, ternary);
    for (const std::int64_t work : {1, 1000, 30000}) {
        const AdderGraph graph = build_adder_graph(ternary, bytes(ternary), {.work = work});
        check(graph, ternary);
        CHECK(graph.additions.size() >= whole.additions.size());
        const AdderGraph shallow =
            build_adder_graph(ternary, bytes(ternary), {.extra_depth = 0, .work = work});
        check(shallow, ternary);
        CHECK(figures_of(shallow, bytes(ternary)).depth <= 7);
    }
}

TEST_CASE("the same call gives the same graph") {
    std::mt19937_64 random(5);
    const Matrix matrix = random_matrix(random, 20, 20, -100, 100);
    CHECK(same(build(matrix), build(matrix)));
    CHECK(same(build(matrix, 1), build(matrix, 1)));
}

TEST_CASE("prove rejects what is not the matrix") {
    std::mt19937_64 random(11);
    const Matrix matrix = random_matrix(random, 9, 7, -50, 50);
    const AdderGraph graph = build(matrix);
    REQUIRE(prove(graph, matrix) == "");

    const auto rejects = [&](auto&& tamper) {
        AdderGraph changed = graph;
        tamper(changed);
        return prove(changed, matrix) != "";
    };
    for (std::size_t i = 0; i < graph.additions.size(); ++i) {
        CAPTURE(i);
        CHECK(rejects([&](AdderGraph& g) { g.additions[i].shift_b ^= 1; }));
        CHECK(rejects([&](AdderGraph& g) { g.additions[i].shift_a += 3; }));
        CHECK(rejects([&](AdderGraph& g) { g.additions[i].shift_a = 200; }));
        CHECK(rejects([&](AdderGraph& g) {
            std::swap(g.additions[i].negate_a, g.additions[i].negate_b);
            g.additions[i].negate_a = !g.additions[i].negate_a;
        }));
        CHECK(rejects([&](AdderGraph& g) { g.additions[i].b = (g.additions[i].b + 1) % 9; }));
        CHECK(rejects([&](AdderGraph& g) { g.additions[i].a = 1 << 20; }));
        CHECK(rejects([&](AdderGraph& g) { g.additions[i].a = -1; }));
        CHECK(rejects([&](AdderGraph& g) {
            g.additions[i].a = static_cast<std::int32_t>(9 + i);  // itself
        }));
    }
    for (std::size_t o = 0; o < graph.outputs.size(); ++o) {
        CHECK(rejects([&](AdderGraph& g) { g.outputs[o].negate = !g.outputs[o].negate; }));
        CHECK(rejects([&](AdderGraph& g) { g.outputs[o].shift += 1; }));
        CHECK(rejects([&](AdderGraph& g) { g.outputs[o].value = -1; }));
        CHECK(rejects([&](AdderGraph& g) { g.outputs[o].value = 1 << 20; }));
    }
    CHECK(rejects([](AdderGraph& g) { g.outputs.pop_back(); }));
    CHECK(rejects([](AdderGraph& g) { g.n_in = 8; }));

    Matrix other = matrix;
    other.weights[40] += 1;
    CHECK(prove(graph, other) != "");
}

TEST_CASE("a difference beyond the width of the coefficients is still seen") {
    // 2^130 - 2^130 + 1 would look like 1 to 128-bit arithmetic that wraps.
    AdderGraph graph{1, {}, {}};
    graph.additions.push_back({.a = 0, .b = 0, .shift_a = 65, .shift_b = 0});
    graph.additions.push_back({.a = 1, .b = 0, .shift_a = 65, .shift_b = 0});
    graph.outputs = {{.value = 2}};
    CHECK(prove(graph, matrix_of({{1}})) != "");
}

TEST_CASE("ranges are those of the linear forms, not of the path") {
    // (x + y) - (x - y) = 2y, whatever x is.
    AdderGraph graph{2, {}, {}};
    graph.additions.push_back({.a = 0, .b = 1});
    graph.additions.push_back({.a = 0, .b = 1, .negate_b = true});
    graph.additions.push_back({.a = 2, .b = 3, .negate_b = true});
    graph.outputs = {{.value = 4}};
    const std::vector<Interval> ranges = ranges_of(graph, {{-100, 90}, {-3, 5}});
    CHECK(ranges == std::vector<Interval>{{-100, 90}, {-3, 5}, {-103, 95}, {-105, 93}, {-6, 10}});
}

TEST_CASE("ranges hold all values, and corners reach them") {
    std::mt19937_64 random(13);
    for (const std::int64_t span : {7, 1000, 1 << 30}) {
        const Matrix matrix = random_matrix(random, 20, 4, -span, span);
        std::vector<Interval> inputs;
        for (std::int64_t i = 0; i < matrix.n_in; ++i) {
            inputs.push_back({-(i % 5) * span, (i % 7) * span + 1});
        }
        const AdderGraph graph = build_adder_graph(matrix, inputs, {});
        const std::vector<Interval> ranges = ranges_of(graph, inputs);
        for (std::size_t o = 0; o < graph.outputs.size(); ++o) {
            const Output& output = graph.outputs[o];
            std::vector<Int128> low;
            std::vector<Int128> high;
            for (std::int64_t i = 0; i < matrix.n_in; ++i) {
                const Interval& x = inputs[static_cast<std::size_t>(i)];
                const bool up = matrix.at(i, static_cast<std::int64_t>(o)) > 0;
                low.push_back(up ? x.low : x.high);
                high.push_back(up ? x.high : x.low);
            }
            Interval expected{outputs(graph, low)[o], outputs(graph, high)[o]};
            if (output.negate) {
                expected = {-expected.high, -expected.low};
            }
            const Interval& range = ranges[static_cast<std::size_t>(output.value)];
            const Int128 scale = static_cast<Int128>(1) << output.shift;
            CHECK(range.low * scale == expected.low);
            CHECK(range.high * scale == expected.high);
        }
    }
}

TEST_CASE("ranges beyond 128 bits are refused") {
    AdderGraph graph{1, {{.a = 0, .b = 0, .shift_a = 60}}, {{.value = 1}}};
    const Int128 big = static_cast<Int128>(1) << 80;
    CHECK_THROWS_AS(ranges_of(graph, {{0, big}}), Failure);
    CHECK(ranges_of(graph, {{0, 1}}).back().high == (static_cast<Int128>(1) << 60) + 1);
}

TEST_CASE("figures count exact widths less copied low bits") {
    const std::vector<Interval> x = {{-128, 127}};
    // 5x is 11 bits, of which two are x's own.
    const AdderGraph five{1, {{.a = 0, .b = 0, .shift_b = 2}}, {{.value = 1}}};
    CHECK(figures_of(five, x).full_adder_bits == 9);
    // x - 4x: the copied operand is not the subtracted one.
    const AdderGraph low{1, {{.a = 0, .b = 0, .shift_b = 2, .negate_b = true}}, {{.value = 1}}};
    CHECK(figures_of(low, x).full_adder_bits == 10 - 2);
    // 4x - x: the low bits are negated, so nothing is copied.
    const AdderGraph high{1, {{.a = 0, .b = 0, .shift_b = 2, .negate_a = true}}, {{.value = 1}}};
    CHECK(figures_of(high, x).full_adder_bits == 10);
    CHECK(figures_of(high, x).adders == 1);
    CHECK(figures_of(high, x).depth == 1);
}
