#pragma once

#include <nlohmann/json.hpp>

#include "flow/synthesis.h"
#include "project/folder.h"

namespace gatewright::project {

/// The cells of each layer: [{"layer", "cells"}]. Synthesis of a whole circuit mixes the logic of
/// layers, so each layer is synthesised once more by itself, as combinational logic, in one run of
/// Yosys in `folder`; the sum is a little more than the whole. Flip-flops are those of the whole
/// netlist that hold results of the layer; those of none (ports, valid bits) have layer "".
nlohmann::ordered_json cells_by_layer(const Translation& translation,
                                      const flow::SynthesisResult& whole, flow::SynthesisJob job);

}  // namespace gatewright::project
