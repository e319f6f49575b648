#include "flow/process.h"

#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/diagnostics.h"
#include "example.h"

namespace gatewright::flow {

using test::Folder;

TEST_CASE("run keeps both streams in the log, in order, and gives the exit code") {
    const Folder folder;
    const ProcessResult result =
        run({"sh", {"-c", "echo one; echo two >&2; echo $WORD; pwd; exit 3"}, {{"WORD", "a b"}}},
            {.directory = folder.path(), .log = folder / "log"});
    CHECK(result.exit_code == 3);
    CHECK_FALSE(result.ok());
    CHECK_FALSE(result.timed_out);
    CHECK(read_text(folder / "log") ==
          "one\ntwo\na b\n" + std::filesystem::canonical(folder.path()).string() + "\n");
    REQUIRE(result.last_lines.size() == 4);
    CHECK(result.last_lines[1] == "two");
}

TEST_CASE("arguments reach the program as they are") {
    const Folder folder;
    run({"printf", {"%s|", "a b", "$HOME", "*", "'\"", ""}, {}},
        {.directory = {}, .log = folder / "log"});
    CHECK(read_text(folder / "log") == "a b|$HOME|*|'\"||");
}

TEST_CASE("the program gets an empty input and the new value of a variable") {
    const Folder folder;
    const ProcessResult result =
        run({"sh", {"-c", "cat; echo $PATH"}, {{"PATH", "/usr/bin:/bin"}}},
            {.directory = {}, .log = folder / "log", .timeout_seconds = 20});
    CHECK(result.ok());
    CHECK(read_text(folder / "log") == "/usr/bin:/bin\n");
}

TEST_CASE("a time-out kills what the program started as well") {
    const Folder folder;
    const auto start = std::chrono::steady_clock::now();
    const ProcessResult result =
        run({"sh", {"-c", "sleep 60 & echo $! > grandchild; wait"}, {}},
            {.directory = folder.path(), .log = folder / "log", .timeout_seconds = 0.5});
    CHECK(result.timed_out);
    CHECK_FALSE(result.ok());
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(30));
    const pid_t grandchild = std::stoi(read_text(folder / "grandchild"));
    bool alive = true;
    for (int i = 0; i < 100 && alive; ++i) {
        // A killed process may wait for a moment to be collected: then it is a zombie.
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        const std::filesystem::path stat = "/proc/" + std::to_string(grandchild) + "/stat";
        alive = kill(grandchild, 0) == 0 && std::filesystem::exists(stat) &&
                read_text(stat).find(") Z") == std::string::npos;
    }
    CHECK_FALSE(alive);
}

TEST_CASE("a signal shows in the exit code, and CPU time is counted") {
    const Folder folder;
    CHECK(run({"sh", {"-c", "kill -TERM $$"}, {}}, {}).exit_code == 128 + SIGTERM);
    const ProcessResult busy =
        run({"sh", {"-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"}, {}}, {});
    CHECK(busy.ok());
    CHECK(busy.cpu_seconds > 0.001);
    CHECK(busy.cpu_seconds < 60);
}

TEST_CASE("programs and folders that do not exist are failures") {
    CHECK_THROWS_AS(run({"no_such_program_here", {}, {}}, {}), Failure);
    CHECK_THROWS_AS(run({"sh", {"-c", "true"}, {}}, {.directory = "/no/such/folder"}), Failure);
    CHECK_THROWS_AS(run({"sh", {"-c", "true"}, {}}, {.directory = {}, .log = "/dev/null/log"}),
                    Failure);
    CHECK_THROWS_AS(read_text("/no/such/file"), Failure);
    CHECK(find_program("no_such_program_here").empty());
    CHECK(find_program("sh").filename() == "sh");
}

TEST_CASE("capture returns more than a pipe holds") {
    ProcessResult result;
    const std::string text = capture({"seq", {"1", "100000"}, {}}, 60, result);
    CHECK(result.ok());
    CHECK(text.size() == 588895);
    CHECK(text.ends_with("99999\n100000\n"));
}

TEST_CASE("last_lines leaves blank lines out and gives the end of a long file") {
    const Folder folder;
    std::string text;
    for (int i = 0; i < 50'000; ++i) {
        text += std::to_string(i) + "\n \n";
    }
    write_text(folder / "deep/log", text);
    CHECK(last_lines(folder / "deep/log", 2) == std::vector<std::string>{"49998", "49999"});
    CHECK(last_lines(folder / "none", 2).empty());
}

}  // namespace gatewright::flow
