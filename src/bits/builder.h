#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bits/function.h"

namespace gatewright::bits {

/// Makes a Function node by node. Constants are folded, equal nodes are shared and identities
/// (x + 0, x << 0, a cast to the same type, a mux of equals, ...) vanish, so that a body written
/// generally comes out specialised. Only legal nodes can be made: each method checks its operands
/// and types (std::logic_error otherwise: a fault of the caller, not of the user).
///
/// The result type is always the caller's; src/fixed derives it from exact ranges.
class Builder {
  public:
    explicit Builder(std::string name);

    NodeId input(std::string name, Type type);
    NodeId constant(Int128 value, Type type);
    /// The narrowest type that holds the value.
    NodeId constant(Int128 value);

    NodeId add(NodeId a, NodeId b, Type type);
    NodeId sub(NodeId a, NodeId b, Type type);
    NodeId mul(NodeId a, NodeId b, Type type);
    NodeId shl(NodeId a, int amount, Type type);
    NodeId shr(NodeId a, int amount, Type type);
    NodeId bit_and(NodeId a, NodeId b, Type type);
    NodeId bit_or(NodeId a, NodeId b, Type type);
    NodeId bit_xor(NodeId a, NodeId b, Type type);
    NodeId bit_not(NodeId a, Type type);
    NodeId equal(NodeId a, NodeId b);
    NodeId less(NodeId a, NodeId b);
    NodeId mux(NodeId condition, NodeId if_set, NodeId if_clear, Type type);
    NodeId cast(NodeId a, Type type);
    NodeId read(int table, NodeId address, Type type);

    /// Adds a table (equal tables are shared) and returns its number.
    int table(std::string name, Type type, std::vector<Int128> words);

    void output(std::string name, NodeId node);

    /// The layer that the nodes made from now on come from.
    void set_origin(std::string_view layer);

    Type type(NodeId node) const { return function_.nodes[node].type; }
    const Node& node(NodeId id) const { return function_.nodes[id]; }
    bool is_constant(NodeId id) const { return function_.nodes[id].op == Op::constant; }
    Int128 constant_value(NodeId id) const { return function_.constant(function_.nodes[id]); }
    std::size_t size() const { return function_.nodes.size(); }

    /// Copies `callee` into this function with `arguments` for its inputs (cast to their types);
    /// returns the nodes of its outputs.
    std::vector<NodeId> inline_call(const Function& callee, const std::vector<NodeId>& arguments);

    /// The finished function, without the nodes that no output needs (inputs stay). The builder is
    /// empty afterwards.
    Function take();

  private:
    NodeId emit(Op op, Type type, std::int64_t immediate, NodeId a = 0, NodeId b = 0, NodeId c = 0);
    NodeId commutative(Op op, Type type, NodeId a, NodeId b);
    NodeId operand(NodeId a);
    NodeId checked(NodeId a) const;
    bool is_value(NodeId id, Int128 value) const;
    bool is_negation(NodeId id, Type of, NodeId& negated) const;
    std::uint64_t hash(const Node& node) const;
    NodeId& find_bucket(std::uint64_t hash, const Node& node, Int128 value);
    void grow();
    std::uint32_t origin_number(std::string_view layer);

    Function function_;
    std::uint32_t origin_ = 0;
    std::size_t used_buckets_ = 0;
    std::vector<NodeId> buckets_;  ///< open addressing over nodes; empty entries are ~0
    std::unordered_map<std::string, std::uint32_t> origins_;
    std::unordered_map<std::string, int> table_names_;    ///< how often each was asked for
    std::unordered_multimap<std::uint64_t, int> tables_;  ///< by a hash of their words
};

}  // namespace gatewright::bits
