#include "base/line_reader.h"

namespace gatewright {

std::string quoted(std::string_view name) {
    std::string out = "\"";
    for (const char c : name) {
        if (c == '\n') {
            out += "\\n";
            continue;
        }
        if (c == '"' || c == '\\') {
            out += '\\';
        }
        out += c;
    }
    return out + '"';
}

bool LineReader::next_line() {
    if (text_.empty()) {
        return false;
    }
    const std::size_t end = text_.find('\n');
    line_ = text_.substr(0, end);
    text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 1);
    ++number_;
    return true;
}

std::string_view LineReader::rest() {
    while (!line_.empty() && (line_[0] == ' ' || line_[0] == '\t' || line_[0] == '\r')) {
        line_.remove_prefix(1);
    }
    return line_;
}

bool LineReader::quoted(std::string& out) {
    const std::string_view line = rest();
    if (line.empty() || line[0] != '"') {
        return false;
    }
    std::string text;
    std::size_t i = 1;
    for (; i < line.size() && line[i] != '"'; ++i) {
        const bool escaped = line[i] == '\\' && i + 1 < line.size();
        i += escaped ? 1 : 0;
        text += escaped && line[i] == 'n' ? '\n' : line[i];
    }
    if (i >= line.size()) {
        return false;
    }
    skip(i + 1);
    out = std::move(text);
    return true;
}

}  // namespace gatewright
