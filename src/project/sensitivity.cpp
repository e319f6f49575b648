#include "project/sensitivity.h"

#include <cmath>
#include <map>

#include "operators/core.h"
#include "operators/map.h"
#include "operators/row.h"

namespace gatewright::project {

namespace {

using network::Node;
using network::NodeId;
using network::TensorType;
using network::Value;

double number(Int128 value) {
    return static_cast<double>(value);
}

double middle(const Interval& range) {
    return (number(range.low) + number(range.high)) / 2;
}

/// Slope of a map of one operand in integers: element `e` of the result by its operand.
double slope(const Node& node, const network::Format& x, std::int64_t e) {
    const Interval& range = x.range;
    const double step = std::ldexp(1.0, node.types.front().fixed->at(e).type.frac - x.type.frac);
    if (node.op == &operators::affine_operator) {
        return number(node.fields<operators::AffineFields>().multiplier.at(e));
    }
    if (node.op == &operators::leaky_operator) {
        const auto& f = node.fields<operators::LeakyFields>();
        return number(range.high > 0 ? f.positive.at(e) : f.negative.at(e));
    }
    if (node.op == &operators::absolute_operator) {
        return middle(range) < 0 ? -1 : 1;
    }
    if (node.op == &operators::thresholds_operator) {
        const auto& f = node.fields<operators::ThresholdFields>();
        return static_cast<double>(f.step.at(e)) * static_cast<double>(f.thresholds.at(e).size()) /
               (number(range.high) - number(range.low) + 1);
    }
    if (node.op == &operators::table_operator) {
        const auto& words = node.fields<operators::TableFields>().words.at(e);
        return words.empty() ? 0
                             : (number(words.back()) - number(words.front())) /
                                   static_cast<double>(words.size());
    }
    return step;  // quantize and clamp
}

class Backward {
  public:
    Backward(const network::Network& network, Value value, std::int64_t element)
        : network_(network) {
        at(value)[static_cast<std::size_t>(element)] = 1;
        for (NodeId id = value.node + 1; id-- > 0;) {
            const Node& node = network_.node(id);
            for (std::uint32_t i = 0; i < node.types.size(); ++i) {
                const auto known = of_.find({id, i});
                if (known != of_.end() && node.op != &network::input_operator) {
                    const std::vector<double> y = std::move(known->second);
                    of_.erase(known);
                    visit(node, i, y);
                }
            }
        }
    }

    std::vector<std::vector<double>> inputs() {
        std::vector<std::vector<double>> out;
        for (const NodeId id : network_.inputs()) {
            out.push_back(at({id, 0}));
        }
        return out;
    }

  private:
    std::vector<double>& at(Value value) {
        auto& v = of_[value];
        v.resize(static_cast<std::size_t>(element_count(network_.type(value).shape)));
        return v;
    }

    void visit(const Node& node, std::uint32_t output, const std::vector<double>& y) {
        if (node.op->is_contract) {
            contract(node, y);
        } else if (node.op->sources != nullptr) {
            std::vector<TensorType> types;
            for (const Value value : node.inputs) {
                types.push_back(network_.type(value));
            }
            const auto sources = node.op->sources(node, types);
            for (std::size_t e = 0; e < sources.size(); ++e) {
                if (sources[e].input >= 0 && y[e] != 0) {
                    at(node.inputs[static_cast<std::size_t>(
                        sources[e].input)])[static_cast<std::size_t>(sources[e].element)] += y[e];
                }
            }
        } else if (node.op->row != nullptr) {
            row(node, output, y);
        } else {
            map(node, y);
        }
    }

    void contract(const Node& node, const std::vector<double>& y) {
        const auto forms = operators::contract_forms(node, network_.type(node.inputs[0]));
        std::vector<double>& x = at(node.inputs[0]);
        std::size_t first_in = 0;
        std::size_t first_out = 0;
        for (const std::int32_t f : forms.form_of) {
            const linear::Matrix& matrix = forms.forms[static_cast<std::size_t>(f)].matrix;
            for (std::int64_t o = 0; o < matrix.n_out; ++o) {
                const double s = y[first_out + static_cast<std::size_t>(o)];
                for (std::int64_t i = 0; s != 0 && i < matrix.n_in; ++i) {
                    x[first_in + static_cast<std::size_t>(i)] +=
                        s * static_cast<double>(matrix.at(i, o));
                }
            }
            first_in += static_cast<std::size_t>(matrix.n_in);
            first_out += static_cast<std::size_t>(matrix.n_out);
        }
    }

    /// Sums, and what picks one of a row; positions depend on nothing to first order.
    void row(const Node& node, std::uint32_t output, const std::vector<double>& y) {
        if (node.op == &operators::row_argmax_operator || output > 0 || y.empty()) {
            return;
        }
        const TensorType& type = network_.type(node.inputs[0]);
        std::vector<double>& x = at(node.inputs[0]);
        if (node.op == &operators::row_accumulate_operator) {
            const auto& f = node.fields<operators::AccumulateFields>();
            const auto columns = static_cast<std::size_t>(f.weights.shape[1]);
            const auto products = static_cast<std::size_t>(f.weights.shape[0]);
            for (std::size_t e = 0; e < y.size(); ++e) {
                for (std::size_t k = 0; k < products && y[e] != 0; ++k) {
                    const std::size_t from = e / columns * products + k;
                    const int move =
                        frac(node.types[0], e) - frac(type, from) - static_cast<int>(f.frac);
                    x[from] += std::ldexp(
                        y[e] * static_cast<double>(f.weights.values[k * columns + e % columns]),
                        move);
                }
            }
            return;
        }
        const auto length = static_cast<std::size_t>(type.shape.back());
        const std::size_t results = y.size() * length / x.size();  // of one row
        for (std::size_t e = 0; e < x.size(); ++e) {
            for (std::size_t i = 0; i < results; ++i) {
                const std::size_t o = e / length * results + i;
                x[e] += std::ldexp(y[o], frac(node.types[0], o) - frac(type, e));
            }
        }
    }

    static int frac(const TensorType& type, std::size_t element) {
        return type.fixed->at(static_cast<std::int64_t>(element)).type.frac;
    }

    void map(const Node& node, const std::vector<double>& y) {
        const TensorType& type = node.types.front();
        std::vector<std::vector<std::int64_t>> index;
        for (const Value value : node.inputs) {
            index.push_back(broadcast_index(network_.type(value).shape, type.shape));
        }
        for (std::size_t e = 0; e < y.size(); ++e) {
            for (std::size_t i = 0; i < node.inputs.size() && y[e] != 0; ++i) {
                const std::int64_t from = index[i][e];
                const network::Format& x = network_.type(node.inputs[i]).fixed->at(from);
                double s = std::ldexp(1.0, frac(type, e) - x.type.frac);
                if (node.inputs.size() == 1) {
                    s = slope(node, x, static_cast<std::int64_t>(e));
                } else if (node.op == &operators::subtract_operator && i == 1) {
                    s = -s;
                } else if (node.op == &operators::multiply_operator) {
                    s = middle(network_.type(node.inputs[1 - i]).fixed->at(index[1 - i][e]).range);
                }
                at(node.inputs[i])[static_cast<std::size_t>(from)] += y[e] * s;
            }
        }
    }

    const network::Network& network_;
    std::map<Value, std::vector<double>> of_;
};

}  // namespace

std::vector<std::vector<double>> sensitivity(const network::Network& network, network::Value value,
                                             std::int64_t element) {
    return Backward(network, value, element).inputs();
}

}  // namespace gatewright::project
