#include "schedule/contraction_graphs.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/threads.h"
#include "linear/local_search.h"

namespace gatewright::schedule {

namespace {

using linear::AdderGraph;
using linear::Matrix;
using network::NodeId;

std::vector<Interval> ranges_of(const operators::ContractForm& form) {
    std::vector<Interval> ranges;
    for (const network::Format& format : form.inputs) {
        ranges.push_back(format.range);
    }
    return ranges;
}

template <class T>
void append(std::string& key, const T& value) {
    key.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string key_of(const Matrix& matrix, const std::vector<Interval>& ranges) {
    std::string key;
    append(key, matrix.n_in);
    append(key, matrix.n_out);
    for (const std::int64_t weight : matrix.weights) {
        append(key, weight);
    }
    for (const Interval& range : ranges) {
        append(key, range.low);
        append(key, range.high);
    }
    return key;
}

/// Whether all members multiply the same vectors.
template <class Members>
bool same_inputs(const Members& members) {
    const auto& first = members.front().forms;
    return std::ranges::all_of(members, [&](const auto& member) {
        if (member.forms.form_of != first.form_of ||
            member.forms.forms.size() != first.forms.size()) {
            return false;
        }
        for (std::size_t f = 0; f < first.forms.size(); ++f) {
            if (ranges_of(member.forms.forms[f]) != ranges_of(first.forms[f])) {
                return false;
            }
        }
        return true;
    });
}

template <class Members>
Matrix side_by_side(const Members& members, std::size_t form) {
    Matrix joined{members.front().forms.forms[form].matrix.n_in, 0, {}};
    for (const auto& member : members) {
        joined.n_out += member.forms.forms[form].matrix.n_out;
    }
    for (std::int64_t i = 0; i < joined.n_in; ++i) {
        for (const auto& member : members) {
            const Matrix& matrix = member.forms.forms[form].matrix;
            const auto row = matrix.weights.begin() + i * matrix.n_out;
            joined.weights.insert(joined.weights.end(), row, row + matrix.n_out);
        }
    }
    return joined;
}

std::int64_t cost_of(const linear::Figures& figures) {
    const linear::Price price;
    return price.per_bit * figures.full_adder_bits + price.per_adder * figures.adders;
}

}  // namespace

void ContractionGraphs::will_need(const Matrix& matrix, const std::vector<Interval>& ranges) {
    solved_.try_emplace(key_of(matrix, ranges), Solved{matrix, ranges, {}});
}

const AdderGraph& ContractionGraphs::solved(const Matrix& matrix,
                                            const std::vector<Interval>& ranges) const {
    return solved_.at(key_of(matrix, ranges)).graph;
}

void ContractionGraphs::solve_all() {
    all_solved_ = true;
    std::map<network::Value, std::vector<Member>> readers;
    for (NodeId id = 0; id < network_.nodes().size(); ++id) {
        const network::Node& node = network_.node(id);
        if (node.op == &operators::contract_operator) {
            const network::Value value = node.inputs[0];
            readers[value].push_back({id, operators::contract_forms(node, network_.type(value))});
        }
    }
    for (const auto& [value, members] : readers) {
        for (const Member& member : members) {
            for (const operators::ContractForm& form : member.forms.forms) {
                will_need(form.matrix, ranges_of(form));
            }
        }
        if (members.size() > 1 && same_inputs(members)) {
            for (std::size_t f = 0; f < members.front().forms.forms.size(); ++f) {
                will_need(side_by_side(members, f), ranges_of(members.front().forms.forms[f]));
            }
        }
    }
    std::vector<Solved*> waiting;
    for (auto& [key, each] : solved_) {
        waiting.push_back(&each);
    }
    // The largest first, or one of them would be left to a single thread in the end.
    std::ranges::stable_sort(waiting, std::ranges::greater{},
                             [](const Solved* each) { return each->matrix.weights.size(); });
    in_threads(static_cast<std::int64_t>(waiting.size()), processors(), [&](std::int64_t i) {
        Solved& each = *waiting[static_cast<std::size_t>(i)];
        each.graph = linear::find_adder_graph(each.matrix, each.ranges, search_);
    });
    for (const auto& [value, members] : readers) {
        if (members.size() > 1 && same_inputs(members)) {
            share(members);
        }
    }
}

// Takes the graphs of all members together where they are cheaper.
void ContractionGraphs::share(const std::vector<Member>& members) {
    for (std::size_t f = 0; f < members.front().forms.forms.size(); ++f) {
        const std::vector<Interval> ranges = ranges_of(members.front().forms.forms[f]);
        const AdderGraph& whole = solved(side_by_side(members, f), ranges);
        std::int64_t alone = 0;
        bool deeper = false;
        std::int64_t first = 0;
        std::vector<AdderGraph> parts;
        for (const Member& member : members) {
            const Matrix& matrix = member.forms.forms[f].matrix;
            parts.push_back(linear::part_of(whole, first, matrix.n_out));
            first += matrix.n_out;
            const linear::Figures own = linear::figures_of(solved(matrix, ranges), ranges);
            alone += cost_of(own);
            deeper = deeper || (search_.attempts.extra_depth >= 0 &&
                                linear::figures_of(parts.back(), ranges).depth > own.depth);
        }
        const bool take = cost_of(linear::figures_of(whole, ranges)) < alone && !deeper;
        for (std::size_t m = 0; m < members.size(); ++m) {
            together_[members[m].id].push_back(
                take ? std::move(parts[m]) : solved(members[m].forms.forms[f].matrix, ranges));
        }
    }
}

std::vector<AdderGraph> ContractionGraphs::of(NodeId id, const operators::ContractForms& forms) {
    if (!all_solved_) {
        solve_all();
    }
    if (const auto found = together_.find(id); found != together_.end()) {
        return found->second;
    }
    std::vector<AdderGraph> graphs;
    for (const operators::ContractForm& form : forms.forms) {
        graphs.push_back(solved(form.matrix, ranges_of(form)));
    }
    return graphs;
}

}  // namespace gatewright::schedule
