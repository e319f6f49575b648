#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <vector>

#include "import/layers/custom.h"

/// Rules of the user's own: what of a layer Python sees, in numbers and plain values. What users
/// work with is python/gatewright/custom.py.
namespace gatewright {

namespace nb = nanobind;

/// Calls a rule. What it raises becomes a Failure that names the layer and the rule.
void run_rule(const std::string& name, nb::handle rule, layers::CustomLayer& layer);

/// Names of all rules that are built in, of all readers.
std::vector<std::string> rule_names();

void bind_custom_layer(nb::module_& m);

}  // namespace gatewright
