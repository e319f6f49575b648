#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "bits/evaluator.h"
#include "emulate/contraction.h"
#include "emulate/decode.h"
#include "emulate/encode.h"
#include "emulate/lane_function.h"
#include "operators/core_model.h"

namespace gatewright::emulate {

/// Where the elements of a tensor lie in the working memory, for a block of samples: element e
/// begins 64 * lines[e] bytes into it, and sample s of it is lane s from there.
struct Placed {
    bits::Lane lane = bits::Lane::i8;
    std::vector<std::uint32_t> lines;
};

/// A core model as a list of kernels on blocks of samples. Moves do nothing: the elements of their
/// results lie where those of their inputs do. Memory is used again after a tensor's last use.
class TensorProgram {
  public:
    /// The working memory of one thread.
    struct Working {
        std::vector<std::byte> memory;
        std::vector<std::byte> scratch;
        bits::Evaluator::Scratch evaluator;
        Encoder::Scratch encoder;
        std::vector<std::int64_t> integers;
        std::vector<const void*> in;  ///< of an evaluator
        std::vector<void*> out;
    };

    /// With `keep_all`, all tensors stay readable to the end of a block.
    TensorProgram(const operators::CoreModel& model, bool keep_all);

    const operators::CoreModel& model() const { return model_; }
    const std::vector<Decoder>& decoders() const { return decoders_; }
    const Placed& placed(network::Value value) const { return placed_.at(value); }

    Working working() const;
    /// Encodes samples [first, first + count) into the inputs; the rest of the block is zero.
    void load(const Samples& samples, std::int64_t first, std::int64_t count,
              Working& working) const;
    /// Integers of all lanes of all elements of input number `port`.
    void store(std::size_t port, const std::vector<std::int64_t>& integers, Working& working) const;
    /// Runs all kernels.
    void run(Working& working) const;
    /// All lanes of all elements of a tensor, in lanes of that kind.
    void fetch(const Placed& from, Working& working, bits::Lane lane, std::byte* to) const;

  private:
    class Maker;
    using Lines = std::vector<std::uint32_t>;
    /// Elements of a map that follow one another, with the same body.
    struct Stretch {
        std::size_t body;
        std::size_t first;
        std::size_t count;
    };
    /// An element that a move has to bring into a wider lane.
    struct Copy {
        std::uint32_t from;
        bits::Lane lane;
        std::uint32_t to;
    };
    /// A result; its elements lie one after the other.
    struct Output {
        bits::Lane lane;
        std::uint32_t line;
        std::size_t count;
    };
    struct Kernel {
        enum class Kind { map, row, contract, copy };

        Kind kind = Kind::map;
        std::vector<Lines> in;  ///< of each operand; map: for each element of the result
        std::vector<Output> out;
        std::vector<std::int32_t> body_of;  ///< element of a map, row of the others
        std::vector<bits::Evaluator> evaluators;
        std::vector<Contraction> contractions;
        std::vector<Copy> copies;
        // A map of one input: what takes the place of an evaluator, and where it runs at once.
        std::vector<std::optional<LaneFunction>> functions;
        std::vector<Stretch> stretches;
    };

    static void run_map(const Kernel& kernel, std::byte* memory, Working& working);
    static void run_row(const Kernel& kernel, std::byte* memory, Working& working);
    static void run_contract(const Kernel& kernel, std::byte* memory, std::byte* scratch);

    const operators::CoreModel& model_;
    std::map<network::Value, Placed> placed_;
    std::vector<Kernel> kernels_;
    std::size_t memory_lines_ = 0;
    std::size_t scratch_ = 0;
    std::vector<Encoder> encoders_;
    std::vector<Decoder> decoders_;
};

}  // namespace gatewright::emulate
