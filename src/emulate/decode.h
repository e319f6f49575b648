#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "bits/evaluator.h"
#include "emulate/arrays.h"
#include "operators/core_model.h"

/// The circuit's integers to the numbers of the model's outputs.
namespace gatewright::emulate {

/// integer * 2^-frac as the nearest double.
double to_value(Int128 integer, int frac);

/// One output of the network, compiled. Gives what operators::apply_in_place gives on the nearest
/// doubles of the port's values.
class Decoder {
  public:
    Decoder(const operators::Decoding& decoding, const network::TensorType& type);

    /// Decodes `count` samples; element e of sample s is the lane s of elements[e], in lanes[e].
    /// `output` is that of the whole run; samples begin at `first`.
    void decode_block(const void* const* elements, const bits::Lane* lanes, std::int64_t first,
                      std::size_t count, const OutputArray& output) const;

    std::int64_t elements() const { return static_cast<std::int64_t>(fracs_.size()); }

  private:
    struct Stage {
        const operators::Step* step = nullptr;
        bool is_affine = false;
        std::vector<PerElement<long double>> parameters;
    };

    double element_wise(double value, std::size_t element) const;

    operators::Decoding decoding_;
    Shape shape_;
    std::vector<int> fracs_;     ///< [element]
    std::vector<Stage> stages_;  ///< the leading element-wise steps
    std::vector<operators::Step> rest_;
    /// [element]: if not empty, output = integer * factor exactly
    std::vector<double> factors_;
};

/// Decodes the integers of every output of the network, in order.
void decode(const operators::CoreModel& model, std::span<const Integers> integers,
            std::span<const OutputArray> outputs);

}  // namespace gatewright::emulate
