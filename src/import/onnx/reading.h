#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostics.h"
#include "import/onnx/model.h"

/// What the parts of the reader share. Internal to this folder.
namespace gatewright::onnx {

/// Files beside the model that hold weights. Only regular files in the model's folder or below it
/// are opened, after links are resolved.
class ExternalData {
  public:
    explicit ExternalData(std::string folder) : folder_(std::move(folder)) {}

    struct Request {
        std::string location;
        std::optional<std::uint64_t> offset;
        std::optional<std::uint64_t> length;  ///< nothing: to the end of the file
    };

    /// Exactly `needed` bytes. Throws std::runtime_error with the reason, for the caller to
    /// complete.
    std::vector<std::byte> read(const Request& request, std::uint64_t needed);

  private:
    struct File {
        std::filesystem::path path;
        std::uint64_t size = 0;
        std::uint64_t taken = 0;  ///< bytes handed out so far
    };
    File& open(const std::string& location);

    std::string folder_;
    std::map<std::string, File> files_;
};

/// One run of the reader: where its errors go, and its budgets.
class Reading {
  public:
    Reading(std::string file_name, std::string folder)
        : file(std::move(file_name)), external(std::move(folder)) {}

    std::string file;
    ExternalData external;
    std::vector<Diagnostic> notes;
    /// Elements that sparse tensors may still unfold to: they are the one thing in a file whose
    /// result is larger than what describes it.
    std::int64_t sparse_budget = std::int64_t{1} << 24;

    /// Collects an error; gives up (throws Failure) at the hundredth.
    void error(Code code, Location where, std::string message, std::string remedy = {});
    void note(Code code, Location where, std::string message);
    bool has_errors() const { return diagnostics_.has_errors(); }
    void throw_if_errors() const { diagnostics_.throw_if_errors(); }

    /// A name as it may stand in messages and files: checked to be printable UTF-8, else an error
    /// is added and the offending bytes are replaced.
    std::string text(const std::string& name, std::string_view what);

    Location location(std::string layer, std::string type, std::string attribute = {}) const {
        return {file, std::move(layer), std::move(type), std::move(attribute)};
    }

  private:
    Diagnostics diagnostics_;
};

/// Whether `text` is UTF-8 without control characters.
bool is_printable_utf8(std::string_view text);

/// "ai.onnx" is another spelling of the default domain "".
std::string normal_domain(const std::string& domain);

/// Orders the nodes so that each comes after those it needs, and checks that each value is defined
/// once and before use.
void order_nodes(Reading& reading, OnnxGraph& graph);

/// Refuses infinities in constants, save where they are a mask or a bound.
void check_infinities(Reading& reading, const OnnxGraph& graph);

/// Gives each layer a name of its own.
void name_layers(Reading& reading, OnnxGraph& graph);

}  // namespace gatewright::onnx
