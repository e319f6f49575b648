#include "emulate/encode.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

namespace gatewright::emulate {

using operators::Step;

namespace {

bool is_round_to_nearest(Rounding rounding) {
    return rounding == Rounding::half_up || rounding == Rounding::half_down ||
           rounding == Rounding::half_even || rounding == Rounding::half_away ||
           rounding == Rounding::half_zero;
}

/// The rounding of a number that is exact.
double round_exact(double x, Rounding rounding) {
    const double below = std::floor(x);
    const double rest = x - below;
    switch (rounding) {
        case Rounding::floor:
            return below;
        case Rounding::ceil:
            return std::ceil(x);
        case Rounding::toward_zero:
            return std::trunc(x);
        case Rounding::away:
            return x < 0 ? below : std::ceil(x);
        case Rounding::half_up:
            return rest < 0.5 ? below : below + 1;
        case Rounding::half_down: {
            // From above: just above -1/2, the distance from below would be rounded to 1/2.
            const double above = std::ceil(x);
            return above - x < 0.5 ? above : above - 1;
        }
        case Rounding::half_even:
            return std::nearbyint(x);
        case Rounding::half_away:
            return std::round(x);
        case Rounding::half_zero:
            return rest == 0.5 ? std::trunc(x) : (rest < 0.5 ? below : below + 1);
    }
    return below;
}

/// Calls f with a typed pointer to elements.
template <class F>
void with_elements(DType dtype, const void* data, F f) {
    switch (dtype) {
        case DType::float32:
            return f(static_cast<const float*>(data));
        case DType::float64:
            return f(static_cast<const double*>(data));
        case DType::int8:
            return f(static_cast<const std::int8_t*>(data));
        case DType::int16:
            return f(static_cast<const std::int16_t*>(data));
        case DType::int32:
            return f(static_cast<const std::int32_t*>(data));
        case DType::uint8:
        case DType::boolean:
            return f(static_cast<const std::uint8_t*>(data));
        case DType::uint16:
            return f(static_cast<const std::uint16_t*>(data));
        case DType::uint32:
            return f(static_cast<const std::uint32_t*>(data));
        default:
            break;
    }
}

}  // namespace

Encoder::Encoder(const operators::CoreModel& model, std::size_t port)
    : encoding_(model.encodings[port]) {
    while (model.model_inputs[source_].name != encoding_.model_input) {
        ++source_;
    }
    wraps_ = encoding_.steps.back().overflow == Overflow::wrap;
    const network::NodeId id = model.network.inputs()[port];
    elements_ = element_count(model.network.node(id).types.front().shape);
    uniform_ = std::all_of(encoding_.steps.begin(), encoding_.steps.end(), [](const Step& step) {
        return std::all_of(step.parameters.begin(), step.parameters.end(),
                           [](const auto& p) { return p.is_uniform(); });
    });
    for (std::int64_t e = 0; e < (uniform_ ? std::min<std::int64_t>(1, elements_) : elements_);
         ++e) {
        lines_.push_back(line_of(e));
    }
    prepare_rows();
    prepare_thresholds();
}

Encoder::Line Encoder::line_of(std::int64_t e) const {
    Line line;
    const Step& quantiser = encoding_.steps.back();
    const bool all_affine =
        std::all_of(encoding_.steps.begin(), encoding_.steps.end() - 1,
                    [](const Step& step) { return operators::is(step, "affine"); });
    if (!all_affine) {
        return line;
    }
    Rational a = 1;
    Rational b = 0;
    for (std::size_t i = 0; i + 1 < encoding_.steps.size(); ++i) {
        const auto& p = encoding_.steps[i].parameters;
        a = a * p[0].at(e);
        b = b * p[0].at(e) + p[1].at(e);
    }
    const auto& p = quantiser.parameters;
    const Rational z = p[1].at(e);
    a = a / p[0].at(e);
    b = b / p[0].at(e) + z;
    line.a = to_double(a);
    line.b = to_double(b);
    // Levels, and their differences to the zero point, must be exact in a double.
    const Rational widest = power_of_two(51);
    line.is_line = std::isfinite(line.a) && std::isfinite(line.b) && abs(p[2].at(e)) <= widest &&
                   abs(p[3].at(e)) <= widest && abs(z) <= widest;
    if (!line.is_line) {
        return line;
    }
    line.exact = exact_log2(a).has_value() && b == 0;
    line.low = to_double(p[2].at(e));
    line.high = to_double(p[3].at(e));
    if (line.low == line.high) {  // of no bits: whatever x is
        line.a = 0;
        line.b = line.low + 0.25;
        line.exact = true;
    }
    line.zero_point = boost::multiprecision::denominator(z) == 1 ? to_double(z) : 0.0;
    return line;
}

template <class Real>
void Encoder::Rows<Real>::add(const Line& line, double unsure, double reach) {
    a.push_back(static_cast<Real>(line.a));
    b.push_back(static_cast<Real>(line.b));
    low.push_back(static_cast<Real>(reach == 0 ? line.low : -reach));
    high.push_back(static_cast<Real>(reach == 0 ? line.high : reach));
    base.push_back(static_cast<std::int32_t>(line.low));
    mask.push_back(static_cast<std::int32_t>(line.high - line.low));
    margin.push_back(static_cast<Real>(unsure));
    zero_point.push_back(static_cast<std::int32_t>(line.zero_point));
}

template <class Real>
EncodeLines<Real> Encoder::Rows<Real>::at(std::size_t e) const {
    return {a.data() + e,      b.data() + e,    low.data() + e,  high.data() + e,
            margin.data() + e, base.data() + e, mask.data() + e, zero_point.data() + e};
}

void Encoder::prepare_rows() {
    const auto bound_of = [](const Line& line) {
        return std::max(std::abs(line.low), std::abs(line.high));
    };
    const Rounding rounding = encoding_.steps.back().rounding;
    bool exact = true;
    bool is_fit = true;
    bool is_narrow = true;
    for (const Line& line : lines_) {
        const double bound = bound_of(line);
        exact = exact && line.exact;
        is_fit = is_fit && line.is_line && bound <= (wraps_ ? 0x1p25 : 0x1p30) &&
                 std::abs(line.zero_point) <= 0x1p29 && std::abs(line.b) < 1e15 &&
                 (!wraps_ || exact_log2(Rational(line.high - line.low + 1)));
        // No product of a float overflows or underflows to its harm.
        is_narrow = is_narrow && bound <= (wraps_ ? 0x1p17 : 0x1p22) &&
                    std::abs(line.b) <= 0x1p22 &&
                    (line.a == 0 || (std::abs(line.a) >= 0x1p-100 && std::abs(line.a) <= 0x1p100));
    }
    if (!is_fit) {
        return;
    }
    if (exact && rounding == Rounding::half_even) {
        rounding_ = RowRounding::half_even;
    } else if (exact && rounding == Rounding::half_up) {
        rounding_ = RowRounding::half_up;
    } else if (exact && rounding == Rounding::floor) {
        rounding_ = RowRounding::floor;
    } else if (exact && rounding == Rounding::toward_zero) {
        rounding_ = RowRounding::toward_zero;
    } else if (!is_round_to_nearest(rounding)) {
        return;
    }
    std::vector<Line> lines = lines_;
    if (uniform_ && !lines.empty()) {
        lines.resize(static_cast<std::size_t>(tile), lines[0]);  // for every tile the same
    }
    for (const Line& line : lines) {
        // What wraps may go further, but what is beyond 16 times the bounds is left to doubles.
        const double reach = wraps_ ? 16 * std::max(1.0, bound_of(line)) : 0;
        const double size = 3 + std::max(bound_of(line), reach) + std::abs(line.b);
        wide_.add(line, 1e-12 * size, reach);
        // The factor, the product, the constant and the sum each round by 2^-24 at most, the first
        // two of up to size + |b|. Where too much would be unsure, doubles are faster.
        const double unsure = 0x1p-22 * size;
        is_narrow = is_narrow && (rounding_ != RowRounding::nearest || unsure <= 0x1p-11);
        if (is_narrow) {
            narrow_.add(line, unsure, reach);
        }
    }
    if (!is_narrow) {
        narrow_ = {};
    }
}

namespace {

/// Finite floats in their order as integers, zero as 0.
float ordered_float(std::int64_t order) {
    const auto magnitude = static_cast<std::uint32_t>(order < 0 ? -order : order);
    const float value = std::bit_cast<float>(magnitude);
    return order < 0 ? -value : value;
}

}  // namespace

void Encoder::prepare_thresholds() {
    const Step& quantiser = encoding_.steps.back();
    // Few levels, and functions that rise, have a value for every number and are not costly.
    const bool is_fit =
        uniform_ && elements_ > 0 && quantiser.overflow != Overflow::wrap &&
        std::all_of(encoding_.steps.begin(), encoding_.steps.end(), [&](const Step& step) {
            const bool cheap = &step == &quantiser || operators::is(step, "affine") ||
                               operators::is(step, "count_thresholds") ||
                               operators::is(step, "staircase") || operators::is(step, "maximum") ||
                               operators::is(step, "minimum") || operators::is(step, "sign");
            return cheap && operators::direction(step, 0) > 0;
        });
    if (!is_fit) {
        return;
    }
    const auto& p = quantiser.parameters;
    const Rational z =
        boost::multiprecision::denominator(p[1].at(0)) == 1 ? p[1].at(0) : Rational(0);
    const Rational lowest = p[2].at(0) - z;
    const Rational highest = p[3].at(0) - z;
    if (highest - lowest > most_thresholds || abs(lowest) > (1 << 30) || abs(highest) > (1 << 30)) {
        return;
    }
    constexpr std::int64_t largest =
        std::bit_cast<std::uint32_t>(std::numeric_limits<float>::max());
    const auto low = static_cast<std::int64_t>(to_double(lowest));
    const auto high = static_cast<std::int64_t>(to_double(highest));
    base_ = static_cast<std::int32_t>(low);
    thresholds_.emplace();
    for (std::int64_t level = low + 1; level <= high; ++level) {
        // The integer never falls while x rises: the first float that reaches the level.
        std::int64_t below = -largest - 1;
        std::int64_t from = largest + 1;
        while (from - below > 1) {
            const std::int64_t middle = below + (from - below) / 2;
            const double x = static_cast<double>(ordered_float(middle));
            (integer(x, 0, 0) >= level ? from : below) = middle;
        }
        thresholds_->push_back(from > largest ? std::numeric_limits<float>::infinity()
                                              : ordered_float(from));
    }
}

std::int64_t Encoder::slow(double x, std::int64_t element) const {
    const auto steps = std::span(encoding_.steps);
    const operators::Real value =
        operators::apply(steps.first(steps.size() - 1), {to_rational(x), 0}, element);
    const BigInt integer =
        operators::quantize_integer(steps.back(), operators::exact_value(value), element);
    return integer.convert_to<std::int64_t>();
}

std::int64_t Encoder::integer(double value, std::int64_t element, std::int64_t sample) const {
    const Line& line = this->line(element);
    if (!std::isfinite(value)) {
        throw Failure(Code::array_mismatch, {"", encoding_.model_input, "input", ""},
                      fmt::format("element {} of sample {} is {}", origin(element), sample,
                                  std::isnan(value) ? std::abs(value) : value),
                      "Inputs must be finite numbers.");
    }
    if (!line.is_line) {
        return slow(value, element);
    }
    const Rounding rounding = encoding_.steps.back().rounding;
    double level = line.a * value + line.b;
    if (line.exact && value != 0 && std::abs(level) < 1e-290) {
        return slow(value, element);  // the product may have lost bits below the smallest double
    }
    // Two roundings of relative size 2^-53 each cannot carry the line across a boundary that is
    // further away than this margin; nearer ones are decided exactly.
    const double margin = 1e-12 * (1 + std::abs(level) + std::abs(line.b));
    if (wraps_ && !(std::abs(level) < 4e15)) {
        return slow(value, element);
    }
    if (line.exact && std::abs(level) < 4e15) {
        level = round_exact(level, rounding);
    } else if (!std::isfinite(level)) {
        return slow(value, element);
    } else if (!wraps_ && level < line.low - 1 - margin) {
        level = line.low;
    } else if (!wraps_ && level > line.high + 1 + margin) {
        level = line.high;
    } else {
        const bool nearest = is_round_to_nearest(rounding);
        const double rest = level - std::floor(level);
        const double distance = nearest ? std::abs(rest - 0.5) : std::min(rest, 1 - rest);
        if (distance < margin) {
            return slow(value, element);
        }
        level = nearest ? std::floor(level + 0.5) : round_exact(level, rounding);
    }
    if (wraps_) {
        const double span = line.high - line.low + 1;
        const double rest = std::fmod(level - line.low, span);  // exact: of integers below 2^53
        level = line.low + (rest < 0 ? rest + span : rest);
    }
    level = std::max(line.low, std::min(line.high, level));
    return static_cast<std::int64_t>(level - line.zero_point);
}

template <class Element>
std::uint64_t Encoder::encode_tile(const Element* x, std::int64_t pitch, std::int64_t count,
                                   std::int64_t element, std::int64_t width, std::int32_t* out,
                                   Scratch& scratch) const {
    const std::size_t line = uniform_ ? 0 : static_cast<std::size_t>(element);
    std::uint64_t unsure = count == tile ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
    if constexpr (std::is_same_v<Element, float>) {
        if (encoding_.index.empty() && (thresholds_ || !narrow_.a.empty())) {
            const float* from = x + element;
            unsure = thresholds_ ? count_rows(from, pitch, count, width, thresholds_->data(),
                                              static_cast<int>(thresholds_->size()), base_, out)
                                 : encode_rows(from, pitch, count, width, narrow_.at(line),
                                               rounding_, wraps_, out);
        }
    }
    if (wide_.a.empty()) {
        return unsure;
    }
    scratch.row.resize(static_cast<std::size_t>(tile));
    for (std::uint64_t left = unsure; left != 0; left &= left - 1) {
        const int s = std::countr_zero(left);
        for (std::int64_t i = 0; i < width; ++i) {
            scratch.row[static_cast<std::size_t>(i)] =
                static_cast<double>(x[s * pitch + origin(element + i)]);
        }
        if (encode_rows(scratch.row.data(), tile, 1, width, wide_.at(line), rounding_, wraps_,
                        out + s * tile) == 0) {
            unsure &= ~(std::uint64_t{1} << s);
        }
    }
    return unsure;
}

template <class Integer, class Element>
void Encoder::encode_group(const Element* x, std::int64_t pitch, std::int64_t first,
                           std::int64_t count, Integer* out, std::int64_t stride,
                           Scratch& scratch) const {
    alignas(64) std::int32_t rows[tile * tile];
    for (std::int64_t e = 0; e < elements_; e += tile) {
        const std::int64_t width = std::min(tile, elements_ - e);
        const std::uint64_t unsure = encode_tile(x, pitch, count, e, width, rows, scratch);
        transpose(rows, count, width, out + e * stride, stride);
        for (std::uint64_t left = unsure; left != 0; left &= left - 1) {
            const int s = std::countr_zero(left);
            for (std::int64_t i = e; i < e + width; ++i) {
                out[i * stride + s] = static_cast<Integer>(
                    integer(static_cast<double>(x[s * pitch + origin(i)]), i, first + s));
            }
        }
    }
}

template <class Integer>
void Encoder::encode(const Samples& samples, std::int64_t first, std::int64_t count, Integer* out,
                     std::int64_t stride, Scratch& scratch) const {
    const ArraySource& array = samples.inputs[source_];
    const std::int64_t pitch = samples.count == 0 ? 0 : array.size() / samples.count;
    // What is read at once stays in the cache.
    const std::int64_t bytes = pitch * static_cast<std::int64_t>(item_size(array.dtype()));
    const std::int64_t group =
        std::clamp<std::int64_t>((1 << 18) / std::max<std::int64_t>(1, bytes), 1, tile);
    for (std::int64_t s = 0; s < count; s += group) {
        const std::int64_t part = std::min(group, count - s);
        const std::byte* data = array.read((first + s) * pitch, part * pitch, scratch.elements);
        with_elements(array.dtype(), data, [&](const auto* x) {
            encode_group(x, pitch, first + s, part, out + s, stride, scratch);
        });
    }
}

template void Encoder::encode(const Samples&, std::int64_t, std::int64_t, std::int8_t*,
                              std::int64_t, Scratch&) const;
template void Encoder::encode(const Samples&, std::int64_t, std::int64_t, std::int16_t*,
                              std::int64_t, Scratch&) const;
template void Encoder::encode(const Samples&, std::int64_t, std::int64_t, std::int32_t*,
                              std::int64_t, Scratch&) const;
template void Encoder::encode(const Samples&, std::int64_t, std::int64_t, std::int64_t*,
                              std::int64_t, Scratch&) const;

}  // namespace gatewright::emulate
