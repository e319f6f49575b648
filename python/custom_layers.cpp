#include "custom_layers.h"

#include <fmt/format.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <exception>

#include "arrays.h"
#include "import/keras/rules.h"
#include "import/onnx/importer.h"
#include "import/torch/rules.h"

namespace gatewright {

namespace {

using layers::CustomLayer;

nb::object to_object(const CustomLayer::Json& json) {
    if (json.is_boolean()) {
        return nb::bool_(json.get<bool>());
    }
    if (json.is_number_unsigned()) {
        return nb::int_(json.get<std::uint64_t>());
    }
    if (json.is_number_integer()) {
        return nb::int_(json.get<std::int64_t>());
    }
    if (json.is_number()) {
        return nb::float_(json.get<double>());
    }
    if (json.is_string()) {
        const auto& text = json.get_ref<const std::string&>();
        return nb::str(text.c_str(), text.size());
    }
    if (json.is_array()) {
        nb::list out;
        for (const auto& item : json) {
            out.append(to_object(item));
        }
        return out;
    }
    if (json.is_object()) {
        nb::dict out;
        for (const auto& [name, value] : json.items()) {
            out[nb::str(name.c_str(), name.size())] = to_object(value);
        }
        return out;
    }
    return nb::none();
}

nb::object to_array(const Tensor& tensor) {
    return nb::cast(to_python(NpyArray::of(tensor.shape, std::span<const double>(tensor.values))));
}

/// The layer while its rule runs. Afterwards whatever still refers to it finds it gone.
class LayerAtWork {
  public:
    explicit LayerAtWork(CustomLayer& layer) : layer_(&layer) {}

    CustomLayer& layer() const {
        if (layer_ == nullptr) {
            throw std::runtime_error("the rule of this layer has ended");
        }
        return *layer_;
    }
    void end() { layer_ = nullptr; }

    /// Runs a step of the rule. An error of the network goes around Python, whose rule only sees
    /// that something failed.
    template <class Step>
    auto guarded(const Step& step) {
        try {
            return step(layer());
        } catch (const Failure& failure) {
            failed_ = std::current_exception();
            throw std::runtime_error(failure.what());
        } catch (const layers::BatchMixed&) {
            failed_ = std::current_exception();
            throw std::runtime_error("it mixes the samples of a batch");
        }
    }
    /// Throws the error that ended the rule, if it was one of the network.
    void rethrow() const {
        if (failed_ != nullptr) {
            std::rethrow_exception(failed_);
        }
    }

  private:
    CustomLayer* layer_;
    std::exception_ptr failed_;
};

std::int64_t add_constant(LayerAtWork& self, const InputArray& array) {
    const NpyArray taken = from_python(array);
    return self.guarded([&](CustomLayer& layer) {
        const auto values = to_doubles(taken);
        if (!values || std::any_of(values->begin(), values->end(),
                                   [](double v) { return !std::isfinite(v); })) {
            layer.refuse("its rule makes a constant of what are no finite numbers");
        }
        return layer.add_constant({taken.shape, *values});
    });
}

nb::list weights_of(LayerAtWork& self) {
    nb::list out;
    for (const auto& [name, tensor] : self.layer().weights()) {
        out.append(nb::make_tuple(nb::str(name.c_str(), name.size()), to_array(tensor)));
    }
    return out;
}

std::vector<std::string> setting_names(LayerAtWork& self) {
    std::vector<std::string> out;
    for (const auto& [name, value] : self.layer().settings()) {
        out.push_back(name);
    }
    return out;
}

}  // namespace

void run_rule(const std::string& name, nb::handle rule, CustomLayer& layer) {
    const nb::gil_scoped_acquire acquire;
    nb::object at_work = nb::cast(LayerAtWork(layer));
    LayerAtWork& state = nb::cast<LayerAtWork&>(at_work);
    try {
        layer.results = layer.finish(nb::cast<std::vector<std::int64_t>>(rule(at_work)));
        state.end();
    } catch (nb::python_error& error) {
        state.end();
        state.rethrow();
        const std::string type = nb::cast<std::string>(error.type().attr("__name__"));
        const std::string text = nb::cast<std::string>(nb::str(error.value()));
        layer.refuse(fmt::format("the rule for '{}' ended with {}: {}", name, type, text),
                     "Correct the rule.");
    } catch (const nb::cast_error&) {
        state.end();
        layer.refuse(fmt::format("the rule for '{}' gives no tensors", name), "Correct the rule.");
    } catch (...) {
        state.end();
        throw;
    }
}

std::vector<std::string> rule_names() {
    std::vector<std::string> out = keras::rule_names();
    for (const auto& names : {torch::rule_names(), onnx::rule_names()}) {
        out.insert(out.end(), names.begin(), names.end());
    }
    return out;
}

void bind_custom_layer(nb::module_& m) {
    nb::class_<LayerAtWork>(m, "LayerAtWork")
        .def_prop_ro("framework", [](LayerAtWork& self) { return self.layer().framework(); })
        .def_prop_ro("name", [](LayerAtWork& self) { return self.layer().name(); })
        .def_prop_ro("type", [](LayerAtWork& self) { return self.layer().type(); })
        .def("setting_names", &setting_names)
        .def("read_setting",
             [](LayerAtWork& self, const std::string& name) {
                 return self.guarded(
                     [&](CustomLayer& layer) { return to_object(layer.read_setting(name)); });
             })
        .def("ignore_setting",
             [](LayerAtWork& self, const std::string& name) {
                 self.guarded([&](CustomLayer& layer) { layer.ignore_setting(name); });
             })
        .def("weights", &weights_of)
        .def("use_weight",
             [](LayerAtWork& self, const std::string& name) { self.layer().use_weight(name); })
        .def("inputs", [](LayerAtWork& self) { return self.layer().inputs(); })
        .def("use_input", [](LayerAtWork& self, std::size_t i) { self.layer().use_input(i); })
        .def("shape",
             [](LayerAtWork& self, std::int64_t number) {
                 return self.guarded(
                     [&](CustomLayer& layer) { return layer.operand(number).sample_shape(); });
             })
        .def("value",
             [](LayerAtWork& self, std::int64_t number) -> nb::object {
                 return self.guarded([&](CustomLayer& layer) -> nb::object {
                     const layers::Operand& x = layer.operand(number);
                     return x.is_constant ? to_array(x.constant) : nb::none();
                 });
             })
        .def("constant", &add_constant)
        .def("emit", [](LayerAtWork& self, const std::string& op,
                        const std::vector<std::pair<std::string, std::string>>& fields,
                        const std::vector<std::int64_t>& operands) {
            return self.guarded(
                [&](CustomLayer& layer) { return layer.emit(op, fields, operands); });
        });
}

}  // namespace gatewright
