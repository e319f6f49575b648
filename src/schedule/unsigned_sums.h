#pragma once

#include <optional>
#include <span>
#include <vector>

#include "fixed/fixed.h"
#include "linear/adder_graph.h"

namespace gatewright::schedule {

/// What comes behind the outputs of an adder graph.
struct Following {
    std::vector<Int128> constants;  ///< added, one per output, or none where they are not known
    bool compares = false;  ///< only numbers are compared with the outputs: constants cost nothing
};

/// The outputs of an adder graph over integers (rows of them, frac 0) that lie in `ranges`, with
/// every sum held as an unsigned number u beside a known offset: value = offset + u or offset - u.
///
/// So no operand is extended by its sign, which costs a lookup table a bit, and none is subtracted,
/// which costs an inverter for each bit that no other operand meets: for -u stands u with its bits
/// inverted, which is 2^width - 1 - u. All offsets come together in one constant per output, which
/// pays where a constant is added or compared with anyway: `following`. Of the two operands of a
/// difference either can be the inverted one; it is chosen for few inverters, those that the
/// constants need included. The first `shared` additions of the graph are left as they come: other
/// rows make them too, with other constants.
///
/// One result for each of `rows`; nothing where numbers would get too wide.
std::optional<std::vector<std::vector<fixed::Fixed>>> unsigned_sums(
    fixed::Builder& builder, const linear::AdderGraph& graph, const std::vector<Interval>& ranges,
    const Following& following, std::span<const std::vector<fixed::Fixed>> rows,
    std::size_t shared = 0);

}  // namespace gatewright::schedule
