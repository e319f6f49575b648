#include "schedule/streaming.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <optional>
#include <set>

#include "operators/core.h"
#include "operators/move.h"
#include "schedule/counter.h"

namespace gatewright::schedule {

namespace {

using design::Lane;
using fixed::Fixed;
using network::Node;
using operators::Format;
using operators::WindowFields;

/// Where an element of a tensor is in the stream.
struct Place {
    std::int64_t pixel = 0;
    std::int64_t lane = 0;

    auto operator<=>(const Place&) const = default;
};
using Places = std::vector<Place>;

[[noreturn]] void refuse(const Node& node, std::string message) {
    throw Failure(Code::not_in_circuit, node.where, std::move(message),
                  "Use the parallel schedule for it.");
}

Lane lane_of(const Fixed& value) {
    return {value.type, value.range};
}
/// A process under construction.
struct Stage {
    explicit Stage(const std::string& name) : bits(name), builder(bits) { process.name = name; }

    design::Process process;
    bits::Builder bits;
    fixed::Builder builder;
    std::vector<Fixed> lanes;  ///< of the current pixel
    std::vector<Fixed> next;   ///< of the registers, then of the memories
    std::optional<std::pair<Axis, Axis>> window;
};

class Streamer {
  public:
    explicit Streamer(const operators::CoreModel& model) : network_(model.network) {}

    design::Design run() {
        design_.name = network_.name;
        for (network::NodeId id = 0; id < network_.nodes().size(); ++id) {
            const Node& node = network_.node(id);
            if (node.op == &network::input_operator) {
                if (id != 0) {
                    refuse(node, "a stream has one input");
                }
                take_input(node);
                continue;
            }
            if (node.inputs.size() != 1 || node.inputs[0].node + 1 != id ||
                node.types.size() != 1) {
                refuse(node, fmt::format("'{}' is no link of a chain", node.op->name));
            }
            stage_in(node);
            if (node.op == &operators::window_operator) {
                open_window(node);
            } else if (node.op->sources != nullptr) {
                move(node);
            } else if (node.op->element != nullptr) {
                map(node);
            } else if (node.op->row != nullptr || node.op->is_contract) {
                reduce(node);
            }
            check_formats(node);
        }
        const Node& last = network_.nodes().back();
        if (network_.outputs().size() != 1 ||
            network_.outputs()[0].value.node + 1 != network_.nodes().size()) {
            refuse(last, "a stream has one output, the end of its chain");
        }
        stage_in(last);
        finish();
        put_output();
        return std::move(design_);
    }

  private:
    const network::TensorType& input_type(const Node& node) const {
        return network_.type(node.inputs[0]);
    }

    void take_input(const Node& node) {
        const network::TensorType& type = node.types.front();
        if (type.shape.size() != 3) {
            refuse(node, fmt::format("its shape {} is not [channels, height, width]",
                                     to_string(type.shape)));
        }
        pixels_ = type.shape[1] * type.shape[2];
        std::vector<Lane> lanes;
        for (std::int64_t e = 0; e < element_count(type.shape); ++e) {
            places_.push_back({e % pixels_, e / pixels_});
            const Format& format = type.fixed->at(e);
            if (places_.back().pixel == 0) {
                lanes.push_back({format.type, format.range});
                continue;
            }
            Lane& lane = lanes.back();
            if (lane.type.frac != format.type.frac) {
                refuse(node, "the pixels of a channel have different types");
            }
            lane.range = hull(lane.range, format.range);
        }
        for (Lane& lane : lanes) {
            lane.type = type_for(lane.range, lane.type.frac);
        }
        design::TopPort port{std::string(network_.input_name(0)), lanes, pixels_, order()};
        design_.inputs.push_back(std::move(port));
        lanes_ = std::move(lanes);
    }

    /// Element of the tensor for each lane of each pixel.
    std::vector<std::int64_t> order() const {
        const auto lanes = static_cast<std::int64_t>(places_.size()) / pixels_;
        std::vector<std::int64_t> out(places_.size());
        for (std::size_t e = 0; e < places_.size(); ++e) {
            out[static_cast<std::size_t>(places_[e].pixel * lanes + places_[e].lane)] =
                static_cast<std::int64_t>(e);
        }
        return out;
    }

    /// Opens a process for what comes, unless there is one.
    void stage_in(const Node& node) {
        if (stage_ != nullptr || node.op == &operators::window_operator) {
            return;
        }
        open(node, {{"pixel", pixels_}});
        for (const design::Loop& loop : stage_->process.loops) {
            stage_->bits.input(loop.name, counter_type(loop.count));
        }
        stage_->lanes = inputs();
    }

    void open(const Node& node, std::vector<design::Loop> loops) {
        stage_ =
            std::make_unique<Stage>(fmt::format("{}_{}", network_.name, design_.processes.size()));
        stage_->builder.set_origin(node.where.layer);
        stage_->process.origin = node.where;
        for (design::Loop& loop : loops) {
            if (loop.count > 1) {
                stage_->process.loops.push_back(std::move(loop));
            }
        }
        stage_->process.inputs.push_back({"x", lanes_});
    }

    std::vector<Fixed> inputs() {
        std::vector<Fixed> out;
        for (const Lane& lane : lanes_) {
            out.push_back(
                stage_->builder.input(fmt::format("x.{}", out.size()), lane.type, lane.range));
        }
        return out;
    }

    /// Line memory and registers: afterwards the lanes are the patch that ends at this pixel.
    void open_window(const Node& node) {
        const auto& f = node.fields<WindowFields>();
        const Shape& shape = input_type(node).shape;
        if (f.kernel.size() != 2 || f.dilations != Shape{1, 1}) {
            refuse(node, "only windows of two axes without dilation stream");
        }
        const bool padded = f.before != Shape{0, 0} || f.after != Shape{0, 0};
        if (padded && f.clip) {
            refuse(node, "padding that repeats positions does not stream");
        }
        for (std::size_t e = 0; e < places_.size(); ++e) {
            const auto pixel = static_cast<std::int64_t>(e) % pixels_;
            const auto first = e - static_cast<std::size_t>(pixel);
            if (shape[1] * shape[2] != pixels_ || places_[e].pixel != pixel ||
                places_[e].lane != places_[first].lane) {
                refuse(node, "its pixels come in another order");
            }
        }
        Axis axes[2];
        for (std::size_t i = 0; i < 2; ++i) {
            axes[i] = {f.before[i], shape[i + 1], shape[i + 1] + f.before[i] + f.after[i],
                       f.kernel[i], f.strides[i]};
            if (!std::has_single_bit(static_cast<std::uint64_t>(axes[i].stride)) ||
                axes[i].count < 2) {
                refuse(node, fmt::format("extent {} with stride {} does not stream", axes[i].count,
                                         axes[i].stride));
            }
        }
        if (stage_ != nullptr) {
            finish();
        }
        open(node, {{"row", axes[0].count}, {"column", axes[1].count}});
        stage_->window = {axes[0], axes[1]};
        const std::vector<Fixed> patch = slide(axes[0], axes[1], padded);

        // The lanes in the order of the tensor's last axis: channel, then position.
        const Shape& out = node.types.front().shape;
        const std::int64_t positions = f.kernel[0] * f.kernel[1];
        const auto channels = static_cast<std::int64_t>(lanes_.size());
        for (std::int64_t c = 0; c < shape[0]; ++c) {
            const std::int64_t lane = places_[static_cast<std::size_t>(c * pixels_)].lane;
            for (std::int64_t k = 0; k < positions; ++k) {
                stage_->lanes.push_back(patch[static_cast<std::size_t>(k * channels + lane)]);
            }
        }
        pixels_ = out[0] * out[1];
        places_.clear();
        for (std::int64_t e = 0; e < element_count(out); ++e) {
            places_.push_back({e / out[2], e % out[2]});
        }
    }

    /// Counters, word, registers and memory in, the patch [kernel row, kernel column, lane] out.
    std::vector<Fixed> slide(const Axis& rows, const Axis& columns, bool padded) {
        fixed::Builder& builder = stage_->builder;
        design::Process& process = stage_->process;
        Counter row(builder, process.loops[0]);
        Counter column(builder, process.loops[1]);
        std::vector<Fixed> pixel = inputs();
        std::vector<Lane> lanes;
        for (const Fixed& value : pixel) {
            const Interval range = padded ? hull(value.range, {0, 0}) : value.range;
            lanes.push_back({type_for(range, value.type.frac), range});
        }
        const auto kernel_rows = static_cast<std::size_t>(rows.kernel);
        const auto kernel_columns = static_cast<std::size_t>(columns.kernel);

        // Columns of the patch, oldest first; a register for each but the newest.
        std::vector<std::vector<Fixed>> patch(kernel_columns);
        for (std::size_t j = 0; j + 1 < kernel_columns; ++j) {
            for (std::size_t i = 0; i < kernel_rows; ++i) {
                for (std::size_t l = 0; l < lanes.size(); ++l) {
                    const Interval range = hull(lanes[l].range, {0, 0});
                    design::Register state{fmt::format("window_{}_{}_{}", i, j, l),
                                           {type_for(range, lanes[l].type.frac), range},
                                           0};
                    patch[j].push_back(builder.input(state.name, state.lane.type, range));
                    process.registers.push_back(std::move(state));
                }
            }
        }
        // The rows above this one, in this column.
        std::vector<Fixed>& newest = patch.back();
        if (kernel_rows > 1) {
            design::Memory memory{"lines", {}, columns.count, {}};
            for (std::size_t i = 0; i + 1 < kernel_rows; ++i) {
                for (const Lane& lane : lanes) {
                    newest.push_back(builder.input(fmt::format("lines.{}", memory.lanes.size()),
                                                   lane.type, lane.range));
                    memory.lanes.push_back(lane);
                }
            }
            process.memories.push_back(std::move(memory));
        }
        if (padded) {
            const Fixed inside =
                builder.logical_and(row.within(rows.before, rows.before + rows.size),
                                    column.within(columns.before, columns.before + columns.size));
            for (Fixed& value : pixel) {
                value = builder.select(inside, value, builder.constant(0, value.type.frac));
            }
        }
        newest.insert(newest.end(), pixel.begin(), pixel.end());

        for (std::size_t j = 0; j + 1 < kernel_columns; ++j) {
            stage_->next.insert(stage_->next.end(), patch[j + 1].begin(), patch[j + 1].end());
        }
        if (kernel_rows > 1) {
            stage_->next.insert(stage_->next.end(),
                                newest.begin() + static_cast<std::ptrdiff_t>(lanes.size()),
                                newest.end());
        }
        std::vector<Fixed> out;
        for (std::size_t i = 0; i < kernel_rows; ++i) {
            for (std::size_t j = 0; j < kernel_columns; ++j) {
                for (std::size_t l = 0; l < lanes.size(); ++l) {
                    // A complete patch holds words of the stream only.
                    out.push_back(
                        builder.assume_range(patch[j][i * lanes.size() + l], lanes[l].range));
                }
            }
        }
        return out;
    }

    void move(const Node& node) {
        Places places;
        const std::vector<network::TensorType> types = {input_type(node)};
        for (const network::Source& source : node.op->sources(node, types)) {
            if (source.input < 0) {
                refuse(node, "zeros between the pixels do not stream");
            }
            places.push_back(places_[static_cast<std::size_t>(source.element)]);
        }
        if (places.size() != places_.size()) {
            refuse(node, "a move that drops or repeats elements does not stream");
        }
        places_ = std::move(places);
    }

    /// The element with the widest input stands for its lane. Fields of others (thresholds that
    /// their range never reaches are dropped at the border) must say the same on their range.
    void map(const Node& node) {
        const std::vector<network::TensorType> types = {input_type(node)};
        const operators::Bodies bodies = operators::map_bodies(node, types);
        std::vector<std::optional<std::size_t>> widest(stage_->lanes.size());
        for (std::size_t e = 0; e < places_.size(); ++e) {
            auto& best = widest[static_cast<std::size_t>(places_[e].lane)];
            if (!best || range_at(bodies, e).contains(range_at(bodies, *best))) {
                best = e;
            }
        }
        std::set<std::pair<std::int32_t, std::int32_t>> compared;
        for (std::size_t e = 0; e < places_.size(); ++e) {
            const std::size_t best = *widest[static_cast<std::size_t>(places_[e].lane)];
            if (bodies.body_of[e] != bodies.body_of[best] &&
                compared.emplace(bodies.body_of[e], bodies.body_of[best]).second) {
                require_equal(node, bodies, e, best);
            }
        }
        stage_->builder.set_origin(node.where.layer);
        std::vector<Fixed> lanes;
        for (std::size_t l = 0; l < widest.size(); ++l) {
            if (!range_at(bodies, *widest[l]).contains(stage_->lanes[l].range)) {
                refuse(node, "no pixel has the whole range of its channel");
            }
            lanes.push_back(node.op->element(stage_->builder, node, std::span(&stage_->lanes[l], 1),
                                             static_cast<std::int64_t>(*widest[l])));
        }
        stage_->lanes = std::move(lanes);
    }

    static const operators::Body& body_at(const operators::Bodies& bodies, std::size_t e) {
        return bodies.bodies[static_cast<std::size_t>(bodies.body_of[e])];
    }
    static const Interval& range_at(const operators::Bodies& bodies, std::size_t e) {
        return body_at(bodies, e).inputs.front().range;
    }

    /// Compares the bodies of two elements on the whole range of the first.
    static void require_equal(const Node& node, const operators::Bodies& bodies, std::size_t narrow,
                              std::size_t wide) {
        constexpr Int128 most_values = 1 << 18;
        const operators::Body& a = body_at(bodies, narrow);
        const operators::Body& b = body_at(bodies, wide);
        const Interval& range = range_at(bodies, narrow);
        if (!range_at(bodies, wide).contains(range)) {
            refuse(node, "no pixel has the whole range of its channel");
        }
        if (key(node, narrow) == key(node, wide)) {
            return;
        }
        if (range.high - range.low >= most_values) {
            refuse(node, "pixels differ in their fields, on ranges too wide to compare");
        }
        for (Int128 x = range.low; x <= range.high; ++x) {
            if (bits::evaluate(a.function, {x}) != bits::evaluate(b.function, {x})) {
                refuse(node, "pixels are treated differently");
            }
        }
    }
    static std::int64_t key(const Node& node, std::size_t element) {
        return node.op->element_key == nullptr
                   ? 0
                   : node.op->element_key(node, static_cast<std::int64_t>(element));
    }

    /// Contractions and row operators: the rows of the first pixel stand for those of all.
    void reduce(const Node& node) {
        const auto length = static_cast<std::size_t>(input_type(node).shape.back());
        const std::size_t rows = places_.size() / length;
        const auto results = static_cast<std::int64_t>(element_count(node.types.front().shape)) /
                             static_cast<std::int64_t>(rows);
        const auto per_pixel = static_cast<std::int64_t>(rows) / pixels_;
        std::vector<std::int64_t> seen(static_cast<std::size_t>(pixels_), 0);
        std::vector<std::vector<std::int64_t>> lanes_of;  // of the rows of a pixel
        std::vector<std::size_t> rows_of;                 // which row stands for it
        Places places;
        for (std::size_t r = 0; r < rows; ++r) {
            const std::int64_t pixel = places_[r * length].pixel;
            std::vector<std::int64_t> lanes;
            for (std::size_t k = 0; k < length; ++k) {
                const Place& place = places_[r * length + k];
                if (place.pixel != pixel) {
                    refuse(node, "its rows reach over several pixels");
                }
                lanes.push_back(place.lane);
            }
            const auto number = static_cast<std::size_t>(seen[static_cast<std::size_t>(pixel)]++);
            if (number == lanes_of.size()) {
                lanes_of.push_back(lanes);
                rows_of.push_back(r);
            }
            if (lanes_of[number] != lanes || static_cast<std::int64_t>(number) >= per_pixel) {
                refuse(node, "the rows of its pixels differ");
            }
            if (zeros(node, r, length) < zeros(node, rows_of[number], length)) {
                rows_of[number] = r;  // a patch that lies inside knows more of the types
            }
            for (std::int64_t o = 0; o < results; ++o) {
                places.push_back({pixel, static_cast<std::int64_t>(number) * results + o});
            }
        }
        std::optional<operators::ContractForms> forms;
        if (node.op->is_contract) {
            forms = operators::contract_forms(node, input_type(node));
        }
        stage_->builder.set_origin(node.where.layer);
        std::vector<Fixed> out;
        for (std::size_t number = 0; number < lanes_of.size(); ++number) {
            std::vector<Fixed> x;
            for (const std::int64_t lane : lanes_of[number]) {
                x.push_back(stage_->lanes[static_cast<std::size_t>(lane)]);
            }
            const std::vector<Fixed> y =
                forms ? products(
                            forms->forms[static_cast<std::size_t>(forms->form_of[rows_of[number]])],
                            x)
                      : node.op->row(stage_->builder, node, x).front();
            out.insert(out.end(), y.begin(), y.end());
        }
        stage_->lanes = std::move(out);
        places_ = std::move(places);
    }

    /// Elements of a row that are padding.
    std::size_t zeros(const Node& node, std::size_t row, std::size_t length) const {
        std::size_t count = 0;
        for (std::size_t k = 0; k < length; ++k) {
            const auto e = static_cast<std::int64_t>(row * length + k);
            count += input_type(node).fixed->at(e).range == Interval{0, 0} ? 1 : 0;
        }
        return count;
    }

    std::vector<Fixed> products(const operators::ContractForm& form, const std::vector<Fixed>& x) {
        fixed::Builder& builder = stage_->builder;
        std::vector<Fixed> out;
        for (std::int64_t o = 0; o < form.matrix.n_out; ++o) {
            std::vector<Fixed> terms;
            for (std::size_t k = 0; k < x.size(); ++k) {
                // The matrix works on integers.
                terms.push_back(
                    builder.mul_constant(builder.scale(x[k], x[k].type.frac),
                                         form.matrix.at(static_cast<std::int64_t>(k), o), 0));
            }
            out.push_back(builder.scale(builder.sum(terms),
                                        -form.outputs[static_cast<std::size_t>(o)].type.frac));
        }
        return out;
    }

    /// The stream carries integers: at every pixel they must mean what the network says.
    void check_formats(const Node& node) const {
        const network::TensorType& type = node.types.front();
        for (std::size_t e = 0; e < places_.size(); ++e) {
            const Format& format = type.fixed->at(static_cast<std::int64_t>(e));
            const Fixed& lane = stage_->lanes[static_cast<std::size_t>(places_[e].lane)];
            if (format.range != Interval{0, 0} && format.type.frac != lane.type.frac) {
                refuse(node, "its pixels have different binary points");
            }
        }
    }

    /// Closes the process: its lanes become a port, its control follows from its window.
    void finish() {
        design::Process& process = stage_->process;
        design::Port port{"y", {}};
        for (const Fixed& value : stage_->lanes) {
            stage_->bits.output(fmt::format("y.{}", port.lanes.size()), value.bits);
            port.lanes.push_back(lane_of(value));
        }
        std::size_t next = 0;
        const auto put = [&](const std::string& name, const Lane& lane) {
            stage_->bits.output(name, stage_->bits.cast(stage_->next[next++].bits, lane.bits()));
        };
        for (const design::Register& state : process.registers) {
            put(state.name, state.lane);
        }
        for (const design::Memory& memory : process.memories) {
            for (std::size_t l = 0; l < memory.lanes.size(); ++l) {
                put(fmt::format("{}.{}", memory.name, l), memory.lanes[l]);
            }
        }
        process.outputs.push_back(std::move(port));
        process.body = stage_->bits.take();
        process.control = control();
        connect(process.inputs[0].lanes);
        lanes_ = process.outputs[0].lanes;
        design_.processes.push_back(std::move(process));
        stage_.reset();
    }

    bits::Function control() const {
        bits::Builder bits("control");
        fixed::Builder builder(bits);
        const auto condition = [&](const std::string& name, const Fixed& value) {
            bits.output(name, bits.cast(value.bits, {false, 1}));
        };
        const design::Process& process = stage_->process;
        if (!stage_->window) {
            for (const design::Loop& loop : process.loops) {
                bits.input(loop.name, counter_type(loop.count));
            }
            condition("x.when", builder.constant(1, 0));
            condition("y.when", builder.constant(1, 0));
            return bits.take();
        }
        const auto& [rows, columns] = *stage_->window;
        Counter row(builder, process.loops[0]);
        Counter column(builder, process.loops[1]);
        condition("x.when", builder.logical_and(
                                row.within(rows.before, rows.before + rows.size),
                                column.within(columns.before, columns.before + columns.size)));
        condition("y.when", builder.logical_and(row.completes(rows), column.completes(columns)));
        if (!process.memories.empty()) {
            bits.output("lines.read_address", column.node());
            condition("lines.write_when", builder.constant(1, 0));
            bits.output("lines.write_address", column.node());
        }
        return bits.take();
    }

    /// From the end of the chain so far to the process that comes next (or to the top).
    void connect(const std::vector<Lane>& lanes, bool to_top = false) {
        const auto number = static_cast<int>(design_.processes.size());
        const design::End to{to_top ? -1 : number, 0};
        // Two words let both sides run without a path of logic between them.
        const std::int64_t depth = number == 0 || to_top ? 0 : 2;
        design_.channels.push_back({{number - 1, 0}, to, lanes, depth});
    }

    void put_output() {
        connect(lanes_, true);
        design_.outputs.push_back(
            {std::string(network_.outputs()[0].name), lanes_, pixels_, order()});
    }

    const network::Network& network_;
    design::Design design_;
    std::unique_ptr<Stage> stage_;
    std::int64_t pixels_ = 1;
    Places places_;            ///< of the elements of the chain's last tensor
    std::vector<Lane> lanes_;  ///< of the channel that the open process reads
};

}  // namespace

design::Design streaming(const operators::CoreModel& model) {
    return Streamer(model).run();
}

}  // namespace gatewright::schedule
