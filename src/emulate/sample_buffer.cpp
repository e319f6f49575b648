#include "emulate/sample_buffer.h"

#include <algorithm>
#include <cstring>

namespace gatewright::emulate {

namespace {

constexpr std::int64_t block = static_cast<std::int64_t>(bits::Evaluator::block);

/// to[c][r] = from[r][c]: tile by tile, so that both stay in the cache.
template <class T>
void transpose(const T* from, std::int64_t rows, std::int64_t columns, T* to) {
    constexpr std::int64_t tile = 64;
    for (std::int64_t r0 = 0; r0 < rows; r0 += tile) {
        const std::int64_t r1 = std::min(rows, r0 + tile);
        for (std::int64_t c0 = 0; c0 < columns; c0 += tile) {
            const std::int64_t c1 = std::min(columns, c0 + tile);
            for (std::int64_t c = c0; c < c1; ++c) {
                for (std::int64_t r = r0; r < r1; ++r) {
                    to[c * rows + r] = from[r * columns + c];
                }
            }
        }
    }
}

}  // namespace

Patches::Patches(const operators::AxisMove& move, std::int64_t channels, std::int64_t channel_size)
    : plane(channel_size) {
    const std::size_t rank = move.extents.size() / 2;  // axes: positions, channels, taps
    Shape spatial(move.extents.begin(), move.extents.begin() + static_cast<std::ptrdiff_t>(rank));
    Shape kernel(move.extents.begin() + static_cast<std::ptrdiff_t>(rank) + 1, move.extents.end());
    positions = element_count(spatial);
    taps = element_count(kernel);
    size = channels * taps;
    // A window of the first channel alone, its taps before its positions.
    operators::AxisMove one;
    one.extents = kernel;
    one.extents.insert(one.extents.end(), spatial.begin(), spatial.end());
    for (const auto& term : move.terms) {
        if (term.axis == term.minor) {
            continue;
        }
        const std::int64_t own_taps = kernel[term.axis];
        operators::AxisMove::Term turned{term.axis, rank + term.axis, {}};
        for (std::int64_t tap = 0; tap < own_taps; ++tap) {
            for (std::int64_t p = 0; p < spatial[term.axis]; ++p) {
                turned.at.push_back(term.at[static_cast<std::size_t>(p * own_taps + tap)]);
            }
        }
        one.terms.push_back(std::move(turned));
    }
    under.reserve(static_cast<std::size_t>(taps * positions));
    one.for_each([&](std::int64_t element, std::int64_t count) {
        under.insert(under.end(), static_cast<std::size_t>(count),
                     static_cast<std::int32_t>(element));
    });
    const std::int64_t blocks = (positions + block - 1) / block;
    for (std::int64_t i = 0; i < taps * blocks; ++i) {
        const std::int64_t first = i % blocks * block;
        const std::int32_t* own = under.data() + i / blocks * positions + first;
        bool is_whole = first + block <= positions && own[0] >= 0;
        for (std::int64_t n = 1; is_whole && n < block; ++n) {
            is_whole = own[n] == own[0] + n;
        }
        whole.push_back(is_whole);
    }
}

Buffer::Buffer(bits::Lane its_lane, std::int64_t count, std::int64_t its_planes)
    : lane(its_lane),
      elements(count),
      planes(its_planes),
      data(std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(count) *
                                                    bits::lane_bytes(its_lane))) {}

template <class T>
T Buffer::element(std::int64_t e) const {
    const auto* source = reinterpret_cast<const T*>(data->data());
    if (patches == nullptr) {
        return source[place(e)];
    }
    const std::int64_t tap = e % patches->size % patches->taps;
    const std::int32_t under =
        patches->under[static_cast<std::size_t>(tap * patches->positions + e / patches->size)];
    return under < 0 ? T{0} : source[e % patches->size / patches->taps * patches->plane + under];
}

template <class T>
void Buffer::load_all(const Progression& from, T* to) const {
    const auto* source = reinterpret_cast<const T*>(data->data());
    const std::int64_t period = patches != nullptr ? patches->size : planes;
    const std::int64_t step = from.step / period;
    if (from.step % period != 0) {
        for (std::int64_t i = 0; i < from.count; ++i) {
            to[i] = element<T>(from.first + i * from.step);
        }
        return;
    }
    if (patches == nullptr) {
        source += place(from.first);
        if (step == 1) {
            std::copy_n(source, from.count, to);
            return;
        }
        for (std::int64_t i = 0; i < from.count; ++i) {
            to[i] = source[i * step];
        }
        return;
    }
    const std::int64_t p = from.first / period;
    const std::int64_t tap = from.first % period % patches->taps;
    source += from.first % period / patches->taps * patches->plane;
    const std::int32_t* under = patches->under.data() + tap * patches->positions + p;
    const std::int64_t blocks = (patches->positions + block - 1) / block;
    if (step == 1 && p % block == 0 && from.count == block &&
        patches->whole[static_cast<std::size_t>(tap * blocks + p / block)]) {
        std::copy_n(source + *under, block, to);
        return;
    }
    for (std::int64_t i = 0; i < from.count; ++i, under += step) {
        to[i] = *under < 0 ? T{0} : source[*under];
    }
}

void Buffer::load(const Progression& from, std::byte* lanes) const {
    with_lane_bits(lane, [&](auto zero) {
        using T = decltype(zero);
        auto* to = reinterpret_cast<T*>(lanes);
        load_all(from, to);
        std::fill(to + from.count, to + block, to[from.count - 1]);
    });
}

void Buffer::load(std::span<const std::int64_t> from, std::byte* lanes) const {
    with_lane_bits(lane, [&](auto zero) {
        using T = decltype(zero);
        auto* to = reinterpret_cast<T*>(lanes);
        for (const std::int64_t e : from) {
            *to++ = element<T>(e);
        }
        std::fill_n(to, block - static_cast<std::int64_t>(from.size()), to[-1]);
    });
}

void Buffer::store(const Progression& to, const std::byte* lanes) const {
    with_lane_bits(lane, [&](auto zero) {
        using T = decltype(zero);
        auto* target = reinterpret_cast<T*>(data->data());
        const auto* from = reinterpret_cast<const T*>(lanes);
        if (to.step == planes) {
            std::copy_n(from, to.count, target + place(to.first));
            return;
        }
        for (std::int64_t i = 0; i < to.count; ++i) {
            target[place(to.first + i * to.step)] = from[i];
        }
    });
}

void Buffer::store(std::span<const std::int64_t> to, const std::byte* lanes) const {
    with_lane_bits(lane, [&](auto zero) {
        using T = decltype(zero);
        auto* target = reinterpret_cast<T*>(data->data());
        const auto* from = reinterpret_cast<const T*>(lanes);
        for (const std::int64_t e : to) {
            target[place(e)] = *from++;
        }
    });
}

Buffer Buffer::in_planes(std::int64_t count) const {
    if (patches == nullptr && (planes == count || elements == 0)) {
        return *this;
    }
    Buffer out(lane, elements, count);
    with_lane_bits(lane, [&](auto zero) {
        using T = decltype(zero);
        auto* to = reinterpret_cast<T*>(out.data->data());
        const auto* from = reinterpret_cast<const T*>(data->data());
        if (patches != nullptr) {
            std::vector<T> row(static_cast<std::size_t>(patches->positions));
            for (std::int64_t j = 0; j < patches->size; ++j) {
                load_all({j, patches->size, patches->positions}, row.data());
                for (std::int64_t p = 0; p < patches->positions; ++p) {
                    to[out.place(p * patches->size + j)] = row[static_cast<std::size_t>(p)];
                }
            }
        } else if (planes == 1) {
            transpose(from, elements / count, count, to);
        } else if (count == 1) {
            transpose(from, planes, elements / planes, to);
        } else {
            for (std::int64_t e = 0; e < elements; ++e) {
                to[out.place(e)] = from[place(e)];
            }
        }
    });
    return out;
}

}  // namespace gatewright::emulate
