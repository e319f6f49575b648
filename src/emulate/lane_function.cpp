#include "emulate/lane_function.h"

#include <algorithm>
#include <bit>
#include <type_traits>

namespace gatewright::emulate {

using bits::Lane;

namespace {

constexpr auto block = static_cast<std::int32_t>(bits::Evaluator::block);

/// Calls f with a pointer of the lane's type; it is at most i32.
template <class F>
void with_lanes(std::byte* lanes, Lane lane, F f) {
    switch (lane) {
        case Lane::i8:
            return f(reinterpret_cast<std::int8_t*>(lanes));
        case Lane::i16:
            return f(reinterpret_cast<std::int16_t*>(lanes));
        default:
            return f(reinterpret_cast<std::int32_t*>(lanes));
    }
}

/// The body's values of low, low + 1, ..., high.
std::vector<std::int32_t> values_of(const bits::Evaluator& body, std::int32_t low,
                                    std::int32_t high) {
    std::vector<std::int32_t> values(static_cast<std::size_t>(high - low) + 1);
    bits::Evaluator::Scratch scratch;
    alignas(64) std::byte x[block * sizeof(std::int32_t)];
    alignas(64) std::byte y[block * sizeof(std::int32_t)];
    const void* inputs[] = {x};
    void* outputs[] = {y};
    auto to = values.begin();
    for (std::int32_t first = low; first <= high; first += block) {
        const std::int32_t count = std::min(block, high - first + 1);
        with_lanes(x, body.input_lanes()[0], [&](auto* lanes) {
            for (std::int32_t i = 0; i < block; ++i) {
                lanes[i] = static_cast<std::remove_reference_t<decltype(*lanes)>>(
                    first + std::min(i, count - 1));
            }
        });
        body.run(inputs, outputs, scratch);
        with_lanes(y, body.output_lanes()[0],
                   [&](const auto* lanes) { to = std::copy_n(lanes, count, to); });
    }
    return values;
}

}  // namespace

std::optional<LaneFunction> LaneFunction::of(const bits::Evaluator& body, const Interval& range,
                                             std::int64_t& budget) {
    LaneFunction out;
    out.in_ = body.input_lanes().at(0);
    out.out_ = body.output_lanes().at(0);
    const Int128 limit = Int128{1} << 30;
    if (std::max(out.in_, out.out_) > Lane::i32 || range.low < -limit || range.high > limit ||
        range.high - range.low >= budget) {
        return std::nullopt;
    }
    budget -= static_cast<std::int64_t>(range.high - range.low) + 1;
    const auto low = static_cast<std::int32_t>(range.low);
    const std::vector<std::int32_t> values =
        values_of(body, low, static_cast<std::int32_t>(range.high));
    const bool has_steps = out.read_steps(low, values);
    if (!has_steps || out.edges_.size() > few_steps) {
        if (out.read_ramp(low, values)) {
            return out;
        }
    }
    return has_steps ? std::optional(out) : std::nullopt;
}

bool LaneFunction::read_steps(std::int32_t low, const std::vector<std::int32_t>& values) {
    base_ = values[0];
    for (std::size_t i = 1; i < values.size(); ++i) {
        if (values[i] != values[i - 1]) {
            edges_.push_back(low + static_cast<std::int32_t>(i));
            rises_.push_back(values[i] - values[i - 1]);
            if (edges_.size() > most_steps) {
                return false;
            }
        }
    }
    unit_ = std::all_of(rises_.begin(), rises_.end(), [](auto r) { return r == 1; });
    return out_ <= Lane::i16;
}

namespace {

/// What ramps might have the values, by those about the middle one of their edges: the positions
/// at which they change. `low` is the number of the first value.
std::vector<Ramp> likely_ramps(std::int64_t low, const std::vector<std::int32_t>& values,
                               const std::vector<std::size_t>& edges) {
    std::vector<Ramp> out;
    const auto add = [&](std::int64_t factor, std::int64_t addend, int shift, bool even) {
        if (std::max(std::abs(factor), std::abs(addend)) < std::int64_t{1} << 30) {
            Ramp& ramp = out.emplace_back();
            ramp.factor = static_cast<std::int32_t>(factor);
            ramp.addend = static_cast<std::int32_t>(addend);
            ramp.shift = shift;
            ramp.even = even;
        }
    };
    const std::size_t middle = edges.size() / 2;
    const auto two_steps = edges[middle + 1] - edges[middle - 1];
    for (std::size_t i = middle - 1; i <= middle + 1; ++i) {
        const std::int64_t x = low + static_cast<std::int64_t>(edges[i]);
        const std::int64_t y = values[edges[i]];
        if (two_steps == 2) {
            const std::int64_t factor = y - values[edges[i] - 1];
            add(factor, y - factor * x, 0, false);
        } else if (std::has_single_bit(two_steps)) {
            const int shift = std::countr_zero(two_steps) - 1;
            const std::int64_t scaled = y * (std::int64_t{1} << shift);
            add(1, scaled - x, shift, false);
            if (y % 2 == 0) {  // the half itself rounds up
                add(1, scaled - (std::int64_t{1} << shift) / 2 - x, shift, true);
            }
        }
    }
    return out;
}

}  // namespace

bool LaneFunction::read_ramp(std::int32_t low, const std::vector<std::int32_t>& values) {
    std::vector<std::size_t> edges;
    for (std::size_t i = 1; i < values.size(); ++i) {
        if (values[i] != values[i - 1]) {
            edges.push_back(i);
        }
    }
    if (edges.size() < 3) {
        return false;
    }
    const auto [least, largest] = std::minmax_element(values.begin(), values.end());
    const std::int64_t span = std::int64_t{*largest} - *least + 1;
    const std::int64_t high = low + static_cast<std::int64_t>(values.size()) - 1;
    for (Ramp ramp : likely_ramps(low, values, edges)) {
        ramp.low = *least;
        ramp.high = *largest;
        const auto reach = [&](std::int64_t x) { return std::abs(x * ramp.factor + ramp.addend); };
        const std::int64_t farthest =
            std::max({reach(low), reach(high), span, std::abs(std::int64_t{ramp.low}),
                      std::abs(std::int64_t{ramp.high})}) +
            (std::int64_t{1} << ramp.shift);
        if (farthest >= std::int64_t{1} << 30) {
            continue;
        }
        ramp.is_short =
            farthest < 1 << 14 && in_ <= Lane::i16 && std::abs(std::int64_t{ramp.factor}) < 1 << 14;
        for (const bool wraps : {false, true}) {
            ramp.wraps = wraps;
            bool equal = !wraps || std::has_single_bit(static_cast<std::uint64_t>(span));
            for (std::size_t i = 0; equal && i < values.size(); ++i) {
                equal = ramp_value(ramp, low + static_cast<std::int64_t>(i)) == values[i];
            }
            if (equal) {
                ramp_ = ramp;
                return true;
            }
        }
    }
    return false;
}

void LaneFunction::run(const std::byte* in, std::byte* out, std::int64_t count) const {
    if (ramp_) {
        return climb(in, in_, out, out_, count, *ramp_);
    }
    climb(in, in_, out, out_, count,
          Stairs{base_, edges_.data(), unit_ ? nullptr : rises_.data(),
                 static_cast<int>(edges_.size())});
}

bits::Lane lane_of(const network::TensorType& type) {
    bits::Lane lane = bits::Lane::i8;
    for (const network::Format& format : type.fixed->values()) {
        lane = std::max(lane, bits::lane_for({format.type.is_signed,
                                              static_cast<std::uint8_t>(format.type.width)}));
    }
    return lane;
}

}  // namespace gatewright::emulate
