#include "cli/arrays.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace gatewright::cli {

void check_output_name(const std::string& file) {
    if (!file.ends_with(".npy") && !file.ends_with(".npz")) {
        throw Failure(Code::unknown_option, {file, "", "", ""},
                      "the output is neither .npy nor .npz",
                      "Give a name with one of these endings.");
    }
}

void write_arrays(const std::string& file, const NamedArrays& arrays) {
    if (file.ends_with(".npz")) {
        write_npz(file, arrays);
        return;
    }
    if (arrays.size() != 1) {
        throw Failure(
            Code::unknown_option, {file, "", "", ""},
            fmt::format("the model has {} outputs, and an .npy holds one array", arrays.size()),
            "Give a name that ends in .npz.");
    }
    write_npy(file, arrays.front().second);
}

Failure with_file(const Failure& failure, const std::string& file) {
    std::vector<Diagnostic> all = failure.diagnostics();
    for (Diagnostic& diagnostic : all) {
        if (diagnostic.code == Code::array_mismatch && diagnostic.where.file.empty()) {
            diagnostic.where.file = file;
        }
    }
    return Failure(std::move(all));
}

}  // namespace gatewright::cli
