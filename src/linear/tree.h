#pragma once

#include <vector>

#include "linear/sharing.h"

namespace gatewright::linear {

/// Adds up `terms` in a tree of the least possible depth (the two shallowest are joined first;
/// among equals those nearest in shift and width). Appends to `values` and `additions`; value
/// indices count on from `values`. No terms: the constant zero.
Output add_up(const std::vector<Term>& terms, std::vector<ValueInfo>& values,
              std::vector<Addition>& additions);

/// Levels of the shallowest tree over terms whose depths are those of `values`.
int least_depth(const std::vector<Term>& terms, const std::vector<ValueInfo>& values);

/// Removes `negate` from outputs by choosing the operand signs of the additions below them, where
/// that is possible: a value changes sign if all of its uses can take it.
void absorb_signs(AdderGraph& graph);

}  // namespace gatewright::linear
