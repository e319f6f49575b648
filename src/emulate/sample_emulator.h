#pragma once

#include <memory>
#include <vector>

#include "operators/core_model.h"

/// Runs a core model on one sample at a time. The lanes are elements that share a body, so that
/// models with large tensors (images) need memory for one sample and not for a block of them. As
/// the emulator of blocks it takes all arithmetic from operators/core.h.
namespace gatewright::emulate {

class SampleEmulator {
  public:
    explicit SampleEmulator(const operators::CoreModel& model);
    ~SampleEmulator();

    /// The integers of the outputs' elements from those of the inputs.
    std::vector<std::vector<std::int64_t>> run(
        const std::vector<std::vector<std::int64_t>>& inputs) const;

    /// Whether a block of samples would need much memory.
    static bool is_better_for(const operators::CoreModel& model);

  private:
    struct Program;
    std::unique_ptr<Program> program_;
};

}  // namespace gatewright::emulate
