#pragma once

#include <algorithm>
#include <cstdint>

#include "exact_layers.h"

/// Arithmetic of exact layers, and where their elements lie.
namespace gatewright::exact_layers {

inline Number unknown() {
    return {0, 0, false};
}

inline Rational absolute(const Rational& x) {
    return x < 0 ? Rational(-x) : x;
}

inline Number sum(const Number& a, const Number& b, int sign) {
    return {a.value + sign * b.value, a.error + b.error, a.known && b.known};
}

inline Number product(const Number& a, const Number& b) {
    return {a.value * b.value,
            absolute(a.value) * b.error + absolute(b.value) * a.error + a.error * b.error,
            a.known && b.known};
}

inline Number larger(const Number& a, const Number& b, bool smallest) {
    const bool first = smallest ? a.value <= b.value : a.value >= b.value;
    return {first ? a.value : b.value, std::max(a.error, b.error), a.known && b.known};
}

/// Coordinates of an element.
inline Shape at(std::int64_t element, const Shape& shape) {
    Shape out(shape.size());
    for (std::size_t i = shape.size(); i-- > 0;) {
        out[i] = element % shape[i];
        element /= shape[i];
    }
    return out;
}

inline std::int64_t number_of(const Shape& position, const Shape& shape) {
    std::int64_t out = 0;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        out = out * shape[i] + position[i];
    }
    return out;
}

/// The element of `x` that broadcasts to this position.
inline const Number& broadcast_at(const Numbers& x, const Shape& position) {
    Shape own(x.shape.size());
    for (std::size_t i = 0; i < own.size(); ++i) {
        own[i] = x.shape[i] == 1 ? 0 : position[position.size() - own.size() + i];
    }
    return x.values[static_cast<std::size_t>(number_of(own, x.shape))];
}

}  // namespace gatewright::exact_layers
