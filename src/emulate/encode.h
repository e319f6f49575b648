#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "emulate/encode_kernels.h"
#include "emulate/samples.h"

/// From a user's arrays to the integers of a core model's inputs. Emulation and simulation share
/// this.
namespace gatewright::emulate {

/// Encodes one port of the network for a range of samples.
class Encoder {
  public:
    /// The working memory of one thread.
    struct Scratch {
        std::vector<std::byte> elements;  ///< of a file
        std::vector<double> row;
    };

    Encoder(const operators::CoreModel& model, std::size_t port);

    /// Integers of element e and sample s at out[e * stride + s], for `count` samples from `first`.
    /// `Integer` (std::int8_t to std::int64_t) must hold the port's range.
    /// Throws Failure(array_mismatch) on numbers that are not finite.
    template <class Integer>
    void encode(const Samples& samples, std::int64_t first, std::int64_t count, Integer* out,
                std::int64_t stride, Scratch& scratch) const;
    template <class Integer>
    void encode(const Samples& samples, std::int64_t first, std::int64_t count, Integer* out,
                std::int64_t stride) const {
        Scratch scratch;
        encode(samples, first, count, out, stride, scratch);
    }

    std::int64_t elements() const { return elements_; }
    std::size_t source() const { return source_; }

  private:
    /// The chain of an element as round(a x + b), clamped or wrapped into [low, high], less the
    /// zero point.
    struct Line {
        bool is_line = false;  ///< else only the exact path knows it
        bool exact = false;    ///< a x + b has no rounding error in a double
        double a = 0;
        double b = 0;
        double low = 0;
        double high = 0;
        double zero_point = 0;
    };
    /// The lines as arrays for encode_rows; empty if not all elements are fit for it.
    template <class Real>
    struct Rows {
        std::vector<Real> a, b, low, high, margin;
        std::vector<std::int32_t> base, mask, zero_point;

        /// `reach`: how far a wrapping element's levels may go.
        void add(const Line& line, double unsure, double reach);
        EncodeLines<Real> at(std::size_t element) const;
    };

    Line line_of(std::int64_t element) const;
    void prepare_rows();
    void prepare_thresholds();
    const Line& line(std::int64_t element) const {
        return lines_[uniform_ ? 0 : static_cast<std::size_t>(element)];
    }
    std::int64_t origin(std::int64_t element) const {
        return encoding_.index.empty() ? element
                                       : encoding_.index[static_cast<std::size_t>(element)];
    }
    /// The integer of one number.
    std::int64_t integer(double x, std::int64_t element, std::int64_t sample) const;
    std::int64_t slow(double x, std::int64_t element) const;
    template <class Integer, class Element>
    void encode_group(const Element* x, std::int64_t pitch, std::int64_t first, std::int64_t count,
                      Integer* out, std::int64_t stride, Scratch& scratch) const;
    /// A tile of encode_group; bits of the result as in encode_rows.
    template <class Element>
    std::uint64_t encode_tile(const Element* x, std::int64_t pitch, std::int64_t count,
                              std::int64_t element, std::int64_t width, std::int32_t* out,
                              Scratch& scratch) const;

    const operators::Encoding& encoding_;
    std::size_t source_ = 0;
    std::int64_t elements_ = 0;
    bool uniform_ = false;  ///< all elements have the same line, which is kept once
    bool wraps_ = false;
    std::vector<Line> lines_;
    RowRounding rounding_ = RowRounding::nearest;
    Rows<float> narrow_;
    Rows<double> wide_;
    /// Level `base_` + n is reached from the n-th (counted from one) on; if uniform, and few.
    std::optional<std::vector<float>> thresholds_;
    std::int32_t base_ = 0;
};

}  // namespace gatewright::emulate
