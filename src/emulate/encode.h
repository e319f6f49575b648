#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "operators/core_model.h"
#include "types/npy.h"

/// From a user's arrays to the integers of a core model's inputs, and from the integers of its
/// outputs to numbers. Emulation and simulation share this.
namespace gatewright::emulate {

/// The model's inputs: one array each, in order, as doubles or as the file's own type.
/// `samples` arrays lie one after the other in each.
struct Samples {
    std::int64_t count = 0;
    bool has_batch_axis = true;  ///< false: the arrays are one sample without a leading axis
    std::vector<NpyArray> inputs;
};

/// Takes arrays by the model's input names, else `x`, or `x0`, `x1`, ... in order, and checks
/// shapes and types. `file` names the source in errors. Throws Failure(array_mismatch). The arrays
/// are taken over, not copied, where they are moved in.
Samples match_arrays(const operators::CoreModel& model, NamedArrays arrays,
                     const std::string& file);
/// The same for any list of inputs (the float reference has no core model).
Samples match_arrays(const std::vector<operators::ModelInput>& inputs, bool batched,
                     NamedArrays arrays, const std::string& file);

/// Encodes one port of the network for a range of samples.
class Encoder {
  public:
    Encoder(const operators::CoreModel& model, std::size_t port);

    /// Integers of element e and sample s at out[e * stride + s], for `count` samples from `first`.
    /// `Integer` (std::int16_t, std::int32_t or std::int64_t) must hold the port's range.
    /// Throws Failure(array_mismatch) on numbers that are not finite.
    template <class Integer>
    void encode(const Samples& samples, std::int64_t first, std::int64_t count, Integer* out,
                std::int64_t stride) const;

    std::int64_t elements() const { return static_cast<std::int64_t>(lines_.size()); }
    std::size_t source() const { return source_; }

  private:
    /// The chain of an element as round(a x + b) within [low, high], less the zero point.
    struct Line {
        bool is_line = false;  ///< else only the exact path knows it
        bool exact = false;    ///< a x + b has no rounding error in a double
        double a = 0;
        double b = 0;
        double low = 0;
        double high = 0;
        double zero_point = 0;
    };
    /// The integer of one number.
    std::int64_t integer(double x, std::int64_t element, std::int64_t sample) const;
    std::int64_t slow(double x, std::int64_t element) const;

    const operators::Encoding& encoding_;
    std::size_t source_ = 0;
    std::vector<Line> lines_;
    /// The lines as arrays for encode_row; empty if not all elements are fit for it.
    struct Rows {
        bool exact = false;
        std::vector<double> a, b, low, high, margin, zero_point;
    };
    Rows rows_;
};

/// Decodes one output of the network.
class Decoder {
  public:
    Decoder(const operators::CoreModel& model, std::size_t output);

    const Shape& shape() const { return shape_; }
    /// One sample: integers[e * stride] to values[e].
    void decode(const std::int64_t* integers, std::int64_t stride, float* values) const;

  private:
    const operators::Decoding& decoding_;
    Shape shape_;
    std::vector<int> frac_;
    bool is_line_ = false;  ///< at most one affine step
    std::vector<long double> scale_;
    std::vector<long double> offset_;
};

}  // namespace gatewright::emulate
