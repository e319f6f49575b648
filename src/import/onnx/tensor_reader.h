#pragma once

#include <optional>

#include "import/onnx/reading.h"
#include "onnx-ml.pb.h"

namespace gatewright::onnx {

/// The contents of a TensorProto, wherever the file keeps them: raw bytes, the typed fields, or a
/// file beside the model. Nothing if it has an error, which is added to `reading` at `where`.
std::optional<OnnxTensor> read_tensor(Reading& reading, const ::onnx::TensorProto& proto,
                                      const Location& where);

/// A sparse tensor, unfolded.
std::optional<OnnxTensor> read_sparse_tensor(Reading& reading,
                                             const ::onnx::SparseTensorProto& proto,
                                             const Location& where);

}  // namespace gatewright::onnx
