#pragma once

#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Diagnostics: every message a user can meet has a row in diagnostics.def. A stage collects all of
/// its errors in a Diagnostics and throws one Failure at its end; nothing below src/cli prints.
namespace gatewright {

enum class Severity { error, warning, note };

/// One row of the catalogue (diagnostics.def).
struct DiagnosticInfo {
    std::string_view code;  ///< for example "GW0201", stable for ever
    std::string_view name;  ///< for example "unsupported-operator"
    Severity severity;
    std::string_view explanation;  ///< what it means and what to do, for `gatewright explain`
    std::string_view example;      ///< a command line that provokes it; a test runs each one
};

/// The codes as enumerators, in the order of the catalogue.
enum class Code {
#define DIAGNOSTIC(id, name, severity, explanation, example) name,
#include "base/diagnostics.def"
#undef DIAGNOSTIC
};

std::span<const DiagnosticInfo> diagnostic_catalogue();
const DiagnosticInfo& info(Code code);

/// Where something in the user's model comes from. It travels with each node through all passes.
struct Location {
    std::string file;       ///< the file as the user named it
    std::string layer;      ///< the layer's name or path in the model
    std::string type;       ///< the framework's class or operator, for example "Gemm"
    std::string attribute;  ///< the attribute at fault; empty where it is the whole layer

    bool operator==(const Location&) const = default;
};

/// One message.
struct Diagnostic {
    Code code;
    Location where;
    std::string message;  ///< what is wrong, in one sentence
    std::string remedy;   ///< what to write or do instead; may be empty

    /// "error GW0201: model.onnx: layer 'fc1' (Gemm), attribute 'transB': message. remedy"
    std::string text() const;
};

/// Collects the messages of one stage.
class Diagnostics {
  public:
    void add(Code code, Location where, std::string message, std::string remedy = {});

    bool has_errors() const;
    const std::vector<Diagnostic>& all() const { return all_; }

    /// Throws Failure with everything collected if there is an error among it.
    void throw_if_errors() const;

  private:
    std::vector<Diagnostic> all_;
};

/// Thrown at the end of a stage that found errors; carries all of its messages.
class Failure : public std::exception {
  public:
    explicit Failure(std::vector<Diagnostic> diagnostics);
    Failure(Code code, Location where, std::string message, std::string remedy = {});

    const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }
    const char* what() const noexcept override { return text_.c_str(); }

  private:
    std::vector<Diagnostic> diagnostics_;
    std::string text_;
};

/// The candidate nearest to `word` by edit distance if it is near enough to be a misspelling, else
/// an empty string.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace gatewright
