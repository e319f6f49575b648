#include "import/onnx/model.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <string_view>

namespace gatewright::onnx {

namespace {

constexpr auto element_names = std::to_array<std::string_view>({"undefined",
                                                                "float32",
                                                                "uint8",
                                                                "int8",
                                                                "uint16",
                                                                "int16",
                                                                "int32",
                                                                "int64",
                                                                "string",
                                                                "bool",
                                                                "float16",
                                                                "float64",
                                                                "uint32",
                                                                "uint64",
                                                                "complex64",
                                                                "complex128",
                                                                "bfloat16",
                                                                "float8_e4m3fn",
                                                                "float8_e4m3fnuz",
                                                                "float8_e5m2",
                                                                "float8_e5m2fnuz",
                                                                "uint4",
                                                                "int4",
                                                                "float4_e2m1",
                                                                "float8_e8m0",
                                                                "uint2",
                                                                "int2",
                                                                "float6_e2m3",
                                                                "float6_e3m2"});

}  // namespace

std::string to_string(ElementType type) {
    const auto index = static_cast<std::size_t>(type);
    return index < element_names.size() ? std::string(element_names[index])
                                        : fmt::format("element type {}", static_cast<int>(type));
}

bool is_integer(ElementType type) {
    switch (type) {
        case ElementType::uint2:
        case ElementType::uint4:
        case ElementType::uint8:
        case ElementType::uint16:
        case ElementType::uint32:
        case ElementType::uint64:
        case ElementType::int2:
        case ElementType::int4:
        case ElementType::int8:
        case ElementType::int16:
        case ElementType::int32:
        case ElementType::int64:
            return true;
        default:
            return false;
    }
}

bool is_float(ElementType type) {
    switch (type) {
        case ElementType::float16:
        case ElementType::bfloat16:
        case ElementType::float32:
        case ElementType::float64:
        case ElementType::float8_e4m3fn:
        case ElementType::float8_e4m3fnuz:
        case ElementType::float8_e5m2:
        case ElementType::float8_e5m2fnuz:
        case ElementType::float8_e8m0:
        case ElementType::float6_e2m3:
        case ElementType::float6_e3m2:
        case ElementType::float4_e2m1:
            return true;
        default:
            return false;
    }
}

std::optional<std::vector<std::int64_t>> OnnxTensor::to_integers() const {
    if (!integers.empty()) {
        return integers;
    }
    std::vector<std::int64_t> out;
    out.reserve(tensor.values.size());
    for (const double value : tensor.values) {
        if (std::trunc(value) != value || std::abs(value) >= 0x1p63) {
            return std::nullopt;
        }
        out.push_back(static_cast<std::int64_t>(value));
    }
    return out;
}

std::string kind_of(const OnnxAttribute& attribute) {
    struct Kind {
        std::string operator()(std::int64_t) const { return "an integer"; }
        std::string operator()(double) const { return "a float"; }
        std::string operator()(const std::string&) const { return "a string"; }
        std::string operator()(const OnnxTensor&) const { return "a tensor"; }
        std::string operator()(const std::vector<std::int64_t>&) const {
            return "a list of integers";
        }
        std::string operator()(const std::vector<double>&) const { return "a list of floats"; }
        std::string operator()(const std::vector<std::string>&) const {
            return "a list of strings";
        }
        std::string operator()(const OpaqueAttribute& opaque) const { return "a " + opaque.kind; }
        std::string operator()(const AttributeReference&) const { return "a reference"; }
    };
    return std::visit(Kind{}, attribute);
}

std::string OnnxNode::layer_name() const {
    if (!name.empty()) {
        return name;
    }
    for (const std::string& output : outputs) {
        if (!output.empty()) {
            return output;
        }
    }
    return "unnamed";
}

Location location_of(const std::string& file, const OnnxNode& node, std::string attribute) {
    return {file, node.layer_name(),
            node.domain.empty() ? node.op_type : node.domain + "." + node.op_type,
            std::move(attribute)};
}

}  // namespace gatewright::onnx
