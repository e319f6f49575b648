#pragma once

#include "network/network.h"
#include "operators/function.h"

/// The element-wise core operators and their fields. Integers below are the elements' integers:
/// the binary point moves only where a field says so.
namespace gatewright::operators {

/// integer(y) = multiplier * integer(x) + addend, at `frac` bits behind the point.
struct AffineFields {
    PerElement<Int128> multiplier = Int128{1};
    PerElement<Int128> addend = Int128{0};
    PerElement<std::int64_t> frac = std::int64_t{0};

    bool operator==(const AffineFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{network::Field{"multiplier", &AffineFields::multiplier, "integer factor"},
                          network::Field{"addend", &AffineFields::addend, "integer summand"},
                          network::Field{"frac", &AffineFields::frac, "binary point of y"}};
    }
};

/// The operator that rounds.
struct QuantizeFields {
    PerElement<FixedType> type;
    Rounding rounding = Rounding::floor;
    Overflow overflow = Overflow::saturate;

    bool operator==(const QuantizeFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{network::Field{"type", &QuantizeFields::type, "type of y"},
                          network::Field{"rounding", &QuantizeFields::rounding, "rounding mode"},
                          network::Field{"overflow", &QuantizeFields::overflow, "overflow mode"}};
    }
};

/// integer(y) = integer(x) clamped into [low, high].
struct ClampFields {
    PerElement<Interval> range;

    bool operator==(const ClampFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"range", &ClampFields::range, "lowest and highest integer"}};
    }
};

/// integer(y) = integer(x) * (integer(x) < 0 ? negative : positive), at `frac`.
struct LeakyFields {
    PerElement<Int128> negative = Int128{1};
    PerElement<Int128> positive = Int128{1};
    PerElement<std::int64_t> frac = std::int64_t{0};

    bool operator==(const LeakyFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{network::Field{"negative", &LeakyFields::negative, "factor below zero"},
                          network::Field{"positive", &LeakyFields::positive, "factor from zero on"},
                          network::Field{"frac", &LeakyFields::frac, "binary point of y"}};
    }
};

/// integer(y) = base + step * (number of thresholds t with integer(x) >= t), at `frac`; the
/// thresholds are sorted, `step` is 1 or -1.
struct ThresholdFields {
    PerElement<std::vector<Int128>> thresholds;
    PerElement<Int128> base = Int128{0};
    PerElement<std::int64_t> step = std::int64_t{1};
    PerElement<std::int64_t> frac = std::int64_t{0};

    bool operator==(const ThresholdFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{
            network::Field{"thresholds", &ThresholdFields::thresholds, "sorted integers"},
            network::Field{"base", &ThresholdFields::base, "integer below all thresholds"},
            network::Field{"step", &ThresholdFields::step, "1 (rising) or -1 (falling)"},
            network::Field{"frac", &ThresholdFields::frac, "binary point of y"}};
    }
};

/// integer(y) = words[integer(x) - low], at `frac`.
struct TableFields {
    PerElement<Int128> low = Int128{0};
    PerElement<std::vector<Int128>> words;
    PerElement<std::int64_t> frac = std::int64_t{0};

    bool operator==(const TableFields&) const = default;
    static constexpr auto fields() {
        return std::tuple{network::Field{"low", &TableFields::low, "integer of the first word"},
                          network::Field{"words", &TableFields::words, "integers of y"},
                          network::Field{"frac", &TableFields::frac, "binary point of y"}};
    }
};

extern const network::Operator affine_operator;
extern const network::Operator quantize_operator;
extern const network::Operator clamp_operator;
extern const network::Operator leaky_operator;
extern const network::Operator absolute_operator;
extern const network::Operator thresholds_operator;
extern const network::Operator table_operator;

/// Of two inputs that broadcast; on real numbers they are layers too.
extern const network::Operator add_operator;
extern const network::Operator subtract_operator;
extern const network::Operator multiply_operator;
extern const network::Operator maximum_operator;
extern const network::Operator minimum_operator;

}  // namespace gatewright::operators
