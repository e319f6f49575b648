#pragma once

#include <vector>

#include "bits/function.h"

namespace gatewright::design {

/// The part of each origin (layer) as a function by itself, in the order of the first operation:
/// its inputs are the values that it takes from elsewhere, its outputs those that are used
/// elsewhere. An origin without operations has none. The name is that of the origin.
std::vector<bits::Function> layer_functions(const bits::Function& function);

}  // namespace gatewright::design
