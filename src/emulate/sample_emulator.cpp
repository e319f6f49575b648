#include "emulate/sample_emulator.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <numeric>

#include "emulate/contraction.h"
#include "emulate/function_content.h"
#include "emulate/lane_function.h"
#include "operators/core.h"
#include "operators/move.h"

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

/// A tensor of one sample; `data` is empty before it is computed and after its last use.
struct Buffer {
    Lane lane = Lane::i8;
    std::int64_t elements = 0;
    std::vector<std::byte> data;

    std::size_t bytes() const { return bits::lane_bytes(lane); }
    std::byte* at(std::int64_t element) {
        return data.data() + static_cast<std::size_t>(element) * bytes();
    }
};

/// Calls f with a value of the unsigned type of a lane's width.
template <class F>
void with_lane(Lane lane, F f) {
    switch (bits::lane_bytes(lane)) {
        case 1:
            f(std::uint8_t{});
            return;
        case 2:
            f(std::uint16_t{});
            return;
        case 4:
            f(std::uint32_t{});
            return;
        case 8:
            f(std::uint64_t{});
            return;
        default:
            f(UInt128{});
    }
}

/// Instances of each body in order.
std::vector<std::vector<std::int32_t>> members(const std::vector<std::int32_t>& body_of,
                                               std::size_t bodies) {
    std::vector<std::vector<std::int32_t>> out(bodies);
    for (std::size_t i = 0; i < body_of.size(); ++i) {
        out[static_cast<std::size_t>(body_of[i])].push_back(static_cast<std::int32_t>(i));
    }
    return out;
}

/// What one operator needs to run.
struct Kernel {
    std::vector<bits::Evaluator> evaluators;
    std::vector<std::optional<LaneFunction>> functions;
    std::vector<Contraction> contractions;
    std::vector<std::vector<std::int32_t>> members;  ///< elements or rows of each body
    std::vector<std::vector<std::int64_t>> index;    ///< map: of each input, unless the same
    std::size_t scratch = 0;
};

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
        kernel.members = members(bodies.body_of, kernel.evaluators.size());
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
        kernel.members = members(bodies.body_of, bodies.bodies.size());
    }

    void compile_contract(Kernel& kernel, const Node& node) const {
        const std::vector<TensorType> types = types_of(node);
        const operators::ContractForms forms = operators::contract_forms(node, types[0]);
        for (const operators::ContractForm& form : forms.forms) {
            kernel.contractions.emplace_back(form, lane_of(types[0]), lane_of(node.types.front()));
            kernel.scratch = std::max(kernel.scratch, kernel.contractions.back().scratch());
        }
        kernel.members = members(forms.form_of, forms.forms.size());
    }

    using Buffers = std::map<Value, Buffer>;

    /// Elements members[first ..] (at most a block) of a buffer to lanes.
    static void take(Buffer& from, const std::vector<std::int64_t>& index,
                     std::span<const std::int32_t> elements, std::byte* lanes) {
        with_lane(from.lane, [&](auto zero) {
            using T = decltype(zero);
            const auto* source = reinterpret_cast<const T*>(from.data.data());
            auto* to = reinterpret_cast<T*>(lanes);
            for (std::size_t i = 0; i < elements.size(); ++i) {
                const auto e = static_cast<std::size_t>(elements[i]);
                to[i] = source[index.empty() ? e : static_cast<std::size_t>(index[e])];
            }
            std::fill(to + elements.size(), to + block_lanes, to[0]);
        });
    }

    static void put(Buffer& to, std::span<const std::int32_t> elements, const std::byte* lanes) {
        with_lane(to.lane, [&](auto zero) {
            using T = decltype(zero);
            auto* target = reinterpret_cast<T*>(to.data.data());
            const auto* from = reinterpret_cast<const T*>(lanes);
            for (std::size_t i = 0; i < elements.size(); ++i) {
                target[static_cast<std::size_t>(elements[i])] = from[i];
            }
        });
    }

    static void run_map(const Kernel& kernel, std::vector<Buffer*>& in, Buffer& out) {
        bits::Evaluator::Scratch scratch;
        std::vector<std::vector<UInt128>> lanes(in.size(), std::vector<UInt128>(block_lanes));
        std::vector<UInt128> results(block_lanes);
        std::vector<const void*> inputs(in.size());
        for (std::size_t b = 0; b < kernel.members.size(); ++b) {
            const std::vector<std::int32_t>& all = kernel.members[b];
            const bool has_function = !kernel.functions.empty() && kernel.functions[b];
            for (std::size_t first = 0; first < all.size();) {
                if (has_function && kernel.index[0].empty()) {
                    // Neighbours are one stretch of lanes.
                    std::size_t end = first + 1;
                    while (end < all.size() && all[end] == all[end - 1] + 1) {
                        ++end;
                    }
                    if (end - first >= block_lanes) {
                        const std::size_t whole = (end - first) / block_lanes * block_lanes;
                        kernel.functions[b]->run(in[0]->at(all[first]), out.at(all[first]),
                                                 static_cast<std::int64_t>(whole));
                        first += whole;
                        continue;
                    }
                }
                const std::size_t size = std::min(block_lanes, all.size() - first);
                const auto elements = std::span(all).subspan(first, size);
                for (std::size_t i = 0; i < in.size(); ++i) {
                    auto* to = reinterpret_cast<std::byte*>(lanes[i].data());
                    take(*in[i], kernel.index[i], elements, to);
                    inputs[i] = to;
                }
                void* result = results.data();
                if (has_function) {
                    kernel.functions[b]->run(static_cast<const std::byte*>(inputs[0]),
                                             static_cast<std::byte*>(result), block);
                } else {
                    kernel.evaluators[b].run(inputs.data(), &result, scratch);
                }
                put(out, elements, static_cast<const std::byte*>(result));
                first += size;
            }
        }
    }

    /// Rows of `length` elements as lanes: lane i of element k at lanes[k * block + i].
    static void take_rows(Buffer& from, std::int64_t length, std::span<const std::int32_t> rows,
                          std::byte* lanes) {
        with_lane(from.lane, [&](auto zero) {
            using T = decltype(zero);
            auto* to = reinterpret_cast<T*>(lanes);
            for (std::size_t i = 0; i < block_lanes; ++i) {
                // Lanes behind the last row repeat it.
                const std::int64_t row = rows[std::min(i, rows.size() - 1)];
                const auto* source = reinterpret_cast<const T*>(from.at(row * length));
                for (std::int64_t k = 0; k < length; ++k) {
                    to[static_cast<std::size_t>(k) * block_lanes + i] = source[k];
                }
            }
        });
    }

    static void put_rows(Buffer& to, std::int64_t length, std::span<const std::int32_t> rows,
                         const std::byte* lanes) {
        with_lane(to.lane, [&](auto zero) {
            using T = decltype(zero);
            const auto* from = reinterpret_cast<const T*>(lanes);
            for (std::size_t i = 0; i < rows.size(); ++i) {
                auto* target = reinterpret_cast<T*>(to.at(std::int64_t{rows[i]} * length));
                for (std::int64_t k = 0; k < length; ++k) {
                    target[k] = from[static_cast<std::size_t>(k) * block_lanes + i];
                }
            }
        });
    }

    static std::byte* aligned(std::vector<UInt128>& memory, std::size_t bytes) {
        memory.resize(bytes / sizeof(UInt128) + 5);
        auto address = reinterpret_cast<std::uintptr_t>(memory.data());
        return reinterpret_cast<std::byte*>((address + 63) / 64 * 64);
    }

    void run_rows(const Kernel& kernel, const Node& node, Buffer& in,
                  const std::vector<Buffer*>& out) const {
        const std::int64_t length = model.network.type(node.inputs[0]).shape.back();
        const std::int64_t rows = in.elements / length;
        std::vector<UInt128> in_memory;
        std::byte* lanes =
            aligned(in_memory, static_cast<std::size_t>(length) * block_lanes * in.bytes());
        std::vector<const void*> inputs;
        for (std::int64_t k = 0; k < length; ++k) {
            inputs.push_back(lanes + static_cast<std::size_t>(k) * block_lanes * in.bytes());
        }
        std::vector<std::vector<UInt128>> out_memory(out.size());
        std::vector<std::byte*> results;
        std::vector<void*> outputs;
        for (std::size_t o = 0; o < out.size(); ++o) {
            const std::int64_t part = out[o]->elements / rows;
            const std::size_t pitch = block_lanes * out[o]->bytes();
            results.push_back(aligned(out_memory[o], static_cast<std::size_t>(part) * pitch));
            for (std::int64_t i = 0; i < part; ++i) {
                outputs.push_back(results.back() + static_cast<std::size_t>(i) * pitch);
            }
        }
        bits::Evaluator::Scratch scratch;
        for (std::size_t b = 0; b < kernel.members.size(); ++b) {
            for_each_block(kernel.members[b], [&](std::span<const std::int32_t> members) {
                take_rows(in, length, members, lanes);
                kernel.evaluators[b].run(inputs.data(), outputs.data(), scratch);
                for (std::size_t o = 0; o < out.size(); ++o) {
                    put_rows(*out[o], out[o]->elements / rows, members, results[o]);
                }
            });
        }
    }

    template <class F>
    static void for_each_block(const std::vector<std::int32_t>& all, F run) {
        for (std::size_t first = 0; first < all.size(); first += block_lanes) {
            run(std::span(all).subspan(first, std::min(block_lanes, all.size() - first)));
        }
    }

    static void run_contract(const Kernel& kernel, Buffer& in, Buffer& out) {
        std::vector<UInt128> in_memory;
        std::vector<UInt128> out_memory;
        std::vector<UInt128> scratch_memory;
        std::byte* scratch = aligned(scratch_memory, kernel.scratch);
        for (std::size_t b = 0; b < kernel.members.size(); ++b) {
            const Contraction& contraction = kernel.contractions[b];
            const auto n_in = static_cast<std::size_t>(contraction.n_in());
            const auto n_out = static_cast<std::size_t>(contraction.n_out());
            std::byte* from = aligned(in_memory, n_in * block_lanes * in.bytes());
            std::vector<std::uint32_t> lines(n_in);
            for (std::size_t k = 0; k < n_in; ++k) {
                lines[k] = static_cast<std::uint32_t>(k * in.bytes());  // of 64 bytes
            }
            std::byte* to = aligned(out_memory, n_out * block_lanes * out.bytes());
            for_each_block(kernel.members[b], [&](std::span<const std::int32_t> rows) {
                take_rows(in, contraction.n_in(), rows, from);
                contraction.run(from, lines.data(), to, scratch);
                put_rows(out, contraction.n_out(), rows, to);
            });
        }
    }

    /// Patches, position by position; else as the operator's sources say.
    void run_move(const Node& node, const std::vector<Buffer*>& in, Buffer& out) const {
        const bool one_lane = std::all_of(
            in.begin(), in.end(), [&](const Buffer* buffer) { return buffer->lane == out.lane; });
        if (one_lane && node.op == &operators::reshape_operator) {
            out.data = in[0]->data;
            return;
        }
        const std::vector<TensorType> types = types_of(node);
        const std::vector<network::Source> sources = node.op->sources(node, types);
        if (!one_lane) {
            for (std::size_t e = 0; e < sources.size(); ++e) {
                if (sources[e].input >= 0) {
                    Buffer& from = *in[static_cast<std::size_t>(sources[e].input)];
                    convert(from.at(sources[e].element), from.lane,
                            out.at(static_cast<std::int64_t>(e)), out.lane, 1);
                }
            }
            return;
        }
        with_lane(out.lane, [&](auto zero) {
            using T = decltype(zero);
            auto* to = reinterpret_cast<T*>(out.data.data());
            std::vector<const T*> from;
            for (Buffer* buffer : in) {
                from.push_back(reinterpret_cast<const T*>(buffer->data.data()));
            }
            for (const network::Source& source : sources) {
                *to++ = source.input < 0
                            ? T{0}
                            : from[static_cast<std::size_t>(source.input)][source.element];
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
            std::vector<Buffer*> in;
            std::vector<Buffer*> out;
            for (const Value value : node.inputs) {
                in.push_back(&buffers.at(value));
            }
            for (std::uint32_t i = 0; i < node.types.size(); ++i) {
                Buffer& buffer = buffers[{id, i}];
                buffer.lane = lane_of(node.types[i]);
                buffer.elements = element_count(node.types[i].shape);
                buffer.data.assign(static_cast<std::size_t>(buffer.elements) * buffer.bytes(),
                                   std::byte{0});
                out.push_back(&buffer);
            }
            if (node.op == &network::input_operator) {
                convert(reinterpret_cast<const std::byte*>(inputs[next_input++].data()), Lane::i64,
                        out[0]->data.data(), out[0]->lane, out[0]->elements);
            } else if (node.op->element != nullptr) {
                run_map(kernels[id], in, *out[0]);
            } else if (node.op->row != nullptr) {
                run_rows(kernels[id], node, *in[0], out);
            } else if (node.op->is_contract) {
                run_contract(kernels[id], *in[0], *out[0]);
            } else {
                run_move(node, in, *out[0]);
            }
            for (const Value value : node.inputs) {
                if (last.at(value) == id) {
                    buffers.erase(value);
                }
            }
        }
        std::vector<std::vector<std::int64_t>> results;
        for (const auto& output : model.network.outputs()) {
            Buffer& buffer = buffers.at(output.value);
            auto& numbers = results.emplace_back(static_cast<std::size_t>(buffer.elements));
            convert(buffer.data.data(), buffer.lane, reinterpret_cast<std::byte*>(numbers.data()),
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
