#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// Whole files in and out of memory. Passes never touch the disk; importers, writers and the
/// command line do it here, so that a missing file or a full disk is one and the same message
/// everywhere.
namespace gatewright {

/// Largest file that is read at once, unless a caller says otherwise.
inline constexpr std::uint64_t default_file_limit = std::uint64_t{8} << 30;

/// The bytes of a file. Failure (file_missing) if it does not exist, is a folder, cannot be read or
/// is larger than `limit`; memory grows with what was really read.
std::vector<std::byte> read_file_bytes(const std::string& file,
                                       std::uint64_t limit = default_file_limit);

/// Writes or replaces a file, whole or not at all: until the last byte is written, what was there
/// stays (devices, pipes and links are written to in place). Failure (file_unwritable) if that does
/// not succeed.
void write_file_bytes(const std::string& file, std::span<const std::byte> bytes);

}  // namespace gatewright
