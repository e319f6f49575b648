#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "import/layers/builder.h"
#include "import/layers/options.h"
#include "import/torch/model.h"
#include "network/imported_model.h"

/// Conversion of a program's nodes to layers: what the rules of the tables (rules.h) work with.
namespace gatewright::torch {

using layers::BatchMixed;
using layers::Operand;
using network::Attributes;
using network::Network;
using network::Operator;

/// An integer of shape arithmetic: `value`, or `value` times the extent of the batch axis.
struct Extent {
    std::int64_t value = 0;
    bool batch = false;

    bool operator==(const Extent&) const = default;
};

class Importer;

/// One node at work. Asking for an argument marks it as used; what is left at the end is an error.
class Call : public layers::Builder {
  public:
    Call(Importer& importer, const GraphNode& node);

    const GraphNode& node() const { return node_; }
    Importer& importer() { return importer_; }

    /// Whether an argument is given and not None.
    bool has(std::string_view name);
    /// A tensor, or a number as a constant.
    Operand operand(std::string_view name);
    std::optional<Operand> optional(std::string_view name);
    /// A list of tensors; one that is left out is an empty optional.
    std::vector<std::optional<Operand>> optionals(std::string_view name);
    std::vector<Operand> operands(std::string_view name);
    /// A tensor that must be a constant.
    Tensor constant(std::string_view name);

    std::int64_t integer(std::string_view name, std::optional<std::int64_t> otherwise = {});
    /// A list of integers, or one integer, which is a list of one.
    Shape integers(std::string_view name, std::optional<Shape> otherwise = {});
    /// The same `rank` times if it is one number.
    Shape spatial(std::string_view name, std::size_t rank, std::int64_t otherwise);
    /// Integers of a shape, of which some may stand for the batch axis.
    std::vector<Extent> extents(std::string_view name);
    double real(std::string_view name, std::optional<double> otherwise = {});
    std::vector<double> reals(std::string_view name);
    bool flag(std::string_view name, std::optional<bool> otherwise = {});
    std::string text(std::string_view name, std::optional<std::string> otherwise = {});
    ScalarType type(std::string_view name, ScalarType otherwise);
    /// Marks an argument that changes nothing here.
    void ignore(std::string_view name);
    /// Refuses an argument unless it has the value that changes nothing.
    void demand(bool holds, std::string_view name, std::string message, std::string remedy = {});

    ScalarType result_type(std::size_t output = 0) const;
    ScalarType type_of(std::string_view argument);
    /// What the program says of an argument that is a tensor; null if it says nothing.
    const TensorMeta* meta_of(std::string_view argument);
    /// The extents that the program declares for a result, without its batch axis; nothing if some
    /// are symbolic.
    std::size_t outputs() const { return node_.outputs.size(); }

    void set(Operand y, std::size_t output = 0);
    /// Where an argument has the batch joined with another axis (Importer::joined).
    std::optional<int> joined(std::string_view argument);
    /// Says so of the first result.
    void join(int axis);
    std::vector<std::string> unused_arguments() const;

  private:
    const Argument* find(std::string_view name);
    [[noreturn]] void wrong_kind(std::string_view name, std::string_view wanted);
    [[noreturn]] void missing(std::string_view name);

    Importer& importer_;
    const GraphNode& node_;
    std::set<std::string, std::less<>> used_;
};

/// How the batch is taken, in the order of the attempts.
enum class BatchMode {
    followed,  ///< the first axis of each input, followed through the graph
    single,    ///< the program has a batch of one: each sample by itself, with that axis
    none,      ///< the program as it is
};

class Importer {
  public:
    Importer(const Program& program, BatchMode mode, const layers::ImportOptions& options);

    /// Throws BatchMixed (not in the last mode) or Failure.
    network::ImportedModel run();

    const Program& program() const { return program_; }
    BatchMode mode() const { return mode_; }
    Network& network() { return out_.network; }
    network::ImportedModel& imported() { return out_; }
    const layers::ImportOptions& options() const { return options_; }
    bool known(const std::string& name) const;
    /// Throws if the value is not known; loads stored tensors.
    const Operand& find(const std::string& name);
    void define(const std::string& name, Operand operand);
    ScalarType type_of(const std::string& name) const;
    Extent number(const GraphInteger& integer, const Location& where) const;
    void define_number(const std::string& name, Extent extent) { numbers_[name] = extent; }
    /// A program may join the batch with a neighbouring axis ([batch * heads, ...]). The operand
    /// keeps them apart: axis j of the program is axes j and j + 1 of the operand. Nothing: all
    /// axes are the program's.
    std::optional<int> joined(const std::string& name) const;
    void join(const std::string& name, int axis) { joined_[name] = axis; }
    /// A value that holds 0, n, 2 n, ... up to the elements of all samples, n in each: where the
    /// bags of an EmbeddingBag begin. Nothing else reads it (BatchMixed).
    void define_starts(const std::string& name, std::int64_t step) { starts_[name] = step; }
    std::optional<std::int64_t> starts(const std::string& name) const;
    /// The extent that the program declares for the batch axis; nothing if it is free or not
    /// followed.
    std::optional<std::int64_t> declared_batch() const { return declared_batch_; }
    /// The node that mixed samples, if one did.
    const GraphNode* mixing() const { return mixing_; }

  private:
    void add_inputs(Diagnostics& diagnostics);
    void add_outputs(Diagnostics& diagnostics);
    void convert(const GraphNode& node, Diagnostics& diagnostics);
    void check_results(const GraphNode& node) const;
    /// The joined axis that the node's results keep. BatchMixed where the rule does not work with
    /// such operands.
    std::optional<int> kept_join(const GraphNode& node, bool keeps, bool knows) const;
    /// What follows from a node's writing into one of its operands, or giving a view of one.
    void follow_aliases(const GraphNode& node, bool in_place, bool view);
    const std::string& root_of(const std::string& name) const;
    /// Puts what a node wrote into a view into the tensors that the view shows, as far as it is a
    /// slice or one position of them; the names of all that are up to date then.
    std::set<std::string> write_through(const GraphNode& node, const std::string& self);

    const Program& program_;
    BatchMode mode_;
    const layers::ImportOptions& options_;
    std::optional<std::int64_t> declared_batch_;
    const GraphNode* mixing_ = nullptr;
    network::ImportedModel out_;
    std::map<std::string, Operand> values_;
    std::map<std::string, Extent> numbers_;
    std::map<std::string, int> joined_;
    std::map<std::string, std::int64_t> starts_;
    std::map<std::string, std::string> roots_;  ///< of views: the tensor that they show
    std::map<std::string, const GraphNode*> views_;
    std::map<std::string, std::string> stale_;  ///< values that a later layer wrote into: which
};

/// Where something is, for messages.
Location location_of(const Program& program, const GraphNode& node, std::string attribute = {});

/// Layers of a program. Throws Failure.
network::ImportedModel import_program(const Program& program,
                                      const layers::ImportOptions& options = {});

}  // namespace gatewright::torch
