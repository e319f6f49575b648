#pragma once

#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "import/keras/weights.h"

/// A Keras model as its file describes it, whichever version of Keras wrote it: layers with their
/// configurations, and graphs of calls of them. Nothing is interpreted here.
namespace gatewright::keras {

using Json = nlohmann::ordered_json;

struct Graph;

/// The tensor number `tensor` that call number `node` of a layer gives.
struct TensorId {
    std::string layer;
    std::size_t node = 0;
    std::size_t tensor = 0;

    auto operator<=>(const TensorId&) const = default;
};

/// One call of a layer. A tensor among the arguments is the object
/// {"class_name": "__keras_tensor__", "config": {"keras_history": [layer, node, tensor]}}, as
/// Keras 3 writes it; the calls of Keras 2 are rewritten to that form.
struct LayerCall {
    Json args = Json::array();
    Json kwargs = Json::object();
};

/// Any serialised object of Keras: a layer, a quantiser, an activation.
struct Object {
    /// "" for what belongs to Keras (and in files of Keras 2 for all that has no package),
    /// "keras.ops" for operations of Keras 3, else the package under which a class is registered
    /// ("hgq" of "hgq>QDense") or, without one, its module.
    std::string package;
    std::string class_name;
    std::string name;  ///< config.name; may be empty
    Json config = Json::object();
    Json build_config;  ///< null if there is none
};

struct Layer : Object {
    std::vector<LayerCall> calls;        ///< in a Functional graph
    std::shared_ptr<const Graph> graph;  ///< of a model used as a layer; else null
};

struct Graph {
    std::string name;
    bool sequential = false;  ///< each layer is called once, on the one before
    std::vector<Layer> layers;
    std::vector<TensorId> inputs;   ///< Functional: in order
    std::vector<TensorId> outputs;  ///< Functional: in order
    /// Sequential: the batch's shape of the input, null where the file does not say it.
    Json input_shape;
};

struct Model {
    std::string file;
    int keras_version = 3;  ///< 2 or 3: of the library that wrote the configuration
    Graph graph;
    Weights weights;
};

/// Whether `value` stands for a tensor among a call's arguments.
bool is_tensor_reference(const Json& value);
TensorId tensor_reference(const Json& value);

/// Splits a serialised object {"class_name": ..., "config": ...}. `where` is named in errors.
Object read_object(const Json& serialised, const Location& where);
/// The same for a layer inside a wrapper.
Layer read_layer(const Json& serialised, const Location& where);

/// Reads a model's files. Throws Failure.
Model read_model(const std::string& file, const std::string& weights_file);
/// The model of a configuration (JSON) over weights of a file; both files are named in errors.
Model make_model(const std::string& config, int keras_version,
                 std::shared_ptr<const store::Hdf5Group> weights, const std::string& file,
                 const std::string& weights_file);

}  // namespace gatewright::keras
