#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "import/keras/call.h"
#include "import/keras/hgq_quantisers.h"

/// What the layers of HGQ2 have in common: quantisers in front of and behind the layer, variables
/// that only count costs, and a plain layer of Keras in between.
namespace gatewright::keras {

class HgqLayer {
  public:
    explicit HgqLayer(Call& layer_call);

    Call& call;

    bool has_input_quantiser() const { return input_quantiser_; }
    bool has_output_quantiser() const { return output_quantiser_; }

    /// The quantiser of a key of the configuration, its variables at a path below the layer.
    HgqQuantiser quantiser(const std::string& key, const std::string& path);
    /// Input `i`, quantised where the layer quantises its input.
    Operand input(std::size_t i = 0);
    /// All inputs of a layer of several, each with its own quantiser.
    std::vector<Operand> inputs();
    /// The next weight, quantised.
    Tensor weight(const std::string& role, const Shape& shape, const std::string& key,
                  const std::string& path);
    /// Takes the variables that count costs, which stand among the others.
    void take_costs();
    /// Quantises the result where the layer does so, and sets it.
    void finish(Operand y);

    /// The result of Keras' own layer with this layer's configuration, without the keys of HGQ2 and
    /// those of `dropped`, which the caller has used.
    Operand plain(const std::string& class_name, std::vector<Tensor> weights,
                  const std::vector<Operand>& inputs,
                  std::initializer_list<const char*> dropped = {});

  private:
    bool input_quantiser_ = true;
    bool output_quantiser_ = false;
    bool counts_costs_ = true;
};

/// Variables of the quantiser at a path below an object of the file.
HgqQuantiser quantiser_at(Call& call, const std::string& key, const Weights& object,
                          const std::string& path);

}  // namespace gatewright::keras
