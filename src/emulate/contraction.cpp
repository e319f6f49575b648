#include "emulate/contraction.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "emulate/contract_kernels.h"

namespace gatewright::emulate {

namespace {

using bits::Lane;

constexpr std::int64_t block = static_cast<std::int64_t>(bits::Evaluator::block);

/// Rows of a tile stay in the nearest cache while all outputs go over them.
constexpr std::int64_t tile_bytes = 1 << 14;

constexpr std::size_t line_bytes = 64;

/// Calls f with a null pointer of the lane's type.
template <class F>
void with_lane(Lane lane, F f) {
    switch (lane) {
        case Lane::i8:
            return f(static_cast<std::int8_t*>(nullptr));
        case Lane::i16:
            return f(static_cast<std::int16_t*>(nullptr));
        case Lane::i32:
            return f(static_cast<std::int32_t*>(nullptr));
        case Lane::i64:
            return f(static_cast<std::int64_t*>(nullptr));
        case Lane::i128:
            return f(static_cast<Int128*>(nullptr));
    }
}

}  // namespace

void convert(const std::byte* from, Lane from_lane, std::byte* to, Lane to_lane,
             std::int64_t count) {
    if (from_lane == to_lane) {
        std::memcpy(to, from, static_cast<std::size_t>(count) * bits::lane_bytes(to_lane));
        return;
    }
    with_lane(from_lane, [&](auto* from_type) {
        with_lane(to_lane, [&](auto* to_type) {
            const auto* p = reinterpret_cast<decltype(from_type)>(const_cast<std::byte*>(from));
            auto* q = reinterpret_cast<decltype(to_type)>(to);
            for (std::int64_t i = 0; i < count; ++i) {
                q[i] = static_cast<std::remove_reference_t<decltype(*q)>>(p[i]);
            }
        });
    });
}

Contraction::Contraction(const operators::ContractForm& form, Lane in, Lane out)
    : in_(in), out_(out), n_in_(form.matrix.n_in), n_out_(form.matrix.n_out) {
    const linear::Matrix& matrix = form.matrix;
    lane_ = in == Lane::i128 ? Lane::i128 : std::max(Lane::i16, out);
    lane_size_ = static_cast<std::size_t>(block) * bits::lane_bytes(lane_);
    out_size_ = static_cast<std::size_t>(block) * bits::lane_bytes(out_);
    Int128 largest = 1;  // magnitude of an input
    for (const network::Format& format : form.inputs) {
        largest = std::max({largest, -format.range.low, format.range.high});
    }
    Int128 terms = 0;
    bool is_short = true;
    for (const std::int64_t w : matrix.weights) {
        terms += w < 0 ? -Int128{w} : Int128{w};
        is_short = is_short && std::in_range<std::int16_t>(w);
    }
    // An addition of bytes costs about half of a product of 16 bits.
    const Int128 in_a_byte = 127 / largest;
    if (in == Lane::i8 && lane_ == Lane::i16 && in_a_byte >= 8 &&
        terms <= 2 * Int128{n_in_} * n_out_) {
        kind_ = Kind::sums;
        pack_sums(matrix, static_cast<std::int64_t>(in_a_byte));
    } else if (in <= Lane::i16 && lane_ == Lane::i32 && is_short) {
        kind_ = Kind::pairs;
        pack_pairs(matrix);
    } else {
        pack_plain(matrix);
    }
    for (std::int64_t k = 0; kind_ == Kind::plain && in_ != lane_ && k < n_in_; ++k) {
        widened_.push_back(
            static_cast<std::uint32_t>(static_cast<std::size_t>(k) * lane_size_ / line_bytes));
    }
}

void Contraction::pack_sums(const linear::Matrix& matrix, std::int64_t terms) {
    std::vector<std::int32_t> plus;
    std::vector<std::int32_t> minus;
    const auto flush = [&](std::int64_t o) {
        if (!plus.empty() || !minus.empty()) {
            runs_.insert(runs_.end(),
                         {static_cast<std::int32_t>(o), static_cast<std::int32_t>(plus.size()),
                          static_cast<std::int32_t>(minus.size())});
            runs_.insert(runs_.end(), plus.begin(), plus.end());
            runs_.insert(runs_.end(), minus.begin(), minus.end());
        }
        plus.clear();
        minus.clear();
    };
    for (std::int64_t first = 0; first < n_in_; first += tile_bytes / block) {
        const std::int64_t last = std::min(n_in_, first + tile_bytes / block);
        for (std::int64_t o = 0; o < n_out_; ++o) {
            for (std::int64_t k = first; k < last; ++k) {
                const std::int64_t w = matrix.at(k, o);
                for (std::int64_t i = 0; i < std::abs(w); ++i) {
                    (w > 0 ? plus : minus).push_back(static_cast<std::int32_t>(k));
                    if (static_cast<std::int64_t>(plus.size() + minus.size()) == terms) {
                        flush(o);
                    }
                }
            }
            flush(o);
        }
    }
}

void Contraction::pack_pairs(const linear::Matrix& matrix) {
    const std::int64_t groups = (n_out_ + 3) / 4;
    const std::int64_t pairs = (n_in_ + 1) / 2;
    w16_.assign(static_cast<std::size_t>(groups * pairs * 8), 0);
    for (std::int64_t k = 0; k < n_in_; ++k) {
        for (std::int64_t o = 0; o < n_out_; ++o) {
            const std::int64_t at = ((o / 4 * pairs + k / 2) * 4 + o % 4) * 2 + k % 2;
            w16_[static_cast<std::size_t>(at)] = static_cast<std::int16_t>(matrix.at(k, o));
        }
    }
}

void Contraction::pack_plain(const linear::Matrix& matrix) {
    const std::int64_t groups = (n_out_ + 3) / 4;
    // Products wrap like sums, but a weight must be kept modulo the lane as well.
    const auto pack = [&](auto& weights) {
        using W = typename std::remove_reference_t<decltype(weights)>::value_type;
        weights.assign(static_cast<std::size_t>(groups * n_in_ * 4), 0);
        for (std::int64_t k = 0; k < n_in_; ++k) {
            for (std::int64_t o = 0; o < n_out_; ++o) {
                weights[static_cast<std::size_t>((o / 4 * n_in_ + k) * 4 + o % 4)] =
                    static_cast<W>(matrix.at(k, o));
            }
        }
    };
    if (lane_ == Lane::i16) {
        pack(w16_);
    } else if (lane_ == Lane::i32) {
        pack(w32_);
    } else {
        pack(w64_);
    }
}

std::size_t Contraction::scratch() const {
    const std::int64_t sums = kind_ == Kind::sums ? n_out_ : 4;
    return static_cast<std::size_t>((n_in_ + 1 + sums) * block) * bits::lane_bytes(lane_);
}

template <class F>
void Contraction::by_four(std::byte* outputs, std::byte* scratch, F sums) const {
    for (std::int64_t o = 0; o < n_out_; o += 4) {
        const std::int64_t count = std::min<std::int64_t>(4, n_out_ - o);
        std::byte* to = outputs + static_cast<std::size_t>(o) * out_size_;
        const bool direct = out_ == lane_ && count == 4;
        sums(o, direct ? to : scratch);
        if (!direct) {
            convert(scratch, lane_, to, out_, count * block);
        }
    }
}

void Contraction::widen(const std::byte* memory, const std::uint32_t* lines, std::byte* to) const {
    for (std::int64_t k = 0; k < n_in_; ++k, to += lane_size_) {
        convert(memory + lines[k] * line_bytes, in_, to, lane_, block);
    }
}

void Contraction::run(const std::byte* memory, const std::uint32_t* lines, std::byte* outputs,
                      std::byte* scratch) const {
    if (kind_ == Kind::sums) {
        const bool direct = out_ == Lane::i16;
        auto* sums = reinterpret_cast<std::int16_t*>(direct ? outputs : scratch);
        std::memset(sums, 0, static_cast<std::size_t>(n_out_ * block) * sizeof *sums);
        add_runs(memory, lines, runs_.data(), runs_.data() + runs_.size(), sums);
        if (!direct) {
            convert(scratch, Lane::i16, outputs, out_, n_out_ * block);
        }
        return;
    }
    if (kind_ == Kind::pairs) {
        return run_pairs(memory, lines, outputs, scratch);
    }
    switch (lane_) {
        case Lane::i16:
            return run_plain(memory, lines, outputs, scratch, w16_);
        case Lane::i32:
            return run_plain(memory, lines, outputs, scratch, w32_);
        case Lane::i64:
            return run_plain(memory, lines, outputs, scratch, w64_);
        default:
            return run_wide(memory, lines, outputs, scratch);
    }
}

void Contraction::run_pairs(const std::byte* memory, const std::uint32_t* lines, std::byte* outputs,
                            std::byte* scratch) const {
    auto* pairs = reinterpret_cast<std::int16_t*>(scratch);
    (in_ == Lane::i8 ? pair_bytes : pair_shorts)(memory, lines, n_in_, pairs);
    const std::int64_t length = (n_in_ + 1) / 2;
    by_four(outputs, scratch + static_cast<std::size_t>(length) * lane_size_,
            [&](std::int64_t o, std::byte* sums) {
                contract4_pairs(pairs, w16_.data() + o / 4 * length * 8, length,
                                reinterpret_cast<std::int32_t*>(sums));
            });
}

template <class T>
void Contraction::run_plain(const std::byte* memory, const std::uint32_t* lines, std::byte* outputs,
                            std::byte* scratch, const std::vector<T>& weights) const {
    std::byte* const sums = scratch + static_cast<std::size_t>(n_in_) * lane_size_;
    if (in_ != lane_) {
        widen(memory, lines, scratch);
        memory = scratch;
        lines = widened_.data();
    }
    by_four(outputs, sums, [&](std::int64_t o, std::byte* to) {
        contract4(memory, lines, weights.data() + o * n_in_, n_in_, reinterpret_cast<T*>(to));
    });
}

/// Sums beyond 64 bits, plainly.
void Contraction::run_wide(const std::byte* memory, const std::uint32_t* lines, std::byte* outputs,
                           std::byte* scratch) const {
    auto* x = reinterpret_cast<Int128*>(scratch);
    auto* sum = x + n_in_ * block;
    widen(memory, lines, scratch);
    for (std::int64_t o = 0; o < n_out_; ++o) {
        std::fill(sum, sum + block, Int128{0});
        for (std::int64_t k = 0; k < n_in_; ++k) {
            const Int128 w = w64_[static_cast<std::size_t>((o / 4 * n_in_ + k) * 4 + o % 4)];
            for (std::int64_t s = 0; s < block; ++s) {
                sum[s] += w * x[k * block + s];
            }
        }
        convert(reinterpret_cast<const std::byte*>(sum), Lane::i128,
                outputs + static_cast<std::size_t>(o) * out_size_, out_, block);
    }
}

}  // namespace gatewright::emulate
