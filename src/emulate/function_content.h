#pragma once

#include <cstdint>
#include <vector>

#include "bits/function.h"

namespace gatewright::emulate {

/// Numbers that are equal for two functions of the same nodes, whatever their names and origins:
/// elements whose parameters are equal share a compiled body by them.
std::vector<std::int64_t> content_of(const bits::Function& function);

}  // namespace gatewright::emulate
