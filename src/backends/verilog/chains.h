#pragma once

#include <map>
#include <vector>

#include "design/chain_sum.h"
#include "design/machine.h"

namespace gatewright::backends::verilog {

/// Sums that are printed as instances of rtl/gatewright_sum.v.
struct Chains {
    std::map<bits::NodeId, design::ChainSum> sums;
    std::vector<char> hidden;  ///< by node: what is in its reader's chain, and not printed
};

/// Of a machine for a family that has such chains: the readers of its merged sums, with these in
/// them. A merged sum that its reader cannot take is printed like any other.
Chains find_chains(const design::Machine& machine);

}  // namespace gatewright::backends::verilog
