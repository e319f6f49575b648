#include "import/store/hdf5_heaps.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace gatewright::store {

namespace {

/// Levels of a tree. Files of terabytes need five.
constexpr int deepest_tree = 32;

/// Bytes that hold every number up to this one.
std::size_t bytes_for(std::uint64_t largest) {
    return std::max<std::size_t>(1, (static_cast<std::size_t>(std::bit_width(largest)) + 7) / 8);
}

/// A B-tree of version 1, read from its root down. A level below must be one less than the level
/// above, so no path is longer than the root's level.
class TreeV1 {
  public:
    TreeV1(const Hdf5File& file, int kind, std::size_t key,
           const std::function<void(Hdf5Cursor, std::uint64_t)>& leaf)
        : file_(file), kind_(kind), key_(key), leaf_(leaf) {}

    void visit(std::uint64_t address, int level) {
        Hdf5Cursor head = file_.at(address, 8 + 2 * file_.address_size(), what);
        head.expect("TREE");
        const auto kind = static_cast<int>(head.number(1));
        const auto stored_level = static_cast<int>(head.number(1));
        const std::uint64_t entries = head.number(2);
        if (kind != kind_ || (level >= 0 && stored_level != level) || stored_level > deepest_tree) {
            file_.fail("a B-tree of version 1 has a node of the wrong kind or level");
        }
        const std::uint64_t step = key_ + file_.address_size();
        Hdf5Cursor in = file_.at(address + 8 + 2 * file_.address_size(), entries * step, what);
        for (std::uint64_t i = 0; i < entries; ++i) {
            const Hdf5Cursor key(file_, in.take(key_), what);
            const std::uint64_t child = in.address();
            if (stored_level == 0) {
                leaf_(key, child);
            } else {
                visit(child, stored_level - 1);
            }
        }
    }

  private:
    static constexpr const char* what = "node of a B-tree of version 1";
    const Hdf5File& file_;
    int kind_;
    std::size_t key_;
    const std::function<void(Hdf5Cursor, std::uint64_t)>& leaf_;
};

/// A B-tree of version 2. How many bytes its nodes take to count what is below them depends on how
/// many records can be there.
class TreeV2 {
  public:
    TreeV2(const Hdf5File& file, std::uint64_t address, int kind,
           const std::function<void(Hdf5Cursor)>& record)
        : file_(file), record_(record) {
        const std::size_t size = 22 + file.address_size() + file.length_size();
        Hdf5Cursor in = file.checked(address, size, what);
        in.expect("BTHD");
        const std::uint64_t version = in.number(1);
        kind_ = in.number(1);
        node_size_ = in.number(4);
        record_size_ = in.number(2);
        depth_ = in.number(2);
        in.skip(2);
        root_ = in.address();
        root_records_ = in.number(2);
        total_ = in.length();
        if (version != 0 || kind_ != static_cast<std::uint64_t>(kind)) {
            file.fail(fmt::format("a {} is of another kind than it must be", what));
        }
        if (depth_ > deepest_tree || record_size_ == 0 || node_size_ < overhead + record_size_) {
            file.fail(fmt::format("a {} has impossible sizes", what));
        }
        levels_.push_back({(node_size_ - overhead) / record_size_, 0, 0});
        levels_[0].below = levels_[0].most;
        count_size_ = bytes_for(levels_[0].most);
        for (std::uint64_t d = 1; d <= depth_; ++d) {
            const Level& under = levels_.back();
            const std::uint64_t pointer = file.address_size() + count_size_ + under.below_size;
            if (node_size_ < overhead + pointer) {
                file.fail(fmt::format("a {} has impossible sizes", what));
            }
            Level level;
            level.most = (node_size_ - overhead - pointer) / (record_size_ + pointer);
            // More than 2^56 only happens in files that are none.
            if (under.below >= (std::uint64_t{1} << 56) / (level.most + 1)) {
                file.fail(fmt::format("a {} has impossible sizes", what));
            }
            level.below = (level.most + 1) * under.below + level.most;
            level.below_size = bytes_for(level.below);
            levels_.push_back(level);
        }
    }

    void visit() {
        if (root_ != no_address) {
            node(root_, root_records_, depth_);
        }
        if (seen_ != total_) {
            file_.fail(fmt::format("a {} has {} records instead of {}", what, seen_, total_));
        }
    }

  private:
    struct Level {
        std::uint64_t most = 0;      ///< records in a node
        std::uint64_t below = 0;     ///< records in a node and all below it
        std::size_t below_size = 0;  ///< bytes that count them
    };
    static constexpr const char* what = "B-tree of version 2";
    static constexpr std::uint64_t overhead = 10;

    void node(std::uint64_t address, std::uint64_t records, std::uint64_t depth) {
        const Level& level = levels_[depth];
        if (records > level.most) {
            file_.fail(fmt::format("a {} has a node that is too full", what));
        }
        const std::size_t below_size = depth > 1 ? levels_[depth - 1].below_size : 0;
        const std::uint64_t pointer =
            depth == 0 ? 0 : file_.address_size() + count_size_ + below_size;
        const std::uint64_t size =
            overhead + records * record_size_ + (depth == 0 ? 0 : (records + 1) * pointer);
        Hdf5Cursor in = file_.checked(address, size, what);
        in.expect(depth == 0 ? "BTLF" : "BTIN");
        if (in.number(1) != 0 || in.number(1) != kind_) {
            file_.fail(fmt::format("a {} has a node of another kind", what));
        }
        const auto contents = in.take(records * record_size_);
        for (std::uint64_t i = 0; i <= records; ++i) {
            if (depth > 0) {
                const std::uint64_t child = in.address();
                const std::uint64_t count = in.number(count_size_);
                in.skip(below_size);
                node(child, count, depth - 1);
            }
            if (i < records) {
                ++seen_;
                record_(Hdf5Cursor(file_, contents.subspan(i * record_size_, record_size_), what));
            }
        }
    }

    const Hdf5File& file_;
    const std::function<void(Hdf5Cursor)>& record_;
    std::uint64_t kind_ = 0;
    std::uint64_t node_size_ = 0;
    std::uint64_t record_size_ = 0;
    std::uint64_t depth_ = 0;
    std::uint64_t root_ = 0;
    std::uint64_t root_records_ = 0;
    std::uint64_t total_ = 0;
    std::uint64_t seen_ = 0;
    std::size_t count_size_ = 0;
    std::vector<Level> levels_;
};

}  // namespace

Hdf5LocalHeap::Hdf5LocalHeap(const Hdf5File& file, std::uint64_t address) : file_(&file) {
    Hdf5Cursor in =
        file.at(address, 8 + 2 * file.length_size() + file.address_size(), "local heap");
    in.expect("HEAP");
    in.skip(4);
    size_ = in.length();
    in.length();
    address_ = in.address();
    file.at(address_, size_, "local heap");
}

std::string_view Hdf5LocalHeap::text(std::uint64_t offset) const {
    if (offset >= size_) {
        file_->fail("a name lies outside of its heap");
    }
    Hdf5Cursor in(*file_, file_->from(address_, "local heap").take(size_), "name");
    in.skip(offset);
    const std::string_view text = in.text_to_zero();
    file_->at(address_, text.size(), "name");  // counts as work: many names may share one text
    return text;
}

std::span<const std::byte> Hdf5GlobalHeap::object(std::uint64_t collection, std::uint64_t index) {
    auto [entry, fresh] = collections_.try_emplace(collection);
    auto& objects = entry->second;
    if (fresh) {
        constexpr const char* what = "global heap";
        const std::size_t head = 8 + file_->length_size();
        Hdf5Cursor in = file_->from(collection, what);
        in.expect("GCOL");
        if (in.number(1) != 1) {
            file_->unsupported("the version of a global heap is not read");
        }
        in.skip(3);
        const std::uint64_t size = in.length();
        if (size < head) {
            file_->fail("a global heap is too short");
        }
        in = file_->at(collection, size, what);
        in.skip(head);
        // What is too short for an object's own sizes is free, as is the object 0.
        while (in.left() >= 8 + file_->length_size()) {
            const std::uint64_t number = in.number(2);
            in.skip(6);
            const std::uint64_t length = in.length();
            if (number == 0) {
                break;
            }
            const auto content = in.take(length);
            in.skip(std::min<std::uint64_t>((8 - length % 8) % 8, in.left()));
            file_->use_memory(96);  // what the map takes for it
            if (!objects.emplace(number, content).second) {
                file_->fail("two objects of a global heap have one number");
            }
        }
    }
    const auto object = objects.find(index);
    if (object == objects.end()) {
        file_->fail("a text is missing in its global heap");
    }
    return object->second;
}

void visit_hdf5_tree_v1(const Hdf5File& file, std::uint64_t address, int kind, std::size_t key,
                        const std::function<void(Hdf5Cursor, std::uint64_t)>& leaf) {
    TreeV1(file, kind, key, leaf).visit(address, -1);
}

void visit_hdf5_tree_v2(const Hdf5File& file, std::uint64_t address, int kind,
                        const std::function<void(Hdf5Cursor)>& record) {
    TreeV2(file, address, kind, record).visit();
}

Hdf5FractalHeap::Hdf5FractalHeap(const Hdf5File& file, std::uint64_t address)
    : file_(&file), address_(address) {
    constexpr const char* what = "fractal heap";
    Hdf5Cursor in =
        file.checked(address, 26 + 12 * file.length_size() + 3 * file.address_size(), what);
    in.expect("FRHP");
    if (in.number(1) != 0) {
        file.unsupported("the version of a fractal heap is not read");
    }
    identifier_size_ = in.number(2);
    const std::uint64_t filters = in.number(2);
    if (filters != 0) {
        file.unsupported("a compressed fractal heap is not read");
    }
    checksums_ = (in.number(1) & 2U) != 0;
    const std::uint64_t longest = in.number(4);
    in.length();
    huge_tree_ = in.address();
    in.length();
    in.address();
    for (int i = 0; i < 8; ++i) {
        in.length();
    }
    width_ = in.number(2);
    start_size_ = in.length();
    max_direct_ = in.length();
    const std::uint64_t bits = in.number(2);
    in.skip(2);
    root_ = in.address();
    root_rows_ = in.number(2);
    const auto power = [](std::uint64_t n) { return n != 0 && (n & (n - 1)) == 0; };
    if (identifier_size_ < 4 || !power(width_) || !power(start_size_) || !power(max_direct_) ||
        start_size_ > max_direct_ || max_direct_ > (std::uint64_t{1} << 32) || bits == 0 ||
        bits > 64) {
        file.fail("a fractal heap has impossible sizes");
    }
    offset_size_ = (bits + 7) / 8;
    length_size_ = std::min(bytes_for(longest),
                            (static_cast<std::size_t>(std::bit_width(max_direct_) - 1) + 7) / 8);
    if (1 + offset_size_ + length_size_ > identifier_size_) {
        file.fail("a fractal heap has impossible sizes");
    }
}

std::uint64_t Hdf5FractalHeap::row_size(std::uint64_t row) const {
    return row <= 1 ? start_size_ : start_size_ << (row - 1);
}

std::uint64_t Hdf5FractalHeap::row_offset(std::uint64_t row) const {
    return row == 0 ? 0 : (start_size_ * width_) << (row - 1);
}

Hdf5FractalHeap::Place Hdf5FractalHeap::find(std::uint64_t offset) const {
    if (root_rows_ == 0) {
        return {root_, offset, start_size_};
    }
    const auto log2 = [](std::uint64_t n) {
        return static_cast<std::uint64_t>(std::bit_width(n)) - 1;
    };
    const std::uint64_t direct_rows = log2(max_direct_) - log2(start_size_) + 2;
    const std::uint64_t first_bits = log2(start_size_) + log2(width_);
    std::uint64_t block = root_;
    std::uint64_t rows = root_rows_;
    while (true) {
        if (rows > 64 - first_bits) {
            file_->fail("a fractal heap has impossible sizes");
        }
        const std::uint64_t row = offset < start_size_ * width_ ? 0 : log2(offset) - first_bits + 1;
        if (row >= rows) {
            file_->fail("an object lies outside of its fractal heap");
        }
        const std::uint64_t column = (offset - row_offset(row)) / row_size(row);
        constexpr const char* what = "block of a fractal heap";
        const std::uint64_t size =
            9 + file_->address_size() + offset_size_ + rows * width_ * file_->address_size();
        Hdf5Cursor in = file_->checked(block, size, what);
        in.expect("FHIB");
        if (in.number(1) != 0 || in.address() != address_) {
            file_->fail("a block belongs to another fractal heap");
        }
        in.skip(offset_size_ + (row * width_ + column) * file_->address_size());
        block = in.address();
        offset -= row_offset(row) + column * row_size(row);
        if (row < direct_rows) {
            return {block, offset, row_size(row)};
        }
        rows = log2(row_size(row)) - first_bits + 1;
    }
}

Hdf5Cursor Hdf5FractalHeap::huge(std::uint64_t identifier) {
    constexpr int kind = 1;
    if (!huge_read_) {
        huge_read_ = true;
        visit_hdf5_tree_v2(*file_, huge_tree_, kind, [&](Hdf5Cursor record) {
            const std::uint64_t address = record.address();
            const std::uint64_t length = record.length();
            huge_objects_.emplace(record.length(), std::pair(address, length));
        });
    }
    const auto found = huge_objects_.find(identifier);
    if (found == huge_objects_.end()) {
        file_->fail("an object is missing in its fractal heap");
    }
    return file_->at(found->second.first, found->second.second, "object of a fractal heap");
}

Hdf5Cursor Hdf5FractalHeap::object(Hdf5Cursor record) {
    constexpr const char* what = "object of a fractal heap";
    Hdf5Cursor in(*file_, record.take(identifier_size_), what);
    const std::uint64_t flags = in.number(1);
    const std::uint64_t kind = (flags >> 4) & 3U;
    if (flags >> 6 != 0 || kind == 3) {
        file_->fail("an object has an impossible place in its fractal heap");
    }
    if (kind == 2) {
        if (identifier_size_ > 17) {
            file_->unsupported("a fractal heap with long identifiers is not read");
        }
        return {*file_, in.take((flags & 15U) + 1), what};
    }
    if (kind == 1) {
        if (identifier_size_ - 1 >= file_->address_size() + file_->length_size()) {
            const std::uint64_t address = in.address();
            return file_->at(address, in.length(), what);
        }
        return huge(in.number(std::min(file_->length_size(), identifier_size_ - 1)));
    }
    const std::uint64_t offset = in.number(offset_size_);
    const std::uint64_t length = in.number(length_size_);
    const Place place = find(offset);
    const std::uint64_t head = 5 + file_->address_size() + offset_size_ + (checksums_ ? 4 : 0);
    if (place.offset < head || place.offset > place.size || length > place.size - place.offset) {
        file_->fail("an object does not lie in one block of its fractal heap");
    }
    Hdf5Cursor block = file_->from(place.address, what);
    block.expect("FHDB");
    if (block.number(1) != 0 || block.address() != address_) {
        file_->fail("a block belongs to another fractal heap");
    }
    if (place.address > no_address - place.offset) {
        file_->fail("an object lies outside of the file");
    }
    return file_->at(place.address + place.offset, length, what);
}

}  // namespace gatewright::store
