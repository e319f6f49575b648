#include "emulate/staircase.h"

#include <algorithm>

#include "emulate/staircase_kernels.h"

namespace gatewright::emulate {

using bits::Lane;

namespace {

constexpr std::int64_t block = static_cast<std::int64_t>(bits::Evaluator::block);

template <class In>
void climb(const In* in, std::byte* out, Lane out_lane, std::int64_t count, const Stairs& stairs) {
    if (out_lane == Lane::i8) {
        climb(in, reinterpret_cast<std::int8_t*>(out), count, stairs);
    } else {
        climb(in, reinterpret_cast<std::int16_t*>(out), count, stairs);
    }
}

}  // namespace

std::optional<Staircase> Staircase::of(const bits::Evaluator& body, const Interval& range,
                                       std::int64_t& budget) {
    Staircase out;
    out.in_ = body.input_lanes().at(0);
    out.out_ = body.output_lanes().at(0);
    const Int128 limit = Int128{1} << 30;
    if (out.in_ > Lane::i32 || out.out_ > Lane::i16 || range.low < -limit || range.high > limit ||
        range.high - range.low >= budget) {
        return std::nullopt;
    }
    budget -= static_cast<std::int64_t>(range.high - range.low) + 1;
    bits::Evaluator::Scratch scratch;
    alignas(64) std::byte x[block * sizeof(std::int32_t)];
    alignas(64) std::byte y[block * sizeof(std::int16_t)];
    const void* inputs[] = {x};
    void* outputs[] = {y};
    const auto low = static_cast<std::int32_t>(range.low);
    const auto high = static_cast<std::int32_t>(range.high);
    std::int32_t last = 0;
    for (std::int32_t first = low; first <= high; first += static_cast<std::int32_t>(block)) {
        const auto at = [&](std::int64_t i) {
            return static_cast<std::int32_t>(std::min<std::int64_t>(first + i, high));
        };
        for (std::int64_t i = 0; i < block; ++i) {
            if (out.in_ == Lane::i8) {
                reinterpret_cast<std::int8_t*>(x)[i] = static_cast<std::int8_t>(at(i));
            } else if (out.in_ == Lane::i16) {
                reinterpret_cast<std::int16_t*>(x)[i] = static_cast<std::int16_t>(at(i));
            } else {
                reinterpret_cast<std::int32_t*>(x)[i] = at(i);
            }
        }
        body.run(inputs, outputs, scratch);
        for (std::int64_t i = 0; i < block; ++i) {
            const std::int32_t value = out.out_ == Lane::i8
                                           ? reinterpret_cast<const std::int8_t*>(y)[i]
                                           : reinterpret_cast<const std::int16_t*>(y)[i];
            if (first == low && i == 0) {
                out.base_ = value;
            } else if (value != last) {
                out.edges_.push_back(at(i));
                out.rises_.push_back(value - last);
                if (out.edges_.size() > most_steps) {
                    return std::nullopt;
                }
            }
            last = value;
        }
    }
    out.unit_ = std::all_of(out.rises_.begin(), out.rises_.end(), [](auto r) { return r == 1; });
    return out;
}

void Staircase::run(const std::byte* in, std::byte* out, std::int64_t count) const {
    const Stairs stairs{base_, edges_.data(), unit_ ? nullptr : rises_.data(),
                        static_cast<int>(edges_.size())};
    if (in_ == Lane::i8) {
        climb(reinterpret_cast<const std::int8_t*>(in), out, out_, count, stairs);
    } else if (in_ == Lane::i16) {
        climb(reinterpret_cast<const std::int16_t*>(in), out, out_, count, stairs);
    } else {
        climb(reinterpret_cast<const std::int32_t*>(in), out, out_, count, stairs);
    }
}

}  // namespace gatewright::emulate
