// libFuzzer target of the reader of JSON: any bytes give a value or a Failure, never a crash, and a
// value written again is read as the same value.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/diagnostics.h"
#include "import/store/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using gatewright::store::parse_json;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    nlohmann::ordered_json value;
    try {
        value = parse_json(text, "fuzz.json");
    } catch (const gatewright::Failure&) {
        return 0;
    }
    // Numbers that JSON does not have are written as null, so the first copy may differ.
    const std::string copy = value.dump();
    if (parse_json(copy, "copy.json").dump() != copy) {
        std::abort();
    }
    return 0;
}
