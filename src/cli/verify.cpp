#include <fmt/format.h>

#include "cli/commands.h"
#include "project/certificate.h"
#include "project/commands.h"

namespace gatewright::cli {

void add_verify(CLI::App& program) {
    auto* command = program.add_subcommand(
        "verify", "Prove and compare all levels of a design; writes certificate.json");
    auto o = std::make_shared<project::VerifyOptions>();
    auto folder = std::make_shared<std::string>();
    auto as_json = std::make_shared<bool>(false);
    command->add_option("DIR", *folder, "the design folder")->required();
    command->add_option("--samples", o->samples, "random inputs, to which corners are added")
        ->capture_default_str()
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{100000000}));
    command->add_option("--seed", o->seed, "of the random inputs and gaps")
        ->capture_default_str()
        ->check(is_seed);
    command->add_option("--timeout", o->timeout_seconds, "seconds for each tool; 0: none")
        ->check(is_duration);
    command->add_flag("--json", *as_json, "print the certificate without the adder graphs");
    command->callback([o, folder, as_json] {
        o->folder = *folder;
        auto certificate = project::verify(*o);
        certificate.erase("contractions");
        if (*as_json) {
            fmt::print("{}\n", certificate.dump(1));
        } else {
            fmt::print("{}", project::certificate_text(certificate));
        }
        exit_status = certificate.at("verdict") == "equal" ? success : failed;
    });
}

}  // namespace gatewright::cli
