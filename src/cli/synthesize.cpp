#include <fmt/format.h>

#include "cli/commands.h"
#include "project/commands.h"

namespace gatewright::cli {

void add_synthesize(CLI::App& program) {
    auto* command = program.add_subcommand(
        "synthesize", "Map a design to a device family with Yosys, and place and route it");
    auto o = std::make_shared<project::SynthesizeOptions>();
    auto folder = std::make_shared<std::string>();
    command->add_option("DIR", *folder, "the design folder")->required();
    command->add_option("--target", o->target,
                        "device family; by default the design's own, else ecp5");
    command->add_flag("--place-and-route", o->place_and_route, "run nextpnr too");
    command->add_flag("!--no-layers", o->by_layer,
                      "leave out the figures of each layer, for which it is synthesised by itself: "
                      "takes half the time");
    command->add_option("--timeout", o->timeout_seconds, "seconds for each tool; 0: none")
        ->check(is_duration);
    command->callback([o, folder] {
        o->folder = *folder;
        Progress progress("synthesising");
        const auto json = project::synthesize(*o);
        const auto& s = json.at("synthesis");
        const auto& t = s.at("total");
        fmt::print("{} {}, {}: {} LUT, {} FF, {} carry, {} LUTRAM, {} DSP, {} BRAM\n",
                   s.at("tool").get<std::string>(), s.at("version").get<std::string>(),
                   s.at("family").get<std::string>(), t.at("lut").dump(), t.at("ff").dump(),
                   t.at("carry").dump(), t.at("lutram").dump(), t.at("dsp").dump(),
                   t.at("bram").dump());
        if (json.contains("place_and_route")) {
            const auto& p = json.at("place_and_route");
            fmt::print("{} {}, {}: Fmax {}\n", p.at("tool").get<std::string>(),
                       p.at("version").get<std::string>(), p.at("device").get<std::string>(),
                       p.at("fmax_mhz").is_null()
                           ? std::string("unknown (no path between registers)")
                           : fmt::format("{:.1f} MHz", p.at("fmax_mhz").get<double>()));
        }
    });
}

}  // namespace gatewright::cli
