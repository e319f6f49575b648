#include "import/store/hdf5_object.h"

#include <fmt/format.h>

namespace gatewright::store {

namespace {

constexpr const char* what = "object header";

bool is_known(Hdf5MessageKind kind) {
    return static_cast<std::uint64_t>(kind) <= 0x18;
}

}  // namespace

Hdf5Object::Hdf5Object(const Hdf5File& file, std::uint64_t address) : file_(&file) {
    Hdf5Cursor in = file.from(address, what);
    std::vector<Block> blocks;
    version_1_ = in.number(1) == 1;
    if (version_1_) {
        in.skip(1);
        left_ = in.number(2);
        in.skip(4);
        const std::uint64_t size = in.number(4);
        read_messages(file.at(address + 16, size, what), blocks);
    } else {
        in = file.from(address, what);
        in.expect("OHDR");
        if (const std::uint64_t version = in.number(1); version != 2) {
            file.unsupported(fmt::format("version {} of an object header is not read", version));
        }
        const std::uint64_t flags = in.number(1);
        creation_order_ = (flags & 4U) != 0;
        in.skip((flags & 0x20U) != 0 ? 16 : 0);
        in.skip((flags & 0x10U) != 0 ? 4 : 0);
        const std::uint64_t size = in.number(std::size_t{1} << (flags & 3U));
        const std::size_t head = in.position();
        if (size > in.left()) {
            file.fail("an object header ends too early");
        }
        in = file.checked(address, head + size + 4, what);
        in.skip(head);
        read_messages(in, blocks);
    }
    // A block that leads to itself goes on until the file's share of work is used up.
    for (std::size_t i = 0; i < blocks.size(); ++i) {
        if (version_1_) {
            read_messages(file.at(blocks[i].address, blocks[i].size, what), blocks);
        } else {
            in = file.checked(blocks[i].address, blocks[i].size, what);
            in.expect("OCHK");
            read_messages(in, blocks);
        }
    }
    if (version_1_ && left_ != 0) {
        file.fail("an object header has fewer messages than it says");
    }
}

void Hdf5Object::read_messages(Hdf5Cursor in, std::vector<Block>& blocks) {
    const std::uint64_t head = version_1_ ? 8 : creation_order_ ? 6 : 4;
    // What is too short for a message is a gap.
    while (in.left() >= head && (!version_1_ || left_ > 0)) {
        const auto kind = static_cast<Hdf5MessageKind>(in.number(version_1_ ? 2 : 1));
        const std::uint64_t size = in.number(2);
        const std::uint64_t flags = in.number(1);
        in.skip(version_1_ ? 3 : creation_order_ ? 2 : 0);
        Hdf5Cursor content(*file_, in.take(size), "message of an object header");
        left_ -= version_1_ ? 1 : 0;
        if (kind == Hdf5MessageKind::continuation) {
            const std::uint64_t address = content.address();
            const std::uint64_t length = content.length();
            file_->use_memory(sizeof(Block));
            blocks.push_back({address, length});
            continue;
        }
        if (!is_known(kind) && (flags & 0x80U) != 0) {
            file_->unsupported("an object needs a part of the format that is not known");
        }
        file_->use_memory(sizeof(Hdf5Message));
        messages_.push_back({kind, flags, content});
    }
}

std::optional<Hdf5Cursor> Hdf5Object::find(Hdf5MessageKind kind) const {
    std::optional<Hdf5Cursor> out;
    for (const Hdf5Message& message : messages_) {
        if (message.kind != kind) {
            continue;
        }
        if (out) {
            file_->fail("an object header has two messages where there must be one");
        }
        constexpr std::uint64_t shared = 2;
        if ((message.flags & shared) != 0) {
            file_->unsupported("types and values shared among objects are not read");
        }
        out = message.content;
    }
    return out;
}

}  // namespace gatewright::store
