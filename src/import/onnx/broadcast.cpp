#include "import/onnx/broadcast.h"

#include <fmt/format.h>

#include <cmath>

#include "operators/layers.h"

namespace gatewright::onnx {

std::pair<Operand, Operand> broadcast_operands(Call& call) {
    Operand a = call.operand(0);
    Operand b = call.operand(1);
    if (call.opset() >= 7) {
        return {a, b};
    }
    const bool broadcasts = call.integer("broadcast", 0) != 0;
    const auto aligned = call.has_attribute("axis");
    const std::int64_t axis = call.integer("axis", 0);
    if (!broadcasts) {
        if (a.sample_shape() != b.sample_shape() || a.batch_axis != b.batch_axis) {
            call.refuse(fmt::format("shapes {} and {} differ and broadcast is not set",
                                    to_string(a.sample_shape()), to_string(b.sample_shape())),
                        {}, "broadcast");
        }
    } else if (aligned && b.rank() > 0) {
        // Axis `axis` of a is the first of b; those behind b's last one are of extent 1.
        const std::int64_t behind = a.rank() - call.normalised(axis, a.rank()) - b.rank();
        if (behind < 0) {
            call.refuse(fmt::format("{} axes do not fit there", b.rank()), {}, "axis");
        }
        Shape shape = b.sample_shape();
        shape.insert(shape.end(), static_cast<std::size_t>(behind), 1);
        b = call.reshaped(b, std::move(shape), b.batch_axis);
    }
    return {a, b};
}

Operand wrapped(Call& call, const Operand& y, ElementType type) {
    const bool is_signed = type == ElementType::int8 || type == ElementType::int16;
    const bool narrow = type == ElementType::int8 || type == ElementType::uint8;
    if (!is_signed && type != ElementType::uint8 && type != ElementType::uint16) {
        return y;
    }
    const double span = narrow ? 256 : 65536;
    const double low = is_signed ? -span / 2 : 0;
    operators::FakeQuantizeFields fields{Tensor::scalar(1), Tensor::scalar(0), Tensor::scalar(low),
                                         Tensor::scalar(low + span - 1)};
    fields.rounding = Rounding::toward_zero;
    fields.overflow = Overflow::wrap;
    Operand out = call.emit(operators::fake_quantize_operator, Attributes::of(std::move(fields)),
                            {y}, y.batch_axis)
                      .front();
    out.is_integer = out.is_constant;
    return out;
}

}  // namespace gatewright::onnx
