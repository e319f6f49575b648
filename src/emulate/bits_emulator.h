#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "bits/function.h"
#include "emulate/arrays.h"
#include "operators/core_model.h"

namespace gatewright::emulate {

/// Runs the one bits function that the parallel schedule makes of a core model: what the hardware
/// will be. The function's inputs are the elements of the network's inputs, one port after the
/// other, and so are its outputs.
class BitsEmulator {
  public:
    /// Neither argument is used after construction. std::logic_error if their ports do not match.
    BitsEmulator(const operators::CoreModel& model, const bits::Function& function);
    ~BitsEmulator();
    BitsEmulator(BitsEmulator&&) noexcept;
    BitsEmulator& operator=(BitsEmulator&&) noexcept;

    /// As TensorEmulator's.
    void run(std::span<const InputArray> inputs, std::int64_t samples,
             std::span<const OutputArray> outputs, int threads = 1) const;
    std::vector<Integers> run_integers(std::span<const Integers> inputs, int threads = 1) const;

  private:
    struct Program;
    std::unique_ptr<Program> program_;
};

}  // namespace gatewright::emulate
