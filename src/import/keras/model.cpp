#include "import/keras/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/file.h"
#include "import/store/archive.h"
#include "import/store/json.h"

namespace gatewright::keras {

namespace {

[[noreturn]] void malformed(const Location& where, std::string message) {
    throw Failure(Code::model_config_malformed, where, std::move(message),
                  "The file does not hold a model as Keras writes it; save it again.");
}

const Json* find(const Json& object, const char* key) {
    if (!object.is_object()) {
        return nullptr;
    }
    const auto at = object.find(key);
    return at == object.end() ? nullptr : &*at;
}

std::string text_of(const Json& object, const char* key) {
    const Json* value = find(object, key);
    return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

std::size_t index_of(const Json& value, const Location& where) {
    if (!value.is_number_integer() || value < 0 || value > 1'000'000) {
        malformed(where, "the number of a call or of a tensor is no small integer");
    }
    return value.get<std::size_t>();
}

/// Whether a list is [layer, node, tensor] or [layer, node, tensor, kwargs], as Keras 2 writes
/// tensors.
bool is_old_reference(const Json& value) {
    return value.is_array() && (value.size() == 3 || value.size() == 4) && value[0].is_string() &&
           value[1].is_number_integer() && (value[2].is_number_integer() || value[1] == -1);
}

/// The mark of a constant among the inputs in files of Keras 2.
bool is_old_constant(const Json& value) {
    return value[0] == "_CONSTANT_VALUE";
}

TensorId old_reference(const Json& value, const Location& where) {
    return {value[0].get<std::string>(), index_of(value[1], where), index_of(value[2], where)};
}

Json reference(const TensorId& id) {
    return {{"class_name", "__keras_tensor__"},
            {"config", {{"keras_history", {id.layer, id.node, id.tensor}}}}};
}

/// Keyword arguments of Keras 2 with tensors as Keras 3 writes them.
Json new_arguments(const Json& value, const Location& where) {
    if (is_old_reference(value)) {
        return is_old_constant(value) ? value[2] : reference(old_reference(value, where));
    }
    Json out = value;
    if (value.is_array() || value.is_object()) {
        for (Json& part : out) {
            part = new_arguments(part, where);
        }
    }
    return out;
}

/// One call in the form of Keras 2: a list of tensors, or one tensor, each with the keyword
/// arguments of the call.
LayerCall read_old_call(const Json& node, const Location& where) {
    LayerCall out;
    std::vector<Json> tensors;
    const auto take = [&](const Json& entry) {
        if (!is_old_reference(entry)) {
            malformed(where, "an input of a call is not [layer, node, tensor, arguments]");
        }
        tensors.push_back(is_old_constant(entry) ? entry[2]
                                                 : reference(old_reference(entry, where)));
        if (entry.size() == 4) {
            if (!entry[3].is_object()) {
                malformed(where, "the arguments of a call are no object");
            }
            out.kwargs = new_arguments(entry[3], where);
        }
    };
    if (is_old_reference(node)) {
        take(node);
    } else if (node.is_array()) {
        for (const Json& entry : node) {
            take(entry);
        }
    } else if (node.is_object()) {
        for (const Json& entry : node) {
            take(entry);
        }
    } else {
        malformed(where, "a call is no list of tensors");
    }
    if (tensors.size() == 1) {
        out.args.push_back(tensors.front());
    } else {
        out.args.push_back(Json(tensors));
    }
    return out;
}

LayerCall read_call(const Json& node, const Location& where) {
    if (!node.is_object() || !node.contains("args")) {
        return read_old_call(node, where);
    }
    LayerCall out;
    const Json* kwargs = find(node, "kwargs");
    if (!node["args"].is_array() || (kwargs != nullptr && !kwargs->is_object())) {
        malformed(where, "a call has no list of arguments");
    }
    out.args = node["args"];
    if (kwargs != nullptr) {
        out.kwargs = *kwargs;
    }
    return out;
}

/// The tensors that a model takes or gives: one, a list, or a dictionary in the order of its keys.
void read_tensors(const Json& value, const Location& where, std::vector<TensorId>& out) {
    if (is_old_reference(value)) {
        out.push_back(old_reference(value, where));
    } else if (value.is_object()) {
        std::map<std::string, const Json*> sorted;
        for (const auto& [key, part] : value.items()) {
            sorted.emplace(key, &part);
        }
        for (const auto& [key, part] : sorted) {
            read_tensors(*part, where, out);
        }
    } else if (value.is_array()) {
        for (const Json& part : value) {
            read_tensors(part, where, out);
        }
    } else {
        malformed(where, "the model's inputs or outputs are no tensors of its layers");
    }
}

bool is_model_class(const Object& object) {
    return object.package.empty() &&
           (object.class_name == "Sequential" || object.class_name == "Functional" ||
            object.class_name == "Model");
}

bool begins_with_input(const Graph& graph) {
    if (graph.layers.empty()) {
        return false;
    }
    const Layer& first = graph.layers.front();
    return first.class_name == "InputLayer" || first.config.contains("batch_input_shape") ||
           (first.graph != nullptr && begins_with_input(*first.graph));
}

/// Models that were built with an input have a call of their own before those in the file, which
/// the numbers of calls count. Which numbers do so differs: all in Keras 2; only those of a model's
/// inputs and outputs in Keras 3, and there not of Sequential models.
class CallNumbers {
  public:
    CallNumbers(const Graph& graph, bool old_form, const Location& where) : where_(where) {
        for (const Layer& layer : graph.layers) {
            if (layer.graph == nullptr) {
                continue;
            }
            const bool built = layer.graph->sequential ? begins_with_input(*layer.graph) : true;
            if (old_form ? built : !layer.graph->sequential) {
                shifted_.insert(layer.name);
            }
        }
        old_form_ = old_form;
    }

    void correct_end(TensorId& id) const {
        if (shifted_.contains(id.layer)) {
            if (id.node == 0) {
                malformed(where_, fmt::format("there is no call 0 of the model '{}'", id.layer));
            }
            --id.node;
        }
    }

    void correct_arguments(Json& value) const {
        if (!old_form_) {
            return;
        }
        if (is_tensor_reference(value)) {
            TensorId id = tensor_reference(value);
            correct_end(id);
            value = reference(id);
        } else if (value.is_array() || value.is_object()) {
            for (Json& part : value) {
                correct_arguments(part);
            }
        }
    }

  private:
    Location where_;
    std::set<std::string> shifted_;
    bool old_form_ = false;
};

Graph read_graph(const Object& object, const Location& where);

void read_calls(Layer& layer, const Json& serialised, const Location& where) {
    const Json* nodes = find(serialised, "inbound_nodes");
    if (nodes == nullptr) {
        return;
    }
    if (!nodes->is_array()) {
        malformed(where, "its calls are no list");
    }
    for (const Json& node : *nodes) {
        layer.calls.push_back(read_call(node, where));
    }
}

/// Whether the calls of a graph's layers have the form of Keras 2.
bool has_old_calls(const Json& layers) {
    for (const Json& layer : layers) {
        const Json* nodes = find(layer, "inbound_nodes");
        if (nodes != nullptr && nodes->is_array() && !nodes->empty()) {
            return !nodes->front().is_object() || !nodes->front().contains("args");
        }
    }
    return false;
}

void read_ends(Graph& graph, const Json& config, const CallNumbers& numbers,
               const Location& where) {
    const auto read = [&](const char* key, std::vector<TensorId>& out) {
        const Json* value = find(config, key);
        if (value == nullptr) {
            malformed(where, fmt::format("the model has no {}", key));
        }
        read_tensors(*value, where, out);
        for (TensorId& id : out) {
            numbers.correct_end(id);
        }
    };
    read("input_layers", graph.inputs);
    read("output_layers", graph.outputs);
}

Graph read_graph(const Object& object, const Location& where) {
    Graph graph;
    graph.sequential = object.class_name == "Sequential";
    graph.name = object.name;
    // Before Keras 2.2.3 the configuration of a Sequential model was the list of its layers.
    const Json* layers = object.config.is_array() ? &object.config : find(object.config, "layers");
    if (layers == nullptr || !layers->is_array()) {
        malformed(where, "the model has no list of layers");
    }
    std::set<std::string> names;
    for (const Json& serialised : *layers) {
        Layer layer = read_layer(serialised, where);
        const std::string outer = text_of(serialised, "name");
        if (!outer.empty()) {
            layer.name = outer;
        }
        if (layer.name.empty()) {
            malformed(where, fmt::format("a layer {} has no name", layer.class_name));
        }
        if (!names.insert(layer.name).second) {
            malformed(where, fmt::format("two layers have the name '{}'", layer.name));
        }
        if (!graph.sequential) {
            read_calls(layer, serialised, {where.file, layer.name, layer.class_name, ""});
        }
        graph.layers.push_back(std::move(layer));
    }
    if (graph.sequential) {
        for (const char* key : {"build_input_shape", "batch_input_shape"}) {
            if (const Json* shape = find(object.config, key)) {
                graph.input_shape = *shape;
            }
        }
        return graph;
    }
    const CallNumbers numbers(graph, has_old_calls(*layers), where);
    for (Layer& layer : graph.layers) {
        for (LayerCall& call : layer.calls) {
            numbers.correct_arguments(call.args);
            numbers.correct_arguments(call.kwargs);
        }
    }
    read_ends(graph, object.config, numbers, where);
    return graph;
}

std::shared_ptr<const store::Hdf5Group> read_hdf5_file(std::span<const std::byte> bytes,
                                                       const std::string& file) {
    return std::make_shared<const store::Hdf5Group>(store::read_hdf5(bytes, file));
}

struct Parts {
    std::string config;
    int keras_version = 3;
    std::shared_ptr<const store::Hdf5Group> weights;
    std::string weights_name;
};

int major_version(const std::string& version, int otherwise) {
    return version.starts_with("3") ? 3 : version.empty() ? otherwise : 2;
}

Parts read_keras_archive(const std::string& file) {
    const store::Archive archive(read_file_bytes(file), file);
    const Location where{file, "", "", ""};
    for (const char* name : {"config.json", "model.weights.h5"}) {
        if (!archive.has(name)) {
            throw Failure(Code::store_malformed, where, fmt::format("the archive has no {}", name),
                          "Save the model with `model.save(\"name.keras\")`.");
        }
    }
    Parts parts;
    parts.config = archive.read_text("config.json");
    if (archive.has("metadata.json")) {
        const Json metadata = store::parse_json(archive.read_text("metadata.json"), file);
        parts.keras_version = major_version(text_of(metadata, "keras_version"), 3);
    }
    parts.weights = read_hdf5_file(archive.read("model.weights.h5"), file);
    parts.weights_name = file;
    return parts;
}

Parts read_h5(const std::string& file) {
    Parts parts;
    parts.weights = read_hdf5_file(read_file_bytes(file), file);
    parts.weights_name = file;
    const std::string* config = parts.weights->text("model_config");
    if (config == nullptr) {
        throw Failure(Code::model_config_malformed, {file, "", "", ""},
                      "the file holds weights but no model",
                      "Give the model's .json, and this file with --weights.");
    }
    parts.config = *config;
    const std::string* version = parts.weights->text("keras_version");
    parts.keras_version = major_version(version == nullptr ? "" : *version, 2);
    return parts;
}

Parts read_json_and_weights(const std::string& file, const std::string& weights) {
    if (weights.empty()) {
        throw Failure(Code::unknown_option, {file, "", "", ""},
                      "the file describes a model and holds no weights",
                      "Give the .h5 file of its weights with --weights.");
    }
    Parts parts;
    const std::vector<std::byte> bytes = read_file_bytes(file);
    parts.config.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const Json config = store::parse_json(parts.config, file);
    // Keras 3 writes "module" beside each class; files of both hold the version where it is known.
    const std::string version = text_of(config, "keras_version");
    parts.keras_version = version.empty()
                              ? (config.is_object() && config.contains("module") ? 3 : 2)
                              : major_version(version, 2);
    parts.weights = read_hdf5_file(read_file_bytes(weights), weights);
    parts.weights_name = weights;
    return parts;
}

}  // namespace

bool is_tensor_reference(const Json& value) {
    return text_of(value, "class_name") == "__keras_tensor__";
}

TensorId tensor_reference(const Json& value) {
    const Json* config = find(value, "config");
    const Json* history = config == nullptr ? nullptr : find(*config, "keras_history");
    if (history == nullptr || !is_old_reference(*history)) {
        malformed({}, "a tensor among the arguments of a call has no [layer, node, tensor]");
    }
    return old_reference(*history, {});
}

Object read_object(const Json& serialised, const Location& where) {
    Object out;
    out.class_name = text_of(serialised, "class_name");
    if (out.class_name.empty()) {
        malformed(where, "a serialised object has no class");
    }
    const std::string module = text_of(serialised, "module");
    std::string registered = text_of(serialised, "registered_name");
    if (out.class_name.find('>') != std::string::npos) {
        registered = out.class_name;
    }
    const std::size_t at = registered.find('>');
    if (at != std::string::npos) {
        out.package = registered.substr(0, at);
        out.class_name = registered.substr(at + 1);
    } else if (module.starts_with("keras.src.ops") || module.starts_with("keras.ops")) {
        out.package = "keras.ops";
    } else if (!(module.empty() || module == "keras" || module.starts_with("keras.") ||
                 module.starts_with("tf_keras") || module.starts_with("qkeras"))) {
        out.package = module;
    }
    if (const Json* config = find(serialised, "config")) {
        out.config = *config;
    }
    if (const Json* build = find(serialised, "build_config")) {
        out.build_config = *build;
    }
    out.name = text_of(out.config, "name");
    return out;
}

namespace {

/// Keras 3 leaves the modules out of .h5 files. Its operations are what is called as it calls
/// layers and has not what the configuration of each layer has.
bool is_bare_operation(const Json& serialised, const Object& object) {
    const Json* calls = find(serialised, "inbound_nodes");
    return object.package.empty() && !is_model_class(object) &&
           find(serialised, "module") == nullptr && calls != nullptr && calls->is_array() &&
           !calls->empty() && calls->front().is_object() && calls->front().contains("args") &&
           object.config.is_object() && !object.config.contains("trainable") &&
           !object.config.contains("dtype");
}

}  // namespace

Layer read_layer(const Json& serialised, const Location& where) {
    Layer layer;
    static_cast<Object&>(layer) = read_object(serialised, where);
    if (is_bare_operation(serialised, layer)) {
        layer.package = "keras.ops";
    }
    if (is_model_class(layer)) {
        layer.graph = std::make_shared<const Graph>(
            read_graph(layer, {where.file, layer.name, layer.class_name, ""}));
    } else if (!layer.config.is_object()) {
        malformed({where.file, layer.name, layer.class_name, ""}, "its configuration is no object");
    }
    return layer;
}

Model read_model(const std::string& file, const std::string& weights_file) {
    if (!weights_file.empty() && !file.ends_with(".json")) {
        throw Failure(Code::unknown_option, {file, "", "", ""},
                      "the model holds its weights itself", "Leave out --weights.");
    }
    const Parts parts = file.ends_with(".json")    ? read_json_and_weights(file, weights_file)
                        : file.ends_with(".keras") ? read_keras_archive(file)
                                                   : read_h5(file);
    return make_model(parts.config, parts.keras_version, parts.weights, file, parts.weights_name);
}

Model make_model(const std::string& config, int keras_version,
                 std::shared_ptr<const store::Hdf5Group> weights, const std::string& file,
                 const std::string& weights_file) {
    Model model;
    model.file = file;
    model.keras_version = keras_version;
    const Location where{file, "", "", ""};
    const Layer whole = read_layer(store::parse_json(config, file), where);
    if (whole.graph == nullptr) {
        throw Failure(Code::code_refused, {file, whole.name, whole.class_name, ""},
                      "the model is an instance of a class of the user's own: what it computes is "
                      "Python code, which is not in the file",
                      "Build it as a Functional or Sequential model.");
    }
    model.graph = *whole.graph;
    if (model.graph.sequential && model.graph.input_shape.is_null() &&
        whole.build_config.is_object() && whole.build_config.contains("input_shape")) {
        model.graph.input_shape = whole.build_config["input_shape"];
    }
    model.weights = Weights::of_file(std::move(weights), {weights_file, "", "", ""});
    return model;
}

}  // namespace gatewright::keras
