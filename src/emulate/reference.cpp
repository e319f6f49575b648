#include "emulate/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "emulate/float_engine.h"
#include "emulate/float_kernels.h"

namespace gatewright::emulate {

std::vector<std::vector<Tensor>> reference_values(const network::Network& layers,
                                                  const std::vector<Tensor>& inputs) {
    std::vector<std::vector<Tensor>> values(layers.nodes().size());
    std::size_t next = 0;
    std::vector<const Tensor*> arguments;
    for (network::NodeId id = 0; id < layers.nodes().size(); ++id) {
        const network::Node& node = layers.node(id);
        if (node.op == &network::input_operator) {
            values[id] = {inputs[next++]};
            continue;
        }
        if (node.op->reference == nullptr) {
            throw Failure(Code::not_in_circuit, node.where,
                          fmt::format("operator {} has no float reference", node.op->name));
        }
        arguments.clear();
        for (const network::Value value : node.inputs) {
            arguments.push_back(&values[value.node][value.output]);
        }
        values[id] = node.op->reference(node, arguments);
    }
    return values;
}

namespace {

/// rows[e * lanes + lane] = x[lane * elements + e]; behind the last sample, copies of it.
template <typename Element>
void spread(const Element* x, std::int64_t elements, std::int64_t count, std::int64_t lanes,
            double* rows) {
    std::int64_t lane = 0;
    for (; lane + 8 <= count; lane += 8) {
        if constexpr (std::is_same_v<Element, float>) {
            float_form().spread_float(x + lane * elements, elements, lanes, rows + lane);
        } else {
            float_form().spread_double(x + lane * elements, elements, lanes, rows + lane);
        }
    }
    for (; lane < lanes; ++lane) {
        const Element* sample = x + std::min(lane, count - 1) * elements;
        for (std::int64_t e = 0; e < elements; ++e) {
            rows[e * lanes + lane] = static_cast<double>(sample[e]);
        }
    }
}

/// Samples [first, first + lanes) of an array as rows.
void load_rows(const ArraySource& array, std::int64_t elements, std::int64_t first,
               std::int64_t count, std::int64_t lanes, double* rows) {
    if (array.dtype() == DType::float32) {
        std::vector<std::byte> buffer;
        const std::byte* bytes = array.read(first * elements, count * elements, buffer);
        if (reinterpret_cast<std::uintptr_t>(bytes) % alignof(float) == 0) {
            spread(reinterpret_cast<const float*>(bytes), elements, count, lanes, rows);
            return;
        }
    }
    const NpyArray part = array.part(first * elements, count * elements, {count, elements});
    spread(to_doubles(part).value().data(), elements, count, lanes, rows);
}

}  // namespace

ReferenceResult run_reference(const network::Network& layers, const Samples& samples,
                              const std::function<void(std::int64_t)>& progress) {
    ReferenceResult result;
    std::vector<std::int64_t> counts;
    for (const network::NetworkOutput& output : layers.outputs()) {
        result.shapes.push_back(layers.type(output.value).shape);
        counts.push_back(element_count(result.shapes.back()));
        result.values.emplace_back(static_cast<std::size_t>(counts.back() * samples.count));
    }
    if (samples.count == 0) {
        return result;
    }
    FloatEngine engine(layers);
    const auto ids = layers.inputs();
    const std::int64_t lanes = engine.lanes();
    for (std::int64_t first = 0; first < samples.count; first += lanes) {
        const std::int64_t count = std::min(lanes, samples.count - first);
        engine.run(
            [&](std::size_t i, double* rows) {
                const Shape& shape = layers.node(ids[i]).types.front().shape;
                load_rows(samples.inputs[i], element_count(shape), first, count, lanes, rows);
            },
            [&](std::size_t o, const double* rows) {
                float* y = result.values[o].data() + first * counts[o];
                for (std::int64_t lane = 0; lane < count; ++lane) {
                    for (std::int64_t e = 0; e < counts[o]; ++e) {
                        *y++ = static_cast<float>(rows[e * lanes + lane]);
                    }
                }
            });
        if (progress) {
            progress(first + count);
        }
    }
    return result;
}

}  // namespace gatewright::emulate
