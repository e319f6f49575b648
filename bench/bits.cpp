// Speed of the bits level: nodes a second of Builder, and nanoseconds an operation and sample of
// Evaluator, on a random function made of adders, shifts and requantisations.
//
//     bench_bits [nodes]

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "bits/builder.h"
#include "bits/evaluator.h"

namespace {

using namespace gatewright;
using namespace gatewright::bits;

constexpr int inputs = 64;
constexpr std::size_t layer_nodes = 2000;
constexpr int widest = 20;

/// CPU time, so that a busy machine does not matter.
double seconds() {
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

/// max(a, 0) >> some, wrapped to eight bits: what follows a layer's sums.
NodeId requantised(Builder& b, NodeId a) {
    const NodeId zero = b.constant(0);
    const NodeId positive = b.mux(b.less(a, zero), zero, a, b.type(a));
    return b.shr(positive, std::max(0, b.type(a).width - 8), {true, 8});
}

Function random_adders(std::size_t nodes) {
    std::mt19937 random(1);
    Builder b("random_adders");
    std::vector<NodeId> layer;
    for (int i = 0; i < inputs; ++i) {
        layer.push_back(b.input(fmt::format("x{}", i), {true, 8}));
    }
    while (b.size() < nodes) {
        std::vector<NodeId> pool = layer;
        const std::size_t end = std::min(nodes, b.size() + layer_nodes);
        while (b.size() < end) {
            const NodeId x = pool[random() % pool.size()];
            const NodeId y = pool[random() % pool.size()];
            const int shift = static_cast<int>(random() % 4);
            const int width = std::max<int>(b.type(x).width, b.type(y).width + shift) + 1;
            if (width > widest) {
                pool.push_back(requantised(b, x));
                continue;
            }
            const Type type{true, static_cast<std::uint8_t>(width)};
            const NodeId shifted =
                b.shl(y, shift, {true, static_cast<std::uint8_t>(b.type(y).width + shift)});
            pool.push_back(random() % 2 == 0 ? b.add(x, shifted, type) : b.sub(x, shifted, type));
        }
        for (NodeId& value : layer) {
            value = requantised(b, pool[pool.size() - 1 - random() % (pool.size() / 2)]);
        }
    }
    for (std::size_t i = 0; i < layer.size(); ++i) {
        b.output(fmt::format("y{}", i), layer[i]);
    }
    return b.take();
}

}  // namespace

int main(int argc, char** argv) {
    const std::size_t nodes = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
    double start = seconds();
    const Function function = random_adders(nodes);
    const double build = seconds() - start;
    fmt::print("builder: {:.2f} million nodes/s ({} made, {} live)\n",
               static_cast<double>(nodes) * 1e-6 / build, nodes, function.nodes.size());

    start = seconds();
    const Evaluator evaluator(function);
    fmt::print("compile: {:.2f} million nodes/s\n",
               static_cast<double>(function.nodes.size()) * 1e-6 / (seconds() - start));

    std::vector<std::int8_t> x(inputs * Evaluator::block);
    std::vector<std::int8_t> y(function.outputs.size() * Evaluator::block);
    std::mt19937 random(2);
    for (std::int8_t& value : x) {
        value = static_cast<std::int8_t>(random());
    }
    std::vector<const void*> in;
    std::vector<void*> out;
    for (std::size_t i = 0; i < function.inputs.size(); ++i) {
        in.push_back(&x[i * Evaluator::block]);
    }
    for (std::size_t o = 0; o < function.outputs.size(); ++o) {
        out.push_back(&y[o * Evaluator::block]);
    }
    Evaluator::Scratch scratch;
    const std::size_t repeats = std::max<std::size_t>(1, 200'000'000 / (64 * nodes));
    evaluator.run(in.data(), out.data(), scratch);
    double best = 1e30;
    for (int trial = 0; trial < 5; ++trial) {
        start = seconds();
        for (std::size_t i = 0; i < repeats; ++i) {
            evaluator.run(in.data(), out.data(), scratch);
        }
        best = std::min(best, seconds() - start);
    }
    const double operations = static_cast<double>(function.nodes.size() - inputs) *
                              static_cast<double>(repeats * Evaluator::block);
    fmt::print("evaluator: {:.4f} ns per operation and sample, {} KiB of working memory\n",
               best * 1e9 / operations, scratch.memory.size() / 1024);
    return 0;
}
