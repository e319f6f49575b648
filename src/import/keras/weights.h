#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/diagnostics.h"
#include "import/store/hdf5.h"

/// The weights of a model's file, by layer, in the order in which a layer creates them. There are
/// two layouts. Keras 2 (and .h5 files of Keras 3) keeps one flat list for each layer of the outer
/// model, whatever it contains. Keras 3 keeps a tree of objects, in which a layer inside a list has
/// the name of its class and a counter, not its own name.
namespace gatewright::keras {

/// What is still to be taken of one object's weights. Copies share what is left; `afresh` begins
/// again, for another call of a shared layer.
class Weights {
  public:
    Weights() = default;
    /// All weights of a file.
    static Weights of_file(std::shared_ptr<const store::Hdf5Group> root, const Location& where);

    /// Weights of an object that is not in the file.
    static Weights of_tensors(std::vector<Tensor> tensors, const Location& where);

    /// A file in the flat layout has children without boundaries: a child takes from its parent's
    /// list, in the order of creation.
    bool is_flat() const { return flat_; }
    /// Whether what is left may belong to what contains this object.
    bool is_shared() const { return shared_; }

    Weights afresh() const;
    /// A copy that takes on its own what is still left.
    Weights fork() const;
    /// The next weight of this object itself, or null if there is none left.
    const Tensor* next();
    /// The name in the file of the one that `next` would give.
    std::string next_name() const;
    /// All that is left, with the weights of objects inside this one ("dense/0"), by name.
    std::vector<std::pair<std::string, Tensor>> take_all();
    /// How many weights this object itself has left.
    std::size_t left() const;
    /// The weight number `index` of this object itself, whatever was taken; null if there is none.
    const Tensor* at(std::size_t index) const;

    /// Tree layout: whether there is an object at a path below this one ("cell/cells/lstm_cell").
    bool has(std::string_view path) const;
    /// The object in an attribute of this one, or at a path below it.
    Weights child(std::string_view path) const;

    /// The weights of the layers of a model, given their names and the names of their classes.
    /// `outermost`: this is the whole file.
    std::vector<Weights> layers(const std::vector<std::string>& names,
                                const std::vector<std::string>& classes, bool outermost) const;

  private:
    struct Entry {
        std::string name;
        std::shared_ptr<const Tensor> tensor;
    };

    std::shared_ptr<const store::Hdf5Group> root_;
    bool flat_ = false;
    bool shared_ = false;
    const store::Hdf5Group* group_ = nullptr;  ///< of this object; null if the file has none
    std::vector<Entry> own_;
    std::shared_ptr<std::size_t> taken_ = std::make_shared<std::size_t>(0);
    Location where_;

    void read_variables();
    Weights with_entries(std::vector<Entry> entries) const;
    std::vector<Weights> flat_layers(const std::vector<std::string>& names) const;
    std::vector<Weights> outermost_flat_layers(const std::vector<std::string>& names) const;
};

/// How Keras writes a class's name in lower case with underscores ("Conv2D": "conv2d").
std::string snake_case(std::string_view class_name);
/// The names that the objects of a list have in the tree layout.
std::vector<std::string> container_names(const std::vector<std::string>& class_names);

}  // namespace gatewright::keras
