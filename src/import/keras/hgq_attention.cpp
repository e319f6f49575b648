#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "import/keras/hgq_layers.h"
#include "import/layers/einsum.h"

namespace gatewright::keras {

namespace {

/// Added to what is divided by.
constexpr float epsilon = 1e-7F;
/// What stands for minus infinity where a mask forbids.
constexpr double far_below = -1e9;

/// A softmax of two tables: e = exp(scaler (x - max x)), and e times the table of 1 / (sum of e).
struct Softmax {
    std::optional<HgqQuantiser> input;
    bool stable = true;
    double scaler = 1;
    HgqQuantiser exp_input;  ///< of max x - x; used if stable
    HgqQuantiser exp_output;
    HgqQuantiser inverse_input;
    HgqQuantiser inverse_output;
    std::optional<HgqQuantiser> output;
    Shape axes;  ///< of a sample
};

Operand line(Call& call, const Operand& x, double factor, double summand) {
    return call.function("affine", x, {Call::number(factor), Call::number(summand)});
}

Operand softmax(Call& call, Operand x, const Softmax& s, const std::optional<Operand>& mask) {
    if (s.input) {
        x = quantised(call, x, *s.input);
    }
    // The framework multiplies by a float32.
    const double scaler = static_cast<float>(s.scaler);
    Operand e;
    if (s.stable) {
        if (mask) {
            x = call.add(call.multiply(x, *mask), line(call, *mask, -far_below, far_below));
        }
        x = call.subtract(call.reduced(x, "max", s.axes, true), x);
        x = quantised(call, x, s.exp_input);
        e = call.function("exp", line(call, x, -scaler, 0));
    } else {
        e = call.function("exp", line(call, x, scaler, 0));
    }
    e = quantised(call, e, s.exp_output);
    if (mask) {
        e = call.multiply(e, *mask);
    }
    Operand sum = quantised(call, call.reduced(e, "sum", s.axes, true), s.inverse_input);
    sum = call.function("reciprocal", line(call, sum, 1, static_cast<double>(epsilon)));
    const Operand y = call.multiply(e, quantised(call, sum, s.inverse_output));
    return s.output ? quantised(call, y, *s.output) : y;
}

/// The quantisers of the tables of a softmax object in the file; keys begin with `prefix`.
Softmax read_softmax(Call& call, const Weights& object, const std::string& prefix, bool stable) {
    Softmax s;
    s.stable = stable;
    if (stable) {
        s.exp_input = quantiser_at(call, prefix + "exp_iq_conf", object, "exp_table/iq");
    } else {
        call.settings.ignore(prefix + "exp_iq_conf");
    }
    s.exp_output = quantiser_at(call, prefix + "exp_oq_conf", object, "exp_table/oq");
    s.inverse_input = quantiser_at(call, prefix + "inv_iq_conf", object, "inv_table/iq");
    s.inverse_output = quantiser_at(call, prefix + "inv_oq_conf", object, "inv_table/oq");
    // Both tables are loaded with this mode and rounding, whatever the configuration says.
    for (HgqQuantiser* q : {&s.exp_output, &s.inverse_output}) {
        if (q->kind == HgqQuantiser::Kind::fixed_point &&
            (q->confine != Confine::saturate || q->rounding != Rounding::half_even)) {
            call.settings.refuse(prefix + "exp_oq_conf",
                                 "a table does not saturate or does not round ties to even");
        }
    }
    return s;
}

}  // namespace

void hgq2_softmax(Call& call) {
    HgqLayer layer(call);
    call.expect_inputs(1);
    layer.take_costs();
    Settings& settings = call.settings;
    if (call.mask()) {
        call.refuse("its input has a mask", "Leave out Masking, or mask_zero of Embedding.");
    }
    const Operand& x = call.operand();
    Softmax s = read_softmax(call, call.weights(), "", settings.flag("stable", true));
    s.scaler = settings.real("input_scaler", 1);
    for (const std::int64_t axis : settings.integers("axes")) {
        s.axes.push_back(call.axis(x, axis));
    }
    std::sort(s.axes.begin(), s.axes.end());
    // Whether widths may differ within a table: the quantisers' configurations say so as well.
    settings.ignore("allow_heterogeneous_table");
    layer.finish(softmax(call, layer.input(), s, std::nullopt));
}

namespace {

char letter(std::size_t i) {
    return static_cast<char>('a' + i);
}

/// "abc,cde->abde": `free` axes stay, `bound` ones are summed, `fresh` ones come.
std::string projection_equation(std::size_t free, std::size_t bound, std::size_t fresh) {
    std::string input;
    std::string kernel;
    std::string output;
    for (std::size_t i = 0; i < free + bound + fresh; ++i) {
        if (i < free + bound) {
            input += letter(i);
        }
        if (i >= free) {
            kernel += letter(i);
        }
        if (i < free || i >= free + bound) {
            output += letter(i);
        }
    }
    return input + "," + kernel + "->" + output;
}

class Attention {
  public:
    explicit Attention(Call& call) : call_(call), layer_(call), settings_(call.settings) {}

    const Shape& axes() const { return axes_; }

    /// Query, value and key as they are called.
    void read_inputs() {
        const auto tensor = [&](std::size_t position, const char* name) -> std::optional<Value> {
            const Argument* found = call_.argument(position, name);
            if (found == nullptr) {
                return std::nullopt;
            }
            const std::vector<Value> tensors = found->tensors();
            if (tensors.size() != 1 || !found->value) {
                call_.refuse(fmt::format("its {} is no tensor", name), {}, name);
            }
            if (tensors.front().mask) {
                call_.refuse(fmt::format("its {} has a mask", name),
                             "Leave out Masking, or mask_zero of Embedding.");
            }
            return tensors.front();
        };
        const auto q = tensor(0, "query");
        const auto v = tensor(1, "value");
        const auto k = tensor(2, "key");
        if (!q) {
            call_.refuse("it has no query");
        }
        query = q->operand;
        value = v ? v->operand : query;
        key = k ? k->operand : value;
        for (const char* name : {"query_mask", "value_mask", "key_mask", "attention_mask"}) {
            if (call_.argument(name) != nullptr) {
                call_.refuse("masks from outside are not supported",
                             "Use use_causal_mask, or no mask.", name);
            }
        }
    }

    void read_settings() {
        heads_ = settings_.integer("num_heads");
        key_dim_ = settings_.integer("key_dim");
        value_dim_ = settings_.integer("value_dim", key_dim_);
        use_bias_ = settings_.flag("use_bias", true);
        // Acts in training only, with the seed of its random numbers.
        call_.ignore_dropout(settings_, {"dropout"});
        settings_.ignore("seed");
        settings_.expect_unset("use_gate", "HGQ2 has no gated attention");
        settings_.expect_unset("sliding_window", "a sliding window is not supported");
        fuse_ = settings_.choice("fuse", "none", {"none", "kv", "qkv"});
        const std::size_t rank = static_cast<std::size_t>(query.rank());
        if (const auto axes = settings_.optional_integers("attention_axes")) {
            axes_ = *axes;
            for (std::int64_t& axis : axes_) {
                axis = call_.normalised(axis, query.rank());
            }
        } else {
            for (std::size_t i = 1; i + 1 < rank; ++i) {
                axes_.push_back(static_cast<std::int64_t>(i));
            }
        }
        for (const std::int64_t axis : axes_) {
            if (axis < 1 || axis >= query.rank() - 1) {
                settings_.refuse("attention_axes", "an axis is that of the batch or of features");
            }
        }
        if (settings_.has("output_shape")) {
            output_dims_ = settings_.integers("output_shape").size();
        } else {
            settings_.ignore("output_shape");
        }
        if (query.rank() != value.rank() || value.rank() != key.rank() || query.rank() < 3 ||
            query.rank() > 6) {
            call_.refuse("query, value and key have different or unusual numbers of axes");
        }
    }

    /// x times a kernel, all quantised; as the object at `path` in the file does it.
    Operand projected(const Operand& x, const std::string& path, const std::string& equation,
                      bool bias, bool quantises_input, bool quantises_output,
                      const std::string& shared_input = {}) {
        Weights object = call_.weights().child(path);
        Operand y = x;
        if (quantises_input) {
            const std::string& at = shared_input.empty() ? path : shared_input;
            y = quantised(call_, y,
                          quantiser_at(call_, "qkvo_iq_conf", call_.weights().child(at), "iq"));
        }
        const Tensor* kernel = object.next();
        const Tensor* summand = bias ? object.next() : nullptr;
        if (kernel == nullptr || (bias && summand == nullptr)) {
            call_.refuse_weights(fmt::format("the file has no weights of '{}'", path));
        }
        y = layers::einsum(
            call_, equation,
            {y, Call::tensor(
                    quantised(call_, *kernel, quantiser_at(call_, "qkvo_kq_conf", object, "kq")))});
        if (bias) {
            y = call_.add(
                y, Call::tensor(quantised(call_, *summand,
                                          quantiser_at(call_, "qkvo_bq_conf", object, "bq"))));
        }
        return quantises_output
                   ? quantised(call_, y, quantiser_at(call_, "qkvo_oq_conf", object, "oq"))
                   : y;
    }

    void run() {
        const auto rank = static_cast<std::size_t>(query.rank());
        const std::string in = projection_equation(rank - 1, 1, 2);
        const bool iq = layer_.has_input_quantiser();
        // What shares a quantiser has it where the file came first: at the key.
        const std::string kv = fuse_ == "none" ? "" : "key_dense";
        const Operand q = projected(query, "query_dense", in, use_bias_, iq, true,
                                    fuse_ == "qkv" ? "key_dense" : "");
        // The key has no bias: it would add the same to all scores of a query.
        const Operand k = projected(key, "key_dense", in, false, iq, true);
        const Operand v = projected(value, "value_dense", in, use_bias_, iq, true, kv);
        if (!use_bias_) {
            settings_.ignore("qkvo_bq_conf");
        }
        if (q.sample_shape().back() != key_dim_ || v.sample_shape().back() != value_dim_ ||
            q.sample_shape()[q.sample_shape().size() - 2] != heads_) {
            call_.refuse_weights("its kernels do not fit num_heads, key_dim and value_dim");
        }
        // Letters of the query's axes (with heads and features), and of the key's.
        std::string target;
        std::string source;
        std::string batch;
        std::string target_axes;
        std::string source_axes;
        std::size_t next = rank + 1;
        for (std::size_t i = 0; i < rank + 1; ++i) {
            const bool attended =
                std::find(axes_.begin(), axes_.end(), static_cast<std::int64_t>(i)) != axes_.end();
            target += letter(i);
            source += attended ? letter(next++) : letter(i);
            if (!attended && i != rank) {
                batch += letter(i);
            }
        }
        for (const std::int64_t axis : axes_) {
            target_axes += target[static_cast<std::size_t>(axis)];
            source_axes += source[static_cast<std::size_t>(axis)];
        }
        const std::string product = batch + target_axes + source_axes;
        const Operand scores =
            layers::einsum(call_, source + "," + target + "->" + product, {k, q});
        const bool stable = settings_.flag("stable_softmax", true);
        const Weights object = call_.weights().child("_softmax");
        Softmax s = read_softmax(call_, object, "softmax_", stable);
        s.scaler = 1 / std::sqrt(static_cast<double>(key_dim_));
        s.output = quantiser_at(call_, "softmax_oq_conf", object, "oq");
        // Not used: the softmax in an attention never quantises its input.
        settings_.ignore("softmax_iq_conf");
        settings_.ignore("softmax_allow_heterogeneous_table");
        for (std::size_t i = 0; i < axes_.size(); ++i) {
            s.axes.push_back(
                call_.axis(scores, static_cast<std::int64_t>(product.size() - axes_.size() + i)));
        }
        const Operand weights = softmax(call_, scores, s, causal_mask(scores));
        Operand y = layers::einsum(call_, product + "," + source + "->" + target, {weights, v});
        y = projected(y, "output_dense", projection_equation(rank - 1, 2, output_dims_), use_bias_,
                      true, layer_.has_output_quantiser());
        layer_.take_costs();
        if (call_.flag_argument("return_attention_scores", false)) {
            layer_.finish(y);
            std::vector<Operand> both = {call_.results().front().operand, weights};
            call_.set(both);
        } else {
            layer_.finish(y);
        }
    }

    Operand query;
    Operand value;
    Operand key;

  private:
    std::optional<Operand> causal_mask(const Operand& scores) {
        if (!call_.flag_argument("use_causal_mask", false)) {
            return std::nullopt;
        }
        if (axes_.size() != 1) {
            call_.refuse("a causal mask over several axes is not supported", {}, "use_causal_mask");
        }
        const Shape& shape = scores.sample_shape();
        const std::int64_t rows = shape[shape.size() - 2];
        const std::int64_t columns = shape.back();
        Tensor mask{{rows, columns}, {}};
        for (std::int64_t r = 0; r < rows; ++r) {
            for (std::int64_t c = 0; c < columns; ++c) {
                mask.values.push_back(c <= r ? 1 : 0);
            }
        }
        return Call::tensor(std::move(mask));
    }

    Call& call_;
    HgqLayer layer_;
    Settings& settings_;
    std::int64_t heads_ = 0;
    std::int64_t key_dim_ = 0;
    std::int64_t value_dim_ = 0;
    bool use_bias_ = true;
    std::string fuse_;
    Shape axes_;  ///< in the file's shape of the query
    std::size_t output_dims_ = 1;
};

}  // namespace

void hgq2_multi_head_attention(Call& call) {
    Attention attention(call);
    attention.read_inputs();
    attention.read_settings();
    attention.run();
}

void hgq2_linformer_attention(Call& call) {
    Attention attention(call);
    attention.read_inputs();
    const Operand value_before = attention.value;
    attention.read_settings();
    Settings& s = call.settings;
    s.choice("lin_kv_proj_mode", "dense", {"dense"});
    const bool shared = s.flag("share_kv_proj", false);
    const Shape sizes = s.integers("lin_kv_proj_dim");
    const auto rank = static_cast<std::size_t>(attention.key.rank());
    const Shape axes = attention.axes();
    if (axes.size() != sizes.size()) {
        s.refuse("lin_kv_proj_dim", "it has not one size for each axis that is attended to");
    }
    // The projections of positions: each attended axis gets a new letter.
    std::string input;
    for (std::size_t i = 0; i < rank; ++i) {
        input += letter(i);
    }
    std::string output = input;
    std::string old_letters;
    std::string new_letters;
    for (std::size_t i = 0; i < axes.size(); ++i) {
        const auto at = static_cast<std::size_t>(axes[i]);
        old_letters += input[at];
        new_letters += letter(rank + i);
        output[at] = letter(rank + i);
    }
    const std::string equation = input + "," + old_letters + new_letters + "->" + output;
    // Made with the general defaults of the framework: inputs are quantised, results are not.
    attention.key = attention.projected(attention.key, "_lin_k_proj", equation, false, true, false);
    attention.value = attention.projected(value_before, shared ? "_lin_k_proj" : "_lin_v_proj",
                                          equation, false, true, false);
    attention.run();
}

}  // namespace gatewright::keras
