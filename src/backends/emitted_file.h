#pragma once

#include <string>
#include <vector>

namespace gatewright::backends {

/// One generated text file. The same design gives the same files, byte for byte.
struct EmittedFile {
    std::string path;  ///< relative, with '/', for example "verilog/digits.v"
    std::string text;
};
using EmittedFiles = std::vector<EmittedFile>;

}  // namespace gatewright::backends
