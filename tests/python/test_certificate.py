"""tools/check_certificate.py: it takes the certificate of the example and refuses altered ones."""

import copy
import json
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


def may_wrap(c):
    c["ranges"]["layers"][3]["may_wrap"] = True


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
        (missing_graph, "not one adder graph"),
        (layer_range, "range"),
        (may_wrap, "may_wrap"),
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
    altered = copy.deepcopy(certificate)
    alter(altered)
    assert altered != certificate
    shutil.copy(design / "design.json", tmp_path)
    (tmp_path / "certificate.json").write_text(json.dumps(altered))
    result = check(tmp_path)
    assert result.returncode == 1
    assert why in result.stdout
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""


def test_a_folder_without_certificate_is_refused(tmp_path):
    result = check(tmp_path)
    assert result.returncode == 1
    assert "cannot be read" in result.stdout
