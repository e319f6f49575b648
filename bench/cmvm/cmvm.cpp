// Reads constant matrices as text and prints the figures of the adder graph of each.
//
// usage: cmvm FILE [extra_depth [effort [seed]]]
// FILE holds any number of matrices: a line "name n_in n_out low high" and then n_in lines of n_out
// integers. Each input lies in [low, high]. One line is printed for each: name, adders, depth,
// full-adder bits, CPU seconds to build, CPU seconds to prove.

#include <fmt/format.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>

#include "linear/search.h"

using namespace gatewright;

namespace {

double cpu_seconds() {
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        fmt::print(stderr, "usage: {} FILE [extra_depth [effort [seed]]]\n", argv[0]);
        return 2;
    }
    std::ifstream file(argv[1]);
    linear::Search search;
    if (argc > 3) {
        search = linear::search_named(argv[3]);
    }
    if (argc > 2) {
        search.attempts.extra_depth = std::atoi(argv[2]);
    }
    if (argc > 4) {
        search.seed = static_cast<std::uint64_t>(std::atoll(argv[4]));
    }
    std::string name;
    linear::Matrix matrix;
    std::int64_t low = 0;
    std::int64_t high = 0;
    while (file >> name >> matrix.n_in >> matrix.n_out >> low >> high) {
        matrix.weights.resize(static_cast<std::size_t>(matrix.n_in * matrix.n_out));
        for (std::int64_t& weight : matrix.weights) {
            file >> weight;
        }
        if (!file) {
            fmt::print(stderr, "{}: the matrix is cut short\n", name);
            return 1;
        }
        const std::vector<Interval> ranges(static_cast<std::size_t>(matrix.n_in),
                                           Interval{low, high});
        const double start = cpu_seconds();
        const linear::AdderGraph graph = linear::find_adder_graph(matrix, ranges, search);
        const double built = cpu_seconds();
        const std::string difference = linear::prove(graph, matrix);
        const double proven = cpu_seconds();
        if (!difference.empty()) {
            fmt::print(stderr, "{}: {}\n", name, difference);
            return 1;
        }
        const linear::Figures figures = linear::figures_of(graph, ranges);
        fmt::print("{} {} {} {} {:.4f} {:.4f}\n", name, figures.adders, figures.depth,
                   figures.full_adder_bits, built - start, proven - built);
    }
    return 0;
}
