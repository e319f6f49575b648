#include "flow/layer_registers.h"

#include <doctest/doctest.h>

#include "base/diagnostics.h"

namespace gatewright::flow {

TEST_CASE("a signal's name tells its layer") {
    CHECK(layer_of_signal("fc1_n12") == "fc1");
    CHECK(layer_of_signal("fc1_n12_r3") == "fc1");
    CHECK(layer_of_signal("fc1_n12_2") == "fc1");
    CHECK(layer_of_signal("fc1_n12_r3_2") == "fc1");
    CHECK(layer_of_signal("block_n2_conv_n7") == "block_n2_conv");
    for (const char* other : {"x", "fc1_n", "fc1_name", "_n3", "n12", "fc1_n12_LUT4_Z", "x_r1"}) {
        CAPTURE(other);
        CHECK(layer_of_signal(other) == "");
    }
}

// Flip-flops of fc1, of fc2 and of a port, and cells that are none.
constexpr const char* netlist = R"({"creator": "Yosys", "modules": {
  "other": {"cells": {"c": {"type": "LUT4", "port_directions": {"Z": "output"},
                            "connections": {"Z": [5]}}},
            "netnames": {"fc9_n1": {"hide_name": 0, "bits": [5]}}},
  "top": {
    "ports": {"x": {"direction": "input", "bits": [2, 3]}},
    "cells": {
      "ff": {"type": "TRELLIS_FF", "parameters": {"A": "1"},
             "port_directions": {"CLK": "input", "DI": "input", "Q": "output"},
             "connections": {"CLK": [9], "DI": [5], "Q": [6]}},
      "a": {"type": "LUT4", "port_directions": {"A": "input", "Z": "output"},
            "connections": {"A": [4], "Z": [5]}},
      "b": {"type": "LUT4", "port_directions": {"A": "input", "B": "input", "Z": "output"},
            "connections": {"A": [2], "B": ["0"], "Z": [4]}},
      "c": {"type": "TRELLIS_FF", "port_directions": {"DI": "input", "Q": "output"},
            "connections": {"DI": [3], "Q": [8]}},
      "d": {"type": "TRELLIS_FF", "port_directions": {"DI": "input", "Q": "output"},
            "connections": {"DI": [3], "Q": [11]}},
      "scope": {"type": "$scopeinfo", "port_directions": {}, "connections": {}}},
    "netnames": {"fc1_n3_r1": {"hide_name": 0, "bits": [6]},
                 "fc2_n4": {"hide_name": 0, "bits": [7, 8]},
                 "x": {"hide_name": 0, "bits": [2, 3]}}}}})";

TEST_CASE("flip-flops belong to the layer whose signal they hold") {
    CHECK(flip_flops_by_layer(netlist, "top", find_family("ecp5")) ==
          std::map<std::string, std::int64_t>{{"", 1}, {"fc1", 1}, {"fc2", 1}});
}

TEST_CASE("a netlist that is cut or lacks the module is refused") {
    const Family& family = find_family("ecp5");
    CHECK_THROWS_AS(flip_flops_by_layer(netlist, "middle", family), Failure);
    CHECK_THROWS_AS(flip_flops_by_layer(std::string(netlist, 400), "top", family), Failure);
    CHECK_THROWS_AS(flip_flops_by_layer("", "top", family), Failure);
}

}  // namespace gatewright::flow
