#include "passes/delay_lines.h"

#include <algorithm>
#include <map>
#include <vector>

#include "design/pipeline.h"

namespace gatewright::passes {

using design::DelayLine;

namespace {

constexpr std::int64_t table_cost = 2;  ///< in flip-flops

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
    return (a + b - 1) / b;
}

/// Pieces of lines that are stored, by their levels: a memory each.
using Groups = std::map<std::int32_t, std::vector<DelayLine>>;

std::int64_t bits_of(const bits::Function& function, const std::vector<DelayLine>& lines) {
    std::int64_t bits = 0;
    for (const DelayLine& line : lines) {
        bits += function.nodes[line.value].type.width;
    }
    return bits;
}

std::int64_t cost_of_memory(const LineCell& cell, std::int32_t levels, std::int64_t bits) {
    const std::int64_t counter = bit_length(static_cast<UInt128>(levels - 2));
    return table_cost * cell.tables * ceil_div(bits, cell.bits) + bits + counter * (table_cost + 1);
}

Groups stored_groups(const design::Pipeline& pipeline) {
    Groups groups;
    for (const DelayLine& line : pipeline.stored) {
        groups[line.levels].push_back(line);
    }
    return groups;
}

/// Whether a memory saves more than it and its counter cost, in time.
bool pays(const bits::Function& function, const DelayModel& model, double critical_ns,
          std::int32_t levels, const std::vector<DelayLine>& lines) {
    const std::int64_t bits = bits_of(function, lines);
    const std::int64_t pins = 2 * ceil_div(bits, model.line.bits) + 1;  // to read and to write
    const int load = model.fanout_ps * bit_length(static_cast<UInt128>(pins - 1));
    const int path = model.register_ps + model.routing_ps + model.lut_ps + load;
    return cost_of_memory(model.line, levels, bits) < bits * levels && path <= critical_ns * 1000;
}

}  // namespace

std::int32_t waiting_cost(const LineCell& cell, std::int32_t levels) {
    if (cell.bits == 0) {
        return levels;
    }
    // The last level of each piece is a flip-flop.
    const auto piece = static_cast<std::int32_t>(1 + ceil_div(table_cost * cell.tables, cell.bits));
    const std::int32_t most = cell.words + 1;
    return levels / most * piece + std::min(levels % most, piece);
}

void store_delay_lines(const bits::Function& function, const DelayModel& model,
                       design::Pipeline& pipeline) {
    pipeline.stored.clear();
    pipeline.stored_in_memories = model.line.is_memory;
    if (model.line.bits == 0 || pipeline.latency() < 2) {
        return;
    }
    Groups groups;
    for (DelayLine line : design::delay_lines(function, pipeline)) {
        while (waiting_cost(model.line, line.levels) < line.levels) {
            DelayLine piece = line;
            piece.levels = std::min(line.levels, model.line.words + 1);
            groups[piece.levels].push_back(piece);
            line.first += piece.levels;
            line.levels -= piece.levels;
        }
    }
    for (const auto& [levels, lines] : groups) {
        if (!model.line.is_memory ||
            pays(function, model, pipeline.critical_path_ns, levels, lines)) {
            pipeline.stored.insert(pipeline.stored.end(), lines.begin(), lines.end());
        }
    }
}

std::int64_t cost_of_registers(const bits::Function& function, const DelayModel& model,
                               const design::Pipeline& pipeline) {
    std::int64_t cost = design::register_bits(function, pipeline);
    for (const auto& [levels, lines] : stored_groups(pipeline)) {
        const std::int64_t bits = bits_of(function, lines);
        cost += model.line.is_memory
                    ? cost_of_memory(model.line, levels, bits) - bits
                    : table_cost * model.line.tables * ceil_div(bits, model.line.bits);
    }
    return cost;
}

std::int64_t stored_tables(const bits::Function& function, const DelayModel& model,
                           const design::Pipeline& pipeline) {
    std::int64_t tables = 0;
    for (const auto& [levels, lines] : stored_groups(pipeline)) {
        tables += model.line.tables * ceil_div(bits_of(function, lines), model.line.bits);
    }
    return tables;
}

}  // namespace gatewright::passes
