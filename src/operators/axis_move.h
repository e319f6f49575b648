#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "network/network.h"

/// Moves told by their axes instead of by their elements: what a large move copies, in few numbers.
namespace gatewright::operators {

/// The element that a move copies is the sum of one summand for each term; if one of them is
/// `outside`, it is a zero.
struct AxisMove {
    static constexpr std::int64_t outside = -1;

    /// What position p of an axis, with position q of a later one (a patch and its tap) if `minor`
    /// is not the same axis, adds: at[p * extents[minor] + q].
    struct Term {
        std::size_t axis = 0;
        std::size_t minor = 0;
        std::vector<std::int64_t> at;
    };

    Shape extents;            ///< of the result, perhaps with axes split
    std::vector<Term> terms;  ///< each axis is in one of them

    bool has_zeros() const;
    /// Whether it copies all of `elements` elements in their order.
    bool keeps_order(std::int64_t elements) const;

    /// Calls f(element, count) for the elements of the result in their order, `count` of them with
    /// one source (of zeros), else 1.
    template <class F>
    void for_each(F f) const {
        if (element_count(extents) == 0) {
            return;
        }
        if (extents.empty()) {
            f(std::int64_t{0}, std::int64_t{1});
            return;
        }
        std::vector<const Term*> of_axis(extents.size(), nullptr);
        for (const Term& term : terms) {
            of_axis[term.minor] = &term;
        }
        Shape position(extents.size(), 0);
        walk(of_axis, strides_of(extents), 0, 0, position, f);
    }

  private:
    template <class F>
    void walk(const std::vector<const Term*>& of_axis, const std::vector<std::int64_t>& strides,
              std::size_t axis, std::int64_t element, Shape& position, F& f) const {
        const Term* term = of_axis[axis];
        const std::int64_t extent = extents[axis];
        const std::int64_t* at = nullptr;
        if (term != nullptr) {
            at = term->at.data();
            at += term->axis == axis ? 0 : position[term->axis] * extent;
        }
        const bool last = axis + 1 == extents.size();
        for (std::int64_t p = 0; p < extent; ++p) {
            const std::int64_t own = at == nullptr ? 0 : at[p];
            if (own == outside) {
                f(outside, strides[axis]);
            } else if (last) {
                f(element + own, std::int64_t{1});
            } else {
                position[axis] = p;
                walk(of_axis, strides, axis + 1, element + own, position, f);
            }
        }
    }
};

/// Nothing for an operator that is no move of one tensor along axes: `index`, and `concat`, whose
/// results are those of its inputs in turn.
std::optional<AxisMove> axis_move(const network::Node& node,
                                  std::span<const network::TensorType> inputs);

/// Whether a move makes zeros.
bool makes_zeros(const network::Node& node, std::span<const network::TensorType> inputs);
/// The elements that a move of one tensor copies, -1 for a zero.
std::vector<std::int64_t> moved_elements(const network::Node& node,
                                         std::span<const network::TensorType> inputs);

}  // namespace gatewright::operators
