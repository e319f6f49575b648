#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bits/evaluator.h"
#include "operators/core.h"

/// A constant matrix on blocks of 64 samples. Which kernel computes it follows from the exact
/// ranges: all of them give the same integers.
namespace gatewright::emulate {

/// Lanes of one type to lanes of another that hold the values.
void convert(const std::byte* from, bits::Lane from_lane, std::byte* to, bits::Lane to_lane,
             std::int64_t count);

class Contraction {
  public:
    /// Inputs and outputs lie in these lanes.
    Contraction(const operators::ContractForm& form, bits::Lane in, bits::Lane out);

    std::int64_t n_in() const { return n_in_; }
    std::int64_t n_out() const { return n_out_; }
    /// Bytes of working memory, aligned to 64, that run() needs.
    std::size_t scratch() const;

    /// Input k of 64 samples lies at 64 * lines[k] bytes of the memory, output o at 64 * o lanes.
    void run(const std::byte* memory, const std::uint32_t* lines, std::byte* outputs,
             std::byte* scratch) const;

  private:
    enum class Kind {
        sums,   ///< added and subtracted in bytes, sums of 16 bits
        pairs,  ///< products of 16 bits, sums of 32
        plain,  ///< products and sums in `lane_`
    };

    void pack_sums(const linear::Matrix& matrix, std::int64_t terms);
    void pack_pairs(const linear::Matrix& matrix);
    void pack_plain(const linear::Matrix& matrix);
    void run_pairs(const std::byte* memory, const std::uint32_t* lines, std::byte* outputs,
                   std::byte* scratch) const;
    template <class T>
    void run_plain(const std::byte* memory, const std::uint32_t* lines, std::byte* outputs,
                   std::byte* scratch, const std::vector<T>& weights) const;
    void run_wide(const std::byte* memory, const std::uint32_t* lines, std::byte* outputs,
                  std::byte* scratch) const;
    /// Outputs four by four: sums(o, to) makes those of o to o + 3, in `lane_`, `scratch` in size.
    template <class F>
    void by_four(std::byte* outputs, std::byte* scratch, F sums) const;
    /// Inputs in `lane_`, one after the other.
    void widen(const std::byte* memory, const std::uint32_t* lines, std::byte* to) const;

    Kind kind_ = Kind::plain;
    bits::Lane in_;
    bits::Lane out_;
    bits::Lane lane_;  ///< of the sums
    std::int64_t n_in_ = 0;
    std::int64_t n_out_ = 0;
    std::size_t lane_size_ = 0;  ///< bytes of `lane_` for all samples
    std::size_t out_size_ = 0;
    std::vector<std::uint32_t> widened_;  ///< the lines of inputs in `lane_`
    std::vector<std::int32_t> runs_;      ///< sums: as add_runs takes them
    std::vector<std::int16_t>
        w16_;  ///< plain: [group of four outputs][k][4]; pairs: [..][k/2][4][2]
    std::vector<std::int32_t> w32_;
    std::vector<std::int64_t> w64_;
};

}  // namespace gatewright::emulate
