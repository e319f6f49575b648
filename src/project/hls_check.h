#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "project/folder.h"
#include "project/simulate.h"

/// C++ under hls/: compiled by g++ and compared with the tensor emulator.
namespace gatewright::project {

/// Integers as the programs under hls/ read and print them: a line a frame, port after port.
std::string decimal_text(const PortIntegers& integers, std::int64_t samples);

/// What one dialect's program gave.
struct HlsOutcome {
    std::string level;    ///< "hls/cpp"
    std::string skipped;  ///< why it was not run; empty: it was
    std::string tool;
    std::string version;
    std::int64_t mismatches = 0;  ///< integers that differ, lacking ones included
};

/// Compiles the program of each HLS backend of a design with g++ and runs it on `inputs`;
/// `expected` is what the tensor emulator gives for them. Builds lie in DIR/simulation/hls_DIALECT.
/// Where g++ or the dialect's headers are missing, the level is skipped and says what to install.
/// The headers are looked for in the folder that GATEWRIGHT_AP_TYPES (or its like) names, then in
/// the package hls4ml of the Python that GATEWRIGHT_PYTHON names, or of python3.
/// Throws Failure: tool_failed, tool_timed_out.
std::vector<HlsOutcome> check_hls(const std::filesystem::path& folder, const StoredDesign& design,
                                  const PortIntegers& inputs, const PortIntegers& expected,
                                  std::int64_t samples, double timeout_seconds);

}  // namespace gatewright::project
