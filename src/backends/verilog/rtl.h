#pragma once

#include <string_view>

/// The files of the folder rtl/, as they are printed beside generated modules.
namespace gatewright::backends::verilog::rtl {

extern const std::string_view fifo;  ///< gatewright_fifo.v
extern const std::string_view sum;   ///< gatewright_sum.v

}  // namespace gatewright::backends::verilog::rtl
