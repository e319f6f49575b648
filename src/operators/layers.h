#pragma once

#include "network/network.h"
#include "operators/accumulation.h"

/// Layers on real numbers, as importers make them. Each has a float reference and a short program
/// over the core operators. Layers that are core operators too (add, reshape, ...) are in map.h and
/// move.h.
namespace gatewright::operators {

/// One function of the table in function.h. Inputs: x, then its parameters as constants that
/// broadcast to x.
struct FunctionFields {
    std::string function;
    bool operator==(const FunctionFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{network::Field{"function", &FunctionFields::function, "its name"}};
    }
};

/// y = scale (clip(round(x / scale + zero_point), low, high) - zero_point). Inputs: x; the
/// parameters broadcast to it.
struct FakeQuantizeFields {
    Tensor scale;
    Tensor zero_point;
    Tensor low;   ///< lowest level, an integer
    Tensor high;  ///< highest level, an integer
    Rounding rounding = Rounding::half_even;
    Overflow overflow = Overflow::saturate;
    bool operator==(const FakeQuantizeFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"scale", &FakeQuantizeFields::scale, "step between levels"},
            network::Field{"zero_point", &FakeQuantizeFields::zero_point, "level of zero"},
            network::Field{"low", &FakeQuantizeFields::low, "lowest level"},
            network::Field{"high", &FakeQuantizeFields::high, "highest level"},
            network::Field{"rounding", &FakeQuantizeFields::rounding, "rounding mode"},
            network::Field{"overflow", &FakeQuantizeFields::overflow, "saturate or wrap"}};
    }
};

/// y = gamma (x - mean) / sqrt(variance + epsilon) + beta along one axis. Inputs: x, gamma, beta,
/// mean, variance (constants, one element per position of the axis).
struct BatchNormFields {
    double epsilon = 1e-5;
    std::int64_t axis = 0;
    bool operator==(const BatchNormFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"epsilon", &BatchNormFields::epsilon, "added to the variance"},
            network::Field{"axis", &BatchNormFields::axis, "axis of the channels"}};
    }
};

/// a[..., m, k] b[..., k, n], as NumPy's matmul. With an optional constant bias[n], with which
/// the sums begin.
struct MatmulFields {
    Accumulation accumulator;
    bool operator==(const MatmulFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"accumulator", &MatmulFields::accumulator, "how products are added"}};
    }
};

/// Convolution of x[C, spatial...] with constant weights w[O, C / groups, kernel...] and an
/// optional constant bias[O]: y[O, spatial'...].
struct ConvFields {
    Shape strides;
    Shape dilations;
    Shape before;
    Shape after;
    std::int64_t groups = 1;
    Accumulation accumulator;
    bool operator==(const ConvFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"strides", &ConvFields::strides, "step between patches"},
            network::Field{"dilations", &ConvFields::dilations, "step within a patch"},
            network::Field{"before", &ConvFields::before, "zeros before each spatial axis"},
            network::Field{"after", &ConvFields::after, "zeros behind each spatial axis"},
            network::Field{"groups", &ConvFields::groups, "groups of channels"},
            network::Field{"accumulator", &ConvFields::accumulator, "how products are added"}};
    }
};

/// Transposed convolution of x[C, spatial...] with constant weights w[C, O / groups, kernel...] and
/// an optional constant bias[O]: each element of x is spread by the kernel over y[O, spatial'...].
struct ConvTransposeFields {
    Shape strides;
    Shape dilations;
    Shape before;
    Shape after;
    Shape extra;
    std::int64_t groups = 1;
    bool operator==(const ConvTransposeFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"strides", &ConvTransposeFields::strides, "step between patches of y"},
            network::Field{"dilations", &ConvTransposeFields::dilations, "step within a patch"},
            network::Field{"before", &ConvTransposeFields::before, "positions of y cut off before"},
            network::Field{"after", &ConvTransposeFields::after, "positions of y cut off behind"},
            network::Field{"extra", &ConvTransposeFields::extra, "positions of y added behind"},
            network::Field{"groups", &ConvTransposeFields::groups, "groups of channels"}};
    }
};

/// Pooling of x[C, spatial...] over sliding patches: the largest element, or their mean.
struct PoolFields {
    std::string kind;  ///< "max" or "average"
    Shape kernel;
    Shape strides;
    Shape dilations;
    Shape before;
    Shape after;
    bool count_padding = false;  ///< average: zeros of the padding count as elements
    /// average: positions behind the padding (ceil mode) never count
    Shape uncounted;
    bool operator==(const PoolFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"kind", &PoolFields::kind, "max or average"},
            network::Field{"kernel", &PoolFields::kernel, "extents of a patch"},
            network::Field{"strides", &PoolFields::strides, "step between patches"},
            network::Field{"dilations", &PoolFields::dilations, "step within a patch"},
            network::Field{"before", &PoolFields::before, "padding before each spatial axis"},
            network::Field{"after", &PoolFields::after, "padding behind each spatial axis"},
            network::Field{"count_padding", &PoolFields::count_padding, "padding counts in a mean"},
            network::Field{"uncounted", &PoolFields::uncounted,
                           "positions at the end of `after` that never count in a mean"}};
    }
};

/// Sum, mean, max or min over axes.
struct ReduceFields {
    std::string kind;
    Shape axes;
    bool keep = false;
    bool operator==(const ReduceFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{network::Field{"kind", &ReduceFields::kind, "sum, mean, max or min"},
                          network::Field{"axes", &ReduceFields::axes, "axes to reduce"},
                          network::Field{"keep", &ReduceFields::keep, "keep them with extent 1"}};
    }
};

struct SoftmaxFields {
    std::int64_t axis = 0;
    bool logarithm = false;
    bool operator==(const SoftmaxFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{network::Field{"axis", &SoftmaxFields::axis, "axis of the classes"},
                          network::Field{"logarithm", &SoftmaxFields::logarithm, "log softmax"}};
    }
};

struct ArgLayerFields {
    std::int64_t axis = 0;
    bool keep = false;
    bool smallest = false;
    bool last = false;
    bool operator==(const ArgLayerFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"axis", &ArgLayerFields::axis, "axis searched"},
            network::Field{"keep", &ArgLayerFields::keep, "keep it with extent 1"},
            network::Field{"smallest", &ArgLayerFields::smallest, "smallest instead of largest"},
            network::Field{"last", &ArgLayerFields::last, "last among equals"}};
    }
};

struct TopKLayerFields {
    std::int64_t axis = 0;
    std::int64_t k = 1;
    bool smallest = false;
    bool operator==(const TopKLayerFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"axis", &TopKLayerFields::axis, "axis searched"},
            network::Field{"k", &TopKLayerFields::k, "how many"},
            network::Field{"smallest", &TopKLayerFields::smallest, "smallest instead of largest"}};
    }
};

extern const network::Operator function_operator;
extern const network::Operator fake_quantize_operator;
extern const network::Operator batch_norm_operator;
extern const network::Operator divide_operator;
extern const network::Operator matmul_operator;
extern const network::Operator conv_operator;
extern const network::Operator conv_transpose_operator;
extern const network::Operator pool_operator;
extern const network::Operator reduce_operator;
extern const network::Operator softmax_operator;
extern const network::Operator argmax_operator;
extern const network::Operator top_k_operator;

}  // namespace gatewright::operators
