#include <fmt/format.h>

#include "backends/backend.h"
#include "backends/hls/hls.h"
#include "backends/verilog/testbench.h"
#include "backends/verilog/verilog.h"
#include "base/diagnostics.h"

namespace gatewright::backends {

namespace {

std::vector<std::string> takes_all(const Circuit&) {
    return {};
}

EmittedFiles emit_verilog(const Circuit& circuit) {
    const verilog::Options options{circuit.pipeline, circuit.clock_enable};
    EmittedFiles files = verilog::emit(circuit.design, options);
    files.push_back(verilog::testbench(verilog::interface_of(circuit.design, options)));
    return files;
}

/// The C++ printers share all but their dialect.
Backend hls_backend(const hls::Dialect& dialect) {
    const std::string folder = fmt::format("hls/{}", dialect.name);
    return {dialect.name, dialect.help, folder,
            [](const Circuit& circuit) {
                std::vector<std::string> faults;
                if (circuit.design.processes.size() != 1) {
                    faults.push_back(fmt::format("C++ is printed of one process; the design has {}",
                                                 circuit.design.processes.size()));
                }
                return faults;
            },
            [&dialect, folder](const Circuit& circuit) {
                EmittedFiles files =
                    hls::emit_with_scripts(circuit.design.processes.front(), dialect);
                for (EmittedFile& file : files) {
                    file.path.insert(0, folder + "/");
                }
                return files;
            }};
}

std::vector<Backend> rows() {
    std::vector<Backend> out = {
        {"verilog", "plain Verilog-2005 for simulators and synthesis, with a testbench", "verilog",
         &takes_all, &emit_verilog},
    };
    for (const hls::Dialect& dialect : hls::dialects()) {
        out.push_back(hls_backend(dialect));
    }
    return out;
}

}  // namespace

std::span<const Backend> catalogue() {
    static const std::vector<Backend> table = rows();
    return table;
}

const Backend& find(std::string_view name) {
    std::vector<std::string> names;
    for (const Backend& backend : catalogue()) {
        if (backend.name == name) {
            return backend;
        }
        names.emplace_back(backend.name);
    }
    const std::string meant = nearest(name, names);
    throw Failure(Code::unknown_option, {}, fmt::format("there is no backend '{}'", name),
                  fmt::format("{}`gatewright list backends` shows all.",
                              meant.empty() ? "" : fmt::format("Did you mean '{}'? ", meant)));
}

}  // namespace gatewright::backends
