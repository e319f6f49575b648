#pragma once

#include <cstddef>
#include <cstdint>

/// The inner loops of contractions: a block of 64 samples, four outputs at a time.
namespace gatewright::emulate {

// Row k of the inputs begins 64 * lines[k] bytes into `x`.

/// out[j][s] = sum over k of weights[k * 4 + j] * x[k][s] modulo the lane, for j in 0 .. 3 and s in
/// 0 .. 63. Sums may wrap on the way; the final value fits, so it is right.
void contract4(const std::byte* x, const std::uint32_t* lines, const std::int16_t* weights,
               std::int64_t length, std::int16_t* out);
void contract4(const std::byte* x, const std::uint32_t* lines, const std::int32_t* weights,
               std::int64_t length, std::int32_t* out);
void contract4(const std::byte* x, const std::uint32_t* lines, const std::int64_t* weights,
               std::int64_t length, std::int64_t* out);

/// The same with 32-bit sums for inputs and weights of 16 bits, in pairs along k: input 2 i + b of
/// sample s is x[i][s][b], its weights are weights[i][j][b], for i below `pairs`.
void contract4_pairs(const std::int16_t* x, const std::int16_t* weights, std::int64_t pairs,
                     std::int32_t* out);
/// Pairs from rows of 64 samples in 8 or 16 bits, the last row zero where `length` is odd.
void pair_bytes(const std::byte* x, const std::uint32_t* lines, std::int64_t length,
                std::int16_t* pairs);
void pair_shorts(const std::byte* x, const std::uint32_t* lines, std::int64_t length,
                 std::int16_t* pairs);

/// Runs (output o, number p, number m, p + m rows k) from `runs` to `end`: sums[o][s] += the sum of
/// the first p rows x[k][s], in bytes, less that of the others, which is a byte, whatever comes in
/// between.
void add_runs(const std::byte* x, const std::uint32_t* lines, const std::int32_t* runs,
              const std::int32_t* end, std::int16_t* sums);

}  // namespace gatewright::emulate
