#pragma once

#include <nlohmann/json.hpp>

#include "project/folder.h"
#include "project/function_check.h"
#include "project/witness.h"

/// The parts of certificate.json (docs/certificate.md says what each of them proves, and to whom).
/// 128-bit integers are written as strings.
namespace gatewright::project {

/// An adder graph with its matrix and all ranges.
nlohmann::ordered_json contraction_json(const schedule::BuiltContraction& contraction);

/// Ranges of all wires of the circuit's function and of all layers of the model. Its "unproven"
/// counts the wires that may be cut short where no operator asks for it.
nlohmann::ordered_json ranges_json(const Translation& translation);

/// The circuit's function, then a comment for each wire that holds an element of the model:
/// "# %70 is %4.0 element 2" for wire 70 and element 2 of the first result of the model's node 4.
std::string circuit_text(const Translation& translation);

/// Circuits of more wires are not written for the independent checker.
inline constexpr std::size_t most_written_wires = 500000;
/// Where the circuit's function lies in a design folder (circuit_text).
inline constexpr const char* circuit_file = "reports/circuit.txt";

/// Quantisers that may overflow. Integers are at the binary point of "type".
nlohmann::ordered_json overflow_json(const operators::CoreModel& model,
                                     const std::vector<Overflowing>& findings);

nlohmann::ordered_json functions_json(const FunctionCheck& functions);

/// The certificate in a few lines for people.
std::string certificate_text(const nlohmann::ordered_json& certificate);

}  // namespace gatewright::project
