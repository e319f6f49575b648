#include "linear/search.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/diagnostics.h"

namespace gatewright::linear {

std::span<const NamedSearch> named_searches() {
    static constexpr NamedSearch searches[] = {
        {"fast",
         "the better of two attempts: about 2 ms for 16 x 16 weights of 8 bits, 0.1 s for 64 x 64",
         {.attempts = {.most_attempts = 2}, .improvement = 0}},
        {"normal", "about 0.1 s for 16 x 16 weights of 8 bits, 0.5 s for 64 x 64", {}},
        {"high",
         "about 2 s for 16 x 16 weights of 8 bits, 10 s for 64 x 64",
         {.attempts = {.search = 400'000'000, .most_attempts = 32},
          .improvement = 500'000,
          .most_improvement = 2'000'000'000}},
    };
    return searches;
}

const Search& search_named(std::string_view name) {
    std::vector<std::string_view> names;
    for (const NamedSearch& named : named_searches()) {
        if (named.name == name) {
            return named.search;
        }
        names.push_back(named.name);
    }
    throw Failure(
        Code::unknown_option, {},
        fmt::format("there is no effort `{}`; there are {}", name, fmt::join(names, ", ")));
}

AdderGraph part_of(const AdderGraph& graph, std::int64_t first, std::int64_t count) {
    const auto index = [](std::int64_t i) { return static_cast<std::size_t>(i); };
    AdderGraph part{
        graph.n_in, {}, {graph.outputs.begin() + first, graph.outputs.begin() + first + count}};
    std::vector<char> read(index(graph.n_in) + graph.additions.size());
    for (const Output& output : part.outputs) {
        if (output.value >= 0) {
            read[index(output.value)] = 1;
        }
    }
    for (std::size_t k = graph.additions.size(); k-- > 0;) {
        if (read[index(graph.n_in) + k] != 0) {
            read[index(graph.additions[k].a)] = 1;
            read[index(graph.additions[k].b)] = 1;
        }
    }
    std::vector<std::int32_t> place(read.size());
    for (std::int32_t i = 0; i < graph.n_in; ++i) {
        place[index(i)] = i;
    }
    for (std::size_t k = 0; k < graph.additions.size(); ++k) {
        if (read[index(graph.n_in) + k] == 0) {
            continue;
        }
        Addition addition = graph.additions[k];
        addition.a = place[index(addition.a)];
        addition.b = place[index(addition.b)];
        place[index(graph.n_in) + k] =
            graph.n_in + static_cast<std::int32_t>(part.additions.size());
        part.additions.push_back(addition);
    }
    for (Output& output : part.outputs) {
        if (output.value >= 0) {
            output.value = place[index(output.value)];
        }
    }
    return part;
}

}  // namespace gatewright::linear
