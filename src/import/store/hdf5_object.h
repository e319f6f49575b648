#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "import/store/hdf5_file.h"

/// Object headers of HDF5: each group and each dataset is a list of messages that describe it.
namespace gatewright::store {

enum class Hdf5MessageKind : std::uint64_t {
    nothing = 0x00,
    space = 0x01,
    link_info = 0x02,
    type = 0x03,
    old_fill_value = 0x04,
    fill_value = 0x05,
    link = 0x06,
    external_files = 0x07,
    layout = 0x08,
    group_info = 0x0a,
    filters = 0x0b,
    attribute = 0x0c,
    continuation = 0x10,
    symbol_table = 0x11,
    attribute_info = 0x15,
};

struct Hdf5Message {
    Hdf5MessageKind kind;
    std::uint64_t flags;
    Hdf5Cursor content;
};

class Hdf5Object {
  public:
    /// Reads the object header at an address, of both versions, with its continuations.
    Hdf5Object(const Hdf5File& file, std::uint64_t address);

    const std::vector<Hdf5Message>& messages() const { return messages_; }
    /// The only message of a kind, if there is one.
    std::optional<Hdf5Cursor> find(Hdf5MessageKind kind) const;

  private:
    struct Block {
        std::uint64_t address;
        std::uint64_t size;
    };
    void read_messages(Hdf5Cursor in, std::vector<Block>& blocks);

    const Hdf5File* file_;
    bool version_1_ = false;
    bool creation_order_ = false;
    std::uint64_t left_ = 0;  ///< messages still to come, in version 1
    std::vector<Hdf5Message> messages_;
};

}  // namespace gatewright::store
