#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "import/keras/products.h"
#include "import/keras/resampling.h"
#include "import/keras/rules.h"
#include "operators/move.h"

namespace gatewright::keras {

namespace {

/// A result that holds elements of the first input: its kind stays.
void set_moved(Call& call, Operand y) {
    call.set(std::move(y), call.input().kind);
}

void flatten(Call& call) {
    call.expect_inputs(1);
    const bool first = read_channels_first(call, true);
    Operand x = call.operand();
    if (first && !x.sample_shape().empty()) {
        x = channels_to_place(call, x, false);
    }
    set_moved(call, call.reshaped(x, {element_count(x.sample_shape())}, x.batch_axis));
}

void reshape(Call& call) {
    call.expect_inputs(1);
    Shape shape = call.settings.integers("target_shape");
    const Operand& x = call.operand();
    const std::int64_t all = element_count(x.sample_shape());
    std::int64_t known = 1;
    std::int64_t free = -1;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (shape[i] == -1 && free < 0) {
            free = static_cast<std::int64_t>(i);
        } else if (shape[i] < 0 || (known > 0 && shape[i] > all / known)) {
            call.settings.refuse("target_shape",
                                 fmt::format("{} elements do not fit {}", all, to_string(shape)));
        } else {
            known *= shape[i];
        }
    }
    if (free >= 0 && known > 0) {
        shape[static_cast<std::size_t>(free)] = all / known;
        known *= all / known;
    }
    if (known != all) {
        call.settings.refuse("target_shape",
                             fmt::format("{} elements do not fit {}", all, to_string(shape)));
    }
    set_moved(call, call.reshaped(x, shape, x.batch_axis));
}

void permute(Call& call) {
    call.expect_inputs(1);
    Shape order = call.settings.integers("dims");
    Shape sorted = order;
    std::sort(sorted.begin(), sorted.end());
    bool sound = sorted.size() == call.operand().sample_shape().size();
    for (std::size_t i = 0; i < sorted.size(); ++i) {
        sound = sound && sorted[i] == static_cast<std::int64_t>(i) + 1;
    }
    if (!sound) {
        call.settings.refuse("dims", fmt::format("it does not order the axes 1 ... {}",
                                                 call.operand().sample_shape().size()));
    }
    for (std::int64_t& axis : order) {
        --axis;
    }
    set_moved(call, call.transposed(call.operand(), order, call.operand().batch_axis));
}

void repeat_vector(Call& call) {
    call.expect_inputs(1);
    const std::int64_t n = call.settings.integer("n");
    Shape shape = call.operand().sample_shape();
    if (shape.size() != 1 || n < 1 || n > (1 << 24)) {
        call.refuse("it repeats one row of features a sample, at least once");
    }
    const Operand row = call.reshaped(call.operand(), {1, shape[0]}, call.operand().batch_axis);
    set_moved(call, call.expanded(row, {n, shape[0]}));
}

/// Numbers before and behind each of `rank` spatial axes: one for all, one for each axis, or a pair
/// for each. For one axis a list of two is a pair.
std::vector<std::pair<std::int64_t, std::int64_t>> pairs(Call& call, const char* key,
                                                         std::size_t rank) {
    std::vector<std::pair<std::int64_t, std::int64_t>> out;
    const Json& value = call.settings.json(key);
    const auto number = [&](const Json& n) {
        if (!n.is_number_integer() || n < 0 || n > (1 << 24)) {
            call.settings.refuse(key, "it is no list of numbers of positions");
        }
        return n.get<std::int64_t>();
    };
    const auto pair = [&](const Json& p) -> std::pair<std::int64_t, std::int64_t> {
        if (!p.is_array()) {
            return {number(p), number(p)};
        }
        if (p.size() != 2) {
            call.settings.refuse(key, "a pair of positions has not two numbers");
        }
        return {number(p[0]), number(p[1])};
    };
    if (value.is_null()) {
        call.settings.refuse(key, "it is missing or null", "Save the model again with Keras.");
    }
    if (!value.is_array()) {
        return {rank, pair(value)};
    }
    if (rank == 1 && value.size() == 2) {
        return {pair(value)};
    }
    if (value.size() != rank) {
        call.settings.refuse(key, fmt::format("it has {} entries for {} axes", value.size(), rank));
    }
    for (const Json& part : value) {
        out.push_back(pair(part));
    }
    return out;
}

/// The sample's axis of the first spatial one. Expects an input with `rank` of them.
std::int64_t first_spatial(Call& call, std::size_t rank, bool channels_first) {
    call.expect_inputs(1);
    if (call.operand().sample_shape().size() != rank + 1) {
        call.refuse(fmt::format("its input has {} axes besides the batch instead of {}",
                                call.operand().sample_shape().size(), rank + 1));
    }
    return channels_first ? 1 : 0;
}

template <std::size_t rank>
void cropping(Call& call) {
    const bool first = rank > 1 && read_channels_first(call, true);
    std::int64_t axis = first_spatial(call, rank, first);
    Operand x = call.operand();
    for (const auto& [before, after] : pairs(call, "cropping", rank)) {
        const std::int64_t extent = x.sample_shape()[static_cast<std::size_t>(axis)];
        if (before + after >= extent) {
            call.settings.refuse("cropping",
                                 fmt::format("nothing is left of {} positions", extent));
        }
        x = call.sliced(x, axis++, before, extent - before - after);
    }
    set_moved(call, x);
}

template <std::size_t rank>
void zero_padding(Call& call) {
    const bool first = read_channels_first(call, true);
    std::int64_t axis = first_spatial(call, rank, first);
    operators::PadFields fields;
    fields.before.assign(rank + 1, 0);
    fields.after.assign(rank + 1, 0);
    fields.mode = "zero";
    for (const auto& [before, after] : pairs(call, "padding", rank)) {
        fields.before[static_cast<std::size_t>(axis)] = before;
        fields.after[static_cast<std::size_t>(axis++)] = after;
    }
    const Operand& x = call.operand();
    set_moved(
        call,
        call.emit(operators::pad_operator, Attributes::of(fields), {x}, x.batch_axis).front());
}

template <std::size_t rank>
void up_sampling(Call& call) {
    const bool first = rank > 1 && read_channels_first(call, true);
    const std::int64_t begin = first_spatial(call, rank, first);
    const Shape size = call.settings.sizes("size", rank, 2);
    Resampling how;
    if (rank == 2) {
        how.interpolation = call.settings.text("interpolation", "nearest");
        how.single_precision = !call.keras2();
    }
    std::vector<ResampledAxis> axes;
    for (std::size_t i = 0; i < rank; ++i) {
        const std::int64_t axis = begin + static_cast<std::int64_t>(i);
        const std::int64_t extent = call.operand().sample_shape()[static_cast<std::size_t>(axis)];
        if (size[i] < 1 || size[i] > (1 << 20)) {
            call.settings.refuse("size", "it is no factor from 1 on");
        }
        axes.push_back({axis, extent * size[i]});
    }
    call.set(resampled(call, call.operand(), how, axes));
}

void same(Call& call) {
    call.expect_inputs(1);
    set_moved(call, call.operand());
}

const RuleRow rows[] = {
    {"Flatten", &flatten},
    {"Reshape", &reshape},
    {"Permute", &permute},
    {"RepeatVector", &repeat_vector},
    {"Cropping1D", &cropping<1>},
    {"Cropping2D", &cropping<2>},
    {"Cropping3D", &cropping<3>},
    {"ZeroPadding1D", &zero_padding<1>},
    {"ZeroPadding2D", &zero_padding<2>},
    {"ZeroPadding3D", &zero_padding<3>},
    {"UpSampling1D", &up_sampling<1>},
    {"UpSampling2D", &up_sampling<2>},
    {"UpSampling3D", &up_sampling<3>},
    {"Identity", &same, Masking::passes},
};

}  // namespace

std::span<const RuleRow> shape_rules() {
    return rows;
}

}  // namespace gatewright::keras
