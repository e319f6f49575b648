#pragma once

#include <string_view>

#include "import/layers/builder.h"
#include "network/imported_model.h"

/// Dropout that stays active when a model is used (--monte-carlo). The network stays a function:
/// each layer has a further input, `LAYER.random`, of uniform words that whoever uses the model
/// gives. A word is an integer w of 16 bits, as the number w / 65536. An element is kept if its
/// word is at least the layer's rate; so it is dropped for ceil(65536 rate) words of 65536.
namespace gatewright::layers {

/// The type (Location) of such inputs, and of what rounds them.
inline constexpr std::string_view random_type = "random";

struct Dropout {
    double rate = 0;  ///< 0: nothing is dropped, 1: all; neither needs words
    Shape mask;       ///< the sample shape of the words, which broadcast to x
    /// Not zeros take the place of what is dropped, but SELU's lowest value, and all is scaled so
    /// that mean and variance stay.
    bool alpha = false;
};

struct Dropped {
    Operand y;
    Operand kept;  ///< 1 where an element is kept, else 0; broadcasts to y
};

/// What is kept is scaled by the double next to 1 / (1 - rate).
Dropped drop(Builder& builder, network::ImportedModel& model, const Operand& x,
             const Dropout& dropout);

/// The shape of one word for all positions behind the first `axes` axes of a sample.
Shape mask_along(const Shape& sample, std::size_t axes);

}  // namespace gatewright::layers
