#include "import/torch/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "import/store/safetensors.h"

namespace gatewright::torch {

namespace {

using Kind = PickleValue::Kind;

ScalarType safetensors_type(std::string_view name) {
    const std::pair<const char*, ScalarType> types[] = {
        {"F64", ScalarType::float64},   {"F32", ScalarType::float32}, {"F16", ScalarType::float16},
        {"BF16", ScalarType::bfloat16}, {"I64", ScalarType::int64},   {"I32", ScalarType::int32},
        {"I16", ScalarType::int16},     {"I8", ScalarType::int8},     {"U8", ScalarType::uint8},
        {"BOOL", ScalarType::boolean}};
    for (const auto& [known, type] : types) {
        if (name == known) {
            return type;
        }
    }
    return ScalarType::unknown;
}

bool holds_tensors(const TorchFile& file, const PickleValue& dict) {
    if (dict.kind != Kind::dict) {
        return false;
    }
    for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
        if (file.at(dict.items[i]).kind == Kind::text &&
            file.is_tensor(file.at(dict.items[i + 1]))) {
            return true;
        }
    }
    return false;
}

}  // namespace

TensorStore read_safetensors(std::vector<std::byte> bytes, const std::string& file) {
    const store::SafeTensors tensors(std::move(bytes), file);
    TensorStore out;
    for (const std::string& name : tensors.names()) {
        const ScalarType type = safetensors_type(tensors.type(name));
        if (type == ScalarType::unknown) {
            throw Failure(Code::unsupported_form, {file, name, "tensor", ""},
                          fmt::format("its elements are of type {}", tensors.type(name)),
                          "Save it in F32.");
        }
        out[name] = {tensors.read(name), type, true};
    }
    return out;
}

TensorStore state_of(const TorchFile& file) {
    const PickleValue* dict = &file.root();
    if (!holds_tensors(file, *dict)) {
        for (const char* key : {"state_dict", "model_state_dict", "model"}) {
            const PickleValue* inner = file.pickle().find(*dict, key);
            if (inner != nullptr && holds_tensors(file, *inner)) {
                return file.tensors(*inner);
            }
        }
        file.malformed("it holds no dictionary of tensors");
    }
    return file.tensors(*dict);
}

void replace_weights(Program& program, const std::string& file) {
    const bool safe = file.ends_with(".safetensors");
    if (!safe && !file.ends_with(".pt") && !file.ends_with(".pth")) {
        throw Failure(Code::unknown_format, {file, "", "", ""},
                      "its ending is none of a file of PyTorch weights",
                      "Give a state dictionary (.pt, .pth) or .safetensors.");
    }
    std::vector<std::byte> bytes = read_file_bytes(file);
    TensorStore given = safe ? read_safetensors(std::move(bytes), file)
                             : state_of(TorchFile(std::move(bytes), file));
    Diagnostics diagnostics;
    std::set<std::string> wanted;
    for (const auto& [value, name] : program.stored) {
        wanted.insert(name);
    }
    for (auto& [name, tensor] : program.tensors) {
        const auto at = given.find(name);
        if (at == given.end()) {
            // Constants of the program and what only training reads need not be given.
            if (wanted.contains(name) && program.saved.contains(name) &&
                !name.ends_with("num_batches_tracked")) {
                diagnostics.add(Code::weights_mismatch, {file, name, "tensor", ""},
                                "the program has this tensor, the file of weights has not",
                                "Save the whole state dictionary of the model.");
            }
            continue;
        }
        if (at->second.tensor.shape != tensor.tensor.shape) {
            diagnostics.add(
                Code::weights_mismatch, {file, name, "tensor", ""},
                fmt::format("its shape is {}, in the program {}",
                            to_string(at->second.tensor.shape), to_string(tensor.tensor.shape)),
                "Give the weights of this model.");
            continue;
        }
        if (is_integral(at->second.type) != is_integral(tensor.type)) {
            diagnostics.add(Code::weights_mismatch, {file, name, "tensor", ""},
                            fmt::format("its elements are of type {}, in the program {}",
                                        to_string(at->second.type), to_string(tensor.type)),
                            "Give the weights of this model.");
            continue;
        }
        tensor = std::move(at->second);
    }
    for (const auto& [name, tensor] : given) {
        if (!program.tensors.contains(name)) {
            diagnostics.add(Code::weights_mismatch, {file, name, "tensor", ""},
                            "the program has no tensor of this name",
                            "Give the weights of this model.");
        }
    }
    diagnostics.throw_if_errors();
}

}  // namespace gatewright::torch
