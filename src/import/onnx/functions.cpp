#include "import/onnx/functions.h"

#include <fmt/format.h>

#include <algorithm>

namespace gatewright::onnx {

namespace {

/// A file of a few kilobytes can describe exponentially many nodes by functions that call
/// functions.
constexpr std::size_t max_expanded_nodes = 100'000;

class Expander {
  public:
    Expander(Reading& reading, const OnnxFunctions& functions, std::set<std::string> taken,
             std::int64_t identity_opset)
        : reading_(reading),
          functions_(functions),
          taken_(std::move(taken)),
          identity_opset_(identity_opset) {}

    std::vector<OnnxNode> out;

    void add(FileNode file_node) {
        OnnxNode& node = file_node.node;
        const FunctionKey key{node.domain, node.op_type, file_node.overload};
        const auto function = functions_.find(key);
        if (function == functions_.end()) {
            if (!file_node.overload.empty()) {
                fail(node, fmt::format("the file has no function '{}' with the overload '{}'",
                                       node.op_type, file_node.overload));
                return;
            }
            out.push_back(std::move(node));
            return;
        }
        if (std::find(active_.begin(), active_.end(), key) != active_.end()) {
            fail(node, fmt::format("the function '{}' calls itself", node.op_type));
            return;
        }
        active_.push_back(key);
        expand(node, function->second);
        active_.pop_back();
    }

  private:
    void fail(const OnnxNode& node, std::string message) {
        reading_.error(Code::function_malformed, location_of(reading_.file, node),
                       std::move(message),
                       "Export without functions (torch.onnx.export: export_modules_as_functions "
                       "off), or inline them with onnx.inliner.inline_local_functions");
    }

    std::string unused(std::string name) {
        while (!taken_.insert(name).second) {
            name += '_';
        }
        return name;
    }

    void expand(const OnnxNode& call, const OnnxFunction& function) {
        if (call.inputs.size() > function.inputs.size() ||
            call.outputs.size() > function.outputs.size()) {
            fail(call, fmt::format("it is called with {} inputs and {} outputs, but the function "
                                   "has {} and {}",
                                   call.inputs.size(), call.outputs.size(), function.inputs.size(),
                                   function.outputs.size()));
            return;
        }
        for (const auto& [name, attribute] : call.attributes) {
            if (!function.defaults.contains(name) &&
                std::find(function.required.begin(), function.required.end(), name) ==
                    function.required.end()) {
                reading_.error(Code::function_malformed, location_of(reading_.file, call, name),
                               "the function has no such attribute", "Take it away");
            }
        }
        const std::string prefix = call.layer_name();
        // The names of the function's values outside of it; "" for an input left out.
        std::map<std::string, std::string> names{{"", ""}};
        for (std::size_t i = 0; i < function.inputs.size(); ++i) {
            names[function.inputs[i]] = i < call.inputs.size() ? call.inputs[i] : "";
        }
        std::vector<std::pair<std::string, std::string>> passed_through;
        for (std::size_t i = 0; i < call.outputs.size(); ++i) {
            if (!call.outputs[i].empty() &&
                !names.emplace(function.outputs[i], call.outputs[i]).second) {
                passed_through.emplace_back(names[function.outputs[i]], call.outputs[i]);
            }
        }
        std::set<std::string> defined(function.inputs.begin(), function.inputs.end());
        for (const FileNode& inner : function.nodes) {
            for (const std::string& output : inner.node.outputs) {
                defined.insert(output);
                if (!names.contains(output)) {
                    names[output] = unused(prefix + "/" + output);
                }
            }
        }
        for (std::size_t i = 0; i < call.outputs.size(); ++i) {
            if (!call.outputs[i].empty() && !defined.contains(function.outputs[i])) {
                fail(call, fmt::format("the function does not compute its output '{}'",
                                       function.outputs[i]));
            }
        }
        for (const FileNode& inner : function.nodes) {
            if (++expanded_ > max_expanded_nodes) {
                if (expanded_ == max_expanded_nodes + 1) {
                    fail(call, fmt::format("the functions of the file grow to more than {} layers",
                                           max_expanded_nodes));
                }
                return;
            }
            FileNode copy = inner;
            copy.node.name = prefix + "/" + inner.node.layer_name();
            rename(copy.node.inputs, names, prefix);
            rename(copy.node.outputs, names, prefix);
            resolve(copy.node, call, function);
            add(std::move(copy));
        }
        for (const auto& [from, to] : passed_through) {
            out.push_back({to, "Identity", "", identity_opset_, {from}, {to}, {}});
        }
    }

    static void rename(std::vector<std::string>& values,
                       const std::map<std::string, std::string>& names, const std::string& prefix) {
        for (std::string& value : values) {
            const auto known = names.find(value);
            // An unknown one is left to be reported as undefined.
            value = known != names.end() ? known->second : prefix + "/" + value;
        }
    }

    /// Puts the call's attributes, or their defaults, where the body refers to them.
    void resolve(OnnxNode& node, const OnnxNode& call, const OnnxFunction& function) {
        for (auto it = node.attributes.begin(); it != node.attributes.end();) {
            const auto* reference = std::get_if<AttributeReference>(&it->second);
            if (reference == nullptr) {
                ++it;
                continue;
            }
            const std::string name = reference->name;
            if (const auto given = call.attributes.find(name); given != call.attributes.end()) {
                it++->second = given->second;
            } else if (const auto value = function.defaults.find(name);
                       value != function.defaults.end()) {
                it++->second = value->second;
            } else {
                // The standard: a reference to an attribute that the call leaves out is left out.
                it = node.attributes.erase(it);
            }
        }
    }

    Reading& reading_;
    const OnnxFunctions& functions_;
    std::set<std::string> taken_;
    std::int64_t identity_opset_;
    std::vector<FunctionKey> active_;
    std::size_t expanded_ = 0;
};

}  // namespace

std::vector<OnnxNode> expand_functions(Reading& reading, const OnnxFunctions& functions,
                                       const std::vector<FileNode>& nodes,
                                       std::set<std::string> taken, std::int64_t identity_opset) {
    Expander expander(reading, functions, std::move(taken), identity_opset);
    for (const FileNode& node : nodes) {
        expander.add(node);
    }
    return std::move(expander.out);
}

}  // namespace gatewright::onnx
