#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The device families as the open tools know them, as data.
namespace gatewright::flow {

struct Family;

/// Counts of a netlist's cells.
struct CellCounts {
    std::int64_t lut = 0;        ///< look-up tables of two or more inputs
    std::int64_t lut1 = 0;       ///< one-input tables: inverters
    std::int64_t ff = 0;         ///< flip-flops
    std::int64_t carry = 0;      ///< pieces of carry chains
    std::int64_t lutram = 0;     ///< look-up tables used as memory or shift register
    std::int64_t dsp = 0;        ///< multipliers
    std::int64_t bram = 0;       ///< block memories
    std::int64_t lut_sites = 0;  ///< LUT sites taken by all of these: what has to fit the device
    std::map<std::string, std::int64_t> other;  ///< cells that the family's table does not know
    std::map<std::string, std::int64_t> cells;  ///< all cells by name

    void add(const Family& family, const std::string& cell, std::int64_t count);
};

/// A row of a family's table. A name that ends in '*' stands for all cells that start so; the
/// first row that fits counts.
struct CellRow {
    std::string_view name;
    std::int64_t CellCounts::* count;  ///< what it counts as; null for constants, buffers and the
                                       ///< multiplexers beside LUTs: no resource of their own
    int luts;                          ///< LUT sites that one such cell takes
};

struct Family {
    std::string_view name;         ///< as `--target` and reports name it
    std::string_view synthesis;    ///< Yosys command with the options it always gets
    std::string_view flatten;      ///< option that flattens; empty where that is the default
    std::string_view no_flatten;   ///< option that keeps the hierarchy; empty where default
    std::string_view no_dsp;       ///< option against multiplier cells; empty where default
    std::string_view use_dsp;      ///< option for multiplier cells; empty where default
    std::string_view no_bram;      ///< option against block memories
    std::string_view cell_models;  ///< Yosys' simulation models, relative to its share folder,
                                   ///< separated by spaces; empty: none that work
    std::span<const CellRow> cells;
    bool amd = false;  ///< has the primitives of rtl/gatewright_sum.v
};

std::span<const Family> families();

/// Throws Failure (family_unsupported) with the names that are known.
const Family& find_family(std::string_view name);

}  // namespace gatewright::flow
