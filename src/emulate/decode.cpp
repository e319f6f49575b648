#include "emulate/decode.h"

#include <cmath>
#include <map>
#include <tuple>
#include <utility>

namespace gatewright::emulate {

Decoder::Decoder(const operators::CoreModel& model, std::size_t output) {
    const std::vector<operators::Step>& steps = model.decodings[output].steps;
    const network::TensorType& type = model.network.type(model.network.outputs()[output].value);
    shape_ = type.shape;
    is_plain_ = steps.empty();
    const bool is_affine = steps.size() == 1 && operators::is(steps[0], "affine");
    const std::int64_t count = element_count(shape_);
    bool is_near = true;
    const auto& formats = *type.fixed;
    for (std::int64_t e = 0; e < count; ++e) {
        const int frac = formats.at(e).type.frac;
        frac_.push_back(frac);
        unit_.push_back(std::ldexp(1.0, -frac));
        is_near = is_near && std::abs(frac) <= 900;
    }
    if (is_affine) {
        // Rationals cost much, and an element's are mostly those of another.
        const auto& scale = steps[0].parameters[0];
        const auto& offset = steps[0].parameters[1];
        std::map<std::tuple<const void*, const void*, int>, std::pair<long double, long double>>
            known;
        for (std::int64_t e = 0; e < count; ++e) {
            const Rational& a = scale.at(e);
            const Rational& b = offset.at(e);
            const int frac = frac_[static_cast<std::size_t>(e)];
            const auto [at, is_new] = known.try_emplace({&a, &b, frac});
            if (is_new) {
                at->second = {Rational(a * power_of_two(-frac)).convert_to<long double>(),
                              b.convert_to<long double>()};
            }
            scale_.push_back(at->second.first);
            offset_.push_back(at->second.second);
        }
    }
    if (!is_near) {
        unit_.clear();
    }
    if (!is_plain_ && !is_affine) {
        steps_.emplace(steps, shape_);
    }
}

void Decoder::decode(const std::int64_t* integers, std::int64_t stride, std::int64_t samples,
                     float* values) const {
    const std::size_t count = frac_.size();
    const auto real = [&](std::size_t e, std::int64_t n) {
        return unit_.empty() ? std::ldexp(static_cast<double>(n), -frac_[e])
                             : static_cast<double>(n) * unit_[e];
    };
    constexpr std::int64_t exact = std::int64_t{1} << 53;  // in a double
    std::vector<double> sample(steps_ ? count : 0);
    for (std::int64_t s = 0; s < samples; ++s, values += count) {
        for (std::size_t e = 0; e < count; ++e) {
            const std::int64_t n = integers[static_cast<std::int64_t>(e) * stride + s];
            if (steps_) {
                sample[e] = real(e, n);
            } else if (!is_plain_) {
                values[e] =
                    static_cast<float>(static_cast<long double>(n) * scale_[e] + offset_[e]);
            } else if (n >= -exact && n <= exact) {
                values[e] = static_cast<float>(real(e, n));
            } else {  // rounded once
                values[e] = static_cast<float>(std::ldexp(static_cast<long double>(n), -frac_[e]));
            }
        }
        if (steps_) {
            steps_->apply(sample);
            for (std::size_t e = 0; e < count; ++e) {
                values[e] = static_cast<float>(sample[e]);
            }
        }
    }
}

}  // namespace gatewright::emulate
