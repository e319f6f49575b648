#include <fmt/format.h>

#include "flow/place_and_route.h"
#include "flow/synthesis.h"
#include "project/commands.h"
#include "project/layer_cells.h"

namespace gatewright::project {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

ordered_json synthesize(const SynthesizeOptions& options) {
    const StoredDesign design = read_design(options.folder);
    flow::SynthesisJob job;
    job.files = verilog_files(options.folder, design);
    job.top = design.json.at("module").get<std::string>();
    job.family = options.target.empty() ? design.settings.target : options.target;
    job.family = job.family == "generic" ? "ecp5" : job.family;
    job.folder = options.folder / "reports" / "synthesis";
    job.timeout_seconds = options.timeout_seconds;
    job.dsp = false;  // so that the netlist can be simulated and compared with peers
    job.bram = false;
    for (const char* stale : {"synthesis.json", "place_and_route.json"}) {
        std::error_code error;
        fs::remove(options.folder / "reports" / stale, error);  // of another netlist
    }
    const flow::SynthesisResult result = flow::synthesize(job);
    ordered_json out;
    out["synthesis"] = flow::to_json(result);
    write_text(options.folder / "reports" / "synthesis.json", out["synthesis"].dump(1) + "\n");
    if (options.place_and_route) {
        flow::PlaceAndRouteJob pnr;
        pnr.synthesis = result;
        pnr.folder = options.folder / "reports" / "place_and_route";
        pnr.clock_period_ns = design.settings.clock_period_ns.value_or(10.0);
        pnr.timeout_seconds = options.timeout_seconds;
        out["place_and_route"] = flow::to_json(flow::place_and_route(pnr));
        write_text(options.folder / "reports" / "place_and_route.json",
                   out["place_and_route"].dump(1) + "\n");
    }
    if (options.by_layer) {
        job.folder = options.folder / "reports" / "synthesis_by_layer";
        out["synthesis"]["layers"] =
            cells_by_layer(translate(design.model, design.settings), result, job);
        write_text(options.folder / "reports" / "synthesis.json", out["synthesis"].dump(1) + "\n");
    }
    return out;
}

}  // namespace gatewright::project
