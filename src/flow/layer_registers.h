#pragma once

#include <map>
#include <string>

#include "flow/family.h"

/// Which layer the registers of a flat netlist belong to.
namespace gatewright::flow {

/// The flip-flops of a module by layer, from the netlist that Yosys' `write_json` wrote. Generated
/// modules name signals "<layer>_n<number>..." (see backends::verilog::Names), and a register's
/// name outlives synthesis, which those of signals between look-up tables do not. The key is the
/// layer's name as a Verilog identifier, "" for registers of no layer (of ports, valid bits).
/// Throws Failure (tool_report_unreadable).
std::map<std::string, std::int64_t> flip_flops_by_layer(const std::string& netlist_json,
                                                        const std::string& module,
                                                        const Family& family);

/// "fc1" for "fc1_n12", "fc1_n12_r3", "fc1_n12_2"; empty for other names.
std::string layer_of_signal(const std::string& name);

}  // namespace gatewright::flow
