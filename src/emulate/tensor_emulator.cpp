#include "emulate/tensor_emulator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>

#include "base/threads.h"
#include "emulate/tensor_program.h"

namespace gatewright::emulate {

namespace {

using bits::Lane;
using network::NodeId;
using network::Value;

constexpr std::int64_t block = static_cast<std::int64_t>(bits::Evaluator::block);

std::byte* bytes_of(std::vector<std::int64_t>& integers) {
    return reinterpret_cast<std::byte*>(integers.data());
}

/// The integers of an output, element by element.
void fetch(const TensorProgram& program, std::size_t output, TensorProgram::Working& working,
           std::vector<std::int64_t>& integers) {
    const Placed& placed = program.placed(program.model().network.outputs()[output].value);
    integers.resize(placed.lines.size() * bits::Evaluator::block);
    program.fetch(placed, working, Lane::i64, bytes_of(integers));
}

}  // namespace

TensorEmulator::TensorEmulator(const operators::CoreModel& model) : model_(model) {
    if (SampleEmulator::is_better_for(model)) {
        sample_ = std::make_unique<SampleEmulator>(model);
    } else {
        program_ = std::make_unique<TensorProgram>(model, false);
    }
}
TensorEmulator::~TensorEmulator() = default;

TensorEmulator::Result TensorEmulator::run_samples(
    const Samples& samples, int threads, const std::function<void(std::int64_t)>& progress) const {
    std::vector<Encoder> encoders;
    std::vector<Decoder> decoders;
    for (std::size_t i = 0; i < model_.encodings.size(); ++i) {
        encoders.emplace_back(model_, i);
    }
    Result result;
    for (std::size_t i = 0; i < model_.decodings.size(); ++i) {
        const Decoder& decoder = decoders.emplace_back(model_, i);
        result.shapes.push_back(decoder.shape());
        result.values.emplace_back(
            static_cast<std::size_t>(samples.count * element_count(decoder.shape())));
    }
    std::mutex mutex;
    std::int64_t done = 0;
    in_threads(samples.count, threads, [&](std::int64_t s) {
        std::vector<std::vector<std::int64_t>> inputs;
        Encoder::Scratch scratch;
        for (const Encoder& encoder : encoders) {
            auto& port = inputs.emplace_back(static_cast<std::size_t>(encoder.elements()));
            encoder.encode(samples, s, 1, port.data(), 1, scratch);
        }
        const auto outputs = sample_->run(inputs);
        for (std::size_t o = 0; o < decoders.size(); ++o) {
            decoders[o].decode(outputs[o].data(), 1, 1,
                               result.values[o].data() + s * element_count(decoders[o].shape()));
        }
        if (progress) {
            const std::lock_guard lock(mutex);
            progress(++done);
        }
    });
    return result;
}

TensorEmulator::Result TensorEmulator::run(
    const Samples& samples, int threads, const std::function<void(std::int64_t)>& progress) const {
    if (sample_ != nullptr) {
        return run_samples(samples, threads, progress);
    }
    const TensorProgram& program = *program_;
    Result result;
    for (const Decoder& decoder : program.decoders()) {
        result.shapes.push_back(decoder.shape());
        result.values.emplace_back(
            static_cast<std::size_t>(samples.count * element_count(decoder.shape())));
    }
    const std::int64_t blocks = (samples.count + block - 1) / block;
    std::mutex mutex;
    std::int64_t done = 0;
    // Each thread keeps its working memory from block to block.
    std::vector<std::unique_ptr<TensorProgram::Working>> idle;
    in_threads(blocks, threads, [&](std::int64_t b) {
        std::unique_ptr<TensorProgram::Working> working;
        {
            const std::lock_guard lock(mutex);
            if (!idle.empty()) {
                working = std::move(idle.back());
                idle.pop_back();
            }
        }
        if (working == nullptr) {
            working = std::make_unique<TensorProgram::Working>(program.working());
        }
        std::vector<std::int64_t> integers;
        const std::int64_t first = b * block;
        const std::int64_t count = std::min(block, samples.count - first);
        program.load(samples, first, count, *working);
        program.run(*working);
        for (std::size_t o = 0; o < result.values.size(); ++o) {
            const Decoder& decoder = program.decoders()[o];
            fetch(program, o, *working, integers);
            decoder.decode(integers.data(), block, count,
                           result.values[o].data() + first * element_count(decoder.shape()));
        }
        const std::lock_guard lock(mutex);
        idle.push_back(std::move(working));
        done += count;
        if (progress) {
            progress(done);
        }
    });
    return result;
}

std::vector<std::vector<std::int64_t>> TensorEmulator::run_integers(
    const std::vector<std::vector<std::int64_t>>& inputs, std::int64_t samples) const {
    if (sample_ != nullptr) {
        std::vector<std::vector<std::int64_t>> results(model_.network.outputs().size());
        for (std::int64_t s = 0; s < samples; ++s) {
            std::vector<std::vector<std::int64_t>> own;
            for (const auto& port : inputs) {
                auto& numbers = own.emplace_back();
                for (auto e = static_cast<std::size_t>(s); e < port.size();
                     e += static_cast<std::size_t>(samples)) {
                    numbers.push_back(port[e]);
                }
            }
            const auto outputs = sample_->run(own);
            for (std::size_t o = 0; o < outputs.size(); ++o) {
                results[o].resize(outputs[o].size() * static_cast<std::size_t>(samples));
                for (std::size_t e = 0; e < outputs[o].size(); ++e) {
                    results[o][e * static_cast<std::size_t>(samples) +
                               static_cast<std::size_t>(s)] = outputs[o][e];
                }
            }
        }
        return results;
    }
    const TensorProgram& program = *program_;
    const network::Network& network = program.model().network;
    std::vector<std::vector<std::int64_t>> results;
    for (const auto& output : network.outputs()) {
        results.emplace_back(
            static_cast<std::size_t>(element_count(network.type(output.value).shape) * samples));
    }
    TensorProgram::Working working = program.working();
    std::vector<std::int64_t> integers;
    for (std::int64_t first = 0; first < samples; first += block) {
        const std::int64_t count = std::min(block, samples - first);
        for (std::size_t p = 0; p < inputs.size(); ++p) {
            const auto elements = static_cast<std::int64_t>(inputs[p].size()) / samples;
            integers.assign(static_cast<std::size_t>(elements * block), 0);
            for (std::int64_t e = 0; e < elements; ++e) {
                std::copy_n(inputs[p].data() + e * samples + first, count,
                            integers.data() + e * block);
            }
            program.store(p, integers, working);
        }
        program.run(working);
        for (std::size_t o = 0; o < results.size(); ++o) {
            fetch(program, o, working, integers);
            const auto elements = static_cast<std::int64_t>(results[o].size()) / samples;
            for (std::int64_t e = 0; e < elements; ++e) {
                std::copy_n(integers.data() + e * block, count,
                            results[o].data() + e * samples + first);
            }
        }
    }
    return results;
}

std::vector<TensorEmulator::Trace> TensorEmulator::trace(const Samples& samples) const {
    const TensorProgram program(model_, true);
    const network::Network& network = model_.network;
    std::vector<Trace> traces;
    std::map<std::string, int> used;
    std::vector<Value> values;
    for (NodeId id = 0; id < network.nodes().size(); ++id) {
        const network::Node& node = network.node(id);
        for (std::uint32_t i = 0; i < node.types.size(); ++i) {
            const std::string base = fmt::format("{}.{}", node.where.layer, node.op->name);
            const int again = used[base]++;
            traces.push_back(
                {again == 0 ? base : fmt::format("{}.{}", base, again), node.types[i].shape, {}});
            traces.back().values.resize(
                static_cast<std::size_t>(samples.count * element_count(node.types[i].shape)));
            values.push_back({id, i});
        }
    }
    TensorProgram::Working working = program.working();
    std::vector<Int128> wide;  // inner tensors may need more than 64 bits
    for (std::int64_t first = 0; first < samples.count; first += block) {
        const std::int64_t count = std::min(block, samples.count - first);
        program.load(samples, first, count, working);
        program.run(working);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const Placed& placed = program.placed(values[i]);
            const network::TensorType& type = network.type(values[i]);
            const auto elements = static_cast<std::int64_t>(placed.lines.size());
            wide.resize(static_cast<std::size_t>(elements * block));
            program.fetch(placed, working, Lane::i128, reinterpret_cast<std::byte*>(wide.data()));
            for (std::int64_t e = 0; e < elements; ++e) {
                const int frac = type.fixed->at(e).type.frac;
                for (std::int64_t s = 0; s < count; ++s) {
                    traces[i].values[static_cast<std::size_t>((first + s) * elements + e)] =
                        std::ldexp(
                            static_cast<double>(wide[static_cast<std::size_t>(e * block + s)]),
                            -frac);
                }
            }
        }
    }
    return traces;
}

}  // namespace gatewright::emulate
