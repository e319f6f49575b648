#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "import/onnx/model.h"
#include "network/imported_model.h"

/// Conversion of ONNX nodes to layers: what the rules of the tables (rules.h) work with.
namespace gatewright::onnx {

using network::Attributes;
using network::Network;
using network::Operator;

/// A value of the graph: a constant, or a tensor of the network with its batch axis left out.
struct Operand {
    bool is_constant = false;
    Tensor constant;
    bool is_integer = false;  ///< a constant of an integer type: division truncates
    network::Value value;
    Shape shape;          ///< without the batch axis
    int batch_axis = -1;  ///< where the batch axis stands in the file's shape; -1: nowhere

    std::int64_t rank() const {
        return static_cast<std::int64_t>(is_constant ? constant.shape.size() : shape.size()) +
               (batch_axis >= 0 ? 1 : 0);
    }
    const Shape& sample_shape() const { return is_constant ? constant.shape : shape; }
};

/// In a constant of shape arithmetic, the extent of the batch axis.
inline constexpr double batch_extent = -9007199254740991.0;

/// Thrown where an operator does not keep samples apart; the import starts again without a batch.
struct BatchMixed {};

class Importer;

/// One node at work.
class Call {
  public:
    Call(Importer& importer, const OnnxNode& node) : importer_(importer), node_(node) {}

    const OnnxNode& node() const { return node_; }
    std::int64_t opset() const { return node_.opset; }
    Location where(std::string attribute = {}) const;

    bool has(std::size_t i) const;
    std::size_t inputs() const { return node_.inputs.size(); }
    const Operand& operand(std::size_t i) const;
    /// A constant input; refuses a computed one.
    const Tensor& constant(std::size_t i, std::string_view role) const;
    std::vector<std::int64_t> integers(std::size_t i, std::string_view role) const;
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

    [[noreturn]] void refuse(std::string message, std::string remedy = {},
                             std::string attribute = {}) const;

    /// The network's axis for an axis of the file's shape (may be negative); BatchMixed for the
    /// batch axis.
    std::int64_t axis(const Operand& x, std::int64_t onnx_axis) const;
    /// Normalises an axis of `rank` (may be negative); refuses one out of range.
    std::int64_t normalised(std::int64_t onnx_axis, std::int64_t rank) const;

    /// Adds an operator, or folds it if all operands are constants: then float arithmetic rounds
    /// to float32 as the framework's does, unless `exact`.
    std::vector<Operand> emit(const Operator& op, Attributes attributes,
                              const std::vector<Operand>& operands, int batch_axis,
                              bool exact = false);
    /// An element-wise operator on operands that broadcast as in the file's shapes.
    Operand elementwise(const Operator& op, Attributes attributes, std::vector<Operand> operands,
                        bool exact = false);
    Operand function(const std::string& name, const Operand& x,
                     const std::vector<Operand>& parameters = {});
    static Operand number(double value);

    /// A constant that broadcasts to x in the file's shapes, as it broadcasts without the batch
    /// axis.
    Tensor without_batch(const Tensor& parameter, const Operand& x) const;
    Operand reshaped(const Operand& x, Shape sample_shape, int batch_axis);
    Operand transposed(const Operand& x, Shape sample_permutation, int batch_axis);

    /// For layers that need [batch, channels, ...]: x without its batch axis; in a model without
    /// batch an extent of 1 in its place is taken off. `restore` undoes that.
    Operand samples(const Operand& x);
    Operand restore(const Operand& y, const Operand& like);

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

/// The rule for an operator, or null. Domains of QONNX and its producers share one table.
Rule find_rule(std::string_view domain, std::string_view op_type);
/// Names of all operators that have rules, sorted.
std::vector<std::string> rule_names();

class Importer {
  public:
    Importer(const OnnxModel& model, bool batched);

    /// Throws BatchMixed (batched only) or Failure.
    network::ImportedModel run();

    const OnnxModel& model() const { return model_; }
    const Operand& find(const std::string& name) const { return values_.at(name); }
    bool known(const std::string& name) const { return values_.contains(name); }
    void define(const std::string& name, Operand operand);
    Network& network() { return out_.network; }
    network::Value constant_node(const Tensor& tensor, const Location& where);
    /// The extent that the file declares for the batch axis; nothing if free.
    std::optional<std::int64_t> declared_batch() const { return declared_batch_; }

  private:
    void add_inputs(Diagnostics& diagnostics);
    void convert(const OnnxNode& node, Diagnostics& diagnostics);

    const OnnxModel& model_;
    bool batched_;
    std::optional<std::int64_t> declared_batch_;
    network::ImportedModel out_;
    std::map<std::string, Operand> values_;
};

}  // namespace gatewright::onnx
