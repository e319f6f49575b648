#include "emulate/tensor_program.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "emulate/function_content.h"
#include "operators/core.h"

namespace gatewright::emulate {

namespace {

using bits::Lane;
using network::Node;
using network::NodeId;
using network::TensorType;
using network::Value;

constexpr std::size_t block = bits::Evaluator::block;
constexpr std::size_t line_bytes = 64;
constexpr std::size_t for_ever = std::numeric_limits<std::size_t>::max();

/// Lines of a block of one element.
std::uint32_t lines_of(Lane lane) {
    return static_cast<std::uint32_t>(block * bits::lane_bytes(lane) / line_bytes);
}

std::byte* at(std::byte* memory, std::uint32_t line) {
    return memory + line * line_bytes;
}

std::byte* aligned(std::vector<std::byte>& bytes) {
    auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
    address = (address + line_bytes - 1) / line_bytes * line_bytes;
    return reinterpret_cast<std::byte*>(address);
}

/// Lines in which something lies for a while.
class Space {
  public:
    std::size_t take(std::size_t lines) {
        for (auto hole = holes_.begin(); hole != holes_.end(); ++hole) {
            if (hole->second >= lines) {
                const std::size_t line = hole->first;
                if (hole->second > lines) {
                    holes_[line + lines] = hole->second - lines;
                }
                holes_.erase(line);
                return line;
            }
        }
        size_ += lines;
        return size_ - lines;
    }
    void give_back(std::size_t line, std::size_t lines) {
        auto hole = holes_.emplace(line, lines).first;
        const auto next = std::next(hole);
        if (next != holes_.end() && hole->first + hole->second == next->first) {
            hole->second += next->second;
            holes_.erase(next);
        }
        if (hole != holes_.begin()) {
            const auto before = std::prev(hole);
            if (before->first + before->second == hole->first) {
                before->second += hole->second;
                holes_.erase(hole);
            }
        }
    }
    std::size_t size() const { return size_; }

  private:
    std::map<std::size_t, std::size_t> holes_;
    std::size_t size_ = 0;
};

}  // namespace

/// Builds a program. At first each tensor gets lines of its own; when all uses are known they are
/// moved to where they may lie together.
class TensorProgram::Maker {
  public:
    explicit Maker(TensorProgram& program) : p_(program), network_(program.model_.network) {
        add_storage(lines_of(Lane::i128), 0);  // of zeros
        storages_.back().last_use = for_ever;
        for (const NodeId id : network_.inputs()) {
            place({id, 0}, network_.node(id).types.front(), 0);
        }
        for (NodeId id = 0; id < network_.nodes().size(); ++id) {
            if (network_.node(id).op != &network::input_operator) {
                compile(id);
            }
        }
    }

    void share_memory(bool keep_all) {
        for (const auto& output : network_.outputs()) {
            use(output.value, for_ever);
        }
        std::vector<std::vector<std::size_t>> born(network_.nodes().size() + 1);
        std::vector<std::vector<std::size_t>> dying(born.size());
        for (std::size_t i = 0; i < storages_.size(); ++i) {
            born[storages_[i].first_use].push_back(i);
            if (storages_[i].last_use != for_ever && !keep_all) {
                dying[storages_[i].last_use].push_back(i);
            }
        }
        Space space;
        std::vector<std::size_t> moved(storages_.size());
        for (std::size_t id = 0; id < born.size(); ++id) {
            for (const std::size_t i : born[id]) {
                moved[i] = space.take(storages_[i].lines);
            }
            for (const std::size_t i : dying[id]) {
                space.give_back(moved[i], storages_[i].lines);
            }
        }
        p_.memory_lines_ = space.size();
        std::vector<std::uint32_t> now;
        now.reserve(lines_);
        for (std::size_t i = 0; i < storages_.size(); ++i) {
            for (std::size_t line = 0; line < storages_[i].lines; ++line) {
                now.push_back(static_cast<std::uint32_t>(moved[i] + line));
            }
        }
        move_all(now);
    }

  private:
    /// Lines of which a tensor is made that is computed.
    struct Storage {
        std::size_t lines;
        std::size_t first_use;  ///< by node
        std::size_t last_use;
    };

    std::uint32_t add_storage(std::size_t lines, std::size_t node) {
        const auto first = static_cast<std::uint32_t>(lines_);
        storages_.push_back({lines, node, node});
        lines_ += lines;
        return first;
    }

    Placed& place(Value value, const TensorType& type, std::size_t node) {
        Placed& placed = p_.placed_[value];
        placed.lane = lane_of(type);
        const std::uint32_t pitch = lines_of(placed.lane);
        const auto count = static_cast<std::size_t>(element_count(type.shape));
        std::uint32_t line = add_storage(count * pitch, node);
        held_[value] = {storages_.size() - 1};
        placed.lines.reserve(count);
        for (std::size_t e = 0; e < count; ++e, line += pitch) {
            placed.lines.push_back(line);
        }
        return placed;
    }

    void use(Value value, std::size_t node) {
        for (const std::size_t i : held_.at(value)) {
            storages_[i].last_use = std::max(storages_[i].last_use, node);
        }
    }

    void move_all(const std::vector<std::uint32_t>& now) {
        const auto move = [&](Lines& lines) {
            for (std::uint32_t& line : lines) {
                line = now[line];
            }
        };
        for (auto& [value, placed] : p_.placed_) {
            move(placed.lines);
        }
        for (Kernel& kernel : p_.kernels_) {
            std::for_each(kernel.in.begin(), kernel.in.end(), move);
            for (Output& output : kernel.out) {
                output.line = output.count == 0 ? 0 : now[output.line];
            }
            for (Copy& copy : kernel.copies) {
                copy.from = now[copy.from];
                copy.to = now[copy.to];
            }
        }
    }

    void compile(NodeId id) {
        const Node& node = network_.node(id);
        std::vector<TensorType> types;
        for (const Value value : node.inputs) {
            use(value, id);
            types.push_back(network_.type(value));
        }
        if (node.op->sources != nullptr) {
            return place_move(id, node.op->sources(node, types));
        }
        Kernel kernel;
        for (std::uint32_t i = 0; i < node.types.size(); ++i) {
            const Placed& placed = place({id, i}, node.types[i], id);
            kernel.out.push_back({placed.lane, placed.lines.empty() ? 0 : placed.lines.front(),
                                  placed.lines.size()});
        }
        if (node.op->element != nullptr) {
            compile_map(kernel, node, types);
        } else if (node.op->row != nullptr) {
            compile_row(kernel, node, types);
        } else {
            compile_contract(kernel, node, types[0]);
        }
        p_.kernels_.push_back(std::move(kernel));
    }

    const Placed& operand(const Node& node, std::size_t i) const {
        return p_.placed_.at(node.inputs[i]);
    }

    /// The result's elements lie where the inputs' do, but for those that are in narrower lanes
    /// than others.
    void place_move(NodeId id, const std::vector<network::Source>& sources) {
        const Node& node = network_.node(id);
        Placed placed;
        for (std::size_t i = 0; i < node.inputs.size(); ++i) {
            placed.lane = std::max(placed.lane, operand(node, i).lane);
        }
        std::vector<std::size_t>& held = held_[{id, 0}];
        std::vector<const Placed*> from;
        for (std::size_t i = 0; i < node.inputs.size(); ++i) {
            from.push_back(&operand(node, i));
            if (from.back()->lane == placed.lane) {
                const auto& more = held_.at(node.inputs[i]);
                held.insert(held.end(), more.begin(), more.end());
            }
        }
        Kernel kernel;
        kernel.kind = Kernel::Kind::copy;
        placed.lines.reserve(sources.size());
        for (const network::Source& source : sources) {
            const auto element = static_cast<std::size_t>(source.element);
            if (source.input < 0) {
                placed.lines.push_back(0);
            } else if (const Placed& x = *from[static_cast<std::size_t>(source.input)];
                       x.lane == placed.lane) {
                placed.lines.push_back(x.lines[element]);
            } else {
                kernel.copies.push_back({x.lines[element], x.lane, 0});
                placed.lines.push_back(for_copy);
            }
        }
        if (!kernel.copies.empty()) {
            const std::uint32_t pitch = lines_of(placed.lane);
            std::uint32_t line = add_storage(kernel.copies.size() * pitch, id);
            held.push_back(storages_.size() - 1);
            std::size_t next = 0;
            for (std::uint32_t& own : placed.lines) {
                if (own == for_copy) {
                    own = kernel.copies[next++].to = line;
                    line += pitch;
                }
            }
            kernel.out.push_back({placed.lane, 0, 0});
            p_.kernels_.push_back(std::move(kernel));
        }
        p_.placed_[{id, 0}] = std::move(placed);
    }

    void compile_map(Kernel& kernel, const Node& node, const std::vector<TensorType>& types) {
        kernel.kind = Kernel::Kind::map;
        const operators::Bodies bodies = operators::map_bodies(node, types);
        std::vector<Lane> lanes;
        for (std::size_t i = 0; i < types.size(); ++i) {
            lanes.push_back(operand(node, i).lane);
        }
        std::map<std::vector<std::int64_t>, std::int32_t> known;
        std::vector<std::int32_t> evaluator_of;
        for (const operators::Body& body : bodies.bodies) {
            const auto [where, is_new] = known.try_emplace(
                content_of(body.function), static_cast<std::int32_t>(kernel.evaluators.size()));
            if (is_new) {
                kernel.evaluators.emplace_back(body.function, lanes,
                                               std::vector<Lane>{kernel.out[0].lane});
            }
            evaluator_of.push_back(where->second);
        }
        for (const std::int32_t body : bodies.body_of) {
            kernel.body_of.push_back(evaluator_of[static_cast<std::size_t>(body)]);
        }
        for (std::size_t i = 0; i < types.size(); ++i) {
            const auto index = broadcast_index(types[i].shape, node.types.front().shape);
            const Lines& from = operand(node, i).lines;
            Lines& to = kernel.in.emplace_back();
            to.reserve(index.size());
            for (const std::int64_t element : index) {
                to.push_back(from[static_cast<std::size_t>(element)]);
            }
            if (types.size() == 1) {
                find_functions(kernel, types[0], index);
                find_stretches(kernel, lines_of(lanes[0]));
            }
        }
    }

    void find_functions(Kernel& kernel, const TensorType& type,
                        const std::vector<std::int64_t>& index) {
        std::vector<std::optional<Interval>> ranges(kernel.evaluators.size());
        for (std::size_t e = 0; e < kernel.body_of.size(); ++e) {
            auto& range = ranges[static_cast<std::size_t>(kernel.body_of[e])];
            const Interval& more = type.fixed->at(index[e]).range;
            range = range ? hull(*range, more) : more;
        }
        for (std::size_t i = 0; i < ranges.size(); ++i) {
            kernel.functions.push_back(
                ranges[i] ? LaneFunction::of(kernel.evaluators[i], *ranges[i], budget_)
                          : std::nullopt);
        }
    }

    static void find_stretches(Kernel& kernel, std::uint32_t pitch) {
        const Lines& in = kernel.in[0];
        for (std::size_t e = 0; e < in.size(); ++e) {
            const auto body = static_cast<std::size_t>(kernel.body_of[e]);
            if (e > 0 && kernel.stretches.back().body == body && in[e] == in[e - 1] + pitch) {
                ++kernel.stretches.back().count;
            } else {
                kernel.stretches.push_back({body, e, 1});
            }
        }
    }

    void compile_row(Kernel& kernel, const Node& node, const std::vector<TensorType>& types) const {
        kernel.kind = Kernel::Kind::row;
        operators::Bodies bodies = operators::row_bodies(node, types);
        const auto length = static_cast<std::size_t>(types[0].shape.back());
        const Placed& x = operand(node, 0);
        const std::size_t rows = bodies.body_of.size();
        std::vector<Lane> out;
        for (const Output& output : kernel.out) {
            out.insert(out.end(), rows == 0 ? 0 : output.count / rows, output.lane);
        }
        for (const operators::Body& body : bodies.bodies) {
            kernel.evaluators.emplace_back(body.function, std::vector<Lane>(length, x.lane), out);
        }
        kernel.body_of = std::move(bodies.body_of);
        kernel.in.push_back(x.lines);
    }

    void compile_contract(Kernel& kernel, const Node& node, const TensorType& type) {
        kernel.kind = Kernel::Kind::contract;
        operators::ContractForms forms = operators::contract_forms(node, type);
        kernel.body_of = std::move(forms.form_of);
        for (const operators::ContractForm& form : forms.forms) {
            const Contraction& contraction =
                kernel.contractions.emplace_back(form, operand(node, 0).lane, kernel.out[0].lane);
            p_.scratch_ = std::max(p_.scratch_, contraction.scratch());
        }
        kernel.in.push_back(operand(node, 0).lines);
    }

    static constexpr std::uint32_t for_copy = std::numeric_limits<std::uint32_t>::max();

    TensorProgram& p_;
    const network::Network& network_;
    std::vector<Storage> storages_;
    std::size_t lines_ = 0;                           ///< of all storages
    std::map<Value, std::vector<std::size_t>> held_;  ///< the storages that hold a tensor
    /// The numbers on which bodies may still be evaluated to find their forms.
    std::int64_t budget_ = std::int64_t{1} << 22;
};

TensorProgram::TensorProgram(const operators::CoreModel& model, bool keep_all) : model_(model) {
    Maker(*this).share_memory(keep_all);
    for (std::size_t i = 0; i < model.encodings.size(); ++i) {
        encoders_.emplace_back(model, i);
    }
    for (std::size_t i = 0; i < model.decodings.size(); ++i) {
        decoders_.emplace_back(model, i);
    }
}

TensorProgram::Working TensorProgram::working() const {
    Working out;
    out.memory.resize((memory_lines_ + 1) * line_bytes);
    out.scratch.resize(scratch_ + line_bytes);
    return out;
}

void TensorProgram::load(const Samples& samples, std::int64_t first, std::int64_t count,
                         Working& working) const {
    const auto inputs = model_.network.inputs();
    for (std::size_t p = 0; p < inputs.size(); ++p) {
        const Placed& placed = placed_.at({inputs[p], 0});
        if (placed.lines.empty()) {
            continue;
        }
        const auto lanes = static_cast<std::int64_t>(block);
        std::byte* to = at(aligned(working.memory), placed.lines.front());
        if (count < lanes) {
            std::memset(to, 0, placed.lines.size() * lines_of(placed.lane) * line_bytes);
        }
        const auto encode = [&](auto* out) {
            encoders_[p].encode(samples, first, count, out, lanes, working.encoder);
        };
        switch (placed.lane) {
            case Lane::i8:
                encode(reinterpret_cast<std::int8_t*>(to));
                break;
            case Lane::i16:
                encode(reinterpret_cast<std::int16_t*>(to));
                break;
            case Lane::i32:
                encode(reinterpret_cast<std::int32_t*>(to));
                break;
            default:
                working.integers.assign(placed.lines.size() * block, 0);
                encode(working.integers.data());
                store(p, working.integers, working);
        }
    }
}

void TensorProgram::store(std::size_t port, const std::vector<std::int64_t>& integers,
                          Working& working) const {
    const Placed& placed = placed_.at({model_.network.inputs()[port], 0});
    if (!placed.lines.empty()) {
        convert(reinterpret_cast<const std::byte*>(integers.data()), Lane::i64,
                at(aligned(working.memory), placed.lines.front()), placed.lane,
                static_cast<std::int64_t>(integers.size()));
    }
}

void TensorProgram::fetch(const Placed& from, Working& working, Lane lane, std::byte* to) const {
    for (const std::uint32_t line : from.lines) {
        convert(at(aligned(working.memory), line), from.lane, to, lane,
                static_cast<std::int64_t>(block));
        to += block * bits::lane_bytes(lane);
    }
}

void TensorProgram::run(Working& working) const {
    std::byte* memory = aligned(working.memory);
    for (const Kernel& kernel : kernels_) {
        switch (kernel.kind) {
            case Kernel::Kind::map:
                run_map(kernel, memory, working);
                break;
            case Kernel::Kind::row:
                run_row(kernel, memory, working);
                break;
            case Kernel::Kind::contract:
                run_contract(kernel, memory, aligned(working.scratch));
                break;
            case Kernel::Kind::copy:
                for (const Copy& copy : kernel.copies) {
                    convert(at(memory, copy.from), copy.lane, at(memory, copy.to),
                            kernel.out[0].lane, static_cast<std::int64_t>(block));
                }
                break;
        }
    }
}

void TensorProgram::run_map(const Kernel& kernel, std::byte* memory, Working& working) {
    const std::uint32_t pitch = lines_of(kernel.out[0].lane);
    std::vector<const void*>& in = working.in;
    in.resize(kernel.in.size());
    const auto run_element = [&](std::size_t e) {
        for (std::size_t i = 0; i < in.size(); ++i) {
            in[i] = at(memory, kernel.in[i][e]);
        }
        void* out = at(memory, kernel.out[0].line + static_cast<std::uint32_t>(e) * pitch);
        kernel.evaluators[static_cast<std::size_t>(kernel.body_of[e])].run(in.data(), &out,
                                                                           working.evaluator);
    };
    if (kernel.in.size() != 1) {
        for (std::size_t e = 0; e < kernel.body_of.size(); ++e) {
            run_element(e);
        }
        return;
    }
    for (const Stretch& stretch : kernel.stretches) {
        if (const auto& function = kernel.functions[stretch.body]) {
            function->run(
                at(memory, kernel.in[0][stretch.first]),
                at(memory, kernel.out[0].line + static_cast<std::uint32_t>(stretch.first) * pitch),
                static_cast<std::int64_t>(stretch.count * block));
            continue;
        }
        for (std::size_t e = stretch.first; e < stretch.first + stretch.count; ++e) {
            run_element(e);
        }
    }
}

void TensorProgram::run_row(const Kernel& kernel, std::byte* memory, Working& working) {
    const std::size_t rows = kernel.body_of.size();
    const std::size_t length = rows == 0 ? 0 : kernel.in[0].size() / rows;
    for (std::size_t r = 0; r < rows; ++r) {
        working.in.clear();
        working.out.clear();
        for (std::size_t k = 0; k < length; ++k) {
            working.in.push_back(at(memory, kernel.in[0][r * length + k]));
        }
        for (const Output& output : kernel.out) {
            const std::size_t part = output.count / rows;
            for (std::size_t i = r * part; i < (r + 1) * part; ++i) {
                working.out.push_back(at(
                    memory, output.line + static_cast<std::uint32_t>(i) * lines_of(output.lane)));
            }
        }
        kernel.evaluators[static_cast<std::size_t>(kernel.body_of[r])].run(
            working.in.data(), working.out.data(), working.evaluator);
    }
}

void TensorProgram::run_contract(const Kernel& kernel, std::byte* memory, std::byte* scratch) {
    const std::uint32_t* in = kernel.in[0].data();
    std::byte* out = at(memory, kernel.out[0].line);
    for (const std::int32_t form : kernel.body_of) {
        const Contraction& contraction = kernel.contractions[static_cast<std::size_t>(form)];
        contraction.run(memory, in, out, scratch);
        in += contraction.n_in();
        out += static_cast<std::size_t>(contraction.n_out()) * lines_of(kernel.out[0].lane) *
               line_bytes;
    }
}

}  // namespace gatewright::emulate
