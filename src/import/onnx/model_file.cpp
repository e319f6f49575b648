#include "import/onnx/model_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "base/file.h"
#include "import/onnx/functions.h"
#include "import/onnx/reading.h"
#include "import/onnx/tensor_reader.h"
#include "import/onnx/wire_check.h"
#include "onnx-ml.pb.h"

namespace gatewright::onnx {

namespace pb = ::onnx;

namespace {

constexpr std::int64_t oldest_ir = 3;  // operator sets came with it
constexpr auto newest_ir = static_cast<std::int64_t>(pb::IR_VERSION);
constexpr std::int64_t newest_opset = 28;  ///< of the default domain, as of onnx 1.23
/// Protobuf's own limit; larger models keep their weights beside the file.
constexpr std::uint64_t largest_file = std::numeric_limits<std::int32_t>::max();

using Opsets = std::map<std::string, std::int64_t>;

class ModelReader {
  public:
    ModelReader(const pb::ModelProto& proto, std::string file, std::string folder)
        : proto_(proto), reading_(std::move(file), std::move(folder)) {}

    OnnxModel read() {
        OnnxModel model;
        model.file = reading_.file;
        model.ir_version = proto_.ir_version();
        check_version();
        model.producer = reading_.text(proto_.producer_name(), "producer");
        if (!proto_.producer_version().empty()) {
            model.producer += " " + reading_.text(proto_.producer_version(), "producer");
        }
        model.opsets = read_opsets(proto_.opset_import(), reading_.location({}, {}));
        if (!proto_.has_graph()) {
            reading_.error(Code::model_file_malformed, reading_.location({}, {}),
                           "the model has no graph", "Export it again");
        }
        reading_.throw_if_errors();

        const pb::GraphProto& graph = proto_.graph();
        check_unknown(graph, reading_.location({}, {}), "the graph");
        model.graph.name = reading_.text(graph.name(), "graph");
        read_initializers(graph, model.graph);
        read_values(graph, model.graph);
        read_annotations(graph, model.graph);
        std::vector<FileNode> nodes;
        opsets_ = &model.opsets;
        for (const pb::NodeProto& node : graph.node()) {
            nodes.push_back(read_node(node, model.opsets, false));
        }
        opsets_ = nullptr;
        const OnnxFunctions functions = read_functions();
        if (proto_.training_info_size() != 0) {
            reading_.note(Code::part_left_aside, reading_.location({}, {}),
                          "its training_info describes how to train it, not what it computes");
        }
        model.graph.nodes = expand(model, functions, nodes);
        order_nodes(reading_, model.graph);
        check_infinities(reading_, model.graph);
        reading_.throw_if_errors();
        name_layers(reading_, model.graph);
        model.notes = reading_.notes;
        return model;
    }

  private:
    template <typename Message>
    void check_unknown(const Message& message, const Location& where, std::string_view what) {
        if (!message.unknown_fields().empty()) {
            reading_.error(Code::model_file_malformed, where,
                           fmt::format("{} holds fields or values that no known version of the "
                                       "format has",
                                       what),
                           "Save the model with a released version of onnx");
        }
    }

    void check_version() {
        const std::int64_t version = proto_.ir_version();
        if (version < oldest_ir || version > newest_ir) {
            reading_.error(Code::model_version_unknown, reading_.location({}, {}),
                           proto_.has_ir_version()
                               ? fmt::format("the version of the format is {}; {} to {} are read",
                                             version, oldest_ir, newest_ir)
                               : "the file does not say its version of the format",
                           "Convert it with onnx.version_converter");
        }
    }

    template <typename Imports>
    Opsets read_opsets(const Imports& imports, const Location& where) {
        Opsets opsets;
        for (const pb::OperatorSetIdProto& import : imports) {
            const std::string domain = normal_domain(reading_.text(import.domain(), "domain"));
            const auto [entry, fresh] = opsets.emplace(domain, import.version());
            if (!fresh && entry->second != import.version()) {
                reading_.error(Code::model_version_unknown, where,
                               fmt::format("the operator set '{}' is asked for in the versions {} "
                                           "and {}",
                                           domain, entry->second, import.version()),
                               "Export it again");
            }
            if (import.version() < 1) {
                reading_.error(Code::model_version_unknown, where,
                               fmt::format("the operator set '{}' has the version {}", domain,
                                           import.version()),
                               "Export it again");
            }
        }
        if (const auto known = opsets.find("");
            known != opsets.end() && known->second > newest_opset) {
            reading_.error(Code::model_version_unknown, where,
                           fmt::format("the operator set is of version {}; those up to {} are read",
                                       known->second, newest_opset),
                           "Export it with an older one: torch.onnx.export(..., opset_version=17)");
        }
        if (opsets.empty()) {
            reading_.error(Code::model_version_unknown, where,
                           "the file does not say which operator set its layers are from",
                           "Export it with an opset: torch.onnx.export(..., opset_version=17)");
        }
        return opsets;
    }

    void add_initializer(OnnxGraph& graph, const std::string& raw_name,
                         std::optional<OnnxTensor> tensor) {
        const std::string name = reading_.text(raw_name, "initialiser");
        const Location where = reading_.location(name, "initializer");
        if (name.empty()) {
            reading_.error(Code::model_file_malformed, where, "an initialiser has no name",
                           "Export the model again");
        }
        // A tensor with an error still counts as defined, or each of its users would be blamed.
        if (!graph.initializers.emplace(name, std::move(tensor).value_or(OnnxTensor{})).second) {
            reading_.error(Code::duplicate_name, where, "two initialisers have this name",
                           "Export the model again");
        }
    }

    void read_initializers(const pb::GraphProto& proto, OnnxGraph& graph) {
        for (const pb::TensorProto& tensor : proto.initializer()) {
            const Location where =
                reading_.location(reading_.text(tensor.name(), "initialiser"), "initializer");
            add_initializer(graph, tensor.name(), read_tensor(reading_, tensor, where));
        }
        for (const pb::SparseTensorProto& tensor : proto.sparse_initializer()) {
            const std::string& name = tensor.values().name();
            const Location where =
                reading_.location(reading_.text(name, "initialiser"), "initializer");
            check_unknown(tensor, where, "it");
            add_initializer(graph, name, read_sparse_tensor(reading_, tensor, where));
        }
    }

    /// `role` is "input", "output" or "value". Only descriptions of inner values may be unreadable.
    OnnxValueInfo read_value(const pb::ValueInfoProto& proto, const std::string& role) {
        OnnxValueInfo out;
        out.name = reading_.text(proto.name(), role);
        const Location where = reading_.location(out.name, role);
        check_unknown(proto, where, "it");
        if (out.name.empty()) {
            reading_.error(Code::model_file_malformed, where,
                           fmt::format("an {} of the model has "
                                       "no name",
                                       role),
                           "Export the model again");
        }
        const pb::TypeProto& type = proto.type();
        if (!type.has_tensor_type()) {
            if (role != "value" && type.value_case() != pb::TypeProto::VALUE_NOT_SET) {
                reading_.error(Code::value_kind_unsupported, where,
                               fmt::format("it is {}, not a tensor", kind_of_type(type)),
                               "Export the model with plain tensors as inputs and outputs");
            }
            return out;
        }
        const pb::TypeProto::Tensor& tensor = type.tensor_type();
        const std::int32_t element = tensor.elem_type();
        if (element < 0 || element > static_cast<std::int32_t>(ElementType::float6_e3m2)) {
            reading_.error(Code::element_type_unsupported, where,
                           fmt::format("the format has no element type {}", element),
                           "Export the model again");
        } else {
            out.element = static_cast<ElementType>(element);
        }
        if (!tensor.has_shape()) {
            return out;
        }
        std::vector<OnnxDim> dims;
        Shape known;
        for (const pb::TensorShapeProto::Dimension& dim : tensor.shape().dim()) {
            if (dim.has_dim_value()) {
                dims.emplace_back(dim.dim_value());
                known.push_back(dim.dim_value());
            } else {
                dims.emplace_back(reading_.text(dim.dim_param(), "extent"));
            }
        }
        const bool negative =
            std::any_of(known.begin(), known.end(), [](std::int64_t extent) { return extent < 0; });
        if (negative || !checked_element_count(known)) {
            reading_.error(
                Code::tensor_data, where,
                fmt::format("its extents {} are impossible: {}", to_string(known),
                            negative ? "one is negative" : "no memory holds so many elements"),
                "Write a free extent as a name, for example 'batch'");
            return out;
        }
        out.dims = std::move(dims);
        return out;
    }

    static std::string kind_of_type(const pb::TypeProto& type) {
        switch (type.value_case()) {
            case pb::TypeProto::kSequenceType:
                return "a sequence";
            case pb::TypeProto::kMapType:
                return "a map";
            case pb::TypeProto::kOptionalType:
                return "an optional";
            case pb::TypeProto::kSparseTensorType:
                return "a sparse tensor";
            default:
                return "of an opaque type";
        }
    }

    void read_values(const pb::GraphProto& proto, OnnxGraph& graph) {
        std::set<std::string> names;
        for (const pb::ValueInfoProto& value : proto.input()) {
            OnnxValueInfo input = read_value(value, "input");
            if (!names.insert(input.name).second) {
                reading_.error(Code::duplicate_name, reading_.location(input.name, "input"),
                               "two inputs of the model have this name", "Export it again");
            }
            // Old files list their weights as inputs; in new ones it is an input with a default
            // value. Either way the model says which value it has.
            if (!graph.initializers.contains(input.name)) {
                graph.inputs.push_back(std::move(input));
            }
        }
        names.clear();
        for (const pb::ValueInfoProto& value : proto.output()) {
            OnnxValueInfo output = read_value(value, "output");
            if (!names.insert(output.name).second) {
                reading_.error(Code::duplicate_name, reading_.location(output.name, "output"),
                               "two outputs of the model have this name", "Export it again");
            }
            graph.outputs.push_back(std::move(output));
        }
        if (graph.outputs.empty() && depth_ == 0) {  // a graph within it may be of no use
            reading_.error(Code::model_file_malformed, reading_.location({}, {}),
                           "the model has no outputs", "Export it again");
        }
        for (const pb::ValueInfoProto& value : proto.value_info()) {
            OnnxValueInfo inner = read_value(value, "value");
            std::string name = inner.name;
            graph.value_info.emplace(std::move(name), std::move(inner));
        }
    }

    void read_annotations(const pb::GraphProto& proto, OnnxGraph& graph) {
        for (const pb::TensorAnnotation& annotation : proto.quantization_annotation()) {
            auto& entries =
                graph.annotations[reading_.text(annotation.tensor_name(), "annotated tensor")];
            for (const pb::StringStringEntryProto& entry :
                 annotation.quant_parameter_tensor_names()) {
                entries[reading_.text(entry.key(), "annotation")] =
                    reading_.text(entry.value(), "annotation");
            }
        }
    }

    FileNode read_node(const pb::NodeProto& proto, const Opsets& opsets, bool in_function) {
        FileNode out;
        OnnxNode& node = out.node;
        node.name = reading_.text(proto.name(), "layer");
        node.op_type = reading_.text(proto.op_type(), "operator");
        node.domain = normal_domain(reading_.text(proto.domain(), "domain"));
        out.overload = reading_.text(proto.overload(), "overload");
        for (const std::string& input : proto.input()) {
            node.inputs.push_back(reading_.text(input, "value"));
        }
        for (const std::string& output : proto.output()) {
            node.outputs.push_back(reading_.text(output, "value"));
        }
        const Location where = location_of(reading_.file, node);
        check_unknown(proto, where, "it");
        if (node.op_type.empty()) {
            reading_.error(Code::model_file_malformed, where, "the layer has no operator",
                           "Export the model again");
        }
        if (const auto version = opsets.find(node.domain); version != opsets.end()) {
            node.opset = version->second;
        } else if (node.domain.empty() && !default_domain_missed_) {
            // Old exporters of quantised models leave out the sets of their own domains.
            default_domain_missed_ = true;
            reading_.error(Code::model_version_unknown, where,
                           "its operator is from the standard set, but the file does not say in "
                           "which version",
                           "Add 'ai.onnx' to opset_import, or export the model again");
        }
        for (const pb::AttributeProto& attribute : proto.attribute()) {
            const std::string name = reading_.text(attribute.name(), "attribute");
            if (std::optional<OnnxAttribute> value = read_attribute(
                    attribute, location_of(reading_.file, node, name), in_function)) {
                if (!node.attributes.emplace(name, std::move(*value)).second) {
                    reading_.error(Code::duplicate_name, location_of(reading_.file, node, name),
                                   "the layer has this attribute twice", "Export the model again");
                }
            }
        }
        return out;
    }

    /// The one kind that the data of an attribute are of; nothing if there are none or several.
    static std::optional<pb::AttributeProto::AttributeType> kind_of_data(
        const pb::AttributeProto& proto, int& present) {
        using Kind = pb::AttributeProto;
        const std::pair<bool, pb::AttributeProto::AttributeType> kinds[] = {
            {proto.has_f(), Kind::FLOAT},
            {proto.has_i(), Kind::INT},
            {proto.has_s(), Kind::STRING},
            {proto.has_t(), Kind::TENSOR},
            {proto.has_g(), Kind::GRAPH},
            {proto.has_sparse_tensor(), Kind::SPARSE_TENSOR},
            {proto.has_tp(), Kind::TYPE_PROTO},
            {proto.floats_size() != 0, Kind::FLOATS},
            {proto.ints_size() != 0, Kind::INTS},
            {proto.strings_size() != 0, Kind::STRINGS},
            {proto.tensors_size() != 0, Kind::TENSORS},
            {proto.graphs_size() != 0, Kind::GRAPHS},
            {proto.sparse_tensors_size() != 0, Kind::SPARSE_TENSORS},
            {proto.type_protos_size() != 0, Kind::TYPE_PROTOS},
        };
        std::optional<pb::AttributeProto::AttributeType> found;
        present = 0;
        for (const auto& [there, kind] : kinds) {
            if (there) {
                ++present;
                found = kind;
            }
        }
        return present == 1 ? found : std::nullopt;
    }

    std::optional<OnnxAttribute> read_attribute(const pb::AttributeProto& proto,
                                                const Location& where, bool in_function) {
        const auto malformed = [&](std::string message) {
            reading_.error(Code::attribute_malformed, where, std::move(message),
                           "Export the model again");
            return std::nullopt;
        };
        check_unknown(proto, where, "it");
        if (where.attribute.empty()) {
            return malformed("an attribute has no name");
        }
        int present = 0;
        const auto data = kind_of_data(proto, present);
        if (!proto.ref_attr_name().empty()) {
            if (!in_function || present != 0) {
                return malformed("it refers to an attribute of a function");
            }
            return AttributeReference{reading_.text(proto.ref_attr_name(), "attribute")};
        }
        if (present > 1) {
            return malformed("it has several values");
        }
        if (!proto.has_type() && !data) {
            return malformed("it has no value");
        }
        // Writers leave out zeros and empty lists, so a kind without data is sound.
        const auto kind = proto.has_type() ? proto.type() : *data;
        if (data && *data != kind) {
            return malformed("its value is of another kind than it says");
        }
        return read_attribute_value(proto, kind, where);
    }

    std::optional<OnnxAttribute> read_attribute_value(const pb::AttributeProto& proto,
                                                      pb::AttributeProto::AttributeType kind,
                                                      const Location& where) {
        using Kind = pb::AttributeProto;
        const auto number = [&](float value) -> double {
            if (std::isnan(value)) {
                reading_.error(Code::weight_not_finite, where, "it is not a number (NaN)",
                               "Find where training diverged");
            }
            return static_cast<double>(value);
        };
        const auto text = [&](const std::string& value) {
            return reading_.text(value, "value of attribute " + where.attribute);
        };
        switch (kind) {
            case Kind::FLOAT:
                return number(proto.f());
            case Kind::INT:
                return proto.i();
            case Kind::STRING:
                return text(proto.s());
            case Kind::TENSOR:
                if (auto tensor = read_tensor(reading_, proto.t(), where)) {
                    return std::move(*tensor);
                }
                return std::nullopt;
            case Kind::SPARSE_TENSOR:
                if (auto tensor = read_sparse_tensor(reading_, proto.sparse_tensor(), where)) {
                    return std::move(*tensor);
                }
                return std::nullopt;
            case Kind::FLOATS: {
                std::vector<double> values;
                for (const float value : proto.floats()) {
                    values.push_back(number(value));
                }
                return values;
            }
            case Kind::INTS:
                return std::vector<std::int64_t>(proto.ints().begin(), proto.ints().end());
            case Kind::STRINGS: {
                std::vector<std::string> values;
                for (const std::string& value : proto.strings()) {
                    values.push_back(text(value));
                }
                return values;
            }
            case Kind::GRAPH:
                return OpaqueAttribute{"graph", read_subgraph(proto.g(), where)};
            case Kind::GRAPHS:
                return OpaqueAttribute{"list of graphs", nullptr};
            case Kind::TENSORS:
            case Kind::SPARSE_TENSORS:
                return OpaqueAttribute{"list of tensors", nullptr};
            case Kind::TYPE_PROTO:
            case Kind::TYPE_PROTOS:
                return OpaqueAttribute{"type", nullptr};
            default:
                reading_.error(Code::attribute_malformed, where, "it has no kind",
                               "Export the model again");
                return std::nullopt;
        }
    }

    std::shared_ptr<const OnnxGraph> read_subgraph(const pb::GraphProto& proto,
                                                   const Location& where) {
        constexpr int deepest = 8;
        if (opsets_ == nullptr) {
            return nullptr;  // of a function: what it refers to is not known here
        }
        if (depth_ == deepest) {
            reading_.error(Code::attribute_malformed, where,
                           fmt::format("graphs are nested more than {} deep", deepest),
                           "Export the model without control flow");
            return nullptr;
        }
        ++depth_;
        check_unknown(proto, where, "the graph");
        auto graph = std::make_shared<OnnxGraph>();
        graph->name = reading_.text(proto.name(), "graph");
        read_initializers(proto, *graph);
        read_values(proto, *graph);
        for (const pb::NodeProto& node : proto.node()) {
            FileNode inner = read_node(node, *opsets_, false);
            if (!inner.overload.empty()) {
                reading_.error(Code::function_malformed, location_of(reading_.file, inner.node),
                               "a function with an overload is called within a graph",
                               "Inline it with onnx.inliner.inline_local_functions");
            }
            graph->nodes.push_back(std::move(inner.node));
        }
        --depth_;
        return graph;
    }

    OnnxFunctions read_functions() {
        OnnxFunctions functions;
        for (const pb::FunctionProto& proto : proto_.functions()) {
            const std::string name = reading_.text(proto.name(), "function");
            const std::string domain = normal_domain(reading_.text(proto.domain(), "domain"));
            const Location where = reading_.location(name, "function");
            check_unknown(proto, where, "it");
            const Opsets opsets = read_opsets(proto.opset_import(), where);
            OnnxFunction function;
            std::set<std::string> formals;
            for (const std::string& input : proto.input()) {
                function.inputs.push_back(reading_.text(input, "value"));
                if (!formals.insert(input).second) {
                    reading_.error(
                        Code::duplicate_name, where,
                        fmt::format("two of its inputs are called '{}'", function.inputs.back()),
                        "Export the model again");
                }
            }
            for (const std::string& output : proto.output()) {
                function.outputs.push_back(reading_.text(output, "value"));
            }
            for (const std::string& attribute : proto.attribute()) {
                function.required.push_back(reading_.text(attribute, "attribute"));
            }
            for (const pb::AttributeProto& attribute : proto.attribute_proto()) {
                Location at = where;
                at.attribute = reading_.text(attribute.name(), "attribute");
                if (auto value = read_attribute(attribute, at, false)) {
                    function.defaults.insert_or_assign(at.attribute, std::move(*value));
                }
            }
            for (const pb::NodeProto& node : proto.node()) {
                function.nodes.push_back(read_node(node, opsets, true));
            }
            const FunctionKey key{domain, name, reading_.text(proto.overload(), "overload")};
            if (!functions.emplace(key, std::move(function)).second) {
                reading_.error(Code::duplicate_name, where, "two functions have this name",
                               "Export the model again");
            }
        }
        return functions;
    }

    std::vector<OnnxNode> expand(const OnnxModel& model, const OnnxFunctions& functions,
                                 const std::vector<FileNode>& nodes) {
        std::set<std::string> taken;
        for (const auto& [name, tensor] : model.graph.initializers) {
            taken.insert(name);
        }
        for (const OnnxValueInfo& input : model.graph.inputs) {
            taken.insert(input.name);
        }
        for (const FileNode& node : nodes) {
            taken.insert(node.node.inputs.begin(), node.node.inputs.end());
            taken.insert(node.node.outputs.begin(), node.node.outputs.end());
        }
        const auto opset = model.opsets.find("");
        return expand_functions(reading_, functions, nodes, std::move(taken),
                                opset == model.opsets.end() ? 1 : opset->second);
    }

    const pb::ModelProto& proto_;
    Reading reading_;
    bool default_domain_missed_ = false;
    const Opsets* opsets_ = nullptr;  ///< of the graph that is read; none in functions
    int depth_ = 0;                   ///< of graphs within graphs
};

}  // namespace

OnnxModel parse_model(std::span<const std::byte> bytes, const std::string& file,
                      const std::string& folder) {
    const Location where{file, {}, {}, {}};
    if (bytes.size() > largest_file) {
        throw Failure(Code::not_an_onnx_file, where, "it is larger than 2 GB",
                      "Save its weights beside it: onnx.save(model, path, "
                      "save_as_external_data=True)");
    }
    if (const std::optional<WireProblem> problem = check_wire(bytes)) {
        throw Failure(Code::not_an_onnx_file, where, problem->message, problem->remedy);
    }
    pb::ModelProto proto;
    if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        throw Failure(Code::not_an_onnx_file, where, "a part of it is damaged",
                      "Download or export it again");
    }
    return ModelReader(proto, file, folder).read();
}

OnnxModel read_model_file(const std::string& file) {
    const std::vector<std::byte> bytes = read_file_bytes(file, largest_file);
    const std::filesystem::path folder = std::filesystem::path(file).parent_path();
    return parse_model(bytes, file, folder.empty() ? "." : folder.string());
}

}  // namespace gatewright::onnx
