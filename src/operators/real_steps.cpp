#include "operators/real_steps.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace gatewright::operators {

namespace {

bool is_softmax(const Step& step) {
    return is(step, "softmax") || is(step, "log_softmax");
}

void apply_softmax(const Shape& shape, std::int64_t axis, bool logarithm,
                   std::span<double> values) {
    const std::int64_t length = shape[static_cast<std::size_t>(axis)];
    const std::int64_t inner = strides_of(shape)[static_cast<std::size_t>(axis)];
    const auto count = static_cast<std::int64_t>(values.size());
    for (std::int64_t start = 0; start < count; ++start) {
        if ((start / inner) % length != 0) {
            continue;
        }
        const auto at = [&](std::int64_t i) -> double& {
            return values[static_cast<std::size_t>(start + i * inner)];
        };
        double largest = at(0);
        for (std::int64_t i = 1; i < length; ++i) {
            largest = std::max(largest, at(i));
        }
        double sum = 0;
        for (std::int64_t i = 0; i < length; ++i) {
            at(i) -= largest;
            const double power = std::exp(at(i));
            sum += power;
            at(i) = logarithm ? at(i) : power;
        }
        const double log_sum = logarithm ? std::log(sum) : 0;
        for (std::int64_t i = 0; i < length; ++i) {
            at(i) = logarithm ? at(i) - log_sum : at(i) / sum;
        }
    }
}

}  // namespace

RealSteps::RealSteps(std::span<const Step> steps, Shape shape) : shape_(std::move(shape)) {
    for (const Step& step : steps) {
        Ready& ready = steps_.emplace_back(Ready{&step, {}, {}, 0, {}});
        for (const std::vector<Step>& branch : step.branches) {
            ready.branches.emplace_back(branch, shape_);
        }
        for (const auto& parameter : step.parameters) {
            std::vector<long double> values;
            for (const Rational& value : parameter.values()) {
                values.push_back(value.convert_to<long double>());
            }
            ready.parameters.push_back(
                PerElement<long double>::along(std::move(values), parameter.inner()));
        }
        fill_table(ready);
    }
}

void RealSteps::fill_table(Ready& ready) const {
    constexpr std::int64_t most = 1 << 16;
    const auto count = static_cast<std::int64_t>(ready.parameters.size());
    const bool is_uniform =
        std::all_of(ready.parameters.begin(), ready.parameters.end(),
                    [](const PerElement<long double>& p) { return p.is_uniform(); });
    const std::int64_t elements = is_uniform ? 1 : element_count(shape_);
    if (count == 0 || elements > most / count) {
        return;
    }
    ready.pitch = is_uniform ? 0 : ready.parameters.size();
    for (std::int64_t e = 0; e < elements; ++e) {
        for (const PerElement<long double>& parameter : ready.parameters) {
            ready.table.push_back(parameter.at(e));
        }
    }
}

void RealSteps::apply(std::span<double> values) const {
    for (const Ready& ready : steps_) {
        apply(ready, values);
    }
}

void RealSteps::apply(const Ready& ready, std::span<double> values) const {
    const Step& step = *ready.step;
    if (is_softmax(step)) {
        const auto axis = static_cast<std::int64_t>(ready.parameters[0].values().front());
        return apply_softmax(shape_, axis, is(step, "log_softmax"), values);
    }
    if (!ready.branches.empty()) {
        std::vector<double> other(values.begin(), values.end());
        ready.branches[0].apply(values);
        ready.branches[1].apply(other);
        for (std::size_t e = 0; e < values.size(); ++e) {
            values[e] = static_cast<double>(step.function->join(values[e], other[e]));
        }
        return;
    }
    std::vector<long double> own(ready.table.empty() ? ready.parameters.size() : 0);
    for (std::size_t e = 0; e < values.size(); ++e) {
        const auto element = static_cast<std::int64_t>(e);
        if (step.function->value == nullptr) {
            const Real y =
                operators::apply(std::span(&step, 1), {to_rational(values[e]), 0}, element);
            values[e] = to_double(*y.exact);
            continue;
        }
        for (std::size_t i = 0; i < own.size(); ++i) {
            own[i] = ready.parameters[i].at(element);
        }
        const std::span<const long double> p =
            own.empty() ? std::span(ready.table).subspan(e * ready.pitch, ready.parameters.size())
                        : std::span<const long double>(own);
        values[e] = static_cast<double>(step.function->value(values[e], p));
    }
}

void apply_in_place(std::span<const Step> steps, Tensor& tensor) {
    RealSteps(steps, tensor.shape).apply(tensor.values);
}

}  // namespace gatewright::operators
