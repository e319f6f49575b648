// Reading at positions between elements, bags of embeddings, views by strides; and operators that
// are a few others: grids, windows, weights with a norm of their own.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "import/layers/grid_sample.h"
#include "import/torch/rules.h"
#include "operators/layers.h"
#include "operators/move.h"
#include "operators/selection.h"

namespace gatewright::torch {

namespace {

using namespace gatewright::operators;
using layers::GridSampling;

void grid_sample(Call& call) {
    const Operand x = call.operand("input");
    const Operand grid = call.operand("grid");
    GridSampling sampling;
    const std::int64_t mode = call.integer("interpolation_mode");
    const std::int64_t outside = call.integer("padding_mode");
    call.demand(mode >= 0 && mode <= 2, "interpolation_mode", "there is no such mode");
    call.demand(outside >= 0 && outside <= 2, "padding_mode", "there is no such mode");
    const GridSampling::Mode modes[] = {GridSampling::Mode::linear, GridSampling::Mode::nearest,
                                        GridSampling::Mode::cubic};
    const GridSampling::Outside outsides[] = {GridSampling::Outside::zeros,
                                              GridSampling::Outside::border,
                                              GridSampling::Outside::reflection};
    sampling.mode = modes[mode];
    sampling.outside = outsides[outside];
    sampling.align_corners = call.flag("align_corners", false);
    if (x.batch_axis != grid.batch_axis || x.batch_axis > 0) {
        throw BatchMixed();
    }
    call.set(
        call.restore(layers::grid_sampled(call, call.samples(x), call.samples(grid), sampling), x));
}

void affine_grid(Call& call) {
    const Operand theta = call.operand("theta");
    const std::vector<Extent> size = call.extents("size");
    call.demand(size.size() == 4 || size.size() == 5, "size",
                "it has neither four nor five extents");
    Shape extents;
    for (std::size_t i = 2; i < size.size(); ++i) {
        call.demand(!size[i].batch && size[i].value >= 1 && size[i].value <= 1 << 14, "size",
                    "an extent is out of range");
        extents.push_back(size[i].value);
    }
    const bool align_corners = call.flag("align_corners", false);
    call.set(call.restore(layers::affine_grid(call, call.samples(theta), extents, align_corners),
                          theta));
}

/// Where bags begin, if each sample's positions are one bag.
bool has_a_bag_a_sample(Call& call, const Operand& index) {
    for (const auto& [name, argument] : call.node().arguments) {
        if (name == "offsets" && argument.kind == Argument::Kind::tensor) {
            const auto step = call.importer().starts(argument.names.front());
            if (!step) {
                return false;
            }
            call.ignore("offsets");
            if (call.joined("indices") != 0 || index.batch_axis != 0 ||
                index.sample_shape() != Shape{*step} || call.flag("include_last_offset", false)) {
                throw BatchMixed();
            }
            return true;
        }
    }
    return false;
}

/// Rows of a table, added up (or their mean or largest) by bags, which begin at constant positions
/// or with each sample.
void embedding_bag(Call& call) {
    const Operand weight = call.operand("weight");
    Operand index = call.operand("indices");
    index.is_integer = false;
    const std::int64_t mode = call.integer("mode", 0);
    call.demand(mode >= 0 && mode <= 2, "mode", "there is no such mode");
    // The operator inside counts no rows from the end, and has -1 where there is none.
    const bool inner = name_of_target(call.node().target).starts_with("aten._");
    call.demand(!call.has("padding_idx") || (inner && call.integer("padding_idx") == -1),
                "padding_idx", "rows of that number are left out, so that the bags depend on data",
                "Make the bags without padding.");
    if (weight.batch_axis >= 0 || weight.rank() != 2) {
        throw BatchMixed();
    }
    const char* kinds[] = {"sum", "mean", "max"};
    const auto rows_at = [&] {
        return call
            .emit(gather_operator, Attributes::of(GatherFields{0, false, "error"}), {weight, index},
                  index.batch_axis)
            .front();
    };
    if (has_a_bag_a_sample(call, index)) {
        Operand rows = rows_at();
        if (const auto weights = call.optional("per_sample_weights")) {
            if (call.joined("per_sample_weights") != 0 || weights->batch_axis != 0) {
                throw BatchMixed();
            }
            const std::int64_t count = index.sample_shape()[0];
            rows = call.multiply(rows, call.reshaped(*weights, {count, 1}, 0));
        }
        call.set(call.reduced(rows, kinds[mode], {0}, false));
        return;
    }
    const Tensor offsets = call.constant("offsets");
    if (index.batch_axis >= 0 || index.rank() != 1) {
        throw BatchMixed();
    }
    Operand rows = rows_at();
    const std::int64_t count = index.sample_shape()[0];
    if (const auto weights = call.optional("per_sample_weights")) {
        if (weights->batch_axis >= 0 || weights->rank() != 1) {
            throw BatchMixed();
        }
        rows = call.multiply(rows, call.reshaped(*weights, {count, 1}, -1));
    }
    std::vector<std::int64_t> begins;
    for (const double v : offsets.values) {
        begins.push_back(static_cast<std::int64_t>(v));
    }
    if (!call.flag("include_last_offset", false)) {
        begins.push_back(count);
    }
    std::vector<Operand> bags;
    for (std::size_t i = 0; i + 1 < begins.size(); ++i) {
        call.demand(begins[i] >= 0 && begins[i] < begins[i + 1] && begins[i + 1] <= count,
                    "offsets", "a bag is empty, or lies outside the positions");
        bags.push_back(call.reduced(call.sliced(rows, 0, begins[i], begins[i + 1] - begins[i]),
                                    kinds[mode], {0}, false));
    }
    call.demand(!bags.empty(), "offsets", "there are no bags");
    call.set(call.stacked(bags, 0));
}

/// Whether a tensor's elements lie one behind the other, in the order of its axes.
bool lies_in_order(const TensorMeta* meta) {
    if (meta == nullptr || meta->strides.size() != meta->sizes.size() ||
        !meta->offset.symbol.empty()) {
        return false;
    }
    std::int64_t expected = 1;
    for (std::size_t i = meta->sizes.size(); i-- > 0;) {
        const GraphInteger& size = meta->sizes[i];
        const GraphInteger& stride = meta->strides[i];
        if (!size.symbol.empty() || !stride.symbol.empty() ||
            (size.value != 1 && stride.value != expected) ||
            __builtin_mul_overflow(expected, size.value, &expected)) {
            return false;
        }
    }
    return true;
}

/// Elements by strides of what a tensor lies in: known where the tensor lies in order, as strides
/// and offset count in the memory, not in the tensor.
void as_strided(Call& call) {
    const Operand x = call.operand("self");
    const TensorMeta* meta = call.meta_of("self");
    const std::vector<Extent> size = call.extents("size");
    const std::vector<Extent> stride = call.extents("stride");
    const std::int64_t given = call.integer("storage_offset", meta ? meta->offset.value : 0);
    const auto fixed = [](const std::vector<Extent>& extents) {
        return std::none_of(extents.begin(), extents.end(),
                            [](const Extent& e) { return e.batch; });
    };
    if (x.batch_axis >= 0 || !fixed(size) || !fixed(stride)) {
        throw BatchMixed();
    }
    call.demand(lies_in_order(meta), "self", "its elements do not lie in the order of its axes",
                "Call contiguous() before as_strided.");
    const std::int64_t count = element_count(x.sample_shape());
    std::int64_t offset = 0;
    call.demand(!__builtin_sub_overflow(given, meta->offset.value, &offset) && offset >= 0 &&
                    offset < std::max<std::int64_t>(count, 1),
                "storage_offset", "it lies outside the tensor");
    IndexFields fields;
    std::vector<std::int64_t> index = {offset};
    call.demand(size.size() == stride.size(), "stride", "it does not fit the size");
    for (std::size_t i = 0; i < size.size(); ++i) {
        call.demand(size[i].value >= 0 && size[i].value <= 1 << 24 && stride[i].value >= 0 &&
                        stride[i].value <= std::int64_t{1} << 32 &&
                        static_cast<std::int64_t>(index.size()) * size[i].value <= 1 << 26,
                    "size", "an extent or stride is out of range");
        fields.shape.push_back(size[i].value);
        std::vector<std::int64_t> next;
        for (const std::int64_t e : index) {
            for (std::int64_t k = 0; k < size[i].value; ++k) {
                next.push_back(e + k * stride[i].value);
            }
        }
        index = std::move(next);
    }
    call.demand(std::all_of(index.begin(), index.end(),
                            [&](std::int64_t e) { return e >= 0 && e < count; }),
                "size", "it reaches beyond the tensor");
    fields.index.shape = {static_cast<std::int64_t>(index.size())};
    fields.index.values = std::move(index);
    call.set(call.emit(index_operator, Attributes::of(std::move(fields)), {x}, -1).front());
}

/// Each vector along an axis of its own, spread over the axes of the others.
void meshgrid(Call& call) {
    const std::vector<Operand> axes = call.operands("tensors");
    const std::string order = call.text("indexing", "ij");
    call.demand(order == "ij" || order == "xy", "indexing", "there is no such order");
    Shape shape;
    for (const Operand& x : axes) {
        if (x.batch_axis >= 0) {
            throw BatchMixed();
        }
        call.demand(x.rank() <= 1, "tensors", "one of them is no vector");
        shape.push_back(element_count(x.sample_shape()));
    }
    const bool swapped = order == "xy" && axes.size() > 1;
    const auto place = [&](std::size_t i) { return swapped && i < 2 ? 1 - i : i; };
    Shape grid = shape;
    if (swapped) {
        std::swap(grid[0], grid[1]);
    }
    call.demand(checked_element_count(grid).value_or(1 << 26) < 1 << 26, "tensors",
                "their grid is too large");
    for (std::size_t i = 0; i < axes.size(); ++i) {
        Shape line(axes.size(), 1);
        line[place(i)] = shape[i];
        call.set(call.expanded(call.reshaped(axes[i], line, -1), grid), i);
    }
}

/// v g / |v|, the norm over all axes but one.
void weight_norm(Call& call) {
    const Operand v = call.operand("v");
    const Operand g = call.operand("g");
    const std::int64_t dim = call.integer("dim", 0);
    if (v.batch_axis >= 0 || g.batch_axis >= 0) {
        throw BatchMixed();
    }
    Shape axes;
    for (std::int64_t i = 0; i < v.rank(); ++i) {
        if (i != dim) {
            axes.push_back(i);
        }
    }
    call.demand(dim >= -1 && dim < v.rank() && !axes.empty(), "dim", "it is out of range");
    const Operand sum = call.reduced(call.multiply(v, v), "sum", axes, dim >= 0);
    call.set(call.multiply(v, call.divide(g, call.function("sqrt", sum))));
}

/// x y / (max(|x|, eps) max(|y|, eps)) along an axis.
void cosine_similarity(Call& call) {
    const Operand x = call.operand("x1");
    const Operand y = call.operand("x2");
    const double eps = call.real("eps", 1e-8);
    const std::int64_t dim = call.integer("dim", 1);
    if (x.batch_axis != y.batch_axis || x.rank() != y.rank()) {
        throw BatchMixed();
    }
    const std::int64_t axis = call.axis(x, dim);
    const auto sum = [&](const Operand& v) {
        Operand out = call.reduced(v, "sum", {axis}, false);
        const bool before = v.batch_axis >= 0 && axis < v.batch_axis;
        out.batch_axis = v.batch_axis - (before ? 1 : 0);
        return out;
    };
    const auto norm = [&](const Operand& v) {
        return call.maximum(call.function("sqrt", sum(call.multiply(v, v))), Call::number(eps));
    };
    const Operand product = sum(call.multiply(x, y));
    call.set(call.divide(product, call.multiply(norm(x), norm(y))));
}

/// a - b cos(2 pi n / N) + c cos(4 pi n / N)
void window(Call& call, double a, double b, double c) {
    call.ignore("dtype");  // the program says the result's type
    const std::int64_t length = call.integer("window_length");
    const bool periodic = call.flag("periodic", true);
    a = call.real("alpha", a);
    b = call.real("beta", b);
    call.demand(length >= 1 && length <= 1 << 20, "window_length", "it is out of range");
    const auto period = static_cast<double>(periodic ? length : length - 1);
    Tensor out{{length}, {}};
    for (std::int64_t n = 0; n < length; ++n) {
        const double angle = 2 * std::numbers::pi * static_cast<double>(n) / std::max(period, 1.0);
        const double value = a - b * std::cos(angle) + c * std::cos(2 * angle);
        out.values.push_back(static_cast<double>(static_cast<float>(length == 1 ? 1 : value)));
    }
    call.set(Call::tensor(std::move(out)));
}

const RuleRow rows[] = {
    {"aten.meshgrid", "default indexing", &meshgrid},
    {"aten._weight_norm", "default", &weight_norm},
    {"aten._weight_norm_interface", "default", &weight_norm},
    {"aten.cosine_similarity", "default", &cosine_similarity},
    {"aten.hann_window", "default periodic", [](Call& c) { window(c, 0.5, 0.5, 0); }},
    {"aten.hamming_window", "default periodic periodic_alpha periodic_alpha_beta",
     [](Call& c) { window(c, 0.54, 0.46, 0); }},
    {"aten.blackman_window", "default periodic", [](Call& c) { window(c, 0.42, 0.5, 0.08); }},
    {"aten.grid_sampler", "default", &grid_sample},
    {"aten.grid_sampler_2d", "default", &grid_sample},
    {"aten.grid_sampler_3d", "default", &grid_sample},
    {"aten.affine_grid_generator", "default", &affine_grid},
    {"aten.embedding_bag", "default padding_idx", &embedding_bag, false, Joined::known},
    {"aten._embedding_bag", "default", &embedding_bag, false, Joined::known},
    {"aten._embedding_bag_forward_only", "default", &embedding_bag, false, Joined::known},
    {"aten.as_strided", "default", &as_strided},
    {"aten.as_strided_copy", "default", &as_strided},
};

}  // namespace

std::span<const RuleRow> sampling_rules() {
    return rows;
}

}  // namespace gatewright::torch
