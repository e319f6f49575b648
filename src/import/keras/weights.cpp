#include "import/keras/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <set>

namespace gatewright::keras {

namespace {

bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}
bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}

std::vector<std::string> components(const std::string& path) {
    std::vector<std::string> out;
    std::size_t begin = 0;
    while (begin <= path.size()) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        out.push_back(path.substr(begin, end - begin));
        begin = end + 1;
    }
    return out;
}

}  // namespace

std::string snake_case(std::string_view class_name) {
    // An underscore before a capital that begins a word of lower-case letters, then one between a
    // lower-case letter and a capital.
    std::string name;
    for (const char c : class_name) {
        if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_') {
            name += c;
        }
    }
    std::string words;
    for (std::size_t i = 0; i < name.size(); ++i) {
        // Matches do not overlap: the letter before must not belong to the match before it.
        if (i > 0 && is_upper(name[i]) && i + 1 < name.size() && is_lower(name[i + 1])) {
            words += '_';
        }
        words += name[i];
    }
    std::string out;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0 && is_upper(words[i]) && is_lower(words[i - 1])) {
            out += '_';
        }
        out += static_cast<char>(std::tolower(static_cast<unsigned char>(words[i])));
    }
    return out;
}

std::vector<std::string> container_names(const std::vector<std::string>& class_names) {
    std::map<std::string, int> used;
    std::vector<std::string> out;
    for (const std::string& class_name : class_names) {
        // Keras exports one class under another name than its own.
        const std::string name =
            snake_case(class_name == "GroupQueryAttention" ? "GroupedQueryAttention" : class_name);
        const int count = used[name]++;
        out.push_back(count == 0 ? name : fmt::format("{}_{}", name, count));
    }
    return out;
}

Weights Weights::of_file(std::shared_ptr<const store::Hdf5Group> root, const Location& where) {
    Weights out;
    const store::Hdf5Group* inner = root->group("model_weights");
    out.group_ = inner != nullptr ? inner : root.get();
    out.flat_ =
        !out.group_->texts("layer_names").empty() || out.group_->attributes.contains("layer_names");
    out.root_ = std::move(root);
    out.where_ = where;
    if (!out.flat_ && inner == nullptr && out.group_->group("layers") == nullptr &&
        out.group_->group("_layer_checkpoint_dependencies") == nullptr &&
        out.group_->group("vars") == nullptr) {
        throw Failure(Code::weights_mismatch, where,
                      "the file holds no weights in a layout that Keras writes",
                      "Give a file that `model.save`, `save_weights` wrote.");
    }
    return out;
}

Weights Weights::of_tensors(std::vector<Tensor> tensors, const Location& where) {
    Weights out;
    out.where_ = where;
    for (Tensor& tensor : tensors) {
        out.own_.push_back(
            {std::to_string(out.own_.size()), std::make_shared<const Tensor>(std::move(tensor))});
    }
    return out;
}

Weights Weights::afresh() const {
    Weights out = *this;
    out.taken_ = std::make_shared<std::size_t>(0);
    return out;
}

Weights Weights::fork() const {
    Weights out = *this;
    out.taken_ = std::make_shared<std::size_t>(*taken_);
    return out;
}

Weights Weights::with_entries(std::vector<Entry> entries) const {
    Weights out = afresh();
    out.shared_ = false;
    out.own_ = std::move(entries);
    return out;
}

const Tensor* Weights::next() {
    return *taken_ < own_.size() ? own_[(*taken_)++].tensor.get() : nullptr;
}

std::string Weights::next_name() const {
    return *taken_ < own_.size() ? own_[*taken_].name : "";
}

std::vector<std::pair<std::string, Tensor>> Weights::take_all() {
    std::vector<std::pair<std::string, Tensor>> out;
    for (; *taken_ < own_.size(); ++*taken_) {
        out.emplace_back(own_[*taken_].name, *own_[*taken_].tensor);
    }
    if (flat_ || group_ == nullptr) {
        return out;
    }
    for (const auto& [name, group] : group_->groups) {
        if (name == "vars") {
            continue;
        }
        for (auto& [inner, tensor] : child(name).take_all()) {
            out.emplace_back(name + "/" + inner, std::move(tensor));
        }
    }
    return out;
}

std::size_t Weights::left() const {
    return own_.size() - *taken_;
}

const Tensor* Weights::at(std::size_t index) const {
    return index < own_.size() ? own_[index].tensor.get() : nullptr;
}

bool Weights::has(std::string_view path) const {
    return !flat_ && group_ != nullptr && group_->group(path) != nullptr;
}

void Weights::read_variables() {
    own_.clear();
    const store::Hdf5Group* variables = group_ == nullptr ? nullptr : group_->group("vars");
    if (variables == nullptr) {
        return;
    }
    for (std::size_t i = 0; i < variables->datasets.size(); ++i) {
        const std::string name = std::to_string(i);
        const Tensor* tensor = variables->tensor(name);
        if (tensor == nullptr) {
            // Objects that store under names of their own choice; nothing here reads such.
            return;
        }
        own_.push_back({name, std::shared_ptr<const Tensor>(root_, tensor)});
    }
}

Weights Weights::child(std::string_view path) const {
    if (flat_) {
        Weights same = *this;
        same.shared_ = true;
        return same;
    }
    Weights out = afresh();
    out.group_ = group_ == nullptr ? nullptr : group_->group(path);
    out.read_variables();
    return out;
}

std::vector<Weights> Weights::layers(const std::vector<std::string>& names,
                                     const std::vector<std::string>& classes,
                                     bool outermost) const {
    if (flat_) {
        return outermost ? outermost_flat_layers(names) : flat_layers(names);
    }
    // Keras 2.12 to 2.14 wrote .keras files with the second name.
    const char* list = has("layers") ? "layers" : "_layer_checkpoint_dependencies";
    const Weights all = child(list);
    std::vector<Weights> out;
    for (const std::string& name : container_names(classes)) {
        out.push_back(all.child(name));
    }
    return out;
}

std::vector<Weights> Weights::outermost_flat_layers(const std::vector<std::string>& names) const {
    const std::set<std::string> known(names.begin(), names.end());
    std::map<std::string, Weights> by_name;
    for (const std::string& layer : group_->texts("layer_names")) {
        const store::Hdf5Group* group = group_->group(layer);
        if (group == nullptr) {
            throw Failure(
                Code::weights_mismatch, where_,
                fmt::format("the file lists a layer '{}' and has no group for it", layer));
        }
        std::vector<Entry> entries;
        for (const std::string& name : group->texts("weight_names")) {
            const Tensor* tensor = group->tensor(name);
            if (tensor == nullptr) {
                throw Failure(
                    Code::weights_mismatch, where_,
                    fmt::format("layer '{}' lists a weight '{}' that is no array of numbers", layer,
                                name));
            }
            entries.push_back({name, std::shared_ptr<const Tensor>(root_, tensor)});
        }
        if (!entries.empty() && !known.contains(layer)) {
            throw Failure(Code::weights_mismatch, where_,
                          fmt::format("the file has weights of a layer '{}', which the model has "
                                      "not",
                                      layer),
                          "Save model and weights together.");
        }
        by_name.emplace(layer, with_entries(std::move(entries)));
    }
    std::vector<Weights> out;
    for (const std::string& name : names) {
        const auto at = by_name.find(name);
        out.push_back(at == by_name.end() ? with_entries({}) : at->second);
    }
    return out;
}

std::vector<Weights> Weights::flat_layers(const std::vector<std::string>& names) const {
    // One list for all layers of the inner model: first what is trained, then the rest. Their names
    // tell whose they are, as they are paths through the names of layers.
    std::map<std::string, std::vector<Entry>> by_layer;
    std::vector<Entry> nameless;
    const std::set<std::string> known(names.begin(), names.end());
    for (std::size_t i = *taken_; i < own_.size(); ++i) {
        const std::vector<std::string> path = components(own_[i].name);
        const auto at = std::find_if(path.begin(), path.end() - 1,
                                     [&](const auto& part) { return known.contains(part); });
        if (at == path.end() - 1) {
            nameless.push_back(own_[i]);
        } else {
            by_layer[*at].push_back(own_[i]);
        }
    }
    *taken_ = own_.size();
    // Some layers (Normalization) name their weights without themselves: those that found none by
    // name share them.
    const Weights rest = with_entries(std::move(nameless));
    std::vector<Weights> out;
    for (const std::string& name : names) {
        const auto at = by_layer.find(name);
        out.push_back(at == by_layer.end() ? rest : with_entries(at->second));
    }
    return out;
}

}  // namespace gatewright::keras
