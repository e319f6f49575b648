#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "operators/accumulation.h"
#include "operators/core_model.h"

namespace gatewright::operators {

using network::Network;
using network::Node;
using network::Value;

/// A tensor of a layer network, as it stands during lowering: real-valued functions (steps) of
///  - a constant, or
///  - a core tensor, that is, of integers, or
///  - an input of the model that has not been quantised yet.
/// Affine steps are merged as they are appended, so scales travel to the next quantiser.
struct RealTensor {
    enum class Base { constant, core, model_input };

    Base base = Base::constant;
    Shape shape;
    Tensor constant;                  ///< Base::constant; has no steps
    Value value;                      ///< Base::core
    int model_input = 0;              ///< Base::model_input: its number and, for each element,
    std::vector<std::int64_t> index;  ///< the element of it; empty: the same
    std::vector<Step> steps;
    Location where;  ///< the layer that made it
};

/// A core tensor and what its numbers stand for: real = scale * value + offset, per element.
struct Linear {
    Value value;
    Shape shape;
    PerElement<Rational> scale = Rational(1);
    PerElement<Rational> offset = Rational(0);
    Location where;
};

struct LoweringOptions {
    /// The type of a model input that no quantiser follows, or nothing to refuse it.
    std::function<std::optional<FixedType>(const std::string& input)> input_type;
};

/// Rewrites a network of layers to core operators. The layers' `lower` functions are short programs
/// over these methods. Errors name the layer at work.
class Lowering {
  public:
    Lowering(const Network& layers, const LoweringOptions& options);

    /// Lowers all layers; throws one Failure with all errors.
    CoreModel run();

    // For the programs of layers:

    const RealTensor& input(const Node& node, std::size_t i) const;
    bool is_constant(const Node& node, std::size_t i) const;
    void set(const RealTensor& tensor, std::size_t output = 0);

    /// Appends a step; a quantiser at once becomes core operators on integers.
    RealTensor step(RealTensor x, Step step);
    /// The joining function of that name (sum, product, ...) of two tensors, if both are functions
    /// of the same elements.
    std::optional<RealTensor> joined(std::string_view function, const RealTensor& a,
                                     const RealTensor& b);
    RealTensor affine(RealTensor x, PerElement<Rational> scale, PerElement<Rational> offset);

    /// The tensor as scale * integers + offset. Piecewise linear steps become core operators; an
    /// input of the model gets its type from the options; a transcendental step is an error that
    /// asks for a quantiser.
    Linear linear(const RealTensor& x);
    /// The same with offset 0.
    Linear integers(const RealTensor& x);
    /// All with offset 0 and the same scale for each element (`uniform`: for all elements).
    std::vector<Linear> common(const std::vector<RealTensor>& tensors, bool uniform);
    RealTensor real(const Linear& x) const;

    /// Adds a core operator.
    Value core(const network::Operator& op, network::Attributes attributes,
               std::vector<Value> inputs);
    const network::TensorType& type(Value value) const { return core_.type(value); }

    /// Applies a move to the tensors, steps included.
    RealTensor move(const Node& node, const std::vector<RealTensor>& inputs);
    RealTensor reshape(const RealTensor& x, Shape shape);
    RealTensor transpose(const RealTensor& x, Shape permutation);

    /// y[..., o] = sum over k of x[..., k] * weights[g, k, o], x[..., (G,) K].
    RealTensor contract(const RealTensor& x, const Tensor& weights);
    /// The same with sums that begin with initial[g, o], in an accumulator.
    RealTensor accumulate(const RealTensor& x, const Tensor& weights, const Tensor& initial,
                          const Accumulation& accumulator);

    /// As scale 1 and offset 0, in at most `bits` bits and `most_frac` behind the point, rounded
    /// where it needs more: for what has no exact form in the widest integer.
    Linear rounded(const Linear& x, int bits, int most_frac = max_width * max_width);
    /// The least n with |x| < 2^n for all values, or a few more.
    int digits_before_point(const Linear& x) const;

    /// Notes that the layer at work is computed with an error of at most `bound`.
    void approximation(std::string description, double bound);

    [[noreturn]] void refuse(Code code, std::string message, std::string remedy,
                             std::string attribute = {}) const;
    const Location& where() const { return where_; }

  private:
    struct Quantiser;

    [[noreturn]] void refuse_weights(int bits) const;
    RealTensor quantize(const RealTensor& x, const Step& quantiser);
    RealTensor encode(const RealTensor& x, const Step& quantiser);
    RealTensor typed_input(const RealTensor& x);
    Linear materialise(Linear x, const Step& step);
    /// Without the last bits, where there are too many.
    Linear narrowed(const Linear& x, int bits, int most_frac);
    std::vector<Linear> exactly_common(const std::vector<RealTensor>& tensors, bool uniform);
    RealTensor exactly_contract(const RealTensor& x, const Tensor& weights);
    /// Computes the first `count` steps, which are exact.
    RealTensor computed(const RealTensor& x, std::size_t count);
    /// In integers of `unit`. Where that is no power of two the binary point is `frac`, or stays.
    Linear rescale(const Linear& x, const PerElement<Rational>& unit,
                   std::optional<std::int64_t> frac = std::nullopt);
    void decode(const std::string& name, const RealTensor& x);

    const Network& layers_;
    const LoweringOptions& options_;
    Network core_;
    CoreModel model_;
    std::map<Value, RealTensor> values_;
    std::map<int, Value> typed_inputs_;
    Location where_;
    network::NodeId node_ = 0;
};

/// The steps with the parameters of element e taken from element index[e], for a tensor of that
/// shape: parameters that follow a few of its axes keep their short form.
std::vector<Step> gather(std::span<const Step> steps, std::span<const std::int64_t> index,
                         const Shape& shape);

/// Combines per-element values of tensors of one shape, keeping uniform and periodic forms.
template <class R, class F, class... T>
PerElement<R> combine(std::int64_t count, F function, const PerElement<T>&... inputs) {
    if ((inputs.is_uniform() && ...)) {
        return PerElement<R>(function(inputs.values().front()...));
    }
    // Neighbouring entries of all patterns together, and when all have come round.
    std::int64_t inner = 0;
    std::int64_t period = 1;
    const auto look = [&](const auto& input) {
        if (!input.is_uniform()) {
            const auto size = static_cast<std::int64_t>(input.values().size());
            inner = std::gcd(inner, input.inner());
            period =
                std::min(std::lcm(period, size * input.inner()), std::max<std::int64_t>(1, count));
        }
    };
    (look(inputs), ...);
    if (period % inner != 0) {
        inner = 1;
    }
    std::vector<R> values;
    values.reserve(static_cast<std::size_t>(period / inner));
    for (std::int64_t e = 0; e < period; e += inner) {
        values.push_back(function(inputs.at(e)...));
    }
    return PerElement<R>::along(std::move(values), inner);
}

/// Calls `exact`; where it needs more bits than the widest integer has, `otherwise`.
template <class F, class G>
auto within_widest(F exact, G otherwise) {
    try {
        return exact();
    } catch (const Failure& failure) {
        if (failure.diagnostics().front().code != Code::width_exceeded) {
            throw;
        }
    }
    return otherwise();
}

/// The values of a constant tensor as they broadcast to `shape`.
PerElement<Rational> broadcast_constant(const Tensor& constant, const Shape& shape);

/// x broadcast to a shape.
RealTensor expanded(Lowering& lowering, const RealTensor& x, const Shape& shape);

/// sum, difference, product, larger or smaller of two tensors that broadcast to `shape`; constants,
/// functions of the same elements, or any.
RealTensor merged(Lowering& lowering, std::string_view function, const RealTensor& a,
                  const RealTensor& b, const Shape& shape);

/// A comparison of two computed tensors of one shape: one bit an element.
RealTensor compared(Lowering& lowering, std::string_view function, const RealTensor& a,
                    const RealTensor& b);

/// Whether the values of a step are integers, whatever its argument; so a circuit needs no
/// quantiser to compute it.
bool has_integer_values(const Step& step);
/// Whether they are 0 and 1.
bool has_bits(const Step& step);

/// a + b and its kin of any two tensors of one shape; neither constant.
RealTensor join_computed(Lowering& lowering, std::string_view function, const RealTensor& a,
                         const RealTensor& b);

// Programs of operators that are layers and core operators in one.
void lower_add(Lowering& lowering, const Node& node);
void lower_subtract(Lowering& lowering, const Node& node);
void lower_multiply(Lowering& lowering, const Node& node);
void lower_maximum(Lowering& lowering, const Node& node);
void lower_minimum(Lowering& lowering, const Node& node);
void lower_move(Lowering& lowering, const Node& node);

/// The program of a softmax whose result is quantised (softmax.cpp); x is the softmax's input.
RealTensor quantized_softmax(Lowering& lowering, const RealTensor& x, const Step& softmax,
                             const Step& result);

/// Lowers a network of layers.
CoreModel lower(const Network& layers, const LoweringOptions& options);

}  // namespace gatewright::operators
