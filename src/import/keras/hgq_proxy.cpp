#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "import/keras/hgq_layers.h"
#include "operators/layers.h"

namespace gatewright::keras {

namespace {

using operators::FakeQuantizeFields;

Operand fake_quantised(Call& call, const Operand& x, FakeQuantizeFields fields) {
    return call
        .emit(operators::fake_quantize_operator, Attributes::of(std::move(fields)), {x},
              x.batch_axis)
        .front();
}

}  // namespace

void hgq1_fixed_point_quantizer(Call& call) {
    call.expect_inputs(1);
    Settings& s = call.settings;
    const Shape shape = s.integers("shape");
    // Notes for another translator, and whether it may merge this layer with the one before.
    s.ignore({"overrides", "fusible"});
    const Tensor keep_negative = call.weight("keep_negative", shape).constant;
    const Tensor bits = call.weight("bits", shape).constant;
    const Tensor integers = call.weight("integers", shape).constant;
    const HgqQuantiser q = hgq1_quantiser(call, keep_negative, bits, integers, s.text("RND", "TRN"),
                                          s.text("SAT", "WRAP"));
    call.set(quantised(call, call.operand(), q));
}

void hgq1_unary_lut(Call& call) {
    call.expect_inputs(1);
    Settings& s = call.settings;
    const Shape in = s.sizes("kif_in", 3);
    // The table's words are stored as numbers, so their type says nothing more.
    s.ignore("kif_out");
    const std::int64_t bits = in[0] + in[1] + in[2];
    if (in[0] < 0 || in[0] > 1 || bits < 1 || bits > 16 || std::abs(in[2]) > 64) {
        s.refuse("kif_in", "its input has no or too many bits", "Use at most 16 bits.");
    }
    const std::int64_t count = std::int64_t{1} << bits;
    const Tensor table = call.weight("table", {count}).constant;
    // The grid of the words.
    double step = 1;
    double largest = 0;
    for (const double word : table.values) {
        if (!std::isfinite(word)) {
            call.refuse_weights("a word of its table is no finite number");
        }
        largest = std::max(largest, std::abs(word));
        while (step > 0x1p-60 && std::floor(word / step) * step != word) {
            step /= 2;
        }
    }
    if (largest / step > 0x1p40) {
        call.refuse("the words of its table need more than 40 bits");
    }
    FakeQuantizeFields index;
    index.scale = Tensor::scalar(std::exp2(-static_cast<double>(in[2])));
    index.zero_point = Tensor::scalar(0);
    index.low = Tensor::scalar(0);
    index.high = Tensor::scalar(static_cast<double>(count - 1));
    index.rounding = Rounding::half_even;
    index.overflow = Overflow::wrap;
    Operand y = fake_quantised(call, call.operand(), index);
    y = call.function("affine", y,
                      {Call::number(std::exp2(static_cast<double>(in[2]))), Call::number(0)});
    std::vector<Operand> words;
    words.reserve(table.values.size());
    for (const double word : table.values) {
        words.push_back(Call::number(word));
    }
    y = call.function("lookup", y, words);
    const auto [least, most] = std::minmax_element(table.values.begin(), table.values.end());
    FakeQuantizeFields grid;
    grid.scale = Tensor::scalar(step);
    grid.zero_point = Tensor::scalar(0);
    grid.low = Tensor::scalar(std::min(*least / step, 0.0));
    grid.high = Tensor::scalar(std::max(*most / step, 0.0));
    call.set(fake_quantised(call, y, grid));
}

void hgq1_trained_layer(Call& call) {
    call.refuse("it is a layer of HGQ 1 as it is trained, whose widths are not fixed yet",
                "Convert the model with HGQ.proxy.to_proxy_model and save that.");
}

}  // namespace gatewright::keras
