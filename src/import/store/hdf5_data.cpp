#include "import/store/hdf5_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "import/store/hdf5_chunks.h"
#include "import/store/hdf5_filters.h"

namespace gatewright::store {

namespace {

using Bytes = std::vector<std::byte>;

/// Elements that no place of the file holds.
Bytes filled(const Hdf5File& file, const Hdf5Object& object, const Hdf5Type& type,
             std::uint64_t bytes) {
    std::span<const std::byte> value;
    if (std::optional<Hdf5Cursor> in = object.find(Hdf5MessageKind::fill_value)) {
        const std::uint64_t version = in->number(1);
        bool defined = true;
        if (version == 3) {
            defined = (in->number(1) & 0x20U) != 0;
        } else if (version == 1 || version == 2) {
            in->skip(2);
            defined = in->number(1) != 0 || version == 1;
        } else {
            file.fail(fmt::format("version {} of a fill value is not known", version));
        }
        // Versions before 3 may say -1 for a value that is not defined.
        const std::uint64_t size = defined ? in->number(4) : 0;
        if (version == 3 || size != 0xffffffff) {
            value = in->take(size);
        }
    } else if (std::optional<Hdf5Cursor> old = object.find(Hdf5MessageKind::old_fill_value)) {
        value = old->take(old->number(4));
    }
    file.use_memory(bytes);
    Bytes out(bytes);
    if (value.empty()) {
        return out;
    }
    if (value.size() != type.size) {
        file.fail("a fill value is of another size than the elements");
    }
    for (std::uint64_t i = 0; i < bytes; i += type.size) {
        std::memcpy(out.data() + i, value.data(), type.size);
    }
    return out;
}

/// Copies a chunk's elements to their places in the dataset; those outside of it are left out.
void place_chunk(const Hdf5ChunkLayout& layout, const Hdf5Chunk& chunk, std::uint64_t element,
                 const Bytes& from, Bytes& to) {
    const std::size_t axes = layout.extents.size();
    std::vector<std::uint64_t> first(axes);
    std::vector<std::uint64_t> count(axes);
    for (std::size_t i = 0; i < axes; ++i) {
        first[i] = chunk.place[i] * layout.chunk[i];
        count[i] = std::min(layout.chunk[i], layout.extents[i] - first[i]);
    }
    std::vector<std::uint64_t> at(axes);
    while (true) {
        std::uint64_t source = 0;
        std::uint64_t target = 0;
        for (std::size_t i = 0; i < axes; ++i) {
            source = source * layout.chunk[i] + at[i];
            target = target * layout.extents[i] + first[i] + at[i];
        }
        std::memcpy(to.data() + target * element, from.data() + source * element,
                    count.back() * element);
        std::size_t axis = axes - 1;  // the last one is copied at once
        while (axis > 0 && ++at[axis - 1] == count[axis - 1]) {
            at[axis - 1] = 0;
            --axis;
        }
        if (axis == 0) {
            return;
        }
    }
}

class DataReader {
  public:
    DataReader(const Hdf5File& file, const Hdf5Object& object, const Hdf5Type& type,
               const Hdf5Space& space)
        : file_(file),
          object_(object),
          type_(type),
          space_(space),
          filters_(file, object.find(Hdf5MessageKind::filters)) {}

    Bytes read() {
        if (object_.find(Hdf5MessageKind::external_files)) {
            file_.unsupported("elements that lie in another file are not read");
        }
        if (space_.count > (std::uint64_t{1} << 62) / type_.size) {
            file_.fail("it claims far more data than its size can hold");
        }
        bytes_ = space_.count * type_.size;
        std::optional<Hdf5Cursor> in = object_.find(Hdf5MessageKind::layout);
        if (!in) {
            file_.fail("a dataset does not say where its elements lie");
        }
        const std::uint64_t version = in->number(1);
        if (version < 3 || version > 5) {
            file_.unsupported(fmt::format("version {} of a layout is not read", version));
        }
        enum : std::uint64_t { compact = 0, contiguous = 1, chunked = 2 };
        const std::uint64_t kind = in->number(1);
        if (kind != chunked && !filters_.empty()) {
            file_.fail("a dataset that is not in chunks has filters");
        }
        switch (kind) {
            case compact:
                return copy(in->take(in->number(2)));
            case contiguous: {
                const std::uint64_t address = in->address();
                const std::uint64_t size = in->length();
                if (address == no_address || bytes_ == 0) {
                    return filled(file_, object_, type_, bytes_);
                }
                return copy(file_.at(address, size, "dataset").take(size));
            }
            case chunked:
                return version == 3 ? read_chunks(layout_3(*in)) : read_chunks(layout_4(*in));
            default:
                file_.unsupported(
                    "elements that are put together from other datasets are not "
                    "read");
        }
    }

  private:
    Bytes copy(std::span<const std::byte> from) {
        if (from.size() < bytes_) {
            file_.fail("a dataset has fewer bytes than its shape says");
        }
        file_.use_memory(bytes_);
        return {from.begin(), from.begin() + static_cast<std::ptrdiff_t>(bytes_)};
    }

    /// Takes the extents of a chunk; the last one is the size of an element.
    Hdf5ChunkLayout with_extents(Hdf5Cursor& in, std::uint64_t axes, std::uint64_t size) {
        Hdf5ChunkLayout out;
        out.filtered = !filters_.empty();
        if (axes != space_.shape.size() + 1 || axes < 2) {
            file_.fail("a dataset and its chunks differ in the number of axes");
        }
        out.chunk_bytes = type_.size;
        out.largest = space_.largest;
        for (const std::int64_t extent : space_.shape) {
            out.extents.push_back(static_cast<std::uint64_t>(extent));
            const std::uint64_t chunk = in.number(size);
            if (chunk == 0 || chunk > (std::uint64_t{1} << 48) / out.chunk_bytes) {
                file_.fail("a chunk has an impossible shape");
            }
            out.chunk.push_back(chunk);
            out.chunk_bytes *= chunk;
        }
        if (in.number(size) != type_.size) {
            file_.fail("a chunk's elements are of another size than the dataset's");
        }
        return out;
    }

    Hdf5ChunkLayout layout_3(Hdf5Cursor in) {
        const std::uint64_t axes = in.number(1);
        const std::uint64_t address = in.address();
        Hdf5ChunkLayout out = with_extents(in, axes, 4);
        out.address = address;
        return out;
    }

    Hdf5ChunkLayout layout_4(Hdf5Cursor in) {
        const std::uint64_t flags = in.number(1);
        const std::uint64_t axes = in.number(1);
        const std::uint64_t size = in.number(1);
        if (size == 0 || size > 8) {
            file_.fail("a chunk has an impossible shape");
        }
        Hdf5ChunkLayout out = with_extents(in, axes, size);
        if ((flags & 1U) != 0) {
            file_.unsupported("chunks that are packed except at the edges are not read");
        }
        using Index = Hdf5ChunkLayout::Index;
        switch (in.number(1)) {
            case 1:
                out.index = Index::single;
                out.single.size = out.chunk_bytes;
                if ((flags & 2U) != 0) {
                    out.single.size = in.length();
                    out.single.skipped = in.number(4);
                }
                break;
            case 2:
                out.index = Index::implicit;
                break;
            case 3:
                out.index = Index::fixed_array;
                in.skip(1);
                break;
            case 4:
                out.index = Index::growing_array;
                in.skip(5);
                break;
            case 5:
                out.index = Index::tree_v2;
                in.skip(6);
                break;
            default:
                file_.fail("the chunks of a dataset have no known index");
        }
        out.address = in.address();
        return out;
    }

    Bytes read_chunks(const Hdf5ChunkLayout& layout) {
        Bytes out = filled(file_, object_, type_, bytes_);
        std::set<std::vector<std::uint64_t>> places;
        visit_hdf5_chunks(file_, layout, [&](const Hdf5Chunk& chunk) {
            bool inside = true;
            for (std::size_t i = 0; i < chunk.place.size(); ++i) {
                if (chunk.place[i] >= layout.most_along(i)) {
                    file_.fail("a chunk lies outside of its dataset");
                }
                inside = inside && chunk.place[i] < layout.chunks_along(i);
            }
            if (!inside) {
                return;
            }
            file_.use_memory(sizeof(void*) * (8 + chunk.place.size()));
            if (!places.insert(chunk.place).second) {
                file_.fail("two chunks of a dataset have one place");
            }
            file_.use_memory(layout.chunk_bytes);
            const auto stored = file_.at(chunk.address, chunk.size, "chunk").take(chunk.size);
            place_chunk(layout, chunk, type_.size,
                        filters_.unpack(stored, chunk.skipped, layout.chunk_bytes), out);
        });
        return out;
    }

    const Hdf5File& file_;
    const Hdf5Object& object_;
    const Hdf5Type& type_;
    const Hdf5Space& space_;
    Hdf5Filters filters_;
    std::uint64_t bytes_ = 0;
};

}  // namespace

Bytes read_hdf5_data(const Hdf5File& file, const Hdf5Object& object, const Hdf5Type& type,
                     const Hdf5Space& space) {
    return DataReader(file, object, type, space).read();
}

}  // namespace gatewright::store
