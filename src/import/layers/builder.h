#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "network/network.h"
#include "types/tensor.h"

/// What all readers of model files share: one layer of a file becomes operators of the network. The
/// readers (import/onnx, import/keras, import/torch) say what a file's layer means; the programs
/// for larger layers (recurrence, attention, ...) stand beside this file and serve them all.
namespace gatewright::layers {

using network::Attributes;
using network::Network;
using network::Operator;

/// A value of the model: a constant, or a tensor of the network with its batch axis left out.
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

/// One layer at work: adds operators to the network in its name.
class Builder {
  public:
    Builder(Network& network, Location where) : network_(network), where_(std::move(where)) {}

    Location where(std::string attribute = {}) const;
    [[noreturn]] void refuse(std::string message, std::string remedy = {},
                             std::string attribute = {}) const;

    /// The network's axis for an axis of the file's shape (may be negative); BatchMixed for the
    /// batch axis.
    std::int64_t axis(const Operand& x, std::int64_t file_axis) const;
    /// Normalises an axis of `rank` (may be negative); refuses one out of range.
    std::int64_t normalised(std::int64_t file_axis, std::int64_t rank) const;

    /// Adds an operator, or folds it if all operands are constants: then float arithmetic rounds
    /// to float32 as the framework's does, unless `exact`.
    std::vector<Operand> emit(const Operator& op, Attributes attributes,
                              const std::vector<Operand>& operands, int batch_axis,
                              bool exact = false);
    /// An element-wise operator on operands that broadcast as in the file's shapes.
    Operand elementwise(const Operator& op, Attributes attributes, std::vector<Operand> operands,
                        bool exact = false);
    /// A row of operators/function.h applied to x.
    Operand function(const std::string& name, const Operand& x,
                     const std::vector<Operand>& parameters = {});
    static Operand number(double value);
    static Operand tensor(Tensor value);
    /// A tensor that is the same for each sample, with its batch at `batch_axis`.
    Operand repeated(const Tensor& sample, int batch_axis);

    // Arithmetic on operands that broadcast as in the file's shapes.
    Operand add(const Operand& a, const Operand& b);
    Operand subtract(const Operand& a, const Operand& b);
    Operand multiply(const Operand& a, const Operand& b);
    Operand divide(const Operand& a, const Operand& b);
    Operand maximum(const Operand& a, const Operand& b);
    Operand minimum(const Operand& a, const Operand& b);

    /// A constant that broadcasts to x in the file's shapes, as it broadcasts without the batch
    /// axis; along that it must be the same, else BatchMixed.
    Tensor without_batch(const Tensor& parameter, const Operand& x) const;

    // Moves. Shapes, axes and permutations are those of a sample (without the batch axis).
    Operand reshaped(const Operand& x, Shape sample_shape, int batch_axis);
    Operand transposed(const Operand& x, Shape sample_permutation, int batch_axis);
    /// Elements begin, begin + step, ... (`size` of them) along one axis.
    Operand sliced(const Operand& x, std::int64_t sample_axis, std::int64_t begin,
                   std::int64_t size, std::int64_t step = 1);
    /// Position `index` along one axis, which goes.
    Operand selected(const Operand& x, std::int64_t sample_axis, std::int64_t index);
    /// Joins along an axis that all have.
    Operand concatenated(const std::vector<Operand>& xs, std::int64_t sample_axis);
    /// Joins along a new axis.
    Operand stacked(const std::vector<Operand>& xs, std::int64_t sample_axis);
    /// Reverses one axis.
    Operand reversed(const Operand& x, std::int64_t sample_axis);
    Operand expanded(const Operand& x, Shape sample_shape);

    /// a[..., m, k] b[..., k, n] per sample, as NumPy's matmul on sample shapes.
    Operand matmul(const Operand& a, const Operand& b);
    /// Kind is sum, mean, max, min or prod, over axes of a sample.
    Operand reduced(const Operand& x, const std::string& kind, Shape sample_axes, bool keep);
    Operand softmax(const Operand& x, std::int64_t sample_axis);

    /// For layers that need [batch, channels, ...]: x without its batch axis; in a model without
    /// batch an extent of 1 in its place is taken off. `restore` undoes that.
    Operand samples(const Operand& x);
    Operand restore(const Operand& y, const Operand& like);

    Network& network() { return network_; }

  private:
    network::Value constant_node(const Tensor& tensor);

    Network& network_;
    Location where_;
};

}  // namespace gatewright::layers
