#include "passes/delay_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <vector>

#include "base/diagnostics.h"

namespace gatewright::passes {

namespace {

constexpr LineCell no_line{};
constexpr LineCell shift32{1, 32, 1, false};
constexpr LineCell ram16x4{4, 16, 6, true};

// As techlibs/*/arith_map*.v say.
constexpr Mapping ccu2c{2, true, 4, true};
constexpr Mapping alu{1, true, 2, true};  // of Gowin
constexpr Mapping sb_carry{0, false, 2, true};
constexpr Mapping cc_addf{1, false, 2, true};
constexpr Mapping behind_tables{1, true, 2, true};  // CARRY4, ARI1, arithmetic ALUTs
constexpr Mapping any_chain{1, true, 4, true};
constexpr Mapping gates{1, true, 1, false};  // standard cells: a sum of one bit is a gate

constexpr auto models = std::to_array<DelayModel>({
#define FAMILY(name, lut_inputs, lut, routing, carry, entry, reg, multiplier, fanout, inverts, \
               lone, ternary, margin, growth, mapping, line, help)                             \
    {#name,  help,    lut_inputs, lut,     routing, carry,  entry,   reg, multiplier,          \
     fanout, inverts, lone,       ternary, margin,  growth, mapping, line},
#include "../targets/families.def"
#undef FAMILY
});

}  // namespace

std::span<const DelayModel> delay_models() {
    return models;
}

const DelayModel& delay_model(std::string_view name) {
    std::vector<std::string> names;
    for (const DelayModel& model : models) {
        if (model.name == name) {
            return model;
        }
        names.emplace_back(model.name);
    }
    const std::string best = nearest(name, names);
    throw Failure(Code::unknown_target, Location{}, fmt::format("there is no target '{}'", name),
                  best.empty() ? fmt::format("Use one of {}", fmt::join(names, ", "))
                               : fmt::format("Did you mean '{}'?", best));
}

}  // namespace gatewright::passes
