#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "import/layers/builder.h"
#include "import/layers/options.h"
#include "import/onnx/model.h"
#include "network/imported_model.h"

/// Conversion of ONNX nodes to layers: what the rules of the tables (rules.h) work with.
namespace gatewright::onnx {

using network::Attributes;
using network::Network;
using network::Operator;

using layers::batch_extent;
using layers::BatchMixed;
using layers::Operand;

class Importer;

/// One node at work.
class Call : public layers::Builder {
  public:
    Call(Importer& importer, const OnnxNode& node);

    const OnnxNode& node() const { return node_; }
    std::int64_t opset() const { return node_.opset; }

    bool has(std::size_t i) const;
    std::size_t inputs() const { return node_.inputs.size(); }
    const Operand& operand(std::size_t i) const;
    /// A constant input; refuses a computed one.
    const Tensor& constant(std::size_t i, std::string_view role) const;
    std::vector<std::int64_t> integers(std::size_t i, std::string_view role) const;
    std::int64_t one_integer(std::size_t i, std::string_view role) const;
    double scalar(std::size_t i, std::string_view role) const;

    // Attributes. Reading one marks it as used; what is left at the end is an error.
    bool has_attribute(const std::string& name) const;
    std::int64_t integer(const std::string& name, std::int64_t otherwise);
    double real(const std::string& name, double otherwise);
    std::string text(const std::string& name, const std::string& otherwise);
    std::optional<std::vector<std::int64_t>> integer_list(const std::string& name);
    const OnnxAttribute* any(const std::string& name);
    /// Marks an attribute that changes nothing here.
    void ignore(const std::string& name);

    /// The element type of an input, as far as it is known.
    ElementType type(std::size_t i) const;
    /// The element type of an output where it is not that of the first input.
    void set_type(ElementType type, std::size_t output = 0);
    /// An operand without axis `batch_axis` of the file's shape, which all samples share: of a
    /// constant it must be declared to be a batch, of equal rows; else BatchMixed.
    Operand per_sample(const Operand& x, int batch_axis);

    void set(Operand y, std::size_t output = 0);
    Importer& importer() { return importer_; }

    std::vector<std::string> unused_attributes() const;

  private:
    Importer& importer_;
    const OnnxNode& node_;
    std::set<std::string> used_;
};

/// How one operator of the format is converted.
using Rule = void (*)(Call& call);

/// The rule for an operator: the user's own, or one of the tables; empty if there is none. Domains
/// of QONNX and its producers share one table.
std::function<void(Call& call)> find_rule(std::string_view domain, std::string_view op_type,
                                          const layers::ImportOptions& options);
/// Lets a rule of the user's own convert a node.
void apply_custom_rule(Call& call, const layers::CustomRule& rule);
/// Names of all operators that have rules, sorted.
std::vector<std::string> rule_names();

/// What the first axis of a file's inputs and outputs is.
enum class FirstAxis {
    samples,     ///< a batch of samples, which every operator keeps apart
    one_sample,  ///< declared to be of extent 1: a batch of one, which operators may merge with
                 ///< others
    data,        ///< part of a sample
};

class Importer {
  public:
    Importer(const OnnxModel& model, FirstAxis first_axis, const layers::ImportOptions& options);

    /// Throws BatchMixed (not for FirstAxis::data) or Failure.
    network::ImportedModel run();

    const OnnxModel& model() const { return model_; }
    const Operand& find(const std::string& name) const { return values_.at(name); }
    bool known(const std::string& name) const { return values_.contains(name); }
    void define(const std::string& name, Operand operand);
    ElementType type(const std::string& name) const;
    void set_type(const std::string& name, ElementType type) { types_[name] = type; }
    /// Converts a graph within the graph, with `arguments` as its inputs; gives its outputs. Its
    /// layers are called `prefix`/...
    std::vector<Operand> run_inner(const OnnxGraph& graph, const std::vector<Operand>& arguments,
                                   const std::string& prefix);
    Network& network() { return out_.network; }
    network::ImportedModel& imported() { return out_; }
    const layers::ImportOptions& options() const { return options_; }
    /// The extent that the file declares for the batch axis; nothing if free.
    std::optional<std::int64_t> declared_batch() const { return declared_batch_; }

  private:
    void add_inputs(Diagnostics& diagnostics);
    void set_output(const std::string& name, Operand y);
    void convert(const OnnxNode& node, Diagnostics& diagnostics);

    const OnnxModel& model_;
    const layers::ImportOptions& options_;
    FirstAxis first_axis_;
    std::optional<std::int64_t> declared_batch_;
    network::ImportedModel out_;
    std::map<std::string, Operand> values_;
    std::map<std::string, ElementType> types_;
    std::size_t inner_layers_ = 0;  ///< converted within graphs of layers
};

}  // namespace gatewright::onnx
