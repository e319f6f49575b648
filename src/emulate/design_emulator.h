#pragma once

#include <cstdint>
#include <vector>

#include "design/design.h"

namespace gatewright::emulate {

/// Runs a design as a Kahn network with queues of any length: what it computes, not when. Every
/// frame starts afresh: registers at their initial values, RAMs empty. It is plain and slow; the
/// schedules and printers are held to it.
class DesignEmulator {
  public:
    explicit DesignEmulator(const design::Design& design) : design_(design) {}

    /// The tensors of one frame (integers, row-major, one per top port) to those of the outputs.
    ///
    /// RAM words that were not written in this frame, and words of ports that are not taken, hold
    /// anything: the frame is run with two different fillings, which must not show. Throws
    /// std::logic_error where one does, where a word leaves its lane's range, an address its
    /// memory, or where the network starves or leaves words behind.
    std::vector<std::vector<Int128>> run(const std::vector<std::vector<Int128>>& inputs) const;

  private:
    const design::Design& design_;
};

}  // namespace gatewright::emulate
