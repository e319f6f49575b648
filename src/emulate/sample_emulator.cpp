#include "emulate/sample_emulator.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>

#include "emulate/contraction.h"
#include "emulate/function_content.h"
#include "emulate/lane_function.h"
#include "emulate/sample_buffer.h"
#include "operators/axis_move.h"
#include "operators/core.h"
#include "operators/move.h"
#include "operators/pattern.h"

namespace gatewright::emulate {

namespace {

using bits::Lane;
using network::Node;
using network::NodeId;
using network::TensorType;
using network::Value;

constexpr std::int64_t block = static_cast<std::int64_t>(bits::Evaluator::block);
constexpr std::size_t block_lanes = bits::Evaluator::block;
constexpr std::size_t most_memory = std::size_t{1} << 29;

/// Elements of a map or rows of the others, with one body.
struct Work {
    std::size_t body = 0;
    Progression part;
    std::vector<std::int64_t> list;  ///< in place of `part`, unless it is empty
};

/// What one operator needs to run.
struct Kernel {
    std::vector<bits::Evaluator> evaluators;
    std::vector<std::optional<LaneFunction>> functions;
    std::vector<Contraction> contractions;
    std::vector<Work> work;
    /// Planes of the result for each element of a row (map: of all) that keep neighbours together.
    std::int64_t planes = 1;
    std::vector<std::vector<std::int64_t>> index;  ///< map: of each input, unless the same
    std::optional<Patches> patches;                ///< of a window
    std::size_t scratch = 0;
};

/// Shares out elements or rows of that shape, instance i to body body_of[i].
void share_out(Kernel& kernel, const std::vector<std::int32_t>& body_of, const Shape& shape,
               std::size_t bodies) {
    const auto count = static_cast<std::int64_t>(body_of.size());
    const operators::Pattern pattern = operators::pattern_of(body_of, shape);
    const auto entries = static_cast<std::int64_t>(pattern.entries.size());
    const std::int64_t round = pattern.inner * entries;
    const std::int64_t length =
        pattern.inner == 1 ? count / std::max<std::int64_t>(1, round) : pattern.inner;
    if (entries > 0 && count % round == 0 &&
        (length >= block || (pattern.inner == 1 && entries == static_cast<std::int64_t>(bodies)))) {
        kernel.planes = pattern.inner == 1 ? entries : 1;
        const std::int64_t parts = pattern.inner == 1 ? entries : count / length;
        for (std::int64_t i = 0; i < parts; ++i) {
            const Progression part = pattern.inner == 1 ? Progression{i, entries, length}
                                                        : Progression{i * length, 1, length};
            kernel.work.push_back(
                {static_cast<std::size_t>(pattern.entries[static_cast<std::size_t>(i % entries)]),
                 part,
                 {}});
        }
        return;
    }
    for (std::size_t b = 0; b < bodies; ++b) {
        kernel.work.push_back({b, {}, {}});
    }
    for (std::int64_t i = 0; i < count; ++i) {
        kernel.work[static_cast<std::size_t>(body_of[static_cast<std::size_t>(i)])].list.push_back(
            i);
    }
}

/// Elements of instances: instance i has elements i * size + k.
struct Members {
    std::int64_t size = 1;
    std::int64_t k = 0;

    Progression operator()(const Progression& part) const {
        return {part.first * size + k, part.step * size, part.count};
    }
    std::vector<std::int64_t> operator()(std::span<const std::int64_t> list) const {
        std::vector<std::int64_t> out(list.begin(), list.end());
        for (std::int64_t& i : out) {
            i = i * size + k;
        }
        return out;
    }
};

/// Calls f(part) for all of it, at most 64 at once.
template <class F>
void in_blocks(const Work& work, F f) {
    if (work.list.empty()) {
        for (std::int64_t i = 0; i < work.part.count; i += block) {
            f(Progression{work.part.first + i * work.part.step, work.part.step,
                          std::min(block, work.part.count - i)});
        }
        return;
    }
    for (std::size_t i = 0; i < work.list.size(); i += block_lanes) {
        f(std::span(work.list).subspan(i, std::min(block_lanes, work.list.size() - i)));
    }
}

}  // namespace

struct SampleEmulator::Program {
    const operators::CoreModel& model;
    std::vector<Kernel> kernels;   ///< by node
    std::map<Value, NodeId> last;  ///< the last node that uses a value

    explicit Program(const operators::CoreModel& core) : model(core) {
        const auto& nodes = core.network.nodes();
        kernels.resize(nodes.size());
        for (NodeId id = 0; id < nodes.size(); ++id) {
            const Node& node = nodes[id];
            for (const Value value : node.inputs) {
                last[value] = id;
            }
            if (node.op->element != nullptr) {
                compile_map(kernels[id], node);
            } else if (node.op->row != nullptr) {
                compile_rows(kernels[id], node);
            } else if (node.op->is_contract) {
                compile_contract(kernels[id], node);
            } else if (node.op == &operators::window_operator) {
                const std::vector<TensorType> types = types_of(node);
                const std::int64_t channels = types[0].shape[0];
                kernels[id].patches.emplace(*operators::axis_move(node, types), channels,
                                            element_count(types[0].shape) / channels);
            }
        }
        for (const auto& output : core.network.outputs()) {
            last[output.value] = static_cast<NodeId>(nodes.size());
        }
    }

    std::vector<TensorType> types_of(const Node& node) const {
        std::vector<TensorType> types;
        for (const Value value : node.inputs) {
            types.push_back(model.network.type(value));
        }
        return types;
    }

    void compile_map(Kernel& kernel, const Node& node) const {
        const std::vector<TensorType> types = types_of(node);
        operators::Bodies bodies = operators::map_bodies(node, types);
        std::vector<Lane> lanes;
        for (const TensorType& type : types) {
            lanes.push_back(lane_of(type));
            const bool same = type.shape == node.types.front().shape;
            kernel.index.push_back(same ? std::vector<std::int64_t>{}
                                        : broadcast_index(type.shape, node.types.front().shape));
        }
        const Lane out = lane_of(node.types.front());
        std::map<std::vector<std::int64_t>, std::int32_t> known;
        std::vector<std::int32_t> evaluator_of;
        std::vector<Interval> ranges;
        for (const operators::Body& body : bodies.bodies) {
            const auto [at, is_new] = known.try_emplace(
                content_of(body.function), static_cast<std::int32_t>(kernel.evaluators.size()));
            const Interval range = body.inputs.empty() ? Interval{} : body.inputs[0].range;
            if (is_new) {
                kernel.evaluators.emplace_back(body.function, lanes, std::vector<Lane>{out});
                ranges.push_back(range);
            } else {
                Interval& own = ranges[static_cast<std::size_t>(at->second)];
                own = hull(own, range);
            }
            evaluator_of.push_back(at->second);
        }
        for (std::int32_t& body : bodies.body_of) {
            body = evaluator_of[static_cast<std::size_t>(body)];
        }
        share_out(kernel, bodies.body_of, node.types.front().shape, kernel.evaluators.size());
        std::int64_t budget = std::int64_t{1} << 20;
        for (std::size_t i = 0; i < kernel.evaluators.size() && types.size() == 1; ++i) {
            kernel.functions.push_back(LaneFunction::of(kernel.evaluators[i], ranges[i], budget));
        }
    }

    void compile_rows(Kernel& kernel, const Node& node) const {
        const std::vector<TensorType> types = types_of(node);
        const operators::Bodies bodies = operators::row_bodies(node, types);
        const std::int64_t length = types[0].shape.back();
        const std::int64_t rows = element_count(types[0].shape) / length;
        std::vector<Lane> out;
        for (const TensorType& type : node.types) {
            out.insert(out.end(), static_cast<std::size_t>(element_count(type.shape) / rows),
                       lane_of(type));
        }
        const std::vector<Lane> in(static_cast<std::size_t>(length), lane_of(types[0]));
        for (const operators::Body& body : bodies.bodies) {
            kernel.evaluators.emplace_back(body.function, in, out);
        }
        share_out(kernel, bodies.body_of, rows_of(types[0].shape), bodies.bodies.size());
    }

    void compile_contract(Kernel& kernel, const Node& node) const {
        const std::vector<TensorType> types = types_of(node);
        const operators::ContractForms forms = operators::contract_forms(node, types[0]);
        for (const operators::ContractForm& form : forms.forms) {
            kernel.contractions.emplace_back(form, lane_of(types[0]), lane_of(node.types.front()));
            kernel.scratch = std::max(kernel.scratch, kernel.contractions.back().scratch());
        }
        share_out(kernel, forms.form_of, rows_of(types[0].shape), forms.forms.size());
    }

    static Shape rows_of(const Shape& shape) { return {shape.begin(), shape.end() - 1}; }

    using Buffers = std::map<Value, Buffer>;

    static std::byte* aligned(std::vector<UInt128>& memory, std::size_t bytes) {
        memory.resize(bytes / sizeof(UInt128) + 5);
        auto address = reinterpret_cast<std::uintptr_t>(memory.data());
        return reinterpret_cast<std::byte*>((address + 63) / 64 * 64);
    }

    static std::vector<std::int64_t> indexed_by(const std::vector<std::int64_t>& index,
                                                std::span<const std::int64_t> elements) {
        std::vector<std::int64_t> out(elements.begin(), elements.end());
        for (std::int64_t& e : out) {
            e = index[static_cast<std::size_t>(e)];
        }
        return out;
    }
    static std::vector<std::int64_t> indexed_by(const std::vector<std::int64_t>& index,
                                                const Progression& part) {
        std::vector<std::int64_t> out;
        for (std::int64_t i = 0; i < part.count; ++i) {
            out.push_back(index[static_cast<std::size_t>(part.first + i * part.step)]);
        }
        return out;
    }

    static void run_map(const Kernel& kernel, std::vector<Buffer> in, Buffer& out) {
        const bool listed = std::any_of(kernel.work.begin(), kernel.work.end(),
                                        [](const Work& work) { return !work.list.empty(); });
        const bool indexed = std::any_of(kernel.index.begin(), kernel.index.end(),
                                         [](const auto& index) { return !index.empty(); });
        // Elements of one body are neighbours in so many planes. Any will do if they all have one.
        std::int64_t planes = listed || indexed ? 1 : kernel.planes;
        // Where all have one body, their order does not matter.
        const bool any = kernel.work.size() == 1 && !listed && !indexed;
        if (any && !in.empty() && in[0].patches == nullptr) {
            planes = in[0].planes;
        }
        for (Buffer& buffer : in) {
            buffer = buffer.in_planes(buffer.elements == out.elements ? planes : 1);
            buffer.planes = any ? 1 : buffer.planes;
        }
        out = Buffer(out.lane, out.elements, any ? 1 : planes);
        bits::Evaluator::Scratch scratch;
        std::vector<std::vector<UInt128>> lanes(in.size(), std::vector<UInt128>(block_lanes));
        std::vector<UInt128> results(block_lanes);
        std::vector<const void*> inputs(in.size());
        const auto run = [&](const auto& part, const Work& work) {
            for (std::size_t i = 0; i < in.size(); ++i) {
                auto* to = reinterpret_cast<std::byte*>(lanes[i].data());
                inputs[i] = to;
                if (kernel.index[i].empty()) {
                    in[i].load(part, to);
                } else {
                    in[i].load(indexed_by(kernel.index[i], part), to);
                }
            }
            void* result = results.data();
            if (!kernel.functions.empty() && kernel.functions[work.body]) {
                kernel.functions[work.body]->run(static_cast<const std::byte*>(inputs[0]),
                                                 static_cast<std::byte*>(result), block);
            } else {
                kernel.evaluators[work.body].run(inputs.data(), &result, scratch);
            }
            out.store(part, static_cast<const std::byte*>(result));
        };
        for (const Work& work : kernel.work) {
            Work rest = work;
            Progression& part = rest.part;
            const bool together = work.list.empty() && part.step == out.planes && !indexed;
            if (together && !kernel.functions.empty() && kernel.functions[work.body]) {
                const std::int64_t whole = part.count / block * block;
                const std::int64_t first = out.place(part.first);
                kernel.functions[work.body]->run(in[0].at(first), out.at(first), whole);
                part = {part.first + whole * part.step, part.step, part.count - whole};
            }
            in_blocks(rest, [&](const auto& some) { run(some, rest); });
        }
        out.planes = planes;
    }

    /// Rows of the input, with lanes for rows; a row of result o is some of its elements.
    template <class F>
    static void run_rows(const Kernel& kernel, const Buffer& in, std::int64_t length,
                         std::vector<Buffer*>& out, F compute) {
        const std::int64_t rows = in.elements / length;
        const std::size_t pitch = block_lanes * in.bytes();
        std::vector<UInt128> in_memory;
        std::byte* lanes = aligned(in_memory, static_cast<std::size_t>(length) * pitch);
        std::vector<std::vector<UInt128>> out_memory(out.size());
        std::vector<std::byte*> results;
        for (std::size_t o = 0; o < out.size(); ++o) {
            const std::int64_t part = out[o]->elements / rows;
            *out[o] = Buffer(out[o]->lane, out[o]->elements,
                             std::max<std::int64_t>(1, kernel.planes * part));
            results.push_back(aligned(
                out_memory[o], static_cast<std::size_t>(part) * block_lanes * out[o]->bytes()));
        }
        for (const Work& work : kernel.work) {
            in_blocks(work, [&](const auto& part) {
                for (std::int64_t k = 0; k < length; ++k) {
                    in.load(Members{length, k}(part), lanes + static_cast<std::size_t>(k) * pitch);
                }
                compute(work.body, lanes, results);
                for (std::size_t o = 0; o < out.size(); ++o) {
                    const std::int64_t size = out[o]->elements / rows;
                    for (std::int64_t k = 0; k < size; ++k) {
                        out[o]->store(Members{size, k}(part),
                                      results[o] + static_cast<std::size_t>(k) * block_lanes *
                                                       out[o]->bytes());
                    }
                }
            });
        }
    }

    void run_row_operator(const Kernel& kernel, const Node& node, const Buffer& in,
                          std::vector<Buffer*>& out) const {
        const std::int64_t length = model.network.type(node.inputs[0]).shape.back();
        bits::Evaluator::Scratch scratch;
        std::vector<const void*> inputs;
        std::vector<void*> outputs;
        run_rows(kernel, in, length, out,
                 [&](std::size_t body, std::byte* lanes, const std::vector<std::byte*>& results) {
                     inputs.clear();
                     outputs.clear();
                     for (std::int64_t k = 0; k < length; ++k) {
                         inputs.push_back(lanes +
                                          static_cast<std::size_t>(k) * block_lanes * in.bytes());
                     }
                     for (std::size_t o = 0; o < out.size(); ++o) {
                         const std::int64_t part = out[o]->elements / (in.elements / length);
                         for (std::int64_t i = 0; i < part; ++i) {
                             outputs.push_back(results[o] + static_cast<std::size_t>(i) *
                                                                block_lanes * out[o]->bytes());
                         }
                     }
                     kernel.evaluators[body].run(inputs.data(), outputs.data(), scratch);
                 });
    }

    static void run_contract(const Kernel& kernel, const Buffer& in, std::vector<Buffer*>& out) {
        if (kernel.contractions.empty()) {
            return;
        }
        const std::int64_t length = kernel.contractions.front().n_in();
        std::vector<UInt128> scratch_memory;
        std::byte* scratch = aligned(scratch_memory, kernel.scratch);
        std::vector<std::uint32_t> lines;  // of 64 bytes
        for (std::int64_t k = 0; k < length; ++k) {
            lines.push_back(static_cast<std::uint32_t>(static_cast<std::size_t>(k) * in.bytes()));
        }
        run_rows(kernel, in, length, out,
                 [&](std::size_t body, std::byte* lanes, const std::vector<std::byte*>& results) {
                     kernel.contractions[body].run(lanes, lines.data(), results[0], scratch);
                 });
    }

    /// Moves that only say anew where elements lie.
    bool run_view(const Kernel& kernel, const Node& node, const Buffer& in, Buffer& out) const {
        const auto view = [&](std::int64_t planes) {
            out = in;
            out.planes = planes;
            return true;
        };
        if (node.inputs.size() != 1 || in.lane != out.lane) {
            return false;
        }
        if (node.op == &operators::reshape_operator) {
            return view(in.planes);
        }
        if (kernel.patches) {
            out = in.in_planes(1);
            out.elements = element_count(node.types.front().shape);
            out.patches = &*kernel.patches;
            return true;
        }
        if (node.op == &operators::transpose_operator && in.patches == nullptr) {
            // [A, B] becomes [B, A].
            const Shape& permutation = node.fields<operators::TransposeFields>().permutation;
            const auto axes = static_cast<std::int64_t>(permutation.size());
            const std::int64_t first = axes == 0 ? 0 : permutation.front();
            std::int64_t b = 1;
            for (std::int64_t i = 0; i < axes; ++i) {
                if (permutation[static_cast<std::size_t>(i)] != (i + first) % axes) {
                    return false;
                }
                b *= i < axes - first ? node.types.front().shape[static_cast<std::size_t>(i)] : 1;
            }
            if (in.planes == 1 || in.planes == b) {
                return view(in.planes == 1 ? in.elements / std::max<std::int64_t>(1, b) : 1);
            }
        }
        return false;
    }

    /// Along an axis: the inputs one after the other, row by row.
    static void run_concat(const Node& node, std::vector<Buffer>& in, Buffer& out) {
        const auto axis = static_cast<std::size_t>(node.fields<operators::ConcatFields>().axis);
        const Shape& shape = node.types.front().shape;
        const std::int64_t rows =
            element_count(Shape(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(axis)));
        if (rows == 0) {
            return;
        }
        const bool planar = std::any_of(in.begin(), in.end(), [&](const Buffer& buffer) {
            return buffer.planes != 1 && buffer.planes == buffer.elements / rows;
        });
        if (planar) {
            out.planes = out.elements / rows;
        }
        std::byte* to = out.data->data();
        for (Buffer& buffer : in) {
            const std::int64_t own = buffer.elements / rows;
            buffer = buffer.in_planes(planar ? std::max<std::int64_t>(1, own) : 1);
        }
        for (std::int64_t r = 0; r < (planar ? 1 : rows); ++r) {
            for (const Buffer& buffer : in) {
                const std::size_t size =
                    buffer.data->size() / static_cast<std::size_t>(planar ? 1 : rows);
                to =
                    std::copy_n(buffer.data->data() + static_cast<std::size_t>(r) * size, size, to);
            }
        }
    }

    void run_move(const Kernel& kernel, const Node& node, std::vector<Buffer> in,
                  Buffer& out) const {
        if (run_view(kernel, node, in[0], out)) {
            return;
        }
        for (Buffer& buffer : in) {
            if (buffer.lane != out.lane) {
                Buffer wide(out.lane, buffer.elements, 1);
                buffer = buffer.in_planes(1);
                convert(buffer.data->data(), buffer.lane, wide.data->data(), wide.lane,
                        buffer.elements);
                buffer = std::move(wide);
            }
        }
        if (run_view(kernel, node, in[0], out)) {
            return;
        }
        out = Buffer(out.lane, out.elements, 1);
        if (node.op == &operators::concat_operator) {
            return run_concat(node, in, out);
        }
        for (Buffer& buffer : in) {
            buffer = buffer.in_planes(1);
        }
        if (run_view(kernel, node, in[0], out)) {
            return;
        }
        const std::vector<TensorType> types = types_of(node);
        with_lane_bits(out.lane, [&](auto zero) {
            using T = decltype(zero);
            auto* to = reinterpret_cast<T*>(out.data->data());
            const auto* from = reinterpret_cast<const T*>(in[0].data->data());
            if (node.op == &operators::index_operator) {
                for (const std::int64_t e : node.fields<operators::IndexFields>().index.values) {
                    *to++ = from[e];
                }
            } else if (const auto move = operators::axis_move(node, types)) {
                move->for_each([&](std::int64_t e, std::int64_t count) {
                    to = std::fill_n(to, count, e < 0 ? T{0} : from[e]);
                });
            } else {
                for (const network::Source& source : node.op->sources(node, types)) {
                    *to++ =
                        source.input < 0
                            ? T{0}
                            : reinterpret_cast<const T*>(in[static_cast<std::size_t>(source.input)]
                                                             .data->data())[source.element];
                }
            }
        });
    }

    std::vector<std::vector<std::int64_t>> run(
        const std::vector<std::vector<std::int64_t>>& inputs) const {
        const auto& nodes = model.network.nodes();
        Buffers buffers;
        std::size_t next_input = 0;
        for (NodeId id = 0; id < nodes.size(); ++id) {
            const Node& node = nodes[id];
            const Kernel& kernel = kernels[id];
            std::vector<Buffer> in;
            std::vector<Buffer> results;
            std::vector<Buffer*> out;
            for (const Value value : node.inputs) {
                in.push_back(buffers.at(value));
            }
            for (const TensorType& type : node.types) {
                Buffer& buffer = results.emplace_back();
                buffer.lane = lane_of(type);
                buffer.elements = element_count(type.shape);
            }
            for (Buffer& buffer : results) {
                out.push_back(&buffer);
            }
            // What nobody else needs goes as soon as this operator is done with it.
            for (const Value value : node.inputs) {
                if (last.at(value) == id) {
                    buffers.erase(value);
                }
            }
            if (node.op == &network::input_operator) {
                results[0] = Buffer(results[0].lane, results[0].elements, 1);
                convert(reinterpret_cast<const std::byte*>(inputs[next_input++].data()), Lane::i64,
                        results[0].data->data(), results[0].lane, results[0].elements);
            } else if (node.op->element != nullptr) {
                run_map(kernel, std::move(in), results[0]);
            } else if (node.op->row != nullptr) {
                run_row_operator(kernel, node, in[0], out);
            } else if (node.op->is_contract) {
                results[0] = Buffer(results[0].lane, results[0].elements, 1);
                run_contract(kernel, in[0], out);
            } else {
                run_move(kernel, node, std::move(in), results[0]);
            }
            for (std::uint32_t i = 0; i < results.size(); ++i) {
                buffers[{id, i}] = std::move(results[i]);
            }
        }
        std::vector<std::vector<std::int64_t>> results;
        for (const auto& output : model.network.outputs()) {
            const Buffer buffer = buffers.at(output.value).in_planes(1);
            auto& numbers = results.emplace_back(static_cast<std::size_t>(buffer.elements));
            convert(buffer.data->data(), buffer.lane, reinterpret_cast<std::byte*>(numbers.data()),
                    Lane::i64, buffer.elements);
        }
        return results;
    }
};

SampleEmulator::SampleEmulator(const operators::CoreModel& model)
    : program_(std::make_unique<Program>(model)) {}
SampleEmulator::~SampleEmulator() = default;

std::vector<std::vector<std::int64_t>> SampleEmulator::run(
    const std::vector<std::vector<std::int64_t>>& inputs) const {
    return program_->run(inputs);
}

bool SampleEmulator::is_better_for(const operators::CoreModel& model) {
    std::size_t memory = 0;
    for (const Node& node : model.network.nodes()) {
        for (const TensorType& type : node.types) {
            memory += static_cast<std::size_t>(element_count(type.shape)) * block_lanes *
                      bits::lane_bytes(lane_of(type));
        }
    }
    return memory > most_memory;
}

}  // namespace gatewright::emulate
