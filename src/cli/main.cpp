#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <new>

#include "base/diagnostics.h"
#include "cli/commands.h"

namespace gatewright::cli {

int exit_status = success;

}  // namespace gatewright::cli

int main(int argc, char** argv) {
    using namespace gatewright;
    CLI::App program{
        "Gatewright translates trained neural networks to circuits that compute the same bits.\n"
        "\n"
        "  gatewright convert model.onnx -o design     the circuit, in Verilog\n"
        "  gatewright verify design                    proofs and comparisons of all levels\n"
        "  gatewright synthesize design --target ecp5  its size and speed\n"
        "  gatewright report design --html report.html\n",
        "gatewright"};
    program.require_subcommand(1);
    program.set_version_flag("--version", "gatewright 0.1.0");
    for (const auto add : {cli::add_convert, cli::add_predict, cli::add_simulate,
                           cli::add_synthesize, cli::add_verify, cli::add_report, cli::add_inspect,
                           cli::add_config, cli::add_compare, cli::add_explain, cli::add_list}) {
        add(program);
    }
    try {
        program.parse(argc, argv);
        return cli::exit_status;
    } catch (const CLI::Success& done) {
        return program.exit(done);  // --help, --version
    } catch (const CLI::ParseError& error) {
        program.exit(error);
        return cli::wrong_usage;
    } catch (const Failure& failure) {
        fmt::print(stderr, "{}\n", failure.what());
    } catch (const std::bad_alloc&) {
        fmt::print(stderr, "error: the memory of this machine does not suffice\n");
    } catch (const std::exception& error) {
        fmt::print(stderr, "error: a fault of Gatewright itself: {}\n", error.what());
    }
    return cli::failed;
}
