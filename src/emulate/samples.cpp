#include "emulate/samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace gatewright::emulate {

namespace {

[[noreturn]] void refuse_array(const std::string& file, const std::string& input,
                               const std::string& message, const std::string& remedy = {}) {
    throw Failure(Code::array_mismatch, {file, input, "input", ""}, message, remedy);
}

}  // namespace

Samples match_sources(const std::vector<operators::ModelInput>& inputs, bool batched,
                      const NamedSources& arrays, const std::string& file) {
    Samples out;
    const auto find = [&](const std::string& name) -> const ArraySource* {
        for (const auto& [known, array] : arrays) {
            if (known == name) {
                return &array;
            }
        }
        return nullptr;
    };
    std::string names;
    for (const auto& [name, array] : arrays) {
        names += (names.empty() ? "" : ", ") + name;
    }
    const auto numbered = [](std::size_t i) { return fmt::format("x{}", i); };
    // An input may be called as another one's number is: all by their numbers, unless all names
    // are there.
    bool named = true;
    bool counted = true;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        named = named && find(inputs[i].name) != nullptr;
        counted = counted && find(numbered(i)) != nullptr;
    }
    std::set<const ArraySource*> used;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        const operators::ModelInput& input = inputs[i];
        const ArraySource* array = counted && !named ? nullptr : find(input.name);
        array = array == nullptr && inputs.size() == 1 ? find("x") : array;
        array = array == nullptr ? find(numbered(i)) : array;
        if (array == nullptr || !used.insert(array).second) {
            refuse_array(file, input.name, fmt::format("no array for it among: {}", names),
                         fmt::format("Name the array '{}', or x{}.", input.name,
                                     inputs.size() == 1 ? "" : std::to_string(i)));
        }
        Shape expected = input.shape;
        const bool bare = array->shape() == input.shape;
        std::int64_t count = 1;
        const bool with_samples =
            array->shape().size() == input.shape.size() + 1 &&
            std::equal(input.shape.begin(), input.shape.end(), array->shape().begin() + 1);
        if (with_samples) {
            count = array->shape()[0];
        } else if (!bare || batched) {
            refuse_array(file, input.name,
                         fmt::format("the array has shape {}, not {}", to_string(array->shape()),
                                     "[samples" + (input.shape.empty()
                                                       ? std::string("]")
                                                       : ", " + to_string(input.shape).substr(1))));
        }
        const bool axis = with_samples;
        if (i > 0 && (count != out.count || axis != out.has_batch_axis)) {
            refuse_array(file, input.name,
                         fmt::format("it has {} samples, the first input {}", count, out.count));
        }
        out.count = count;
        out.has_batch_axis = axis;
        ArraySource taken = *array;
        if (taken.dtype() == DType::float16 || taken.dtype() == DType::int64 ||
            taken.dtype() == DType::uint64) {
            const auto values = to_doubles(taken.whole());
            if (!values) {
                refuse_array(file, input.name, "an integer of the array is beyond 2^53",
                             "Store the array as float64 or as 32-bit integers.");
            }
            taken = NpyArray::of(taken.shape(), *values);
        }
        out.inputs.push_back(std::move(taken));
    }
    return out;
}

Samples match_sources(const operators::CoreModel& model, const NamedSources& arrays,
                      const std::string& file) {
    return match_sources(model.model_inputs, model.batch == "free", arrays, file);
}

Samples match_arrays(const std::vector<operators::ModelInput>& inputs, bool batched,
                     NamedArrays arrays, const std::string& file) {
    return match_sources(inputs, batched, sources(std::move(arrays)), file);
}

Samples match_arrays(const operators::CoreModel& model, NamedArrays arrays,
                     const std::string& file) {
    return match_sources(model, sources(std::move(arrays)), file);
}

}  // namespace gatewright::emulate
