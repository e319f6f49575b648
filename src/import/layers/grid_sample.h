#pragma once

#include "import/layers/builder.h"

/// Reading an image at positions that another tensor holds.
namespace gatewright::layers {

struct GridSampling {
    enum class Mode { nearest, linear, cubic };
    enum class Outside { zeros, border, reflection };

    Mode mode = Mode::linear;
    Outside outside = Outside::zeros;
    /// -1 and 1 are the centres of the outermost elements, not their edges.
    bool align_corners = false;
};

/// x[C, spatial...] and grid[positions..., axes] per sample, the batch in front; coordinates are
/// those of the last axis first. Gives [C, positions...]. Positions need not be constant. Cubic
/// kernels are of two axes.
Operand grid_sampled(Builder& builder, const Operand& x, const Operand& grid,
                     const GridSampling& sampling);

/// The positions [extents..., axes] that affine maps theta[axes, axes + 1] make of a regular grid.
Operand affine_grid(Builder& builder, const Operand& theta, const Shape& extents,
                    bool align_corners);

}  // namespace gatewright::layers
