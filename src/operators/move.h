#pragma once

#include "network/network.h"

/// Moves: operators that only say which element of which input each element of the output copies.
/// They work on real numbers (as layers) and on fixed-point tensors (as core operators) alike.
namespace gatewright::operators {

struct ReshapeFields {
    Shape shape;
    bool operator==(const ReshapeFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{network::Field{"shape", &ReshapeFields::shape, "the new shape"}};
    }
};

struct TransposeFields {
    Shape permutation;  ///< axis i of y is axis permutation[i] of x
    bool operator==(const TransposeFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{network::Field{"permutation", &TransposeFields::permutation,
                                         "axis i of y is axis permutation[i] of x"}};
    }
};

struct SliceFields {
    Shape starts;  ///< per axis
    Shape steps;   ///< per axis, may be negative
    Shape sizes;   ///< per axis: the shape of y
    bool operator==(const SliceFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{network::Field{"starts", &SliceFields::starts, "first index per axis"},
                          network::Field{"steps", &SliceFields::steps, "step per axis"},
                          network::Field{"sizes", &SliceFields::sizes, "elements per axis"}};
    }
};

struct ConcatFields {
    std::int64_t axis = 0;
    bool operator==(const ConcatFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{network::Field{"axis", &ConcatFields::axis, "axis that grows"}};
    }
};

struct ExpandFields {
    Shape shape;
    bool operator==(const ExpandFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{network::Field{"shape", &ExpandFields::shape, "shape to broadcast to"}};
    }
};

/// y = x with positions before and behind each axis; those outside are zero ("zero"), the nearest
/// element ("edge") or the mirrored one ("reflect").
struct PadFields {
    Shape before;
    Shape after;
    std::string mode = "zero";
    bool operator==(const PadFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"before", &PadFields::before, "positions before each axis"},
            network::Field{"after", &PadFields::after, "positions behind each axis"},
            network::Field{"mode", &PadFields::mode, "zero, edge or reflect"}};
    }
};

/// y[e] = x[index[e]]: any move of one tensor.
struct IndexFields {
    Shape shape;
    IntTensor index;
    bool operator==(const IndexFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"shape", &IndexFields::shape, "shape of y"},
            network::Field{"index", &IndexFields::index, "element of x, per element"}};
    }
};

/// Sliding patches of x[C, spatial...]: y[spatial'..., C * K] with K the kernel's positions,
/// channel outermost. Positions outside x are zero, or, with `clip`, the nearest position of the
/// same patch that lies inside (for maxima, which they do not change).
struct WindowFields {
    Shape kernel;
    Shape strides;
    Shape dilations;
    Shape before;
    Shape after;
    bool clip = false;
    bool operator==(const WindowFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"kernel", &WindowFields::kernel, "extents of the patch"},
            network::Field{"strides", &WindowFields::strides, "step between patches"},
            network::Field{"dilations", &WindowFields::dilations, "step within a patch"},
            network::Field{"before", &WindowFields::before, "padding before each spatial axis"},
            network::Field{"after", &WindowFields::after, "padding behind each spatial axis"},
            network::Field{"clip", &WindowFields::clip, "repeat a position instead of zeros"}};
    }
};

extern const network::Operator reshape_operator;
extern const network::Operator transpose_operator;
extern const network::Operator slice_operator;
extern const network::Operator concat_operator;
extern const network::Operator expand_operator;
extern const network::Operator pad_operator;
extern const network::Operator index_operator;
extern const network::Operator window_operator;

/// Extent of one spatial axis of a window's output.
std::int64_t window_extent(const WindowFields& fields, std::size_t axis, std::int64_t input);

}  // namespace gatewright::operators
