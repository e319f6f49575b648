#pragma once

#include <cstdint>

#include "design/design.h"
#include "fixed/fixed.h"

/// Loop counters of processes that take a window from a stream of pixels.
namespace gatewright::schedule {

inline bits::Type counter_type(std::int64_t count) {
    return {false, static_cast<std::uint8_t>(bit_length(static_cast<UInt128>(count - 1)))};
}

/// The pixels of a window's input with its padding around, and what is taken of each axis.
struct Axis {
    std::int64_t before = 0;
    std::int64_t size = 1;   ///< of the input
    std::int64_t count = 1;  ///< with padding on both sides
    std::int64_t kernel = 1;
    std::int64_t stride = 1;
};

/// Conditions on one counter, as they are needed in control and in bodies.
class Counter {
  public:
    Counter(fixed::Builder& builder, const design::Loop& loop) : builder_(builder) {
        const bits::Type type = counter_type(loop.count);
        value_ = builder.input(loop.name, {false, type.width, 0}, {0, loop.count - 1});
    }
    /// low <= counter < high
    fixed::Fixed within(std::int64_t low, std::int64_t high) {
        return builder_.logical_and(builder_.at_least(value_, low),
                                    builder_.logical_not(builder_.at_least(value_, high)));
    }
    /// Whether a patch of the axis is complete here.
    fixed::Fixed completes(const Axis& axis) {
        const std::int64_t first = axis.kernel - 1;
        const fixed::Fixed reached = builder_.at_least(value_, first);
        bits::Builder& bits = builder_.bits();
        const bits::NodeId low =
            bits.bit_and(value_.bits, bits.constant(axis.stride - 1), counter_type(axis.stride));
        const bits::NodeId phase = bits.equal(low, bits.constant(first % axis.stride));
        return builder_.logical_and(reached, builder_.value(phase, {0, 1}, 0));
    }
    bits::NodeId node() const { return value_.bits; }

  private:
    fixed::Builder& builder_;
    fixed::Fixed value_;
};

}  // namespace gatewright::schedule
