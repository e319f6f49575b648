#include "import/torch/pickle_names.h"

namespace gatewright::torch {

namespace {

/// Names that a pickle may mention. A name that ends in "." stands for all names below it.
constexpr std::string_view known_names[] = {
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.Counter",
    "builtins.set",
    "builtins.frozenset",
    "builtins.list",
    "builtins.dict",
    "builtins.tuple",
    "builtins.int",
    "builtins.float",
    "builtins.bool",
    "builtins.str",
    "builtins.slice",
    "builtins.bytearray",
    "builtins.complex",
    "__builtin__.set",
    "__builtin__.frozenset",
    "__builtin__.list",
    "__builtin__.dict",
    "__builtin__.int",
    "__builtin__.long",
    "__builtin__.float",
    "__builtin__.bool",
    "__builtin__.object",
    "builtins.object",
    "copyreg._reconstructor",
    "copy_reg._reconstructor",
    "_codecs.encode",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy.dtype",
    "numpy.ndarray",
    "torch.Size",
    "torch.Tensor",
    "torch.device",
    "torch.storage.UntypedStorage",
    "torch.storage.TypedStorage",
    "torch.storage._load_from_bytes",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._tensor._rebuild_from_type_v2",
    "torch.nn.parameter.Parameter",
    "torch.nn.parameter.Buffer",
    "torch.nn.modules.",
    "torch.nn.functional.",
    "torch.nn.backends.thnn._get_thnn_function_backend",  // modules of PyTorch before 1.2
    "torch._C._nn.",
    "torch.ao.nn.",
};

bool is_element_type(std::string_view name) {
    constexpr std::string_view types[] = {"uint8",          "int8",       "int16",
                                          "int32",          "int64",      "float16",
                                          "float32",        "float64",    "complex32",
                                          "complex64",      "complex128", "bool",
                                          "bfloat16",       "half",       "float",
                                          "double",         "int",        "long",
                                          "short",          "strided",    "contiguous_format",
                                          "preserve_format"};
    for (const std::string_view type : types) {
        if (name == type) {
            return true;
        }
    }
    return false;
}

}  // namespace

bool is_known_name(std::string_view name) {
    for (const std::string_view known : known_names) {
        if (name == known || (known.ends_with('.') && name.starts_with(known))) {
            return true;
        }
    }
    if (!name.starts_with("torch.")) {
        return false;
    }
    const std::string_view below = name.substr(6);
    return is_element_type(below) ||
           (below.ends_with("Storage") && below.find('.') == std::string_view::npos) ||
           // functions of one tensor that layers keep as their activation
           below == "relu" || below == "tanh" || below == "sigmoid";
}

}  // namespace gatewright::torch
