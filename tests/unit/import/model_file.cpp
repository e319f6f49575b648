#include "import/onnx/model_file.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "base/file.h"
#include "onnx_writer.h"

using namespace gatewright;
using namespace gatewright::onnx;
using namespace onnx_writer;

namespace {

OnnxModel parse(const std::string& bytes, const std::string& folder = "") {
    return parse_model(std::as_bytes(std::span(bytes.data(), bytes.size())), "m.onnx", folder);
}
OnnxModel parse(const Message& message) {
    return parse(message.bytes);
}

std::string refusal(const std::string& bytes, const std::string& folder = "") {
    try {
        parse(bytes, folder);
    } catch (const Failure& failure) {
        return failure.what();
    }
    return "";
}
std::string refusal(const Message& message) {
    return refusal(message.bytes);
}

/// The small model with further fields of its graph.
std::string refusal_with(const Message& extra) {
    return refusal(model(small_graph(extra)));
}

bool contains(const std::string& text, std::string_view part) {
    const bool found = text.find(part) != std::string::npos;
    if (!found) {
        MESSAGE("no '", std::string(part), "' in: ", text);
    }
    return found;
}

/// Reads one initialiser by way of a model.
OnnxTensor read_tensor(const Message& tensor) {
    const OnnxModel read = parse(model(small_graph(Message().message(initializer_field, tensor))));
    return read.graph.initializers.at("t");
}
std::string tensor_refusal(const Message& tensor) {
    return refusal_with(Message().message(initializer_field, tensor));
}
Message with_attribute(const Message& attribute, std::string_view op = "Relu",
                       std::string_view domain = "") {
    Message relu = node(op, {"x"}, {"z"}, "act", domain);
    return Message().message(node_field, relu.message(5, attribute));
}

using Values = std::vector<double>;

}  // namespace

TEST_CASE("a small model is read as it is") {
    const OnnxModel read = parse(model(small_graph()));
    CHECK(read.file == "m.onnx");
    CHECK(read.ir_version == 8);
    CHECK(read.opsets == std::map<std::string, std::int64_t>{{"", 17}});
    REQUIRE(read.graph.inputs.size() == 1);
    CHECK(read.graph.inputs[0].name == "x");
    CHECK(read.graph.inputs[0].element == ElementType::float32);
    const std::vector<OnnxDim> dims{std::string("batch"), std::int64_t{2}};
    CHECK(read.graph.inputs[0].dims == dims);
    REQUIRE(read.graph.nodes.size() == 1);
    CHECK(read.graph.nodes[0].layer_name() == "fc");
    CHECK(read.graph.nodes[0].opset == 17);
    CHECK(read.graph.initializers.at("w").tensor == Tensor{{2, 2}, {1, -2, 0.5, 3}});
    CHECK(read.notes.empty());
}

TEST_CASE("all element types, as raw bytes and in typed fields") {
    CHECK(read_tensor(tensor("t", 11, {2}, raw<double>({0.1, -3}))).tensor.values ==
          Values{0.1, -3});
    CHECK(
        read_tensor(tensor("t", 10, {3}, raw<std::uint16_t>({0x3c00, 0xc000, 1}))).tensor.values ==
        Values{1, -2, 0x1p-24});
    CHECK(read_tensor(tensor("t", 16, {1}, raw<std::uint16_t>({0x40a0}))).tensor.values ==
          Values{5});
    CHECK(read_tensor(tensor("t", 3, {2}, "\xff\x7f")).tensor.values == Values{-1, 127});
    CHECK(read_tensor(tensor("t", 2, {2}, "\xff\x7f")).tensor.values == Values{255, 127});
    CHECK(read_tensor(tensor("t", 5, {1}, raw<std::int16_t>({-300}))).tensor.values ==
          Values{-300});
    CHECK(read_tensor(tensor("t", 4, {1}, raw<std::uint16_t>({65535}))).tensor.values ==
          Values{65535});
    CHECK(read_tensor(tensor("t", 6, {1}, raw<std::int32_t>({-70000}))).tensor.values ==
          Values{-70000});
    CHECK(read_tensor(tensor("t", 12, {1}, raw<std::uint32_t>({4294967295U}))).tensor.values ==
          Values{4294967295.0});
    CHECK(read_tensor(tensor("t", 9, {2}, std::string_view("\1\0", 2))).tensor.values ==
          Values{1, 0});
    CHECK(read_tensor(tensor("t", 22, {3}, "\xf7\x08")).tensor.values == Values{7, -1, -8});
    CHECK(read_tensor(tensor("t", 21, {3}, "\xf7\x08")).tensor.values == Values{7, 15, 8});
    CHECK(read_tensor(tensor("t", 26, {5}, "\xe4\x02")).tensor.values == Values{0, 1, -2, -1, -2});
    CHECK(read_tensor(tensor("t", 25, {4}, "\xe4")).tensor.values == Values{0, 1, 2, 3});
    CHECK(read_tensor(tensor("t", 17, {2}, "\x38\xfe")).tensor.values == Values{1, -448});
    CHECK(read_tensor(tensor("t", 19, {1}, "\x3c")).tensor.values == Values{1});
    CHECK(read_tensor(tensor("t", 24, {2}, "\x7f\x80")).tensor.values == Values{1, 2});
    CHECK(read_tensor(tensor("t", 23, {2}, "\x72")).tensor.values == Values{1, 6});
    // Elements 1, 2, 3, 4 of six bits each: 0x08, 0x10, 0x14, 0x18 of e2m3.
    CHECK(read_tensor(tensor("t", 27, {4}, "\x08\x44\x61")).tensor.values == Values{1, 2, 3, 4});

    CHECK(read_tensor(typed_tensor("t", 6, 2, 5, {-7, 9})).tensor.values == Values{-7, 9});
    CHECK(read_tensor(typed_tensor("t", 3, 2, 5, {-128, 127})).tensor.values == Values{-128, 127});
    CHECK(read_tensor(typed_tensor("t", 10, 1, 5, {0x3c00})).tensor.values == Values{1});
    CHECK(read_tensor(typed_tensor("t", 22, 3, 5, {0xf7, 0x08})).tensor.values ==
          Values{7, -1, -8});
    CHECK(read_tensor(typed_tensor("t", 12, 1, 11, {4294967295})).tensor.values ==
          Values{4294967295.0});
    CHECK(read_tensor(typed_tensor("t", 7, 0, 7, {})).tensor.values.empty());
}

TEST_CASE("64-bit integers keep their exact values") {
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    const OnnxTensor raw_form = read_tensor(tensor("t", 7, {2}, raw<std::int64_t>({most, -1})));
    CHECK(raw_form.integers == std::vector<std::int64_t>{most, -1});
    CHECK(raw_form.to_integers() == std::vector<std::int64_t>{most, -1});
    CHECK(read_tensor(typed_tensor("t", 7, 1, 7, {most})).integers ==
          std::vector<std::int64_t>{most});
    CHECK(!read_tensor(tensor("t", 1, {1}, raw<float>({0.5}))).to_integers());
    CHECK(contains(tensor_refusal(tensor("t", 13, {1}, raw<std::uint64_t>({~std::uint64_t{0}}))),
                   "needs 64 bits without sign"));
}

TEST_CASE("tensors whose claims and data differ are refused before memory is taken") {
    CHECK(contains(tensor_refusal(tensor("t", 1, {3}, "12345678")),
                   "layer 't' (initializer): its shape [3] of float32 needs 12 bytes of data, but "
                   "the file holds 8"));
    CHECK(contains(tensor_refusal(tensor("t", 1, {1LL << 29}, "")), "needs 2147483648 bytes"));
    CHECK(contains(tensor_refusal(tensor("t", 1, {1LL << 32, 1LL << 32}, "")), "no memory holds"));
    CHECK(contains(tensor_refusal(tensor("t", 1, {1LL << 62}, "")), "no memory holds"));
    CHECK(contains(tensor_refusal(tensor("t", 1, {-1}, "")), "an extent is negative"));
    CHECK(contains(tensor_refusal(tensor("t", 1, {0, -1}, "")), "an extent is negative"));
    CHECK(contains(tensor_refusal(typed_tensor("t", 7, 1LL << 40, 7, {1})),
                   "needs 1099511627776 entries of data, but the file holds 1"));
    CHECK(contains(tensor_refusal(typed_tensor("t", 7, 1, 5, {1})), "needs 1 entries"));
    CHECK(contains(tensor_refusal(typed_tensor("t", 22, 1LL << 40, 5, {1})), "entries"));
    CHECK(contains(tensor_refusal(typed_tensor("t", 3, 1, 5, {128})), "128 does not fit int8"));
    CHECK(contains(tensor_refusal(typed_tensor("t", 2, 1, 5, {-1})), "-1 does not fit uint8"));
    CHECK(contains(tensor_refusal(typed_tensor("t", 12, 1, 11, {1LL << 32})), "does not fit"));
    CHECK(contains(tensor_refusal(typed_tensor("t", 22, 1, 5, {256})), "not a byte"));
    CHECK(contains(tensor_refusal(tensor("t", 9, {1}, "\2")), "neither 0 nor 1"));
    CHECK(contains(tensor_refusal(tensor("t", 8, {1}, "")), "GW0107"));
    CHECK(contains(tensor_refusal(tensor("t", 14, {1}, "12345678")), "complex64"));
    CHECK(contains(tensor_refusal(tensor("t", 99, {1}, "1")), "element type 99"));
    CHECK(contains(tensor_refusal(tensor("t", 0, {1}, "1")), "no element type"));
    CHECK(contains(tensor_refusal(typed_tensor("t", 6, 1, 5, {1}).text(9, "1234")), "twice"));
    CHECK(contains(tensor_refusal(tensor("t", 1, {1}, "1234").message(3, Message())), "segment"));
    CHECK(contains(tensor_refusal(tensor("t", 1, {1}, "1234").number(50, 1)), "no known version"));
}

TEST_CASE("weights that are not finite are refused, masks and bounds are not") {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    CHECK(contains(tensor_refusal(tensor("t", 1, {2}, raw<float>({1, NAN}))),
                   "GW0109: m.onnx: layer 't' (initializer): its value number 1 is not a number"));
    const auto used_by = [&](std::string_view op) {
        return Message()
            .message(initializer_field, tensor("t", 1, {2}, raw<float>({1, -infinity})))
            .message(node_field, node("Unsqueeze", {"t"}, {"u"}))
            .message(node_field, node(op, {"y", "u"}, {"z"}, "last"));
    };
    CHECK(contains(refusal_with(used_by("MatMul")),
                   "layer 't' (initializer): it holds infinite values, which have no meaning in "
                   "layer 'last' (MatMul)"));
    CHECK(refusal_with(used_by("Add")).empty());
    CHECK(contains(refusal_with(with_attribute(attribute("alpha", 1).float32(2, NAN))),
                   "layer 'act' (Relu), attribute 'alpha'"));
    CHECK(contains(refusal_with(with_attribute(attribute("alpha", 1).float32(2, infinity))),
                   "it is infinite"));
    CHECK(refusal_with(with_attribute(attribute("max", 1).float32(2, infinity), "Clip")).empty());
}

TEST_CASE("sparse tensors are unfolded within limits") {
    const auto sparse = [](std::int64_t extent, std::initializer_list<std::int64_t> indices) {
        const auto count = static_cast<std::int64_t>(indices.size());
        Message values = tensor("t", 1, {count}, std::string(indices.size() * 4, '\x40'));
        Message index = typed_tensor("", 7, count, 7, indices);
        return Message().message(15, Message().message(1, values).message(2, index).number(
                                         3, static_cast<std::uint64_t>(extent)));
    };
    const OnnxModel read = parse(model(small_graph(sparse(4, {1, 3}))));
    const double value = 3.0039215087890625;
    CHECK(read.graph.initializers.at("t").tensor == Tensor{{4}, {0, value, 0, value}});
    CHECK(contains(refusal_with(sparse(1LL << 40, {1})), "too large to unfold"));
    CHECK(contains(refusal_with(sparse(4, {4})), "outside of its shape"));
    CHECK(contains(refusal_with(sparse(4, {-1})), "do not rise"));
    CHECK(contains(refusal_with(sparse(4, {2, 2})), "do not rise"));
    CHECK(contains(refusal_with(sparse(-4, {2})), "negative"));
}

TEST_CASE("files that are no model say what they are") {
    CHECK(contains(refusal(std::string()), "GW0101: m.onnx: the file is empty"));
    CHECK(contains(refusal(std::string("PK\3\4....")), "a zip archive"));
    CHECK(contains(refusal(std::string("version https://git-lfs.github.com/spec/v1")),
                   "git lfs pull"));
    CHECK(contains(refusal(std::string("hello world")), "not an ONNX model"));
    const std::string whole = model(small_graph()).bytes;
    CHECK(contains(refusal(whole + "garbage"), "come 7 bytes that are no part of it"));
    CHECK(contains(refusal(whole + whole), "a second model begins"));
    CHECK(contains(refusal(whole + '\0'), "no part of it"));
    CHECK(contains(refusal(Message().number(1, 8).varint(7 << 3 | 2).varint(2'000'000'000)),
                   "2000000000 bytes are announced but 0 are left"));
    CHECK(contains(refusal(Message().number(1, 8).message(8, opset("", 17))), "no graph"));
    CHECK(contains(refusal(Message().number(1, 8).message(7, small_graph())), "GW0102"));
    CHECK(contains(
        refusal(Message().number(1, 99).message(7, small_graph()).message(8, opset("", 17))),
        "the version of the format is 99"));
    CHECK(contains(refusal(Message().message(7, small_graph()).message(8, opset("", 17))),
                   "does not say its version"));
    CHECK(contains(refusal(model(small_graph()).message(8, opset("", 13))), "versions 17 and 13"));
    CHECK(contains(refusal(model(small_graph()).message(8, opset("zoo", 0))), "version 0"));
    CHECK(contains(
        refusal(Message().number(1, 8).message(7, small_graph()).message(8, opset("", 29))),
        "version 29; those up to 28"));
}

TEST_CASE("every cut and every damaged byte gives a model or a Failure") {
    const std::string whole =
        model(small_graph(with_attribute(attribute("alpha", 1).float32(2, 0.25F)))).bytes;
    REQUIRE(refusal(whole).empty());
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
        // Cut between two parts, what is left can be a whole model of less.
        try {
            parse(whole.substr(0, cut));
        } catch (const Failure&) {
        }
    }
    CHECK(!refusal(whole.substr(0, whole.size() - 1)).empty());
    for (std::size_t i = 0; i < whole.size(); ++i) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string damaged = whole;
            damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
            try {
                parse(damaged);
            } catch (const Failure&) {
            }
        }
    }
}

TEST_CASE("values are defined once and before use, in any order of the file") {
    // z needs y2, which a later node computes.
    const OnnxModel read = parse(
        model(small_graph(Message()
                              .message(node_field, node("Relu", {"y2"}, {"z"}))
                              .message(node_field, node("Neg", {"y"}, {"y2"}, "", "ai.onnx"))
                              .message(node_field, node("Clip", {"z", "", "w"}, {"c", ""})))));
    REQUIRE(read.graph.nodes.size() == 4);
    CHECK(read.graph.nodes[0].op_type == "MatMul");
    CHECK(read.graph.nodes[1].op_type == "Neg");
    CHECK(read.graph.nodes[1].domain.empty());
    CHECK(read.graph.nodes[2].layer_name() == "z");
    CHECK(read.graph.nodes[3].inputs == std::vector<std::string>{"z", "", "w"});

    CHECK(contains(refusal_with(Message().message(node_field, node("Relu", {"no"}, {"z"}))),
                   "layer 'z' (Relu): its input 0 is 'no', which nothing in the file defines"));
    CHECK(contains(refusal_with(Message().message(node_field, node("Relu", {"x"}, {"y"}, "two"))),
                   "layer 'two' (Relu): its output 'y' is an output of layer 'fc' too"));
    CHECK(contains(refusal_with(Message().message(node_field, node("Relu", {"x"}, {"w"}))),
                   "is an input or initialiser"));
    CHECK(contains(refusal_with(Message().message(node_field, node("Relu", {"x"}, {}))),
                   "no outputs"));
    CHECK(contains(refusal_with(Message()
                                    .message(node_field, node("Add", {"x", "c"}, {"a"}))
                                    .message(node_field, node("Relu", {"a"}, {"b"}))
                                    .message(node_field, node("Neg", {"b"}, {"c"}))),
                   "its result is needed to compute itself: 'a' -> 'b' -> 'c' -> 'a'"));
    CHECK(contains(refusal_with(Message().message(node_field, node("Relu", {"b"}, {"b"}))),
                   "'b' -> 'b'"));
    CHECK(contains(refusal_with(Message().message(output_field, value("q", {2}))),
                   "layer 'q' (output): nothing in the file computes"));
    CHECK(contains(refusal_with(Message().message(input_field, value("x", {2}))), "two inputs"));
    CHECK(contains(refusal_with(Message().message(initializer_field, tensor("w", 1, {1}, "1234"))),
                   "two initialisers"));
    CHECK(contains(refusal_with(Message().message(node_field, node("", {"x"}, {"z"}))),
                   "no operator"));
    CHECK(contains(refusal(Message()
                               .number(1, 8)
                               .message(7, small_graph())
                               .message(8, opset("qonnx.custom_op.general", 1))),
                   "layer 'fc' (MatMul): its operator is from the standard set"));
    // All errors come at once.
    const std::string both =
        refusal_with(Message()
                         .message(node_field, node("Relu", {"no"}, {"z"}))
                         .message(initializer_field, tensor("t", 1, {3}, "1234")));
    CHECK(contains(both, "GW0104"));
    CHECK(contains(both, "GW0106"));
}

TEST_CASE("initialisers that are listed as inputs are no inputs") {
    const OnnxModel read =
        parse(model(small_graph(Message().message(input_field, value("w", {2})))));
    REQUIRE(read.graph.inputs.size() == 1);
    CHECK(read.graph.inputs[0].name == "x");
}

TEST_CASE("layers of one name are told apart") {
    const OnnxModel read =
        parse(model(small_graph(Message()
                                    .message(node_field, node("Relu", {"y"}, {"z"}, "fc"))
                                    .message(node_field, node("Relu", {"z"}, {"fc"})))));
    CHECK(read.graph.nodes[0].layer_name() == "fc");
    CHECK(read.graph.nodes[1].layer_name() == "fc_2");
    CHECK(read.graph.nodes[2].layer_name() == "fc_3");
    REQUIRE(read.notes.size() == 2);
    CHECK(read.notes[0].code == Code::layer_renamed);
}

TEST_CASE("attributes of every kind, and malformed ones") {
    const auto only = [](const Message& attribute) {
        const OnnxModel read = parse(model(small_graph(with_attribute(attribute))));
        return read.graph.nodes[1].attributes.at("a");
    };
    CHECK(std::get<double>(only(attribute("a", 1).float32(2, 0.1F))) == double{0.1F});
    CHECK(std::get<std::int64_t>(only(attribute("a", 2).number(3, 5))) == 5);
    CHECK(std::get<std::int64_t>(only(attribute("a", 2))) == 0);  // zeros may be left out
    CHECK(std::get<std::string>(only(attribute("a", 3).text(4, "SAME"))) == "SAME");
    CHECK(
        std::get<OnnxTensor>(only(attribute("a", 4).message(5, tensor("", 3, {1}, "\5")))).tensor ==
        Tensor{{1}, {5}});
    CHECK(std::get<std::vector<std::int64_t>>(only(attribute("a", 7).number(8, 3).number(8, 4))) ==
          std::vector<std::int64_t>{3, 4});
    CHECK(std::get<std::vector<double>>(only(attribute("a", 6).float32(7, 1.5))) == Values{1.5});
    CHECK(std::get<std::vector<std::string>>(only(attribute("a", 8).text(9, "f"))) ==
          std::vector<std::string>{"f"});
    CHECK(std::get<OpaqueAttribute>(only(attribute("a", 5).message(6, Message()))).kind == "graph");
    // Files of version 1 of the format have no kind.
    CHECK(std::get<std::int64_t>(only(Message().text(1, "a").number(3, 5))) == 5);

    const auto error = [](const Message& attribute) {
        return refusal_with(with_attribute(attribute));
    };
    CHECK(contains(error(attribute("a", 2).float32(2, 1)), "of another kind"));
    CHECK(contains(error(attribute("a", 2).number(3, 1).float32(2, 1)), "several values"));
    CHECK(contains(error(attribute("", 2).number(3, 1)), "no name"));
    CHECK(contains(error(Message().text(1, "a")), "no value"));
    CHECK(contains(error(attribute("a", 77).number(3, 1)), "no known version"));
    CHECK(contains(error(attribute("a", 2).text(21, "r")), "refers to an attribute"));
    CHECK(contains(error(attribute("a", 4).message(5, tensor("", 1, {9}, "1234"))),
                   "layer 'act' (Relu), attribute 'a': its shape [9]"));
    Message twice = node("Relu", {"x"}, {"z"}, "act");
    twice.message(5, attribute("a", 2)).message(5, attribute("a", 2));
    CHECK(contains(refusal_with(Message().message(node_field, twice)), "attribute twice"));
}

TEST_CASE("names that are not printable text are refused and shown harmlessly") {
    CHECK(contains(refusal_with(Message().message(node_field, node("Relu", {"x"}, {"z"}, "a\nb"))),
                   "the name 'a\\x0ab' (layer)"));
    CHECK(contains(refusal_with(Message().message(node_field, node("Relu", {"x"}, {"\xff"}))),
                   "'\\xff' (value)"));
    CHECK(refusal_with(Message().message(node_field, node("Relu", {"x"}, {"z"}, "höhe;::/1")))
              .empty());
}

TEST_CASE("values that are no tensors, or have impossible extents, are refused") {
    const Message sequence = Message().text(1, "s").message(2, Message().message(4, Message()));
    CHECK(contains(refusal_with(Message().message(input_field, sequence)),
                   "layer 's' (input): it is a sequence, not a tensor"));
    CHECK(contains(refusal_with(Message().message(input_field, value("i", {-3}))),
                   "layer 'i' (input): its extents [-3] are impossible"));
    CHECK(contains(refusal_with(Message().message(input_field, value("i", {1LL << 40, 1LL << 40}))),
                   "no memory holds"));
    CHECK(contains(refusal_with(Message().message(input_field, value("i", {1}, 77))),
                   "no element type 77"));
    Message no_outputs;
    no_outputs.message(input_field, value("x", {2}));
    CHECK(contains(refusal(model(no_outputs)), "no outputs"));
}

TEST_CASE("functions of the file are put in place of their calls") {
    const auto function = [](std::initializer_list<Message> nodes) {
        Message out;
        out.text(1, "Swish").text(4, "a").text(5, "b").text(6, "slope").text(10, "zoo");
        for (const Message& inner : nodes) {
            out.message(7, inner);
        }
        return out.message(9, opset("", 14)).message(9, opset("zoo", 1));
    };
    const auto with = [](const Message& function_message, std::string_view output = "z") {
        Message call = node("Swish", {"y"}, {output}, "act", "zoo");
        call.message(5, attribute("slope", 1).float32(2, 0.5F));
        return model(small_graph(Message().message(node_field, call)))
            .message(8, opset("zoo", 1))
            .message(25, function_message);
    };
    Message leaky = node("LeakyRelu", {"s"}, {"t"});
    leaky.message(5, Message().text(1, "alpha").number(20, 1).text(21, "slope"));
    const OnnxModel read = parse(with(function(
        {node("Sigmoid", {"a"}, {"s"}), leaky, node("Mul", {"a", "t"}, {"b"}, "product")})));
    REQUIRE(read.graph.nodes.size() == 4);
    CHECK(read.graph.nodes[1].layer_name() == "act/s");
    CHECK(read.graph.nodes[1].inputs == std::vector<std::string>{"y"});
    CHECK(read.graph.nodes[1].opset == 14);
    CHECK(std::get<double>(read.graph.nodes[2].attributes.at("alpha")) == 0.5);
    CHECK(read.graph.nodes[3].layer_name() == "act/product");
    CHECK(read.graph.nodes[3].inputs == std::vector<std::string>{"y", "act/t"});
    CHECK(read.graph.nodes[3].outputs == std::vector<std::string>{"z"});

    CHECK(contains(refusal(with(function({node("Swish", {"a"}, {"b"}, "", "zoo")}))),
                   "the function 'Swish' calls itself"));
    CHECK(contains(refusal(with(function({node("Relu", {"nowhere"}, {"b"})}))),
                   "'act/nowhere', which nothing in the file defines"));
    CHECK(contains(refusal(with(function({})).message(25, function({}))), "two functions"));
    CHECK(contains(refusal(with(function({}))), "does not compute its output 'b'"));
}

TEST_CASE("functions that call functions cannot grow without bounds") {
    Message top =
        model(small_graph(Message().message(node_field, node("F0", {"y"}, {"z"}, "f", "zoo"))));
    top.message(8, opset("zoo", 1));
    for (int i = 0; i < 30; ++i) {
        const std::string next = fmt::format("F{}", i + 1);
        Message function;
        function.text(1, fmt::format("F{}", i)).text(4, "a").text(5, "c").text(10, "zoo");
        function.message(7, node(next, {"a"}, {"b"}, "", "zoo"))
            .message(7, node(next, {"b"}, {"c"}, "", "zoo"))
            .message(9, opset("zoo", 1));
        top.message(25, function);
    }
    CHECK(contains(refusal(top), "grow to more than 100000 layers"));
}

TEST_CASE("external data come from the model's folder only") {
    namespace fs = std::filesystem;
    const fs::path root = fs::temp_directory_path() /
                          fmt::format("gatewright_external_{}", static_cast<const void*>(&root));
    const fs::path folder = root / "model";
    fs::create_directories(folder / "weights");
    const std::string data = raw<float>({1, 2, 3, 4});
    write_file_bytes((folder / "w.bin").string(), std::as_bytes(std::span(data)));
    write_file_bytes((folder / "weights/w.bin").string(), std::as_bytes(std::span(data)));
    write_file_bytes((root / "secret").string(), std::as_bytes(std::span(data)));
    fs::create_symlink("../secret", folder / "link");
    fs::create_symlink("w.bin", folder / "inner_link");

    using Entries = std::vector<std::pair<std::string, std::string>>;
    const auto file = [&](const Entries& entries, std::int64_t count = 2) {
        return model(small_graph(Message().message(initializer_field,
                                                   external_tensor("t", count, entries))))
            .bytes;
    };
    const auto values = [&](const Entries& entries) {
        return parse(file(entries), folder.string()).graph.initializers.at("t").tensor.values;
    };
    const auto error = [&](const Entries& entries, std::int64_t count = 2) {
        return refusal(file(entries, count), folder.string());
    };
    CHECK(values({{"location", "w.bin"}, {"offset", "4"}, {"length", "8"}}) == Values{2, 3});
    CHECK(values({{"location", "w.bin"}, {"offset", "8"}, {"checksum", "f00"}}) == Values{3, 4});
    CHECK(values({{"location", "weights/w.bin"}, {"offset", "8"}}) == Values{3, 4});
    CHECK(values({{"location", "inner_link"}, {"length", "8"}}) == Values{1, 2});

    CHECK(contains(error({{"location", "../secret"}, {"length", "8"}}), "leads out"));
    CHECK(contains(error({{"location", "weights/../../secret"}, {"length", "8"}}), "leads out"));
    CHECK(contains(error({{"location", (root / "secret").string()}}), "leads out"));
    CHECK(contains(error({{"location", "C:\\secret"}}), "leads out"));
    CHECK(contains(error({{"location", "link"}, {"length", "8"}}), "a link that leads out"));
    CHECK(contains(error({{"location", "weights"}}), "not a plain file"));
    CHECK(contains(error({{"location", "missing"}}), "GW0108: m.onnx: layer 't' (initializer)"));
    CHECK(contains(error({{"offset", "0"}}), "no file is named"));
    CHECK(contains(error({{"location", "w.bin"}, {"offset", "17"}}), "lies beyond"));
    CHECK(
        contains(error({{"location", "w.bin"}, {"offset", "12"}, {"length", "8"}}), "lie beyond"));
    CHECK(contains(error({{"location", "w.bin"}, {"offset", "-1"}}), "not a number"));
    CHECK(contains(error({{"location", "w.bin"}, {"length", "99999999999999999999"}}),
                   "not a number"));
    CHECK(contains(error({{"location", "w.bin"}, {"length", "12"}}), "needs 8 bytes, but 12"));
    CHECK(contains(error({{"location", "w.bin"}}, 1LL << 40), "bytes, but 16"));
    CHECK(contains(error({{"location", "w.bin"}, {"location", "w.bin"}}), "given twice"));
    CHECK(contains(error({{"place", "w.bin"}}), "'place' is unknown"));
    CHECK(contains(refusal(file({{"location", "w.bin"}})), "not read from a folder"));
    Message many;
    for (int i = 0; i < 40; ++i) {
        many.message(initializer_field,
                     external_tensor(fmt::format("t{}", i), 4, {{"location", "w.bin"}}));
    }
    CHECK(contains(refusal(model(small_graph(many)).bytes, folder.string()),
                   "more than 8 times the bytes"));
    fs::remove_all(root);
}

TEST_CASE("what says nothing of the function of a model is left aside with a note") {
    const OnnxModel read = parse(model(small_graph()).message(20, Message()));
    REQUIRE(read.notes.size() == 1);
    CHECK(contains(read.notes[0].text(), "note GW0114: m.onnx: its training_info"));
}

TEST_CASE("a file with very many errors stops at a hundred") {
    Message many;
    for (int i = 0; i < 500; ++i) {
        many.message(node_field, node("Relu", {"no"}, {fmt::format("z{}", i)}));
    }
    try {
        parse(model(small_graph(many)));
        FAIL("it was read");
    } catch (const Failure& failure) {
        CHECK(failure.diagnostics().size() == 100);
    }
}
