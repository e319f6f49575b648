#pragma once

#include "network/network.h"

/// Layers that compare, choose, and read or write at computed positions.
namespace gatewright::operators {

/// A joining function of the table in function.h of two tensors that broadcast: comparisons, logic,
/// remainders and their kin. (Sums, products, quotients and extrema are operators of their own.)
struct JoinFields {
    std::string function;
    bool operator==(const JoinFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{network::Field{"function", &JoinFields::function, "its name"}};
    }
};

// Computed positions must be integers. With `wrap` negative ones count from the end. What lies
// outside then is an `error`, is read as the nearest (`clamp`), or is nothing there (`zero`: read
// as zero, not written).

/// y[i..., j..., k...] = x[i..., index[j...], k...] along `axis`. Inputs: x, index.
struct GatherFields {
    std::int64_t axis = 0;
    bool wrap = false;
    std::string outside = "error";
    bool operator==(const GatherFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"axis", &GatherFields::axis, "axis of x"},
            network::Field{"wrap", &GatherFields::wrap, "negative positions count from the end"},
            network::Field{"outside", &GatherFields::outside, "error, clamp or zero"}};
    }
};

/// y[.., i, ..] = x[.., index[.., i, ..], ..] along `axis`; the index's other extents are at most
/// those of x. Inputs: x, index.
struct GatherElementsFields {
    std::int64_t axis = 0;
    bool wrap = false;
    std::string outside = "error";
    bool operator==(const GatherElementsFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"axis", &GatherElementsFields::axis, "axis of x"},
            network::Field{"wrap", &GatherElementsFields::wrap,
                           "negative positions count from the end"},
            network::Field{"outside", &GatherElementsFields::outside, "error, clamp or zero"}};
    }
};

/// y[b..., j..., k...] = x[b..., index[b..., j..., 0], index[b..., j..., 1], ..., k...] with
/// `batch` leading axes in common. Inputs: x, index.
struct GatherNdFields {
    std::int64_t batch = 0;
    bool wrap = false;
    std::string outside = "error";
    bool operator==(const GatherNdFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"batch", &GatherNdFields::batch, "leading axes in common"},
            network::Field{"wrap", &GatherNdFields::wrap, "negative positions count from the end"},
            network::Field{"outside", &GatherNdFields::outside, "error, clamp or zero"}};
    }
};

/// y = x with updates at computed positions. Inputs: x, index, updates (see `kind`). What several
/// updates and the element itself make of one element is `reduction`.
struct ScatterFields {
    /// "elements": y[.., index[.., i, ..], ..] of updates[.., i, ..] along `axis`;
    /// "nd": y[index[j..., 0], index[j..., 1], ..., k...] of updates[j..., k...]
    std::string kind = "elements";
    std::int64_t axis = 0;           ///< of "elements"
    std::string reduction = "none";  ///< none (the last), sum, prod, max, min or mean
    bool include_self = true;        ///< the element of x counts where updates come
    bool wrap = false;
    std::string outside = "error";
    bool operator==(const ScatterFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"kind", &ScatterFields::kind, "elements or nd"},
            network::Field{"axis", &ScatterFields::axis, "axis of elements"},
            network::Field{"reduction", &ScatterFields::reduction,
                           "none, sum, prod, max, min or mean"},
            network::Field{"include_self", &ScatterFields::include_self, "the element of x counts"},
            network::Field{"wrap", &ScatterFields::wrap, "negative positions count from the end"},
            network::Field{"outside", &ScatterFields::outside, "error, clamp or zero"}};
    }
};

/// y[i] = sum (product, ...) of x[0 .. i] along an axis. Of max and min a second output holds the
/// positions of what was found, the last among equals.
struct CumulativeFields {
    std::string kind;  ///< sum, prod, max, min or log_sum_exp
    std::int64_t axis = 0;
    bool exclusive = false;  ///< sum and prod: without x[i] itself
    bool reverse = false;    ///< from the end
    bool operator==(const CumulativeFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"kind", &CumulativeFields::kind, "sum, prod, max, min, log_sum_exp"},
            network::Field{"axis", &CumulativeFields::axis, "axis along which it grows"},
            network::Field{"exclusive", &CumulativeFields::exclusive, "without x[i] itself"},
            network::Field{"reverse", &CumulativeFields::reverse, "from the end"}};
    }
};

extern const network::Operator join_operator;
/// y = a where condition is not zero, else b; inputs condition, a, b broadcast. A core operator
/// too, whose condition is one bit.
extern const network::Operator select_operator;
/// Comparisons of core tensors: one bit.
extern const network::Operator less_operator;
extern const network::Operator equal_operator;
extern const network::Operator gather_operator;
extern const network::Operator gather_elements_operator;
extern const network::Operator gather_nd_operator;
extern const network::Operator scatter_operator;
extern const network::Operator cumulative_operator;

void lower_join(Lowering& lowering, const network::Node& node);
void lower_select(Lowering& lowering, const network::Node& node);
void lower_gather(Lowering& lowering, const network::Node& node);
void lower_gather_elements(Lowering& lowering, const network::Node& node);
void lower_gather_nd(Lowering& lowering, const network::Node& node);
void lower_scatter(Lowering& lowering, const network::Node& node);
void lower_cumulative(Lowering& lowering, const network::Node& node);

}  // namespace gatewright::operators
