#include "base/diagnostics.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

namespace gatewright {

TEST_CASE("the catalogue: codes and names are unique, each row explains and shows") {
    std::set<std::string_view> codes;
    std::set<std::string_view> names;
    for (const DiagnosticInfo& row : diagnostic_catalogue()) {
        CAPTURE(std::string(row.code));
        CHECK(codes.insert(row.code).second);
        CHECK(names.insert(row.name).second);
        CHECK(row.code.size() == 6);
        CHECK(row.code.starts_with("GW"));
        CHECK(std::all_of(row.code.begin() + 2, row.code.end(),
                          [](char c) { return c >= '0' && c <= '9'; }));
        CHECK(row.explanation.size() > 40);
        CHECK(row.explanation.ends_with('.'));
        CHECK(row.example.find("gatewright ") != std::string_view::npos);
    }
    CHECK(info(Code::file_missing).code == "GW0001");
    CHECK(info(Code::width_exceeded).code == "GW0401");
    CHECK(info(Code::width_exceeded).name == "width_exceeded");
}

TEST_CASE(
    "a message names file, layer, type, attribute, fault and remedy, as far as they are known") {
    const auto text = [](Location where, std::string remedy = "") {
        return Diagnostic{Code::width_exceeded, std::move(where), "too wide", std::move(remedy)}
            .text();
    };
    CHECK(text({}) == "error GW0401: too wide");
    CHECK(text({}, "write less") == "error GW0401: too wide. write less");
    CHECK(text({"m.onnx", "", "", ""}) == "error GW0401: m.onnx: too wide");
    CHECK(text({"m.onnx", "fc1", "", ""}) == "error GW0401: m.onnx: layer 'fc1': too wide");
    CHECK(text({"", "fc1", "Gemm", ""}) == "error GW0401: layer 'fc1' (Gemm): too wide");
    CHECK(text({"", "", "Gemm", ""}) == "error GW0401: Gemm: too wide");
    CHECK(text({"", "", "", "transB"}) == "error GW0401: attribute 'transB': too wide");
    CHECK(text({"m.onnx", "fc1", "Gemm", "transB"}, "write less") ==
          "error GW0401: m.onnx: layer 'fc1' (Gemm), attribute 'transB': too wide. write less");
    // A sentence that has its full stop gets no second one.
    CHECK(Diagnostic{Code::file_missing, {}, "It is gone.", "Look elsewhere."}.text() ==
          "error GW0001: It is gone. Look elsewhere.");
}

TEST_CASE("a stage throws all of its errors at once") {
    Diagnostics diagnostics;
    CHECK(!diagnostics.has_errors());
    CHECK_NOTHROW(diagnostics.throw_if_errors());
    diagnostics.add(Code::file_missing, {"a.onnx", "", "", ""}, "first");
    diagnostics.add(Code::width_exceeded, {"", "fc2", "", ""}, "second", "remedy");
    CHECK(diagnostics.has_errors());
    CHECK(diagnostics.all().size() == 2);
    try {
        diagnostics.throw_if_errors();
        FAIL_CHECK("nothing was thrown");
    } catch (const Failure& failure) {
        CHECK(failure.diagnostics().size() == 2);
        CHECK(std::string(failure.what()) ==
              "error GW0001: a.onnx: first\nerror GW0401: layer 'fc2': second. remedy");
    }
}

TEST_CASE("one error can be thrown alone") {
    const Failure failure(Code::file_missing, {"a.onnx", "", "", ""}, "gone");
    CHECK(failure.diagnostics().size() == 1);
    CHECK(failure.diagnostics()[0].where == Location{"a.onnx", "", "", ""});
    CHECK(std::string(failure.what()) == "error GW0001: a.onnx: gone");
}

TEST_CASE("the nearest name is offered for misspellings only") {
    const std::vector<std::string> names = {"verilog",  "vitis", "cpu",
                                            "saturate", "wrap",  "saturate_symmetric"};
    CHECK(nearest("verilgo", names) == "verilog");
    CHECK(nearest("Verilog", names) == "verilog");
    CHECK(nearest("vits", names) == "vitis");
    CHECK(nearest("saturat", names) == "saturate");
    CHECK(nearest("saturate_symetrc", names) == "saturate_symmetric");
    CHECK(nearest("wrap", names) == "wrap");
    CHECK(nearest("cpp", names) == "cpu");
    CHECK(nearest("tensorflow", names).empty());
    CHECK(nearest("xyz", names).empty());
    CHECK(nearest("", names).empty());
    CHECK(nearest("verilog", {}).empty());
    // All letters differ: another word, however short.
    const std::vector<std::string> letters = {"a", "bc"};
    CHECK(nearest("x", letters).empty());
    CHECK(nearest("xy", letters).empty());
    CHECK(nearest("by", letters) == "bc");
}

}  // namespace gatewright
