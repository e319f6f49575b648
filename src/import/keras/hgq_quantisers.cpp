#include "import/keras/hgq_quantisers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

namespace gatewright::keras {

namespace {

using Json = nlohmann::ordered_json;
using layers::Builder;

/// Widths beyond these are no widths of numbers that a float32 can tell apart.
constexpr double most_bits = 48;
constexpr double most_exponent = 100;

std::string upper(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
}

[[noreturn]] void refuse_attribute(const Builder& layer, const std::string& attribute,
                                   std::string message, std::string remedy = {}) {
    throw Failure(Code::unsupported_attribute, layer.where(attribute), std::move(message),
                  std::move(remedy));
}

/// Stored widths are trained as real numbers and rounded to even where they are used.
Tensor rounded(Tensor t) {
    for (double& v : t.values) {
        v = std::nearbyint(v);
    }
    return t;
}

void check_widths(const Builder& layer, const HgqQuantiser& q) {
    const FixedWidths& w = q.fixed;
    if (w.negative.shape != w.integer.shape || w.integer.shape != w.fraction.shape) {
        layer.refuse(fmt::format("its quantiser's widths have the shapes {}, {} and {}",
                                 to_string(w.negative.shape), to_string(w.integer.shape),
                                 to_string(w.fraction.shape)));
    }
    for (std::size_t i = 0; i < w.negative.values.size(); ++i) {
        const double k = w.negative.values[i];
        const double integer = w.integer.values[i];
        const double fraction = w.fraction.values[i];
        const bool sound = (k == 0 || k == 1) && std::isfinite(integer) && std::isfinite(fraction);
        if (!sound) {
            layer.refuse(
                fmt::format("element {} of its quantiser has a sign bit {}, {} integer "
                            "bits and {} fractional bits",
                            i, k, integer, fraction));
        }
        const bool empty = k + integer + fraction <= 0;
        if (!empty && (integer + fraction > most_bits || std::abs(integer) > most_exponent ||
                       std::abs(fraction) > most_exponent)) {
            layer.refuse(fmt::format("element {} of its quantiser has {} integer bits and {} "
                                     "fractional bits: too wide",
                                     i, integer, fraction),
                         fmt::format("Use at most {} bits.", most_bits));
        }
    }
}

// Reading.

/// What a key of HGQ2's quantiser configurations means for inference.
enum class Use {
    read,      ///< it is used
    training,  ///< it acts in training only: constraints, regularisers, decay, noise
    stored,    ///< its effect is in the stored variables: initial widths, axes that share widths
    mapper,    ///< how widths spread over elements: only by broadcasting
};

struct Key {
    std::string_view name;
    Use use;
};

constexpr std::array keys = {
    Key{"q_type", Use::read},
    // The default values of a place are all written out.
    Key{"place", Use::stored},
    Key{"scaler", Use::read},
    Key{"affine", Use::read},
    Key{"qnoise_factor", Use::training},
    Key{"round_mode", Use::read},
    Key{"overflow_mode", Use::read},
    Key{"trainable", Use::read},
    Key{"is_weight", Use::read},
    Key{"k0", Use::stored},
    Key{"b0", Use::stored},
    Key{"i0", Use::stored},
    Key{"f0", Use::stored},
    Key{"m0", Use::stored},
    Key{"e0", Use::stored},
    Key{"e00", Use::stored},
    Key{"bc", Use::training},
    Key{"ic", Use::training},
    Key{"fc", Use::training},
    Key{"mc", Use::training},
    Key{"ec", Use::training},
    Key{"e0c", Use::training},
    Key{"br", Use::training},
    Key{"ir", Use::training},
    Key{"fr", Use::training},
    Key{"mr", Use::training},
    Key{"er", Use::training},
    Key{"e0r", Use::training},
    Key{"i_decay_speed", Use::training},
    Key{"homogeneous_axis", Use::stored},
    Key{"heterogeneous_axis", Use::stored},
    Key{"bw_mapper", Use::mapper},
};

/// No mapper, or the one that broadcasts the stored widths.
bool is_default_mapper(const Json& mapper) {
    return mapper.is_null() ||
           (mapper.is_object() && mapper.value("class_name", Json()) == "DefaultBitwidthMapper" &&
            mapper.value("registered_name", Json()) == "hgq>DefaultBitwidthMapper");
}

std::string text_of(const Builder& layer, const Json& config, const char* key,
                    const std::string& attribute) {
    const auto at = config.find(key);
    if (at == config.end() || !at->is_string()) {
        refuse_attribute(layer, attribute, fmt::format("its {} is missing or no text", key));
    }
    return at->get<std::string>();
}

double number_of(const Builder& layer, const Json& value, const std::string& attribute,
                 const char* key) {
    // The framework turns it into a float32 before it is used.
    const double number = value.is_number() ? static_cast<float>(value.get<double>()) : NAN;
    if (!std::isfinite(number)) {
        refuse_attribute(layer, attribute,
                         fmt::format("its {} {} is no finite number", key, value.dump()));
    }
    return number;
}

void read_scaling(const Builder& layer, const Json& config, const std::string& attribute,
                  HgqQuantiser& q) {
    if (const auto at = config.find("scaler"); at != config.end() && !at->is_null()) {
        q.scaler = number_of(layer, *at, attribute, "scaler");
        if (*q.scaler == 0) {
            refuse_attribute(layer, attribute, "its scaler is 0");
        }
    }
    if (const auto at = config.find("affine"); at != config.end() && !at->is_null()) {
        if (!at->is_array() || at->size() != 2) {
            refuse_attribute(layer, attribute, "its affine is no pair of numbers");
        }
        q.affine = {number_of(layer, (*at)[0], attribute, "affine"),
                    number_of(layer, (*at)[1], attribute, "affine")};
    }
}

bool flag_of(const Builder& layer, const Json& config, const char* key, bool otherwise,
             const std::string& attribute) {
    const auto at = config.find(key);
    if (at == config.end()) {
        return otherwise;
    }
    if (!at->is_boolean()) {
        refuse_attribute(layer, attribute, fmt::format("its {} is neither true nor false", key));
    }
    return at->get<bool>();
}

/// HGQ2 stores trainable variables first, each kind in the order of its creation (k, b or i, i or
/// f, decay); integer bits are trainable unless they are traced, which is where numbers wrap.
FixedWidths fixed_widths(const Builder& layer, bool by_bits, bool wraps,
                         const std::vector<Tensor>& variables, const std::string& attribute) {
    const std::size_t expected = wraps ? 4 : 3;
    if (variables.size() != expected) {
        throw Failure(Code::weights_mismatch, layer.where(attribute),
                      fmt::format("the file holds {} variables of this quantiser instead of {}",
                                  variables.size(), expected));
    }
    FixedWidths w;
    Tensor bits;
    if (wraps) {
        bits = rounded(variables[0]);
        w.negative = variables[1];
        w.integer = rounded(variables[2]);
    } else {
        bits = rounded(variables[by_bits ? 0 : 1]);
        w.integer = rounded(variables[by_bits ? 1 : 0]);
        w.negative = variables[2];
    }
    w.fraction = bits;
    if (by_bits && bits.shape == w.integer.shape) {
        for (std::size_t i = 0; i < bits.values.size(); ++i) {
            w.fraction.values[i] = bits.values[i] - w.integer.values[i];
        }
    }
    return w;
}

void check_floats(const Builder& layer, const FloatWidths& w) {
    if (w.mantissa.shape != w.exponent.shape || w.exponent.shape != w.offset.shape) {
        layer.refuse("the widths of its small floats have different shapes");
    }
    for (std::size_t i = 0; i < w.mantissa.values.size(); ++i) {
        const double m = w.mantissa.values[i];
        const double e = w.exponent.values[i];
        const double offset = w.offset.values[i];
        // HGQ2 adds 1e-7 before it takes a logarithm. This moves no result as long as the smallest
        // step is far above it.
        const bool sound = m >= 0 && m <= 12 && e >= 0 && e <= 5 && std::abs(offset) <= 32 &&
                           1 - std::max(std::exp2(e - 1), 1.0) + offset - m >= -21;
        if (!sound) {
            layer.refuse(
                fmt::format("a small float of {} mantissa bits, {} exponent bits and "
                            "exponent offset {} is not supported",
                            m, e, offset),
                "Use up to 12 mantissa bits, up to 5 exponent bits, and steps above 2^-22.");
        }
    }
}

}  // namespace

Rounding hgq_rounding(const Builder& layer, std::string name, bool may_be_stochastic) {
    static constexpr std::array names = {
        std::pair<std::string_view, Rounding>{"TRN", Rounding::floor},
        std::pair<std::string_view, Rounding>{"RND", Rounding::half_up},
        std::pair<std::string_view, Rounding>{"RND_CONV", Rounding::half_even},
        std::pair<std::string_view, Rounding>{"TRN_ZERO", Rounding::toward_zero},
        std::pair<std::string_view, Rounding>{"RND_ZERO", Rounding::half_zero},
        std::pair<std::string_view, Rounding>{"RND_MIN_INF", Rounding::half_down},
        std::pair<std::string_view, Rounding>{"RND_INF", Rounding::half_away},
    };
    const std::string given = name;
    if (may_be_stochastic) {
        name = upper(std::move(name));
        // Noise is added in training only.
        name = name.rfind("S_", 0) == 0 ? name.substr(2) : name;
    }
    for (const auto& [known, rounding] : names) {
        if (name == known) {
            return rounding;
        }
    }
    refuse_attribute(layer, may_be_stochastic ? "round_mode" : "RND",
                     fmt::format("there is no rounding mode '{}'", given));
}

HgqQuantiser hgq2_quantiser(const Builder& layer, const Json& serialised,
                            const std::vector<Tensor>& variables, bool trainable,
                            const std::string& attribute) {
    const auto shape_error = [&] {
        refuse_attribute(layer, attribute, "it is no configuration of a quantiser");
    };
    if (!serialised.is_object() || !serialised.contains("class_name") ||
        !serialised.contains("config") || !serialised["config"].is_object()) {
        shape_error();
    }
    const std::string type = text_of(layer, serialised, "class_name", attribute);
    // Both are the plain configuration with a fixed overflow mode, range and line after it, which
    // are left out of the file.
    const bool tanh = type == "HardTanhConfig";
    const bool sigmoid = type == "HardSigmoidConfig";
    if (type != "QuantizerConfig" && !tanh && !sigmoid) {
        refuse_attribute(layer, attribute, fmt::format("there is no rule for a '{}'", type),
                         "Use QuantizerConfig, HardTanhConfig or HardSigmoidConfig.");
    }
    const std::string module = text_of(layer, serialised, "module", attribute);
    if (module.rfind("hgq.", 0) != 0) {
        refuse_attribute(layer, attribute,
                         fmt::format("its {} is of the module '{}'", type, module),
                         "Use the quantisers of HGQ2.");
    }
    const Json& config = serialised["config"];
    for (const auto& [name, value] : config.items()) {
        const auto key = std::find_if(keys.begin(), keys.end(),
                                      [&, n = name](const Key& k) { return k.name == n; });
        if (key == keys.end()) {
            refuse_attribute(layer, attribute, fmt::format("its key '{}' is not known", name),
                             "The file may come from a later version of HGQ2.");
        }
        if (key->use == Use::mapper && !is_default_mapper(value)) {
            refuse_attribute(layer, attribute, fmt::format("its {} is not supported", name),
                             "Use homogeneous_axis or heterogeneous_axis.");
        }
    }
    HgqQuantiser q;
    read_scaling(layer, config, attribute, q);
    if (sigmoid) {
        q.affine = {0.25, 0.5};
    }
    const std::string kind = text_of(layer, config, "q_type", attribute);
    if (kind == "dummy") {
        return q;
    }
    if (kind == "float") {
        q.kind = HgqQuantiser::Kind::small_float;
        if (variables.size() != 3) {
            throw Failure(Code::weights_mismatch, layer.where(attribute),
                          fmt::format("the file holds {} variables of this quantiser instead of 3",
                                      variables.size()));
        }
        q.small = {rounded(variables[0]), rounded(variables[1]), rounded(variables[2])};
        check_floats(layer, q.small);
        return q;
    }
    if (kind != "kbi" && kind != "kif") {
        refuse_attribute(layer, attribute, fmt::format("there is no q_type '{}'", kind));
    }
    q.kind = HgqQuantiser::Kind::fixed_point;
    q.rounding = hgq_rounding(layer, text_of(layer, config, "round_mode", attribute), true);
    const std::string overflow =
        tanh || sigmoid ? "SAT" : upper(text_of(layer, config, "overflow_mode", attribute));
    if (overflow == "WRAP") {
        q.confine = Confine::wrap;
    } else if (overflow == "SAT") {
        q.confine = Confine::saturate;
    } else if (overflow == "SAT_SYM") {
        q.confine = Confine::symmetric;
    } else {
        // HGQ2's WRAP_SM decides by the number before it is rounded.
        refuse_attribute(layer, attribute,
                         fmt::format("the overflow mode '{}' is not supported", overflow),
                         "Use WRAP, SAT or SAT_SYM.");
    }
    const bool wraps = q.confine == Confine::wrap;
    q.fixed = fixed_widths(layer, kind == "kbi", wraps, variables, attribute);
    // Weights that are still trained are traced instead of wrapped; with `kbi` so only where they
    // are rounded half up. Where part of the model is frozen, the framework's loader may thaw it.
    trainable = flag_of(layer, config, "trainable", true, attribute) && trainable;
    if (wraps && flag_of(layer, config, "is_weight", false, attribute) &&
        (kind == "kif" || q.rounding == Rounding::half_up)) {
        q.confine = Confine::none;
        q.uncertain = !trainable;
    }
    check_widths(layer, q);
    return q;
}

HgqQuantiser hgq1_quantiser(const Builder& layer, const Tensor& keep_negative, const Tensor& bits,
                            const Tensor& integer, const std::string& rounding,
                            const std::string& overflow) {
    static constexpr std::array names = {
        std::pair<std::string_view, Confine>{"WRAP", Confine::wrap},
        std::pair<std::string_view, Confine>{"SAT", Confine::saturate},
        std::pair<std::string_view, Confine>{"SAT_SYM", Confine::symmetric},
        std::pair<std::string_view, Confine>{"SAT_ZERO", Confine::zero},
        std::pair<std::string_view, Confine>{"WRAP_SM", Confine::reflect},
    };
    HgqQuantiser q;
    q.kind = HgqQuantiser::Kind::fixed_point;
    q.rounding = hgq_rounding(layer, rounding, false);
    const auto mode = std::find_if(names.begin(), names.end(),
                                   [&](const auto& row) { return row.first == overflow; });
    if (mode == names.end()) {
        refuse_attribute(layer, "SAT", fmt::format("there is no overflow mode '{}'", overflow));
    }
    q.confine = mode->second;
    if (keep_negative.shape != bits.shape || bits.shape != integer.shape) {
        throw Failure(Code::weights_mismatch, layer.where(),
                      "keep_negative, bits and integers have different shapes");
    }
    q.fixed = {keep_negative, integer, bits};
    for (std::size_t i = 0; i < bits.values.size(); ++i) {
        if (bits.values[i] < 0) {
            layer.refuse(fmt::format("element {} of its quantiser has {} bits", i, bits.values[i]));
        }
        double& k = q.fixed.negative.values[i];
        q.fixed.fraction.values[i] = bits.values[i] - integer.values[i];
        // Elements without bits are 0, whatever else the file says of them.
        k = bits.values[i] == 0 ? 0 : k;
        q.fixed.integer.values[i] = integer.values[i] - k;
    }
    check_widths(layer, q);
    return q;
}

}  // namespace gatewright::keras
