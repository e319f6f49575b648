#include "base/diagnostics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

namespace gatewright {

namespace {

constexpr auto catalogue = std::to_array<DiagnosticInfo>({
#define DIAGNOSTIC(id, name, severity, explanation, example) \
    {id, #name, Severity::severity, explanation, example},
#include "base/diagnostics.def"
#undef DIAGNOSTIC
});

std::string_view severity_name(Severity severity) {
    switch (severity) {
        case Severity::error:
            return "error";
        case Severity::warning:
            return "warning";
        case Severity::note:
            return "note";
    }
    return "error";
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const std::size_t substituted = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({substituted, row[j] + 1, diagonal + 1});
        }
    }
    return row[b.size()];
}

}  // namespace

std::span<const DiagnosticInfo> diagnostic_catalogue() {
    return catalogue;
}

const DiagnosticInfo& info(Code code) {
    return catalogue.at(static_cast<std::size_t>(code));
}

std::string Diagnostic::text() const {
    const DiagnosticInfo& row = info(code);
    std::string out = fmt::format("{} {}: ", severity_name(row.severity), row.code);
    if (!where.file.empty()) {
        out += where.file + ": ";
    }
    std::string place;
    if (!where.layer.empty()) {
        place = fmt::format("layer '{}'", where.layer);
    }
    if (!where.type.empty()) {
        place += place.empty() ? where.type : fmt::format(" ({})", where.type);
    }
    if (!where.attribute.empty()) {
        place += fmt::format("{}attribute '{}'", place.empty() ? "" : ", ", where.attribute);
    }
    if (!place.empty()) {
        out += place + ": ";
    }
    out += message;
    if (!remedy.empty()) {
        out += out.ends_with('.') ? " " : ". ";
        out += remedy;
    }
    return out;
}

void Diagnostics::add(Code code, Location where, std::string message, std::string remedy) {
    all_.push_back({code, std::move(where), std::move(message), std::move(remedy)});
}

bool Diagnostics::has_errors() const {
    return std::any_of(all_.begin(), all_.end(), [](const Diagnostic& d) {
        return info(d.code).severity == Severity::error;
    });
}

void Diagnostics::throw_if_errors() const {
    if (has_errors()) {
        throw Failure(all_);
    }
}

Failure::Failure(std::vector<Diagnostic> diagnostics) : diagnostics_(std::move(diagnostics)) {
    for (const Diagnostic& d : diagnostics_) {
        text_ += (text_.empty() ? "" : "\n") + d.text();
    }
}

Failure::Failure(Code code, Location where, std::string message, std::string remedy)
    : Failure(std::vector<Diagnostic>{
          {code, std::move(where), std::move(message), std::move(remedy)}}) {}

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
    std::string best;
    // A third of the letters, and always two; but never all of them: that is another word.
    std::size_t best_distance =
        std::min(std::max<std::size_t>(3, word.size() / 3 + 1), word.size());
    for (const std::string& candidate : candidates) {
        const std::size_t distance = edit_distance(word, candidate);
        if (distance < best_distance) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

}  // namespace gatewright
