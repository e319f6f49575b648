#include "import/layers/random.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "operators/layers.h"
#include "operators/selection.h"

namespace gatewright::layers {

namespace {

/// A further input of the network: words of 16 bits for each sample.
Operand random_words(const Builder& builder, network::ImportedModel& model, const Shape& shape,
                     int batch_axis) {
    Location where = builder.where();
    const std::string base = where.layer + ".random";
    std::string name = base;
    const auto taken = [&] {
        return std::any_of(model.inputs.begin(), model.inputs.end(),
                           [&](const auto& input) { return input.name == name; });
    };
    for (int number = 1; taken(); ++number) {
        name = fmt::format("{}_{}", base, number);  // a layer that is called again
    }
    where.type = std::string(random_type);
    Operand real;
    real.shape = shape;
    real.batch_axis = batch_axis;
    real.value = model.network.add_input(name, {shape, std::nullopt}, where);
    network::InputDeclaration declaration{name, shape};
    if (model.batched) {
        declaration.declared.insert(declaration.declared.begin(), -1);
    }
    model.inputs.push_back(std::move(declaration));
    operators::FakeQuantizeFields word;
    word.scale = Tensor::scalar(0x1p-16);
    word.zero_point = Tensor::scalar(0);
    word.low = Tensor::scalar(0);
    word.high = Tensor::scalar(65535);
    word.rounding = Rounding::floor;
    Builder words(model.network, where);
    return words
        .emit(operators::fake_quantize_operator, Attributes::of(std::move(word)), {real},
              batch_axis)
        .front();
}

/// scale x + offset.
Operand affine(Builder& builder, const Operand& x, double scale, double offset) {
    return scale == 1 && offset == 0
               ? x
               : builder.function("affine", x, {Builder::number(scale), Builder::number(offset)});
}

}  // namespace

Dropped drop(Builder& builder, network::ImportedModel& model, const Operand& x,
             const Dropout& dropout) {
    const double rate = dropout.rate;
    if (!(rate >= 0 && rate <= 1)) {
        builder.refuse(fmt::format("its rate of {} is not between 0 and 1", rate));
    }
    const Operand all = Builder::tensor(Tensor::filled(dropout.mask, 1));
    if (rate == 0) {
        return {x, all};
    }
    if (rate == 1) {
        // Of a mean of zero nothing is left; the scale, which is infinite, is not used.
        const Operand none = Builder::tensor(Tensor::filled(dropout.mask, 0));
        return {builder.multiply(x, Builder::number(0)), none};
    }
    const Operand words = random_words(builder, model, dropout.mask, x.batch_axis);
    const Operand kept = builder.elementwise(operators::join_operator,
                                             Attributes::of(operators::JoinFields{"greater_equal"}),
                                             {words, Builder::number(rate)});
    // SELU's limit at minus infinity, alpha times scale with the signs of its paper.
    const double lowest = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946;
    const double replacement = dropout.alpha ? lowest : 0;
    const Operand y = builder.elementwise(operators::select_operator, Attributes(),
                                          {kept, x, Builder::number(replacement)});
    if (!dropout.alpha) {
        return {affine(builder, y, 1 / (1 - rate), 0), kept};
    }
    const double scale = 1 / std::sqrt((1 - rate) * (1 + rate * lowest * lowest));
    return {affine(builder, y, scale, -scale * lowest * rate), kept};
}

Shape mask_along(const Shape& sample, std::size_t axes) {
    Shape mask = sample;
    for (std::size_t i = axes; i < mask.size(); ++i) {
        mask[i] = 1;
    }
    return mask;
}

}  // namespace gatewright::layers
