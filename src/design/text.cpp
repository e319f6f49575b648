#include <fmt/format.h>

#include <algorithm>

#include "base/line_reader.h"
#include "design/design.h"

/// Printing and parsing of the text form (design.h shows it).
namespace gatewright::design {

namespace {

std::string lanes_text(const std::vector<Lane>& lanes) {
    std::string out = " :";
    for (const Lane& lane : lanes) {
        out += fmt::format(" {}[{},{}]", to_string(lane.type), to_string(lane.range.low),
                           to_string(lane.range.high));
    }
    return out;
}

std::string end_text(const End& end) {
    return end.process < 0 ? fmt::format("top.{}", end.port)
                           : fmt::format("{}.{}", end.process, end.port);
}

void put_function(std::string& out, std::string_view keyword, const bits::Function& function) {
    out += keyword;
    out += '\n';
    const std::string text = bits::to_text(function);
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = text.find('\n', at);
        out += "| " + text.substr(at, end - at) + '\n';
        at = end + 1;
    }
}

class Parser {
  public:
    explicit Parser(std::string_view text) : reader_(text) {}

    Design run() {
        while (reader_.next_line()) {
            const std::string_view keyword = word();
            if (keyword.empty()) {
                continue;
            }
            if (!named_ && keyword != "design") {
                fail("the text holds no design");
            }
            statement(keyword);
            if (!reader_.rest().empty()) {
                fail(fmt::format("'{}' is not expected here", reader_.rest()));
            }
        }
        if (!named_) {
            fail("the text holds no design");
        }
        const std::vector<std::string> faults = verify(design_);
        if (!faults.empty()) {
            fail(faults.front());
        }
        return std::move(design_);
    }

  private:
    [[noreturn]] void fail(const std::string& message) const {
        throw Failure(Code::design_text, {}, fmt::format("line {}: {}", reader_.number(), message));
    }

    std::string_view word() {
        const std::string_view token = reader_.rest().substr(0, reader_.rest().find(' '));
        reader_.skip(token.size());
        return token;
    }
    void expect(std::string_view keyword) {
        if (const std::string_view got = word(); got != keyword) {
            fail(fmt::format("'{}' is expected, not '{}'", keyword, got));
        }
    }
    std::string name() {
        std::string out;
        if (!reader_.quoted(out)) {
            fail(reader_.rest().starts_with('"') ? "a name has no closing quote"
                                                 : "a name in quotes is expected");
        }
        return out;
    }
    Int128 integer(std::string_view token) const {
        Int128 value = 0;
        if (!parse_int128(token, value)) {
            fail(fmt::format("an integer is expected, not '{}'", token));
        }
        return value;
    }
    std::int64_t number() {
        const Int128 value = integer(word());
        if (value < 0 || value > most) {
            fail(fmt::format("the number {} is out of range", to_string(value)));
        }
        return static_cast<std::int64_t>(value);
    }
    Lane lane(std::string_view token) const {
        const std::size_t open = token.find('[');
        const std::size_t comma = token.find(',', std::min(open, token.size()));
        const auto type = parse_fixed_type(token.substr(0, open));
        if (!type || comma == std::string_view::npos || !token.ends_with(']')) {
            fail(fmt::format("a lane like fixed<4,1>[-8,7] is expected, not '{}'", token));
        }
        return {*type,
                {integer(token.substr(open + 1, comma - open - 1)),
                 integer(token.substr(comma + 1, token.size() - comma - 2))}};
    }
    std::vector<Lane> lanes() {
        expect(":");
        std::vector<Lane> out;
        for (std::string_view token = word(); !token.empty(); token = word()) {
            out.push_back(lane(token));
        }
        return out;
    }
    End end() {
        const std::string_view token = word();
        const std::size_t dot = token.find('.');
        if (dot == std::string_view::npos) {
            fail(fmt::format("a port like 0.1 or top.1 is expected, not '{}'", token));
        }
        const auto part = [&](std::string_view text) {
            const Int128 value = integer(text);
            if (value < 0 || value > (1 << 30)) {
                fail(fmt::format("there is no port {}", token));
            }
            return static_cast<int>(value);
        };
        const std::string_view process = token.substr(0, dot);
        return {process == "top" ? -1 : part(process), part(token.substr(dot + 1))};
    }
    Process& process() {
        if (design_.processes.empty()) {
            fail("a process comes first");
        }
        return design_.processes.back();
    }
    bits::Function function() {
        std::string text;
        const int first = reader_.number();
        while (reader_.next_starts_with("| ") && reader_.next_line()) {
            reader_.skip(2);
            text += std::string(reader_.rest()) + '\n';
            reader_.skip(reader_.rest().size());
        }
        try {
            return bits::from_text(text);
        } catch (const Failure& failure) {
            throw Failure(Code::design_text, {},
                          fmt::format("the function below line {}: {}", first,
                                      failure.diagnostics().front().message));
        }
    }

    void top_port(std::vector<TopPort>& ports) {
        TopPort port;
        port.name = name();
        expect("words");
        port.words = number();
        std::string_view token = word();
        if (token == "order") {
            for (token = word(); token != ":"; token = word()) {
                port.order.push_back(static_cast<std::int64_t>(integer(token)));
            }
        }
        if (token != ":") {
            fail(fmt::format("':' is expected, not '{}'", token));
        }
        for (token = word(); !token.empty(); token = word()) {
            port.lanes.push_back(lane(token));
        }
        ports.push_back(std::move(port));
    }

    void statement(std::string_view keyword) {
        if (keyword == "design") {
            design_.name = name();
            named_ = true;
        } else if (keyword == "input") {
            top_port(design_.inputs);
        } else if (keyword == "output") {
            top_port(design_.outputs);
        } else if (keyword == "process") {
            Process& added = design_.processes.emplace_back();
            added.name = name();
            expect("at");
            added.origin = {name(), name(), name(), name()};
        } else if (keyword == "loop") {
            std::string counter = name();
            process().loops.push_back({std::move(counter), number()});
            if (process().loops.back().count < 1 || process().iterations() > most) {
                fail("the loops of a frame have no iteration or too many");
            }
        } else if (keyword == "take" || keyword == "give") {
            Port port{name(), {}};
            port.lanes = lanes();
            (keyword == "take" ? process().inputs : process().outputs).push_back(std::move(port));
        } else if (keyword == "register") {
            Register state{name(), {}, 0};
            expect("=");
            state.initial = integer(word());
            expect(":");
            state.lane = lane(word());
            process().registers.push_back(std::move(state));
        } else if (keyword == "memory") {
            Memory memory{name(), {}, 0, {}};
            expect("words");
            memory.words = number();
            memory.lanes = lanes();
            process().memories.push_back(std::move(memory));
        } else if (keyword == "word") {
            if (process().memories.empty()) {
                fail("a memory comes first");
            }
            auto& contents = process().memories.back().contents.emplace_back();
            for (std::string_view token = word(); !token.empty(); token = word()) {
                contents.push_back(integer(token));
            }
        } else if (keyword == "control") {
            process().control = function();
        } else if (keyword == "body") {
            process().body = function();
        } else if (keyword == "channel") {
            Channel channel;
            channel.from = end();
            expect("to");
            channel.to = end();
            expect("depth");
            channel.depth = number();
            channel.lanes = lanes();
            design_.channels.push_back(std::move(channel));
        } else {
            fail(fmt::format("'{}' is no part of a design", keyword));
        }
    }

    /// Of counts: one frame of a design is run to verify it.
    static constexpr std::int64_t most = std::int64_t{1} << 31;

    LineReader reader_;
    bool named_ = false;
    Design design_;
};

}  // namespace

std::string to_text(const Design& design) {
    std::string out = fmt::format("design {}\n", quoted(design.name));
    for (const auto* ports : {&design.inputs, &design.outputs}) {
        for (const TopPort& port : *ports) {
            out += fmt::format("{} {} words {}", ports == &design.inputs ? "input" : "output",
                               quoted(port.name), port.words);
            out += port.order.empty() ? "" : fmt::format(" order {}", fmt::join(port.order, " "));
            out += lanes_text(port.lanes) + '\n';
        }
    }
    for (const Process& process : design.processes) {
        out += fmt::format("process {} at {} {} {} {}\n", quoted(process.name),
                           quoted(process.origin.file), quoted(process.origin.layer),
                           quoted(process.origin.type), quoted(process.origin.attribute));
        for (const Loop& loop : process.loops) {
            out += fmt::format("loop {} {}\n", quoted(loop.name), loop.count);
        }
        for (const Port& port : process.inputs) {
            out += fmt::format("take {}{}\n", quoted(port.name), lanes_text(port.lanes));
        }
        for (const Port& port : process.outputs) {
            out += fmt::format("give {}{}\n", quoted(port.name), lanes_text(port.lanes));
        }
        for (const Register& state : process.registers) {
            out += fmt::format("register {} = {}{}\n", quoted(state.name), to_string(state.initial),
                               lanes_text({state.lane}));
        }
        for (const Memory& memory : process.memories) {
            out += fmt::format("memory {} words {}{}\n", quoted(memory.name), memory.words,
                               lanes_text(memory.lanes));
            for (const auto& word : memory.contents) {
                out += "word";
                for (const Int128 lane : word) {
                    out += " " + to_string(lane);
                }
                out += '\n';
            }
        }
        put_function(out, "control", process.control);
        put_function(out, "body", process.body);
    }
    for (const Channel& channel : design.channels) {
        out += fmt::format("channel {} to {} depth {}{}\n", end_text(channel.from),
                           end_text(channel.to), channel.depth, lanes_text(channel.lanes));
    }
    return out;
}

Design from_text(std::string_view text) {
    return Parser(text).run();
}

}  // namespace gatewright::design
