#pragma once

#include "network/network.h"

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

extern const network::Operator row_sum_operator;
extern const network::Operator row_max_operator;
extern const network::Operator row_min_operator;
extern const network::Operator row_argmax_operator;
extern const network::Operator row_top_k_operator;

}  // namespace gatewright::operators
