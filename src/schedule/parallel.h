#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "design/design.h"
#include "linear/search.h"
#include "operators/core_model.h"
#include "passes/delay_model.h"

/// The parallel schedule: every operation has hardware of its own, a frame goes in at every cycle.
namespace gatewright::schedule {

class ContractionGraphs;

/// What one layer became.
struct LayerFigures {
    std::string layer;
    std::string type;              ///< the framework's class
    std::int64_t operations = 0;   ///< nodes of the bits level, without constants and wiring
    std::int64_t adders = 0;       ///< additions and subtractions
    std::int64_t multipliers = 0;  ///< products of two variables
    std::int64_t comparisons = 0;
    std::int64_t tables = 0;
};

/// An adder graph as it was built in, for verification.
struct BuiltContraction {
    std::string layer;
    linear::Matrix matrix;
    std::vector<Interval> ranges;  ///< of the inputs
    linear::AdderGraph graph;
    std::size_t shared = 0;   ///< first additions that rows may have in common
    std::int64_t copies = 0;  ///< rows that use it
};

/// A wire of the body that holds one element of a tensor of the model.
struct ResultWire {
    bits::NodeId wire = 0;
    network::Value value;
    std::int64_t element = 0;
};

struct ParallelDesign {
    design::Design design;
    std::vector<LayerFigures> layers;
    std::vector<BuiltContraction> contractions;
    /// The results of all operators but moves and constants, as far as they are still wires of
    /// their own; in the order of the model.
    std::vector<ResultWire> results;
};

/// Unrolls a core model into one process without loops. Contractions become adder graphs; equal
/// matrices are solved once. Ports are named after the network's inputs and outputs.
/// The family decides how sums are held: as unsigned numbers where it inverts operands for nothing
/// and that is known to pay, and inputs of few bits in lookup tables where that is cheaper.
ParallelDesign parallel(const operators::CoreModel& model, const linear::Search& search,
                        const passes::DelayModel& delays = passes::delay_model("generic"));
/// The same with graphs that are there, or are found as `graphs` is told: those of the model and
/// the family.
ParallelDesign parallel(const operators::CoreModel& model, ContractionGraphs& graphs,
                        const passes::DelayModel& delays);

/// Counts the operations of a function by origin, in the order of first appearance.
std::vector<LayerFigures> figures_by_layer(const bits::Function& function);

}  // namespace gatewright::schedule
