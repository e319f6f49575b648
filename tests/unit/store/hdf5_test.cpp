#include "import/store/hdf5.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "base/file.h"
#include "refusal.h"

using namespace gatewright;
using namespace gatewright::test;
using store::Hdf5Group;
using store::read_hdf5;
using store::Texts;

namespace {

/// A file of tests/fixtures/hdf5, which make_hdf5.py there has written.
std::vector<std::byte> fixture(const std::string& name) {
    return read_file_bytes(std::string(GATEWRIGHT_FIXTURES) + "/hdf5/" + name + ".h5");
}

Hdf5Group tree(const std::string& name) {
    return read_hdf5(fixture(name), name + ".h5");
}

std::string error_of(std::span<const std::byte> bytes) {
    return refusal([&] { read_hdf5(bytes, "f.h5"); });
}

/// 0, 1, 2, ... plus `first`.
Tensor counted(Shape shape, double first = 0) {
    Tensor out = Tensor::filled(std::move(shape), 0);
    std::iota(out.values.begin(), out.values.end(), first);
    return out;
}

void check_tensor(const Hdf5Group& group, const std::string& path, const Tensor& expected) {
    CAPTURE(path);
    const Tensor* found = group.tensor(path);
    REQUIRE(found != nullptr);
    CHECK(*found == expected);
}

void check_attributes(const Hdf5Group& root) {
    REQUIRE(root.text("text") != nullptr);
    CHECK(*root.text("text") == "h\xc3\xa4l");
    CHECK(*root.text("bytes") == "abc");
    CHECK(root.text("names") == nullptr);
    CHECK(root.texts("names") == Texts{"a", "bcd"});
    CHECK(root.texts("many") == Texts{"k0", "k1", "k2"});
    CHECK(root.texts("number").empty());
    CHECK(std::get<Tensor>(root.attributes.at("number")) == Tensor::scalar(1.5));
    CHECK(std::get<Tensor>(root.attributes.at("truth")) == Tensor::scalar(1));
    CHECK(std::get<Tensor>(root.attributes.at("none")) == Tensor{{0}, {}});
    CHECK(std::get<Tensor>(root.attributes.at("list")) == Tensor{{2, 2}, {1, -2, 3, 4}});
}

void check_packed(const Hdf5Group& root) {
    check_tensor(root, "chunks/packed", counted({5, 7}));
    Tensor part = Tensor::filled({4, 4}, 2.5);
    for (const std::size_t i : {10U, 11U, 14U, 15U}) {
        part.values[i] = 7;
    }
    check_tensor(root, "chunks/part", part);
}

}  // namespace

TEST_CASE("HDF5: files as Keras writes them") {
    const Hdf5Group root = tree("classic");
    check_attributes(root);
    check_packed(root);
    check_tensor(root, "/model/dense/kernel", counted({2, 3}));
    check_tensor(root, "compact", counted({3, 2}));
    const Hdf5Group* dense = root.group("model/dense");
    REQUIRE(dense != nullptr);
    CHECK(*dense->text("kind") == "Dense");
    for (const char* name : {"i1", ">i4", "f2", ">f8"}) {
        check_tensor(*dense, name, counted({3}, -1));
    }
    check_tensor(*dense, "<u2", counted({3}));
    CHECK(std::get<Texts>(dense->datasets.at("scalar")) == Texts{"text"});
    CHECK(root.group("") == &root);
    CHECK(root.group("model/conv") == nullptr);
    CHECK(root.tensor("model/dense/scalar") == nullptr);
    CHECK(root.tensor("model/conv/kernel") == nullptr);
    CHECK(root.dataset_attributes.empty());
}

TEST_CASE("HDF5: newer forms of everything, behind a user's block") {
    const Hdf5Group root = tree("modern");
    check_attributes(root);
    check_packed(root);
    for (int i = 0; i < 10; ++i) {
        CHECK(std::get<Tensor>(root.attributes.at("attribute " + std::to_string(i))) ==
              Tensor::scalar(i));
    }
    for (const char* name : {"chunks/array", "chunks/implicit", "chunks/tree"}) {
        check_tensor(root, name, counted({5, 3}));
    }
    check_tensor(root, "chunks/single", counted({3, 3}));
    for (int i = 0; i < 40; ++i) {
        check_tensor(root, "many/a rather long name, number " + std::to_string(i),
                     Tensor::scalar(i));
    }
    Tensor steps = counted({66000});
    for (double& value : steps.values) {
        value = std::floor(value / 1000);
    }
    CHECK(std::get<Tensor>(tree("long_attribute").attributes.at("long")) == steps);
}

TEST_CASE("HDF5: datasets that can grow along one axis") {
    const Hdf5Group root = tree("growing");
    check_tensor(root, "rows", counted({5, 3}));
    check_tensor(root, "columns", counted({5, 3}));
    check_tensor(root, "long", counted({300}));
    check_tensor(root, "packed", counted({90, 7}));
    Tensor part = Tensor::filled({90}, 0);
    part.values[60] = part.values[61] = 7;
    check_tensor(root, "part", part);
}

TEST_CASE("HDF5: bfloat16 as bit fields and as opaque bytes") {
    const Hdf5Group root = tree("brain_float");
    const Tensor expected{{4}, {1, -2.5, 0x1p100, INFINITY}};
    check_tensor(root, "fields", expected);
    check_tensor(root, "opaque", expected);
    CHECK(std::get<Texts>(root.dataset_attributes.at("opaque").at("dtype")) == Texts{"bfloat16"});
}

TEST_CASE("HDF5: what no model needs, and what would never end, is refused") {
    struct Case {
        const char* name;
        const char* message;
    };
    constexpr Case cases[] = {
        {"cycle", "'/a/loop' in it: a group contains itself"},
        {"doubling", "refer to each other so often"},
        {"soft_link", "links by name"},
        {"claims_too_much", "far more data than its size can hold"},
        {"claims_chunks", "far more data than its size can hold"},
        {"record", "the class 'compound'"},
        {"shared_type", "neither a group nor a dataset"},
        {"filter", "filter 32000 'lzf'"},
        {"wide_integer", "53 bits"},
    };
    for (const auto& [name, message] : cases) {
        CAPTURE(name);
        const std::string text = error_of(fixture(std::string("refused_") + name));
        CHECK(contains(text, "error GW0116: f.h5: "));
        CHECK(contains(text, message));
    }
    CHECK(contains(error_of({}), "it is empty"));
    CHECK(contains(error_of(bytes_of("version https://git-lfs.github.com")), "not an HDF5 file"));
    CHECK(!store::is_hdf5(bytes_of("\x89HDF")));
    CHECK(store::is_hdf5(fixture("modern")));
}

TEST_CASE("HDF5: every cut is refused, every damaged byte gives a tree or a Failure") {
    for (const char* name : {"classic", "modern", "growing", "brain_float"}) {
        const std::vector<std::byte> whole = fixture(name);
        for (std::size_t i = 0; i < whole.size(); ++i) {
            CHECK(!error_of(std::span(whole).first(i)).empty());
        }
        std::vector<std::byte> damaged = whole;
        for (std::size_t i = 0; i < whole.size(); ++i) {
            for (const unsigned flip : {0x01U, 0xffU}) {
                damaged[i] = whole[i] ^ static_cast<std::byte>(flip);
                error_of(damaged);
            }
            damaged[i] = whole[i];
        }
    }
}
