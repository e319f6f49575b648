#include "emulate/encode.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "emulate/encode_kernels.h"

namespace gatewright::emulate {

using operators::Step;

namespace {

[[noreturn]] void refuse_array(const std::string& file, const std::string& input,
                               const std::string& message, const std::string& remedy = {}) {
    throw Failure(Code::array_mismatch, {file, input, "input", ""}, message, remedy);
}

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

/// Calls f with a typed pointer to the elements of an array.
template <class F>
void with_elements(const NpyArray& array, F f) {
    const void* data = array.data.data();
    switch (array.dtype) {
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

Samples match_arrays(const std::vector<operators::ModelInput>& inputs, bool batched,
                     NamedArrays arrays, const std::string& file) {
    Samples out;
    const auto find = [&](const std::string& name) -> NpyArray* {
        for (auto& [known, array] : arrays) {
            if (known == name) {
                return &array;
            }
        }
        return nullptr;
    };
    std::string names;
    for (const auto& [name, array] : arrays) {
        names += (names.empty() ? "" : ", ") + name;
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        const operators::ModelInput& input = inputs[i];
        NpyArray* array = find(input.name);
        array = array == nullptr && inputs.size() == 1 ? find("x") : array;
        array = array == nullptr ? find(fmt::format("x{}", i)) : array;
        if (array == nullptr) {
            refuse_array(file, input.name, fmt::format("no array for it among: {}", names),
                         fmt::format("Name the array '{}', or x{}.", input.name,
                                     inputs.size() == 1 ? "" : std::to_string(i)));
        }
        Shape expected = input.shape;
        const bool bare = array->shape == input.shape;
        std::int64_t count = 1;
        const bool with_samples =
            array->shape.size() == input.shape.size() + 1 &&
            std::equal(input.shape.begin(), input.shape.end(), array->shape.begin() + 1);
        if (with_samples) {
            count = array->shape[0];
        } else if (!bare || batched) {
            refuse_array(file, input.name,
                         fmt::format("the array has shape {}, not {}", to_string(array->shape),
                                     "[samples" + (input.shape.empty()
                                                       ? std::string("]")
                                                       : ", " + to_string(input.shape).substr(1))));
        }
        const bool axis = with_samples;
        if (i > 0 && (count != out.count || axis != out.has_batch_axis)) {
            refuse_array(file, input.name,
                         fmt::format("it has {} samples, the first input {}", count, out.count));
        }
        out.count = count;
        out.has_batch_axis = axis;
        // Each array is some input's own: names and numbers are distinct.
        NpyArray taken = std::move(*array);
        if (taken.dtype == DType::float16 || taken.dtype == DType::int64 ||
            taken.dtype == DType::uint64) {
            const auto values = to_doubles(taken);
            if (!values) {
                refuse_array(file, input.name, "an integer of the array is beyond 2^53",
                             "Store the array as float64 or as 32-bit integers.");
            }
            taken = NpyArray::of(taken.shape, *values);
        }
        out.inputs.push_back(std::move(taken));
    }
    return out;
}

Samples match_arrays(const operators::CoreModel& model, NamedArrays arrays,
                     const std::string& file) {
    return match_arrays(model.model_inputs, model.batch == "free", std::move(arrays), file);
}

Encoder::Encoder(const operators::CoreModel& model, std::size_t port)
    : encoding_(model.encodings[port]) {
    while (model.model_inputs[source_].name != encoding_.model_input) {
        ++source_;
    }
    const network::NodeId id = model.network.inputs()[port];
    const std::int64_t count = element_count(model.network.node(id).types.front().shape);
    const Step& quantiser = encoding_.steps.back();
    const bool all_affine =
        quantiser.overflow != Overflow::wrap &&
        std::all_of(encoding_.steps.begin(), encoding_.steps.end() - 1,
                    [](const Step& step) { return operators::is(step, "affine"); });
    for (std::int64_t e = 0; e < count; ++e) {
        Line& line = lines_.emplace_back();
        if (!all_affine) {
            continue;
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
        line.is_line = std::isfinite(line.a) && std::isfinite(line.b) &&
                       abs(p[2].at(e)) <= widest && abs(p[3].at(e)) <= widest && abs(z) <= widest;
        if (!line.is_line) {
            continue;
        }
        line.exact = exact_log2(a).has_value() && b == 0;
        line.low = to_double(p[2].at(e));
        line.high = to_double(p[3].at(e));
        line.zero_point = boost::multiprecision::denominator(z) == 1 ? to_double(z) : 0.0;
    }
    const Rounding rounding = quantiser.rounding;
    const bool exact =
        std::all_of(lines_.begin(), lines_.end(), [](const Line& l) { return l.exact; });
    const bool small = std::all_of(lines_.begin(), lines_.end(), [](const Line& l) {
        return l.is_line && std::abs(l.low) < 1e9 && std::abs(l.high) < 1e9 &&
               std::abs(l.zero_point) < 1e9 && std::abs(l.b) < 1e15;
    });
    const bool fit = exact ? rounding == Rounding::half_even : is_round_to_nearest(rounding);
    if (!encoding_.index.empty() || !small || !fit) {
        return;
    }
    rows_.exact = exact;
    for (const Line& line : lines_) {
        rows_.a.push_back(line.a);
        rows_.b.push_back(line.b);
        rows_.low.push_back(line.low);
        rows_.high.push_back(line.high);
        rows_.margin.push_back(
            1e-12 * (3 + std::max(std::abs(line.low), std::abs(line.high)) + std::abs(line.b)));
        rows_.zero_point.push_back(line.zero_point);
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
    const Line& line = lines_[static_cast<std::size_t>(element)];
    if (!std::isfinite(value)) {
        throw Failure(Code::array_mismatch, {"", encoding_.model_input, "input", ""},
                      fmt::format("element {} of sample {} is {}",
                                  encoding_.index.empty()
                                      ? element
                                      : encoding_.index[static_cast<std::size_t>(element)],
                                  sample, value),
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
    if (line.exact && std::abs(level) < 4e15) {
        level = round_exact(level, rounding);
    } else if (!std::isfinite(level)) {
        return slow(value, element);
    } else if (level < line.low - 1 - margin) {
        level = line.low;
    } else if (level > line.high + 1 + margin) {
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
    level = std::max(line.low, std::min(line.high, level));
    return static_cast<std::int64_t>(level - line.zero_point);
}

template <class Integer>
void Encoder::encode(const Samples& samples, std::int64_t first, std::int64_t count, Integer* out,
                     std::int64_t stride) const {
    const NpyArray& array = samples.inputs[source_];
    const std::int64_t pitch = samples.count == 0 ? 0 : array.size() / samples.count;
    const std::int64_t n = elements();
    if (!rows_.a.empty() && array.dtype == DType::float32) {
        // Tiles of elements, so that the transposition stays in the cache.
        constexpr std::int64_t tile = 64;
        std::int32_t row[tile];
        const auto* data = reinterpret_cast<const float*>(array.data.data()) + first * pitch;
        for (std::int64_t e = 0; e < n; e += tile) {
            const std::int64_t width = std::min(tile, n - e);
            for (std::int64_t s = 0; s < count; ++s) {
                const float* x = data + s * pitch + e;
                const EncodeLines lines{rows_.a.data() + e,      rows_.b.data() + e,
                                        rows_.low.data() + e,    rows_.high.data() + e,
                                        rows_.margin.data() + e, rows_.zero_point.data() + e};
                const bool sure = rows_.exact ? encode_row_exact(x, lines, width, row)
                                              : encode_row_near(x, lines, width, row);
                Integer* to = out + e * stride + s;
                for (std::int64_t i = 0; i < width; ++i) {
                    to[i * stride] = static_cast<Integer>(
                        sure ? row[i] : integer(static_cast<double>(x[i]), e + i, first + s));
                }
            }
        }
        return;
    }
    with_elements(array, [&](const auto* x) {
        for (std::int64_t e = 0; e < n; ++e) {
            const std::int64_t from =
                encoding_.index.empty() ? e : encoding_.index[static_cast<std::size_t>(e)];
            for (std::int64_t s = 0; s < count; ++s) {
                out[e * stride + s] = static_cast<Integer>(
                    integer(static_cast<double>(x[(first + s) * pitch + from]), e, first + s));
            }
        }
    });
}

template void Encoder::encode(const Samples&, std::int64_t, std::int64_t, std::int16_t*,
                              std::int64_t) const;
template void Encoder::encode(const Samples&, std::int64_t, std::int64_t, std::int32_t*,
                              std::int64_t) const;
template void Encoder::encode(const Samples&, std::int64_t, std::int64_t, std::int64_t*,
                              std::int64_t) const;

Decoder::Decoder(const operators::CoreModel& model, std::size_t output)
    : decoding_(model.decodings[output]) {
    const network::TensorType& type = model.network.type(model.network.outputs()[output].value);
    shape_ = type.shape;
    const std::int64_t count = element_count(shape_);
    is_line_ = decoding_.steps.empty() ||
               (decoding_.steps.size() == 1 && operators::is(decoding_.steps[0], "affine"));
    for (std::int64_t e = 0; e < count; ++e) {
        const int frac = type.fixed->at(e).type.frac;
        frac_.push_back(frac);
        if (is_line_) {
            const bool plain = decoding_.steps.empty();
            const Rational unit = power_of_two(-frac);
            scale_.push_back(
                (plain ? unit : Rational(decoding_.steps[0].parameters[0].at(e) * unit))
                    .convert_to<long double>());
            offset_.push_back(
                plain ? 0.0L : decoding_.steps[0].parameters[1].at(e).convert_to<long double>());
        }
    }
}

void Decoder::decode(const std::int64_t* integers, std::int64_t stride, float* values) const {
    if (is_line_) {
        for (std::size_t e = 0; e < frac_.size(); ++e) {
            const auto n =
                static_cast<long double>(integers[static_cast<std::int64_t>(e) * stride]);
            values[e] = static_cast<float>(n * scale_[e] + offset_[e]);
        }
        return;
    }
    Tensor y{shape_, std::vector<double>(frac_.size())};
    for (std::size_t e = 0; e < frac_.size(); ++e) {
        y.values[e] = std::ldexp(
            static_cast<double>(integers[static_cast<std::int64_t>(e) * stride]), -frac_[e]);
    }
    operators::apply_in_place(decoding_.steps, y);
    for (std::size_t e = 0; e < frac_.size(); ++e) {
        values[e] = static_cast<float>(y.values[e]);
    }
}

}  // namespace gatewright::emulate
