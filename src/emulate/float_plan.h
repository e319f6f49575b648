#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "network/network.h"

/// What FloatEngine compiles a network to. Internal to this folder.
namespace gatewright::emulate {

inline constexpr std::int64_t most_lanes = 64;

/// Takes rows [first, first + rows) of a result as soon as they are complete.
using Finish = std::function<void(std::int64_t first, std::int64_t rows)>;

/// One node at work: its operands and results, each [element][lane].
struct FloatCall {
    std::int64_t lanes = 0;
    std::span<const double* const> inputs;  ///< null where the operand is a constant
    std::span<double* const> outputs;
    const Finish* finished = nullptr;  ///< for steps of an operator that finishes_rows

    void finish(std::int64_t first, std::int64_t rows) const {
        if (finished != nullptr) {
            (*finished)(first, rows);
        }
    }
};

/// Computes a node's results from its operands.
using FloatStep = std::function<void(const FloatCall& call)>;

/// Computes rows [first, first + rows) of the only result of a node that is element-wise: a row
/// depends on one row of each operand, and may be written over that of an operand of its shape.
using RangeStep = std::function<void(const FloatCall& call, std::int64_t first, std::int64_t rows)>;

/// A node with what is known of its operands when the network is compiled.
struct FloatNode {
    const network::Node& node;
    std::vector<network::TensorType> inputs;
    std::vector<const Tensor*> constants;  ///< one an input: null where it is computed
};

/// The step on rows for a node, or null if none is better than the reference. At least one operand
/// is computed.
FloatStep row_step(const FloatNode& node);

/// The same for an element-wise node.
RangeStep range_step(const FloatNode& node);

/// Whether row_step of such a node says of its rows when they are complete.
bool finishes_rows(const network::Operator& op);

/// The step that computes any node sample by sample with its operator's reference.
FloatStep reference_step(const FloatNode& node);

}  // namespace gatewright::emulate
