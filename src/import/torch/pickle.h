#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "import/layers/options.h"

/// Reads Python pickles without running anything. What a pickle would call becomes a value that
/// names the callable and holds its arguments; whoever reads the values knows what a few such
/// names mean. Names beyond a fixed table are refused.
namespace gatewright::torch {

using PickleRef = std::uint32_t;  ///< index into Pickle::values

struct PickleValue {
    enum class Kind {
        none,
        boolean,
        integer,
        real,
        text,
        bytes,
        list,  ///< list or set
        tuple,
        dict,        ///< items: key, value, key, value, ...
        global,      ///< text: "module.name"
        call,        ///< text: what would be called; items: its arguments
        object,      ///< text: its class; items: arguments of the constructor
        persistent,  ///< items: the one value that identifies what lies outside the pickle
    };
    Kind kind = Kind::none;
    std::int64_t integer = 0;  ///< booleans: 0 or 1
    double real = 0;
    std::string text;
    std::vector<PickleRef> items;
    bool has_state = false;
    PickleRef state = 0;  ///< objects and calls: what BUILD would set
};

struct Pickle {
    std::vector<PickleValue> values;
    PickleRef root = 0;
    std::size_t size = 0;  ///< bytes up to and with its end

    const PickleValue& at(PickleRef ref) const { return values[ref]; }
    /// The value of a key of a dict, or null.
    const PickleValue* find(const PickleValue& dict, std::string_view key) const;
};

/// Reads the pickle that the bytes begin with. Values may refer to each other in circles, so what
/// walks them needs a bound on depth. `file` is named in errors. Throws Failure: store_malformed,
/// or code_refused for a name that is not known to be harmless; classes with rules of the user's
/// own are.
Pickle read_pickle(std::span<const std::byte> bytes, const std::string& file,
                   const layers::ImportOptions& options = {});

}  // namespace gatewright::torch
