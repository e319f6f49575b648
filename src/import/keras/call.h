#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "import/keras/settings.h"
#include "import/keras/weights.h"
#include "import/layers/builder.h"

namespace gatewright::keras {

using layers::Attributes;
using layers::Operand;
using layers::Operator;

class Importer;

/// What the numbers of a tensor are. Keras computes some things with integers in another way.
enum class Kind { real, integer, boolean };

/// The type that real numbers are rounded to where a layer gives them.
enum class Precision { single, float16, bfloat16 };

/// A tensor between layers. The batch is its first axis, which shapes leave out.
struct Value {
    Operand operand;
    Kind kind = Kind::real;
    /// 0 or 1 for each time step (the first axes of a sample): 0 steps are to be skipped.
    std::optional<Operand> mask;
    Precision precision = Precision::single;
};

/// One argument of a call: a tensor, a list of arguments, or a constant of Python.
struct Argument {
    Json literal;
    std::optional<Value> value;
    std::optional<std::vector<Argument>> list;

    Argument() = default;
    Argument(Value tensor) : value(std::move(tensor)) {}  // NOLINT: a tensor is an argument
    bool is_none() const { return !value && !list && literal.is_null(); }
    /// All tensors in it, in order.
    std::vector<Value> tensors() const;
};

struct Arguments {
    std::vector<Argument> args;
    std::map<std::string, Argument> kwargs;

    Arguments() = default;
    /// The call of a layer with one input, or with a list of inputs.
    explicit Arguments(std::vector<Value> inputs);
};

/// What a quantised layer has of its own, while the rule of the plain layer converts it.
struct Variant {
    /// Changes a weight of the file; by the role under which the plain rule asks for it.
    std::function<Operand(const std::string& role, const Operand& weight)> weight;
    bool channels_first = false;  ///< the framework runs it with channels first wherever
    bool qkeras = false;          ///< names of activations are QKeras' before they are Keras'
};

/// One call of one layer at work.
class Call : public layers::Builder {
  public:
    /// `path`: names of the layers around it and its own, joined by '/'.
    Call(Importer& importer, const Object& object, std::string path, Weights weights,
         Arguments arguments);

    const Object& object() const { return object_; }
    const std::string& path() const { return path_; }
    /// Whether Keras 2 wrote the file: some defaults differ.
    bool keras2() const;
    Importer& importer() { return importer_; }

    /// The layer's configuration. Reading marks what is used.
    Settings settings;

    // Inputs: the tensors in the first argument.
    std::size_t inputs() const { return inputs_.size(); }
    const Value& input(std::size_t i = 0) const;
    const Operand& operand(std::size_t i = 0) const { return input(i).operand; }
    std::vector<Operand> operands() const;
    /// Refuses another number of inputs.
    void expect_inputs(std::size_t count) const;

    /// An argument of the call by position (0 is the first) or by name; null if absent or None.
    /// Marks it as used.
    const Argument* argument(std::size_t position, const std::string& name);
    const Argument* argument(const std::string& name);
    /// Arguments that say how much the layer drops inside itself, which it does in training only:
    /// without effect, save that --monte-carlo does not reach them.
    void ignore_dropout(Settings& from, std::initializer_list<const char*> keys);
    /// Says that the layer computes the same in training.
    void ignore_training() { training_matters_ = false; }
    /// Constants among the arguments.
    bool flag_argument(const std::string& name, bool otherwise);
    /// The mask of input `i`: an explicit argument `mask` or the mask that came with the tensor.
    std::optional<Operand> mask(std::size_t i = 0);

    // Weights, in the order in which the layer creates them.
    /// The next weight, which must have that shape; an extent of -1 fits any. `role` is for
    /// messages.
    Operand weight(const std::string& role, const Shape& shape);
    /// The same of an object inside this layer.
    Operand weight(Weights& from, const std::string& role, const Shape& shape) const;
    Weights& weights() { return weights_; }
    Variant variant;
    /// What weights and results are rounded to.
    Precision precision = Precision::single;
    /// Whether Model.quantize has changed the layer (precision.h).
    bool int8 = false;
    [[noreturn]] void refuse_weights(std::string message) const;

    // Results.
    void set(Operand y, Kind kind = Kind::real);
    void set(std::vector<Operand> ys);
    void set_values(std::vector<Value> ys);
    const std::vector<Value>& results() const { return results_; }
    std::vector<Value>& results() { return results_; }

    /// Calls another layer: one inside a wrapper, or a layer given as an activation. Its name is
    /// this layer's path and its own.
    std::vector<Value> call_layer(const Layer& layer, Weights weights, Arguments arguments);
    std::vector<Value> call_layer(const Json& serialised, Weights weights, Arguments arguments);
    Operand call_layer(const Json& serialised, Weights weights, const Operand& x);

    /// Refuses code of the user's own.
    [[noreturn]] void refuse_code(std::string message, std::string remedy = {}) const;

    /// Its settings and the constants among its arguments, for messages.
    std::vector<layers::Setting> told_settings() const;

    /// Adds errors for what was not used of arguments, configuration and weights.
    void report_unused(Diagnostics& diagnostics) const;

  private:
    Importer& importer_;
    const Object& object_;
    std::string path_;
    Weights weights_;
    Arguments arguments_;
    std::vector<Value> inputs_;
    std::vector<bool> used_args_;
    std::vector<std::string> used_kwargs_;
    std::vector<Value> results_;
    bool training_matters_ = true;
};

/// How one class of layers is converted.
using Rule = void (*)(Call& call);

}  // namespace gatewright::keras
