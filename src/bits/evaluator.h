#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "bits/function.h"

namespace gatewright::bits {

/// How one value of each sample lies in memory: signed two's complement integers of this many bytes
/// (a 127-bit unsigned value still fits an i128).
enum class Lane : std::uint8_t { i8 = 1, i16 = 2, i32 = 4, i64 = 8, i128 = 16 };

/// The narrowest lane that holds all values of a type (u8 needs i16).
Lane lane_for(Type type);
inline std::size_t lane_bytes(Lane lane) {
    return static_cast<std::size_t>(lane);
}

struct Program;

/// Runs a function on blocks of samples with SIMD, each node in the narrowest lane that its type
/// allows. Compiling is linear in the nodes; a compiled evaluator may be used by several threads,
/// each with a Scratch of its own.
class Evaluator {
  public:
    static constexpr std::size_t block = 64;  ///< samples a block

    /// The working memory of one thread.
    struct Scratch {
        std::vector<std::byte> memory;
    };

    /// `input_lanes` / `output_lanes`: how the caller stores each port (at least lane_for its
    /// type).
    Evaluator(const Function& function, std::vector<Lane> input_lanes,
              std::vector<Lane> output_lanes);
    /// All ports in lane_for(type).
    explicit Evaluator(const Function& function);
    ~Evaluator();
    Evaluator(Evaluator&&) noexcept;
    Evaluator& operator=(Evaluator&&) noexcept;

    const std::vector<Lane>& input_lanes() const;
    const std::vector<Lane>& output_lanes() const;

    /// Evaluates `block` samples: inputs[i] and outputs[o] point at `block` lanes each. Outputs may
    /// not overlap inputs. Values of inputs must lie within their types.
    /// Ports need no more alignment than their lanes have.
    void run(const void* const* inputs, void* const* outputs, Scratch& scratch) const;

  private:
    std::unique_ptr<Program> program_;
};

}  // namespace gatewright::bits
