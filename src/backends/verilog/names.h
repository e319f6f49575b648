#pragma once

#include <set>
#include <string>
#include <string_view>

namespace gatewright::backends::verilog {

/// Makes identifiers that are legal in Verilog-2005 and unique within one module.
class Names {
  public:
    /// `text` with illegal characters replaced, a letter in front and a number behind if taken.
    std::string unique(std::string_view text);

    /// The same for the three signals of a handshake: neither the name nor the name with "_valid"
    /// or
    /// "_ready" behind is taken.
    std::string unique_stream(std::string_view text);

  private:
    std::set<std::string> used_;
};

/// A legal identifier of about 100 characters at most that is no keyword; not unique by itself.
std::string legal_name(std::string_view text);

}  // namespace gatewright::backends::verilog
