#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arrays.h"
#include "base/diagnostics.h"
#include "custom_layers.h"
#include "project/commands.h"

/// gatewright._core: the commands of src/project with strings, arrays and JSON text, no more. What
/// users see, with its documentation, is python/gatewright/__init__.py.

namespace nb = nanobind;
using namespace nb::literals;

namespace gatewright {

namespace {

NamedArrays named_arrays(const nb::dict& arrays) {
    NamedArrays out;
    for (const auto& [name, array] : arrays) {
        out.emplace_back(nb::cast<std::string>(name), from_python(nb::cast<InputArray>(array)));
    }
    return out;
}

/// Arrays that are read where they lie, and what keeps them there.
struct BorrowedArrays {
    NamedSources sources;
    std::vector<InputArray> held;

    explicit BorrowedArrays(const nb::dict& arrays) {
        for (const auto& [name, array] : arrays) {
            const auto& input = held.emplace_back(nb::cast<InputArray>(array));
            const auto* data = static_cast<const std::byte*>(input.data());
            const DType dtype = dtype_of(input);
            const bool aligned = reinterpret_cast<std::uintptr_t>(data) % item_size(dtype) == 0;
            sources.emplace_back(nb::cast<std::string>(name),
                                 aligned ? ArraySource(dtype, shape_of(input), data)
                                         : ArraySource(from_python(input)));
        }
    }
};

nb::dict to_python(NamedArrays arrays) {
    nb::dict out;
    for (auto& [name, array] : arrays) {
        out[nb::str(name.c_str(), name.size())] = nb::cast(to_python(std::move(array)));
    }
    return out;
}

/// (file, weights, monte_carlo, rules, input_shape): see gatewright.load. A rule is called with a
/// CustomLayer and gives the numbers of its results.
project::ModelSource source_of(const nb::tuple& source) {
    project::ModelSource out;
    out.file = nb::cast<std::string>(source[0]);
    out.weights = nb::cast<std::string>(source[1]);
    out.options.monte_carlo = nb::cast<bool>(source[2]);
    out.options.input_shape = nb::cast<Shape>(source[4]);
    for (const auto& [name, rule] : nb::cast<nb::dict>(source[3])) {
        const std::string key = nb::cast<std::string>(name);
        // The tuple holds the rule as long as the command runs.
        out.options.rules.emplace(key, [key, function = rule.ptr()](layers::CustomLayer& layer) {
            run_rule(key, nb::handle(function), layer);
        });
    }
    return out;
}

std::string inspect(const nb::tuple& source) {
    const project::ModelSource model = source_of(source);
    const nb::gil_scoped_release release;
    return project::inspect(model).dump();
}

std::string layers_text(const nb::tuple& source) {
    const project::ModelSource model = source_of(source);
    const nb::gil_scoped_release release;
    return project::layers_text(model);
}

nb::tuple predict(const nb::tuple& source, const nb::dict& arrays, bool exact,
                  const std::string& final_activation, const std::string& config, bool trace,
                  int threads, std::uint64_t seed) {
    project::PredictOptions options;
    options.source = source_of(source);
    options.seed = seed;
    options.final_activation = project::final_activation_named(final_activation);
    options.config = config;
    options.as_trained = !exact;
    options.trace = trace;
    options.threads = threads;
    const BorrowedArrays inputs(arrays);
    project::Prediction prediction;
    {
        const nb::gil_scoped_release release;
        prediction = project::predict(options, inputs.sources, "x");
    }
    return nb::make_tuple(to_python(std::move(prediction.outputs)),
                          to_python(std::move(prediction.trace)));
}

std::string convert(const nb::tuple& source, const std::string& output,
                    const std::vector<std::string>& backends,
                    const std::optional<std::string>& target, std::optional<double> clock_period,
                    std::optional<int> stages, std::optional<int> latency, bool register_inputs,
                    bool register_outputs, bool clock_enable, std::optional<int> extra_depth,
                    const std::string& effort, const std::string& config,
                    const std::string& calibration, std::optional<int> bits,
                    std::optional<double> max_error, const std::string& final_activation,
                    bool force) {
    project::ConvertOptions options;
    options.source = source_of(source);
    options.output = output;
    options.final_activation = project::final_activation_named(final_activation);
    options.settings.backends = backends;
    if (target) {
        options.settings.target = *target;
    }
    options.settings.clock_period_ns = clock_period;
    options.settings.stages = stages;
    options.settings.latency = latency;
    options.settings.register_inputs = register_inputs;
    options.settings.register_outputs = register_outputs;
    options.settings.clock_enable = clock_enable;
    options.settings.extra_depth = extra_depth;
    options.settings.effort = effort;
    options.config = config;
    options.calibration = calibration;
    options.calibration_options = {bits, max_error};
    options.force = force;
    const nb::gil_scoped_release release;
    nlohmann::ordered_json json = project::convert(options);
    json.erase("model");
    return json.dump();
}

/// `weights`: a matrix, row by row; `low`, `high`, `arrival`: one per row.
nb::tuple adder_graph(const std::vector<std::int64_t>& weights, std::int64_t n_out,
                      const std::vector<std::int64_t>& low, const std::vector<std::int64_t>& high,
                      const std::vector<int>& arrival, std::optional<int> extra_depth,
                      const std::string& effort, std::uint64_t seed) {
    const linear::Matrix matrix{static_cast<std::int64_t>(low.size()), n_out, weights};
    std::vector<Interval> ranges;
    for (std::size_t i = 0; i < low.size(); ++i) {
        ranges.push_back({low[i], high[i]});
    }
    linear::Search chosen = linear::search_named(effort);
    chosen.attempts.extra_depth = extra_depth.value_or(-1);
    chosen.seed = seed;
    linear::AdderGraph graph;
    linear::Figures figures;
    {
        const nb::gil_scoped_release release;
        graph = linear::find_adder_graph(matrix, ranges, chosen, arrival);
        if (const std::string difference = linear::prove(graph, matrix); !difference.empty()) {
            throw Failure(Code::width_exceeded, {},
                          "the adder graph of this matrix cannot be proven: " + difference);
        }
        figures = linear::figures_of(graph, ranges, arrival);
    }
    nb::list operations;
    for (const linear::Addition& addition : graph.additions) {
        operations.append(nb::make_tuple(addition.a, static_cast<int>(addition.shift_a),
                                         addition.negate_a, addition.b,
                                         static_cast<int>(addition.shift_b), addition.negate_b));
    }
    nb::list outputs;
    for (const linear::Output& output : graph.outputs) {
        outputs.append(nb::make_tuple(output.value, static_cast<int>(output.shift), output.negate));
    }
    return nb::make_tuple(operations, outputs, figures.adders, figures.depth,
                          figures.full_adder_bits);
}

std::string config_template(const nb::tuple& source) {
    const project::ModelSource model = source_of(source);
    const nb::gil_scoped_release release;
    return project::configuration_template(project::load_model(model));
}

nb::tuple simulate(const std::string& folder, const nb::dict& arrays,
                   const std::optional<std::string>& simulator, bool netlist, std::uint64_t seed,
                   double timeout) {
    project::SimulateOptions options;
    options.folder = folder;
    if (simulator) {
        options.simulator = flow::simulator_named(*simulator);
    }
    options.netlist = netlist;
    options.seed = seed;
    options.timeout_seconds = timeout;
    const NamedArrays inputs = named_arrays(arrays);
    project::SimulatedPrediction result;
    {
        const nb::gil_scoped_release release;
        result = project::simulate_samples(options, inputs, "x");
    }
    const nlohmann::ordered_json info = {{"tool", result.outcome.tool},
                                         {"version", result.outcome.version},
                                         {"samples", result.samples},
                                         {"mismatches", result.mismatches},
                                         {"undefined", result.outcome.undefined},
                                         {"latency_cycles", result.outcome.latency},
                                         {"initiation_interval", result.outcome.interval}};
    return nb::make_tuple(to_python(std::move(result.outputs)), info.dump());
}

std::string synthesize(const std::string& folder, const std::optional<std::string>& target,
                       bool place_and_route, double timeout) {
    project::SynthesizeOptions options;
    options.folder = folder;
    options.target = target.value_or("");
    options.place_and_route = place_and_route;
    options.timeout_seconds = timeout;
    const nb::gil_scoped_release release;
    return project::synthesize(options).dump();
}

std::string verify(const std::string& folder, std::int64_t samples, std::uint64_t seed,
                   double timeout) {
    if (samples < 1) {
        throw nb::value_error("samples must be at least 1");
    }
    project::VerifyOptions options;
    options.folder = folder;
    options.samples = samples;
    options.seed = seed;
    options.timeout_seconds = timeout;
    const nb::gil_scoped_release release;
    nlohmann::ordered_json json = project::verify(options);
    json.erase("contractions");
    return json.dump();
}

std::string report(const std::string& folder) {
    const nb::gil_scoped_release release;
    return project::report(folder).dump();
}

std::string report_html(const std::string& folder) {
    const nb::gil_scoped_release release;
    return project::report_html(project::report(folder));
}

}  // namespace

}  // namespace gatewright

NB_MODULE(_core, m) {
    using namespace gatewright;
    m.doc() = "The compiled part of gatewright; use the package itself.";
    nb::exception<Failure>(m, "Error", PyExc_RuntimeError);
    bind_custom_layer(m);
    m.def("inspect", &inspect, "source"_a);
    m.def("layers_text", &layers_text, "source"_a);
    m.def("rule_names", &rule_names);
    m.def("predict", &predict, "source"_a, "arrays"_a, "exact"_a, "final_activation"_a, "config"_a,
          "trace"_a, "threads"_a, "seed"_a);
    m.def("convert", &convert, "source"_a, "output"_a, "backends"_a, "target"_a.none(),
          "clock_period"_a.none(), "stages"_a.none(), "latency"_a.none(), "register_inputs"_a,
          "register_outputs"_a, "clock_enable"_a, "extra_depth"_a.none(), "effort"_a, "config"_a,
          "calibration"_a, "bits"_a.none(), "max_error"_a.none(), "final_activation"_a, "force"_a);
    m.def("adder_graph", &adder_graph, "weights"_a, "n_out"_a, "low"_a, "high"_a, "arrival"_a,
          "extra_depth"_a.none(), "effort"_a, "seed"_a);
    m.def("config_template", &config_template, "source"_a);
    m.def("simulate", &simulate, "folder"_a, "arrays"_a, "simulator"_a.none(), "netlist"_a,
          "seed"_a, "timeout"_a);
    m.def("synthesize", &synthesize, "folder"_a, "target"_a.none(), "place_and_route"_a,
          "timeout"_a);
    m.def("verify", &verify, "folder"_a, "samples"_a, "seed"_a, "timeout"_a);
    m.def("report", &report, "folder"_a);
    m.def("report_html", &report_html, "folder"_a);
}
