#pragma once

#include <cstddef>
#include <cstdint>

/// The inner loops of Evaluator: one instruction is one operation on a block of 64 samples.
namespace gatewright::bits {

/// KERNEL(name): an operation on lanes of one width.
#define BITS_KERNELS(KERNEL)                                                    \
    KERNEL(add)          /* a + b */                                            \
    KERNEL(sub)          /* a - b */                                            \
    KERNEL(add_shifted)  /* a + (b << shift) */                                 \
    KERNEL(sub_shifted)  /* a - (b << shift) */                                 \
    KERNEL(shifted_sub)  /* (a << shift) - b */                                 \
    KERNEL(mul)          /* a * b */                                            \
    KERNEL(shl)          /* a << shift */                                       \
    KERNEL(shr)          /* a >> shift, keeping the sign */                     \
    KERNEL(bit_and)      /* a & b */                                            \
    KERNEL(bit_or)       /* a | b */                                            \
    KERNEL(bit_xor)      /* a ^ b */                                            \
    KERNEL(bit_not)      /* ~a */                                               \
    KERNEL(equal)        /* a == b */                                           \
    KERNEL(less)         /* a < b */                                            \
    KERNEL(mux)          /* a ? b : c */                                        \
    KERNEL(select_equal) /* a == b ? c : e */                                   \
    KERNEL(select_less)  /* a < b ? c : e */                                    \
    KERNEL(wrap)         /* the low `shift` bits of a, signed if `is_signed` */ \
    KERNEL(read)         /* word a (i32 lanes, `shift` bits) of the table at b */

enum class Kernel : std::uint8_t {
#define KERNEL(name) name,
    BITS_KERNELS(KERNEL)
#undef KERNEL
        convert,  ///< a, in lane `from`
    load,         ///< input port a, in lane `from`
    store,        ///< a, in lane `from`, to output port d in lane `lane`
};

inline constexpr int lane_count = 5;

/// Where a block lies: in lines of 64 bytes, counted from the scratch memory or, with the highest
/// bit, from the constants.
using BlockRef = std::uint32_t;
inline constexpr BlockRef in_constants = BlockRef{1} << 31;

struct Instruction {
    std::uint16_t code = 0;  ///< code_of(kernel, lane) or code_of(kernel, from, to)
    std::uint8_t shift = 0;
    bool is_signed = false;
    BlockRef d = 0;
    BlockRef a = 0;
    BlockRef b = 0;
    BlockRef c = 0;
    BlockRef e = 0;
};

/// `lane`, `from`, `to`: 0 to 4 for i8 to i128.
constexpr int code_of(Kernel kernel, int lane) {
    return static_cast<int>(kernel) * 5 + lane;
}
constexpr int code_of(Kernel kernel, int from, int to) {
    constexpr int base = static_cast<int>(Kernel::convert) * 5;
    return base + (static_cast<int>(kernel) - static_cast<int>(Kernel::convert)) * 25 + from * 5 +
           to;
}

struct alignas(64) Line {
    std::byte bytes[64];
};

/// Runs the instructions in order. Blocks that an instruction writes and reads do not overlap.
void execute(const Instruction* first, const Instruction* last, const Line* constants,
             const Line* tables, Line* scratch, const void* const* inputs, void* const* outputs);

}  // namespace gatewright::bits
