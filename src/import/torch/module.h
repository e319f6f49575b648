#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "import/torch/model.h"
#include "import/torch/torch_file.h"

/// One pickled layer, and the program that grows of layers. Internal to the reader of modules.
namespace gatewright::torch {

/// A layer's class, attributes and tensors. Asking for an attribute marks it as used; one that is
/// left at the end is an error.
class Module {
  public:
    /// `custom`: the class has a rule of the user's own; else it must be PyTorch's.
    Module(const TorchFile& file, const PickleValue& object, std::string path, bool custom = false);

    const std::string& path() const { return path_; }
    const std::string& type() const { return type_; }  ///< "Conv2d"
    bool training() const { return training_; }

    [[noreturn]] void refuse(std::string message, std::string remedy = {},
                             std::string attribute = {}) const;
    bool has(std::string_view name);  ///< given and not None
    std::int64_t integer(std::string_view name);
    double real(std::string_view name);
    double real(std::string_view name, double otherwise);
    bool flag(std::string_view name, std::optional<bool> otherwise = {});
    std::string text(std::string_view name, const std::string& otherwise);
    bool is_text(std::string_view name);
    /// A list of integers, or one.
    std::vector<std::int64_t> integers(std::string_view name);
    std::vector<double> reals(std::string_view name);
    /// Marks an attribute that changes nothing.
    void ignore(std::string_view name) { used_.emplace(name); }

    /// The names of its tensors, those that are None left out.
    const std::vector<std::string>& tensors() const { return tensors_; }
    bool has_tensor(std::string_view name) const;
    /// The layers within, in order.
    std::vector<std::pair<std::string, const PickleValue*>> children() const;
    /// Its own attributes by name, without what every module has.
    std::vector<std::pair<std::string, const PickleValue*>> attributes() const;
    /// Moves its tensors into the program, under their paths.
    void store(Program& program) const;
    void check_used() const;

  private:
    const PickleValue* find(std::string_view name);
    const PickleValue& attribute(std::string_view name);

    const TorchFile& file_;
    const PickleValue* state_ = nullptr;
    std::string path_;
    std::string type_;
    bool training_ = false;
    std::vector<std::string> tensors_;
    std::set<std::string, std::less<>> used_;
};

/// A program under construction: a chain of nodes.
class Chain {
  public:
    explicit Chain(Program& program) : program_(program) {}

    using Arguments = std::vector<std::pair<std::string, Argument>>;
    /// Adds a node of "aten.x.overload"; its first argument is the chain's last value.
    void add(const Module& module, const std::string& target, const std::string& self,
             Arguments arguments);
    /// The same of any target.
    void call(const Module& module, std::string target, const std::string& self,
              Arguments arguments);
    /// A tensor of the module, or None.
    static Argument tensor(const Module& module, const std::string& name);
    static Argument number(double value);
    static Argument integer(std::int64_t value);
    static Argument integers(std::vector<std::int64_t> values);
    static Argument flag(bool value);
    static Argument text(std::string value);
    static Argument reals(std::vector<double> values);
    static Argument value(std::string name);

    const std::string& last() const { return last_; }

  private:
    Program& program_;
    std::string last_ = "input";
};

/// Adds a layer to the chain; false if layers of its class are not known.
bool add_layer(Chain& chain, Module& module);
/// Adds a layer that a rule of the user's own converts, with the layers inside it.
void add_custom_layer(Chain& chain, const TorchFile& file, Module& module,
                      const std::string& class_name, Program& program);

}  // namespace gatewright::torch
