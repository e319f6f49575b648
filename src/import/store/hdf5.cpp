#include "import/store/hdf5.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "import/store/hdf5_data.h"
#include "import/store/hdf5_file.h"
#include "import/store/hdf5_heaps.h"
#include "import/store/hdf5_object.h"
#include "import/store/hdf5_values.h"

namespace gatewright::store {

namespace {

constexpr std::size_t deepest = 64;

using Attributes = std::map<std::string, Hdf5Value>;

/// What has been read of an object that is still to be told as a group or a dataset.
struct Link {
    std::string name;
    std::uint64_t address;
};

class TreeReader {
  public:
    explicit TreeReader(const Hdf5File& file) : file_(file), heap_(file) {}

    Hdf5Group root(std::uint64_t address) { return group(Hdf5Object(file_, address), address, ""); }

  private:
    static bool is_group(const Hdf5Object& object) {
        using Kind = Hdf5MessageKind;
        return std::any_of(object.messages().begin(), object.messages().end(), [](const auto& m) {
            return m.kind == Kind::symbol_table || m.kind == Kind::link_info ||
                   m.kind == Kind::link || m.kind == Kind::group_info;
        });
    }

    Hdf5Group group(const Hdf5Object& object, std::uint64_t address, const std::string& path) {
        if (open_.size() == deepest) {
            file_.fail(fmt::format("groups lie within each other more than {} deep", deepest));
        }
        if (std::find(open_.begin(), open_.end(), address) != open_.end()) {
            file_.fail("a group contains itself");
        }
        open_.push_back(address);
        Hdf5Group out;
        out.attributes = attributes(object);
        for (const Link& link : links(object)) {
            const std::string below = path + "/" + link.name;
            file_.enter(below);
            file_.use_node();
            const Hdf5Object child(file_, link.address);
            if (is_group(child)) {
                add(out.groups, link.name, group(child, link.address, below));
            } else {
                Attributes notes = attributes(child);
                add(out.datasets, link.name, dataset(child, notes));
                if (!notes.empty()) {
                    out.dataset_attributes.emplace(link.name, std::move(notes));
                }
            }
            file_.enter(path);
        }
        for (const auto& [name, unused] : out.groups) {
            if (out.datasets.contains(name)) {
                file_.fail("two of its parts have one name");
            }
        }
        open_.pop_back();
        return out;
    }

    Hdf5Value dataset(const Hdf5Object& object, const Attributes& notes) {
        std::optional<Hdf5Cursor> type_message = object.find(Hdf5MessageKind::type);
        std::optional<Hdf5Cursor> space_message = object.find(Hdf5MessageKind::space);
        if (!type_message || !space_message) {
            file_.unsupported("something that is neither a group nor a dataset is not read");
        }
        const Hdf5Type type = read_hdf5_type(file_, *type_message);
        const Hdf5Space space = read_hdf5_space(file_, *space_message);
        const std::vector<std::byte> data = read_hdf5_data(file_, object, type, space);
        const auto note = notes.find("dtype");
        const Texts* name = note == notes.end() ? nullptr : std::get_if<Texts>(&note->second);
        return read_hdf5_elements(file_, heap_, type, space, data,
                                  name != nullptr && name->size() == 1 ? name->front() : "");
    }

    template <typename Value>
    void add(std::map<std::string, Value>& to, const std::string& name, Value value) {
        if (!to.emplace(name, std::move(value)).second) {
            file_.fail("two of its parts have one name");
        }
    }

    // Links.

    std::vector<Link> links(const Hdf5Object& object) {
        std::vector<Link> out;
        if (std::optional<Hdf5Cursor> table = object.find(Hdf5MessageKind::symbol_table)) {
            const std::uint64_t tree = table->address();
            const Hdf5LocalHeap names(file_, table->address());
            constexpr int kind = 0;
            visit_hdf5_tree_v1(
                file_, tree, kind, file_.length_size(),
                [&](Hdf5Cursor, std::uint64_t address) { add_symbols(names, address, out); });
        }
        for (const Hdf5Message& message : object.messages()) {
            if (message.kind == Hdf5MessageKind::link) {
                out.push_back(link(message.content));
            }
        }
        if (std::optional<Hdf5Cursor> info = object.find(Hdf5MessageKind::link_info)) {
            expect_version(*info, 0, "group");
            info->skip((info->number(1) & 1U) != 0 ? 8 : 0);
            const std::uint64_t heap_address = info->address();
            const std::uint64_t tree = info->address();
            if (heap_address != no_address) {
                Hdf5FractalHeap heap(file_, heap_address);
                constexpr int by_name = 5;
                visit_hdf5_tree_v2(file_, tree, by_name, [&](Hdf5Cursor record) {
                    record.skip(4);
                    out.push_back(link(heap.object(record)));
                });
            }
        }
        return out;
    }

    void add_symbols(const Hdf5LocalHeap& names, std::uint64_t address, std::vector<Link>& out) {
        constexpr const char* what = "table of a group";
        Hdf5Cursor head = file_.at(address, 8, what);
        head.expect("SNOD");
        expect_version(head, 1, what);
        head.skip(1);
        const std::uint64_t count = head.number(2);
        const std::uint64_t size = 24 + 2 * file_.address_size();
        Hdf5Cursor in = file_.at(address + 8, count * size, what);
        for (std::uint64_t i = 0; i < count; ++i) {
            const std::string_view name = names.text(in.address());
            const std::uint64_t object = in.address();
            constexpr std::uint64_t soft_link = 2;
            if (in.number(4) == soft_link) {
                file_.unsupported("links by name are not read");
            }
            in.skip(20);
            file_.use_memory(sizeof(Link) + name.size());
            out.push_back({hdf5_name(file_, name), object});
        }
    }

    Link link(Hdf5Cursor in) {
        expect_version(in, 1, "link");
        const std::uint64_t flags = in.number(1);
        const std::uint64_t kind = (flags & 8U) != 0 ? in.number(1) : 0;
        in.skip((flags & 4U) != 0 ? 8 : 0);
        in.skip((flags & 16U) != 0 ? 1 : 0);
        const std::uint64_t length = in.number(std::size_t{1} << (flags & 3U));
        const std::string_view name = in.text(length);
        if (kind != 0) {
            file_.unsupported("links by name, and into other files, are not read");
        }
        file_.use_memory(sizeof(Link) + length);
        return {hdf5_name(file_, name), in.address()};
    }

    // Attributes.

    Attributes attributes(const Hdf5Object& object) {
        Attributes out;
        for (const Hdf5Message& message : object.messages()) {
            if (message.kind == Hdf5MessageKind::attribute) {
                add_attribute(message.content, message.flags, out);
            }
        }
        if (std::optional<Hdf5Cursor> info = object.find(Hdf5MessageKind::attribute_info)) {
            expect_version(*info, 0, "list of attributes");
            info->skip((info->number(1) & 1U) != 0 ? 2 : 0);
            const std::uint64_t heap_address = info->address();
            const std::uint64_t tree = info->address();
            if (heap_address != no_address) {
                Hdf5FractalHeap heap(file_, heap_address);
                constexpr int by_name = 8;
                visit_hdf5_tree_v2(file_, tree, by_name, [&](Hdf5Cursor record) {
                    Hdf5Cursor flags = record;
                    flags.skip(8);
                    add_attribute(heap.object(record), flags.number(1), out);
                });
            }
        }
        return out;
    }

    void add_attribute(Hdf5Cursor in, std::uint64_t message_flags, Attributes& out) {
        const std::uint64_t version = in.number(1);
        if (version < 1 || version > 3) {
            file_.fail(fmt::format("version {} of an attribute is not known", version));
        }
        const std::uint64_t flags = in.number(1);
        // Bit 1 of a message's flags: the attribute as a whole lies elsewhere.
        if ((version > 1 && (flags & 3U) != 0) || (message_flags & 2U) != 0) {
            file_.unsupported("types and values shared among objects are not read");
        }
        const std::uint64_t name_size = in.number(2);
        const std::uint64_t type_size = in.number(2);
        const std::uint64_t space_size = in.number(2);
        in.skip(version == 3 ? 1 : 0);
        const std::size_t begin = in.position();
        const auto part = [&](std::uint64_t size) {
            const auto content = in.take(size);
            if (version == 1) {
                in.align(begin);
            }
            return Hdf5Cursor(file_, content, "attribute");
        };
        Hdf5Cursor name_part = part(name_size);
        const std::string name = hdf5_name(file_, name_part.text_to_zero());
        Hdf5Cursor type_part = part(type_size);
        Hdf5Cursor space_part = part(space_size);
        const Hdf5Type type = read_hdf5_type(file_, type_part);
        const Hdf5Space space = read_hdf5_space(file_, space_part);
        file_.use_memory(sizeof(Attributes::value_type) + 4 * sizeof(void*) + name.size());
        Hdf5Value value = read_hdf5_elements(file_, heap_, type, space, in.take(in.left()), "");
        if (!out.emplace(name, std::move(value)).second) {
            file_.fail("two attributes have one name");
        }
    }

    void expect_version(Hdf5Cursor& in, std::uint64_t version, const char* what) {
        if (const std::uint64_t found = in.number(1); found != version) {
            file_.unsupported(fmt::format("version {} of a {} is not read", found, what));
        }
    }

    const Hdf5File& file_;
    Hdf5GlobalHeap heap_;
    std::vector<std::uint64_t> open_;  ///< the groups from the root to the one that is read
};

/// The part of a path before its first slash; what follows stays in `path`.
std::string first_part(std::string_view& path) {
    const std::size_t end = std::min(path.find('/'), path.size());
    std::string out(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
    return out;
}

}  // namespace

const Hdf5Group* Hdf5Group::group(std::string_view path) const {
    const Hdf5Group* at = this;
    while (!path.empty() && at != nullptr) {
        const std::string name = first_part(path);
        if (name.empty()) {
            continue;
        }
        const auto found = at->groups.find(name);
        at = found == at->groups.end() ? nullptr : &found->second;
    }
    return at;
}

const Tensor* Hdf5Group::tensor(std::string_view path) const {
    const std::size_t slash = path.rfind('/');
    const bool direct = slash == std::string_view::npos;
    const Hdf5Group* parent = direct ? this : group(path.substr(0, slash));
    if (parent == nullptr) {
        return nullptr;
    }
    const auto found = parent->datasets.find(std::string(direct ? path : path.substr(slash + 1)));
    return found == parent->datasets.end() ? nullptr : std::get_if<Tensor>(&found->second);
}

const std::string* Hdf5Group::text(const std::string& name) const {
    const auto found = attributes.find(name);
    const Texts* texts = found == attributes.end() ? nullptr : std::get_if<Texts>(&found->second);
    return texts == nullptr || texts->size() != 1 ? nullptr : &texts->front();
}

Texts Hdf5Group::texts(const std::string& name) const {
    const auto named = [&](const std::string& full) -> const Texts* {
        const auto found = attributes.find(full);
        return found == attributes.end() ? nullptr : std::get_if<Texts>(&found->second);
    };
    if (const Texts* whole = named(name)) {
        return *whole;
    }
    Texts out;
    for (int i = 0;; ++i) {
        const Texts* part = named(fmt::format("{}{}", name, i));
        if (part == nullptr) {
            return out;
        }
        out.insert(out.end(), part->begin(), part->end());
    }
}

Hdf5Group read_hdf5(std::span<const std::byte> bytes, const std::string& file) {
    std::uint64_t root = 0;
    const Hdf5File source(bytes, file, root);
    return TreeReader(source).root(root);
}

}  // namespace gatewright::store
