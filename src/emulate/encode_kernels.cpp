#include "emulate/encode_kernels.h"

#include <cmath>
#include <limits>

#include "emulate/clones.h"

namespace gatewright::emulate {

GATEWRIGHT_CLONES
bool encode_row_exact(const float* x, const EncodeLines& lines, std::int64_t count,
                      std::int32_t* out) {
    int bad = 0;
    for (std::int64_t i = 0; i < count; ++i) {
        bad |= std::abs(x[i]) <= std::numeric_limits<float>::max() ? 0 : 1;
        double t = lines.a[i] * static_cast<double>(x[i]) + lines.b[i];
        t = t > lines.low[i] ? t : lines.low[i];  // bounds are integers: rounding keeps them
        t = t < lines.high[i] ? t : lines.high[i];
        out[i] = static_cast<std::int32_t>(std::nearbyint(t) - lines.zero_point[i]);
    }
    return bad == 0;
}

GATEWRIGHT_CLONES
bool encode_row_near(const float* x, const EncodeLines& lines, std::int64_t count,
                     std::int32_t* out) {
    int bad = 0;
    for (std::int64_t i = 0; i < count; ++i) {
        bad |= std::abs(x[i]) <= std::numeric_limits<float>::max() ? 0 : 1;
        double t = lines.a[i] * static_cast<double>(x[i]) + lines.b[i];
        t = t > lines.low[i] ? t : lines.low[i];
        t = t < lines.high[i] ? t : lines.high[i];
        const double r = std::floor(t + 0.5);
        bad |= 0.5 - std::abs(t - r) >= lines.margin[i] ? 0 : 1;
        out[i] = static_cast<std::int32_t>(r - lines.zero_point[i]);
    }
    return bad == 0;
}

}  // namespace gatewright::emulate
