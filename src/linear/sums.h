#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "linear/adder_graph.h"
#include "linear/sharing.h"

namespace gatewright::linear {

/// A value of a graph that is being changed: low +- (high << distance), or an input (low < 0).
struct Sum {
    std::int32_t low = -1;
    std::int32_t high = -1;
    std::uint8_t distance = 0;
    bool negative = false;  ///< the high operand is subtracted
    bool alive = true;
    std::int32_t level = 0;    ///< above the levels of both operands; at most the limit
    std::int32_t bits = 0;     ///< full-adder bits
    std::int32_t outputs = 0;  ///< outputs that are this value
    std::uint64_t key = 0;     ///< of the linear form, see `Sums`
    std::int64_t least = 0;    ///< a range that holds all values
    std::int64_t most = 0;
};

std::uint64_t next_random(std::uint64_t& state);

/// Finds values by their keys.
class KeyTable {
  public:
    explicit KeyTable(std::size_t values);

    void insert(std::uint64_t key, std::int32_t value);
    void erase(std::uint64_t key, std::int32_t value);

    /// The first value of this key that `accept` takes, or -1.
    template <class Accept>
    std::int32_t find(std::uint64_t key, Accept&& accept) const {
        for (std::size_t at = home(key); slots_[at].value >= 0; at = (at + 1) & mask_) {
            if (slots_[at].key == key && accept(slots_[at].value)) {
                return slots_[at].value;
            }
        }
        return -1;
    }

  private:
    struct Slot {
        std::uint64_t key = 0;
        std::int32_t value = -1;
    };
    std::size_t home(std::uint64_t key) const {
        return static_cast<std::size_t>(key * 0x9e3779b97f4a7c15u >> shift_);
    }

    std::vector<Slot> slots_;
    std::size_t mask_ = 0;
    std::size_t used_ = 0;
    int shift_ = 0;
};

/// A graph of additions that can be changed, with what changes need to know.
///
/// A value's key is its linear form times a random vector, modulo 2^64, so keys add and shift as
/// forms do, and values of equal keys are equal but for a chance of 2^-64 a pair. What is made of
/// such values is proven in the end.
class Sums {
  public:
    /// None where ranges or coefficients do not fit 60 bits.
    static std::optional<Sums> from(const AdderGraph& graph, const std::vector<Interval>& ranges,
                                    const std::vector<int>& arrival);

    AdderGraph graph() const;

    std::int32_t inputs() const { return n_in_; }
    std::vector<Sum>& values() { return values_; }
    const std::vector<Sum>& values() const { return values_; }
    Sum& at(std::int32_t value) { return values_[static_cast<std::size_t>(value)]; }
    const Sum& at(std::int32_t value) const { return values_[static_cast<std::size_t>(value)]; }
    const std::vector<std::int32_t>& readers(std::int32_t value) const {
        return readers_[static_cast<std::size_t>(value)];
    }
    const KeyTable& table() const { return table_; }

    /// The value low +- (high << distance) of the two terms, with the lower one unshifted and
    /// positive; key, range, bits and level known.
    Sum sum_of(const Term& a, const Term& b) const;

    /// Takes the last `values` as parts of the graph: readers and keys.
    void enter(std::int32_t first);
    /// Defines `value` anew, equal up to its sign. True: it is the opposite of what it was, and
    /// `negate_readers` must follow when all values that change are defined.
    bool redefine(std::int32_t value, const Sum& sum);
    void negate_readers(std::int32_t value);
    /// Reads `other`, equal up to its sign, wherever `value` is read. `value` is erased.
    void substitute(std::int32_t value, std::int32_t other);
    /// Forgets the value, which nothing reads, and its operands' readers.
    void erase(std::int32_t value);

    /// Lowest and highest level each value could have, for outputs at or below `limit`.
    void levels(int limit, std::vector<int>& lowest, std::vector<int>& highest) const;
    int deepest() const;                         ///< the lowest level at which all outputs can be
    std::vector<std::int32_t> in_order() const;  ///< values that are alive, operands first

  private:
    Sums(std::size_t values) : table_(values) {}
    void negate(std::int32_t value);
    void forget_reader(std::int32_t operand, std::int32_t reader);

    std::int32_t n_in_ = 0;
    std::vector<Sum> values_;
    std::vector<std::vector<std::int32_t>> readers_;
    std::vector<Output> outputs_;
    KeyTable table_;
};

/// Of equal forms up to sign, one key.
inline std::uint64_t unsigned_key(std::uint64_t key) {
    const std::uint64_t opposite = 0 - key;
    return key < opposite ? key : opposite;
}

}  // namespace gatewright::linear
