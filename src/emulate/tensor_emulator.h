#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bits/evaluator.h"
#include "emulate/sample_emulator.h"
#include "emulate/samples.h"
#include "operators/core_model.h"

namespace gatewright::emulate {

class TensorProgram;

/// Runs a core model on many samples: blocks of samples, each tensor in the narrowest lanes that
/// its exact ranges allow, element-major so that SIMD runs over samples. This is `predict`. It has
/// no arithmetic of its own: bodies and matrices come from operators/core.h.
class TensorEmulator {
  public:
    explicit TensorEmulator(const operators::CoreModel& model);
    ~TensorEmulator();

    struct Result {
        std::vector<Shape> shapes;               ///< of one sample, per output
        std::vector<std::vector<float>> values;  ///< per output: [sample][element]
    };
    /// `progress` is told how many samples are done, from one thread at a time.
    Result run(const Samples& samples, int threads,
               const std::function<void(std::int64_t)>& progress = {}) const;

    /// The integers of the network's outputs for encoded inputs: inputs[port][element * samples +
    /// sample], outputs likewise. What simulation is compared with.
    std::vector<std::vector<std::int64_t>> run_integers(
        const std::vector<std::vector<std::int64_t>>& inputs, std::int64_t samples) const;

    /// The values of every node, by layer: name and numbers [sample][element] as the fixed-point
    /// value (integer * 2^-frac).
    struct Trace {
        std::string name;
        Shape shape;
        std::vector<double> values;
    };
    std::vector<Trace> trace(const Samples& samples) const;

  private:
    Result run_samples(const Samples& samples, int threads,
                       const std::function<void(std::int64_t)>& progress) const;

    const operators::CoreModel& model_;
    std::unique_ptr<TensorProgram> program_;
    std::unique_ptr<SampleEmulator> sample_;  ///< in its place for large tensors
};

}  // namespace gatewright::emulate
