#pragma once

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "import/onnx/reading.h"

/// Functions that a file defines itself, in terms of other operators.
namespace gatewright::onnx {

/// A node as the file has it; `overload` picks one of several functions of one name.
struct FileNode {
    OnnxNode node;
    std::string overload;
};

struct OnnxFunction {
    std::vector<std::string> inputs;
    std::vector<std::string> outputs;
    std::vector<std::string> required;              ///< attributes without a default value
    std::map<std::string, OnnxAttribute> defaults;  ///< attributes with one
    std::vector<FileNode> nodes;                    ///< attributes may be AttributeReference
};

/// (domain, name, overload)
using FunctionKey = std::tuple<std::string, std::string, std::string>;
using OnnxFunctions = std::map<FunctionKey, OnnxFunction>;

/// Replaces each call by the function's body. Values within get the names "call/inner", layers
/// "call/layer". `taken` are the names of values in use. `identity_opset` is the version given to
/// the Identity nodes that stand for outputs which are inputs passed through.
std::vector<OnnxNode> expand_functions(Reading& reading, const OnnxFunctions& functions,
                                       const std::vector<FileNode>& nodes,
                                       std::set<std::string> taken, std::int64_t identity_opset);

}  // namespace gatewright::onnx
