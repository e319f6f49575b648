#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "../temporary_folder.h"
#include "emulate/tensor_emulator.h"
#include "exact_layers.h"
#include "network_recipe.h"
#include "operators/catalogue.h"
#include "operators/lowering.h"
#include "passes/pass.h"
#include "project/folder.h"
#include "project/simulate.h"

using namespace gatewright;
using network_recipe::Recipe;

namespace {

namespace fs = std::filesystem;

/// A difference between two levels.
struct Different : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void require(bool condition, const std::string& what) {
    if (!condition) {
        throw Different(what);
    }
}

struct Counts {
    std::int64_t networks = 0;
    std::int64_t refused = 0;    ///< with a diagnostic that asks for a quantiser or narrower values
    std::int64_t compared = 0;   ///< numbers of outputs, with exact ones
    std::int64_t undecided = 0;  ///< numbers of outputs that the exact layers do not know
    std::int64_t simulated = 0;  ///< networks
};

/// Numbers of a port of a function in the order of its lanes, from [port][element * count +
/// sample].
std::vector<Int128> lanes(const project::PortIntegers& ports, std::int64_t count,
                          std::int64_t sample) {
    std::vector<Int128> out;
    for (const auto& port : ports) {
        for (std::size_t i = static_cast<std::size_t>(sample); i < port.size();
             i += static_cast<std::size_t>(count)) {
            out.push_back(port[i]);
        }
    }
    return out;
}

/// What the encodings say, number by number.
std::vector<Int128> encoded(const operators::CoreModel& model, const std::vector<Tensor>& inputs) {
    std::vector<Int128> out;
    const auto ports = model.network.inputs();
    for (std::size_t p = 0; p < ports.size(); ++p) {
        const operators::Encoding& encoding = model.encodings[p];
        std::size_t source = 0;
        while (model.model_inputs[source].name != encoding.model_input) {
            ++source;
        }
        const auto steps = std::span(encoding.steps);
        for (std::int64_t e = 0; e < element_count(model.network.node(ports[p]).types[0].shape);
             ++e) {
            const auto from = static_cast<std::size_t>(
                encoding.index.empty() ? e : encoding.index[static_cast<std::size_t>(e)]);
            const operators::Real x = apply(steps.first(steps.size() - 1),
                                            {to_rational(inputs[source].values[from]), 0}, e);
            out.push_back(*to_int128(quantize_integer(steps.back(), exact_value(x), e)));
        }
    }
    return out;
}

/// The circuit's integers as the model's numbers, against the exact layers.
void compare_exactly(const network::Network& layers, const operators::CoreModel& model,
                     const std::vector<Tensor>& inputs, const std::vector<Int128>& results,
                     Counts& counts) {
    const auto exact = exact_layers::evaluate(layers, inputs);
    std::size_t next = 0;
    for (std::size_t o = 0; o < exact.size(); ++o) {
        const auto& output = model.network.outputs()[o];
        const network::TensorType& type = model.network.type(output.value);
        require(output.name == layers.outputs()[o].name, "the outputs are in another order");
        require(type.shape == exact[o].shape, "output " + output.name + " has another shape");
        for (std::int64_t e = 0; e < element_count(type.shape); ++e) {
            const Rational number =
                Rational(to_bigint(results[next++])) * power_of_two(-type.fixed->at(e).type.frac);
            const operators::Real y = apply(model.decodings[o].steps, {number, 0}, e);
            const exact_layers::Number& expected = exact[o].values[static_cast<std::size_t>(e)];
            if (!expected.is_exact() || !y.exact) {
                ++counts.undecided;
                continue;
            }
            ++counts.compared;
            require(*y.exact == expected.value,
                    fmt::format("output {} element {}: the circuit gives {}, the layers {}",
                                output.name, e, to_string(*y.exact), to_string(expected.value)));
        }
    }
}

void simulate(const operators::CoreModel& model, std::uint64_t seed) {
    const test::Folder temporary;
    const fs::path& folder = temporary.path();
    project::Settings settings;
    settings.clock_enable = seed % 2 == 0;
    if (seed % 3 != 0) {
        settings.clock_period_ns = seed % 3 == 1 ? 8 : 20;
    }
    const project::Translation translation = project::translate(model, settings);
    std::vector<fs::path> files;
    for (const backends::EmittedFile& file : project::emit(translation)) {
        project::write_text(folder / file.path, file.text);
        if (file.path.starts_with("verilog/")) {
            files.push_back(folder / file.path);
        }
    }
    constexpr std::int64_t count = 40;
    const project::PortIntegers inputs = project::random_ports(model, count, seed);
    const project::SimulationOutcome outcome =
        project::simulate(folder, files, translation.interface, inputs, count,
                          flow::Simulator::icarus, folder / "simulation", seed % 5);
    require(outcome.undefined == 0, "the simulation has unknown bits");
    require(outcome.outputs == emulate::TensorEmulator(model).run_integers(inputs, count),
            "the simulation differs from the emulator");
    if (seed % 5 == 0) {
        require(outcome.latency == translation.interface.latency, "the latency differs");
    }
}

/// Holds all levels of a network against each other; throws Different.
void check(const Recipe& recipe, int samples, bool simulated, Counts& counts) {
    const network::Network layers = network_recipe::build(recipe);
    require(network::verify(layers).empty(), "the network of layers is not sound");
    require(network::to_text(network::from_text(network::to_text(layers), operators::find)) ==
                network::to_text(layers),
            "the text of the layers does not round-trip");

    operators::CoreModel model = operators::lower(layers, {});
    const operators::CoreModel before = model;
    model.network = passes::run(passes::core_pipeline(), std::move(model.network));
    const std::vector<std::string> wrong = network::verify(model.network);
    require(wrong.empty(), wrong.empty() ? "" : "the core network: " + wrong.front());
    const std::string text = to_text(model);
    require(to_text(operators::core_model_from_text(text)) == text,
            "the text of the core model does not round-trip");

    linear::Search search;
    search.attempts.extra_depth = static_cast<int>(recipe.seed % 4) - 1;
    const schedule::ParallelDesign parallel = schedule::parallel(model, search);
    const bits::Function& body = parallel.design.processes.front().body;
    require(bits::verify(body).empty(), "the body of the design is not sound");
    require(bits::to_text(bits::from_text(bits::to_text(body))) == bits::to_text(body),
            "the text of the body does not round-trip");
    for (const schedule::BuiltContraction& contraction : parallel.contractions) {
        const std::string difference = linear::prove(contraction.graph, contraction.matrix);
        require(difference.empty(), "an adder graph: " + difference);
    }

    // Integers at the ports, corners included.
    const emulate::TensorEmulator emulator(model);
    constexpr std::int64_t words = 24;
    const project::PortIntegers inputs = project::random_ports(model, words, recipe.seed);
    const auto outputs = emulator.run_integers(inputs, words);
    require(outputs == emulate::TensorEmulator(before).run_integers(inputs, words),
            "the passes change what the network computes");
    for (std::int64_t s = 0; s < words; ++s) {
        require(bits::evaluate(body, lanes(inputs, words, s)) == lanes(outputs, words, s),
                fmt::format("emulator and bits differ in random sample {}", s));
    }

    // Real numbers, from the samples on.
    const auto tensors = network_recipe::samples_of(layers, recipe.seed, samples);
    emulate::Samples arrays;
    arrays.count = samples;
    for (std::size_t i = 0; i < layers.inputs().size(); ++i) {
        Shape shape = tensors.front()[i].shape;
        shape.insert(shape.begin(), samples);
        std::vector<double> values;
        for (const auto& sample : tensors) {
            values.insert(values.end(), sample[i].values.begin(), sample[i].values.end());
        }
        arrays.inputs.push_back(NpyArray::of(shape, values));
    }
    const project::PortIntegers ports = project::encode_ports(model, arrays);
    const auto results = emulator.run_integers(ports, samples);
    for (int s = 0; s < samples; ++s) {
        const auto words_in = encoded(model, tensors[static_cast<std::size_t>(s)]);
        require(words_in == lanes(ports, samples, s), fmt::format("the encoder, sample {}", s));
        const std::vector<Int128> words_out = bits::evaluate(body, words_in);
        require(words_out == lanes(results, samples, s),
                fmt::format("emulator and bits differ in sample {}", s));
        compare_exactly(layers, model, tensors[static_cast<std::size_t>(s)], words_out, counts);
    }
    if (simulated) {
        simulate(model, recipe.seed);
        ++counts.simulated;
    }
}

/// What is wrong with a network, or nothing. Diagnostics that rightly refuse one are no fault.
std::string fault(const Recipe& recipe, int samples, bool simulated, Counts& counts) {
    try {
        check(recipe, samples, simulated, counts);
    } catch (const Failure& failure) {
        for (const Diagnostic& diagnostic : failure.diagnostics()) {
            // An accumulator of numbers whose scale is no power of two.
            if (diagnostic.code == Code::not_in_circuit &&
                diagnostic.where.attribute == "accumulator") {
                continue;
            }
            if (diagnostic.code != Code::width_exceeded &&
                diagnostic.code != Code::function_too_wide &&
                diagnostic.code != Code::value_not_quantised &&
                diagnostic.code != Code::weights_not_quantised) {
                return failure.what();
            }
        }
        ++counts.refused;
    } catch (const std::exception& error) {
        return error.what();
    }
    return {};
}

/// Takes away layers, outputs, inputs and samples while something is wrong still.
std::string shrunk(Recipe recipe, int samples, bool simulated) {
    Counts unused;
    const auto fails = [&](const Recipe& candidate, int count) {
        return !fault(candidate, count, simulated, unused).empty();
    };
    for (bool smaller = true; smaller;) {
        smaller = false;
        std::vector<Recipe> candidates;
        for (std::size_t i = 0; i < recipe.layers.size(); ++i) {
            candidates.push_back(recipe);
            candidates.back().layers.erase(candidates.back().layers.begin() +
                                           static_cast<std::ptrdiff_t>(i));
        }
        for (int Recipe::* count : {&Recipe::outputs, &Recipe::inputs, &Recipe::rank}) {
            if (recipe.*count > 1) {
                candidates.push_back(recipe);
                --(candidates.back().*count);
            }
        }
        if (recipe.extent > 2) {
            candidates.push_back(recipe);
            --candidates.back().extent;
        }
        for (const Recipe& candidate : candidates) {
            if (fails(candidate, samples)) {
                recipe = candidate;
                smaller = true;
                break;
            }
        }
        if (!smaller && samples > 1 && fails(recipe, samples / 2)) {
            samples /= 2;
            smaller = true;
        }
    }
    const network::Network layers = network_recipe::build(recipe);
    std::string core;
    try {
        core = to_text(operators::lower(layers, {}));
    } catch (const std::exception& error) {
        core = std::string("no core model: ") + error.what();
    }
    return fmt::format("shrunk to {} samples: {}\n{}{}\n{}", samples,
                       fault(recipe, samples, simulated, unused), to_string(recipe),
                       network::to_text(layers), core);
}

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
    const char* text = std::getenv(variable);
    return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace

TEST_CASE("random networks are the same at every level, and in rational numbers") {
    const std::uint64_t base = number_from("GATEWRIGHT_SEED", 1);
    const std::uint64_t number = number_from("GATEWRIGHT_NETWORKS", 1000);
    const flow::ToolStatus icarus = flow::tool_status(flow::ToolId::icarus);
    if (icarus.version.empty()) {
        MESSAGE("skipped: simulation of random networks: " << icarus.problem);
    }
    constexpr int samples = 8;
    Counts counts;
    int failures = 0;
    for (std::uint64_t i = 0; i < number && failures < 3; ++i) {
        const std::uint64_t seed = base * 1'000'003 + i;
        const Recipe recipe = network_recipe::random_recipe(seed);
        const bool simulated = i % 25 == 0 && !icarus.version.empty();
        const std::string what = fault(recipe, samples, simulated, counts);
        ++counts.networks;
        if (!what.empty()) {
            ++failures;
            FAIL_CHECK("network ", i, " of GATEWRIGHT_SEED=", base, ": ", what, "\n",
                       shrunk(recipe, samples, simulated));
        }
    }
    MESSAGE(counts.networks << " networks, " << counts.refused << " refused, " << counts.compared
                            << " numbers compared, " << counts.undecided << " undecided, "
                            << counts.simulated << " networks simulated");
    if (number >= 100) {
        CHECK(counts.refused * 5 < counts.networks);
        CHECK(counts.undecided * 10 < counts.compared);
        CHECK(counts.compared > 20 * counts.networks);
    }
}
