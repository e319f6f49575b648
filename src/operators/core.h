#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "linear/adder_graph.h"
#include "network/network.h"

/// The core operators, to which every layer is rewritten. A core operator is a map (`element`), a
/// row operator (`row`), a move (`sources`) or the contraction; emulator and schedules take its
/// arithmetic from the forms below and have none of their own.
namespace gatewright::operators {

using network::Format;
using network::Node;
using network::Source;
using network::TensorType;

/// One body of a map or row operator: a bits function with one input per operand and one output per
/// result, and the formats of both.
struct Body {
    bits::Function function;
    std::vector<Format> inputs;
    std::vector<Format> outputs;
};

/// The distinct bodies of a node and which one each instance (element of a map, row of a row
/// operator) uses.
struct Bodies {
    std::vector<Body> bodies;
    std::vector<std::int32_t> body_of;  ///< [instance]
};

/// Bodies of a map; instance e is element e of the output. Input i of instance e is element
/// broadcast_index(inputs[i].shape, output shape)[e].
Bodies map_bodies(const Node& node, std::span<const TensorType> inputs);

/// Bodies of a row operator; instance r is row r of the (single) input, whose last axis has K
/// elements: the body has K inputs. Its outputs are those of output 0's row, then output 1's, ...
Bodies row_bodies(const Node& node, std::span<const TensorType> inputs);

/// Inference of maps and row operators by their bodies.
std::vector<TensorType> infer_map(const Node& node, std::span<const TensorType> inputs);
std::vector<TensorType> infer_row(const Node& node, std::span<const TensorType> inputs,
                                  const std::vector<Shape>& shapes);
/// Inference of moves: formats follow their elements. Also for float tensors.
TensorType infer_move(const Node& node, std::span<const TensorType> inputs, Shape shape);
/// Any move on real numbers.
std::vector<Tensor> move_reference(const Node& node, std::span<const Tensor* const> inputs);

/// contract: x[..., K] with constant integer weights [1, K, O] gives y[..., O]; with weights
/// [G, K, O], x[..., G, K] gives y[..., G, O]. y = sum over K of x * weight * 2^-frac, exactly.
struct ContractFields {
    IntTensor weights;      ///< [G, K, O]
    std::int64_t frac = 0;  ///< a weight's value is integer * 2^-frac

    bool operator==(const ContractFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"weights", &ContractFields::weights, "integers, [G, K, O]"},
            network::Field{"frac", &ContractFields::frac, "bits of a weight behind the point"}};
    }
};

/// What a row of a contraction computes on integers: outputs = inputs * matrix, where output o
/// has format outputs[o]. Differing binary points are inside the matrix.
struct ContractForm {
    linear::Matrix matrix;  ///< [K, O]
    std::vector<Format> inputs;
    std::vector<Format> outputs;
};

/// The distinct forms of a node; row r is inputs elements [r * K, r * K + K) and output elements
/// [r * O, r * O + O).
struct ContractForms {
    std::vector<ContractForm> forms;
    std::vector<std::int32_t> form_of;  ///< [row]
};
ContractForms contract_forms(const Node& node, const TensorType& input);

/// A fixed-point constant: integers at `frac`.
struct FixedConstantFields {
    IntTensor value;
    std::int64_t frac = 0;

    bool operator==(const FixedConstantFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"value", &FixedConstantFields::value, "integers"},
            network::Field{"frac", &FixedConstantFields::frac, "bits behind the point"}};
    }
};

/// The formats of all elements of a fixed-point tensor, as a list.
std::vector<Format> formats_of(const TensorType& type);

extern const network::Operator contract_operator;
extern const network::Operator fixed_constant_operator;

}  // namespace gatewright::operators
