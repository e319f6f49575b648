#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "bits/evaluator.h"
#include "operators/axis_move.h"

/// Tensors of one sample, which may lie in memory in another order than their elements'. So many
/// moves only say anew where elements lie, and lanes that are neighbours lie together.
namespace gatewright::emulate {

/// What patches of a window hold, position by position.
struct Patches {
    std::int64_t taps = 0;
    std::int64_t positions = 0;
    std::int64_t size = 0;            ///< elements of a patch: channels, of each its taps
    std::int64_t plane = 0;           ///< elements of a channel
    std::vector<std::int32_t> under;  ///< [tap][position]: element of a channel, -1 for a zero
    std::vector<bool> whole;          ///< [tap][position / 64]: 64 neighbours from there

    /// Of a window operator's move.
    explicit Patches(const operators::AxisMove& move, std::int64_t channels, std::int64_t plane);
};

/// Elements first, first + step, ...
struct Progression {
    std::int64_t first = 0;
    std::int64_t step = 1;
    std::int64_t count = 0;
};

struct Buffer {
    bits::Lane lane = bits::Lane::i8;
    std::int64_t elements = 0;
    /// Element e lies at (e % planes) * (elements / planes) + e / planes.
    std::int64_t planes = 1;
    std::shared_ptr<std::vector<std::byte>> data;
    const Patches* patches = nullptr;  ///< of which `data` holds the window's input

    /// A new one, of zeros.
    Buffer(bits::Lane lane, std::int64_t elements, std::int64_t planes);
    Buffer() = default;

    std::size_t bytes() const { return bits::lane_bytes(lane); }
    /// Where number `n` in memory lies.
    std::byte* at(std::int64_t n) const {
        return data->data() + static_cast<std::size_t>(n) * bytes();
    }
    std::int64_t place(std::int64_t e) const {
        return planes == 1 ? e : e % planes * (elements / planes) + e / planes;
    }

    /// At most 64 elements as lanes; those behind the last repeat it.
    void load(const Progression& from, std::byte* lanes) const;
    void load(std::span<const std::int64_t> from, std::byte* lanes) const;
    /// Lanes to their elements; not of patches.
    void store(const Progression& to, const std::byte* lanes) const;
    void store(std::span<const std::int64_t> to, const std::byte* lanes) const;

    /// The same elements in that many planes.
    Buffer in_planes(std::int64_t count) const;

  private:
    template <class T>
    T element(std::int64_t e) const;
    template <class T>
    void load_all(const Progression& from, T* to) const;
};

/// Calls f with a value of the unsigned type of a lane's width.
template <class F>
void with_lane_bits(bits::Lane lane, F f) {
    switch (bits::lane_bytes(lane)) {
        case 1:
            return f(std::uint8_t{});
        case 2:
            return f(std::uint16_t{});
        case 4:
            return f(std::uint32_t{});
        case 8:
            return f(std::uint64_t{});
        default:
            return f(UInt128{});
    }
}

}  // namespace gatewright::emulate
