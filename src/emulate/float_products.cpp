// Steps of the float engine: sums of products with constant weights, on rows of samples.

#include "emulate/float_products.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "emulate/float_kernels.h"
#include "operators/accumulation.h"
#include "operators/convolution.h"
#include "operators/layers.h"
#include "operators/move.h"

namespace gatewright::emulate {

namespace {

using namespace gatewright::operators;
using network::Node;

/// Weights [length, columns] in blocks of up to four columns, [block][k][column of the block].
struct PackedWeights {
    std::int64_t length = 0;
    std::int64_t columns = 0;
    std::vector<double> values;

    template <class At>
    PackedWeights(std::int64_t length_, std::int64_t columns_, At at)
        : length(length_), columns(columns_) {
        values.reserve(static_cast<std::size_t>(columns * length));
        for (std::int64_t c = 0; c < columns; c += most_columns) {
            for (std::int64_t k = 0; k < length; ++k) {
                for (std::int64_t j = c; j < std::min(c + most_columns, columns); ++j) {
                    values.push_back(at(k, j));
                }
            }
        }
    }

    /// out(c) row = bias[c] + rows * weights, for all columns. Calls finished(c, n) when the rows
    /// of n columns from c on are complete.
    template <class Out, class Finished>
    void apply(const double* const* rows, std::int64_t lanes, const double* bias, Out out,
               Finished finished) const {
        static constexpr std::array<double, most_columns> zeros{};
        // As many rows at a time as stay in the nearest cache for all columns.
        const std::int64_t block = 4096 / lanes;
        std::int64_t begin = 0;
        do {
            const std::int64_t size = std::min(block, length - begin);
            const bool is_last = begin + size == length;
            for (std::int64_t c = 0; c < columns; c += most_columns) {
                const std::int64_t width = std::min(most_columns, columns - c);
                std::array<double*, most_columns> sums{};
                for (std::int64_t j = 0; j < width; ++j) {
                    sums[static_cast<std::size_t>(j)] = out(c + j);
                }
                const double* from =
                    begin > 0 ? nullptr : (bias != nullptr ? bias + c : zeros.data());
                float_form().contract[static_cast<std::size_t>(width - 1)](
                    rows + begin, values.data() + c * length + begin * width, size, lanes, from,
                    sums.data());
                if (is_last) {
                    finished(c, width);
                }
            }
            begin += size;
        } while (begin < length);
    }
};

}  // namespace

FloatStep matmul_step(const FloatNode& f) {
    if (f.constants[0] != nullptr || f.constants[1] == nullptr ||
        (f.inputs.size() == 3 && f.constants[2] == nullptr) ||
        !f.node.fields<MatmulFields>().accumulator.is_exact()) {
        return nullptr;
    }
    const Tensor& w = *f.constants[1];
    const Shape& a = f.inputs[0].shape;
    if (w.shape.size() > 2 || a.empty()) {
        return nullptr;
    }
    const std::int64_t length = w.shape[0];
    const std::int64_t columns = w.shape.size() == 2 ? w.shape[1] : 1;
    const std::int64_t count = element_count(a) / std::max<std::int64_t>(1, length);
    const std::vector<double> bias =
        f.inputs.size() == 3 ? f.constants[2]->values : std::vector<double>{};
    return [count, bias,
            weights = PackedWeights(length, columns, [&](std::int64_t k, std::int64_t c) {
                return w.values[static_cast<std::size_t>(k * columns + c)];
            })](const FloatCall& call) {
        std::vector<const double*> rows(static_cast<std::size_t>(weights.length));
        for (std::int64_t r = 0; r < count; ++r) {
            for (std::int64_t k = 0; k < weights.length; ++k) {
                rows[static_cast<std::size_t>(k)] =
                    call.inputs[0] + (r * weights.length + k) * call.lanes;
            }
            weights.apply(
                rows.data(), call.lanes, bias.empty() ? nullptr : bias.data(),
                [&](std::int64_t c) {
                    return call.outputs[0] + (r * weights.columns + c) * call.lanes;
                },
                [&](std::int64_t c, std::int64_t n) { call.finish(r * weights.columns + c, n); });
        }
    };
}

FloatStep conv_step(const FloatNode& f) {
    const auto& fields = f.node.fields<ConvFields>();
    if (f.constants[0] != nullptr || f.constants[1] == nullptr ||
        (f.inputs.size() == 3 && f.constants[2] == nullptr) || !fields.accumulator.is_exact()) {
        return nullptr;
    }
    const Tensor& w = *f.constants[1];
    const WindowFields window{Shape(w.shape.begin() + 2, w.shape.end()),
                              fields.strides,
                              fields.dilations,
                              fields.before,
                              fields.after,
                              false};
    const std::int64_t channels = w.shape[0];
    const std::int64_t per_group = channels / fields.groups;
    const std::int64_t length = element_count(w.shape) / channels;
    const std::int64_t positions = element_count(f.node.types.front().shape) / channels;
    std::vector<PackedWeights> groups;
    for (std::int64_t g = 0; g < fields.groups; ++g) {
        groups.emplace_back(length, per_group, [&](std::int64_t k, std::int64_t c) {
            return w.values[static_cast<std::size_t>((g * per_group + c) * length + k)];
        });
    }
    const std::vector<std::int64_t> patches =
        sources_of(window_operator, network::Attributes::of(window), f.inputs[0].shape);
    const std::vector<double> bias = f.inputs.size() == 3
                                         ? f.constants[2]->values
                                         : std::vector<double>(static_cast<std::size_t>(channels));
    // Patch p of group g, and the rows of its results.
    const auto at = [groups, positions, length, per_group, bias, patches](
                        const FloatCall& call, std::int64_t p, std::size_t g, const double** rows,
                        const auto& finished) {
        alignas(64) static constexpr std::array<double, most_lanes> zeros{};
        const std::int64_t* patch =
            patches.data() +
            (p * static_cast<std::int64_t>(groups.size()) + static_cast<std::int64_t>(g)) * length;
        for (std::int64_t k = 0; k < length; ++k) {
            rows[k] = patch[k] < 0 ? zeros.data() : call.inputs[0] + patch[k] * call.lanes;
        }
        const std::int64_t first = static_cast<std::int64_t>(g) * per_group;
        groups[g].apply(
            rows, call.lanes, bias.data() + first,
            [&](std::int64_t c) {
                return call.outputs[0] + ((first + c) * positions + p) * call.lanes;
            },
            finished);
    };
    if (per_group <= most_columns) {  // group by group: many positions are finished together
        return [at, positions, length, per_group, count = groups.size()](const FloatCall& call) {
            constexpr std::int64_t block = 8;
            std::vector<const double*> rows(static_cast<std::size_t>(length));
            for (std::size_t g = 0; g < count; ++g) {
                for (std::int64_t begin = 0; begin < positions; begin += block) {
                    const std::int64_t end = std::min(begin + block, positions);
                    for (std::int64_t p = begin; p < end; ++p) {
                        at(call, p, g, rows.data(), [](std::int64_t, std::int64_t) {});
                    }
                    const std::int64_t first = static_cast<std::int64_t>(g) * per_group;
                    for (std::int64_t c = first; c < first + per_group; ++c) {
                        call.finish(c * positions + begin, end - begin);
                    }
                }
            }
        };
    }
    return [at, positions, length, per_group, count = groups.size()](const FloatCall& call) {
        std::vector<const double*> rows(static_cast<std::size_t>(length));
        for (std::int64_t p = 0; p < positions; ++p) {
            for (std::size_t g = 0; g < count; ++g) {
                const std::int64_t first = static_cast<std::int64_t>(g) * per_group;
                at(call, p, g, rows.data(), [&](std::int64_t c, std::int64_t n) {
                    for (std::int64_t i = c; i < c + n; ++i) {
                        call.finish((first + i) * positions + p, 1);
                    }
                });
            }
        }
    };
}

FloatStep conv_transpose_step(const FloatNode& f) {
    if (f.constants[0] != nullptr || f.constants[1] == nullptr ||
        (f.inputs.size() == 3 && f.constants[2] == nullptr)) {
        return nullptr;
    }
    const auto& fields = f.node.fields<ConvTransposeFields>();
    const Tensor& w = *f.constants[1];
    const std::int64_t taps = element_count(w.shape) / (w.shape[0] * w.shape[1]);
    const std::int64_t per_group = w.shape[1];
    const std::int64_t inputs_of_group = w.shape[0] / fields.groups;
    const std::int64_t in_positions = element_count(f.inputs[0].shape) / w.shape[0];
    const Shape& y = f.node.types.front().shape;
    const std::int64_t positions = element_count(y) / y[0];

    // Positions of y that are reached through the same taps share their weights.
    struct Phase {
        std::vector<std::int64_t> taps;
        std::vector<PackedWeights> groups;
    };
    struct Position {
        std::size_t phase;
        std::vector<std::int64_t> from;  ///< a position of x for each tap
    };
    std::vector<Phase> phases;
    std::vector<Position> reached;
    for (std::vector<Contribution>& to : contributions(fields, f.inputs[0].shape, w.shape, y)) {
        std::vector<std::int64_t> through;
        Position& position = reached.emplace_back();
        for (const Contribution& contribution : to) {
            through.push_back(contribution.tap);
            position.from.push_back(contribution.position);
        }
        const auto known = std::find_if(phases.begin(), phases.end(),
                                        [&](const Phase& phase) { return phase.taps == through; });
        position.phase = static_cast<std::size_t>(known - phases.begin());
        if (known != phases.end()) {
            continue;
        }
        Phase& phase = phases.emplace_back(Phase{through, {}});
        const auto used = static_cast<std::int64_t>(through.size());
        for (std::int64_t g = 0; g < fields.groups; ++g) {
            phase.groups.emplace_back(
                used * inputs_of_group, per_group, [&](std::int64_t k, std::int64_t c) {
                    const std::int64_t channel = g * inputs_of_group + k / used;
                    const std::int64_t tap = through[static_cast<std::size_t>(k % used)];
                    return w
                        .values[static_cast<std::size_t>((channel * per_group + c) * taps + tap)];
                });
        }
    }
    return [phases, reached, positions, in_positions, per_group, inputs_of_group,
            bias = f.inputs.size() == 3 ? f.constants[2]->values
                                        : std::vector<double>(static_cast<std::size_t>(y[0]))](
               const FloatCall& call) {
        std::vector<const double*> rows;
        for (std::int64_t p = 0; p < positions; ++p) {
            const Position& position = reached[static_cast<std::size_t>(p)];
            const std::vector<PackedWeights>& groups = phases[position.phase].groups;
            for (std::size_t g = 0; g < groups.size(); ++g) {
                rows.clear();
                const std::int64_t first = static_cast<std::int64_t>(g) * inputs_of_group;
                for (std::int64_t c = first; c < first + inputs_of_group; ++c) {
                    for (const std::int64_t from : position.from) {
                        rows.push_back(call.inputs[0] + (c * in_positions + from) * call.lanes);
                    }
                }
                const std::int64_t channel = static_cast<std::int64_t>(g) * per_group;
                groups[g].apply(
                    rows.data(), call.lanes, bias.data() + channel,
                    [&](std::int64_t c) {
                        return call.outputs[0] + ((channel + c) * positions + p) * call.lanes;
                    },
                    [&](std::int64_t c, std::int64_t n) {
                        for (std::int64_t i = c; i < c + n; ++i) {
                            call.finish((channel + i) * positions + p, 1);
                        }
                    });
            }
        }
    };
}

}  // namespace gatewright::emulate
