#include "import/torch/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "import/store/archive.h"
#include "import/store/json.h"
#include "import/torch/torch_file.h"

namespace gatewright::torch {

namespace {

using Json = nlohmann::ordered_json;

/// Reads the JSON of a program. What it finds missing or of another kind is one error.
class ProgramReader {
  public:
    explicit ProgramReader(std::string file) : file_(std::move(file)) {}

    void read(const Json& json, Program& out);
    /// A list of tensors beside the graph: name, where it lies, its view.
    void read_config(const Json& json, const store::Archive& archive, const std::string& folder,
                     TensorStore& out);

  private:
    [[noreturn]] void malformed(const std::string& message, const std::string& layer = {}) const {
        throw Failure(Code::model_config_malformed, {file_, layer, "", ""}, message,
                      "Export the model again with torch.export.save.");
    }
    [[noreturn]] void refuse(const std::string& message, const std::string& remedy,
                             const std::string& layer = {}) const {
        throw Failure(Code::unsupported_form, {file_, layer, "", ""}, message, remedy);
    }

    const Json& member(const Json& json, const char* name) const {
        const Json* found = find(json, name);
        if (found == nullptr) {
            malformed(fmt::format("it lacks '{}' where the format has it", name));
        }
        return *found;
    }
    const Json* find(const Json& json, const char* name) const {
        if (!json.is_object()) {
            malformed(fmt::format("'{}' is sought in what is no object", name));
        }
        const auto at = json.find(name);
        return at == json.end() || at->is_null() ? nullptr : &*at;
    }
    const Json& list(const Json& json, const char* name) const {
        const Json& found = member(json, name);
        if (!found.is_array()) {
            malformed(fmt::format("'{}' is no list", name));
        }
        return found;
    }
    std::string text(const Json& json) const {
        if (!json.is_string()) {
            malformed("a name is no text");
        }
        return json.get<std::string>();
    }
    std::int64_t integer(const Json& json) const {
        if (!json.is_number_integer() ||
            (json.is_number_unsigned() &&
             json.get<std::uint64_t>() >
                 static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))) {
            malformed("a number is no integer of 64 bits");
        }
        return json.get<std::int64_t>();
    }
    double real(const Json& json) const {
        if (json.is_number()) {
            return json.get<double>();
        }
        // The writer has texts for what JSON has no numbers for.
        const std::string name = json.is_string() ? json.get<std::string>() : "";
        if (name == "Infinity") {
            return std::numeric_limits<double>::infinity();
        }
        if (name == "-Infinity") {
            return -std::numeric_limits<double>::infinity();
        }
        if (name == "NaN") {
            return std::numeric_limits<double>::quiet_NaN();
        }
        malformed("a number is none");
    }
    bool boolean(const Json& json) const {
        if (!json.is_boolean()) {
            malformed("a flag is neither true nor false");
        }
        return json.get<bool>();
    }
    /// The only entry of a tagged union.
    std::pair<std::string, const Json*> only(const Json& json) const {
        if (!json.is_object() || json.size() != 1) {
            malformed("a choice of kinds has not one entry");
        }
        return {json.begin().key(), &*json.begin()};
    }

    GraphInteger graph_integer(const Json& json) const;
    std::vector<GraphInteger> sizes(const Json& json, const char* name) const;
    View view(const Json& json) const;
    Argument argument(const Json& json) const;
    std::string tensor_name(const Json& json) const { return text(member(json, "name")); }
    void outputs_of(const Json& json, std::vector<std::string>& out) const;
    void read_node(const Json& json, Program& out) const;
    void read_signature(const Json& json, Program& out) const;

    std::string file_;
};

GraphInteger ProgramReader::graph_integer(const Json& json) const {
    const auto [tag, value] = only(json);
    GraphInteger out;
    if (tag == "as_int") {
        out.value = integer(*value);
    } else if (tag == "as_name") {
        out.symbol = text(*value);
    } else if (tag == "as_expr") {
        out.symbol = text(member(*value, "expr_str"));
    } else {
        malformed(fmt::format("an extent is given as '{}'", tag));
    }
    return out;
}

std::vector<GraphInteger> ProgramReader::sizes(const Json& json, const char* name) const {
    std::vector<GraphInteger> out;
    for (const Json& size : list(json, name)) {
        out.push_back(graph_integer(size));
    }
    return out;
}

View ProgramReader::view(const Json& json) const {
    View out;
    out.type = static_cast<ScalarType>(integer(member(json, "dtype")));
    const auto known = [&](const std::vector<GraphInteger>& from) {
        Shape to;
        for (const GraphInteger& size : from) {
            if (!size.symbol.empty()) {
                malformed("a stored tensor has a symbolic extent");
            }
            to.push_back(size.value);
        }
        return to;
    };
    out.sizes = known(sizes(json, "sizes"));
    out.strides = known(sizes(json, "strides"));
    out.offset = known({graph_integer(member(json, "storage_offset"))}).front();
    return out;
}

Argument ProgramReader::argument(const Json& json) const {
    using Kind = Argument::Kind;
    const auto [tag, held] = only(json);
    const Json& value = *held;
    Argument out;
    const auto each = [&](auto&& take) {
        if (!value.is_array()) {
            malformed(fmt::format("an argument '{}' is no list", tag));
        }
        for (const Json& item : value) {
            take(item);
        }
    };
    // A name, or a number that is written beside it.
    const auto symbolic = [&](const Json& item) {
        const auto [kind, inner] = only(item);
        if (kind == "as_name") {
            out.integers.push_back({0, text(*inner)});
        } else if (kind == "as_int") {
            out.integers.push_back({integer(*inner), ""});
        } else if (kind == "as_bool") {
            out.integers.push_back({boolean(*inner) ? 1 : 0, ""});
        } else {
            malformed(fmt::format("a symbolic argument is given as '{}'", kind));
        }
    };
    if (tag == "as_none") {
        out.kind = Kind::none;
    } else if (tag == "as_tensor") {
        out.kind = Kind::tensor;
        out.names.push_back(tensor_name(value));
    } else if (tag == "as_tensors") {
        out.kind = Kind::tensors;
        each([&](const Json& item) { out.names.push_back(tensor_name(item)); });
    } else if (tag == "as_optional_tensors") {
        out.kind = Kind::tensors;
        each([&](const Json& item) {
            const auto [kind, inner] = only(item);
            out.names.push_back(kind == "as_none" ? "" : tensor_name(*inner));
        });
    } else if (tag == "as_optional_tensor") {
        const auto [kind, inner] = only(value);
        out.kind = kind == "as_none" ? Kind::none : Kind::tensor;
        if (kind != "as_none") {
            out.names.push_back(tensor_name(*inner));
        }
    } else if (tag == "as_int") {
        out.kind = Kind::integer;
        out.integers.push_back({integer(value), ""});
    } else if (tag == "as_sym_int") {
        out.kind = Kind::integer;
        symbolic(value);
    } else if (tag == "as_ints") {
        out.kind = Kind::integers;
        each([&](const Json& item) { out.integers.push_back({integer(item), ""}); });
    } else if (tag == "as_sym_ints") {
        out.kind = Kind::integers;
        each(symbolic);
    } else if (tag == "as_float") {
        out.kind = Kind::real;
        out.reals.push_back(real(value));
    } else if (tag == "as_floats") {
        out.kind = Kind::reals;
        each([&](const Json& item) { out.reals.push_back(real(item)); });
    } else if (tag == "as_bool") {
        out.kind = Kind::boolean;
        out.integers.push_back({boolean(value) ? 1 : 0, ""});
    } else if (tag == "as_sym_bool") {
        out.kind = Kind::boolean;
        symbolic(value);
    } else if (tag == "as_bools") {
        out.kind = Kind::booleans;
        each([&](const Json& item) { out.integers.push_back({boolean(item) ? 1 : 0, ""}); });
    } else if (tag == "as_string") {
        out.kind = Kind::text;
        out.texts.push_back(text(value));
    } else if (tag == "as_strings") {
        out.kind = Kind::texts;
        each([&](const Json& item) { out.texts.push_back(text(item)); });
    } else if (tag == "as_scalar_type") {
        out.kind = Kind::type;
        out.integers.push_back({integer(value), ""});
    } else if (tag == "as_memory_format" || tag == "as_layout" || tag == "as_device") {
        out.kind = Kind::place;
    } else {
        out.kind = Kind::unknown;
        out.texts.push_back(tag);
    }
    return out;
}

void ProgramReader::outputs_of(const Json& json, std::vector<std::string>& out) const {
    const auto [tag, value] = only(json);
    if (tag == "as_none") {
        out.emplace_back();
    } else if (tag == "as_tensor") {
        out.push_back(tensor_name(*value));
    } else if (tag == "as_tensors") {
        if (!value->is_array()) {
            malformed("a list of results is none");
        }
        for (const Json& item : *value) {
            out.push_back(tensor_name(item));
        }
    } else if (tag == "as_optional_tensors") {
        for (const Json& item : *value) {
            outputs_of(item, out);
        }
    } else if (tag == "as_sym_int" || tag == "as_sym_bool" || tag == "as_sym_float") {
        out.push_back(text(member(*value, "as_name")));
    } else {
        refuse(fmt::format("a layer gives a result of kind '{}'", tag),
               "Export a model that computes with tensors.");
    }
}

/// The path of the module that a node comes from: "features.0" of
/// "L__self__,,Net;L__self___features_0,features.0,Conv2d".
std::string module_path(const std::string& stack) {
    const std::size_t last = stack.rfind(';');
    const std::string entry = last == std::string::npos ? stack : stack.substr(last + 1);
    const std::size_t begin = entry.find(',');
    if (begin == std::string::npos) {
        return {};
    }
    const std::size_t end = entry.find(',', begin + 1);
    std::string path = entry.substr(begin + 1, end == std::string::npos ? end : end - begin - 1);
    return path;
}

void ProgramReader::read_node(const Json& json, Program& out) const {
    GraphNode node;
    node.target = text(member(json, "target"));
    for (const Json& input : list(json, "inputs")) {
        node.arguments.emplace_back(text(member(input, "name")), argument(member(input, "arg")));
    }
    for (const Json& output : list(json, "outputs")) {
        outputs_of(output, node.outputs);
    }
    if (const Json* name = find(json, "name")) {
        node.name = text(*name);
    } else {
        node.name = node.outputs.empty() ? node.target : node.outputs.front();
    }
    if (const Json* metadata = find(json, "metadata")) {
        if (const Json* stack = find(*metadata, "nn_module_stack")) {
            node.module = module_path(text(*stack));
        }
    }
    out.nodes.push_back(std::move(node));
}

void ProgramReader::read_signature(const Json& json, Program& out) const {
    for (const Json& spec : list(json, "input_specs")) {
        const auto [tag, value] = only(spec);
        if (tag == "user_input") {
            const auto [kind, held] = only(member(*value, "arg"));
            if (kind == "as_tensor") {
                out.inputs.push_back({tensor_name(*held), true});
            } else if (kind != "as_none") {
                // A number that the caller passes: it stands in the graph as it was at the export.
                refuse(fmt::format("an input of the model is no tensor ('{}')", kind),
                       "Export the model with tensors as its only inputs.");
            }
            continue;
        }
        if (tag == "constant_input") {
            continue;  // a number or text that the export fixed
        }
        const std::pair<const char*, const char*> kinds[] = {
            {"parameter", "parameter_name"},
            {"buffer", "buffer_name"},
            {"tensor_constant", "tensor_constant_name"}};
        bool known = false;
        for (const auto& [kind, key] : kinds) {
            if (tag == kind) {
                out.stored[tensor_name(member(*value, "arg"))] = text(member(*value, key));
                known = true;
                const Json* kept = find(*value, "persistent");
                if (tag == "parameter" ||
                    (tag == "buffer" && (kept == nullptr || boolean(*kept)))) {
                    out.saved.insert(text(member(*value, key)));
                }
            }
        }
        if (!known) {
            refuse(fmt::format("an input of the graph is a '{}'", tag),
                   "Export a model that computes with tensors.");
        }
    }
    for (const Json& spec : list(json, "output_specs")) {
        const auto [tag, value] = only(spec);
        if (tag == "buffer_mutation" || tag == "user_input_mutation" ||
            tag == "parameter_mutation") {
            const char* key = tag == "buffer_mutation" ? "buffer_name" : "user_input_name";
            const Json* name = find(*value, key);
            refuse(fmt::format("the model changes {} '{}' at every call",
                               tag == "buffer_mutation" ? "its buffer" : "its input",
                               name != nullptr && name->is_string() ? name->get<std::string>()
                                                                    : std::string()),
                   "Export the model in evaluation mode; a circuit keeps nothing between samples.");
        }
        if (tag != "user_output") {
            refuse(fmt::format("an output of the graph is a '{}'", tag),
                   "Export the model for inference.");
        }
        const auto [kind, held] = only(member(*value, "arg"));
        if (kind == "as_none") {
            continue;
        }
        if (kind != "as_tensor") {
            refuse(fmt::format("an output of the model is no tensor ('{}')", kind),
                   "Export a model whose outputs are tensors.");
        }
        out.outputs.push_back(tensor_name(*held));
    }
}

void ProgramReader::read(const Json& json, Program& out) {
    const Json& version = member(json, "schema_version");
    if (version.is_object()) {
        const std::int64_t major = integer(member(version, "major"));
        if (major < 3 || major > 8) {
            refuse(fmt::format("the program is of schema version {}", major),
                   "Export the model with a PyTorch of schema version 3 to 8 (2.2 to 2.13).");
        }
    }
    const Json& module = member(json, "graph_module");
    const Json& graph = member(module, "graph");
    const Json& values = member(graph, "tensor_values");
    if (!values.is_object()) {
        malformed("'tensor_values' is no object");
    }
    for (const auto& item : values.items()) {
        TensorMeta meta;
        meta.type = static_cast<ScalarType>(integer(member(item.value(), "dtype")));
        meta.sizes = sizes(item.value(), "sizes");
        if (find(item.value(), "strides") != nullptr) {
            meta.strides = sizes(item.value(), "strides");
        }
        if (const Json* offset = find(item.value(), "storage_offset")) {
            meta.offset = graph_integer(*offset);
        }
        out.metas[item.key()] = std::move(meta);
    }
    read_signature(member(module, "signature"), out);
    for (const Json& node : list(graph, "nodes")) {
        read_node(node, out);
    }
}

void ProgramReader::read_config(const Json& json, const store::Archive& archive,
                                const std::string& folder, TensorStore& out) {
    const Json& config = member(json, "config");
    if (!config.is_object()) {
        malformed("'config' is no object");
    }
    std::map<std::string, std::vector<std::byte>> files;
    for (const auto& item : config.items()) {
        const Json& meta = item.value();
        const std::string path = folder + text(member(meta, "path_name"));
        if (boolean(member(meta, "use_pickle"))) {
            const TorchFile inner(archive.read(path), file_);
            out[item.key()] = inner.tensor(inner.root(), item.key());
            continue;
        }
        const Json* described = find(meta, "tensor_meta");
        if (described == nullptr) {
            refuse("a constant of the model is no tensor", "Export a model without such objects.",
                   item.key());
        }
        if (!files.contains(path)) {
            files[path] = archive.read(path);
        }
        // torch.export writes the bytes as they lie in memory; all its platforms are little endian.
        out[item.key()] =
            read_view(view(*described), files[path], false, {file_, item.key(), "tensor", ""});
    }
}

bool ends_with_any(const std::string& name, std::initializer_list<std::string_view> endings) {
    return std::any_of(endings.begin(), endings.end(),
                       [&](std::string_view ending) { return name.ends_with(ending); });
}

/// A dict of tensors that torch.save wrote, into the program.
void read_saved(std::vector<std::byte> bytes, const std::string& file, Program& out) {
    if (bytes.empty()) {
        return;
    }
    const TorchFile saved(std::move(bytes), file);
    for (auto& [name, tensor] : saved.tensors(saved.root())) {
        out.tensors[name] = std::move(tensor);
    }
}

}  // namespace

Program read_program(std::vector<std::byte> bytes, const std::string& file) {
    Program out;
    out.file = file;
    const store::Archive archive(std::move(bytes), file);
    ProgramReader reader(file);
    std::vector<std::string> models;
    std::string older;  // the layout up to PyTorch 2.7
    for (const std::string& name : archive.names()) {
        const std::size_t folder = name.find("models/");
        const bool at_top = folder == 0 || (folder != std::string::npos && folder > 0 &&
                                            name.find('/') == folder - 1);
        if (at_top && name.ends_with(".json")) {
            models.push_back(name);
        }
        if (ends_with_any(name, {"serialized_exported_program.json"})) {
            older = name.substr(0, name.size() - 32);
        }
    }
    if (models.size() > 1) {
        throw Failure(Code::unsupported_form, {file, "", "", ""},
                      fmt::format("the archive holds {} models", models.size()),
                      "Save one model in an archive.");
    }
    if (models.size() == 1) {
        const std::string root = models[0].substr(0, models[0].find("models/"));
        const std::string name =
            models[0].substr(root.size() + 7, models[0].size() - root.size() - 12);
        out.name = name.empty() ? "model" : name;
        reader.read(store::parse_json(archive.read_text(models[0]), file), out);
        for (const char* kind : {"weights", "constants"}) {
            const std::string folder = fmt::format("{}data/{}/", root, kind);
            const std::string config = fmt::format("{}{}_{}_config.json", folder, name, kind);
            if (archive.has(config)) {
                reader.read_config(store::parse_json(archive.read_text(config), file), archive,
                                   folder, out.tensors);
            } else if (archive.has(folder + name + ".pt")) {
                read_saved(archive.read(folder + name + ".pt"), file, out);
            }
        }
        return out;
    }
    if (!archive.has(older + "serialized_exported_program.json")) {
        throw Failure(Code::unknown_format, {file, "", "", ""},
                      "the archive holds no exported program",
                      "Export the model with torch.export.save (.pt2).");
    }
    reader.read(
        store::parse_json(archive.read_text(older + "serialized_exported_program.json"), file),
        out);
    for (const char* kind : {"state_dict", "constants"}) {
        for (const char* ending : {"pt", "json"}) {  // one content under two names
            const std::string name = fmt::format("{}serialized_{}.{}", older, kind, ending);
            if (archive.has(name)) {
                read_saved(archive.read(name), file, out);
            }
        }
    }
    return out;
}

}  // namespace gatewright::torch
