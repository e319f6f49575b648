#include "import/store/hdf5_chunks.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "import/store/hdf5_heaps.h"

namespace gatewright::store {

namespace {

using Visit = std::function<void(const Hdf5Chunk&)>;

void visit_tree_v1(const Hdf5File& file, const Hdf5ChunkLayout& layout, const Visit& chunk) {
    const std::size_t axes = layout.extents.size();
    constexpr int kind = 1;
    visit_hdf5_tree_v1(file, layout.address, kind, 8 + 8 * (axes + 1),
                       [&](Hdf5Cursor key, std::uint64_t address) {
                           Hdf5Chunk found;
                           found.address = address;
                           found.size = key.number(4);
                           found.skipped = key.number(4);
                           for (std::size_t i = 0; i < axes; ++i) {
                               const std::uint64_t first = key.number(8);
                               if (first % layout.chunk[i] != 0) {
                                   file.fail("a chunk does not lie on the grid of chunks");
                               }
                               found.place.push_back(first / layout.chunk[i]);
                           }
                           chunk(found);
                       });
}

void visit_tree_v2(const Hdf5File& file, const Hdf5ChunkLayout& layout, const Visit& chunk) {
    const int kind = layout.filtered ? 11 : 10;
    const std::size_t axes = layout.extents.size();
    visit_hdf5_tree_v2(file, layout.address, kind, [&](Hdf5Cursor record) {
        Hdf5Chunk found;
        found.address = record.address();
        found.size = layout.chunk_bytes;
        if (layout.filtered) {
            if (record.left() < 4 + 8 * axes || record.left() > 12 + 8 * axes) {
                file.fail("an index of chunks has records of an impossible size");
            }
            found.size = record.number(record.left() - 4 - 8 * axes);
            found.skipped = record.number(4);
        }
        for (std::size_t i = 0; i < axes; ++i) {
            found.place.push_back(record.number(8));
        }
        chunk(found);
    });
}

/// The places of the grid that the dataset may grow to, in row-major order.
class Grid {
  public:
    explicit Grid(const Hdf5ChunkLayout& layout) : layout_(layout) {
        place_.resize(layout.extents.size());
    }
    const std::vector<std::uint64_t>& place() const { return place_; }
    void next() {
        for (std::size_t i = place_.size(); i-- > 0;) {
            if (++place_[i] < layout_.most_along(i)) {
                return;
            }
            place_[i] = 0;
        }
    }

  private:
    const Hdf5ChunkLayout& layout_;
    std::vector<std::uint64_t> place_;
};

/// How many chunks the grid has; the file has some bytes for each.
std::uint64_t chunk_count(const Hdf5File& file, const Hdf5ChunkLayout& layout) {
    std::uint64_t count = 1;
    for (std::size_t i = 0; i < layout.extents.size(); ++i) {
        const std::uint64_t along = layout.most_along(i);
        if (along != 0 && count > (std::uint64_t{1} << 40) / along) {
            file.fail("a dataset has more chunks than the file can hold");
        }
        count *= along;
    }
    return count;
}

void visit_implicit(const Hdf5File& file, const Hdf5ChunkLayout& layout, const Visit& chunk) {
    const std::uint64_t count = chunk_count(file, layout);
    if (count > file.from(layout.address, "chunk").left() / layout.chunk_bytes) {
        file.fail("a dataset has more chunks than the file can hold");
    }
    Grid grid(layout);
    for (std::uint64_t i = 0; i < count; ++i, grid.next()) {
        chunk({grid.place(), layout.address + i * layout.chunk_bytes, layout.chunk_bytes, 0});
    }
}

/// An array of the chunks' addresses, in pages if it is long.
void visit_fixed_array(const Hdf5File& file, const Hdf5ChunkLayout& layout, const Visit& chunk) {
    constexpr const char* what = "array of chunks";
    const std::size_t head_size = 12 + file.length_size() + file.address_size();
    Hdf5Cursor head = file.checked(layout.address, head_size, what);
    head.expect("FAHD");
    const std::uint64_t version = head.number(1);
    const std::uint64_t client = head.number(1);
    const std::uint64_t entry_size = head.number(1);
    const std::uint64_t page_bits = head.number(1);
    const std::uint64_t count = head.length();
    const std::uint64_t block = head.address();
    const std::uint64_t least = file.address_size() + (layout.filtered ? 5 : 0);
    if (version != 0 || client != (layout.filtered ? 1 : 0) || entry_size < least ||
        entry_size > least + (layout.filtered ? 7 : 0) || page_bits > 32 ||
        count != chunk_count(file, layout)) {
        file.fail("an array of chunks does not fit its dataset");
    }
    if (block == no_address) {
        return;
    }
    if (count > file.from(block, what).left() / entry_size) {
        file.fail("a dataset has more chunks than the file can hold");
    }
    Grid grid(layout);
    const auto entries = [&](Hdf5Cursor in, std::uint64_t number) {
        for (std::uint64_t i = 0; i < number; ++i, grid.next()) {
            Hdf5Chunk found{grid.place(), in.address(), layout.chunk_bytes, 0};
            if (layout.filtered) {
                found.size = in.number(entry_size - file.address_size() - 4);
                found.skipped = in.number(4);
            }
            if (found.address != no_address) {
                chunk(found);
            }
        }
    };
    const std::uint64_t page = std::uint64_t{1} << page_bits;
    const std::uint64_t front = 6 + file.address_size();
    const auto check_front = [&](Hdf5Cursor& in) {
        in.expect("FADB");
        if (in.number(1) != 0 || in.number(1) != client || in.address() != layout.address) {
            file.fail("a block belongs to another array of chunks");
        }
    };
    if (count <= page) {
        Hdf5Cursor in = file.checked(block, front + count * entry_size + 4, what);
        check_front(in);
        entries(in, count);
        return;
    }
    const std::uint64_t pages = (count + page - 1) / page;
    const std::uint64_t bitmap_size = (pages + 7) / 8;
    Hdf5Cursor in = file.checked(block, front + bitmap_size + 4, what);
    check_front(in);
    const auto bitmap = in.take(bitmap_size);
    std::uint64_t at = block + front + bitmap_size + 4;
    for (std::uint64_t p = 0; p < pages; ++p) {
        const std::uint64_t number = std::min(page, count - p * page);
        const bool stored = (std::to_integer<unsigned>(bitmap[p / 8]) & (0x80U >> (p % 8))) != 0;
        if (stored) {
            entries(file.checked(at, number * entry_size + 4, what), number);
        } else {
            for (std::uint64_t i = 0; i < number; ++i) {
                grid.next();
            }
        }
        at += page * entry_size + 4;
    }
}

}  // namespace

void visit_hdf5_chunks(const Hdf5File& file, const Hdf5ChunkLayout& layout, const Visit& chunk) {
    if (layout.address == no_address ||
        std::find(layout.extents.begin(), layout.extents.end(), 0U) != layout.extents.end()) {
        return;
    }
    switch (layout.index) {
        case Hdf5ChunkLayout::Index::tree_v1:
            return visit_tree_v1(file, layout, chunk);
        case Hdf5ChunkLayout::Index::single: {
            Hdf5Chunk found = layout.single;
            found.address = layout.address;
            found.place.assign(layout.extents.size(), 0);
            return chunk(found);
        }
        case Hdf5ChunkLayout::Index::implicit:
            return visit_implicit(file, layout, chunk);
        case Hdf5ChunkLayout::Index::fixed_array:
            return visit_fixed_array(file, layout, chunk);
        case Hdf5ChunkLayout::Index::growing_array:
            return visit_hdf5_growing_array(file, layout, chunk);
        case Hdf5ChunkLayout::Index::tree_v2:
            return visit_tree_v2(file, layout, chunk);
    }
}

}  // namespace gatewright::store
