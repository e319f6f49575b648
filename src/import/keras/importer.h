#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "import/keras/call.h"
#include "import/keras/model.h"
#include "import/layers/options.h"
#include "network/imported_model.h"

namespace gatewright::keras {

/// Conversion of a model: walks its graphs and lets the rules convert each call of a layer.
class Importer {
  public:
    Importer(const Model& model, const layers::ImportOptions& options)
        : model_(model), options_(options) {}

    /// Throws Failure with all errors.
    network::ImportedModel run();

    const Model& model() const { return model_; }
    const layers::ImportOptions& options() const { return options_; }
    network::Network& network() { return out_.network; }
    network::ImportedModel& imported() { return out_; }
    /// Leaves a note, once for each text.
    void note(Code code, const Location& where, const std::string& message);

    /// Calls a layer. What is wrong with it is thrown as a Failure.
    std::vector<Value> call_layer(const Layer& layer, const std::string& path, Weights weights,
                                  Arguments arguments);
    /// Calls a model on inputs in order.
    std::vector<Value> call_graph(const Graph& graph, const std::string& path,
                                  const Weights& weights, std::vector<Value> inputs,
                                  bool outermost);

  private:
    class GraphCall;

    static bool is_input(const Layer& layer);
    static void add_all(Diagnostics& diagnostics, const Failure& failure);
    std::vector<Value> add_inputs(Diagnostics& diagnostics);
    std::vector<Value> call_sequence(const Graph& graph, const std::string& path,
                                     std::vector<Weights> weights, std::vector<Value> inputs);

    const Model& model_;
    const layers::ImportOptions& options_;
    network::ImportedModel out_;
    std::set<std::string> noted_;
    std::int64_t calls_ = 0;
};

}  // namespace gatewright::keras
