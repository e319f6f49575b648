#pragma once

#include <functional>
#include <optional>
#include <string>

#include "import/keras/call.h"

/// Products with weights and windows over spatial axes, in the layouts of Keras: what layers share
/// with their quantised kin.
namespace gatewright::keras {

/// x[..., n] kernel[n, m] + bias[m].
Operand dense_product(Call& call, const Operand& x, const Operand& kernel,
                      const std::optional<Operand>& bias);

/// What convolutions and pools say of their patches.
struct Window {
    Shape kernel;
    Shape strides;
    Shape dilations;
    std::string padding;  ///< valid, same or causal
    bool channels_first = false;

    std::size_t rank() const { return kernel.size(); }
};

/// Reads data_format. Where the framework has no such kernels for a CPU, there is nothing to
/// compare with: `runs` says whether it has for channels first.
bool read_channels_first(Call& call, bool runs);

/// Reads strides, dilation_rate and padding; `kernel` and the order of axes are given.
Window read_window(Call& call, const Shape& kernel, bool channels_first);

/// The channels of a batch of images, whose sample has `rank` spatial axes (and perhaps axes before
/// them, which are further samples).
std::int64_t channels_of(Call& call, const Operand& x, std::size_t rank, bool channels_first);

/// x as [channels, spatial...], and back.
Operand channels_to_front(Call& call, const Operand& x, bool channels_first);
Operand channels_to_place(Call& call, const Operand& y, bool channels_first);

/// Zeros around the input's spatial axes.
struct Margins {
    Shape before;
    Shape after;
};
/// As TensorFlow pads: for `same` as little as gives ceil(extent / stride) patches, the odd one
/// behind.
Margins margins(Call& call, const Window& window, const Shape& extents);

/// A function of samples with `rank` axes applied to x with more: to each index of the first axes.
Operand over_leading_axes(Call& call, const Operand& x, std::size_t rank,
                          const std::function<Operand(const Operand&)>& function);

/// kernel[kernel..., channels / groups, filters], bias[filters].
Operand conv_product(Call& call, const Window& window, const Operand& x, const Operand& kernel,
                     const std::optional<Operand>& bias, std::int64_t groups = 1);
/// kernel[kernel..., channels, multiplier], bias[channels * multiplier].
Operand depthwise_product(Call& call, const Window& window, const Operand& x, const Operand& kernel,
                          const std::optional<Operand>& bias);
/// kernel[kernel..., filters, channels], bias[filters].
Operand transposed_product(Call& call, const Window& window,
                           const std::optional<Shape>& output_padding, const Operand& x,
                           const Operand& kernel, const std::optional<Operand>& bias);
/// Kind is "max" or "average"; padding does not count in a mean.
Operand pooled(Call& call, const std::string& kind, const Window& window, const Operand& x);

}  // namespace gatewright::keras
