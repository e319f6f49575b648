#pragma once

#include <string>

#include "import/layers/builder.h"
#include "operators/layers.h"

/// Pooling beyond the pool operator. x[C, spatial...] per sample, the batch axis in front.
namespace gatewright::layers {

/// (sum over each patch of |x|^p)^(1/p); padding counts as zeros. `window` is a pool's fields, of
/// which the kind is not used; where it has
/// `uncounted`, sums there are as PyTorch's, the mean over what counts times the kernel's size.
/// With `signed_base` the sum is of x^p (as PyTorch has it).
Operand lp_pool(Builder& builder, const Operand& x, double p, operators::PoolFields window,
                bool signed_base = false);

/// Patch i of an axis of n positions, pooled to m, is positions floor(i n / m) up to
/// ceil((i + 1) n / m). Kind is "max" or "average"; `extents` are the new spatial ones.
Operand adaptive_pool(Builder& builder, const Operand& x, const std::string& kind,
                      const Shape& extents);

}  // namespace gatewright::layers
