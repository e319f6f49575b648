#pragma once

#include "project/simulate.h"

namespace gatewright::project {

/// Inputs that all levels of a design are compared on.
struct VerificationSamples {
    PortIntegers ports;
    std::int64_t corners = 0;  ///< the first samples
    std::int64_t random = 0;   ///< the others

    std::int64_t count() const { return corners + random; }
};

/// Corners of the exact ranges of all ports, then `random` samples within them. Corners are: all
/// lowest, all highest, nearest to zero, the two ends alternating, in halves and one against all
/// others; ties, where all elements are the same integer or one of two; and, where thresholds or a
/// table read a port directly, their edges.
VerificationSamples verification_samples(const operators::CoreModel& model, std::int64_t random,
                                         std::uint64_t seed);

}  // namespace gatewright::project
