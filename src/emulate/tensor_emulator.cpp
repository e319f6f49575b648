#include "emulate/tensor_emulator.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "emulate/contraction.h"
#include "emulate/function_content.h"
#include "emulate/staircase.h"
#include "operators/core.h"

namespace gatewright::emulate {

namespace {

using bits::Lane;
using network::NodeId;
using network::Value;

constexpr std::int64_t block = static_cast<std::int64_t>(bits::Evaluator::block);

/// A tensor's place in the working memory: element e at offset + e * block lanes.
struct Buffer {
    Lane lane = Lane::i8;
    std::int64_t elements = 0;
    std::size_t offset = 0;  ///< bytes
};

struct Kernel {
    enum class Kind { map, row, move, contract };

    Kind kind = Kind::map;
    std::vector<Buffer> inputs;
    std::vector<Buffer> outputs;
    // map and row
    std::vector<bits::Evaluator> evaluators;
    std::vector<std::int32_t> body_of;
    std::vector<std::vector<std::int64_t>> index;  ///< map: element of each input
    std::vector<std::optional<Staircase>> stairs;  ///< map of one input: in the evaluator's place
    // move
    std::vector<network::Source> sources;
    // contract
    std::vector<Contraction> contractions;
};

}  // namespace

struct TensorEmulator::Program {
    const operators::CoreModel& model;
    std::vector<Kernel> kernels;
    std::map<Value, Buffer> buffers;
    std::size_t memory = 0;
    std::size_t scratch = 0;
    std::vector<Encoder> encoders;
    std::vector<Decoder> decoders;

    /// The working memory of one thread.
    struct Working {
        std::vector<std::byte> memory;
        std::vector<std::byte> scratch;
        bits::Evaluator::Scratch evaluator;
        Encoder::Scratch encoder;
    };

    explicit Program(const operators::CoreModel& core) : model(core) {
        for (NodeId id = 0; id < core.network.nodes().size(); ++id) {
            const network::Node& node = core.network.node(id);
            for (std::uint32_t i = 0; i < node.types.size(); ++i) {
                place({id, i}, node.types[i]);
            }
            if (node.op != &network::input_operator) {
                compile(id, node);
            }
        }
        for (std::size_t i = 0; i < core.encodings.size(); ++i) {
            encoders.emplace_back(core, i);
        }
        for (std::size_t i = 0; i < core.decodings.size(); ++i) {
            decoders.emplace_back(core, i);
        }
    }

    void place(Value value, const network::TensorType& type) {
        Buffer buffer;
        buffer.elements = element_count(type.shape);
        for (const network::Format& format : type.fixed->values()) {
            const Lane lane = bits::lane_for(
                {format.type.is_signed, static_cast<std::uint8_t>(format.type.width)});
            buffer.lane = std::max(buffer.lane, lane);
        }
        buffer.offset = memory;
        const std::size_t bytes =
            static_cast<std::size_t>(buffer.elements * block) * bits::lane_bytes(buffer.lane);
        memory += (bytes + 63) / 64 * 64;
        buffers[value] = buffer;
    }

    void compile(NodeId id, const network::Node& node) {
        Kernel kernel;
        std::vector<network::TensorType> types;
        for (const Value value : node.inputs) {
            kernel.inputs.push_back(buffers.at(value));
            types.push_back(model.network.type(value));
        }
        for (std::uint32_t i = 0; i < node.types.size(); ++i) {
            kernel.outputs.push_back(buffers.at({id, i}));
        }
        if (node.op->element != nullptr) {
            compile_map(kernel, node, types);
        } else if (node.op->row != nullptr) {
            compile_row(kernel, node, types);
        } else if (node.op->sources != nullptr) {
            kernel.kind = Kernel::Kind::move;
            kernel.sources = node.op->sources(node, types);
        } else {
            compile_contract(kernel, node, types);
        }
        kernels.push_back(std::move(kernel));
    }

    /// The numbers on which bodies may be evaluated to find their steps.
    std::int64_t budget = std::int64_t{1} << 20;

    void compile_map(Kernel& kernel, const network::Node& node,
                     const std::vector<network::TensorType>& types) {
        kernel.kind = Kernel::Kind::map;
        operators::Bodies bodies = operators::map_bodies(node, types);
        std::vector<Lane> lanes;
        for (const Buffer& buffer : kernel.inputs) {
            lanes.push_back(buffer.lane);
        }
        std::map<std::vector<std::int64_t>, std::int32_t> known;
        std::vector<std::int32_t> evaluator_of;
        for (const operators::Body& body : bodies.bodies) {
            const auto [at, is_new] = known.try_emplace(
                content_of(body.function), static_cast<std::int32_t>(kernel.evaluators.size()));
            if (is_new) {
                kernel.evaluators.emplace_back(body.function, lanes,
                                               std::vector<Lane>{kernel.outputs[0].lane});
            }
            evaluator_of.push_back(at->second);
        }
        for (const std::int32_t body : bodies.body_of) {
            kernel.body_of.push_back(evaluator_of[static_cast<std::size_t>(body)]);
        }
        for (const network::TensorType& type : types) {
            kernel.index.push_back(broadcast_index(type.shape, node.types.front().shape));
        }
        if (kernel.inputs.size() == 1) {
            find_stairs(kernel, types[0]);
        }
    }

    void find_stairs(Kernel& kernel, const network::TensorType& type) {
        std::vector<std::optional<Interval>> ranges(kernel.evaluators.size());
        for (std::size_t e = 0; e < kernel.body_of.size(); ++e) {
            auto& range = ranges[static_cast<std::size_t>(kernel.body_of[e])];
            const Interval& more = type.fixed->at(kernel.index[0][e]).range;
            range = range ? hull(*range, more) : more;
        }
        for (std::size_t i = 0; i < ranges.size(); ++i) {
            kernel.stairs.push_back(
                ranges[i] ? Staircase::of(kernel.evaluators[i], *ranges[i], budget) : std::nullopt);
        }
    }

    static void compile_row(Kernel& kernel, const network::Node& node,
                            const std::vector<network::TensorType>& types) {
        kernel.kind = Kernel::Kind::row;
        operators::Bodies bodies = operators::row_bodies(node, types);
        const std::int64_t length = types[0].shape.back();
        const std::int64_t rows = kernel.inputs[0].elements / length;
        std::vector<Lane> out;
        for (const Buffer& buffer : kernel.outputs) {
            out.insert(out.end(), static_cast<std::size_t>(buffer.elements / rows), buffer.lane);
        }
        const std::vector<Lane> in(static_cast<std::size_t>(length), kernel.inputs[0].lane);
        for (const operators::Body& body : bodies.bodies) {
            kernel.evaluators.emplace_back(body.function, in, out);
        }
        kernel.body_of = std::move(bodies.body_of);
    }

    void compile_contract(Kernel& kernel, const network::Node& node,
                          const std::vector<network::TensorType>& types) {
        kernel.kind = Kernel::Kind::contract;
        operators::ContractForms forms = operators::contract_forms(node, types[0]);
        kernel.body_of = std::move(forms.form_of);
        for (const operators::ContractForm& form : forms.forms) {
            const Contraction& contraction = kernel.contractions.emplace_back(
                form, kernel.inputs[0].lane, kernel.outputs[0].lane);
            scratch = std::max(scratch, contraction.scratch());
        }
    }

    Working working() const {
        Working out;
        out.memory.resize(memory + 64);
        out.scratch.resize(scratch + 64);
        return out;
    }

    static std::byte* aligned(std::vector<std::byte>& bytes) {
        auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
        address = (address + 63) / 64 * 64;
        return reinterpret_cast<std::byte*>(address);
    }

    static std::byte* at(std::byte* base, const Buffer& buffer, std::int64_t element) {
        return base + buffer.offset +
               static_cast<std::size_t>(element * block) * bits::lane_bytes(buffer.lane);
    }

    /// Runs all kernels on the block whose inputs lie in the buffers.
    void run_block(Working& working) const {
        std::byte* base = aligned(working.memory);
        std::vector<const void*> in;
        std::vector<void*> out;
        for (const Kernel& kernel : kernels) {
            switch (kernel.kind) {
                case Kernel::Kind::map:
                    run_map(kernel, base, working, in, out);
                    break;
                case Kernel::Kind::row:
                    run_row(kernel, base, working, in, out);
                    break;
                case Kernel::Kind::move:
                    for (std::size_t e = 0; e < kernel.sources.size(); ++e) {
                        run_copy(kernel, base, e);
                    }
                    break;
                case Kernel::Kind::contract:
                    run_contract(kernel, base, aligned(working.scratch));
                    break;
            }
        }
    }

    static void run_map(const Kernel& kernel, std::byte* base, Working& working,
                        std::vector<const void*>& in, std::vector<void*>& out) {
        in.resize(kernel.inputs.size());
        out.resize(1);
        const std::size_t count = kernel.body_of.size();
        for (std::size_t e = 0; e < count; ++e) {
            const auto body = static_cast<std::size_t>(kernel.body_of[e]);
            for (std::size_t i = 0; i < in.size(); ++i) {
                in[i] = at(base, kernel.inputs[i], kernel.index[i][e]);
            }
            std::byte* to = at(base, kernel.outputs[0], static_cast<std::int64_t>(e));
            if (!kernel.stairs.empty() && kernel.stairs[body]) {
                // Elements in a row that share the steps are one stretch of lanes.
                const std::vector<std::int64_t>& index = kernel.index[0];
                const std::size_t first = e;
                while (e + 1 < count && kernel.body_of[e + 1] == kernel.body_of[e] &&
                       index[e + 1] == index[e] + 1) {
                    ++e;
                }
                kernel.stairs[body]->run(static_cast<const std::byte*>(in[0]), to,
                                         static_cast<std::int64_t>(e + 1 - first) * block);
                continue;
            }
            out[0] = to;
            kernel.evaluators[body].run(in.data(), out.data(), working.evaluator);
        }
    }

    static void run_row(const Kernel& kernel, std::byte* base, Working& working,
                        std::vector<const void*>& in, std::vector<void*>& out) {
        const auto rows = static_cast<std::int64_t>(kernel.body_of.size());
        const std::int64_t length = kernel.inputs[0].elements / std::max<std::int64_t>(1, rows);
        for (std::int64_t r = 0; r < rows; ++r) {
            in.clear();
            out.clear();
            for (std::int64_t k = 0; k < length; ++k) {
                in.push_back(at(base, kernel.inputs[0], r * length + k));
            }
            for (const Buffer& buffer : kernel.outputs) {
                const std::int64_t part = buffer.elements / rows;
                for (std::int64_t i = 0; i < part; ++i) {
                    out.push_back(at(base, buffer, r * part + i));
                }
            }
            kernel.evaluators[static_cast<std::size_t>(kernel.body_of[static_cast<std::size_t>(r)])]
                .run(in.data(), out.data(), working.evaluator);
        }
    }

    static void run_copy(const Kernel& kernel, std::byte* base, std::size_t e) {
        const network::Source& source = kernel.sources[e];
        const Buffer& to = kernel.outputs[0];
        std::byte* q = at(base, to, static_cast<std::int64_t>(e));
        if (source.input < 0) {
            std::memset(q, 0, static_cast<std::size_t>(block) * bits::lane_bytes(to.lane));
            return;
        }
        const Buffer& from = kernel.inputs[static_cast<std::size_t>(source.input)];
        convert(at(base, from, source.element), from.lane, q, to.lane, block);
    }

    static void run_contract(const Kernel& kernel, std::byte* base, std::byte* scratch) {
        std::int64_t in_element = 0;
        std::int64_t out_element = 0;
        for (const std::int32_t form : kernel.body_of) {
            const Contraction& contraction = kernel.contractions[static_cast<std::size_t>(form)];
            contraction.run(at(base, kernel.inputs[0], in_element),
                            at(base, kernel.outputs[0], out_element), scratch);
            in_element += contraction.n_in();
            out_element += contraction.n_out();
        }
    }

    /// Encodes samples [first, first + count) into the input buffers; the rest of the block is
    /// zero.
    void load(const Samples& samples, std::int64_t first, std::int64_t count, Working& working,
              std::vector<std::int64_t>& integers) const {
        const auto inputs = model.network.inputs();
        for (std::size_t p = 0; p < inputs.size(); ++p) {
            const Buffer& buffer = buffers.at({inputs[p], 0});
            std::byte* to = at(aligned(working.memory), buffer, 0);
            if (count < block) {
                std::memset(to, 0,
                            static_cast<std::size_t>(buffer.elements * block) *
                                bits::lane_bytes(buffer.lane));
            }
            switch (buffer.lane) {
                case Lane::i8:
                    encoders[p].encode(samples, first, count, reinterpret_cast<std::int8_t*>(to),
                                       block, working.encoder);
                    break;
                case Lane::i16:
                    encoders[p].encode(samples, first, count, reinterpret_cast<std::int16_t*>(to),
                                       block, working.encoder);
                    break;
                case Lane::i32:
                    encoders[p].encode(samples, first, count, reinterpret_cast<std::int32_t*>(to),
                                       block, working.encoder);
                    break;
                default:
                    integers.assign(static_cast<std::size_t>(buffer.elements * block), 0);
                    encoders[p].encode(samples, first, count, integers.data(), block,
                                       working.encoder);
                    store(integers.data(), buffer, working);
            }
        }
    }

    void store(const std::int64_t* integers, const Buffer& buffer, Working& working) const {
        convert(reinterpret_cast<const std::byte*>(integers), Lane::i64,
                at(aligned(working.memory), buffer, 0), buffer.lane, buffer.elements * block);
    }

    void fetch(const Buffer& buffer, Working& working, std::vector<std::int64_t>& integers) const {
        integers.resize(static_cast<std::size_t>(buffer.elements * block));
        convert(at(aligned(working.memory), buffer, 0), buffer.lane,
                reinterpret_cast<std::byte*>(integers.data()), Lane::i64, buffer.elements * block);
    }
};

TensorEmulator::TensorEmulator(const operators::CoreModel& model) : model_(model) {
    if (SampleEmulator::is_better_for(model)) {
        sample_ = std::make_unique<SampleEmulator>(model);
    } else {
        program();
    }
}
TensorEmulator::~TensorEmulator() = default;

const TensorEmulator::Program& TensorEmulator::program() const {
    std::call_once(once_, [&] { program_ = std::make_unique<Program>(model_); });
    return *program_;
}

namespace {

/// Calls work(first) for 0 .. count - 1 from several threads; throws what one of them throws.
void in_threads(std::int64_t count, int threads, const std::function<void(std::int64_t)>& work) {
    std::atomic<std::int64_t> next{0};
    std::mutex mutex;
    std::exception_ptr failure;
    const auto loop = [&] {
        try {
            for (std::int64_t i = next++; i < count; i = next++) {
                work(i);
            }
        } catch (...) {
            const std::lock_guard lock(mutex);
            failure = failure ? failure : std::current_exception();
            next = count;
        }
    };
    std::vector<std::thread> pool;
    for (int t = 1; t < threads; ++t) {
        pool.emplace_back(loop);
    }
    loop();
    for (std::thread& thread : pool) {
        thread.join();
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
}

}  // namespace

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
    const Program& program = this->program();
    Result result;
    for (const Decoder& decoder : program.decoders) {
        result.shapes.push_back(decoder.shape());
        result.values.emplace_back(
            static_cast<std::size_t>(samples.count * element_count(decoder.shape())));
    }
    const std::int64_t blocks = (samples.count + block - 1) / block;
    std::mutex mutex;
    std::int64_t done = 0;
    // Each thread keeps its working memory from block to block.
    std::vector<std::unique_ptr<Program::Working>> idle;
    in_threads(blocks, threads, [&](std::int64_t b) {
        std::unique_ptr<Program::Working> working;
        {
            const std::lock_guard lock(mutex);
            if (!idle.empty()) {
                working = std::move(idle.back());
                idle.pop_back();
            }
        }
        if (working == nullptr) {
            working = std::make_unique<Program::Working>(program.working());
        }
        std::vector<std::int64_t> integers;
        const std::int64_t first = b * block;
        const std::int64_t count = std::min(block, samples.count - first);
        program.load(samples, first, count, *working, integers);
        program.run_block(*working);
        for (std::size_t o = 0; o < program.decoders.size(); ++o) {
            const Buffer& buffer = program.buffers.at(program.model.network.outputs()[o].value);
            program.fetch(buffer, *working, integers);
            program.decoders[o].decode(integers.data(), block, count,
                                       result.values[o].data() + first * buffer.elements);
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
    const Program& program = this->program();
    const auto ports = program.model.network.inputs();
    std::vector<std::vector<std::int64_t>> results;
    for (const auto& output : program.model.network.outputs()) {
        results.emplace_back(
            static_cast<std::size_t>(program.buffers.at(output.value).elements * samples));
    }
    Program::Working working = program.working();
    std::vector<std::int64_t> integers;
    for (std::int64_t first = 0; first < samples; first += block) {
        const std::int64_t count = std::min(block, samples - first);
        for (std::size_t p = 0; p < ports.size(); ++p) {
            const Buffer& buffer = program.buffers.at({ports[p], 0});
            integers.assign(static_cast<std::size_t>(buffer.elements * block), 0);
            for (std::int64_t e = 0; e < buffer.elements; ++e) {
                std::copy_n(inputs[p].data() + e * samples + first, count,
                            integers.data() + e * block);
            }
            program.store(integers.data(), buffer, working);
        }
        program.run_block(working);
        for (std::size_t o = 0; o < results.size(); ++o) {
            const Buffer& buffer = program.buffers.at(program.model.network.outputs()[o].value);
            program.fetch(buffer, working, integers);
            for (std::int64_t e = 0; e < buffer.elements; ++e) {
                std::copy_n(integers.data() + e * block, count,
                            results[o].data() + e * samples + first);
            }
        }
    }
    return results;
}

std::vector<TensorEmulator::Trace> TensorEmulator::trace(const Samples& samples) const {
    const Program& program = this->program();
    const network::Network& network = program.model.network;
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
    Program::Working working = program.working();
    std::vector<std::int64_t> integers;
    std::vector<Int128> wide;  // inner tensors may need more than 64 bits
    for (std::int64_t first = 0; first < samples.count; first += block) {
        const std::int64_t count = std::min(block, samples.count - first);
        program.load(samples, first, count, working, integers);
        program.run_block(working);
        for (std::size_t i = 0; i < values.size(); ++i) {
            const Buffer& buffer = program.buffers.at(values[i]);
            const network::TensorType& type = network.type(values[i]);
            wide.resize(static_cast<std::size_t>(buffer.elements * block));
            convert(Program::at(Program::aligned(working.memory), buffer, 0), buffer.lane,
                    reinterpret_cast<std::byte*>(wide.data()), Lane::i128, buffer.elements * block);
            for (std::int64_t e = 0; e < buffer.elements; ++e) {
                const int frac = type.fixed->at(e).type.frac;
                for (std::int64_t s = 0; s < count; ++s) {
                    traces[i].values[static_cast<std::size_t>((first + s) * buffer.elements + e)] =
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
