#include "import/layers/pooling.h"

#include <fmt/format.h>

#include <cmath>

#include "import/layers/sample.h"

namespace gatewright::layers {

Operand lp_pool(Builder& builder, const Operand& x, double p, operators::PoolFields window,
                bool signed_base) {
    if (!(p > 0) || std::isinf(p)) {
        builder.refuse(fmt::format("a norm of p = {} is not supported", p), "Use p > 0.", "p");
    }
    double count = 1;
    for (const std::int64_t extent : window.kernel) {
        count *= static_cast<double>(extent);
    }
    // Without `uncounted` each mean is over as many elements as the kernel has.
    window.kind = "average";
    window.count_padding = true;
    const Operand base = p == 2 || signed_base ? x : builder.function("absolute", x);
    const Operand mean = builder
                             .emit(operators::pool_operator, Attributes::of(std::move(window)),
                                   {raised(builder, base, p)}, x.batch_axis)
                             .front();
    const Operand sum = builder.multiply(mean, Builder::number(count));
    return raised(builder, sum, 1 / p);
}

Operand adaptive_pool(Builder& builder, const Operand& x, const std::string& kind,
                      const Shape& extents) {
    if (x.sample_shape().size() != extents.size() + 1) {
        builder.refuse(fmt::format("extents {} do not fit an input of shape {}", to_string(extents),
                                   to_string(x.sample_shape())));
    }
    Operand y = x;
    for (std::size_t i = 0; i < extents.size(); ++i) {
        const auto axis = static_cast<std::int64_t>(i) + 1;
        const std::int64_t n = x.sample_shape()[i + 1];
        const std::int64_t m = extents[i];
        if (m < 1 || n < 1 || n > (std::int64_t{1} << 26) / m) {
            builder.refuse(fmt::format("an axis of {} positions is not pooled to {}", n, m));
        }
        const auto begin = [&](std::int64_t at) { return at * n / m; };
        const auto end = [&](std::int64_t at) { return ((at + 1) * n + m - 1) / m; };
        if (kind == "average") {
            Tensor weights = Tensor::filled({n, m}, 0);
            for (std::int64_t at = 0; at < m; ++at) {
                for (std::int64_t j = begin(at); j < end(at); ++j) {
                    weights.values[static_cast<std::size_t>(j * m + at)] =
                        1 / static_cast<double>(end(at) - begin(at));
                }
            }
            y = weighted(builder, y, axis, std::move(weights));
            continue;
        }
        std::vector<Operand> parts;
        for (std::int64_t at = 0; at < m; ++at) {
            parts.push_back(builder.reduced(builder.sliced(y, axis, begin(at), end(at) - begin(at)),
                                            "max", {axis}, true));
        }
        y = builder.concatenated(parts, axis);
    }
    return y;
}

}  // namespace gatewright::layers
