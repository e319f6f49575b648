"""tools/check_certificate.py: it takes the certificate of the example and refuses altered ones."""

import copy
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECKER = ROOT / "tools/check_certificate.py"


@pytest.fixture(scope="module")
def design(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate") / "design"
    for arguments in (
        ["convert", ROOT / "examples/digits/digits_mlp.onnx", "-o", folder],
        ["verify", folder, "--samples", "50"],
    ):
        result = run(*arguments)
        assert result.returncode == 0, result.stderr
    return folder


def check(folder):
    return subprocess.run(
        [sys.executable, CHECKER, folder], capture_output=True, text=True, check=False
    )


def test_the_certificate_of_the_example_holds(design):
    result = check(design)
    assert result.returncode == 0, result.stdout
    assert result.stdout.startswith("certificate holds: 3 adder graphs")
    assert result.stdout.count("\n") == 1


def first_weight(c):
    c["contractions"][0]["weights"][0] += 1


def matching_weight_and_graph(c):
    """A graph that computes its matrix, but not the model's matrix: the column of zeros moves."""
    graph = c["contractions"][1]
    empty = next(o for o, result in enumerate(graph["results"]) if result[0] == -1)
    graph["results"][empty] = [0, 0, False]
    graph["weights"][empty] = 1


def shift(c):
    c["contractions"][1]["additions"][3][1] += 1


def sign(c):
    addition = c["contractions"][2]["additions"][0]
    addition[2], addition[5] = not addition[2], False


def result_of_another(c):
    results = c["contractions"][2]["results"]
    results[0], results[1] = results[1], results[0]


def later_value(c):
    c["contractions"][0]["additions"][0][0] = 100


def value_range(c):
    graph = c["contractions"][0]
    graph["value_ranges"][-1][1] = str(int(graph["value_ranges"][-1][1]) - 1)


def input_range(c):
    """Consistent within the graph: only the model says that it is too narrow."""
    graph = c["contractions"][2]
    used = {value for a in graph["additions"] for value in (a[0], a[3])}
    used |= {result[0] for result in graph["results"]}
    unused = next(i for i in range(graph["inputs"]) if i not in used)
    graph["input_ranges"][unused] = graph["value_ranges"][unused] = ["0", "1"]


def copies(c):
    c["contractions"][0]["copies"] = 2


def missing_graph(c):
    del c["contractions"][1]
    c["adder_graphs"]["count"] = 2


def layer_range(c):
    c["ranges"]["layers"][3]["high"] = "10"


def cut_wire(c):
    c["ranges"]["unproven"] = 1


def wires(c):
    c["ranges"]["wires"] += 1


def wire_proof(c):
    c["ranges"]["by_interval"] -= 1
    c["ranges"]["by_linear_form"] += 1


def reduced_wire(c):
    """As if one more wire were proven than is."""
    c["ranges"]["reduced"][0]["wires"] -= 1
    c["ranges"]["by_interval"] += 1


def functions(c):
    c["tables"]["in_full"] += 1


def unlisted_overflow(c):
    c["overflow"].append({"layer": "fc1"})


def mismatch(c):
    c["comparisons"][0]["mismatches"] = 1


def nothing_compared(c):
    c["comparisons"][0] = {"level": "bits", "skipped": "no time"}


def no_samples(c):
    c["comparisons"][0]["samples"] = 0


def wrong_table(c):
    c["tables"]["wrong"] = 1


def unproven(c):
    c["adder_graphs"]["not_proven"] = 1


def other_files(c):
    c["files_as_derived"] = False


def verdict(c):
    c["verdict"] = "different"


def other_name(c):
    c["name"] = "another"


def part_missing(c):
    del c["ranges"]


@pytest.mark.parametrize(
    ("alter", "why"),
    [
        (first_weight, "is not its column"),
        (matching_weight_and_graph, "matrix is not the model's"),
        (shift, "is not"),
        (sign, "is not"),
        (result_of_another, "is not its column"),
        (later_value, "a later value"),
        (value_range, "range of value"),
        (input_range, "input ranges are not the model's"),
        (copies, "rows"),
        (missing_graph, "an adder graph of fc3, not of fc2"),
        (layer_range, "range"),
        (cut_wire, "may be cut short"),
        (wires, "number of wires"),
        (wire_proof, "proven otherwise"),
        (reduced_wire, "proven otherwise"),
        (functions, "number of functions"),
        (unlisted_overflow, "places that may overflow"),
        (mismatch, "1 mismatches"),
        (nothing_compared, "not compared"),
        (no_samples, "without samples"),
        (wrong_table, "not as they should be"),
        (unproven, "not as they should be"),
        (other_files, "not as they should be"),
        (verdict, "verdict"),
        (other_name, "of another design"),
        (part_missing, "cannot be read"),
    ],
)
def test_an_altered_certificate_is_refused(design, tmp_path, alter, why):
    certificate = json.loads((design / "certificate.json").read_text())
    changed = copy.deepcopy(certificate)
    alter(changed)
    assert changed != certificate
    refused(copied(design, tmp_path, certificate=changed), why)


def copied(design, tmp_path, certificate=None, model=None, circuit=None):
    """A design folder as the checker needs it, with some parts altered."""
    shutil.copy(design / "design.json", tmp_path)
    shutil.copy(design / "certificate.json", tmp_path)
    shutil.copytree(design / "reports", tmp_path / "reports")
    if certificate:
        (tmp_path / "certificate.json").write_text(json.dumps(certificate))
    if model:
        described = json.loads((design / "design.json").read_text())
        described["model"] = model
        (tmp_path / "design.json").write_text(json.dumps(described))
    if circuit:
        (tmp_path / "reports/circuit.txt").write_text("\n".join(circuit) + "\n")
    return tmp_path


def refused(folder, why):
    result = check(folder)
    assert result.returncode == 1
    assert why in result.stdout
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


def altered(lines, pattern, replacement):
    """The lines with the first match of the pattern replaced."""
    for number, line in enumerate(lines):
        changed = re.sub(pattern, replacement, line, count=1)
        if changed != line:
            return [*lines[:number], changed, *lines[number + 1 :]]
    raise AssertionError(f"no line matches {pattern}")


@pytest.mark.parametrize(
    ("pattern", "replacement", "why"),
    [
        # An adder a bit narrower, one with another operation, another table.
        (r"(= add .*: s)8", r"\g<1>7", "proven otherwise"),
        (r"= add (%\d+ %\d+ : s8)", r"= sub \1", "does not hold what the model computes"),
        (r"# %(\d+) is (.*) element 0", r"# %\1 is \2 element 1", "circuit"),
        (r"# .*", "", "another number of results"),
        (r"%40 = .*", "", "out of order"),
        (r"(= add %\d+) %\d+", r"\1 %500", "reads a later wire"),
    ],
)
def test_an_altered_circuit_is_refused(design, tmp_path, pattern, replacement, why):
    lines = (design / "reports/circuit.txt").read_text().splitlines()
    refused(copied(design, tmp_path, circuit=altered(lines, pattern, replacement)), why)


@pytest.mark.parametrize(
    ("pattern", "replacement", "why"),
    [
        (r"(weights = .*?:) -?\d+", r"\1 77", "is not the model's"),
        (r"(= contract.*?in \[-?\d+, )-?\d+", r"\g<1>3", "can leave its range"),
        (r"(= contract.*?fixed<)\d+", r"\g<1>5", "does not fit its type"),
    ],
)
def test_an_altered_model_is_refused(design, tmp_path, pattern, replacement, why):
    model = json.loads((design / "design.json").read_text())["model"]
    refused(copied(design, tmp_path, model=altered(model, pattern, replacement)), why)


def test_a_folder_without_certificate_is_refused(tmp_path):
    result = check(tmp_path)
    assert result.returncode == 1
    assert "cannot be read" in result.stdout


def levels(folder):
    rows = json.loads((folder / "certificate.json").read_text())["comparisons"]
    return {row["level"]: row for row in rows}


def test_an_altered_design_is_found(design, run, tmp_path):
    """Other Verilog than design.json gives."""
    folder = tmp_path / "design"
    shutil.copytree(design, folder)
    file = next((folder / "verilog").glob("*.v"))
    file.write_text(file.read_text() + "// altered\n")
    result = run("verify", folder, "--samples", "2")
    assert result.returncode == 1
    assert "files as derived from design.json: NO\n" in result.stdout
    assert result.stdout.endswith("verdict: different\n")
    refused(folder, "files, adder graphs or tables")


def test_json_is_the_certificate_without_adder_graphs(design, run, tmp_path):
    folder = tmp_path / "design"
    shutil.copytree(design, folder)
    result = run("verify", folder, "--samples", "2", "--json")
    assert result.returncode == 0
    certificate = json.loads((folder / "certificate.json").read_text())
    del certificate["contractions"]
    assert json.loads(result.stdout) == certificate
    assert certificate["samples"]["random"] == 2
    assert certificate["samples"]["corners"] > 80


def test_an_altered_netlist_is_found(run, tmp_path):
    """After `synthesize`, `verify` compares the netlist as well."""
    folder = tmp_path / "design"
    model = ROOT / "tests/fixtures/dense_relu_quant.onnx"
    assert run("convert", model, "-o", folder).returncode == 0
    made = run("synthesize", folder, "--target", "ecp5")
    if "GW0501" in made.stderr:
        pytest.skip("no Yosys")
    assert made.returncode == 0, made.stderr
    result = run("verify", folder, "--samples", "20")
    assert result.returncode == 0, result.stdout + result.stderr
    if "skipped" in levels(folder)["netlist"]:
        pytest.skip("no simulator")
    assert levels(folder)["netlist"]["mismatches"] == 0
    assert check(folder).returncode == 0
    netlist = folder / "reports/synthesis/netlist_simulation.v"
    text = netlist.read_text()
    changed = re.sub(r" & ", " | ", text, count=1)
    assert changed != text
    netlist.write_text(changed)
    result = run("verify", folder, "--samples", "20")
    assert result.returncode == 1, result.stdout
    assert levels(folder)["netlist"]["mismatches"] > 0
    assert levels(folder)["verilog"]["mismatches"] == 0
    refused(folder, "netlist: ")
