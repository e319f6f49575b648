#pragma once

#include "emulate/float_kernels.h"

/// Sums of products on rows of lanes, in the instructions of each kind of processor. Internal to
/// the float kernels.
namespace gatewright::emulate {

using Contracts = std::array<Contract, most_columns>;

extern const Contracts contract_plain;
#if defined(__x86_64__) && defined(__GNUC__)
extern const Contracts contract_avx2;
extern const Contracts contract_avx512;
#endif

}  // namespace gatewright::emulate
