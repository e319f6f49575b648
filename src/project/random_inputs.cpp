#include "project/random_inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "import/layers/random.h"

namespace gatewright::project {

namespace {

constexpr std::int64_t most_words = std::int64_t{1} << 31;

/// Step `number` of splitmix64.
std::uint64_t step(std::uint64_t seed, std::uint64_t number) {
    std::uint64_t z = seed + number * 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
}

struct Input {
    std::string name;
    Shape shape;
    bool random = false;
};

bool is_random(const network::Node& node) {
    return node.where.type == layers::random_type;
}

NamedSources with_words(const std::vector<Input>& inputs, bool batched, const NamedSources& arrays,
                        std::uint64_t seed) {
    NamedSources out = arrays;
    const auto find = [&](const std::string& name) {
        return std::find_if(out.begin(), out.end(),
                            [&](const auto& array) { return array.first == name; });
    };
    std::int64_t of_sample = 0;  // words
    std::vector<const Input*> others;
    for (const Input& input : inputs) {
        if (input.random) {
            of_sample += element_count(input.shape);
        } else {
            others.push_back(&input);
        }
    }
    if (of_sample == 0 || others.empty()) {
        return out;
    }
    const auto x = find("x");
    if (others.size() == 1 && x != out.end() && find(others.front()->name) == out.end()) {
        x->first = others.front()->name;
    }
    auto first = find(others.front()->name);
    first = first == out.end() ? find("x0") : first;
    if (first == out.end()) {
        return out;  // whoever matches the arrays says what is missing
    }
    const Shape& shape = first->second.shape();
    const bool axis = batched || shape.size() == others.front()->shape.size() + 1;
    const std::int64_t samples = !axis ? 1 : shape.empty() ? 0 : shape.front();
    if (samples > most_words / of_sample) {
        throw Failure(Code::array_mismatch, {"", others.front()->name, "input", ""},
                      fmt::format("{} samples need more than 2^31 random words", samples),
                      "Give fewer samples at a time.");
    }
    std::int64_t offset = 0;
    for (const Input& input : inputs) {
        if (!input.random) {
            continue;
        }
        const std::int64_t count = element_count(input.shape);
        if (find(input.name) == out.end()) {
            std::vector<float> words;
            words.reserve(static_cast<std::size_t>(samples * count));
            for (std::int64_t s = 0; s < samples; ++s) {
                for (std::int64_t e = 0; e < count; ++e) {
                    const auto number = static_cast<std::uint64_t>(s * of_sample + offset + e + 1);
                    words.push_back(static_cast<float>(step(seed, number) >> 48U) * 0x1p-16F);
                }
            }
            Shape full = input.shape;
            if (axis) {
                full.insert(full.begin(), samples);
            }
            out.emplace_back(input.name,
                             ArraySource(NpyArray::of(full, std::span<const float>(words))));
        }
        offset += count;
    }
    return out;
}
}  // namespace

bool has_random_inputs(const network::Network& layers) {
    const auto ids = layers.inputs();
    return std::any_of(ids.begin(), ids.end(),
                       [&](network::NodeId id) { return is_random(layers.node(id)); });
}

NamedSources with_random_words(const network::ImportedModel& model, const NamedSources& arrays,
                               std::uint64_t seed) {
    std::vector<Input> inputs;
    const auto ids = model.network.inputs();
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const network::Node& node = model.network.node(ids[i]);
        inputs.push_back({model.inputs[i].name, node.types.front().shape, is_random(node)});
    }
    return with_words(inputs, model.batched, arrays, seed);
}

NamedSources with_random_words(const operators::CoreModel& model, const NamedSources& arrays,
                               std::uint64_t seed) {
    std::set<std::string> random;
    const auto ids = model.network.inputs();
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (is_random(model.network.node(ids[i]))) {
            random.insert(model.encodings[i].model_input);
        }
    }
    std::vector<Input> inputs;
    for (const operators::ModelInput& input : model.model_inputs) {
        inputs.push_back({input.name, input.shape, random.contains(input.name)});
    }
    return with_words(inputs, model.batch == "free", arrays, seed);
}

}  // namespace gatewright::project
