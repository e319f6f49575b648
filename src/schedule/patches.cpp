#include "schedule/patches.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "linear/search.h"
#include "linear/sharing.h"
#include "linear/tree.h"

namespace gatewright::schedule {

namespace {

using network::Source;

std::size_t index(std::int64_t i) {
    return static_cast<std::size_t>(i);
}

class PatchFinder {
  public:
    PatchFinder(std::span<const Source> sources, std::size_t length)
        : sources_(sources), length_(length), rows_(sources.size() / length) {}

    std::optional<Patches> run() {
        for (std::size_t at = 0; at < sources_.size(); ++at) {
            if (sources_[at].input >= 0) {
                seen_[{sources_[at].input, sources_[at].element}].push_back(at);
            }
        }
        const bool any =
            std::ranges::any_of(seen_, [](const auto& places) { return places.second.size() > 1; });
        if (!any || !find_blocks()) {
            return std::nullopt;
        }
        return families();
    }

  private:
    /// Channels of one pixel: places of a row whose elements are always in the same rows, and there
    /// in one block again. False: an element is in one row twice.
    bool find_blocks() {
        block_of_.assign(length_, 0);
        std::size_t before = 0;
        do {
            before = blocks_.size();
            std::vector<std::uint64_t> sights(length_);
            for (std::size_t place = 0; place < length_; ++place) {
                if (!find_sights(place, sights[place])) {
                    return false;
                }
            }
            std::map<std::uint64_t, std::size_t> known;
            blocks_.clear();
            for (std::size_t place = 0; place < length_; ++place) {
                const auto [found, is_new] = known.try_emplace(sights[place], blocks_.size());
                if (is_new) {
                    blocks_.emplace_back();
                }
                block_of_[place] = found->second;
                blocks_[found->second].push_back(static_cast<std::int32_t>(place));
            }
        } while (blocks_.size() != before);
        return true;
    }

    /// A number for all rows and blocks that the elements at a place are in. Should two differ and
    /// have the same number, `same_pixel` finds out.
    bool find_sights(std::size_t place, std::uint64_t& sights) const {
        sights = block_of_[place];
        for (std::size_t at = place; at < sources_.size(); at += length_) {
            mix(sights, rows_);
            if (sources_[at].input < 0) {
                continue;
            }
            std::size_t row_before = rows_;
            for (const std::size_t other : seen_.at(element(at))) {
                if (row_before == other / length_) {
                    return false;
                }
                row_before = other / length_;
                mix(sights, row_before);
                mix(sights, block_of_[other % length_]);
            }
        }
        return true;
    }

    static void mix(std::uint64_t& number, std::uint64_t more) {
        number = (number ^ more) * 0x9e3779b97f4a7c15u;
        number ^= number >> 32;
    }

    /// Blocks that see the same pixels, if all have the channels in the same order.
    std::optional<Patches> families() const {
        std::vector<std::size_t> parent(blocks_.size());
        std::iota(parent.begin(), parent.end(), std::size_t{0});
        const auto root = [&](std::size_t block) {
            while (parent[block] != block) {
                block = parent[block];
            }
            return block;
        };
        for (const auto& [element, places] : seen_) {
            const std::size_t first = places.front();
            for (const std::size_t at : places) {
                if (!same_pixel(first, at)) {
                    return std::nullopt;
                }
                parent[root(block_of_[at % length_])] = root(block_of_[first % length_]);
            }
        }
        Patches patches;
        std::map<std::size_t, std::size_t> family;
        for (std::size_t block = 0; block < blocks_.size(); ++block) {
            const auto [found, is_new] = family.try_emplace(root(block), patches.families.size());
            if (is_new) {
                patches.families.emplace_back();
            }
            patches.families[found->second].taps.push_back(blocks_[block]);
        }
        return patches;
    }

    /// Whether the blocks of two places have the same elements, channel by channel.
    bool same_pixel(std::size_t first, std::size_t second) const {
        const std::vector<std::int32_t>& a = blocks_[block_of_[first % length_]];
        const std::vector<std::int32_t>& b = blocks_[block_of_[second % length_]];
        return std::ranges::equal(a, b, [&](std::int32_t at_a, std::int32_t at_b) {
            return sources_[first - first % length_ + index(at_a)] ==
                   sources_[second - second % length_ + index(at_b)];
        });
    }

    std::pair<std::int32_t, std::int64_t> element(std::size_t at) const {
        return {sources_[at].input, sources_[at].element};
    }

    std::span<const Source> sources_;
    std::size_t length_;
    std::size_t rows_;
    std::map<std::pair<std::int32_t, std::int64_t>, std::vector<std::size_t>> seen_;
    std::vector<std::size_t> block_of_;              ///< [place]
    std::vector<std::vector<std::int32_t>> blocks_;  ///< their places, in order
};

}  // namespace

std::optional<Patches> find_patches(std::span<const Source> sources, std::size_t length) {
    return length == 0 ? std::nullopt : PatchFinder(sources, length).run();
}

RowGraph add_products(const Patches& patches, std::span<const linear::AdderGraph> products,
                      std::int64_t outputs, std::span<const Interval> ranges) {
    RowGraph out;
    out.graph.n_in = static_cast<std::int32_t>(ranges.size());
    std::vector<linear::ValueInfo> values;
    for (const Interval& range : ranges) {
        values.push_back(linear::input_info(range));
    }
    std::vector<std::vector<linear::Term>> terms(index(outputs));
    for (std::size_t f = 0; f < patches.families.size(); ++f) {
        const auto& taps = patches.families[f].taps;
        for (std::size_t t = 0; t < taps.size(); ++t) {
            const linear::AdderGraph part =
                linear::part_of(products[f], static_cast<std::int64_t>(t) * outputs, outputs);
            const auto first = static_cast<std::int32_t>(values.size());
            const auto value = [&](std::int32_t in_part) {
                return in_part < part.n_in ? taps[t][index(in_part)] : first + in_part - part.n_in;
            };
            for (linear::Addition addition : part.additions) {
                addition.a = value(addition.a);
                addition.b = value(addition.b);
                values.push_back(linear::info_of(addition, values[index(addition.a)],
                                                 values[index(addition.b)]));
                out.graph.additions.push_back(addition);
            }
            for (std::size_t o = 0; o < part.outputs.size(); ++o) {
                const linear::Output& output = part.outputs[o];
                if (output.value >= 0) {
                    terms[o].push_back({value(output.value), output.shift, output.negate});
                }
            }
        }
    }
    out.shared = out.graph.additions.size();
    for (const auto& of_output : terms) {
        out.graph.outputs.push_back(linear::add_up(of_output, values, out.graph.additions));
    }
    return out;
}

}  // namespace gatewright::schedule
