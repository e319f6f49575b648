#include "flow/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

extern char** environ;

namespace gatewright::flow {

namespace {

constexpr std::size_t tail_lines = 30;
constexpr std::streamoff tail_bytes = 64 * 1024;

/// A file descriptor that closes itself.
class Descriptor {
  public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() { close(); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    int get() const { return fd_; }
    void close() {
        if (fd_ >= 0) {
            ::close(fd_);
            fd_ = -1;
        }
    }

  private:
    int fd_;
};

[[noreturn]] void cannot_start(const std::string& program, int error) {
    throw Failure(Code::tool_failed, in_file(program),
                  fmt::format("the program cannot be started: {}", std::strerror(error)));
}

std::vector<std::string> merged_environment(const Command& command) {
    std::vector<std::string> merged;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        const std::string_view name = text.substr(0, text.find('='));
        const bool replaced = std::any_of(command.environment.begin(), command.environment.end(),
                                          [&](const auto& pair) { return pair.first == name; });
        if (!replaced) {
            merged.emplace_back(text);
        }
    }
    for (const auto& [name, value] : command.environment) {
        merged.push_back(name + "=" + value);
    }
    return merged;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> out;
    out.reserve(strings.size() + 1);
    for (std::string& s : strings) {
        out.push_back(s.data());
    }
    out.push_back(nullptr);
    return out;
}

/// The child between fork and exec: system calls only, nothing that takes a lock.
[[noreturn]] void become(const char* program, char* const* argv, char* const* envp,
                         const char* directory, int output, int failure) {
    setpgid(0, 0);
    // Tools must not outlive an interrupted gatewright: their group gets no terminal signals.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int input = open("/dev/null", O_RDONLY);
    const bool ready = input >= 0 && dup2(input, 0) >= 0 && dup2(output, 1) >= 0 &&
                       dup2(output, 2) >= 0 && (*directory == '\0' || chdir(directory) == 0);
    if (ready) {
        execve(program, argv, envp);
    }
    const int error = errno;
    [[maybe_unused]] const ssize_t written = write(failure, &error, sizeof error);
    _exit(127);
}

double cpu_seconds(const rusage& usage) {
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Waits for `pid`, killing its group once the time is over.
ProcessResult wait_for(pid_t pid, double timeout_seconds) {
    using clock = std::chrono::steady_clock;
    const auto start = clock::now();
    auto pause = std::chrono::microseconds(500);
    ProcessResult result;
    int status = 0;
    rusage usage{};
    while (true) {
        const pid_t done = wait4(pid, &status, WNOHANG, &usage);
        if (done == pid || (done < 0 && errno != EINTR)) {
            break;
        }
        const std::chrono::duration<double> elapsed = clock::now() - start;
        if (!result.timed_out && timeout_seconds > 0 && elapsed.count() > timeout_seconds) {
            result.timed_out = true;
            kill(-pid, SIGKILL);
        }
        std::this_thread::sleep_for(pause);
        pause = std::min(pause * 2, std::chrono::microseconds(20'000));
    }
    if (result.timed_out) {
        kill(-pid, SIGKILL);  // what the program started after the first signal was sent
    }
    result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    result.cpu_seconds = cpu_seconds(usage);
    return result;
}

ProcessResult run_into(const Command& command, const RunOptions& options, int output) {
    const std::string program = find_program(command.program).string();
    if (program.empty()) {
        cannot_start(command.program, ENOENT);
    }
    std::vector<std::string> argv_text{command.program};
    argv_text.insert(argv_text.end(), command.arguments.begin(), command.arguments.end());
    std::vector<std::string> environment_text = merged_environment(command);
    const std::vector<char*> argv = pointers(argv_text);
    const std::vector<char*> envp = pointers(environment_text);
    const std::string directory = options.directory.string();

    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        cannot_start(program, errno);
    }
    Descriptor failure_read(ends[0]);
    Descriptor failure_write(ends[1]);
    const pid_t pid = fork();
    if (pid < 0) {
        cannot_start(program, errno);
    }
    if (pid == 0) {
        become(program.c_str(), argv.data(), envp.data(), directory.c_str(), output,
               failure_write.get());
    }
    setpgid(pid, pid);  // also here: the group must exist before it can be killed
    failure_write.close();
    int error = 0;
    if (read(failure_read.get(), &error, sizeof error) == sizeof error) {
        waitpid(pid, nullptr, 0);
        cannot_start(program, error);
    }
    return wait_for(pid, options.timeout_seconds);
}

}  // namespace

ProcessResult run(const Command& command, const RunOptions& options) {
    const std::string log = options.log.empty() ? "/dev/null" : options.log.string();
    if (!options.log.empty()) {
        write_text(options.log, "");
    }
    const Descriptor output(open(log.c_str(), O_WRONLY | O_CLOEXEC | O_APPEND));
    if (output.get() < 0) {
        throw Failure(Code::file_unwritable, in_file(log), std::strerror(errno));
    }
    ProcessResult result = run_into(command, options, output.get());
    if (!options.log.empty()) {
        result.last_lines = last_lines(options.log, tail_lines);
    }
    return result;
}

std::string capture(const Command& command, double timeout_seconds, ProcessResult& result) {
    // An unnamed temporary file: a pipe would have to be drained while the program runs.
    const std::filesystem::path folder = std::filesystem::temp_directory_path();
    const Descriptor output(open(folder.c_str(), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
    if (output.get() < 0) {
        throw Failure(Code::file_unwritable, in_file(folder), std::strerror(errno));
    }
    result = run_into(command, {.directory = {}, .log = {}, .timeout_seconds = timeout_seconds},
                      output.get());
    std::string text;
    std::array<char, 4096> block{};
    lseek(output.get(), 0, SEEK_SET);
    for (ssize_t n = 0; (n = read(output.get(), block.data(), block.size())) > 0;) {
        text.append(block.data(), static_cast<std::size_t>(n));
    }
    return text;
}

std::filesystem::path find_program(const std::string& name) {
    if (name.find('/') != std::string::npos) {
        return access(name.c_str(), X_OK) == 0 ? std::filesystem::absolute(name) : "";
    }
    const char* path = std::getenv("PATH");
    std::istringstream folders(path == nullptr ? "" : path);
    for (std::string folder; std::getline(folders, folder, ':');) {
        const std::filesystem::path candidate = std::filesystem::path(folder) / name;
        std::error_code error;
        if (std::filesystem::is_regular_file(candidate, error) &&
            access(candidate.c_str(), X_OK) == 0) {
            return std::filesystem::absolute(candidate);
        }
    }
    return {};
}

std::vector<std::string> last_lines(const std::filesystem::path& file, std::size_t count) {
    std::ifstream in(file, std::ios::binary | std::ios::ate);
    const std::streamoff size = in ? static_cast<std::streamoff>(in.tellg()) : 0;
    in.seekg(std::max<std::streamoff>(0, size - tail_bytes));
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) {
        if (line.find_first_not_of(" \t\r") != std::string::npos) {
            lines.push_back(line);
        }
    }
    if (lines.size() > count) {
        lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
    }
    return lines;
}

Location in_file(const std::filesystem::path& file) {
    return {file.string(), {}, {}, {}};
}

std::string read_text(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    if (!in) {
        throw Failure(Code::file_missing, in_file(file), "cannot be read");
    }
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void write_text(const std::filesystem::path& file, const std::string& text) {
    std::error_code error;
    if (file.has_parent_path()) {
        std::filesystem::create_directories(file.parent_path(), error);
    }
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out << text;
    out.close();
    if (!out) {
        throw Failure(Code::file_unwritable, in_file(file), "cannot be written");
    }
}

}  // namespace gatewright::flow
