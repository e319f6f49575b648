#include "flow/family.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/diagnostics.h"

namespace gatewright::flow {

namespace {

using Count = std::int64_t CellCounts::*;
constexpr Count lut = &CellCounts::lut;
constexpr Count lut1 = &CellCounts::lut1;
constexpr Count ff = &CellCounts::ff;
constexpr Count carry = &CellCounts::carry;
constexpr Count lutram = &CellCounts::lutram;
constexpr Count dsp = &CellCounts::dsp;
constexpr Count bram = &CellCounts::bram;
constexpr Count none = nullptr;

// LUT sites: a CCU2C of ECP5 and a CCU2 of Nexus are two LUT4 in carry mode, a WIDEFN9 is two, an
// ALU of Gowin, an ARI1 of PolarFire and an ALUT_ARITH of Cyclone V are one each; CARRY4 and
// SB_CARRY sit beside LUTs that are counted themselves, and so do the multiplexers F7 to F9, PFUMX
// and MUX2_LUT5. A distributed memory takes what its documentation says.
constexpr auto ecp5 = std::to_array<CellRow>({
    {"LUT4", lut, 1},
    {"CCU2C", carry, 2},
    {"TRELLIS_FF", ff, 0},
    {"TRELLIS_DPR16X4", lutram, 6},
    {"MULT18X18D", dsp, 0},
    {"ALU54B", dsp, 0},
    {"DP16KD", bram, 0},
    {"PDPW16KD", bram, 0},
    {"PFUMX", none, 0},
    {"L6MUX21", none, 0},
});

constexpr auto xilinx = std::to_array<CellRow>({
    {"LUT1", lut1, 1},        {"INV", lut1, 1},         {"LUT6_2", lut, 1},
    {"LUT?", lut, 1},         {"CARRY4", carry, 0},     {"CARRY8", carry, 0},
    {"FD*", ff, 0},           {"SRL16E", lutram, 1},    {"SRLC32E", lutram, 1},
    {"SRLC16E", lutram, 1},   {"RAM32M16", lutram, 8},  {"RAM64M8", lutram, 8},
    {"RAM32M", lutram, 4},    {"RAM64M", lutram, 4},    {"RAM32X1D", lutram, 2},
    {"RAM64X1D", lutram, 2},  {"RAM128X1D", lutram, 4}, {"RAM256X1S", lutram, 4},
    {"RAM128X1S", lutram, 2}, {"RAM64X1S", lutram, 1},  {"RAM32X1S", lutram, 1},
    {"DSP48*", dsp, 0},       {"RAMB*", bram, 0},       {"URAM*", bram, 0},
    {"MUXF*", none, 0},       {"BUFG", none, 0},        {"IBUF", none, 0},
    {"OBUF", none, 0},
});

constexpr auto gowin = std::to_array<CellRow>({
    {"LUT1", lut1, 1},
    {"LUT?", lut, 1},
    {"ALU", carry, 1},
    {"DFF*", ff, 0},
    {"RAM16S*", lutram, 4},
    {"MULT*", dsp, 0},
    {"DPX9B", bram, 0},
    {"DPB", bram, 0},
    {"SDP*", bram, 0},
    {"SPX9", bram, 0},
    {"SP", bram, 0},
    {"pROM*", bram, 0},
    {"MUX2_LUT?", none, 0},
    {"GND", none, 0},
    {"VCC", none, 0},
    {"IBUF", none, 0},
    {"OBUF", none, 0},
});

constexpr auto ice40 = std::to_array<CellRow>({
    {"SB_LUT4", lut, 1},
    {"SB_CARRY", carry, 0},
    {"SB_DFF*", ff, 0},
    {"SB_MAC16", dsp, 0},
    {"SB_RAM40_4K*", bram, 0},
    {"SB_SPRAM256KA", bram, 0},
    {"SB_GB", none, 0},
});

constexpr auto nexus = std::to_array<CellRow>({
    {"LUT4", lut, 1},
    {"INV", lut1, 1},
    {"WIDEFN9", lut, 2},
    {"CCU2", carry, 2},
    {"FD1P3*", ff, 0},
    {"DPR16X4", lutram, 6},
    {"MULT*", dsp, 0},
    {"PDP*16K*", bram, 0},
    {"PDPSC16K", bram, 0},
    {"PDP16K", bram, 0},
    {"DP16K", bram, 0},
    {"VHI", none, 0},
    {"VLO", none, 0},
    {"IB", none, 0},
    {"OB", none, 0},
});

constexpr auto intel_alm = std::to_array<CellRow>({
    {"MISTRAL_ALUT_ARITH", carry, 1},
    {"MISTRAL_ALUT*", lut, 1},
    {"MISTRAL_NOT", lut1, 1},
    {"MISTRAL_FF", ff, 0},
    {"MISTRAL_MLAB", lutram, 1},
    {"MISTRAL_MUL*", dsp, 0},
    {"MISTRAL_M10K", bram, 0},
    {"MISTRAL_CLKBUF", none, 0},
});

constexpr auto polarfire = std::to_array<CellRow>({
    {"CFG1", lut1, 1},
    {"CFG?", lut, 1},
    {"ARI1", carry, 1},
    {"SLE", ff, 0},
    {"RAM64x12", lutram, 12},
    {"MACC_PA*", dsp, 0},
    {"RAM1K20", bram, 0},
    {"CLKBUF", none, 0},
});

constexpr auto gatemate = std::to_array<CellRow>({
    {"CC_LUT1", lut1, 1},
    {"CC_LUT?", lut, 1},
    {"CC_L2T?", lut, 1},
    {"CC_MX*", lut, 1},
    {"CC_ADDF", carry, 1},
    {"CC_DFF", ff, 0},
    {"CC_MULT", dsp, 0},
    {"CC_BRAM_*", bram, 0},
    {"CC_BUFG", none, 0},
});

constexpr auto table = std::to_array<Family>({
    {"ecp5", "synth_ecp5", "", "-noflatten", "-nodsp", "", "-nobram", "ecp5/cells_sim.v", ecp5},
    {"xc7", "synth_xilinx -family xc7 -noiopad -noclkbuf", "-flatten", "", "-nodsp", "", "-nobram",
     "xilinx/cells_sim.v", xilinx, true},
    {"xcup", "synth_xilinx -family xcup -noiopad -noclkbuf", "-flatten", "", "-nodsp", "",
     "-nobram", "xilinx/cells_sim.v", xilinx, true},
    {"gowin", "synth_gowin -family gw2a -noiopads", "", "-noflatten", "-nodsp", "", "-nobram",
     "gowin/cells_sim.v", gowin},
    {"littlebee", "synth_gowin -family gw1n -noiopads", "", "-noflatten", "-nodsp", "", "-nobram",
     "gowin/cells_sim.v", gowin},
    {"ice40", "synth_ice40", "", "-noflatten", "", "-dsp", "-nobram", "ice40/cells_sim.v", ice40},
    {"nexus", "synth_nexus -noiopad", "", "-noflatten", "-nodsp", "", "-nobram",
     "nexus/cells_sim.v", nexus},
    {"intel_alm", "synth_intel_alm -noiopad -noclkbuf", "", "-noflatten", "-nodsp", "", "-nobram",
     "intel_alm/common/alm_sim.v intel_alm/common/dff_sim.v intel_alm/common/dsp_sim.v "
     "intel_alm/common/mem_sim.v intel_alm/common/misc_sim.v",
     intel_alm},
    // Yosys' model of the flip-flop SLE drives its output twice: it cannot be simulated.
    {"polarfire", "synth_microchip -family polarfire -noiopad -noclkbuf", "", "-noflatten",
     "-nodsp", "", "-nobram", "", polarfire},
    {"gatemate", "synth_gatemate -noiopad -noclkbuf", "", "-noflatten", "-nomult", "", "-nobram",
     "gatemate/cells_sim.v", gatemate},
});

/// '?' stands for one character, a '*' at the end for any.
bool fits(std::string_view pattern, std::string_view name) {
    if (pattern.ends_with('*')) {
        pattern.remove_suffix(1);
        if (name.size() < pattern.size()) {
            return false;
        }
        name = name.substr(0, pattern.size());
    }
    return pattern.size() == name.size() &&
           std::equal(pattern.begin(), pattern.end(), name.begin(),
                      [](char p, char c) { return p == '?' || p == c; });
}

}  // namespace

std::span<const Family> families() {
    return table;
}

const Family& find_family(std::string_view name) {
    std::vector<std::string> names;
    for (const Family& family : table) {
        if (family.name == name) {
            return family;
        }
        names.emplace_back(family.name);
    }
    throw Failure(Code::family_unsupported, Location{},
                  fmt::format("'{}' is no family that can be synthesised", name),
                  fmt::format("Use one of {}", fmt::join(names, ", ")));
}

void CellCounts::add(const Family& family, const std::string& cell, std::int64_t count) {
    if (cell == "$scopeinfo") {
        return;  // a note about names, not hardware
    }
    cells[cell] += count;
    const auto row = std::find_if(family.cells.begin(), family.cells.end(),
                                  [&](const CellRow& r) { return fits(r.name, cell); });
    if (row == family.cells.end()) {
        other[cell] += count;
        return;
    }
    lut_sites += row->luts * count;
    if (row->count != nullptr) {
        this->*row->count += count;
    }
}

}  // namespace gatewright::flow
