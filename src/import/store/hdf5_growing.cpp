#include <algorithm>
#include <bit>

#include "import/store/hdf5_chunks.h"

namespace gatewright::store {

namespace {

constexpr const char* what = "growing array of chunks";

/// An array that grows along one axis of the dataset: a first block of entries, then blocks that
/// double in size every second time; from some size on they hang on blocks of their own ("super
/// blocks"), and are in pages if they are long.
class GrowingArray {
  public:
    GrowingArray(const Hdf5File& file, const Hdf5ChunkLayout& layout,
                 const std::function<void(const Hdf5Chunk&)>& chunk)
        : file_(file), layout_(layout), chunk_(chunk) {
        const std::size_t size = 12 + 6 * file.length_size() + file.address_size() + std::size_t{4};
        Hdf5Cursor head = file.checked(layout.address, size, what);
        head.expect("EAHD");
        const std::uint64_t version = head.number(1);
        client_ = head.number(1);
        entry_size_ = head.number(1);
        bits_ = head.number(1);
        first_ = head.number(1);
        least_entries_ = head.number(1);
        least_pointers_ = head.number(1);
        const std::uint64_t page_bits = head.number(1);
        head.skip(4 * file.length_size());
        stored_ = head.length();
        head.skip(file.length_size());
        block_ = head.address();
        const std::uint64_t least = file.address_size() + (layout.filtered ? 5 : 0);
        if (version != 0 || client_ != (layout.filtered ? 1 : 0) || entry_size_ < least ||
            entry_size_ > least + (layout.filtered ? 7 : 0) || bits_ < 1 || bits_ > 64 ||
            page_bits > 32 || !std::has_single_bit(least_entries_) ||
            !std::has_single_bit(least_pointers_) || least_pointers_ < 2 ||
            std::countr_zero(least_entries_) > static_cast<int>(bits_)) {
            file.fail("a growing array of chunks has impossible parameters");
        }
        page_ = std::uint64_t{1} << page_bits;
        offset_size_ = (bits_ + 7) / 8;
        find_axes();
    }

    void visit() {
        if (block_ == no_address) {
            return;
        }
        const auto levels =
            bits_ - static_cast<std::uint64_t>(std::countr_zero(least_entries_)) + 1;
        // Levels whose data blocks the first block points at.
        const std::uint64_t direct =
            2 * static_cast<std::uint64_t>(std::countr_zero(least_pointers_));
        const std::uint64_t pointers = 2 * (least_pointers_ - 1);
        const std::uint64_t supers = levels > direct ? levels - direct : 0;
        const std::uint64_t size =
            front() + first_ * entry_size_ + (pointers + supers) * file_.address_size() + 4;
        Hdf5Cursor in = file_.checked(block_, size, what);
        check_front(in, "EAIB");
        entries(in, first_);
        for (std::uint64_t level = 0; level < levels && at_ < wanted_; ++level) {
            const std::uint64_t blocks = std::uint64_t{1} << std::min<std::uint64_t>(level / 2, 40);
            const std::uint64_t length = least_entries_
                                         << std::min<std::uint64_t>((level + 1) / 2, 40);
            if (level < direct) {
                for (std::uint64_t b = 0; b < blocks; ++b) {
                    data_block(in.address(), length, nullptr, 0);
                }
            } else {
                super_block(in.address(), blocks, length);
            }
        }
    }

  private:
    /// Axes in the array's order: the one that grows comes first.
    void find_axes() {
        std::uint64_t others = 1;
        for (std::size_t i = 0; i < layout_.extents.size(); ++i) {
            const bool grows = layout_.largest[i] == ~std::uint64_t{0};
            if (grows) {
                axes_.insert(axes_.begin(), i);
                continue;
            }
            axes_.push_back(i);
            const std::uint64_t along = layout_.most_along(i);
            if (along != 0 && others > (std::uint64_t{1} << 40) / along) {
                file_.fail("a dataset has more chunks than the file can hold");
            }
            others *= along;
        }
        const bool one =
            std::count(layout_.largest.begin(), layout_.largest.end(), ~std::uint64_t{0}) == 1;
        const std::uint64_t along = axes_.empty() ? 0 : layout_.chunks_along(axes_.front());
        if (!one || (others != 0 && along > (std::uint64_t{1} << 40) / others)) {
            file_.fail("a growing array of chunks does not fit its dataset");
        }
        wanted_ = std::min(stored_, along * others);
    }

    std::uint64_t front() const { return 6 + file_.address_size(); }
    void check_front(Hdf5Cursor& in, std::string_view signature) {
        in.expect(signature);
        if (in.number(1) != 0 || in.number(1) != client_ || in.address() != layout_.address) {
            file_.fail("a block belongs to another growing array of chunks");
        }
    }

    /// Which chunk the entry that comes next is for.
    std::vector<std::uint64_t> place() const {
        std::vector<std::uint64_t> out(axes_.size());
        std::uint64_t rest = at_;
        for (std::size_t i = axes_.size(); i-- > 1;) {
            const std::uint64_t along = layout_.most_along(axes_[i]);
            out[axes_[i]] = rest % along;
            rest /= along;
        }
        out[axes_.front()] = rest;
        return out;
    }
    /// Passes over entries that are not stored.
    void skip(std::uint64_t count) { at_ += std::min(count, wanted_ - at_); }

    void entries(Hdf5Cursor& in, std::uint64_t count) {
        for (std::uint64_t i = 0; i < count; ++i) {
            Hdf5Chunk found{{}, in.address(), layout_.chunk_bytes, 0};
            if (layout_.filtered) {
                found.size = in.number(entry_size_ - file_.address_size() - 4);
                found.skipped = in.number(4);
            }
            if (at_ >= wanted_) {
                continue;
            }
            if (found.address != no_address) {
                found.place = place();
                chunk_(found);
            }
            ++at_;
        }
    }

    /// `pages`: the bits of a super block's pages that are stored, those of this block from `bit`.
    void data_block(std::uint64_t address, std::uint64_t length, const std::byte* pages,
                    std::uint64_t bit) {
        if (address == no_address || at_ >= wanted_) {
            skip(length);
            return;
        }
        const std::uint64_t head = front() + offset_size_;
        if (length > file_.from(address, what).left() / entry_size_ && pages == nullptr) {
            file_.fail("a growing array of chunks is longer than the file");
        }
        if (length <= page_) {
            Hdf5Cursor in = file_.checked(address, head + length * entry_size_ + 4, what);
            check_front(in, "EADB");
            in.skip(offset_size_);
            entries(in, length);
            return;
        }
        if (pages == nullptr) {
            file_.fail("a growing array of chunks has pages where it can have none");
        }
        Hdf5Cursor in = file_.checked(address, head + 4, what);
        check_front(in, "EADB");
        std::uint64_t at = address + head + 4;
        for (std::uint64_t p = 0; p < length / page_ && at_ < wanted_; ++p, ++bit) {
            const bool stored =
                (std::to_integer<unsigned>(pages[bit / 8]) & (0x80U >> (bit % 8))) != 0;
            if (stored) {
                Hdf5Cursor page = file_.checked(at, page_ * entry_size_ + 4, what);
                entries(page, page_);
            } else {
                skip(page_);
            }
            at += page_ * entry_size_ + 4;
        }
    }

    void super_block(std::uint64_t address, std::uint64_t blocks, std::uint64_t length) {
        if (address == no_address) {
            skip(length > wanted_ / blocks ? wanted_ : blocks * length);
            return;
        }
        const std::uint64_t pages = length > page_ ? length / page_ : 0;
        const std::uint64_t left = file_.from(address, what).left();
        if (blocks > left / file_.address_size() || (pages + 7) / 8 > left / blocks) {
            file_.fail("a growing array of chunks is longer than the file");
        }
        const std::uint64_t bitmap = blocks * ((pages + 7) / 8);
        const std::uint64_t size =
            front() + offset_size_ + bitmap + blocks * file_.address_size() + 4;
        Hdf5Cursor in = file_.checked(address, size, what);
        check_front(in, "EASB");
        in.skip(offset_size_);
        const auto bits = in.take(bitmap);
        for (std::uint64_t b = 0; b < blocks && at_ < wanted_; ++b) {
            data_block(in.address(), length, pages == 0 ? nullptr : bits.data(), b * pages);
        }
    }

    const Hdf5File& file_;
    const Hdf5ChunkLayout& layout_;
    const std::function<void(const Hdf5Chunk&)>& chunk_;
    std::uint64_t client_ = 0;
    std::uint64_t entry_size_ = 0;
    std::uint64_t bits_ = 0;            ///< of the number of an entry
    std::uint64_t first_ = 0;           ///< entries in the first block
    std::uint64_t least_entries_ = 0;   ///< of a data block
    std::uint64_t least_pointers_ = 0;  ///< of a super block
    std::uint64_t page_ = 0;
    std::uint64_t offset_size_ = 0;
    std::uint64_t stored_ = 0;  ///< entries up to the last that was written
    std::uint64_t block_ = no_address;
    std::vector<std::size_t> axes_;
    std::uint64_t at_ = 0;  ///< the entry that comes next
    std::uint64_t wanted_ = 0;
};

}  // namespace

void visit_hdf5_growing_array(const Hdf5File& file, const Hdf5ChunkLayout& layout,
                              const std::function<void(const Hdf5Chunk&)>& chunk) {
    GrowingArray(file, layout, chunk).visit();
}

}  // namespace gatewright::store
