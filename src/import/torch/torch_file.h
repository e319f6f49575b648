#pragma once

#include <optional>
#include <string>
#include <vector>

#include "import/torch/pickle.h"
#include "import/torch/storage.h"

/// What torch.save writes: a pickle, and the storages that its tensors are views of. Both forms,
/// zip archives and the older plain one.
namespace gatewright::torch {

class TorchFile {
  public:
    /// Takes the file's bytes; `file` is named in errors. Throws Failure.
    TorchFile(std::vector<std::byte> bytes, std::string file,
              const layers::ImportOptions& options = {});

    const Pickle& pickle() const { return pickle_; }
    const PickleValue& root() const { return pickle_.at(pickle_.root); }
    const PickleValue& at(PickleRef ref) const { return pickle_.at(ref); }

    /// Whether a value is a tensor or a parameter.
    bool is_tensor(const PickleValue& value) const;
    /// The tensor that a value describes; `name` stands in errors.
    StoredTensor tensor(const PickleValue& value, const std::string& name) const;
    /// The tensors of a dict of names; what is no tensor is left out.
    TensorStore tensors(const PickleValue& dict) const;

    [[noreturn]] void malformed(std::string message, const std::string& layer = {}) const;
    const std::string& file() const { return file_; }

  private:
    struct Storage {
        ScalarType type = ScalarType::unknown;
        std::vector<std::byte> bytes;
    };

    void read_archive(std::vector<std::byte> bytes, const layers::ImportOptions& options);
    void read_plain(std::vector<std::byte> bytes, const layers::ImportOptions& options);
    /// The key and type of a storage from its persistent id.
    std::pair<std::string, ScalarType> storage_id(const PickleValue& persistent) const;

    std::string file_;
    Pickle pickle_;
    bool big_endian_ = false;
    std::map<std::string, Storage> storages_;
};

/// Whether the bytes are a zip archive.
bool is_archive(std::span<const std::byte> bytes);

}  // namespace gatewright::torch
