#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operators/core_model.h"
#include "project/simulate.h"

/// Where a model itself overflows: quantisers whose rounded operand may leave their type,
/// accumulators with a type whose sums may, and inputs of the whole model that make them leave.
namespace gatewright::project {

/// Inputs of the whole model and what they do to one element of a quantiser's result.
struct Witness {
    PortIntegers inputs;  ///< of one sample: [port][element]
    std::int64_t element = 0;
    std::int64_t sum = 0;  ///< of an accumulator: the product (from 0) that makes it overflow
    Int128 before = 0;     ///< rounded, at the type's binary point
    Int128 after = 0;      ///< what the overflow mode makes of it
};

/// A quantiser or an accumulator that may overflow.
struct Overflowing {
    network::NodeId node = 0;
    std::string layer;
    Overflow overflow = Overflow::saturate;
    std::int64_t elements = 0;  ///< elements, or sums of accumulators, that may, by their ranges
    std::int64_t element = 0;   ///< the one whose range exceeds its type the most
    std::int64_t sum = 0;       ///< of an accumulator: the product whose sum that is
    FixedType type;             ///< of that element
    Interval range;             ///< of that element, rounded, at the type's binary point
    Interval limits;            ///< what the overflow mode lets through
    std::int64_t tries = 0;     ///< inputs of the whole model that were tried
    std::optional<Witness> witness;
};

struct WitnessOptions {
    /// For each quantiser that may wrap; those that may saturate get a tenth.
    std::int64_t most_tries = 20000;
    /// Products and elements that all tries together should cost.
    std::int64_t work = 4'000'000'000;
};

/// All quantisers that may overflow by their ranges, in the order of the model, each with an input
/// that overflows if one was found. Tried are `samples` (of the ports, as random_ports gives them),
/// then for the elements whose ranges exceed the type most: the corner that the signs of their
/// derivatives point to, and an ascent from there over one input after the other.
///
/// None found is no proof that there is none: ranges of different wires are not independent.
std::vector<Overflowing> find_overflows(const operators::CoreModel& model,
                                        const PortIntegers& samples, std::int64_t sample_count,
                                        const WitnessOptions& options);

}  // namespace gatewright::project
