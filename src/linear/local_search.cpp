#include "linear/local_search.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "linear/cover.h"
#include "linear/repair.h"
#include "linear/signed_digits.h"
#include "linear/sums.h"
#include "linear/transpose.h"

namespace gatewright::linear {

namespace {

std::size_t index(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

constexpr int deepest_level = 50;  ///< 2^level is counted in 64 bits

/// Changes a graph step by step. A step takes values away and makes what read them anew, in one of
/// two ways: of the terms of what was taken away, or of any values that add up to the same. What is
/// made costs no more than what was there; equal cost is kept too, which moves the search on. While
/// the search is hot, what costs a little more is kept as well (simulated annealing).
///
/// Levels bound the depth: each value is made at or below its level, so whatever is made of it can
/// stay as it is.
class LocalSearch {
  public:
    LocalSearch(Sums sums, const Price& price, int depth_limit, std::uint64_t seed, Cover& cover)
        : sums_(std::move(sums)),
          price_(price),
          random_(seed),
          cover_(cover),
          cover_work_before_(cover.work()),
          repair_(sums_, random_) {
        spread_levels(depth_limit);
        entered_ = size();
        reserve_marks();
        can_cover_ = cover_.reset(sums_);
    }

    const Sums& sums() const { return sums_; }
    std::int64_t work() const {
        return work_ + repair_.work() + cover_.work() - cover_work_before_;
    }

    /// `heat`: what a change may cost on the average, in 1/16.
    void step(std::int64_t heat) {
        work_ += 10;
        heat_ = heat;
        // Covers find nearly all that saves an addition, the others move the graph on.
        const bool covering = can_cover_ && random(8) != 0;
        if (covering ? choose_roots() && cover() : choose_values() && expand_readers()) {
            if (repair_.run(taken_)) {
                decide();
            }
        }
        for (const std::int32_t value : removed_) {
            taken_[index(value)] = 0;
        }
        for (const std::int32_t value : opened_) {
            is_open_[index(value)] = 0;
        }
        removed_.clear();
        opened_.clear();
        sums_.values().resize(index(entered_));
    }

  private:
    std::int32_t size() const { return static_cast<std::int32_t>(sums_.values().size()); }
    std::uint64_t random(std::uint64_t below) { return next_random(random_) % below; }
    std::int64_t price_of(const Sum& sum) const {
        return price_.per_bit * sum.bits + price_.per_adder;
    }

    void reserve_marks() {
        if (taken_.size() < index(size()) + 256) {
            taken_.resize(index(size()) * 2 + 256, 0);
            is_open_.resize(taken_.size(), 0);
            uses_.resize(taken_.size(), unknown);
        }
    }

    /// Gives each value a level between the lowest and the highest that it can have.
    void spread_levels(int depth_limit) {
        std::vector<int> lowest;
        std::vector<int> highest;
        const int limit =
            std::min(deepest_level, depth_limit >= 0 ? depth_limit : sums_.deepest() * 2 + 8);
        sums_.levels(limit, lowest, highest);
        enum { lowest_levels, any_levels, middle_levels, ways };
        const std::uint64_t way = random(ways);
        for (const std::int32_t value : sums_.in_order()) {
            if (value < sums_.inputs()) {
                continue;
            }
            Sum& sum = sums_.at(value);
            const int least = 1 + std::max(sums_.at(sum.low).level, sums_.at(sum.high).level);
            const int free = std::max(0, highest[index(value)] - least);
            int extra = way == lowest_levels ? 0
                        : way == any_levels
                            ? static_cast<int>(random(static_cast<std::uint64_t>(free) + 1))
                            : free / 2;
            if (depth_limit < 0) {
                extra = std::min(extra, 2);  // or the deep ones would have no room left
            }
            if (sum.outputs > 0 && sums_.readers(value).empty()) {
                extra = free;
            }
            sum.level = least + extra;
        }
    }

    bool removable(std::int32_t value) const {
        return value >= sums_.inputs() && sums_.at(value).outputs == 0 &&
               taken_[index(value)] == 0 && is_open_[index(value)] == 0;
    }

    void remove(std::int32_t value) {
        taken_[index(value)] = 1;
        removed_.push_back(value);
    }

    void open(std::int32_t value) {
        if (value >= sums_.inputs() && is_open_[index(value)] == 0) {
            is_open_[index(value)] = 1;
            opened_.push_back(value);
        }
    }

    /// An addition, or -1.
    std::int32_t any_value() {
        const std::int32_t n_in = sums_.inputs();
        if (entered_ == n_in) {
            return -1;
        }
        const auto value =
            n_in + static_cast<std::int32_t>(random(static_cast<std::uint64_t>(entered_ - n_in)));
        return sums_.at(value).alive ? value : -1;
    }

    /// A reader of the value, or an operand, or a reader of an operand.
    std::int32_t neighbour(std::int32_t value) {
        const auto& readers = sums_.readers(value);
        const std::uint64_t kind = random(4);
        if (!readers.empty() && (kind == 0 || value < sums_.inputs())) {
            return readers[random(readers.size())];
        }
        if (value < sums_.inputs()) {
            return value;
        }
        const std::int32_t operand = random(2) == 0 ? sums_.at(value).low : sums_.at(value).high;
        const auto& siblings = sums_.readers(operand);
        return kind == 1 ? operand : siblings[random(siblings.size())];
    }

    /// Takes away a few values near each other.
    bool choose_values() {
        std::int32_t value = any_value();
        if (value < 0) {
            return false;
        }
        constexpr std::uint64_t most_removed = 6;
        const std::uint64_t wanted = 2 + random(most_removed - 1);
        for (std::uint64_t k = 0; k < 4 * wanted && removed_.size() < wanted; ++k) {
            if (removable(value)) {
                remove(value);
            }
            if (!removed_.empty() && random(3) != 0) {
                value = removed_[random(removed_.size())];
            }
            value = neighbour(value);
        }
        return !removed_.empty();
    }

    /// What reads the values taken away, as sums of what these were made of.
    bool expand_readers() {
        constexpr std::size_t most_terms = 64;
        repair_.clear();
        std::size_t terms = 0;
        for (const std::int32_t gone : removed_) {
            for (const std::int32_t reader : sums_.readers(gone)) {
                if (taken_[index(reader)] != 0 || is_open_[index(reader)] != 0) {
                    continue;
                }
                open(reader);
                if (!expand(reader)) {
                    return false;
                }
                terms += terms_.size();
                if (terms > most_terms) {
                    return false;
                }
                repair_.add(reader, terms_);
            }
        }
        return true;
    }

    /// Fills `terms_`.
    bool expand(std::int32_t value) {
        constexpr std::size_t most_terms = 32;
        constexpr int widest_shift = 60;
        waiting_.assign(1, {value, 0, false});
        unmerged_.clear();
        while (!waiting_.empty()) {
            const Term term = waiting_.back();
            waiting_.pop_back();
            if (term.value != value && taken_[index(term.value)] == 0) {
                unmerged_.push_back(term);
                if (unmerged_.size() > most_terms) {
                    return false;
                }
                continue;
            }
            const Sum& sum = sums_.at(term.value);
            if (term.shift + sum.distance > widest_shift) {
                return false;
            }
            waiting_.push_back({sum.high, static_cast<std::uint8_t>(term.shift + sum.distance),
                                term.negative != sum.negative});
            waiting_.push_back({sum.low, term.shift, term.negative});
        }
        merge_terms();
        return terms_.size() >= 2;
    }

    /// Adds up coefficients of the same value, as canonical digits.
    void merge_terms() {
        terms_.clear();
        std::sort(unmerged_.begin(), unmerged_.end(),
                  [](const Term& a, const Term& b) { return a.value < b.value; });
        for (std::size_t first = 0, end = 0; first < unmerged_.size(); first = end) {
            std::int64_t coefficient = 0;
            const std::int32_t value = unmerged_[first].value;
            for (end = first; end < unmerged_.size() && unmerged_[end].value == value; ++end) {
                coefficient +=
                    (unmerged_[end].negative ? -1 : 1) * (std::int64_t{1} << unmerged_[end].shift);
            }
            if (end == first + 1) {
                terms_.push_back(unmerged_[first]);
            } else {
                append_digits(value, coefficient, terms_);
            }
        }
    }

    /// Opens one value, or some that share something, and takes away all that only they need.
    bool choose_roots() {
        const std::int32_t root = any_value();
        if (root < 0) {
            return false;
        }
        open(above(root));
        constexpr std::uint64_t most_roots = 2;
        const std::uint64_t roots = 1 + random(most_roots);
        for (int attempt = 0; attempt < 8 && opened_.size() < roots; ++attempt) {
            std::int32_t value = opened_.front();
            const std::uint64_t down = 1 + random(4);
            for (std::uint64_t k = 0; k < down && value >= sums_.inputs(); ++k) {
                value = random(2) == 0 ? sums_.at(value).low : sums_.at(value).high;
            }
            const auto& readers = sums_.readers(value);
            open(above(readers[random(readers.size())]));
        }
        // Larger ones are hardly ever made anew of as few terms.
        const std::size_t most_removed = opened_.size() > 1 ? 21 : 14;
        const bool all = random(2) == 0;
        for (std::size_t before = index(-1); before != removed_.size();) {
            before = removed_.size();
            for (std::size_t k = 0; k < opened_.size() + removed_.size(); ++k) {
                const Sum& sum =
                    sums_.at(k < opened_.size() ? opened_[k] : removed_[k - opened_.size()]);
                for (const std::int32_t operand : {sum.low, sum.high}) {
                    if (removable(operand) && only_for_roots(operand) && (all || random(20) != 0)) {
                        remove(operand);
                        if (removed_.size() > most_removed) {
                            return false;
                        }
                    }
                }
            }
        }
        return !removed_.empty();
    }

    /// What the value is part of, as far as only that reads it.
    std::int32_t above(std::int32_t value) {
        while (sums_.at(value).outputs == 0 && sums_.readers(value).size() == 1 && random(8) != 0) {
            value = sums_.readers(value).front();
        }
        return value;
    }

    bool only_for_roots(std::int32_t value) const {
        const auto& readers = sums_.readers(value);
        return std::all_of(readers.begin(), readers.end(), [&](std::int32_t reader) {
            return is_open_[index(reader)] != 0 || taken_[index(reader)] != 0;
        });
    }

    /// What is open, as sums of any values that are there.
    bool cover() {
        repair_.clear();
        // As many terms as would cost what was there; two columns may share some.
        std::size_t terms = removed_.size() + 3 * opened_.size() - 1;
        for (const std::int32_t root : opened_) {
            const int level = sums_.at(root).level;
            const auto& found = cover_.find(sums_, {root, 0, false}, level, taken_,
                                            std::min(terms, Repair::most_terms), random_);
            if (found.size() < 2) {
                return false;
            }
            terms -= found.size();
            repair_.add(root, found);
        }
        return true;
    }

    /// Counts how often a value is read if the repair is kept.
    void count(std::int32_t value, std::int32_t change) {
        if (value < sums_.inputs()) {
            return;
        }
        std::int32_t& uses = uses_[index(value)];
        if (uses == unknown) {
            uses = value < entered_ ? static_cast<std::int32_t>(sums_.readers(value).size()) +
                                          sums_.at(value).outputs
                                    : 0;
            counted_.push_back(value);
        }
        uses += change;
        if (uses == 0 && change < 0) {
            counted_.push_back(value);  // looked at again
        }
    }

    /// The most that a change may cost now. The zeros of a random number are distributed
    /// exponentially, as what is asked for is, and are the same on all machines.
    std::int64_t most_cost() { return heat_ * std::countl_zero(next_random(random_)) / 16; }

    /// Compares the cost of the repaired part with what it was; keeps it if it is no more, or not
    /// much more.
    void decide() {
        reserve_marks();
        std::int64_t cost = 0;
        defined_.clear();
        for (std::size_t k = 0; k < repair_.count() && cost != impossible; ++k) {
            const std::int64_t change = define(repair_.column(k));
            cost = change == impossible ? impossible : cost + change;
        }
        if (cost != impossible) {
            for (const std::int32_t gone : removed_) {
                cost -= price_of(sums_.at(gone));
                count(sums_.at(gone).low, -1);
                count(sums_.at(gone).high, -1);
            }
            for (std::int32_t v = entered_; v < size(); ++v) {
                cost += price_of(sums_.at(v));
                count(v, 0);
                count(sums_.at(v).low, 1);
                count(sums_.at(v).high, 1);
            }
            cost -= cost_of_unread();
            cost += price_.three_operands ? lost_third_operands() : 0;
        }
        if (cost <= 0 || (cost != impossible && heat_ > 0 && cost <= most_cost())) {
            commit();
        }
        for (const std::int32_t value : counted_) {
            uses_[index(value)] = unknown;
        }
        counted_.clear();
    }

    /// The change of cost by the last addition of a column.
    std::int64_t define(const Repair::Column& column) {
        const Sum& before = sums_.at(column.value);
        Defined defined{repair_.last_sum(column)};
        if (unsigned_key(defined.sum.key) != unsigned_key(before.key)) {
            return impossible;  // it comes out shifted
        }
        for (std::int32_t v = entered_; v < size() && defined.same < 0; ++v) {
            if (unsigned_key(sums_.at(v).key) == unsigned_key(before.key)) {
                defined.same = v;  // made for others already
            }
        }
        count(before.low, -1);
        count(before.high, -1);
        std::int64_t change = -price_of(before);
        if (defined.same < 0) {
            change += price_of(defined.sum);
            count(defined.sum.low, 1);
            count(defined.sum.high, 1);
        } else {
            count(defined.same, 1);
        }
        defined_.push_back(defined);
        return change;
    }

    std::int64_t cost_of_unread() {
        std::int64_t cost = 0;
        for (std::size_t k = 0; k < counted_.size(); ++k) {
            const std::int32_t value = counted_[k];
            std::int32_t& uses = uses_[index(value)];
            if (uses != 0 || taken_[index(value)] != 0) {
                continue;
            }
            uses = unread;
            cost += price_of(sums_.at(value));
            count(sums_.at(value).low, -1);
            count(sums_.at(value).high, -1);
        }
        return cost;
    }

    /// Of the additions that one other reads about every second is made within that one, so each of
    /// them costs half. This is what the halves came to before, less what they come to now.
    std::int64_t lost_third_operands() {
        std::int64_t lost = 0;
        ++looked_at_;
        when_looked_at_.resize(uses_.size());
        const auto look_at = [&](std::int32_t value, const Sum* now) {
            if (value < sums_.inputs() || when_looked_at_[index(value)] == looked_at_) {
                return;
            }
            when_looked_at_[index(value)] = looked_at_;
            const Sum& before = sums_.at(value);
            const bool is_old = value < entered_;
            const bool was_read_once =
                is_old && before.outputs == 0 && sums_.readers(value).size() == 1;
            const std::int32_t uses = uses_[index(value)];
            const bool is_read_once = now != nullptr && before.outputs == 0 &&
                                      (uses == unknown ? was_read_once : uses == 1);
            lost += was_read_once ? price_of(before) / 2 : 0;
            lost -= is_read_once ? price_of(*now) / 2 : 0;
        };
        for (std::size_t k = 0; k < defined_.size(); ++k) {
            look_at(repair_.column(k).value, defined_[k].same < 0 ? &defined_[k].sum : nullptr);
        }
        for (const std::int32_t value : removed_) {
            look_at(value, nullptr);
        }
        for (const std::int32_t value : counted_) {
            look_at(value, &sums_.at(value));
        }
        return lost;
    }

    void commit() {
        const std::int32_t first = entered_;
        entered_ = size();
        sums_.enter(first);
        for (std::int32_t v = first; can_cover_ && v < entered_; ++v) {
            cover_.enter(sums_, v);
        }
        for (std::size_t k = 0; k < defined_.size(); ++k) {
            if (defined_[k].same < 0) {
                defined_[k].opposite = sums_.redefine(repair_.column(k).value, defined_[k].sum);
            }
        }
        for (std::size_t k = 0; k < defined_.size(); ++k) {
            if (defined_[k].opposite) {
                sums_.negate_readers(repair_.column(k).value);
            }
        }
        for (std::size_t k = 0; k < defined_.size(); ++k) {
            if (defined_[k].same >= 0) {
                sums_.substitute(repair_.column(k).value, defined_[k].same);
            }
        }
        for (const auto* values : {&counted_, &removed_}) {
            for (const std::int32_t value : *values) {
                if (sums_.at(value).alive && sums_.at(value).outputs == 0 &&
                    sums_.readers(value).empty()) {
                    sums_.erase(value);
                }
            }
        }
        reserve_marks();
    }

    static constexpr std::int32_t unknown = std::numeric_limits<std::int32_t>::min();
    static constexpr std::int32_t unread = unknown / 2;
    static constexpr std::int64_t impossible = std::numeric_limits<std::int64_t>::max();

    struct Defined {
        Sum sum;
        std::int32_t same = -1;  ///< the value that it is already
        bool opposite = false;
    };

    Sums sums_;
    Price price_;
    std::uint64_t random_;
    Cover& cover_;
    std::int64_t cover_work_before_ = 0;
    bool can_cover_ = false;
    Repair repair_;
    std::int32_t entered_ = 0;  ///< values of the graph; those behind are a try
    std::int64_t work_ = 0;
    std::int64_t heat_ = 0;

    std::vector<char> taken_;
    std::vector<char> is_open_;
    std::vector<std::int32_t> removed_;
    std::vector<std::int32_t> opened_;
    std::vector<Term> waiting_;
    std::vector<Term> unmerged_;
    std::vector<Term> terms_;
    std::vector<Defined> defined_;
    std::vector<std::int32_t> uses_;
    std::vector<std::int32_t> counted_;
    std::vector<std::int64_t> when_looked_at_;  ///< for third operands
    std::int64_t looked_at_ = 0;
};

}  // namespace

AdderGraph improve(const AdderGraph& graph, const std::vector<Interval>& ranges,
                   const std::vector<int>& arrival, int depth_limit, const Price& price,
                   std::int64_t work, std::uint64_t seed) {
    constexpr std::int64_t steps_of_value = 4;  // before the levels are spread anew
    constexpr std::int64_t first_heat = 40;     // from here it falls to 0
    constexpr Price addition_alone{.per_bit = 0, .per_adder = 1};
    const std::vector<Interval> units(graph.outputs.size(), Interval{-128, 127});
    const std::vector<int> zeros(graph.outputs.size());
    if (graph.additions.empty()) {
        return graph;
    }
    AdderGraph current = graph;
    AdderGraph best = graph;
    std::int64_t least = cost_of(graph, ranges, price);
    Cover covers[2];  // of the graph, and of the transposed one
    for (std::int64_t done = 0, round = 0; done < work; ++round) {
        // Widths mean nothing in the transposed graph, but an addition less is one less here. The
        // last round is not of that kind.
        bool transpose = depth_limit < 0 && round % 2 == 1 && done * 4 < work * 3;
        auto sums = transpose ? Sums::from(transposed(current), units, zeros) : std::nullopt;
        if (!sums || sums->deepest() > deepest_level) {
            transpose = false;  // it is too deep, or has a sum that is always zero
            sums = Sums::from(current, ranges, arrival);
        }
        if (!sums || sums->deepest() > deepest_level) {
            break;
        }
        LocalSearch search(std::move(*sums), transpose ? addition_alone : price, depth_limit,
                           next_random(seed), covers[transpose ? 1 : 0]);
        const auto values = static_cast<std::int64_t>(search.sums().values().size());
        for (std::int64_t step = 0; step < values * steps_of_value && done + search.work() < work;
             ++step) {
            // In the transposed graph the least that a change can cost is an addition.
            const std::int64_t left = work - done - search.work();
            search.step(transpose ? 0 : first_heat * left / work);
        }
        done += search.work() + values + 100;
        current = transpose ? transposed(search.sums().graph()) : search.sums().graph();
        if (!transpose) {
            const std::int64_t cost = cost_of(current, ranges, price);
            if (cost < least) {
                least = cost;
                best = current;
            }
        }
    }
    return best;
}

}  // namespace gatewright::linear
