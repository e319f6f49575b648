#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "import/keras/rules.h"
#include "import/layers/attention.h"
#include "operators/selection.h"

namespace gatewright::keras {

namespace {

/// What a score becomes where a key is not looked at: Keras takes so much off, or puts it there.
constexpr double far_below = -1e9;

void check_size(Call& call, std::int64_t queries, std::int64_t keys) {
    if (queries > (1 << 12) || keys > (1 << 12)) {
        call.refuse("its sequences are too long");
    }
}

/// [queries, keys] of ones where the key is not behind the query.
Operand causal(Call& call, std::int64_t queries, std::int64_t keys) {
    check_size(call, queries, keys);
    Tensor allowed = Tensor::filled({queries, keys}, 0);
    for (std::int64_t i = 0; i < queries; ++i) {
        for (std::int64_t j = 0; j <= std::min(i, keys - 1); ++j) {
            allowed.values[static_cast<std::size_t>(i * keys + j)] = 1;
        }
    }
    return layers::Builder::tensor(std::move(allowed));
}

/// [queries, keys] of ones where both are less than `window` apart.
Operand band(Call& call, std::int64_t queries, std::int64_t keys, std::int64_t window) {
    check_size(call, queries, keys);
    Tensor allowed = Tensor::filled({queries, keys}, 0);
    for (std::int64_t i = 0; i < queries; ++i) {
        for (std::int64_t j = 0; j < keys; ++j) {
            if (std::abs(i - j) < window) {
                allowed.values[static_cast<std::size_t>(i * keys + j)] = 1;
            }
        }
    }
    return layers::Builder::tensor(std::move(allowed));
}

void restrict_to(Call& call, std::optional<Operand>& allowed, const Operand& more) {
    allowed = allowed ? call.multiply(*allowed, more) : more;
}

/// Ones and zeros as a column [queries, 1] or a row [1, keys].
Operand as_column(Call& call, const Operand& mask) {
    return call.reshaped(mask, {mask.sample_shape().back(), 1}, mask.batch_axis);
}
Operand as_row(Call& call, const Operand& mask) {
    return call.reshaped(mask, {1, mask.sample_shape().back()}, mask.batch_axis);
}

Operand masked(Call& call, const Operand& scores, const Operand& allowed) {
    // Where all keys are out of sight, what is left in float32 are equal scores.
    if (allowed.is_constant) {
        const Operand off =
            call.function("affine", allowed, {Call::number(-far_below), Call::number(far_below)});
        return call.add(scores, off);
    }
    Operand mask = allowed;
    Shape shape = mask.sample_shape();
    shape.insert(shape.begin(), scores.sample_shape().size() - shape.size(), 1);
    mask = call.reshaped(mask, shape, mask.batch_axis);
    return call.elementwise(operators::select_operator, Attributes(),
                            {mask, scores, Call::number(far_below)});
}

/// Scores by products, or by sums of tanh(q + k).
Operand scores_of(Call& call, const Operand& q, const Operand& k, bool additive) {
    const Shape& queries = q.sample_shape();
    const Shape& keys = k.sample_shape();
    const bool concat =
        !additive && call.settings.choice("score_mode", "dot", {"dot", "concat"}) == "concat";
    const bool use_scale = call.settings.flag("use_scale", additive);
    std::optional<Operand> scale;
    if (use_scale) {
        scale = call.weight("scale", additive ? Shape{queries[1]} : Shape{});
    }
    if (!additive && !concat) {
        const Operand products = call.matmul(q, call.transposed(k, {1, 0}, k.batch_axis));
        return scale ? call.multiply(products, *scale) : products;
    }
    std::optional<Operand> weight;
    if (concat) {
        weight = call.weight("concat score weight", {});
    }
    Operand sum = call.add(call.reshaped(q, {queries[0], 1, queries[1]}, q.batch_axis),
                           call.reshaped(k, {1, keys[0], keys[1]}, k.batch_axis));
    if (concat && scale) {
        sum = call.multiply(sum, *scale);
    }
    sum = call.function("tanh", sum);
    if (additive && scale) {
        sum = call.multiply(sum, *scale);
    }
    const Operand scores = call.reduced(sum, "sum", {2}, false);
    return weight ? call.multiply(scores, *weight) : scores;
}

void attention(Call& call, bool additive) {
    if (call.inputs() != 2 && call.inputs() != 3) {
        call.refuse("it needs query and value, and perhaps a key");
    }
    call.ignore_dropout(call.settings, {"dropout"});
    call.settings.ignore("seed");
    call.settings.ignore("causal");
    if (call.settings.has("causal") && call.settings.flag("causal")) {
        call.settings.refuse("causal", "files of Keras before 2.10 with it are not supported",
                             "Call the layer with use_causal_mask=True.");
    }
    const Operand& q = call.operand(0);
    const Operand& v = call.operand(1);
    const Operand& k = call.operand(call.inputs() - 1);
    for (const Operand* x : {&q, &v, &k}) {
        if (x->sample_shape().size() != 2) {
            call.refuse("its inputs are no sequences of vectors");
        }
    }
    if (q.sample_shape()[1] != k.sample_shape()[1] || k.sample_shape()[0] != v.sample_shape()[0]) {
        call.refuse("query, value and key do not fit");
    }
    Operand scores = scores_of(call, q, k, additive);
    const std::optional<Operand> query_mask = call.mask(0);
    std::optional<Operand> allowed;
    if (const auto value_mask = call.mask(1)) {
        allowed = as_row(call, *value_mask);
    }
    if (call.flag_argument("use_causal_mask", false)) {
        restrict_to(call, allowed, causal(call, q.sample_shape()[0], k.sample_shape()[0]));
    }
    if (allowed) {
        scores = masked(call, scores, *allowed);
    }
    const Operand weights = call.softmax(scores, 1);
    Operand y = call.matmul(weights, v);
    if (query_mask) {
        y = call.multiply(y, as_column(call, *query_mask));
    }
    std::vector<Value> results = {{y, Kind::real, query_mask}};
    if (call.flag_argument("return_attention_scores", false)) {
        results.push_back({weights, Kind::real, std::nullopt});
    }
    call.set_values(std::move(results));
}

/// One projection to heads, kernel[in, heads, size] and bias[heads, size].
struct Heads {
    Operand kernel;  ///< [in, heads * size]
    std::optional<Operand> bias;
    std::int64_t heads = 0;
    std::int64_t size = 0;
};

/// The object in an attribute, which some layers name with an underscore in front.
Weights part(Call& call, const std::string& attribute) {
    return call.weights().child(call.weights().has(attribute) ? attribute : "_" + attribute);
}

Heads read_heads(Call& call, const char* attribute, std::int64_t in, std::int64_t heads,
                 std::int64_t size, bool use_bias) {
    Weights weights = part(call, attribute);
    Heads out;
    out.heads = heads;
    out.size = size;
    const std::string role = attribute;
    out.kernel = call.reshaped(call.weight(weights, role + " kernel", {in, heads, size}),
                               {in, heads * size}, -1);
    if (use_bias) {
        out.bias =
            call.reshaped(call.weight(weights, role + " bias", {heads, size}), {heads * size}, -1);
    }
    if (!weights.is_flat() && weights.left() > 0) {
        call.refuse_weights(fmt::format("the file has more weights of its {}", attribute));
    }
    return out;
}

/// How the axes of a tensor are split into those that attention joins and those that stay apart.
struct Layout {
    Shape apart;
    Shape joined;
};

/// x[..., in] projected, as [places * heads, positions, size], with one place for each index of the
/// axes that stay apart.
Operand project(Call& call, const Operand& x, const Layout& layout, const Heads& heads) {
    const Shape& shape = x.sample_shape();
    Shape order = layout.apart;
    order.insert(order.end(), layout.joined.begin(), layout.joined.end());
    order.push_back(static_cast<std::int64_t>(shape.size()) - 1);
    std::int64_t places = 1;
    std::int64_t positions = 1;
    for (const std::int64_t axis : layout.apart) {
        places *= shape[static_cast<std::size_t>(axis)];
    }
    for (const std::int64_t axis : layout.joined) {
        positions *= shape[static_cast<std::size_t>(axis)];
    }
    const int batch = x.batch_axis;
    const Operand rows =
        call.reshaped(call.transposed(x, order, batch), {places * positions, shape.back()}, batch);
    Operand y = call.matmul(rows, heads.kernel);
    if (heads.bias) {
        y = call.add(y, *heads.bias);
    }
    y = call.reshaped(y, {places, positions, heads.heads, heads.size}, batch);
    y = call.transposed(y, {0, 2, 1, 3}, batch);
    return call.reshaped(y, {places * heads.heads, positions, heads.size}, batch);
}

Layout layout_of(Call& call, const Operand& x) {
    const auto rank = static_cast<std::int64_t>(x.sample_shape().size());
    if (rank < 2) {
        call.refuse("its inputs are no sequences of vectors");
    }
    Layout out;
    if (call.settings.has("attention_axes")) {
        for (const std::int64_t axis : call.settings.integers("attention_axes")) {
            out.joined.push_back(call.axis(x, axis));
        }
    } else {
        for (std::int64_t i = 0; i + 1 < rank; ++i) {
            out.joined.push_back(i);
        }
    }
    call.settings.ignore("attention_axes");
    for (std::int64_t i = 0; i + 1 < rank; ++i) {
        if (std::find(out.joined.begin(), out.joined.end(), i) == out.joined.end()) {
            out.apart.push_back(i);
        }
    }
    Shape sorted = out.joined;
    std::sort(sorted.begin(), sorted.end());
    if (sorted != out.joined || sorted.empty() || sorted.back() + 1 >= rank ||
        std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
        call.settings.refuse("attention_axes", "it does not name axes of positions in order");
    }
    return out;
}

Shape extents(const Operand& x, const Shape& axes) {
    Shape out;
    for (const std::int64_t axis : axes) {
        out.push_back(x.sample_shape()[static_cast<std::size_t>(axis)]);
    }
    return out;
}

/// Query, value and key of a call, with their masks.
struct Sequences {
    Value query;
    Value value;
    Value key;
};

Value tensor_argument(Call& call, std::size_t position, const char* name, const Value& otherwise) {
    const Argument* given = call.argument(position, name);
    if (given == nullptr) {
        return otherwise;
    }
    if (!given->value) {
        call.refuse("it is no tensor", {}, name);
    }
    return *given->value;
}

Sequences read_sequences(Call& call) {
    Sequences out;
    const std::vector<Operand> first = call.operands();
    if (first.size() != 1) {
        call.refuse("its first argument is not one tensor");
    }
    out.query = call.input(0);
    const Argument* value = call.argument(1, "value");
    if (value == nullptr || !value->value) {
        call.refuse("it has no value", {}, "value");
    }
    out.value = *value->value;
    out.key = tensor_argument(call, 2, "key", out.value);
    return out;
}

/// What is looked at: masks of the inputs, the causal one, a window and an argument, [queries,
/// keys].
std::optional<Operand> allowed_positions(Call& call, const Sequences& s, std::int64_t queries,
                                         std::int64_t keys, bool one_axis) {
    std::optional<Operand> allowed;
    const auto mask_of = [&](const char* name, const Value& x) -> std::optional<Operand> {
        const Argument* given = call.argument(name);
        if (given != nullptr) {
            if (!given->value) {
                call.refuse("it is no tensor", {}, name);
            }
            return given->value->operand;
        }
        return x.mask;
    };
    const auto query = mask_of("query_mask", s.query);
    const auto value = mask_of("value_mask", s.value);
    const auto key = mask_of("key_mask", s.key);
    if ((query || value || key) && !one_axis) {
        call.refuse("its inputs have masks, which is supported along one axis only");
    }
    if (query) {
        allowed = as_column(call, *query);
    }
    if (value) {
        restrict_to(call, allowed, as_row(call, *value));
    }
    if (key) {
        restrict_to(call, allowed, as_row(call, *key));
    }
    if (call.flag_argument("use_causal_mask", false)) {
        if (!one_axis) {
            call.refuse("a causal mask is supported along one axis only", {}, "use_causal_mask");
        }
        restrict_to(call, allowed, causal(call, queries, keys));
    }
    if (call.settings.has("sliding_window")) {
        const std::int64_t window = call.settings.integer("sliding_window");
        if (!one_axis || window < 1) {
            call.settings.refuse("sliding_window", "it is no window along one axis");
        }
        restrict_to(call, allowed, band(call, queries, keys, window));
    }
    call.settings.ignore("sliding_window");
    if (const Argument* given = call.argument("attention_mask")) {
        if (!given->value) {
            call.refuse("it is no tensor", {}, "attention_mask");
        }
        const Operand& mask = given->value->operand;
        const Shape& shape = mask.sample_shape();
        const auto fits = [](std::int64_t a, std::int64_t b) { return a == b || a == 1; };
        if (!one_axis || shape.size() != 2 || !fits(shape[0], queries) || !fits(shape[1], keys)) {
            call.refuse("only a mask of queries and keys is supported", {}, "attention_mask");
        }
        restrict_to(call, allowed, call.function("nonzero", mask));
    }
    return allowed;
}

void multi_head(Call& call, bool grouped) {
    Settings& s = call.settings;
    call.ignore_dropout(s, {"dropout"});
    s.ignore({"seed", "flash_attention"});  // training; another way to the same numbers
    s.ignore({"query_shape", "key_shape", "value_shape"});  // repeat the inputs' shapes
    const Sequences x = read_sequences(call);
    const std::int64_t heads = s.integer(grouped ? "num_query_heads" : "num_heads");
    const std::int64_t key_heads = grouped ? s.integer("num_key_value_heads") : heads;
    const std::int64_t size = s.integer(grouped ? "head_dim" : "key_dim");
    const std::int64_t value_size = grouped ? size : s.integer("value_dim", size);
    if (heads < 1 || key_heads < 1 || heads % key_heads != 0 || size < 1 || value_size < 1) {
        call.refuse(
            fmt::format("{} heads of {} with {} heads of keys do not fit", heads, size, key_heads));
    }
    const bool use_bias = s.flag("use_bias", true);
    const bool gated = s.flag("use_gate", false);
    const auto last = [](const Value& v) { return v.operand.sample_shape().back(); };
    const Layout layout = layout_of(call, x.query.operand);
    for (const Value* v : {&x.value, &x.key}) {
        if (v->operand.sample_shape().size() != x.query.operand.sample_shape().size() ||
            extents(v->operand, layout.apart) != extents(x.query.operand, layout.apart)) {
            call.refuse("query, value and key have different axes");
        }
    }
    // In the order in which the layer creates them.
    const Heads query = read_heads(call, "query_dense", last(x.query), heads, size, use_bias);
    std::optional<Heads> gate;
    const auto read_gate = [&] {
        gate = read_heads(call, "gate_dense", last(x.query), heads, value_size, use_bias);
    };
    if (gated && !grouped) {
        read_gate();
    }
    const Heads key = read_heads(call, "key_dense", last(x.key), key_heads, size, use_bias);
    if (gated && grouped) {
        read_gate();
    }
    const Heads value =
        read_heads(call, "value_dense", last(x.value), key_heads, value_size, use_bias);
    const std::int64_t places = element_count(extents(x.query.operand, layout.apart));
    const std::int64_t queries = element_count(extents(x.query.operand, layout.joined));
    const std::int64_t keys = element_count(extents(x.key.operand, layout.joined));
    const auto shared = [&](const Operand& per_head) {
        if (key_heads == heads) {
            return per_head;
        }
        const Shape& shape = per_head.sample_shape();
        const int batch = per_head.batch_axis;
        const Operand apart =
            call.reshaped(per_head, {places, key_heads, 1, shape[1], shape[2]}, batch);
        const Operand all =
            call.expanded(apart, {places, key_heads, heads / key_heads, shape[1], shape[2]});
        return call.reshaped(all, {places * heads, shape[1], shape[2]}, batch);
    };
    const Operand q = project(call, x.query.operand, layout, query);
    const Operand k = shared(project(call, x.key.operand, layout, key));
    const Operand v = shared(project(call, x.value.operand, layout, value));
    Operand scores = call.multiply(call.matmul(q, call.transposed(k, {0, 2, 1}, k.batch_axis)),
                                   Call::number(1 / std::sqrt(static_cast<double>(size))));
    const auto allowed = allowed_positions(call, x, queries, keys, layout.joined.size() == 1);
    if (allowed) {
        scores = masked(call, scores, *allowed);
    }
    const Operand weights = call.softmax(scores, 2);
    Operand y = call.matmul(weights, v);
    if (gate) {
        const Operand open = project(call, x.query.operand, layout, *gate);
        y = call.multiply(y, call.function("sigmoid", open));
    }
    // Back to the query's axes, heads and sizes last.
    const int batch = y.batch_axis;
    y = call.transposed(call.reshaped(y, {places, heads, queries, value_size}, batch), {0, 2, 1, 3},
                        batch);
    y = call.reshaped(y, {places * queries, heads * value_size}, batch);
    Weights output = part(call, "output_dense");
    Shape out;
    if (s.has("output_shape")) {
        out = s.integers("output_shape");
    } else {
        out = {last(x.query)};
    }
    s.ignore("output_shape");
    Shape kernel_shape = {heads, value_size};
    kernel_shape.insert(kernel_shape.end(), out.begin(), out.end());
    const std::int64_t width = element_count(out);
    const Operand kernel = call.reshaped(call.weight(output, "output kernel", kernel_shape),
                                         {heads * value_size, width}, -1);
    y = call.matmul(y, kernel);
    if (use_bias) {
        y = call.add(y, call.reshaped(call.weight(output, "output bias", out), {width}, -1));
    }
    Shape apart_first = extents(x.query.operand, layout.apart);
    const Shape joined = extents(x.query.operand, layout.joined);
    apart_first.insert(apart_first.end(), joined.begin(), joined.end());
    apart_first.insert(apart_first.end(), out.begin(), out.end());
    y = call.reshaped(y, apart_first, batch);
    Shape order = layout.apart;
    order.insert(order.end(), layout.joined.begin(), layout.joined.end());
    Shape back(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
        back[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
        back.push_back(static_cast<std::int64_t>(back.size()));
    }
    y = call.transposed(y, back, batch);
    std::vector<Value> results = {{y, Kind::real, x.query.mask}};
    if (call.flag_argument("return_attention_scores", false)) {
        if (layout.joined.size() != 1 || !layout.apart.empty()) {
            call.refuse("scores over several axes are not supported", {},
                        "return_attention_scores");
        }
        results.push_back({weights, Kind::real, std::nullopt});
    }
    call.set_values(std::move(results));
}

const RuleRow rows[] = {
    {"Attention", [](Call& c) { attention(c, false); }, Masking::own},
    {"AdditiveAttention", [](Call& c) { attention(c, true); }, Masking::own},
    {"MultiHeadAttention", [](Call& c) { multi_head(c, false); }, Masking::own},
    {"GroupQueryAttention", [](Call& c) { multi_head(c, true); }, Masking::own},
    {"GroupedQueryAttention", [](Call& c) { multi_head(c, true); }, Masking::own},
};

}  // namespace

std::span<const RuleRow> attention_rules() {
    return rows;
}

}  // namespace gatewright::keras
