#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "emulate/decode.h"
#include "emulate/extent.h"
#include "passes/delay_model.h"
#include "project/commands.h"
#include "project/hls_check.h"
#include "project/random_inputs.h"

namespace gatewright::project {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

FixedType lossless_type(const ArraySource& array, const std::string& input) {
    const emulate::Extent extent = emulate::extent_of(array).value_or(emulate::Extent{});
    if (extent.wrong) {
        throw Failure(Code::array_mismatch, {"", input, "input", ""},
                      fmt::format("it holds {}", std::isnan(*extent.wrong) ? std::abs(*extent.wrong)
                                                                           : *extent.wrong),
                      "Inputs must be finite numbers.");
    }
    const int frac = extent.frac.value_or(0);
    const auto integer = [&](double v) {
        const double scaled = std::ldexp(v, frac);
        if (!(std::abs(scaled) < 4.6e18)) {
            throw Failure(Code::width_exceeded, {"", input, "input", ""},
                          "its numbers span more than 63 bits",
                          "Give the input's type in the configuration.");
        }
        return static_cast<Int128>(scaled);
    };
    return type_for({integer(extent.low), integer(extent.high)}, frac);
}

namespace {

/// The type of an unquantised input, from arrays that show its numbers.
auto types_from(const network::ImportedModel& model, const emulate::Samples& samples) {
    return [&](const std::string& name) -> std::optional<FixedType> {
        for (std::size_t i = 0; i < model.inputs.size(); ++i) {
            if (model.inputs[i].name == name) {
                return lossless_type(samples.inputs[i], name);
            }
        }
        return std::nullopt;
    };
}

std::vector<operators::ModelInput> inputs_of(const network::ImportedModel& model) {
    std::vector<operators::ModelInput> out;
    const auto ids = model.network.inputs();
    for (std::size_t i = 0; i < ids.size(); ++i) {
        out.push_back({model.inputs[i].name, model.network.node(ids[i]).types.front().shape});
    }
    return out;
}

NpyArray shaped(const Shape& shape, const std::vector<float>& values,
                const emulate::Samples& samples) {
    Shape full = shape;
    if (samples.has_batch_axis) {
        full.insert(full.begin(), samples.count);
    }
    return NpyArray::of(full, std::span<const float>(values));
}

bool is_folder(const std::string& file) {
    std::error_code error;
    return fs::is_directory(file, error);
}

NamedArrays decode_ports(const operators::CoreModel& model, const PortIntegers& integers,
                         const emulate::Samples& samples) {
    NamedArrays out;
    for (std::size_t o = 0; o < model.decodings.size(); ++o) {
        const emulate::Decoder decoder(model, o);
        const auto count = static_cast<std::size_t>(element_count(decoder.shape()));
        std::vector<float> values(count * static_cast<std::size_t>(samples.count));
        decoder.decode(integers[o].data(), samples.count, samples.count, values.data());
        out.emplace_back(model.network.outputs()[o].name, shaped(decoder.shape(), values, samples));
    }
    return out;
}

}  // namespace

namespace {

/// Options that contradict each other or are out of bounds, before any work.
void check(const ConvertOptions& options) {
    const CalibrationOptions& asked = options.calibration_options;
    const auto refuse = [](std::string what, std::string remedy) {
        throw Failure(Code::unknown_option, {}, std::move(what), std::move(remedy));
    };
    if ((asked.bits || asked.max_error) && options.calibration.empty()) {
        refuse(
            fmt::format("--{} needs samples to choose types by", asked.bits ? "bits" : "max-error"),
            "Add --calibrate X.npy.");
    }
    if (asked.bits && asked.max_error) {
        refuse("--bits and --max-error exclude each other", "Give one of them.");
    }
    if (asked.bits && (*asked.bits < 2 || *asked.bits > most_bits)) {
        refuse(fmt::format("--bits {} is out of bounds", *asked.bits),
               fmt::format("Give 2 to {}.", most_bits));
    }
    if (asked.max_error && !(*asked.max_error >= 0)) {
        refuse(fmt::format("--max-error {} is no error", *asked.max_error),
               "Give the largest difference of an output, for example 0.05.");
    }
    const std::optional<double>& period = options.settings.clock_period_ns;
    if (period && !(*period > 0 && *period <= 1e6)) {
        refuse(fmt::format("a clock period of {} ns is {}", *period,
                           *period > 0 ? "too long" : "not positive"),
               "Give nanoseconds, for example --clock-period 5.");
    }
    const Settings& settings = options.settings;
    constexpr int most_stages = 10'000;
    if (settings.stages && settings.latency) {
        refuse("--stages and --latency exclude each other", "Give one of them.");
    }
    if (settings.stages && (*settings.stages < 1 || *settings.stages > most_stages)) {
        refuse(fmt::format("--stages {} is out of bounds", *settings.stages),
               fmt::format("Give 1 to {}.", most_stages));
    }
    const int outside = (settings.register_inputs ? 1 : 0) + (settings.register_outputs ? 1 : 0);
    if (settings.latency && (*settings.latency < outside || *settings.latency > most_stages)) {
        refuse(fmt::format("--latency {} is out of bounds", *settings.latency),
               fmt::format("Give {} to {}: registers at inputs and outputs count.", outside,
                           most_stages));
    }
    passes::delay_model(settings.target);
}

}  // namespace

ordered_json convert(const ConvertOptions& options) {
    check(options);
    Settings settings = options.settings;
    settings.backends = chosen_backends(settings.backends);
    network::ImportedModel model = load_model(options.source);
    check_extents(model.network, options.source.file);
    std::vector<TypedSite> configured;
    if (!options.config.empty()) {
        configured = resolve(model.network, read_configuration(options.config));
    }
    std::optional<Calibration> calibration;
    std::function<std::optional<FixedType>(const std::string&)> types;
    emulate::Samples samples;
    if (!options.calibration.empty()) {
        samples = emulate::match_sources(
            inputs_of(model), model.batched,
            with_random_words(model, open_arrays(options.calibration), 0), options.calibration);
        const CalibrationOptions& asked = options.calibration_options;
        // A model with quantisers of its own takes its other inputs as they are.
        if (is_quantised(model.network) && !asked.bits && !asked.max_error) {
            types = types_from(model, samples);
        } else {
            calibration = calibrate(model, configured, samples, asked);
        }
    }
    model.network = calibration ? calibration->network : with_types(model.network, configured);
    const Translation translation =
        translate(lower_model(model, options.final_activation, types), settings);
    ordered_json json = to_json(translation);
    if (calibration) {
        json["calibration"] = calibration->json();
    }
    const std::int64_t count = 64;
    const PortIntegers inputs = random_ports(translation.model, count, 1);
    const PortIntegers outputs =
        emulate::TensorEmulator(translation.model).run_integers(inputs, count);
    write_folder(options.output, options.force, [&](const fs::path& folder) {
        for (const backends::EmittedFile& file : emit(translation)) {
            write_text(folder / file.path, file.text);
        }
        if (has_verilog(settings)) {
            write_text(folder / "testbench" / "inputs.hex",
                       vectors_text(translation.interface.inputs, inputs, count));
            write_text(folder / "testbench" / "expected.hex",
                       vectors_text(translation.interface.outputs, outputs, count));
        }
        if (has_hls(settings)) {
            write_text(folder / "hls" / "inputs.txt", decimal_text(inputs, count));
            write_text(folder / "hls" / "expected.txt", decimal_text(outputs, count));
        }
        write_text(folder / "design.json", json.dump(1) + "\n");
    });
    return json;
}

Prediction predict(const PredictOptions& options, const NamedSources& arrays,
                   const std::string& arrays_file,
                   const std::function<void(std::int64_t)>& progress) {
    Prediction out;
    operators::CoreModel model;
    emulate::Samples samples;
    if (is_folder(options.source.file)) {
        if (!options.config.empty()) {
            throw Failure(Code::unknown_option, {options.source.file, "", "", ""},
                          "a design folder has its types already",
                          "Leave out --config, or give the model file.");
        }
        if (options.as_trained) {
            throw Failure(Code::unknown_option, {options.source.file, "", "", ""},
                          "a design folder holds no float model",
                          "Give the model file for --float.");
        }
        if (options.final_activation != FinalActivation::keep) {
            throw Failure(Code::unknown_option, {options.source.file, "", "", ""},
                          "a design folder has its last activation already",
                          "Leave out --final-activation, or give the model file.");
        }
        if (!options.source.weights.empty()) {
            throw Failure(Code::unknown_option, {options.source.file, "", "", ""},
                          "a design folder holds its weights itself", "Leave out --weights.");
        }
        if (options.source.options.monte_carlo) {
            throw Failure(Code::unknown_option, {options.source.file, "", "", ""},
                          "a design folder drops elements or not as it was converted",
                          "Leave out --monte-carlo, or give the model file.");
        }
        if (!options.source.options.input_shape.empty()) {
            throw Failure(Code::unknown_option, {options.source.file, "", "", ""},
                          "a design folder holds the shapes of its inputs",
                          "Leave out --input-shape.");
        }
        model = read_design(options.source.file).model;
        samples = emulate::match_sources(model, with_random_words(model, arrays, options.seed),
                                         arrays_file);
    } else {
        network::ImportedModel imported = load_model(options.source);
        samples =
            emulate::match_sources(inputs_of(imported), imported.batched,
                                   with_random_words(imported, arrays, options.seed), arrays_file);
        if (options.as_trained && options.trace) {
            throw Failure(Code::unknown_option, {options.source.file, "", "", ""},
                          "a trace shows the fixed-point numbers of a circuit",
                          "Leave out --trace or --float.");
        }
        if (options.as_trained) {
            const network::Network layers =
                with_final_activation(imported.network, options.final_activation);
            const emulate::ReferenceResult result =
                emulate::run_reference(layers, samples, progress);
            for (std::size_t o = 0; o < result.values.size(); ++o) {
                out.outputs.emplace_back(layers.outputs()[o].name,
                                         shaped(result.shapes[o], result.values[o], samples));
            }
            return out;
        }
        check_extents(imported.network, options.source.file);
        if (!options.config.empty()) {
            imported.network = apply(imported.network, read_configuration(options.config));
        }
        model = lower_model(imported, options.final_activation, types_from(imported, samples));
    }
    const emulate::TensorEmulator emulator(model);
    const auto result = emulator.run(samples, options.threads, progress);
    for (std::size_t o = 0; o < result.values.size(); ++o) {
        out.outputs.emplace_back(model.network.outputs()[o].name,
                                 shaped(result.shapes[o], result.values[o], samples));
    }
    if (options.trace) {
        for (const auto& trace : emulator.trace(samples)) {
            Shape shape = trace.shape;
            shape.insert(shape.begin(), samples.count);
            out.trace.emplace_back(trace.name,
                                   NpyArray::of(shape, std::span<const double>(trace.values)));
        }
    }
    return out;
}

SimulatedPrediction simulate_samples(const SimulateOptions& options, const NamedArrays& arrays,
                                     const std::string& arrays_file) {
    const StoredDesign design = read_design(options.folder);
    require_verilog(options.folder, design);
    const emulate::Samples samples = emulate::match_sources(
        design.model, with_random_words(design.model, sources(arrays), 0), arrays_file);
    const PortIntegers inputs = encode_ports(design.model, samples);
    std::vector<fs::path> files = verilog_files(options.folder, design);
    fs::path work = options.folder / "simulation" /
                    (options.simulator == flow::Simulator::verilator ? "verilator" : "icarus");
    if (options.netlist) {
        files = {options.folder / "reports" / "synthesis" / "netlist_simulation.v"};
        std::error_code error;
        if (!fs::is_regular_file(files[0], error)) {
            throw Failure(
                Code::file_missing, {options.folder.string(), "", "", ""},
                "the design has no synthesised netlist yet",
                fmt::format("Run `gatewright synthesize {}` first.", options.folder.string()));
        }
        work += "_netlist";
    }
    SimulatedPrediction out;
    out.samples = samples.count;
    out.outcome = simulate(options.folder, files, stored_interface(design), inputs, samples.count,
                           options.simulator.value_or(flow::default_simulator(options.netlist)),
                           work, options.seed, options.timeout_seconds);
    const PortIntegers expected =
        emulate::TensorEmulator(design.model).run_integers(inputs, samples.count);
    for (std::size_t p = 0; p < expected.size(); ++p) {
        for (std::size_t i = 0; i < expected[p].size(); ++i) {
            out.mismatches += expected[p][i] != out.outcome.outputs[p][i] ? 1 : 0;
        }
    }
    out.mismatches += out.outcome.undefined;
    out.outputs = decode_ports(design.model, out.outcome.outputs, samples);
    return out;
}

std::vector<ComparedOutput> compare(const NamedArrays& outputs, const NamedArrays& reference,
                                    const std::string& reference_file) {
    std::vector<ComparedOutput> out;
    for (std::size_t o = 0; o < outputs.size(); ++o) {
        const auto& [name, array] = outputs[o];
        const NpyArray* expected = nullptr;
        for (const std::string& candidate :
             {name, outputs.size() == 1 ? std::string("y") : std::string(), fmt::format("y{}", o),
              outputs.size() == 1 && reference.size() == 1 ? reference[0].first : std::string()}) {
            for (const auto& [known, values] : reference) {
                if (expected == nullptr && !candidate.empty() && known == candidate) {
                    expected = &values;
                }
            }
        }
        const Location where{reference_file, name, "output", ""};
        if (expected == nullptr) {
            throw Failure(Code::array_mismatch, where, "no reference array for it",
                          fmt::format("Name the array '{}', or y{}.", name,
                                      outputs.size() == 1 ? "" : std::to_string(o)));
        }
        const auto a = to_doubles(array);
        const auto b = to_doubles(*expected);
        if (!a || !b || a->size() != b->size()) {
            throw Failure(Code::array_mismatch, where,
                          fmt::format("the reference has shape {}, the output {}",
                                      to_string(expected->shape), to_string(array.shape)));
        }
        ComparedOutput c;
        c.name = name;
        c.values = static_cast<std::int64_t>(a->size());
        for (std::size_t i = 0; i < a->size(); ++i) {
            const double difference = std::abs((*a)[i] - (*b)[i]);
            c.differing += static_cast<float>((*a)[i]) != static_cast<float>((*b)[i]) ? 1 : 0;
            c.largest_difference = std::max(c.largest_difference, difference);
            c.mean_difference += difference;
        }
        c.mean_difference /= static_cast<double>(std::max<std::int64_t>(1, c.values));
        const auto length =
            static_cast<std::ptrdiff_t>(array.shape.size() > 1 ? array.shape.back() : 1);
        for (std::ptrdiff_t i = 0;
             length > 1 && i + length <= static_cast<std::ptrdiff_t>(a->size()); i += length) {
            const auto p = a->begin() + i;
            const auto q = b->begin() + i;
            ++c.rows;
            c.same_argmax +=
                std::max_element(p, p + length) - p == std::max_element(q, q + length) - q ? 1 : 0;
        }
        out.push_back(c);
    }
    return out;
}

}  // namespace gatewright::project
