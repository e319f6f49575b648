#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "import/torch/storage.h"

/// A PyTorch program: a graph of ATen operators with named arguments, and the tensors it refers to.
/// It comes from a .pt2 archive of torch.export, or is written here for the layers of a pickled
/// nn.Sequential.
namespace gatewright::torch {

/// An integer of the graph, or the name of a symbolic one.
struct GraphInteger {
    std::int64_t value = 0;
    std::string symbol;  ///< not empty: the value of that name
};

/// One argument of an operator.
struct Argument {
    enum class Kind {
        none,
        tensor,   ///< names: one
        tensors,  ///< names; "" for one that is left out
        integer,  ///< integers: one
        integers,
        real,  ///< reals: one
        reals,
        boolean,  ///< integers: one, 0 or 1; a symbolic one has a symbol
        booleans,
        text,  ///< texts: one
        texts,
        type,     ///< integers: one, a ScalarType
        place,    ///< device, layout or memory format: where elements lie, not what they are
        unknown,  ///< texts: what the file calls it
    };
    Kind kind = Kind::none;
    std::vector<std::string> names;
    std::vector<GraphInteger> integers;
    std::vector<double> reals;
    std::vector<std::string> texts;
};

struct GraphNode {
    std::string name;
    std::string target;  ///< "torch.ops.aten.conv2d.default"
    std::string module;  ///< the module's path, for messages; may be empty
    std::vector<std::pair<std::string, Argument>> arguments;
    std::vector<std::string> outputs;  ///< names of values; "" for one that is left out
};

/// What the graph says of a tensor.
struct TensorMeta {
    ScalarType type = ScalarType::unknown;
    std::vector<GraphInteger> sizes;
    std::vector<GraphInteger> strides;  ///< in elements; none if the file does not say
    GraphInteger offset;                ///< of its first element in what it lies in
};

struct GraphInput {
    std::string name;
    bool is_tensor = true;
};

struct Program {
    std::string file;
    std::string name = "model";
    std::vector<GraphNode> nodes;
    std::map<std::string, TensorMeta> metas;    ///< by value; of every tensor, or empty
    std::vector<GraphInput> inputs;             ///< the user's
    std::vector<std::string> outputs;           ///< the user's: names of values
    std::map<std::string, std::string> stored;  ///< value: name in `tensors`
    TensorStore tensors;
    std::set<std::string> saved;  ///< tensors that a state dictionary of the model holds
};

/// Reads a .pt2 archive. Throws Failure.
Program read_program(std::vector<std::byte> bytes, const std::string& file);

}  // namespace gatewright::torch
