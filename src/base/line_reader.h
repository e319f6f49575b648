#pragma once

#include <string>
#include <string_view>

namespace gatewright {

/// `name` in double quotes, with \" \\ and \n escaped: what LineReader::quoted reads back.
std::string quoted(std::string_view name);

/// Reads the text forms of the project, which hold one statement a line, from left to right.
class LineReader {
  public:
    explicit LineReader(std::string_view text) : text_(text) {}

    /// Goes to the next line; false at the end of the text.
    bool next_line();
    /// Whether the next line starts so.
    bool next_starts_with(std::string_view prefix) const { return text_.starts_with(prefix); }
    /// From 1; 0 before the first line.
    int number() const { return number_; }
    /// What is left of the line, spaces before it skipped.
    std::string_view rest();
    /// Leaves out so many characters of what is left.
    void skip(std::size_t count) { line_.remove_prefix(count); }
    /// A string that `quoted` wrote; false, and nothing read, if there is none or it has no end.
    bool quoted(std::string& out);

  private:
    std::string_view text_;
    std::string_view line_;
    int number_ = 0;
};

}  // namespace gatewright
