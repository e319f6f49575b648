#include "flow/layer_registers.h"

#include <cctype>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <vector>

#include "base/diagnostics.h"

namespace gatewright::flow {

namespace {

using Strings = std::vector<std::string>;

/// Numbers for names, so that a netlist of a million cells stays small.
class Numbering {
  public:
    int number(const std::string& name) {
        const auto [at, added] = numbers_.try_emplace(name, static_cast<int>(names_.size()));
        if (added) {
            names_.push_back(name);
        }
        return at->second;
    }
    const std::string& name(int number) const { return names_[static_cast<std::size_t>(number)]; }

  private:
    std::unordered_map<std::string, int> numbers_;
    Strings names_;
};

struct Cell {
    int type = 0;
    std::vector<std::int64_t> outputs;  ///< nets, one a bit
};

/// Takes from the text what is needed as it is parsed: the tree of a large netlist would not fit.
class Reader : public nlohmann::json::json_sax_t {
  public:
    explicit Reader(std::string module) : module_(std::move(module)) {}

    std::vector<Cell> cells;
    std::unordered_map<std::int64_t, int> layer_of_net;
    Numbering types;
    Numbering layers;
    bool found = false;

    bool start_object(std::size_t) override { return push(); }
    bool end_object() override { return pop(); }
    bool start_array(std::size_t) override { return push(); }
    bool end_array() override { return pop(); }
    bool key(string_t& name) override {
        path_.back() = name;
        if (path_.size() == 2 && path_[0] == "modules") {
            inside_ = name == module_;
            found = found || inside_;
        }
        if (inside_ && path_.size() == 4 && path_[2] == "cells") {
            cells.emplace_back();
            directions_.clear();
        }
        return true;
    }
    bool string(string_t& text) override {
        if (inside_ && in("cells") && path_.size() == 5 && path_[4] == "type") {
            cells.back().type = types.number(text);
        } else if (inside_ && in("cells") && path_.size() == 6 && path_[4] == "port_directions") {
            directions_[path_[5]] = text;
        }
        return true;
    }
    bool number_unsigned(number_unsigned_t value) override {
        if (!inside_) {
            return true;
        }
        const auto net = static_cast<std::int64_t>(value);
        if (in("cells") && path_.size() == 7 && path_[4] == "connections") {
            const auto direction = directions_.find(path_[5]);
            if (direction != directions_.end() && direction->second == "output") {
                cells.back().outputs.push_back(net);
            }
        } else if (in("netnames") && path_.size() == 6 && path_[4] == "bits") {
            if (const std::string layer = layer_of_signal(path_[3]); !layer.empty()) {
                layer_of_net.try_emplace(net, layers.number(layer));
            }
        }
        return true;
    }
    bool number_integer(number_integer_t) override { return true; }
    bool number_float(number_float_t, const string_t&) override { return true; }
    bool boolean(bool) override { return true; }
    bool null() override { return true; }
    bool binary(binary_t&) override { return true; }
    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override {
        return false;
    }

  private:
    bool in(const char* part) const { return path_.size() > 3 && path_[2] == part; }
    bool push() {
        path_.emplace_back();
        return true;
    }
    bool pop() {
        path_.pop_back();
        return true;
    }

    std::string module_;
    Strings path_;  ///< the keys above the present value
    bool inside_ = false;
    std::unordered_map<std::string, std::string> directions_;
};

}  // namespace

std::string layer_of_signal(const std::string& name) {
    const auto digits_from = [&](std::size_t at) {
        std::size_t end = at;
        while (end < name.size() && std::isdigit(static_cast<unsigned char>(name[end])) != 0) {
            ++end;
        }
        return end;
    };
    for (std::size_t at = name.rfind("_n"); at != std::string::npos && at > 0;
         at = at == 0 ? std::string::npos : name.rfind("_n", at - 1)) {
        std::size_t end = digits_from(at + 2);
        if (end == at + 2) {
            continue;
        }
        if (name.compare(end, 2, "_r") == 0 && digits_from(end + 2) > end + 2) {
            end = digits_from(end + 2);
        }
        if (end < name.size() && name[end] == '_' && digits_from(end + 1) > end + 1) {
            end = digits_from(end + 1);
        }
        if (end == name.size()) {
            return name.substr(0, at);
        }
    }
    return {};
}

std::map<std::string, std::int64_t> flip_flops_by_layer(const std::string& netlist_json,
                                                        const std::string& module,
                                                        const Family& family) {
    Reader reader(module);
    if (!nlohmann::json::sax_parse(netlist_json, &reader) || !reader.found) {
        throw Failure(Code::tool_report_unreadable, {"netlist.json", "", "", ""},
                      "the netlist that yosys wrote cannot be read, or lacks module " + module);
    }
    std::map<std::string, std::int64_t> out;
    for (const Cell& cell : reader.cells) {
        CellCounts counts;
        counts.add(family, reader.types.name(cell.type), 1);
        if (counts.ff == 0) {
            continue;
        }
        std::string layer;
        for (const std::int64_t net : cell.outputs) {
            const auto found = reader.layer_of_net.find(net);
            if (layer.empty() && found != reader.layer_of_net.end()) {
                layer = reader.layers.name(found->second);
            }
        }
        out[layer] += counts.ff;
    }
    return out;
}

}  // namespace gatewright::flow
