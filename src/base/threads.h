#pragma once

#include <cstdint>
#include <functional>

namespace gatewright {

/// Calls work(i) for i = 0 .. count - 1, from at most `threads` threads at once, this one among
/// them. What one of them throws stops the rest and is thrown here.
void in_threads(std::int64_t count, int threads, const std::function<void(std::int64_t)>& work);

/// Of this machine that the process may use; at least 1.
int processors();

}  // namespace gatewright
