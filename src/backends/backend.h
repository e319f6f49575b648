#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/emitted_file.h"
#include "design/design.h"
#include "design/machine.h"

/// Backends: what can be written from a design. Each is one row of catalogue.cpp.
namespace gatewright::backends {

/// What a backend is given.
struct Circuit {
    const design::Design& design;
    /// Where registers lie in the only process of a parallel design; backends that leave this to
    /// the vendor's tool do not look at it.
    std::optional<design::Pipeline> pipeline;
    bool clock_enable = false;
};

/// A printer. `emit` is pure: the same circuit gives the same files, byte for byte. It may count on
/// `validate` having found nothing.
struct Backend {
    std::string_view name;
    std::string_view help;
    std::string folder;  ///< where its files lie in a design folder
    /// What the backend cannot print of a circuit, one sentence each; empty: nothing.
    std::function<std::vector<std::string>(const Circuit&)> validate;
    /// All files, with paths from the design folder.
    std::function<EmittedFiles(const Circuit&)> emit;
};

/// All backends; "verilog" is the first.
std::span<const Backend> catalogue();

/// The backend of a name; throws Failure (unknown_option) with the nearest name.
const Backend& find(std::string_view name);

}  // namespace gatewright::backends
