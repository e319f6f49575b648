#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "linear/adder_graph.h"
#include "network/network.h"

namespace gatewright::schedule {

/// How the rows of a contraction overlap, as the patches of a convolution do: what is a pixel at
/// one tap of the kernel in this row is the same pixel at another tap in the next.
///
/// Then y[row, o] is the sum over the taps t of (pixel at t) * P[., (t, o)], where P, the matrix of
/// the products, is the same for all taps that see the same pixels. Products are made once for each
/// pixel, and with them what they share.
struct Patches {
    /// Taps that see the same pixels; with strides there are several such families.
    struct Family {
        std::vector<std::vector<std::int32_t>> taps;  ///< [tap][channel] the place in a row
    };
    std::vector<Family> families;
};

/// Finds the pixels of rows of `length` elements each that come from `sources`; the last row may
/// not be cut short. Nothing where no two rows overlap, or in another way.
std::optional<Patches> find_patches(std::span<const network::Source> sources, std::size_t length);

/// A graph for one row. Its first `shared` additions may be those of other rows as well, so they
/// have to be built in a form that does not depend on what follows in the row.
struct RowGraph {
    linear::AdderGraph graph;
    std::size_t shared = 0;
};

/// The graph for inputs within `ranges` that adds up products; `products` has a graph for each
/// family.
RowGraph add_products(const Patches& patches, std::span<const linear::AdderGraph> products,
                      std::int64_t outputs, std::span<const Interval> ranges);

}  // namespace gatewright::schedule
