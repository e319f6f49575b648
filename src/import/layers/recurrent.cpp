#include "import/layers/recurrent.h"

#include <fmt/format.h>

#include <map>

namespace gatewright::layers {

namespace {

/// More would make a network that no circuit holds; a file can ask for any number.
constexpr std::int64_t most_steps = 4096;

class Unrolling {
  public:
    Unrolling(Builder& builder, const Recurrence& layer) : b_(builder), layer_(layer) {
        if (layer_.recurrent_kernel.sample_shape().size() == 2 && !layer_.product) {
            for (const char gate : layer_.gates) {
                kernels_[gate] = part(layer_.recurrent_kernel, gate);
            }
        }
    }

    RecurrentResult run() {
        const Shape& shape = layer_.inputs.sample_shape();
        const std::int64_t steps = shape.front();
        Shape state_shape(shape.begin() + 1, shape.end());
        state_shape.back() = layer_.units;
        RecurrentResult out;
        out.cell = layer_.initial_cell.value_or(Builder::tensor(Tensor::filled(state_shape, 0)));
        if (layer_.projection) {
            state_shape.back() = layer_.projection->sample_shape().back();
        }
        const Operand zeros = Builder::tensor(Tensor::filled(state_shape, 0));
        out.state = layer_.initial_state.value_or(zeros);
        out.last = zeros;
        std::vector<Operand> outputs(static_cast<std::size_t>(steps));
        for (std::int64_t i = 0; i < steps; ++i) {
            const std::int64_t at = layer_.backwards ? steps - 1 - i : i;
            step(b_.selected(layer_.inputs, 0, at), at, out);
            outputs[static_cast<std::size_t>(at)] = out.last;
        }
        if (layer_.mask && layer_.zero_masked) {
            for (std::int64_t at = 0; at < steps; ++at) {
                Operand& y = outputs[static_cast<std::size_t>(at)];
                y = kept(at, y, zeros);
            }
            // As the frameworks do, the last output is the one of the last step.
            out.last = outputs[static_cast<std::size_t>(layer_.backwards ? 0 : steps - 1)];
        }
        out.outputs = b_.stacked(outputs, 0);
        return out;
    }

  private:
    Operand part(const Operand& x, char gate) {
        const auto axis = static_cast<std::int64_t>(x.sample_shape().size()) - 1;
        const auto position = static_cast<std::int64_t>(layer_.gates.find(gate));
        return b_.sliced(x, axis, position * layer_.units, layer_.units);
    }

    Operand changed(const Change& change, const Operand& x) { return change ? change(b_, x) : x; }

    Operand activated(char gate, Operand x) {
        if (layer_.clip) {
            x = b_.function("maximum", x, {Builder::number(-*layer_.clip)});
            x = b_.function("minimum", x, {Builder::number(*layer_.clip)});
        }
        return changed(layer_.activation(gate), x);
    }

    Operand with_bias(Operand x, char gate) {
        return layer_.recurrent_bias ? b_.add(x, part(*layer_.recurrent_bias, gate)) : x;
    }

    Operand peeped(Operand x, char gate, const Operand& cell) {
        const std::optional<Operand> weights =
            layer_.peephole ? layer_.peephole(gate) : std::nullopt;
        return weights ? b_.add(x, b_.multiply(cell, *weights)) : x;
    }

    /// All gates' products with the state, and their biases.
    Operand state_product(const Operand& state) {
        Operand y =
            layer_.product ? layer_.product(b_, state) : b_.matmul(state, layer_.recurrent_kernel);
        return layer_.recurrent_bias ? b_.add(y, *layer_.recurrent_bias) : y;
    }

    /// `fresh` where the mask is 1, else `old`.
    Operand kept(std::int64_t at, const Operand& fresh, const Operand& old) {
        if (!layer_.mask) {
            return fresh;
        }
        const Operand bit = b_.selected(*layer_.mask, 0, at);
        if (bit.is_constant) {
            return bit.constant.values.front() != 0 ? fresh : old;
        }
        const Operand m = b_.reshaped(bit, Shape(fresh.sample_shape().size(), 1), bit.batch_axis);
        const Operand rest = b_.function("affine", m, {Builder::number(-1), Builder::number(1)});
        return b_.add(b_.multiply(fresh, m), b_.multiply(old, rest));
    }

    void step(const Operand& x, std::int64_t at, RecurrentResult& s) {
        const Operand h = changed(layer_.state, s.state);
        Operand fresh;
        Operand cell = s.cell;
        if (layer_.cell == CellKind::simple) {
            fresh = activated('h', b_.add(x, state_product(h)));
        } else if (layer_.cell == CellKind::gru) {
            fresh = gru(x, h);
        } else {
            cell = changed(layer_.state, s.cell);
            fresh = lstm(x, h, cell);
            cell = kept(at, cell, s.cell);
        }
        s.last = kept(at, fresh, s.last);
        s.state = kept(at, fresh, s.state);
        s.cell = cell;
    }

    Operand gru(const Operand& x, const Operand& h) {
        Operand candidate;
        Operand z;
        if (layer_.reset_after) {
            const Operand r = state_product(h);
            z = activated('z', b_.add(part(x, 'z'), part(r, 'z')));
            const Operand reset = activated('r', b_.add(part(x, 'r'), part(r, 'r')));
            candidate = b_.multiply(reset, changed(layer_.reset, part(r, 'h')));
        } else {
            const auto gate = [&](char g) {
                return activated(g, b_.add(part(x, g), with_bias(b_.matmul(h, kernels_[g]), g)));
            };
            z = gate('z');
            const Operand kept = changed(layer_.reset, b_.multiply(gate('r'), h));
            candidate = with_bias(b_.matmul(kept, kernels_['h']), 'h');
        }
        candidate = activated('h', b_.add(part(x, 'h'), candidate));
        const Operand rest = b_.function("affine", z, {Builder::number(-1), Builder::number(1)});
        return b_.add(b_.multiply(z, h), b_.multiply(rest, candidate));
    }

    /// The new h; `cell` becomes the new c.
    Operand lstm(const Operand& x, const Operand& h, Operand& cell) {
        const Operand all = b_.add(x, state_product(h));
        const Operand i = activated('i', peeped(part(all, 'i'), 'i', cell));
        const Operand f = layer_.input_forget
                              ? b_.function("affine", i, {Builder::number(-1), Builder::number(1)})
                              : activated('f', peeped(part(all, 'f'), 'f', cell));
        const Operand c = activated('c', part(all, 'c'));
        cell = b_.add(b_.multiply(f, cell), b_.multiply(i, c));
        const Operand o = activated('o', peeped(part(all, 'o'), 'o', cell));
        const Operand out = b_.multiply(o, changed(layer_.output, cell));
        return layer_.projection ? b_.matmul(out, *layer_.projection) : out;
    }

    Builder& b_;
    const Recurrence& layer_;
    std::map<char, Operand> kernels_;
};

bool is_order_of(const std::string& gates, const std::string& known) {
    return gates.size() == known.size() && gates.find_first_not_of(known) == std::string::npos &&
           known.find_first_not_of(gates) == std::string::npos;
}

void check(Builder& builder, const Recurrence& layer) {
    const char* known = layer.cell == CellKind::lstm  ? "ifco"
                        : layer.cell == CellKind::gru ? "zrh"
                                                      : "h";
    const auto columns = static_cast<std::int64_t>(layer.gates.size()) * layer.units;
    const Shape& x = layer.inputs.sample_shape();
    if (layer.units < 1 || !is_order_of(layer.gates, known) || x.size() < 2 ||
        x.back() != columns) {
        builder.refuse(fmt::format("products of shape {} are not those of {} gates of {} units",
                                   to_string(x), layer.gates.size(), layer.units));
    }
    if (x.front() < 1 || x.front() > most_steps) {
        builder.refuse(fmt::format("it has {} steps", x.front()),
                       fmt::format("Use 1 to {} steps.", most_steps));
    }
    const std::int64_t state =
        layer.projection ? layer.projection->sample_shape().back() : layer.units;
    const auto expect = [&](const Operand& value, const Shape& shape, const char* what) {
        if (value.sample_shape() != shape) {
            builder.refuse(fmt::format("its {} has shape {} instead of {}", what,
                                       to_string(value.sample_shape()), to_string(shape)));
        }
    };
    if (!layer.product) {
        expect(layer.recurrent_kernel, {state, columns}, "recurrent kernel");
    }
    if (layer.recurrent_bias) {
        expect(*layer.recurrent_bias, {columns}, "recurrent bias");
    }
    Shape states(x.begin() + 1, x.end());
    states.back() = state;
    if (layer.initial_state) {
        expect(*layer.initial_state, states, "initial state");
    }
    states.back() = layer.units;
    if (layer.initial_cell) {
        expect(*layer.initial_cell, states, "initial state of the cell");
    }
    if (layer.mask) {
        expect(*layer.mask, {x.front()}, "mask");
    }
}

}  // namespace

Operand input_product(Builder& builder, const Operand& x, const Operand& kernel,
                      const std::optional<Operand>& bias) {
    const Shape& from = x.sample_shape();
    const Shape& weights = kernel.sample_shape();
    if (from.size() < 2 || weights.size() != 2 || from.back() != weights[0]) {
        builder.refuse(fmt::format("weights of shape {} do not fit an input of shape {}",
                                   to_string(weights), to_string(from)));
    }
    const Operand y = builder.matmul(x, kernel);
    return bias ? builder.add(y, *bias) : y;
}

RecurrentResult recurrence(Builder& builder, const Recurrence& layer) {
    check(builder, layer);
    return Unrolling(builder, layer).run();
}

}  // namespace gatewright::layers
