#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "import/layers/builder.h"
#include "import/layers/options.h"

namespace gatewright::layers {

/// A call of a layer as a rule of the user's own sees it, whatever the file: its settings, its
/// weights and its inputs, and operators of the network to build the result of. All shapes are
/// those of one sample. What the rule leaves unread is an error at the end, as for built-in rules.
class CustomLayer {
  public:
    using Json = nlohmann::ordered_json;

    /// `framework` is "keras", "torch" or "onnx".
    CustomLayer(Builder& builder, std::string framework);

    const std::string& framework() const { return framework_; }
    std::string name() const { return builder_.where().layer; }
    std::string type() const { return builder_.where().type; }

    // What the reader says of the layer.
    /// A setting that must be read or left aside by the rule.
    void add_setting(std::string name, Json value);
    /// A setting whose value the reader cannot tell; it can only be left aside. `what` says what it
    /// is.
    void add_opaque(std::string name, std::string what);
    void add_weight(std::string name, Tensor value);
    /// The next input; nothing for one that is left out. BatchMixed if its batch is not in front.
    void add_input(std::optional<Operand> input);

    // What the rule sees.
    const std::vector<std::pair<std::string, Json>>& settings() const { return settings_; }
    const std::vector<std::pair<std::string, Tensor>>& weights() const { return weights_; }
    /// Numbers of operands, -1 for an input that is left out.
    const std::vector<std::int64_t>& inputs() const { return inputs_; }
    /// A setting's value, marked as read. Failure if it cannot be told.
    const Json& read_setting(const std::string& name);
    /// Marks settings as of no matter: one, or with a last '*' all that begin so. Failure if there
    /// is none.
    void ignore_setting(const std::string& name);
    void use_weight(const std::string& name) { used_.insert("weight " + name); }
    void use_input(std::size_t index) { used_.insert("input " + std::to_string(index)); }

    // Building. Operands are numbers; those that were not given out are a Failure.
    const Operand& operand(std::int64_t number) const;
    std::int64_t add_constant(Tensor value);
    /// Adds an operator of the catalogue by name, with fields in their text form; shapes broadcast
    /// as NumPy's. Numbers of its results.
    std::vector<std::int64_t> emit(std::string_view op,
                                   const std::vector<std::pair<std::string, std::string>>& fields,
                                   const std::vector<std::int64_t>& operands);
    [[noreturn]] void refuse(std::string message, std::string remedy = {}) const;

    /// Ends the work of the rule. The results; Failure for what it left unread.
    std::vector<Operand> finish(const std::vector<std::int64_t>& results);
    std::vector<Operand> results;  ///< set by whoever runs the rule

  private:
    std::int64_t add(Operand operand);

    Builder& builder_;
    std::string framework_;
    std::vector<std::pair<std::string, Json>> settings_;
    std::vector<std::pair<std::string, std::string>> opaque_;
    std::vector<std::pair<std::string, Tensor>> weights_;
    std::vector<std::int64_t> inputs_;
    std::vector<Operand> operands_;
    std::set<std::string> used_;
};

}  // namespace gatewright::layers
