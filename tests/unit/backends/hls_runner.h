#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "../temporary_folder.h"
#include "backends/hls/hls.h"

/// Compiles what the HLS printers print with g++ and runs it.
namespace gatewright::hls_runner {

using Frames = std::vector<std::vector<Int128>>;

inline std::string output_of(const std::string& command) {
    std::string text;
    if (FILE* pipe = popen(command.c_str(), "r")) {
        char part[256];
        while (fgets(part, sizeof part, pipe) != nullptr) {
            text += part;
        }
        pclose(pipe);
    }
    while (!text.empty() && text.back() == '\n') {
        text.pop_back();
    }
    return text;
}

/// The folder of a dialect's headers: GATEWRIGHT_AP_TYPES or its like, or what an installed hls4ml
/// brings. Empty if neither.
inline std::string headers_of(const backends::hls::Dialect& dialect) {
    const backends::hls::Headers& headers = dialect.headers;
    if (const char* folder = std::getenv(("GATEWRIGHT_" + std::string(headers.variable)).c_str())) {
        return folder;
    }
    const char* python = std::getenv("GATEWRIGHT_PYTHON");
    const std::string folder = output_of(
        std::string("'") + (python != nullptr ? python : "python3") +
        "' -c \"import importlib.util as u, os; s = u.find_spec('hls4ml'); print(os.path.join("
        "os.path.dirname(s.origin), 'templates', '" +
        std::string(headers.package) + "') if s else '')\" 2>/dev/null");
    return !folder.empty() && std::filesystem::exists(folder + "/" + std::string(headers.file))
               ? folder
               : "";
}

/// The program's outputs, frame by frame; `log` holds the compiler's messages if that failed.
inline Frames run(const design::Process& process, const backends::hls::Dialect& dialect,
                  const Frames& frames, std::string& log) {
    namespace fs = std::filesystem;
    const test::Folder temporary;
    const fs::path& folder = temporary.path();
    std::string sources;
    for (const backends::EmittedFile& file : backends::hls::emit(process, dialect)) {
        std::ofstream(folder / file.path) << file.text;
        if (file.path.ends_with(".cpp")) {
            sources += " '" + (folder / file.path).string() + "'";
        }
    }
    std::ofstream in(folder / "in.txt");
    for (const auto& frame : frames) {
        for (const Int128 value : frame) {
            in << to_string(value) << '\n';
        }
    }
    in.close();
    const std::string includes =
        dialect.headers.file.empty()
            ? std::string(" -Wall -Werror -Wno-tautological-compare -Wno-overflow")
            : " -isystem '" + headers_of(dialect) + "'";
    const std::string path = "'" + folder.string();
    const std::string compile =
        "g++ -O1 -Wno-unknown-pragmas -Wno-unused-variable -std=" + std::string(dialect.standard) +
        includes + sources + " -o " + path + "/program' > " + path + "/log' 2>&1";
    Frames out;
    if (std::system(compile.c_str()) != 0) {
        std::stringstream messages;
        messages << std::ifstream(folder / "log").rdbuf();
        log = messages.str().substr(0, 3000);
    } else {
        std::istringstream lines(output_of(path + "/program' < " + path + "/in.txt'"));
        for (std::string line; std::getline(lines, line);) {
            std::istringstream words(line);
            std::vector<Int128>& frame = out.emplace_back();
            for (std::string word; words >> word;) {
                parse_int128(word, frame.emplace_back());
            }
        }
    }
    return out;
}

/// The dialects that can be compiled here; prints a line for each that cannot.
inline std::vector<const backends::hls::Dialect*> usable_dialects() {
    std::vector<const backends::hls::Dialect*> out;
    for (const backends::hls::Dialect& dialect : backends::hls::dialects()) {
        if (!dialect.headers.file.empty() && headers_of(dialect).empty()) {
            std::printf("skipped: dialect %s, as %s was not found (pip install hls4ml)\n",
                        std::string(dialect.name).c_str(),
                        std::string(dialect.headers.file).c_str());
            continue;
        }
        out.push_back(&dialect);
    }
    return out;
}

}  // namespace gatewright::hls_runner
