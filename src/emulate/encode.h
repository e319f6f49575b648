#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bits/evaluator.h"
#include "emulate/arrays.h"
#include "emulate/encode_kernels.h"
#include "operators/core_model.h"

/// Numbers of the model's inputs to the circuit's integers, exactly.
namespace gatewright::emulate {

/// One input of the network, compiled. The integer of an element is that of the exact steps on the
/// exact value of the given number, whatever path computes it:
///  - a chain of affine steps before the quantiser runs in double with SIMD; numbers so near a
///    rounding boundary that double could tell the wrong side take the exact path;
///  - a chain that never falls (or never rises) is a sorted list of the least doubles that reach
///    each level, found by bisection with the exact steps;
///  - everything else is evaluated exactly, number by number.
/// May be used by several threads, each with a Memory of its own.
class Encoder {
  public:
    /// Results of the exact path, so that a number which often occurs is evaluated once.
    struct Memory {
        std::unordered_map<std::uint64_t, Int128> known[16];
    };

    /// `type` is that of the network's input; `model_elements` the number of elements of one sample
    /// of the model's input.
    Encoder(const operators::Encoding& encoding, const network::TensorType& type,
            std::int64_t model_elements);

    /// Encodes samples [first, first + count), count <= Evaluator::block, to out[element][block]
    /// in `lane`; the lanes of missing samples repeat the first. Failure(input_not_finite) for NaN
    /// and infinities.
    void encode_block(const InputArray& input, std::int64_t first, std::size_t count,
                      bits::Lane lane, void* out, Memory& memory) const;

    std::int64_t elements() const { return elements_; }

  private:
    struct Levels {
        std::vector<double> thresholds;  ///< sorted; level i holds from thresholds[i - 1] on
        std::vector<Int128> integers;    ///< one more than thresholds
    };

    void classify();
    void classify_affine();
    void find_levels();
    Int128 exact(const Rational& x, std::int64_t element) const;
    Int128 exact_cached(double x, std::int64_t element, Memory& memory) const;
    Int128 lookup(double x, std::int64_t element) const;
    template <class X, class T>
    void encode(const X* x, std::int64_t first, std::size_t count, T* out, Memory& memory) const;
    template <class X, class T>
    void encode_row(const X* row, std::int64_t begin, std::size_t n, std::int64_t sample, T* out,
                    Memory& memory) const;
    [[noreturn]] void refuse(double x, std::int64_t sample, std::int64_t element) const;

    operators::Encoding encoding_;
    std::int64_t elements_;
    std::int64_t model_elements_;
    std::vector<std::int32_t> key_of_;  ///< [element]: number of its parameters; empty: all 0
    std::vector<std::int64_t> key_element_;  ///< [key]: an element with these parameters

    enum class Path { affine, levels, exact } path_ = Path::exact;
    std::vector<AffineQuantiser> affine_;  ///< [key], or one if uniform
    std::vector<Levels> levels_;           ///< [key]
};

/// The integers of every input of the network, in order.
std::vector<Integers> encode(const operators::CoreModel& model, std::span<const InputArray> inputs,
                             std::int64_t samples);

}  // namespace gatewright::emulate
