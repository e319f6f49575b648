#include "import/keras/importer.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>

#include "import/keras/import.h"
#include "import/keras/precision.h"
#include "import/keras/rules.h"
#include "import/layers/refusal.h"
#include "types/shape.h"

namespace gatewright::keras {

namespace {

/// Calls of layers in one model, models inside models unfolded: a bound on what a small file can
/// ask for.
constexpr std::int64_t most_calls = 200'000;

}  // namespace

void Importer::note(Code code, const Location& where, const std::string& message) {
    if (noted_.insert(where.layer + "\n" + message).second) {
        out_.notes.push_back({code, where, message, ""});
    }
}

std::vector<Value> Importer::call_layer(const Layer& layer, const std::string& path,
                                        Weights weights, Arguments arguments) {
    const Location where{model_.file, path, layer.class_name, ""};
    if (++calls_ > most_calls) {
        throw Failure(Code::model_config_malformed, where,
                      fmt::format("the model has more than {} calls of layers", most_calls));
    }
    if (layer.graph != nullptr) {
        Call call(*this, layer, path, Weights(), std::move(arguments));
        std::vector<Value> inputs;
        for (std::size_t i = 0; i < call.inputs(); ++i) {
            inputs.push_back(call.input(i));
        }
        // Masks travel with the inputs; "mask" repeats them.
        call.argument("mask");
        Diagnostics diagnostics;
        for (const std::string& key : call.settings.unused()) {
            static const std::set<std::string> known = {"layers", "input_layers", "output_layers",
                                                        "build_input_shape"};
            if (!known.contains(key)) {
                diagnostics.add(Code::unsupported_attribute, call.where(key),
                                "this argument is not known for a model inside a model");
            }
        }
        diagnostics.throw_if_errors();
        return call_graph(*layer.graph, path, weights, std::move(inputs), false);
    }
    const std::optional<FoundRule> found = find_rule(layer, options_);
    if (!found) {
        const std::vector<std::string> names = rule_names();
        const std::string full =
            layer.package.empty() ? layer.class_name : layer.package + ">" + layer.class_name;
        const std::string near = nearest(full, names);
        throw Failure(
            layer.package == "keras.ops" ? Code::unsupported_operator : Code::code_refused, where,
            fmt::format("the class {} is not known: what it computes is not in the file", full),
            (near.empty() || near == full ? ""
                                          : fmt::format("The nearest one that is: {}. ", near)) +
                layers::how_to_register(layer.class_name));
    }
    layers::Builder builder(network(), where);
    const Policy policy =
        take_arguments(builder, Call(*this, layer, path, Weights(), arguments), arguments);
    Call call(*this, layer, path, std::move(weights), std::move(arguments));
    call.precision = policy.compute;
    call.int8 = policy.int8;
    try {
        found->rule(call);
    } catch (const layers::BatchMixed&) {
        throw Failure(std::vector<Diagnostic>{layers::completed(
            {Code::unsupported_form, call.where(), "it mixes the samples of a batch",
             "Build the model so that each sample is computed by itself."},
            {}, call.told_settings())});
    } catch (const Failure& failure) {
        Diagnostics full;
        for (const Diagnostic& d : failure.diagnostics()) {
            const bool own = d.where.layer == path && layer.config.contains(d.where.attribute);
            const Diagnostic told =
                layers::completed(d, own ? call.settings.shown(d.where.attribute) : std::string(),
                                  call.told_settings());
            full.add(told.code, told.where, told.message, told.remedy);
        }
        full.throw_if_errors();
    }
    Diagnostics diagnostics;
    call.report_unused(diagnostics);
    diagnostics.throw_if_errors();
    std::vector<Value> results = call.results();
    if (results.empty()) {
        call.refuse("it gives no result");
    }
    for (Value& result : results) {
        if (result.kind == Kind::real && call.precision != Precision::single) {
            result.operand = rounded_to(call, result.operand, call.precision);
            result.precision = call.precision;
        }
    }
    if (found->masking != Masking::own && call.inputs() > 0 && call.input().mask) {
        if (found->masking == Masking::passes) {
            results.front().mask = call.input().mask;
        } else if (call.keras2()) {
            call.refuse("its input has a mask, which this layer does not know",
                        "Leave out Masking, or mask_zero of Embedding.");
        }
    }
    return results;
}

/// The calls of a Functional graph, in an order in which each comes after those it needs.
class Importer::GraphCall {
  public:
    GraphCall(Importer& importer, const Graph& graph, std::string path, const Weights& weights,
              bool outermost)
        : importer_(importer), graph_(graph), path_(std::move(path)) {
        std::vector<std::string> names;
        std::vector<std::string> classes;
        std::vector<std::size_t> places;
        for (std::size_t i = 0; i < graph.layers.size(); ++i) {
            by_name_[graph.layers[i].name] = i;
            if (graph.layers[i].package == "keras.ops") {
                continue;  // operations have no place in the file's lists of layers
            }
            names.push_back(graph.layers[i].name);
            classes.push_back(graph.layers[i].class_name);
            places.push_back(i);
        }
        weights_.resize(graph.layers.size());
        const std::vector<Weights> all = weights.layers(names, classes, outermost);
        for (std::size_t i = 0; i < places.size(); ++i) {
            weights_[places[i]] = all[i];
        }
    }

    std::vector<Value> run(std::vector<Value> inputs) {
        if (inputs.size() != graph_.inputs.size()) {
            throw Failure(Code::unsupported_form, where(),
                          fmt::format("it is called with {} inputs and has {}", inputs.size(),
                                      graph_.inputs.size()));
        }
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            values_[graph_.inputs[i]] = std::move(inputs[i]);
        }
        add_calls();
        while (!ready_.empty()) {
            const std::size_t next = ready_.top();
            ready_.pop();
            make(next);
        }
        std::vector<Value> out;
        for (const TensorId& id : graph_.outputs) {
            const auto at = values_.find(id);
            if (at == values_.end()) {
                if (!diagnostics_.has_errors()) {
                    diagnostics_.add(Code::model_config_malformed, where(),
                                     fmt::format("its output {} of layer '{}' is not computed",
                                                 id.tensor, id.layer));
                }
                continue;
            }
            out.push_back(at->second);
        }
        diagnostics_.throw_if_errors();
        return out;
    }

  private:
    struct Pending {
        std::size_t layer = 0;
        std::size_t call = 0;
        std::size_t missing = 0;  ///< calls that must come first
        std::vector<std::size_t> followers;
        bool failed = false;
    };

    Location where() const { return {importer_.model().file, path_, "Functional", ""}; }

    std::string path_of(const Layer& layer) const {
        return path_.empty() ? layer.name : path_ + "/" + layer.name;
    }

    void references(const Json& value, std::set<TensorId>& out) const {
        if (is_tensor_reference(value)) {
            out.insert(tensor_reference(value));
        } else if (value.is_array() || value.is_object()) {
            for (const Json& part : value) {
                references(part, out);
            }
        }
    }

    void add_calls() {
        std::map<std::pair<std::string, std::size_t>, std::size_t> places;
        for (std::size_t i = 0; i < graph_.layers.size(); ++i) {
            for (std::size_t j = 0; j < graph_.layers[i].calls.size(); ++j) {
                const std::pair<std::string, std::size_t> key{graph_.layers[i].name, j};
                if (values_.contains({key.first, j, 0})) {
                    continue;  // an input of the model
                }
                places[key] = pending_.size();
                pending_.push_back({i, j, 0, {}, false});
            }
        }
        for (std::size_t i = 0; i < pending_.size(); ++i) {
            const LayerCall& call = graph_.layers[pending_[i].layer].calls[pending_[i].call];
            std::set<TensorId> needs;
            references(call.args, needs);
            references(call.kwargs, needs);
            std::set<std::size_t> before;
            for (const TensorId& id : needs) {
                if (values_.contains(id)) {
                    continue;
                }
                const auto at = places.find({id.layer, id.node});
                if (at == places.end()) {
                    throw Failure(
                        Code::model_config_malformed,
                        {importer_.model().file, path_of(graph_.layers[pending_[i].layer]),
                         graph_.layers[pending_[i].layer].class_name, ""},
                        fmt::format("it needs call {} of a layer '{}', which there is not", id.node,
                                    id.layer));
                }
                before.insert(at->second);
            }
            pending_[i].missing = before.size();
            for (const std::size_t place : before) {
                pending_[place].followers.push_back(i);
            }
            if (before.empty()) {
                ready_.push(i);
            }
        }
    }

    Argument argument(const Json& value) const {
        Argument out;
        if (is_tensor_reference(value)) {
            out.value = values_.at(tensor_reference(value));
            return out;
        }
        std::set<TensorId> inside;
        references(value, inside);
        if (inside.empty()) {
            out.literal = value;
            return out;
        }
        out.list.emplace();
        if (value.is_object()) {
            std::map<std::string, const Json*> sorted;
            for (const auto& [key, part] : value.items()) {
                sorted.emplace(key, &part);
            }
            for (const auto& [key, part] : sorted) {
                out.list->push_back(argument(*part));
            }
        } else {
            for (const Json& part : value) {
                out.list->push_back(argument(part));
            }
        }
        return out;
    }

    void make(std::size_t place) {
        const Layer& layer = graph_.layers[pending_[place].layer];
        bool failed = pending_[place].failed;
        if (!failed) {
            try {
                call(layer, pending_[place]);
            } catch (const Failure& failure) {
                add_all(diagnostics_, failure);
                failed = true;
            }
        }
        for (const std::size_t follower : pending_[place].followers) {
            pending_[follower].failed = pending_[follower].failed || failed;
            if (--pending_[follower].missing == 0) {
                ready_.push(follower);
            }
        }
    }

    void call(const Layer& layer, const Pending& pending) {
        const LayerCall& call = layer.calls[pending.call];
        std::set<TensorId> needs;
        references(call.args, needs);
        references(call.kwargs, needs);
        for (const TensorId& id : needs) {
            if (!values_.contains(id)) {
                throw Failure(Code::model_config_malformed,
                              {importer_.model().file, path_of(layer), layer.class_name, ""},
                              fmt::format("it needs result {} of layer '{}', which has not so many",
                                          id.tensor, id.layer));
            }
        }
        Arguments arguments;
        for (const Json& value : call.args) {
            arguments.args.push_back(argument(value));
        }
        for (const auto& [name, value] : call.kwargs.items()) {
            arguments.kwargs[name] = argument(value);
        }
        std::vector<Value> results = importer_.call_layer(
            layer, path_of(layer), weights_[pending.layer].afresh(), std::move(arguments));
        for (std::size_t i = 0; i < results.size(); ++i) {
            values_[{layer.name, pending.call, i}] = std::move(results[i]);
        }
    }

    Importer& importer_;
    const Graph& graph_;
    std::string path_;
    std::map<std::string, std::size_t> by_name_;
    std::vector<Weights> weights_;
    std::map<TensorId, Value> values_;
    std::vector<Pending> pending_;
    /// The first in the file's order comes first.
    std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready_;
    Diagnostics diagnostics_;
};

std::vector<Value> Importer::call_sequence(const Graph& graph, const std::string& path,
                                           std::vector<Weights> weights,
                                           std::vector<Value> inputs) {
    std::size_t place = 0;
    for (const Layer& layer : graph.layers) {
        if (is_input(layer)) {
            continue;
        }
        inputs = call_layer(layer, path.empty() ? layer.name : path + "/" + layer.name,
                            weights[place++].afresh(), Arguments(std::move(inputs)));
    }
    return inputs;
}

std::vector<Value> Importer::call_graph(const Graph& graph, const std::string& path,
                                        const Weights& weights, std::vector<Value> inputs,
                                        bool outermost) {
    if (!graph.sequential) {
        return GraphCall(*this, graph, path, weights, outermost).run(std::move(inputs));
    }
    std::vector<std::string> names;
    std::vector<std::string> classes;
    for (const Layer& layer : graph.layers) {
        if (!is_input(layer)) {
            names.push_back(layer.name);
            classes.push_back(layer.class_name);
        }
    }
    return call_sequence(graph, path, weights.layers(names, classes, outermost), std::move(inputs));
}

network::ImportedModel Importer::run() {
    out_.batched = true;
    out_.network.name = model_.graph.name.empty() ? "model" : model_.graph.name;
    Diagnostics diagnostics;
    const std::vector<Value> inputs = add_inputs(diagnostics);
    diagnostics.throw_if_errors();
    const std::vector<Value> outputs = call_graph(model_.graph, "", model_.weights, inputs, true);
    std::set<std::string> used;
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        std::string base =
            model_.graph.sequential
                ? (model_.graph.layers.empty() ? "output" : model_.graph.layers.back().name)
                : model_.graph.outputs[i].layer;
        std::string name = base;
        for (int n = 1; !used.insert(name).second; ++n) {
            name = fmt::format("{}_{}", base, n);
        }
        Operand y = outputs[i].operand;
        const Location where{model_.file, name, "output", ""};
        if (y.is_constant) {
            y.value = network().add(network::constant_operator,
                                    Attributes::of(network::ConstantFields{y.constant}), {}, where);
        }
        network().set_output(name, y.value);
    }
    out_.network = out_.network.pruned();
    return std::move(out_);
}

network::ImportedModel import_keras(const std::string& file, const std::string& weights,
                                    const layers::ImportOptions& options) {
    const Model model = read_model(file, weights);
    return Importer(model, options).run();
}

}  // namespace gatewright::keras
