#include "import/torch/torch_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "import/store/archive.h"

namespace gatewright::torch {

namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view tensor_calls[] = {
    "torch._utils._rebuild_tensor",        "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",     "torch._utils._rebuild_parameter",
    "torch._tensor._rebuild_from_type_v2", "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter",        "torch.nn.parameter.Buffer",
};

/// Calls whose first argument is the tensor; up to torch 0.4 that was the class itself.
bool wraps_tensor(std::string_view call) {
    return call.starts_with("torch._utils._rebuild_parameter") ||
           call.starts_with("torch.nn.parameter.");
}

std::string_view last_name(std::string_view global) {
    const std::size_t dot = global.rfind('.');
    return dot == std::string_view::npos ? global : global.substr(dot + 1);
}

}  // namespace

bool is_archive(std::span<const std::byte> bytes) {
    return bytes.size() >= 4 && std::memcmp(bytes.data(), "PK\3\4", 4) == 0;
}

TorchFile::TorchFile(std::vector<std::byte> bytes, std::string file,
                     const layers::ImportOptions& options)
    : file_(std::move(file)) {
    if (is_archive(bytes)) {
        read_archive(std::move(bytes), options);
    } else {
        read_plain(std::move(bytes), options);
    }
}

void TorchFile::malformed(std::string message, const std::string& layer) const {
    throw Failure(Code::store_malformed, {file_, layer, "", ""}, std::move(message),
                  "Save the file again.");
}

void TorchFile::read_archive(std::vector<std::byte> bytes, const layers::ImportOptions& options) {
    const store::Archive archive(std::move(bytes), file_);
    std::string root;
    bool found = false;
    for (const std::string& name : archive.names()) {
        const std::size_t slash = name.find('/');
        if (slash != std::string::npos && name.substr(slash) == "/data.pkl") {
            root = name.substr(0, slash + 1);
            found = true;
        }
    }
    if (!found) {
        malformed("it is a zip archive without data.pkl, so nothing that torch.save wrote");
    }
    if (archive.has(root + "constants.pkl")) {
        throw Failure(Code::unsupported_form, {file_, "", "", ""},
                      "it is a TorchScript archive, which holds code",
                      "Export the model with torch.export.save (.pt2).");
    }
    if (archive.has(root + "byteorder")) {
        const std::string order = archive.read_text(root + "byteorder");
        if (order != "little" && order != "big") {
            malformed(fmt::format("its byte order is '{}'", order.substr(0, 20)));
        }
        big_endian_ = order == "big";
    }
    pickle_ = read_pickle(archive.read(root + "data.pkl"), file_, options);
    for (const PickleValue& value : pickle_.values) {
        if (value.kind != Kind::persistent) {
            continue;
        }
        const auto [key, type] = storage_id(value);
        if (!storages_.contains(key)) {
            storages_[key] = {type, archive.read(root + "data/" + key)};
        }
    }
}

void TorchFile::read_plain(std::vector<std::byte> bytes, const layers::ImportOptions& options) {
    // Pickles: a magic number, a version, the writer's machine, the content, the storages' keys;
    // behind them the storages, each an extent and its elements.
    std::span<const std::byte> rest(bytes);
    const auto next = [&]() {
        Pickle pickle = read_pickle(rest, file_, options);
        rest = rest.subspan(pickle.size);
        return pickle;
    };
    // The magic number has ten bytes; the second pickle is the version.
    constexpr unsigned char magic[] = {0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                       0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    const bool known =
        rest.size() > 2 + sizeof(magic) && std::memcmp(rest.data() + 2, magic, sizeof(magic)) == 0;
    if (!known) {
        malformed("it is no file of torch.save");
    }
    next();
    const Pickle version = next();
    if (version.at(version.root).kind != Kind::integer ||
        version.at(version.root).integer != 1001) {
        malformed("its version of torch.save's format is not 1001");
    }
    const Pickle machine = next();
    if (const PickleValue* little = machine.find(machine.at(machine.root), "little_endian")) {
        big_endian_ = little->integer == 0;
    }
    pickle_ = next();
    const Pickle keys = next();
    std::map<std::string, ScalarType> types;
    for (const PickleValue& value : pickle_.values) {
        if (value.kind == Kind::persistent) {
            const auto [key, type] = storage_id(value);
            types.emplace(key, type);
        }
    }
    if (keys.at(keys.root).kind != Kind::list) {
        malformed("it does not list its storages");
    }
    for (const PickleRef ref : keys.at(keys.root).items) {
        const std::string& key = keys.at(ref).text;
        const auto type = types.find(key);
        if (type == types.end() || rest.size() < 8) {
            malformed(fmt::format("its storage '{}' is not what its tensors say", key));
        }
        std::uint64_t count = 0;
        for (std::size_t i = 0; i < 8; ++i) {
            const std::size_t place = big_endian_ ? 7 - i : i;
            count |= std::to_integer<std::uint64_t>(rest[i]) << (8 * place);
        }
        rest = rest.subspan(8);
        const std::size_t width = width_of(type->second);
        if (width == 0 || count > rest.size() / width) {
            malformed(fmt::format("its storage '{}' ends early", key));
        }
        const auto content = rest.subspan(0, static_cast<std::size_t>(count) * width);
        storages_[key] = {type->second, {content.begin(), content.end()}};
        rest = rest.subspan(content.size());
    }
}

std::pair<std::string, ScalarType> TorchFile::storage_id(const PickleValue& persistent) const {
    const PickleValue& id = at(persistent.items.at(0));
    if (id.kind != Kind::tuple || id.items.size() < 5 || at(id.items[0]).text != "storage" ||
        at(id.items[1]).kind != Kind::global || at(id.items[2]).kind != Kind::text) {
        malformed("it refers to something that is no storage");
    }
    // (storage, class, key, device, extent) and, in old files, a view of another storage
    if (id.items.size() > 5 && at(id.items[5]).kind != Kind::none) {
        malformed("a storage of it is a view of another one");
    }
    const std::string_view name = last_name(at(id.items[1]).text);
    const ScalarType type = name == "UntypedStorage" ? ScalarType::uint8 : scalar_type_named(name);
    if (width_of(type) == 0) {
        throw Failure(Code::unsupported_form, {file_, "", "", ""},
                      fmt::format("it stores elements as {}", name),
                      "Keep the model's tensors in float32.");
    }
    return {at(id.items[2]).text, type};
}

bool TorchFile::is_tensor(const PickleValue& value) const {
    if (value.kind != Kind::call) {
        return false;
    }
    return std::any_of(std::begin(tensor_calls), std::end(tensor_calls),
                       [&](std::string_view call) { return value.text == call; });
}

StoredTensor TorchFile::tensor(const PickleValue& value, const std::string& name) const {
    const PickleValue* inner = &value;
    // A parameter holds its tensor, a tensor's subclass its own rebuilding.
    for (int depth = 0;; ++depth) {
        if (depth > 8 || !is_tensor(*inner)) {
            malformed("it is no tensor", name);
        }
        if (wraps_tensor(inner->text)) {
            if (inner->items.empty()) {
                malformed("it is no tensor", name);
            }
            inner = &at(inner->items[0]);
        } else if (inner->text == "torch._tensor._rebuild_from_type_v2") {
            // (function, class, arguments, state)
            if (inner->items.size() != 4 || at(inner->items[0]).kind != Kind::global ||
                at(inner->items[2]).kind != Kind::tuple) {
                malformed("it is no tensor", name);
            }
            const std::string& of = at(inner->items[1]).text;
            if (of != "torch.Tensor" && of != "torch.nn.parameter.Parameter" &&
                of != "torch.nn.parameter.Buffer") {
                throw Failure(Code::unsupported_form, {file_, name, "", ""},
                              fmt::format("it is a tensor of class {}", of),
                              "Save it as an ordinary tensor.");
            }
            const PickleValue& arguments = at(inner->items[2]);
            const std::string& function = at(inner->items[0]).text;
            if (wraps_tensor(function) && !arguments.items.empty()) {
                inner = &at(arguments.items[0]);
                continue;
            }
            PickleValue call = arguments;
            call.kind = Kind::call;
            call.text = function;
            if (call.text == "torch._tensor._rebuild_from_type_v2" || !is_tensor(call)) {
                malformed("it is no tensor", name);
            }
            return tensor(call, name);
        } else {
            break;
        }
    }
    // (storage, offset, sizes, strides, ...), the third version with the element type behind
    const auto& items = inner->items;
    if (items.size() < 4 || at(items[0]).kind != Kind::persistent ||
        at(items[1]).kind != Kind::integer || at(items[2]).kind != Kind::tuple ||
        at(items[3]).kind != Kind::tuple) {
        malformed("its description is no tensor's", name);
    }
    const auto [key, type] = storage_id(at(items[0]));
    View view;
    view.type = type;
    view.offset = at(items[1]).integer;
    for (const auto& [list, out] : {std::pair{items[2], &view.sizes}, {items[3], &view.strides}}) {
        for (const PickleRef ref : at(list).items) {
            if (at(ref).kind != Kind::integer) {
                malformed("its sizes are no integers", name);
            }
            out->push_back(at(ref).integer);
        }
    }
    if (inner->text == "torch._utils._rebuild_tensor_v3") {
        if (items.size() < 7 || at(items[6]).kind != Kind::global) {
            malformed("its element type is missing", name);
        }
        view.type = scalar_type_named(last_name(at(items[6]).text));
    }
    const auto storage = storages_.find(key);
    if (storage == storages_.end()) {
        malformed(fmt::format("its storage '{}' is missing", key), name);
    }
    return read_view(view, storage->second.bytes, big_endian_, {file_, name, "tensor", ""});
}

TensorStore TorchFile::tensors(const PickleValue& dict) const {
    TensorStore out;
    for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
        const PickleValue& key = at(dict.items[i]);
        const PickleValue& value = at(dict.items[i + 1]);
        if (key.kind == Kind::text && is_tensor(value)) {
            out[key.text] = tensor(value, key.text);
        }
    }
    return out;
}

}  // namespace gatewright::torch
