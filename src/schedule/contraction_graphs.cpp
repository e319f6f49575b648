#include "schedule/contraction_graphs.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include "base/diagnostics.h"
#include "base/threads.h"
#include "linear/sharing.h"
#include "schedule/ternary_trees.h"

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

ContractionGraphs::ContractionGraphs(const network::Network& network, const linear::Search& search,
                                     const passes::DelayModel& delays)
    : network_(network), search_(search), delays_(delays) {
    for (NodeId id = 0; id < network_.nodes().size(); ++id) {
        const network::Node& node = network_.node(id);
        if (node.op == &operators::contract_operator) {
            const network::Value value = node.inputs[0];
            Readers& readers = readers_[value];
            readers.members.push_back({id, operators::contract_forms(node, network_.type(value))});
        }
    }
    for (auto& [value, readers] : readers_) {
        readers.same_inputs = readers.members.size() > 1 && same_inputs(readers.members);
        if (readers.members.size() == 1) {
            find_patches_of(readers.members.front());
        }
    }
}

std::vector<network::Value> ContractionGraphs::values() const {
    std::vector<network::Value> values;
    for (const auto& [value, readers] : readers_) {
        values.push_back(value);
    }
    return values;
}

void ContractionGraphs::choose(network::Value value, std::size_t step) {
    Readers& readers = readers_.at(value);
    all_solved_ = all_solved_ && readers.step == step;
    readers.step = step;
}

std::vector<int> ContractionGraphs::chosen() const {
    std::vector<int> all;
    for (const auto& [value, readers] : readers_) {
        all.push_back(static_cast<int>(readers.step));
    }
    return all;
}

void ContractionGraphs::choose(const std::vector<int>& chosen) {
    const auto is_step = [](int step) {
        return step >= 0 && step < static_cast<int>(steps.size());
    };
    if (chosen.size() != readers_.size() || !std::ranges::all_of(chosen, is_step)) {
        throw Failure(Code::not_a_design, {}, "the depths of its adder graphs are of another model",
                      "Convert the model again.");
    }
    auto step = chosen.begin();
    for (auto& [value, readers] : readers_) {
        choose(value, static_cast<std::size_t>(*step++));
    }
}

std::int64_t ContractionGraphs::full_adder_bits(network::Value value) {
    solve_all();
    std::int64_t bits = 0;
    for (const Member& member : readers_.at(value).members) {
        const std::vector<RowGraph>& graphs = graphs_.at(member.id);
        for (std::size_t f = 0; f < graphs.size(); ++f) {
            const auto rows = std::ranges::count(member.forms.form_of, static_cast<int>(f));
            bits += rows * linear::figures_of(graphs[f].graph, ranges_of(member.forms.forms[f]))
                               .full_adder_bits;
        }
    }
    return bits;
}

ContractionGraphs::Solved& ContractionGraphs::will_need(const Matrix& matrix,
                                                        const std::vector<Interval>& ranges,
                                                        std::size_t step) {
    Solved& each = solved_.try_emplace(key_of(matrix, ranges), Solved{matrix, ranges, {}, {}, {}})
                       .first->second;
    each.is_needed[step] = true;
    each.is_needed[0] = each.is_needed[0] || steps[step].goes_on;
    return each;
}

const AdderGraph& ContractionGraphs::solved(const Matrix& matrix,
                                            const std::vector<Interval>& ranges,
                                            std::size_t step) const {
    return *solved_.at(key_of(matrix, ranges)).graphs[step];
}

AdderGraph ContractionGraphs::graph_of(const Solved& each, std::size_t step) const {
    linear::Search search = search_;
    if (step > 0) {
        search.attempts.extra_depth += steps[step].more_levels;
        search.improvement /= 2;
    }
    AdderGraph graph = steps[step].goes_on
                           ? linear::deepened(*each.graphs[0], each.matrix, each.ranges, search)
                           : linear::find_adder_graph(each.matrix, each.ranges, search);
    return search_.price.three_operands ? ternary_trees(graph, each.ranges) : graph;
}

// Solves what is missing of the steps that go on from the first one, or of the others.
void ContractionGraphs::solve(bool going_on) {
    std::vector<std::pair<Solved*, std::size_t>> waiting;
    for (auto& [key, each] : solved_) {
        for (std::size_t step = 0; step < steps.size(); ++step) {
            if (steps[step].goes_on == going_on && each.is_needed[step] && !each.graphs[step]) {
                waiting.emplace_back(&each, step);
            }
        }
    }
    // The largest first, or one of them would be left to a single thread in the end.
    std::ranges::stable_sort(waiting, std::ranges::greater{},
                             [](const auto& each) { return each.first->matrix.weights.size(); });
    in_threads(static_cast<std::int64_t>(waiting.size()), processors(), [&](std::int64_t i) {
        const auto& [each, step] = waiting[static_cast<std::size_t>(i)];
        each->graphs[step] = graph_of(*each, step);
        if (each->is_form) {
            each->grouped[step] =
                find_groups(each->matrix, each->ranges, *each->graphs[step], search_, delays_);
        }
    });
}

void ContractionGraphs::solve_all() {
    if (all_solved_) {
        return;
    }
    all_solved_ = true;
    for (const auto& [value, readers] : readers_) {
        for (const Member& member : readers.members) {
            for (const operators::ContractForm& form : member.forms.forms) {
                will_need(form.matrix, ranges_of(form), readers.step).is_form = true;
            }
        }
        const auto& forms = readers.members.front().forms.forms;
        for (std::size_t f = 0; readers.same_inputs && f < forms.size(); ++f) {
            will_need(side_by_side(readers.members, f), ranges_of(forms[f]), readers.step);
        }
        const auto overlapping = overlapping_.find(readers.members.front().id);
        for (std::size_t p = 0;
             overlapping != overlapping_.end() && p < overlapping->second.products.size(); ++p) {
            const Products& products = overlapping->second.products[p];
            will_need(products.matrix, products.ranges, readers.step);
        }
    }
    solve(false);
    solve(true);
    for (const auto& [value, readers] : readers_) {
        for (const Member& member : readers.members) {
            graphs_[member.id].clear();
            grouped_[member.id].clear();
            for (const operators::ContractForm& form : member.forms.forms) {
                const Solved& each = solved_.at(key_of(form.matrix, ranges_of(form)));
                const auto& grouped = each.grouped[readers.step];
                graphs_[member.id].push_back({*each.graphs[readers.step]});
                grouped_[member.id].push_back(grouped ? &*grouped : nullptr);
            }
        }
        if (readers.same_inputs) {
            share(readers);
        }
        if (overlapping_.contains(readers.members.front().id)) {
            share_patches(readers.members.front().id, readers.step);
        }
    }
}

// Takes the graphs of all members together where they are cheaper.
void ContractionGraphs::share(const Readers& readers) {
    const std::vector<Member>& members = readers.members;
    for (std::size_t f = 0; f < members.front().forms.forms.size(); ++f) {
        const std::vector<Interval> ranges = ranges_of(members.front().forms.forms[f]);
        const AdderGraph& whole = solved(side_by_side(members, f), ranges, readers.step);
        std::int64_t alone = 0;
        bool deeper = false;
        std::int64_t first = 0;
        std::vector<AdderGraph> parts;
        for (const Member& member : members) {
            const std::int64_t columns = member.forms.forms[f].matrix.n_out;
            parts.push_back(linear::part_of(whole, first, columns));
            first += columns;
            const linear::Figures own = linear::figures_of(graphs_.at(member.id)[f].graph, ranges);
            alone += linear::cost_of(graphs_.at(member.id)[f].graph, ranges, search_.price);
            deeper = deeper || (search_.attempts.extra_depth >= 0 &&
                                linear::figures_of(parts.back(), ranges).depth > own.depth);
        }
        if (linear::cost_of(whole, ranges, search_.price) < alone && !deeper) {
            for (std::size_t m = 0; m < members.size(); ++m) {
                graphs_.at(members[m].id)[f] = {std::move(parts[m])};
                grouped_.at(members[m].id)[f] = nullptr;
            }
        }
    }
}

// Finds the products of pixels that rows share, where all multiply them by the same weights.
void ContractionGraphs::find_patches_of(const Member& member) {
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
        overlapping.products.push_back(std::move(*products));
    }
    overlapping.patches = std::move(*patches);
    overlapping_.emplace(member.id, std::move(overlapping));
}

// Takes the graphs that add up products where they are cheaper.
void ContractionGraphs::share_patches(NodeId id, std::size_t step) {
    const Overlapping& overlapping = overlapping_.at(id);
    std::vector<AdderGraph> products;
    for (const Products& each : overlapping.products) {
        products.push_back(solved(each.matrix, each.ranges, step));
    }
    std::vector<RowGraph> direct;
    std::vector<RowGraph> adding;
    for (const operators::ContractForm& form : overlapping.forms.forms) {
        const std::vector<Interval> ranges = ranges_of(form);
        direct.push_back({solved(form.matrix, ranges, step)});
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
        graphs_.at(id) = std::move(adding);
        grouped_.at(id).assign(direct.size(), nullptr);
    }
}

const std::vector<RowGraph>& ContractionGraphs::of(NodeId id) {
    solve_all();
    return graphs_.at(id);
}

const std::vector<const GroupedGraph*>& ContractionGraphs::grouped(NodeId id) {
    solve_all();
    return grouped_.at(id);
}

}  // namespace gatewright::schedule
