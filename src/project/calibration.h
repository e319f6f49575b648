#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "emulate/encode.h"
#include "project/configuration.h"
#include "project/load.h"

/// Types chosen from sample inputs.
///
/// Every tensor that one type for the whole model would cover (typing.h) gets its own binary point
/// and the same number of bits: results so that twice what the samples show fits (one spare bit for
/// sums that are larger on other data; bounded functions need none), weights and biases so that
/// their own numbers fit, inputs losslessly if that needs no more bits. A model that has quantisers
/// keeps them: only its untyped inputs get types.
namespace gatewright::project {

inline constexpr int default_bits = 12;
inline constexpr int fewest_bits = 4;  ///< the search starts here
inline constexpr int most_bits = 24;
inline constexpr std::int64_t most_samples = 1000;  ///< the first ones are used

struct CalibrationOptions {
    std::optional<int> bits;          ///< total bits of each tensor, sign included
    std::optional<double> max_error;  ///< the fewest bits that keep the outputs this near
};

struct Calibration {
    network::Network network;  ///< with types
    std::int64_t samples = 0;
    int bits = 0;
    /// Between the circuit's outputs and the float model's on the samples, before a last softmax
    /// or sigmoid.
    double largest_difference = 0;
    std::int64_t same_argmax = 0;  ///< samples whose largest output is the same, in each output

    nlohmann::ordered_json json() const;
};

/// Types the model; what `configured` types keeps its type. Throws Failure: array_mismatch (no
/// samples, results that are not finite), error_budget, and those of lowering.
Calibration calibrate(const network::ImportedModel& model, const std::vector<TypedSite>& configured,
                      const emulate::Samples& samples, const CalibrationOptions& options);

/// The type of `bits` bits with the most bits behind the point that holds [low, high], rounded.
FixedType fitting_type(double low, double high, int bits, bool is_signed);

}  // namespace gatewright::project
