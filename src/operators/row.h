#pragma once

#include "network/network.h"
#include "operators/accumulation.h"

/// Row operators: core operators that work on the elements along the last axis.
namespace gatewright::operators {

/// Position of the largest (or smallest) element; among equals the first (or last).
struct ArgmaxFields {
    bool smallest = false;
    bool last = false;
    bool operator==(const ArgmaxFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"smallest", &ArgmaxFields::smallest, "smallest instead of largest"},
            network::Field{"last", &ArgmaxFields::last, "last among equals instead of first"}};
    }
};

/// The k largest (or smallest) elements in order, and their positions; equals by position.
struct TopKFields {
    std::int64_t k = 1;
    bool smallest = false;
    bool operator==(const TopKFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"k", &TopKFields::k, "how many"},
            network::Field{"smallest", &TopKFields::smallest, "smallest instead of largest"}};
    }
};

/// Sums of products in an accumulator, one after the other: y[..., o] from x[..., K].
struct AccumulateFields {
    IntTensor weights;      ///< [K, O]
    std::int64_t frac = 0;  ///< a weight's value is integer * 2^-frac
    IntTensor initial;      ///< [O]: what the sums begin with
    std::int64_t initial_frac = 0;
    Accumulation accumulator;
    bool operator==(const AccumulateFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"weights", &AccumulateFields::weights, "integers, [K, O]"},
            network::Field{"frac", &AccumulateFields::frac, "bits of a weight behind the point"},
            network::Field{"initial", &AccumulateFields::initial, "integers, [O]"},
            network::Field{"initial_frac", &AccumulateFields::initial_frac,
                           "bits of `initial` behind the point"},
            network::Field{"accumulator", &AccumulateFields::accumulator,
                           "type, rounding and overflow of each sum"}};
    }
};

extern const network::Operator row_accumulate_operator;
extern const network::Operator row_sum_operator;
extern const network::Operator row_max_operator;
extern const network::Operator row_min_operator;
extern const network::Operator row_argmax_operator;
extern const network::Operator row_top_k_operator;

}  // namespace gatewright::operators
