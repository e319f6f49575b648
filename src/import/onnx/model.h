#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/diagnostics.h"
#include "types/tensor.h"

/// An ONNX model as plain structs: what a file says, checked, with nothing yet said about what its
/// operators mean. No protobuf appears here.
///
/// Invariants of a model that the reader (model_file.h) returns:
/// - nodes are in topological order, ties in the order of the file; every non-empty input is a
/// graph
///   input, an initialiser or an output of an earlier node; every value is defined once;
/// - the default domain is "" (a file's "ai.onnx" is replaced);
/// - calls of the file's own functions are expanded, so no AttributeReference is left;
/// - each tensor has as many values as its shape says, and no NaN; infinities occur only in tensors
///   marked `has_infinity`, which belong to nodes where infinity means something (masks, bounds);
/// - names are printable UTF-8.
namespace gatewright::onnx {

/// Element types; the numbers are those of the file format.
enum class ElementType : std::int32_t {
    undefined = 0,
    float32 = 1,
    uint8 = 2,
    int8 = 3,
    uint16 = 4,
    int16 = 5,
    int32 = 6,
    int64 = 7,
    string = 8,
    boolean = 9,
    float16 = 10,
    float64 = 11,
    uint32 = 12,
    uint64 = 13,
    complex64 = 14,
    complex128 = 15,
    bfloat16 = 16,
    float8_e4m3fn = 17,
    float8_e4m3fnuz = 18,
    float8_e5m2 = 19,
    float8_e5m2fnuz = 20,
    uint4 = 21,
    int4 = 22,
    float4_e2m1 = 23,
    float8_e8m0 = 24,
    uint2 = 25,
    int2 = 26,
    float6_e2m3 = 27,
    float6_e3m2 = 28,
};

using gatewright::to_string;  // of shapes, which the overload below would hide

/// "float32"; "element type 99" for a number that the format does not have.
std::string to_string(ElementType type);
bool is_integer(ElementType type);  ///< signed and unsigned integers, not bool
bool is_float(ElementType type);    ///< binary floating point of any width

/// Constant data.
struct OnnxTensor {
    ElementType element = ElementType::undefined;
    Tensor tensor;  ///< shape and values; each exact, save for 64-bit integers beyond 2^53
    /// The exact values of int64 and uint64 tensors (axes, shapes, slice ends); else empty.
    std::vector<std::int64_t> integers;
    bool has_infinity = false;

    /// The values as integers; nothing if one is not an integer.
    std::optional<std::vector<std::int64_t>> to_integers() const;
};

struct OnnxGraph;

/// An attribute that is no number, text or tensor: a subgraph, a type, a list of tensors.
struct OpaqueAttribute {
    std::string kind;  ///< "graph", for messages
    /// A subgraph, whose nodes may use values of the graphs around it and stand in the order of
    /// the file; null within functions of the file.
    std::shared_ptr<const OnnxGraph> graph;
};

/// Within a function of the file: the attribute of that name at the call. See the invariants.
struct AttributeReference {
    std::string name;
};

using OnnxAttribute = std::variant<std::int64_t, double, std::string, OnnxTensor,
                                   std::vector<std::int64_t>, std::vector<double>,
                                   std::vector<std::string>, OpaqueAttribute, AttributeReference>;

/// "an integer", "a list of floats": the kind of an attribute for messages.
std::string kind_of(const OnnxAttribute& attribute);

/// One extent: a number, or the name of an extent that is free ("" if it has no name).
using OnnxDim = std::variant<std::int64_t, std::string>;

struct OnnxValueInfo {
    std::string name;
    ElementType element = ElementType::undefined;  ///< undefined: the file does not say
    std::optional<std::vector<OnnxDim>> dims;      ///< nothing: unknown rank
};

struct OnnxNode {
    std::string name;  ///< may be empty; see layer_name
    std::string op_type;
    std::string domain;  ///< "" is the default domain
    /// The version of `domain` that the file (or its function) asks for; 0 where it does not say,
    /// which happens only outside of the default domain.
    std::int64_t opset = 0;
    std::vector<std::string> inputs;   ///< "" where an optional input is left out
    std::vector<std::string> outputs;  ///< "" where an optional output is left out
    std::map<std::string, OnnxAttribute> attributes;

    /// The name for users: the node's name or, if it has none, its first output.
    std::string layer_name() const;
};

/// Remarks on a tensor that carry no arithmetic of their own, for example "finn_datatype".
using TensorAnnotations = std::map<std::string, std::map<std::string, std::string>>;

struct OnnxGraph {
    std::string name;
    std::vector<OnnxValueInfo> inputs;  ///< without those that an initialiser gives a value
    std::vector<OnnxValueInfo> outputs;
    std::map<std::string, OnnxValueInfo> value_info;  ///< of inner values, where the file says so
    std::map<std::string, OnnxTensor> initializers;
    std::vector<OnnxNode> nodes;
    TensorAnnotations annotations;
};

struct OnnxModel {
    std::string file;  ///< as the user named it
    std::int64_t ir_version = 0;
    std::string producer;  ///< "pytorch 2.13.0", for inspection only
    std::map<std::string, std::int64_t> opsets;
    OnnxGraph graph;
    std::vector<Diagnostic> notes;  ///< what was left aside and why (never an error)
};

/// Where a node stands, for diagnostics.
Location location_of(const std::string& file, const OnnxNode& node, std::string attribute = {});

}  // namespace gatewright::onnx
