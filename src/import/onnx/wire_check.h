#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace gatewright::onnx {

/// What is wrong with the outermost level of a model file, which protobuf itself would accept or
/// could only call "failed": bytes of another format, a cut, bytes after the model, or two models
/// one after the other (protobuf would silently merge them).
struct WireProblem {
    std::string message;
    std::string remedy;
};
std::optional<WireProblem> check_wire(std::span<const std::byte> bytes);

}  // namespace gatewright::onnx
