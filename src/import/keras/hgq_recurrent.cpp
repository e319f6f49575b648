#include <fmt/format.h>

#include "import/keras/activations.h"
#include "import/keras/hgq_layers.h"
#include "import/layers/recurrent.h"

namespace gatewright::keras {

namespace {

using layers::Builder;
using layers::CellKind;
using layers::Change;
using layers::Recurrence;
using layers::RecurrentResult;

/// Elements begin ... begin + size of the last axis; a tensor that has one element there is the
/// same for all.
Tensor columns(const Tensor& tensor, std::int64_t begin, std::int64_t size) {
    if (tensor.shape.back() == 1) {
        return tensor;
    }
    Tensor out = tensor;
    out.values.clear();
    out.shape.back() = size;
    for (std::size_t i = 0; i < tensor.values.size(); ++i) {
        const std::int64_t c = static_cast<std::int64_t>(i) % tensor.shape.back();
        if (c >= begin && c < begin + size) {
            out.values.push_back(tensor.values[i]);
        }
    }
    return out;
}

/// A quantiser for some columns of what it quantises.
HgqQuantiser columns(HgqQuantiser q, std::int64_t begin, std::int64_t size) {
    for (Tensor* t : {&q.fixed.negative, &q.fixed.integer, &q.fixed.fraction, &q.small.mantissa,
                      &q.small.exponent, &q.small.offset}) {
        if (!t->values.empty() && !t->shape.empty()) {
            *t = columns(*t, begin, size);
        }
    }
    return q;
}

/// A recurrent layer of HGQ2: what both kinds have in common.
class Recurrent {
  public:
    explicit Recurrent(Call& call)
        : call_(call), settings_(call.settings), cell_(call.weights().child("cell")) {
        units_ = settings_.integer("units");
        biased_ = settings_.flag("use_bias", true);
        quantises_input_ = settings_.flag("enable_iq", true);
        if (settings_.flag("enable_oq", false)) {
            settings_.refuse("enable_oq", "HGQ2 has no output quantiser in recurrent layers");
        }
        if (!quantises_input_) {
            settings_.ignore("iq_conf");
        }
        if (!biased_) {
            settings_.ignore("bq_conf");
        }
        if (settings_.flag("stateful", false)) {
            settings_.refuse("stateful", "its state lives on from one batch to the next",
                             "Use stateful=False.");
        }
        // How the framework computes it, what acts in training only, and costs.
        call.ignore_dropout(settings_, {"dropout", "recurrent_dropout"});
        settings_.ignore({"unroll", "seed", "oq_conf", "beta0", "parallelization_factor"});
        if (settings_.flag("enable_ebops", quantises_input_)) {
            call.weight("beta", {});
            call.weight("ebops", {});
        }
    }

    std::int64_t units() const { return units_; }
    bool biased() const { return biased_; }

    HgqQuantiser quantiser(const std::string& key, const std::string& path) {
        return quantiser_at(call_, key, cell_, path);
    }
    Change change(HgqQuantiser q) {
        return [q = std::move(q)](Builder& b, const Operand& x) { return quantised(b, x, q); };
    }
    Tensor weight(const char* role, const Shape& shape, const std::string& key,
                  const std::string& path) {
        const Tensor* found = cell_.next();
        bool fits = found != nullptr && found->shape.size() == shape.size();
        for (std::size_t i = 0; fits && i < shape.size(); ++i) {
            fits = shape[i] == -1 || shape[i] == found->shape[i];
        }
        if (!fits) {
            call_.refuse_weights(
                fmt::format("the file has no {} of shape {} in its cell", role, to_string(shape)));
        }
        return quantised(call_, *found, quantiser(key, path));
    }
    Operand input() {
        const Operand& x = call_.operand();
        if (x.sample_shape().size() != 2 || x.batch_axis != 0) {
            call_.refuse(fmt::format("its input has shape {} instead of [steps, features]",
                                     to_string(x.sample_shape())));
        }
        return quantises_input_ ? quantised(call_, x, quantiser("iq_conf", "iq")) : x;
    }

    void finish(Recurrence& layer) {
        layer.backwards = settings_.flag("go_backwards", false);
        layer.zero_masked = settings_.flag("zero_output_for_mask", false);
        layer.mask = call_.mask();
        const Argument* initial = call_.argument(1, "initial_state");
        if (initial != nullptr) {
            const std::vector<Value> states = initial->tensors();
            if (states.size() != 1) {
                call_.refuse("it is called with an unknown form of states", {}, "initial_state");
            }
            layer.initial_state = states.front().operand;
        }
        const RecurrentResult result = layers::recurrence(call_, layer);
        std::vector<Operand> ys;
        if (settings_.flag("return_sequences", false)) {
            // Keras gives the results in the order in which they are computed.
            ys.push_back(layer.backwards ? call_.reversed(result.outputs, 0) : result.outputs);
        } else {
            ys.push_back(result.last);
        }
        if (settings_.flag("return_state", false)) {
            ys.push_back(result.state);
        }
        call_.set(std::move(ys));
    }

  private:
    Call& call_;
    Settings& settings_;
    Weights cell_;
    std::int64_t units_ = 0;
    bool biased_ = true;
    bool quantises_input_ = true;
};

/// An activation of the configuration as a change.
Change activated(Call& call, const std::string& key) {
    return [&call, key](Builder&, const Operand& x) { return activation(call, x, key); };
}

Change both(Change first, Change second) {
    return [first = std::move(first), second = std::move(second)](Builder& b, const Operand& x) {
        return second(b, first(b, x));
    };
}

}  // namespace

void hgq2_simple_rnn(Call& call) {
    Recurrent r(call);
    // Only the constructor switches this quantiser on: a loaded layer has none.
    call.settings.ignore("sq_conf");
    const std::int64_t units = r.units();
    Recurrence layer;
    layer.cell = CellKind::simple;
    layer.gates = "h";
    layer.units = units;
    const Tensor kernel = r.weight("kernel", {-1, units}, "kq_conf", "kq");
    layer.recurrent_kernel =
        Call::tensor(r.weight("recurrent kernel", {units, units}, "rkq_conf", "rkq"));
    std::optional<Operand> bias;
    if (r.biased()) {
        bias = Call::tensor(r.weight("bias", {units}, "bq_conf", "bq"));
    }
    layer.inputs = layers::input_product(call, r.input(), Call::tensor(kernel), bias);
    const Change whole =
        both(r.change(r.quantiser("paq_conf", "paq")), activated(call, "activation"));
    layer.activation = [&](char) { return whole; };
    r.finish(layer);
}

void hgq2_gru(Call& call) {
    Recurrent r(call);
    const std::int64_t units = r.units();
    Recurrence layer;
    layer.cell = CellKind::gru;
    layer.gates = "zrh";
    layer.units = units;
    layer.reset_after = call.settings.flag("reset_after", true);
    const Tensor kernel = r.weight("kernel", {-1, 3 * units}, "kq_conf", "kq");
    layer.recurrent_kernel =
        Call::tensor(r.weight("recurrent kernel", {units, 3 * units}, "rkq_conf", "rkq"));
    std::optional<Operand> bias;
    if (r.biased()) {
        const Shape shape = layer.reset_after ? Shape{2, 3 * units} : Shape{3 * units};
        const Tensor all = r.weight("bias", shape, "bq_conf", "bq");
        const auto half = all.values.begin() + static_cast<std::ptrdiff_t>(3 * units);
        bias = Call::tensor({{3 * units}, {all.values.begin(), half}});
        if (layer.reset_after) {
            layer.recurrent_bias = Call::tensor({{3 * units}, {half, all.values.end()}});
        }
    }
    layer.inputs = layers::input_product(call, r.input(), Call::tensor(kernel), bias);
    layer.state = r.change(r.quantiser("sq_conf", "sq"));
    layer.reset = r.change(r.quantiser("rhq_conf", "rhq"));
    const HgqQuantiser gates = r.quantiser("praq_conf", "praq");
    const Change candidate =
        both(activated(call, "activation"), r.change(r.quantiser("paq_conf", "paq")));
    const auto gate = [&](std::int64_t begin) {
        return both(activated(call, "recurrent_activation"),
                    r.change(columns(gates, begin, units)));
    };
    const Change update = gate(0);
    const Change reset = gate(units);
    layer.activation = [&](char g) { return g == 'h' ? candidate : g == 'z' ? update : reset; };
    r.finish(layer);
}

}  // namespace gatewright::keras
