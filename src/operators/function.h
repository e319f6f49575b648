#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "network/fields.h"
#include "types/per_element.h"
#include "types/rational.h"
#include "types/tensor.h"

/// Element-wise functions of one real number, and chains of them. The float reference, the exact
/// lowering of a chain that ends in a quantiser, the encoding of inputs and the decoding of
/// outputs all evaluate the same rows of one table.
namespace gatewright::operators {

/// Whether a function never falls as its argument rises: always, if its first parameter is not
/// negative (and never rises if it is negative: affine only), or not.
enum class Monotone { rising, by_first_parameter, none };

/// One row of the table.
struct Function {
    std::string_view name;
    std::string_view formula;
    int parameters = 0;  ///< -1: any number
    Monotone monotone = Monotone::none;
    /// The value in extended precision; `p` are the parameters.
    long double (*value)(long double x, std::span<const long double> p) = nullptr;
    /// The exact value where it is rational for every rational x; null otherwise.
    Rational (*exact)(const Rational& x, std::span<const Rational> p) = nullptr;
    /// For a function of two functions of x, what joins their values. Exactly: of rationals, except
    /// a quotient by zero.
    long double (*join)(long double f, long double g) = nullptr;
    Rational (*join_exact)(const Rational& f, const Rational& g) = nullptr;
};

std::span<const Function> functions();
/// The row of that name, or null.
const Function* find_function(std::string_view name);

/// One function applied to a tensor, with parameters per element of that tensor.
/// `quantize` is the only step with a rounding and an overflow mode; its parameters are
/// scale s, zero point z, lowest level l, highest level h:
///     y = s * (clip(round(x / s + z), l, h) - z)        (overflow wrap: modulo h - l + 1)
/// A joining function (sum, product, ...) has two branches, chains that both begin at x: so a chain
/// is a tree of all element-wise functions between a tensor and a later one.
struct Step {
    const Function* function = nullptr;
    std::vector<PerElement<Rational>> parameters;
    Rounding rounding = Rounding::half_even;
    Overflow overflow = Overflow::saturate;
    std::vector<std::vector<Step>> branches;

    bool operator==(const Step&) const = default;
};
std::string print_field(const std::vector<Step>& steps);
bool parse_field(std::string_view text, std::vector<Step>& steps);

bool is(const Step& step, std::string_view name);
Step make_step(std::string_view name, std::vector<PerElement<Rational>> parameters = {});
/// The joining function of that name of two chains on the same x.
Step make_join(std::string_view name, std::vector<Step> f, std::vector<Step> g);

/// Whether a circuit computes the step on fixed-point numbers without a quantiser after it: affine,
/// maximum, minimum, leaky, absolute, and sums, products, larger and smaller values of such.
bool is_exact(const Step& step);

/// +1 if the step never falls as its argument rises, -1 if it never rises, 0 if it may do both.
int direction(const Step& step, std::int64_t element);

/// The level clip(round(x / s + z), l, h) of a quantize step: the integer before `- z`.
BigInt quantize_level(const Step& step, const Rational& x, std::int64_t element);
/// The integer that stands for the quantised value in a circuit: level - z, or the level itself if
/// z is not an integer.
BigInt quantize_integer(const Step& step, const Rational& x, std::int64_t element);
/// Rounds to an integer by any mode.
BigInt round(const Rational& value, Rounding rounding);

/// A real number that is exact as long as it can be.
struct Real {
    std::optional<Rational> exact;
    long double value = 0;  ///< meaningful if not exact
};

/// The value itself, or, for a value that is no longer exact, the rational that its 64 significant
/// bits are: such a value is transcendental, so it lies on no rounding boundary, and these bits
/// tell its side.
Rational exact_value(const Real& x);

/// Applies the steps one by one to element `element`.
Real apply(std::span<const Step> steps, Real x, std::int64_t element);

/// Applies the steps to all elements in double, as a float framework would: outputs' decoding.
/// Understands `softmax`, whose parameter is the axis, besides element-wise functions.
void apply_in_place(std::span<const Step> steps, Tensor& tensor);

}  // namespace gatewright::operators
