#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostics.h"
#include "fixed/fixed.h"
#include "network/fields.h"
#include "types/tensor.h"

/// Level 1, what is computed: a graph of typed operators on tensors without their batch axis.
///
/// A model file becomes a network of layers on real numbers (float tensors). Lowering rewrites it
/// to the core operators on fixed-point tensors, whose types and exact ranges are inferred.
namespace gatewright::operators {
class Lowering;
}

namespace gatewright::network {

struct Operator;

/// Where the bits of one element lie, and the exact range of its integer.
struct Format {
    FixedType type;
    Interval range;

    bool operator==(const Format&) const = default;
};
std::string print_field(const Format& value);  ///< "fixed<8,4> in [-128, 127]"
bool parse_field(std::string_view text, Format& value);

/// A tensor's type. Without `fixed` its elements are real numbers.
struct TensorType {
    Shape shape;
    std::optional<PerElement<Format>> fixed;

    bool is_float() const { return !fixed.has_value(); }
    bool operator==(const TensorType&) const = default;
};
std::string to_string(const TensorType& type);

using NodeId = std::uint32_t;

/// One output of a node.
struct Value {
    NodeId node = 0;
    std::uint32_t output = 0;

    auto operator<=>(const Value&) const = default;
};

struct Node {
    const Operator* op = nullptr;
    Attributes attributes;
    std::vector<Value> inputs;
    std::vector<TensorType> types;  ///< one per output
    Location where;                 ///< the user's layer

    template <class T>
    const T& fields() const {
        return attributes.as<T>();
    }
};

struct NetworkOutput {
    std::string name;
    Value value;
};

/// An arena of nodes. Invariants: inputs of a node come before it; types are what the operator
/// infers (checked by verify). Nodes are never removed one by one: a pass builds a new network.
class Network {
  public:
    std::string name;

    /// Adds a graph input (operator `input`).
    Value add_input(std::string input_name, TensorType type, Location where);
    /// Adds a node and infers its types; without attributes its fields have their defaults. Throws
    /// Failure if the operator refuses its inputs.
    Value add(const Operator& op, Attributes attributes, std::vector<Value> inputs, Location where);
    void set_output(std::string output_name, Value value);

    const std::vector<Node>& nodes() const { return nodes_; }
    const Node& node(NodeId id) const { return nodes_[id]; }
    const TensorType& type(Value value) const { return nodes_[value.node].types[value.output]; }
    std::vector<NodeId> inputs() const;  ///< the `input` nodes, in order
    const std::vector<NetworkOutput>& outputs() const { return outputs_; }
    std::string_view input_name(NodeId input) const;

    /// The same network without nodes that no output needs (inputs stay).
    Network pruned() const;

  private:
    std::vector<Node> nodes_;
    std::vector<NetworkOutput> outputs_;
};

/// Where an element of a move comes from: input number and element; input -1 is zero.
struct Source {
    std::int32_t input = 0;
    std::int64_t element = 0;

    bool operator==(const Source&) const = default;
};

/// An operator: a table of functions, one row of the catalogue (operators/catalogue.h).
struct Operator {
    std::string_view name;
    std::string_view formula;  ///< y = ..., for documentation
    int min_inputs = 1;
    int max_inputs = 1;
    const FieldTable& (*fields)() = nullptr;  ///< the struct behind Node::attributes

    /// Types of the outputs, from the node's inputs and fields. Throws Failure on misfits.
    std::vector<TensorType> (*infer)(const Node& node,
                                     std::span<const TensorType> inputs) = nullptr;

    /// One sample on real numbers, in double: the float reference of layers.
    std::vector<Tensor> (*reference)(const Node& node,
                                     std::span<const Tensor* const> inputs) = nullptr;

    /// A layer's short program over the core operators (operators/lowering.h).
    void (*lower)(operators::Lowering& lowering, const Node& node) = nullptr;

    // What a core operator is made of: exactly one of the following four. It is the one definition
    // of its arithmetic: type inference, emulator, schedules and so every backend call it.

    /// map: element number `element` of the output, from the elements of the inputs that broadcast
    /// to it. `element_key` tells which per-element fields apply: elements with equal formats of
    /// inputs and equal keys share one body (null: no per-element fields).
    fixed::Fixed (*element)(fixed::Builder& builder, const Node& node,
                            std::span<const fixed::Fixed> inputs, std::int64_t element) = nullptr;
    std::int64_t (*element_key)(const Node& node, std::int64_t element) = nullptr;

    /// row (reductions and their kin): from the elements of one row along the input's last axis,
    /// the elements of that row of each output, one vector an output.
    std::vector<std::vector<fixed::Fixed>> (*row)(fixed::Builder& builder, const Node& node,
                                                  std::span<const fixed::Fixed> inputs) = nullptr;

    /// move and window: which element of which input each output element copies.
    std::vector<Source> (*sources)(const Node& node, std::span<const TensorType> inputs) = nullptr;

    /// contract: exact sums of products with constant weights, or of two inputs (contract.h).
    bool is_contract = false;

    bool is_core() const {
        return element != nullptr || row != nullptr || sources != nullptr || is_contract;
    }
};

/// The text form; it round-trips:
///
///     network mlp
///     %0 = input {name = "x"} : [4] ufixed<8,8> in [0, 255]
///     %1 = quantize(%0) {...} : [4] fixed<4,2> in [-8, 7]  // fc1 (Quant)
///     output "y" = %1
std::string to_text(const Network& network);

/// `find` gives the operator of a name, or null.
Network from_text(std::string_view text, const Operator* (*find)(std::string_view name));

/// Checks the invariants by inferring everything anew. Empty if sound.
std::vector<std::string> verify(const Network& network);

struct InputFields {
    std::string name;
    bool operator==(const InputFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{Field{"name", &InputFields::name, "the model's name of the input"}};
    }
};
struct ConstantFields {
    Tensor value;
    bool operator==(const ConstantFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{Field{"value", &ConstantFields::value, "the constant's elements"}};
    }
};

/// The operators that Network itself knows.
extern const Operator input_operator;
/// A float constant.
extern const Operator constant_operator;

}  // namespace gatewright::network
