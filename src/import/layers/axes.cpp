#include "import/layers/axes.h"

#include <cstdint>
#include <vector>

namespace gatewright::layers {

std::optional<Shape> moved_axes(std::size_t rank, const Shape& from, const Shape& to) {
    Shape order(rank, -1);
    std::vector<bool> moved(rank, false);
    for (std::size_t i = 0; i < from.size(); ++i) {
        const auto source = static_cast<std::size_t>(from[i]);
        const auto target = static_cast<std::size_t>(to[i]);
        if (moved[source] || order[target] >= 0) {
            return std::nullopt;
        }
        order[target] = from[i];
        moved[source] = true;
    }
    std::size_t next = 0;
    for (std::int64_t& axis : order) {
        if (axis < 0) {
            while (moved[next]) {
                ++next;
            }
            axis = static_cast<std::int64_t>(next++);
        }
    }
    return order;
}

}  // namespace gatewright::layers
