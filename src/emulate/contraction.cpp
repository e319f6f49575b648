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

void Contraction::run(const std::byte* inputs, std::byte* outputs, std::byte* scratch) const {
    if (kind_ == Kind::sums) {
        const bool direct = out_ == Lane::i16;
        auto* sums = reinterpret_cast<std::int16_t*>(direct ? outputs : scratch);
        std::memset(sums, 0, static_cast<std::size_t>(n_out_ * block) * sizeof *sums);
        add_runs(reinterpret_cast<const std::int8_t*>(inputs), runs_.data(),
                 runs_.data() + runs_.size(), sums);
        if (!direct) {
            convert(scratch, Lane::i16, outputs, out_, n_out_ * block);
        }
        return;
    }
    if (kind_ == Kind::pairs) {
        auto* pairs = reinterpret_cast<std::int16_t*>(scratch);
        if (in_ == Lane::i8) {
            pair_rows(reinterpret_cast<const std::int8_t*>(inputs), n_in_, pairs);
        } else {
            pair_rows(reinterpret_cast<const std::int16_t*>(inputs), n_in_, pairs);
        }
        const std::int64_t length = (n_in_ + 1) / 2;
        auto* sums = reinterpret_cast<std::int32_t*>(pairs + length * 2 * block);
        for (std::int64_t o = 0; o < n_out_; o += 4) {
            contract4_pairs(pairs, w16_.data() + o / 4 * length * 8, length, sums);
            convert(reinterpret_cast<const std::byte*>(sums), lane_,
                    outputs + static_cast<std::size_t>(o * block) * bits::lane_bytes(out_), out_,
                    std::min<std::int64_t>(4, n_out_ - o) * block);
        }
        return;
    }
    switch (lane_) {
        case Lane::i16:
            return run_plain(inputs, outputs, scratch, w16_);
        case Lane::i32:
            return run_plain(inputs, outputs, scratch, w32_);
        case Lane::i64:
            return run_plain(inputs, outputs, scratch, w64_);
        default:
            return run_wide(inputs, outputs, scratch);
    }
}

template <class T>
void Contraction::run_plain(const std::byte* inputs, std::byte* outputs, std::byte* scratch,
                            const std::vector<T>& weights) const {
    T* const widened = reinterpret_cast<T*>(scratch);
    const T* x = reinterpret_cast<const T*>(inputs);
    if (in_ != lane_) {
        convert(inputs, in_, scratch, lane_, n_in_ * block);
        x = widened;
    }
    T* const sums = widened + n_in_ * block;
    for (std::int64_t o = 0; o < n_out_; o += 4) {
        contract4(x, weights.data() + o * n_in_, n_in_, sums);
        convert(reinterpret_cast<const std::byte*>(sums), lane_,
                outputs + static_cast<std::size_t>(o * block) * bits::lane_bytes(out_), out_,
                std::min<std::int64_t>(4, n_out_ - o) * block);
    }
}

/// Sums beyond 64 bits, plainly.
void Contraction::run_wide(const std::byte* inputs, std::byte* outputs, std::byte* scratch) const {
    auto* x = reinterpret_cast<Int128*>(scratch);
    auto* sum = x + n_in_ * block;
    convert(inputs, in_, scratch, Lane::i128, n_in_ * block);
    for (std::int64_t o = 0; o < n_out_; ++o) {
        std::fill(sum, sum + block, Int128{0});
        for (std::int64_t k = 0; k < n_in_; ++k) {
            const Int128 w = w64_[static_cast<std::size_t>((o / 4 * n_in_ + k) * 4 + o % 4)];
            for (std::int64_t s = 0; s < block; ++s) {
                sum[s] += w * x[k * block + s];
            }
        }
        convert(reinterpret_cast<const std::byte*>(sum), Lane::i128,
                outputs + static_cast<std::size_t>(o * block) * bits::lane_bytes(out_), out_,
                block);
    }
}

}  // namespace gatewright::emulate
