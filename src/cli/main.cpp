#include <fcntl.h>
#include <fmt/format.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <system_error>

#include "base/diagnostics.h"
#include "cli/commands.h"

namespace gatewright::cli {

int exit_status = success;

namespace {

/// Keeps freed memory for the next large tensor. Given back to the system it comes again page by
/// page, all cleared: a third of the time that models of large images take.
void keep_freed_memory() {
#if defined(__GLIBC__)
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

/// Whether all that was printed has arrived; tells if not.
bool output_arrived() {
    std::cout.flush();  // CLI11 prints --help there
    if (std::cout && std::fflush(stdout) == 0 && std::ferror(stdout) == 0) {
        return true;
    }
    fmt::print(stderr, "error {}: standard output cannot be written: it is closed or full\n",
               info(Code::file_unwritable).code);
    return false;
}

/// A file opened later must not become the standard output of a caller who closed that one.
void occupy_closed_streams() {
    for (int stream = 0; stream < 3; ++stream) {
        if (::fcntl(stream, F_GETFD) == -1) {
            // Nothing can be written to it, so that what is lost is noticed.
            static_cast<void>(::open("/dev/null", O_RDONLY));
        }
    }
}

}  // namespace

}  // namespace gatewright::cli

int main(int argc, char** argv) {
    using namespace gatewright;
    cli::occupy_closed_streams();
    cli::keep_freed_memory();
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
        return cli::output_arrived() ? cli::exit_status : cli::failed;
    } catch (const CLI::Success& done) {
        const int status = program.exit(done);  // --help, --version
        return cli::output_arrived() ? status : cli::failed;
    } catch (const CLI::ParseError& error) {
        program.exit(error);
        return cli::wrong_usage;
    } catch (const Failure& failure) {
        fmt::print(stderr, "{}\n", failure.what());
    } catch (const std::bad_alloc&) {
        fmt::print(stderr, "error: the memory of this machine does not suffice\n");
    } catch (const std::system_error& error) {
        if (std::ferror(stdout) == 0 || cli::output_arrived()) {
            fmt::print(stderr, "error: a fault of Gatewright itself: {}\n", error.what());
        }
    } catch (const std::exception& error) {
        fmt::print(stderr, "error: a fault of Gatewright itself: {}\n", error.what());
    }
    return cli::failed;
}
