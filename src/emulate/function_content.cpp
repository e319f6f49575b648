#include "emulate/function_content.h"

namespace gatewright::emulate {

std::vector<std::int64_t> content_of(const bits::Function& function) {
    std::vector<std::int64_t> out;
    // Each list begins with its length, so that no two contents run into each other.
    const auto add = [&](auto... values) {
        (out.push_back(static_cast<std::int64_t>(values)), ...);
    };
    const auto add_type = [&](bits::Type type) { add(type.is_signed, type.width); };
    const auto add_wide = [&](const std::vector<Int128>& values) {
        add(values.size());
        for (const Int128 v : values) {
            add(v, v >> 64);
        }
    };
    out.reserve(function.nodes.size() * 7 + 16);
    add(function.inputs.size());
    for (const bits::Input& input : function.inputs) {
        add_type(input.type);
    }
    add(function.nodes.size());
    for (const bits::Node& node : function.nodes) {
        add(node.immediate, node.operand[0], node.operand[1], node.operand[2], node.op);
        add_type(node.type);
    }
    add(function.outputs.size());
    for (const bits::Output& output : function.outputs) {
        add(output.node);
    }
    add(function.tables.size());
    for (const bits::Table& table : function.tables) {
        add_type(table.type);
        add_wide(table.words);
    }
    add_wide(function.wide_constants);
    return out;
}

}  // namespace gatewright::emulate
