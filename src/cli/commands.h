#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

/// The subcommands, one file each. Each adds itself to the program and runs from its callback.
namespace gatewright::cli {

void add_convert(CLI::App& program);
void add_predict(CLI::App& program);
void add_simulate(CLI::App& program);
void add_synthesize(CLI::App& program);
void add_verify(CLI::App& program);
void add_report(CLI::App& program);
void add_inspect(CLI::App& program);
void add_config(CLI::App& program);
void add_compare(CLI::App& program);
void add_explain(CLI::App& program);
void add_list(CLI::App& program);

/// Checks of an option's text, stricter than its conversion, which turns -1 into 2^64 - 1 and takes
/// NaN. Each returns what is wrong, or nothing.
std::string is_seed(const std::string& text);
std::string is_duration(const std::string& text);
std::string is_extra_depth(const std::string& text);

/// Shows how far a long step is, on a terminal only, once it has taken a second.
class Progress {
  public:
    explicit Progress(std::string what, std::int64_t total = 0);
    ~Progress();
    void operator()(std::int64_t done);

  private:
    std::string what_;
    std::int64_t total_;
    double started_;
    double shown_ = 0;
    bool terminal_;
};

/// Exit statuses.
inline constexpr int success = 0;
inline constexpr int failed = 1;
inline constexpr int wrong_usage = 2;

/// Set by a command whose work ended with a negative answer (a mismatch, say).
extern int exit_status;

}  // namespace gatewright::cli
