#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "import/layers/builder.h"

/// Recurrent layers (simple RNN, LSTM, GRU) of all frameworks, unrolled over time: the product with
/// the inputs is one matrix product for all steps, the one with the state is one for each step.
namespace gatewright::layers {

enum class CellKind { simple, lstm, gru };

/// A function of one operand, of its shape: an activation, or a quantiser that a framework puts on
/// a state. Empty: the identity.
using Change = std::function<Operand(Builder&, const Operand&)>;

/// One layer in one direction. The gates stand side by side along the last axis of products and
/// biases, in the order that `gates` says by letters:
///
///     simple  "h"     h = a_h(x_h + r_h)
///     lstm    "ifco"  i = a_i(x_i + r_i), f, o alike, c' = f c + i a_c(x_c + r_c),
///                     h = o output(c')
///     gru     "zrh"   z = a_z(x_z + r_z), r alike, h' = z h + (1 - z) a_h(x_h + ...)
///                     with r (h R_h + rb_h) if reset_after, else (r h) R_h + rb_h
///
/// with x = inputs[step] and r = state R + recurrent_bias.
struct Recurrence {
    CellKind cell = CellKind::simple;
    std::string gates = "h";
    std::int64_t units = 0;
    /// [steps, ..., gates * units]: `input_product`, or what else stands for it (convolutions).
    Operand inputs;
    Operand recurrent_kernel;  ///< [state, gates * units]
    /// In place of the product with recurrent_kernel: [..., state] to [..., gates * units].
    Change product;
    std::optional<Operand> recurrent_bias;  ///< [gates * units]

    /// By the letters of `gates`.
    std::function<Change(char gate)> activation;
    Change output;               ///< lstm: of the cell's state
    bool reset_after = true;     ///< gru
    Change reset;                ///< gru: of h R_h + rb_h if reset_after, else of r h
    bool input_forget = false;   ///< lstm: f = 1 - i
    std::optional<double> clip;  ///< bounds what the gates' activations are applied to
    /// lstm: i and f see the cell's last state times these, o the new one: by letter.
    std::function<std::optional<Operand>(char gate)> peephole;
    std::optional<Operand> projection;  ///< lstm: [units, state], applied to h

    /// One sample's shape, [..., state] and [..., units]; without: zeros.
    std::optional<Operand> initial_state;
    std::optional<Operand> initial_cell;
    /// [steps] of ones and zeros. Where it is 0 the states stay, and the output is the one before
    /// (zeros at first) or, with zero_masked, zeros.
    std::optional<Operand> mask;
    bool zero_masked = false;
    /// Applied to each state before a step uses it.
    Change state;
    bool backwards = false;  ///< from the last step to the first; outputs stand at their steps
};

struct RecurrentResult {
    Operand outputs;  ///< [steps, ..., state], in the order of the inputs' steps
    Operand last;     ///< the output of the step that came last
    Operand state;    ///< h behind the last step
    Operand cell;     ///< lstm: c behind the last step
};

/// x[steps, ..., features] kernel[features, gates * units] + bias, for all steps at once.
Operand input_product(Builder& builder, const Operand& x, const Operand& kernel,
                      const std::optional<Operand>& bias);

/// Operands are per sample with their batch axis in front, or without (Builder::samples).
RecurrentResult recurrence(Builder& builder, const Recurrence& layer);

}  // namespace gatewright::layers
