#include "operators/core_model.h"

#include <fmt/format.h>

#include "operators/catalogue.h"

/// Text form of a core model: lines of its borders, then the network.
///
///     model_input "x" [4]
///     encoding "x" [] [quantize(...)]
///     decoding [affine(...)]
///     approximation "softmax" "..." 0.001
///     batch free
///     network ...
namespace gatewright::operators {

using network::parse_field;
using network::print_field;
using network::split_list;
using network::trim;

std::string to_text(const CoreModel& model) {
    std::string out;
    for (const ModelInput& input : model.model_inputs) {
        out +=
            fmt::format("model_input {} {}\n", print_field(input.name), print_field(input.shape));
    }
    for (const Encoding& encoding : model.encodings) {
        out += fmt::format("encoding {} {} {}\n", print_field(encoding.model_input),
                           print_field(encoding.index), print_field(encoding.steps));
    }
    for (const Decoding& decoding : model.decodings) {
        out += fmt::format("decoding {}\n", print_field(decoding.steps));
    }
    for (const Approximation& a : model.approximations) {
        out += fmt::format("approximation {} {} {}\n", print_field(a.layer),
                           print_field(a.description), print_field(a.bound));
    }
    out += fmt::format("batch {}\n", model.batch);
    return out + network::to_text(model.network);
}

CoreModel core_model_from_text(std::string_view text) {
    CoreModel model;
    std::string_view rest = text;
    int number = 0;
    const auto fail = [&](const std::string& what) {
        throw Failure(Code::network_text, {}, fmt::format("line {}: {}", number, what));
    };
    while (!rest.empty() && !rest.starts_with("network ")) {
        const std::size_t end = rest.find('\n');
        const std::string_view line = trim(rest.substr(0, end));
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        ++number;
        const std::size_t space = line.find(' ');
        const std::string_view keyword = line.substr(0, space);
        const std::string_view body =
            space == std::string_view::npos ? std::string_view() : trim(line.substr(space));
        const auto items = split_list(body, ' ');
        bool sound = false;
        if (keyword == "batch") {
            model.batch = std::string(body);
            sound = body == "free" || body == "none";
        } else if (keyword == "decoding") {
            sound = parse_field(body, model.decodings.emplace_back().steps);
        } else if (keyword == "model_input") {
            ModelInput& input = model.model_inputs.emplace_back();
            // A shape holds spaces, so it is everything behind the name.
            sound = !items.empty() && parse_field(items[0], input.name) &&
                    parse_field(trim(body.substr(items[0].size())), input.shape) &&
                    checked_element_count(input.shape).has_value();
        } else if (keyword == "encoding") {
            Encoding& encoding = model.encodings.emplace_back();
            sound = items.size() == 3 && parse_field(items[0], encoding.model_input) &&
                    parse_field(items[1], encoding.index) &&
                    parse_field(items[2], encoding.steps) && !encoding.steps.empty() &&
                    is(encoding.steps.back(), "quantize");
        } else if (keyword == "approximation") {
            Approximation& a = model.approximations.emplace_back();
            sound = items.size() == 3 && parse_field(items[0], a.layer) &&
                    parse_field(items[1], a.description) && parse_field(items[2], a.bound);
        }
        if (!sound) {
            fail(fmt::format("'{}' cannot be read", line.substr(0, 60)));
        }
    }
    model.network = network::from_text(rest, &find);
    // The borders must fit the network.
    const auto inputs = model.network.inputs();
    if (inputs.size() != model.encodings.size() ||
        model.network.outputs().size() != model.decodings.size()) {
        fail("the numbers of inputs and outputs do not fit the network's");
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        const Encoding& encoding = model.encodings[i];
        const std::int64_t count = element_count(model.network.node(inputs[i]).types.front().shape);
        const ModelInput* source = nullptr;
        for (const ModelInput& input : model.model_inputs) {
            source = input.name == encoding.model_input ? &input : source;
        }
        bool sound = source != nullptr;
        if (sound && encoding.index.empty()) {
            sound = element_count(source->shape) == count;
        } else if (sound) {
            sound = static_cast<std::int64_t>(encoding.index.size()) == count;
            for (const std::int64_t e : encoding.index) {
                sound = sound && e >= 0 && e < element_count(source->shape);
            }
        }
        if (!sound) {
            fail(fmt::format("encoding {} does not fit its input", i));
        }
    }
    return model;
}

}  // namespace gatewright::operators
