#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/diagnostics.h"

/// Running other programs. A command is an argument vector: no shell ever sees it.
namespace gatewright::flow {

/// What to run. `program` is a path or a name that is looked up on PATH.
struct Command {
    std::string program;
    std::vector<std::string> arguments;
    std::vector<std::pair<std::string, std::string>> environment;  ///< added to the caller's
};

/// How to run it.
struct RunOptions {
    std::filesystem::path directory{};  ///< working directory; empty: the caller's
    std::filesystem::path log{};        ///< receives stdout and stderr, interleaved; empty: dropped
    double timeout_seconds = 0;         ///< of wall-clock time; 0: none
};

/// What came of it.
struct ProcessResult {
    int exit_code = 0;  ///< 128 + signal where a signal ended the program
    bool timed_out = false;
    double cpu_seconds = 0;               ///< user and system time, waited-for children included
    std::vector<std::string> last_lines;  ///< of the log, at most 30

    bool ok() const { return exit_code == 0 && !timed_out; }
};

/// Runs a program to its end, with /dev/null as its input and in a process group of its own. On
/// time-out the whole group is killed. Throws Failure (tool_failed) if the program cannot be
/// started; a non-zero exit is for the caller to judge.
ProcessResult run(const Command& command, const RunOptions& options);

/// As run(), returning everything that the program wrote (stdout and stderr); for short answers
/// such as a version. `result` receives the rest.
std::string capture(const Command& command, double timeout_seconds, ProcessResult& result);

/// The file that a name stands for: itself if it holds a slash, else the first executable of that
/// name on PATH; empty if there is none.
std::filesystem::path find_program(const std::string& name);

/// The last `count` lines of a text file that are not blank; empty if it cannot be read.
std::vector<std::string> last_lines(const std::filesystem::path& file, std::size_t count);

/// A place that is a file as a whole.
Location in_file(const std::filesystem::path& file);

/// The whole content of a file; throws Failure (file_missing) if it cannot be read.
std::string read_text(const std::filesystem::path& file);

/// Writes a file, making its folder first; throws Failure (file_unwritable) if that fails.
void write_text(const std::filesystem::path& file, const std::string& text);

}  // namespace gatewright::flow
