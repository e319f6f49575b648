#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "types/tensor.h"

/// Reads what Keras writes into HDF5 files: groups, datasets of numbers, attributes of texts and
/// numbers. The whole file becomes one tree; nothing of the format is left to the caller.
namespace gatewright::store {

/// Texts of any shape, row-major: a scalar is a list of one.
using Texts = std::vector<std::string>;

/// What an attribute or a dataset holds.
using Hdf5Value = std::variant<Tensor, Texts>;

/// A group with all below it.
struct Hdf5Group {
    std::map<std::string, Hdf5Value> attributes;
    std::map<std::string, Hdf5Value> datasets;
    /// Attributes of datasets, by the dataset's name; only of those that have any.
    std::map<std::string, std::map<std::string, Hdf5Value>> dataset_attributes;
    std::map<std::string, Hdf5Group> groups;

    /// The group below at "a/b/c", or null; "" is this group.
    const Hdf5Group* group(std::string_view path) const;
    /// The numbers of the dataset at "a/b/c", or null.
    const Tensor* tensor(std::string_view path) const;
    /// An attribute's only text, or null.
    const std::string* text(const std::string& name) const;
    /// An attribute's texts, also where h5py cut a long list into name0, name1, ...; empty if none.
    Texts texts(const std::string& name) const;
};

/// Reads a file's bytes. `file` is named in errors. Throws Failure (store_malformed).
Hdf5Group read_hdf5(std::span<const std::byte> bytes, const std::string& file);

/// Whether the bytes begin as an HDF5 file does.
bool is_hdf5(std::span<const std::byte> bytes);

}  // namespace gatewright::store
