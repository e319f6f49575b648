#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "emulate/arrays.h"
#include "operators/core_model.h"

namespace gatewright::emulate {

/// The values of one node's output over all samples.
struct Trace {
    std::string name;  ///< the layer; "layer/operator" for what a layer computes on its way
    Shape shape;
    std::vector<double> values;  ///< [sample][element], the circuit's numbers
};

/// Runs a core model on blocks of 64 samples with SIMD, without any compiler at run time: this is
/// `predict`. A block's tensors lie as [element][sample] in lanes as narrow as the exact ranges
/// allow, and share memory that stays in the cache. Moves copy nothing.
///
/// Compiled once; immutable afterwards.
class TensorEmulator {
  public:
    struct Options {
        bool keep_all = false;  ///< keep every tensor of a block: needed for trace()
    };

    explicit TensorEmulator(const operators::CoreModel& model) : TensorEmulator(model, Options{}) {}
    TensorEmulator(const operators::CoreModel& model, Options options);
    ~TensorEmulator();
    TensorEmulator(TensorEmulator&&) noexcept;
    TensorEmulator& operator=(TensorEmulator&&) noexcept;

    /// Predicts `samples` samples: one array for each of the model's inputs and outputs, in order.
    /// Samples are shared out to `threads` threads; the result does not depend on how many.
    /// Failure(input_not_finite) for NaN and infinities.
    void run(std::span<const InputArray> inputs, std::int64_t samples,
             std::span<const OutputArray> outputs, int threads = 1) const;

    /// The same between the ports of the network: integers in, integers out. The integers must lie
    /// within their ranges.
    std::vector<Integers> run_integers(std::span<const Integers> inputs, int threads = 1) const;

    /// The values of every node, in the network's order.
    std::vector<Trace> trace(std::span<const InputArray> inputs, std::int64_t samples) const;

    /// Bytes of working memory a thread.
    std::size_t working_set() const;

  private:
    struct Program;
    std::unique_ptr<Program> program_;
};

}  // namespace gatewright::emulate
