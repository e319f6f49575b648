#include "bits/kernels.h"

#include <type_traits>

#include "base/int128.h"

// Plain loops of a fixed trip count: the compiler turns each into a few vector instructions. The
// whole interpreter is compiled once for each level of instruction sets and the loader picks one.
// (The sanitizers' start-up does not get on with that.)
#if defined(__x86_64__) && defined(__linux__) && !defined(GATEWRIGHT_SANITIZE)
#define BITS_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define BITS_CLONES
#endif
#if defined(__clang__)
#define BITS_LOOP for (int i = 0; i < block_size; ++i)
#else
#define BITS_LOOP _Pragma("GCC ivdep") for (int i = 0; i < block_size; ++i)
#endif
#define BITS_INLINE inline __attribute__((always_inline))

namespace gatewright::bits {

namespace {

constexpr int block_size = 64;

/// Unsigned arithmetic wide enough not to be promoted to int, so that nothing can overflow.
template <class T>
struct Unsigned {
    using type =
        std::conditional_t<sizeof(T) == 16, UInt128,
                           std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>>;
};
template <class T>
using Work = typename Unsigned<T>::type;

/// The operands of the instruction at hand.
struct Frame {
    const Instruction& in;
    const Line* constants;
    const Line* tables;
    Line* scratch;

    template <class T>
    BITS_INLINE const T* at(BlockRef ref) const {
        const Line* base = (ref & in_constants) != 0 ? constants : scratch;
        return reinterpret_cast<const T*>(base + (ref & ~in_constants));
    }
    template <class T>
    BITS_INLINE T* result() const {
        return reinterpret_cast<T*>(scratch + in.d);
    }
};

#define BITS_OPERANDS(T)                           \
    T* __restrict d = f.result<T>();               \
    const T* __restrict a = f.at<T>(f.in.a);       \
    [[maybe_unused]] const T* b = f.at<T>(f.in.b); \
    [[maybe_unused]] const Work<T> one = 1;        \
    [[maybe_unused]] const int shift = f.in.shift

#define BITS_ELEMENTWISE(name, expression)           \
    template <class T>                               \
    BITS_INLINE void kernel_##name(const Frame& f) { \
        BITS_OPERANDS(T);                            \
        using W [[maybe_unused]] = Work<T>;          \
        BITS_LOOP {                                  \
            d[i] = static_cast<T>(expression);       \
        }                                            \
    }

BITS_ELEMENTWISE(add, W(a[i]) + W(b[i]))
BITS_ELEMENTWISE(sub, W(a[i]) - W(b[i]))
BITS_ELEMENTWISE(add_shifted, W(a[i]) + (W(b[i]) << shift))
BITS_ELEMENTWISE(sub_shifted, W(a[i]) - (W(b[i]) << shift))
BITS_ELEMENTWISE(shifted_sub, (W(a[i]) << shift) - W(b[i]))
BITS_ELEMENTWISE(mul, W(a[i]) * W(b[i]))
BITS_ELEMENTWISE(shl, W(a[i]) << shift)
BITS_ELEMENTWISE(shr, a[i] >> shift)
BITS_ELEMENTWISE(bit_and, a[i] & b[i])
BITS_ELEMENTWISE(bit_or, a[i] | b[i])
BITS_ELEMENTWISE(bit_xor, a[i] ^ b[i])
BITS_ELEMENTWISE(bit_not, ~a[i])
BITS_ELEMENTWISE(equal, a[i] == b[i])
BITS_ELEMENTWISE(less, a[i] < b[i])

template <class T>
BITS_INLINE void kernel_mux(const Frame& f) {
    BITS_OPERANDS(T);
    const T* c = f.at<T>(f.in.c);
    BITS_LOOP {
        d[i] = a[i] != 0 ? b[i] : c[i];
    }
}

template <class T>
BITS_INLINE void kernel_select_equal(const Frame& f) {
    BITS_OPERANDS(T);
    const T* c = f.at<T>(f.in.c);
    const T* e = f.at<T>(f.in.e);
    BITS_LOOP {
        d[i] = a[i] == b[i] ? c[i] : e[i];
    }
}

template <class T>
BITS_INLINE void kernel_select_less(const Frame& f) {
    BITS_OPERANDS(T);
    const T* c = f.at<T>(f.in.c);
    const T* e = f.at<T>(f.in.e);
    BITS_LOOP {
        d[i] = a[i] < b[i] ? c[i] : e[i];
    }
}

/// ((a & mask) ^ sign) - sign extends the sign bit; with sign = 0 it only masks.
template <class T>
BITS_INLINE void kernel_wrap(const Frame& f) {
    BITS_OPERANDS(T);
    const Work<T> top = one << (shift - 1);
    const Work<T> mask = top | (top - 1);
    const Work<T> sign = f.in.is_signed ? top : 0;
    BITS_LOOP {
        d[i] = static_cast<T>(((static_cast<Work<T>>(a[i]) & mask) ^ sign) - sign);
    }
}

template <class T>
BITS_INLINE void kernel_read(const Frame& f) {
    T* __restrict d = f.result<T>();
    const auto* a = f.at<std::int32_t>(f.in.a);
    const T* table = reinterpret_cast<const T*>(f.tables + f.in.b);
    // The mask changes no legal address; it keeps an illegal one within the table.
    const std::uint32_t mask = (std::uint32_t{1} << f.in.shift) - 1;
    BITS_LOOP {
        d[i] = table[static_cast<std::uint32_t>(a[i]) & mask];
    }
}

template <class From, class To>
BITS_INLINE void convert(const void* from, void* to) {
    const From* __restrict a = static_cast<const From*>(from);
    To* __restrict d = static_cast<To*>(to);
    BITS_LOOP {
        d[i] = static_cast<To>(a[i]);
    }
}

}  // namespace

BITS_CLONES
void execute(const Instruction* first, const Instruction* last, const Line* constants,
             const Line* tables, Line* scratch, const void* const* inputs, void* const* outputs) {
    for (const Instruction* in = first; in != last; ++in) {
        const Frame f{*in, constants, tables, scratch};
        switch (in->code) {
#define BITS_CASE(name, lane, T)      \
    case code_of(Kernel::name, lane): \
        kernel_##name<T>(f);          \
        break;
#define KERNEL(name)                 \
    BITS_CASE(name, 0, std::int8_t)  \
    BITS_CASE(name, 1, std::int16_t) \
    BITS_CASE(name, 2, std::int32_t) \
    BITS_CASE(name, 3, std::int64_t) \
    BITS_CASE(name, 4, Int128)
            BITS_KERNELS(KERNEL)
#undef KERNEL
#define BITS_CONVERT(from, to, From, To)                      \
    case code_of(Kernel::convert, from, to):                  \
        convert<From, To>(f.at<From>(in->a), f.result<To>()); \
        break;                                                \
    case code_of(Kernel::load, from, to):                     \
        convert<From, To>(inputs[in->a], f.result<To>());     \
        break;                                                \
    case code_of(Kernel::store, from, to):                    \
        convert<From, To>(f.at<From>(in->a), outputs[in->d]); \
        break;
#define BITS_CONVERTS(from, From)             \
    BITS_CONVERT(from, 0, From, std::int8_t)  \
    BITS_CONVERT(from, 1, From, std::int16_t) \
    BITS_CONVERT(from, 2, From, std::int32_t) \
    BITS_CONVERT(from, 3, From, std::int64_t) \
    BITS_CONVERT(from, 4, From, Int128)
            BITS_CONVERTS(0, std::int8_t)
            BITS_CONVERTS(1, std::int16_t)
            BITS_CONVERTS(2, std::int32_t)
            BITS_CONVERTS(3, std::int64_t)
            BITS_CONVERTS(4, Int128)
            default:
                __builtin_unreachable();
        }
    }
}

}  // namespace gatewright::bits
