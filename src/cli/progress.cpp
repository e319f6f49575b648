#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "cli/commands.h"

namespace gatewright::cli {

namespace {

double seconds() {
    using clock = std::chrono::steady_clock;
    return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

}  // namespace

Progress::Progress(std::string what, std::int64_t total)
    : what_(std::move(what)),
      total_(total),
      started_(seconds()),
      terminal_(::isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
    if (shown_ != 0) {
        fmt::print(stderr, "\r\033[K");
    }
}

void Progress::operator()(std::int64_t done) {
    const double now = seconds();
    if (!terminal_ || now - started_ < 1 || now - shown_ < 0.1) {
        return;
    }
    shown_ = now;
    if (total_ > 0) {
        fmt::print(stderr, "\r\033[K{}: {:.0f} %", what_,
                   100.0 * static_cast<double>(done) / static_cast<double>(total_));
    } else {
        fmt::print(stderr, "\r\033[K{} ...", what_);
    }
    std::fflush(stderr);
}

}  // namespace gatewright::cli
