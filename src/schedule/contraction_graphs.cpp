#include "schedule/contraction_graphs.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include "base/threads.h"
#include "linear/sharing.h"

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

/// Whether both have the same weights at a place of a row.
bool same_row(const operators::ContractForm& a, const operators::ContractForm& b,
              std::int32_t place) {
    for (std::int64_t o = 0; o < a.matrix.n_out; ++o) {
        if (a.matrix.at(place, o) != b.matrix.at(place, o)) {
            return false;
        }
    }
    return true;
}

/// The products of a family's pixels, if all forms have the same weights and ranges for them but
/// where inputs are zero.
std::optional<Products> products_of(const Patches::Family& family,
                                    const std::vector<operators::ContractForm>& forms) {
    const std::size_t channels = family.taps.front().size();
    const std::int64_t outputs = forms.front().matrix.n_out;
    Products products{{static_cast<std::int64_t>(channels),
                       static_cast<std::int64_t>(family.taps.size()) * outputs,
                       {}},
                      std::vector<Interval>(channels, Interval{0, 0})};
    for (std::size_t c = 0; c < channels; ++c) {
        for (const std::vector<std::int32_t>& tap : family.taps) {
            const std::int32_t place = tap[c];
            const operators::ContractForm* first = nullptr;
            for (const operators::ContractForm& form : forms) {
                const Interval& range = form.inputs[static_cast<std::size_t>(place)].range;
                if (range == Interval{0, 0}) {
                    continue;
                }
                if (products.ranges[c] == Interval{0, 0}) {
                    products.ranges[c] = range;
                }
                if (range != products.ranges[c] ||
                    (first != nullptr && !same_row(*first, form, place))) {
                    return std::nullopt;
                }
                first = first == nullptr ? &form : first;
            }
            for (std::int64_t o = 0; o < outputs; ++o) {
                products.matrix.weights.push_back(first == nullptr ? 0
                                                                   : first->matrix.at(place, o));
            }
        }
    }
    return products;
}

/// What all rows cost together, if each addition of the same values is made once. Zeros, beyond a
/// border, are added for nothing.
std::int64_t cost_of_rows(const operators::ContractForms& forms,
                          std::span<const network::Source> sources,
                          const std::vector<RowGraph>& graphs, const linear::Price& price) {
    std::vector<std::vector<Interval>> ranges;
    for (std::size_t f = 0; f < graphs.size(); ++f) {
        ranges.push_back(linear::ranges_of(graphs[f].graph, ranges_of(forms.forms[f])));
    }
    const auto is_zero = [&](std::size_t form, std::int32_t value) {
        return ranges[form][static_cast<std::size_t>(value)] == Interval{0, 0};
    };
    std::map<std::pair<std::int32_t, std::int64_t>, std::int32_t> inputs;
    std::map<std::tuple<std::int32_t, std::int32_t, int, int, bool, bool>, std::int32_t> made;
    std::int32_t count = 0;
    std::int64_t cost = 0;
    std::vector<std::int32_t> values;
    for (std::size_t row = 0; row < forms.form_of.size(); ++row) {
        const auto form = static_cast<std::size_t>(forms.form_of[row]);
        const AdderGraph& graph = graphs[form].graph;
        values.clear();
        for (std::size_t i = 0; i < static_cast<std::size_t>(graph.n_in); ++i) {
            const network::Source& source = sources[row * static_cast<std::size_t>(graph.n_in) + i];
            const auto [found, is_new] = inputs.try_emplace({source.input, source.element}, count);
            count += is_new ? 1 : 0;
            values.push_back(found->second);
        }
        for (const linear::Addition& addition : graph.additions) {
            const auto [found, is_new] =
                made.try_emplace({values[static_cast<std::size_t>(addition.a)],
                                  values[static_cast<std::size_t>(addition.b)], addition.shift_a,
                                  addition.shift_b, addition.negate_a, addition.negate_b},
                                 count);
            if (is_new) {
                ++count;
                const bool is_free = is_zero(form, addition.a) || is_zero(form, addition.b);
                const int width = width_for(ranges[form][values.size()]);
                cost += is_free ? 0
                                : price.per_bit * linear::full_adder_bits(addition, width) +
                                      price.per_adder;
            }
            values.push_back(found->second);
        }
    }
    return cost;
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
    for (const auto& [value, members] : readers) {
        if (members.size() == 1) {
            need_patches(members.front());
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
    for (const auto& [id, overlapping] : overlapping_) {
        share_patches(id);
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
            alone += linear::cost_of(solved(matrix, ranges), ranges, search_.price);
            deeper = deeper || (search_.attempts.extra_depth >= 0 &&
                                linear::figures_of(parts.back(), ranges).depth > own.depth);
        }
        const bool take = linear::cost_of(whole, ranges, search_.price) < alone && !deeper;
        for (std::size_t m = 0; m < members.size(); ++m) {
            together_[members[m].id].push_back(
                take ? std::move(parts[m]) : solved(members[m].forms.forms[f].matrix, ranges));
        }
    }
}

// Has the products of pixels solved, where all rows multiply them by the same weights.
void ContractionGraphs::need_patches(const Member& member) {
    const network::Node& move = network_.node(network_.node(member.id).inputs[0].node);
    const auto& forms = member.forms.forms;
    if (move.op->sources == nullptr || member.forms.form_of.size() < 2) {
        return;
    }
    std::vector<network::TensorType> types;
    for (const network::Value value : move.inputs) {
        types.push_back(network_.type(value));
    }
    Overlapping overlapping{member.forms, move.op->sources(move, types), {}, {}};
    std::optional<Patches> patches = find_patches(overlapping.sources, forms.front().inputs.size());
    if (!patches) {
        return;
    }
    for (const Patches::Family& family : patches->families) {
        std::optional<Products> products = products_of(family, forms);
        if (!products) {
            return;
        }
        will_need(products->matrix, products->ranges);
        overlapping.products.push_back(std::move(*products));
    }
    overlapping.patches = std::move(*patches);
    overlapping_.emplace(member.id, std::move(overlapping));
}

// Takes the graphs that add up products where they are cheaper.
void ContractionGraphs::share_patches(NodeId id) {
    const Overlapping& overlapping = overlapping_.at(id);
    std::vector<AdderGraph> products;
    for (const Products& each : overlapping.products) {
        products.push_back(solved(each.matrix, each.ranges));
    }
    std::vector<RowGraph> direct;
    std::vector<RowGraph> adding;
    for (const operators::ContractForm& form : overlapping.forms.forms) {
        const std::vector<Interval> ranges = ranges_of(form);
        direct.push_back({solved(form.matrix, ranges)});
        adding.push_back(add_products(overlapping.patches, products, form.matrix.n_out, ranges));
        if (search_.attempts.extra_depth >= 0 &&
            linear::figures_of(adding.back().graph, ranges).depth >
                linear::figures_of(direct.back().graph, ranges).depth) {
            return;
        }
    }
    const auto cost = [&](const std::vector<RowGraph>& graphs) {
        return cost_of_rows(overlapping.forms, overlapping.sources, graphs, search_.price);
    };
    if (cost(adding) < cost(direct)) {
        in_products_.emplace(id, std::move(adding));
    }
}

std::vector<RowGraph> ContractionGraphs::of(NodeId id, const operators::ContractForms& forms) {
    if (!all_solved_) {
        solve_all();
    }
    if (const auto found = in_products_.find(id); found != in_products_.end()) {
        return found->second;
    }
    std::vector<RowGraph> graphs;
    if (const auto found = together_.find(id); found != together_.end()) {
        for (const AdderGraph& graph : found->second) {
            graphs.push_back({graph});
        }
        return graphs;
    }
    for (const operators::ContractForm& form : forms.forms) {
        graphs.push_back({solved(form.matrix, ranges_of(form))});
    }
    return graphs;
}

}  // namespace gatewright::schedule
