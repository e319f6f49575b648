#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

/// Writes the wire format of model files by hand, field by field, so that tests can also write
/// what no library would. The field numbers are those of third_party/onnx/onnx-ml.proto.
namespace onnx_writer {

class Message {
  public:
    Message& number(int field, std::uint64_t value) {
        varint(static_cast<std::uint64_t>(field) << 3);
        varint(value);
        return *this;
    }
    Message& text(int field, std::string_view value) {
        varint(static_cast<std::uint64_t>(field) << 3 | 2);
        varint(value.size());
        bytes += value;
        return *this;
    }
    Message& message(int field, const Message& inner) { return text(field, inner.bytes); }
    Message& float32(int field, float value) {
        varint(static_cast<std::uint64_t>(field) << 3 | 5);
        const auto bits = std::bit_cast<std::uint32_t>(value);
        for (int i = 0; i < 4; ++i) {
            bytes += static_cast<char>(bits >> (8 * i) & 0xff);
        }
        return *this;
    }
    Message& varint(std::uint64_t value) {
        for (; value >= 0x80; value >>= 7) {
            bytes += static_cast<char>((value & 0x7f) | 0x80);
        }
        bytes += static_cast<char>(value);
        return *this;
    }

    std::string bytes;
};

template <typename T>
std::string raw(std::initializer_list<T> values) {
    std::string out(values.size() * sizeof(T), '\0');
    std::size_t at = 0;
    for (const T value : values) {
        std::memcpy(out.data() + at, &value, sizeof(T));
        at += sizeof(T);
    }
    return out;
}

inline Message tensor(std::string_view name, int element, std::initializer_list<std::int64_t> dims,
                      std::string_view data) {
    Message out;
    for (const std::int64_t dim : dims) {
        out.number(1, static_cast<std::uint64_t>(dim));
    }
    return out.number(2, static_cast<std::uint64_t>(element)).text(8, name).text(9, data);
}

/// A tensor whose elements are in typed field `field` (5: int32, 7: int64, 11: uint64), packed.
inline Message typed_tensor(std::string_view name, int element, std::int64_t count, int field,
                            std::initializer_list<std::int64_t> entries) {
    Message packed;
    for (const std::int64_t entry : entries) {
        packed.varint(static_cast<std::uint64_t>(entry));
    }
    return Message()
        .number(1, static_cast<std::uint64_t>(count))
        .number(2, static_cast<std::uint64_t>(element))
        .text(8, name)
        .text(field, packed.bytes);
}

inline Message external_tensor(std::string_view name, std::int64_t count,
                               std::vector<std::pair<std::string, std::string>> entries) {
    Message out;
    out.number(1, static_cast<std::uint64_t>(count)).number(2, 1).text(8, name);
    for (const auto& [key, value] : entries) {
        out.message(13, Message().text(1, key).text(2, value));
    }
    return out.number(14, 1);
}

/// A tensor value; a dim below 0 is written as it is, dims of nullptr leave the rank unknown.
inline Message value(std::string_view name, std::initializer_list<std::int64_t> dims,
                     int element = 1) {
    Message shape;
    shape.message(1, Message().text(2, "batch"));
    for (const std::int64_t dim : dims) {
        shape.message(1, Message().number(1, static_cast<std::uint64_t>(dim)));
    }
    const Message type = Message().number(1, static_cast<std::uint64_t>(element)).message(2, shape);
    return Message().text(1, name).message(2, Message().message(1, type));
}

inline Message node(std::string_view op, std::initializer_list<std::string_view> inputs,
                    std::initializer_list<std::string_view> outputs, std::string_view name = "",
                    std::string_view domain = "") {
    Message out;
    for (const std::string_view input : inputs) {
        out.text(1, input);
    }
    for (const std::string_view output : outputs) {
        out.text(2, output);
    }
    if (!name.empty()) {
        out.text(3, name);
    }
    out.text(4, op);
    if (!domain.empty()) {
        out.text(7, domain);
    }
    return out;
}

/// Kinds: 1 float, 2 int, 3 string, 4 tensor, 5 graph, 6 floats, 7 ints, 8 strings.
inline Message attribute(std::string_view name, int kind) {
    return Message().text(1, name).number(20, static_cast<std::uint64_t>(kind));
}

inline Message opset(std::string_view domain, std::int64_t version) {
    return Message().text(1, domain).number(2, static_cast<std::uint64_t>(version));
}

/// A model in version 8 of the format and opset 17 around a graph.
inline Message model(const Message& graph) {
    return Message().number(1, 8).message(7, graph).message(8, opset("", 17));
}

enum GraphField { node_field = 1, initializer_field = 5, input_field = 11, output_field = 12 };

/// x [batch, 2] -> MatMul with w [2, 2] -> y, with `extra` fields of the graph after it.
inline Message small_graph(const Message& extra = {}) {
    Message out;
    out.message(node_field, node("MatMul", {"x", "w"}, {"y"}, "fc"))
        .text(2, "g")
        .message(initializer_field, tensor("w", 1, {2, 2}, raw<float>({1, -2, 0.5, 3})))
        .message(input_field, value("x", {2}))
        .message(output_field, value("y", {2}));
    out.bytes += extra.bytes;
    return out;
}

}  // namespace onnx_writer
