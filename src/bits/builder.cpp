#include "bits/builder.h"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

namespace gatewright::bits {

namespace {

constexpr NodeId no_node = ~NodeId{0};
constexpr std::size_t first_buckets = 256;

void require(bool condition, const char* message) {
    if (!condition) {
        throw std::logic_error(std::string("bits::Builder: ") + message);
    }
}

std::uint64_t mix(std::uint64_t state, std::uint64_t value) {
    state = (state ^ value) * 0x9E3779B97F4A7C15ULL;
    return state ^ (state >> 29);
}

std::uint64_t mix(std::uint64_t state, Int128 value) {
    return mix(mix(state, static_cast<std::uint64_t>(value)),
               static_cast<std::uint64_t>(static_cast<UInt128>(value) >> 64));
}

std::uint64_t code(Type type) {
    return type.width * 2U + (type.is_signed ? 1U : 0U);
}

}  // namespace

Builder::Builder(std::string name) : buckets_(first_buckets, no_node) {
    function_.name = std::move(name);
}

std::uint64_t Builder::hash(const Node& node) const {
    std::uint64_t state = mix(0, static_cast<std::uint64_t>(node.op) << 16 | code(node.type));
    if (node.op == Op::constant) {
        return mix(state, function_.constant(node));
    }
    state = mix(state, static_cast<std::uint64_t>(node.immediate) << 32 ^ node.operand[0]);
    return mix(state, static_cast<std::uint64_t>(node.operand[1]) << 32 | node.operand[2]);
}

/// The bucket of the node equal to `node` (for constants: equal in type and to `value`), or the
/// empty bucket that it belongs into.
NodeId& Builder::find_bucket(std::uint64_t hash, const Node& node, Int128 value) {
    const std::size_t mask = buckets_.size() - 1;
    for (std::size_t i = (hash ^ (hash >> 32)) & mask;; i = (i + 1) & mask) {
        if (buckets_[i] == no_node) {
            return buckets_[i];
        }
        const Node& other = function_.nodes[buckets_[i]];
        if (other.op != node.op || other.type != node.type) {
            continue;
        }
        const bool same = node.op == Op::constant
                              ? function_.constant(other) == value
                              : other.immediate == node.immediate &&
                                    std::equal(other.operand, other.operand + 3, node.operand);
        if (same) {
            return buckets_[i];
        }
    }
}

void Builder::grow() {
    std::vector<NodeId> old(buckets_.size() * 2, no_node);
    old.swap(buckets_);
    const std::size_t mask = buckets_.size() - 1;
    for (const NodeId id : old) {
        if (id == no_node) {
            continue;
        }
        const std::uint64_t h = hash(function_.nodes[id]);
        std::size_t i = (h ^ (h >> 32)) & mask;
        while (buckets_[i] != no_node) {
            i = (i + 1) & mask;
        }
        buckets_[i] = id;
    }
}

NodeId Builder::emit(Op op, Type type, std::int64_t immediate, NodeId a, NodeId b, NodeId c) {
    Node node;
    node.op = op;
    node.type = type;
    node.immediate = immediate;
    node.operand[0] = a;
    node.operand[1] = b;
    node.operand[2] = c;
    node.origin = origin_;
    NodeId& bucket = find_bucket(hash(node), node, 0);
    if (bucket != no_node) {
        return bucket;
    }
    require(function_.nodes.size() < no_node, "too many nodes");
    const auto id = static_cast<NodeId>(function_.nodes.size());
    bucket = id;
    function_.nodes.push_back(node);
    if (++used_buckets_ * 2 > buckets_.size()) {
        grow();
    }
    return id;
}

NodeId Builder::constant(Int128 value, Type type) {
    require(is_legal(type), "illegal type");
    require(holds(type, value), "the constant lies outside its type");
    Node node;
    node.op = Op::constant;
    node.type = type;
    const std::uint64_t h =
        mix(mix(0, static_cast<std::uint64_t>(Op::constant) << 16 | code(type)), value);
    NodeId& bucket = find_bucket(h, node, value);
    if (bucket != no_node) {
        return bucket;
    }
    if (type.width > 64) {
        node.immediate = static_cast<std::int64_t>(function_.wide_constants.size());
        function_.wide_constants.push_back(value);
    } else {
        node.immediate = static_cast<std::int64_t>(value);
    }
    const auto id = static_cast<NodeId>(function_.nodes.size());
    bucket = id;
    function_.nodes.push_back(node);
    if (++used_buckets_ * 2 > buckets_.size()) {
        grow();
    }
    return id;
}

NodeId Builder::constant(Int128 value) {
    return constant(value, narrowest(value));
}

NodeId Builder::input(std::string name, Type type) {
    require(is_legal(type), "illegal type");
    const auto number = static_cast<std::int64_t>(function_.inputs.size());
    function_.inputs.push_back({std::move(name), type});
    return emit(Op::input, type, number);
}

int Builder::table(std::string name, Type type, std::vector<Int128> words) {
    require(is_legal(type), "illegal type");
    require(std::has_single_bit(words.size()), "a table needs 2^n words");
    std::uint64_t h = code(type);
    for (const Int128 word : words) {
        require(holds(type, word), "a word of the table lies outside its type");
        h = mix(h, word);
    }
    const auto [first, last] = tables_.equal_range(h);
    for (auto it = first; it != last; ++it) {
        const Table& other = function_.tables[static_cast<std::size_t>(it->second)];
        if (other.type == type && other.words == words) {
            return it->second;
        }
    }
    // Printers name their memories after the tables, so names must differ.
    std::string unique = name;
    while (table_names_.contains(unique)) {
        unique = name + "_" + std::to_string(++table_names_[name]);
    }
    table_names_.emplace(unique, 1);
    const auto number = static_cast<int>(function_.tables.size());
    function_.tables.push_back({std::move(unique), type, std::move(words)});
    tables_.emplace(h, number);
    return number;
}

void Builder::output(std::string name, NodeId node) {
    function_.outputs.push_back({std::move(name), checked(node)});
}

std::uint32_t Builder::origin_number(std::string_view layer) {
    if (layer.empty()) {
        return 0;
    }
    const auto [it, is_new] = origins_.try_emplace(
        std::string(layer), static_cast<std::uint32_t>(function_.origins.size()));
    if (is_new) {
        function_.origins.emplace_back(layer);
    }
    return it->second;
}

void Builder::set_origin(std::string_view layer) {
    origin_ = origin_number(layer);
}

std::vector<NodeId> Builder::inline_call(const Function& callee,
                                         const std::vector<NodeId>& arguments) {
    require(arguments.size() == callee.inputs.size(), "wrong number of arguments");
    const std::uint32_t caller_origin = origin_;
    std::vector<std::uint32_t> origins(callee.origins.size(), caller_origin);
    for (std::size_t i = 1; i < origins.size(); ++i) {
        origins[i] = origin_number(callee.origins[i]);
    }
    std::vector<int> table_numbers(callee.tables.size(), -1);
    std::vector<NodeId> nodes(callee.nodes.size());
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        const Node& node = callee.nodes[i];
        const NodeId a = nodes[node.operand[0]];
        const NodeId b = nodes[node.operand[1]];
        const NodeId c = nodes[node.operand[2]];
        const auto amount = static_cast<int>(node.immediate);
        origin_ = origins.at(node.origin);
        NodeId& made = nodes[i];
        switch (node.op) {
            case Op::input:
                made = cast(arguments.at(static_cast<std::size_t>(node.immediate)), node.type);
                break;
            case Op::constant:
                made = constant(callee.constant(node), node.type);
                break;
            case Op::add:
                made = add(a, b, node.type);
                break;
            case Op::sub:
                made = sub(a, b, node.type);
                break;
            case Op::mul:
                made = mul(a, b, node.type);
                break;
            case Op::shl:
                made = shl(a, amount, node.type);
                break;
            case Op::shr:
                made = shr(a, amount, node.type);
                break;
            case Op::bit_and:
                made = bit_and(a, b, node.type);
                break;
            case Op::bit_or:
                made = bit_or(a, b, node.type);
                break;
            case Op::bit_xor:
                made = bit_xor(a, b, node.type);
                break;
            case Op::bit_not:
                made = bit_not(a, node.type);
                break;
            case Op::equal:
                made = equal(a, b);
                break;
            case Op::less:
                made = less(a, b);
                break;
            case Op::mux:
                made = mux(a, b, c, node.type);
                break;
            case Op::cast:
                made = cast(a, node.type);
                break;
            case Op::read: {
                int& number = table_numbers.at(static_cast<std::size_t>(node.immediate));
                if (number < 0) {
                    const Table& t = callee.tables[static_cast<std::size_t>(node.immediate)];
                    number = table(t.name, t.type, t.words);
                }
                made = read(number, a, node.type);
                break;
            }
        }
    }
    origin_ = caller_origin;
    std::vector<NodeId> outputs;
    outputs.reserve(callee.outputs.size());
    for (const Output& output : callee.outputs) {
        outputs.push_back(nodes[output.node]);
    }
    return outputs;
}

Function Builder::take() {
    std::vector<Node>& nodes = function_.nodes;
    std::vector<char> live(nodes.size(), 0);
    for (const Output& output : function_.outputs) {
        live[output.node] = 1;
    }
    for (std::size_t i = nodes.size(); i-- > 0;) {
        if (nodes[i].op == Op::input) {
            live[i] = 1;
        }
        for (int k = 0; live[i] != 0 && k < info(nodes[i].op).operands; ++k) {
            live[nodes[i].operand[k]] = 1;
        }
    }
    // Compact in place; tables, wide constants and origins are renumbered in the order of use, so
    // that equal functions are equal however they were made.
    std::vector<NodeId> number(nodes.size());
    std::vector<int> table_number(function_.tables.size(), -1);
    std::vector<std::uint32_t> origin_of(function_.origins.size(), 0);
    std::vector<Table> tables;
    std::vector<Int128> wide_constants;
    std::vector<std::string> origins = {""};
    NodeId count = 0;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        if (live[i] == 0) {
            continue;
        }
        Node node = nodes[i];
        for (int k = 0; k < info(node.op).operands; ++k) {
            node.operand[k] = number[node.operand[k]];
        }
        if (node.op == Op::constant && node.type.width > 64) {
            wide_constants.push_back(function_.constant(node));
            node.immediate = static_cast<std::int64_t>(wide_constants.size()) - 1;
        } else if (node.op == Op::read) {
            const auto old = static_cast<std::size_t>(node.immediate);
            if (table_number[old] < 0) {
                table_number[old] = static_cast<int>(tables.size());
                tables.push_back(std::move(function_.tables[old]));
            }
            node.immediate = table_number[old];
        }
        if (node.origin != 0) {
            if (origin_of[node.origin] == 0) {
                origin_of[node.origin] = static_cast<std::uint32_t>(origins.size());
                origins.push_back(std::move(function_.origins[node.origin]));
            }
            node.origin = origin_of[node.origin];
        }
        number[i] = count;
        nodes[count++] = node;
    }
    nodes.resize(count);
    for (Output& output : function_.outputs) {
        output.node = number[output.node];
    }
    function_.tables = std::move(tables);
    function_.wide_constants = std::move(wide_constants);
    function_.origins = std::move(origins);
    Function result = std::move(function_);
    *this = Builder("");
    return result;
}

}  // namespace gatewright::bits
