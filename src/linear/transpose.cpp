#include "linear/transpose.h"

#include "linear/tree.h"

namespace gatewright::linear {

AdderGraph transposed(const AdderGraph& graph) {
    const auto n_in = static_cast<std::int32_t>(graph.n_in);
    const auto n_out = static_cast<std::int32_t>(graph.outputs.size());
    const std::size_t values = static_cast<std::size_t>(n_in) + graph.additions.size();
    std::vector<std::vector<Term>> readers(values);
    std::vector<ValueInfo> infos;
    for (std::int32_t o = 0; o < n_out; ++o) {
        infos.push_back(input_info({-128, 127}));
        const Output& output = graph.outputs[static_cast<std::size_t>(o)];
        if (output.value >= 0) {
            readers[static_cast<std::size_t>(output.value)].push_back(
                {o, output.shift, output.negate});
        }
    }
    AdderGraph result;
    result.n_in = n_out;
    result.outputs.resize(static_cast<std::size_t>(n_in));
    for (std::size_t v = values; v-- > 0;) {
        const Output sum = add_up(readers[v], infos, result.additions);
        if (v < static_cast<std::size_t>(n_in)) {
            result.outputs[v] = sum;
            continue;
        }
        if (sum.value < 0) {
            continue;
        }
        const Addition& addition = graph.additions[v - static_cast<std::size_t>(n_in)];
        readers[static_cast<std::size_t>(addition.a)].push_back(
            {sum.value, static_cast<std::uint8_t>(sum.shift + addition.shift_a),
             sum.negate != addition.negate_a});
        readers[static_cast<std::size_t>(addition.b)].push_back(
            {sum.value, static_cast<std::uint8_t>(sum.shift + addition.shift_b),
             sum.negate != addition.negate_b});
    }
    return result;
}

}  // namespace gatewright::linear
