#pragma once

#include <cstdint>
#include <vector>

#include "bits/evaluator.h"
#include "bits/function.h"
#include "bits/kernels.h"

namespace gatewright::bits {

/// A function compiled for Evaluator: instructions over blocks of 64 samples in scratch memory.
struct Program {
    std::vector<Lane> input_lanes;
    std::vector<Lane> output_lanes;
    std::vector<Instruction> code;
    std::vector<Line> constants;      ///< each value 64 times
    std::vector<Line> tables;         ///< each in the lane of its reader
    std::uint32_t scratch_lines = 0;  ///< of working memory
};

/// `function` is sound (verify()) and the lanes hold the types of its ports.
Program compile(const Function& function, std::vector<Lane> input_lanes,
                std::vector<Lane> output_lanes);

}  // namespace gatewright::bits
