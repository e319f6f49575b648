#include "import/onnx/broadcast.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

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
    struct Row {
        ElementType type;
        bool is_signed;
        double span;
    };
    constexpr Row narrow[] = {
        {ElementType::int2, true, 4},      {ElementType::uint2, false, 4},
        {ElementType::int4, true, 16},     {ElementType::uint4, false, 16},
        {ElementType::int8, true, 256},    {ElementType::uint8, false, 256},
        {ElementType::int16, true, 65536}, {ElementType::uint16, false, 65536},
    };
    const auto* row = std::find_if(std::begin(narrow), std::end(narrow),
                                   [&](const Row& r) { return r.type == type; });
    if (row == std::end(narrow)) {
        return y;
    }
    const double span = row->span;
    const double low = row->is_signed ? -span / 2 : 0;
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
