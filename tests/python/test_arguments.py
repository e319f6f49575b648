"""What the tables in arguments/ say of every constructor argument holds: used, harmless, refused.

A table has a row for each layer class and argument (list_arguments.py takes the lists from the
frameworks). `case` is a model with that layer, which test_layers.py compares with its framework;
`values` are set there, joined by " or ". Then

- used: the model becomes another one, or an error names what no longer fits;
- harmless: it stays the same, to the last constant;
- refused: an error names file, layer, argument, value and remedy.

A layer without arguments has a case alone: it is read, and the model has the layer.

Besides, arguments that no framework has are errors, and nonsense values never are taken for others.
"""

import csv
import fnmatch
import json
import multiprocessing
import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import layer_cases
import pytest
from argument_models import FRAMEWORKS, HUGE

gatewright = pytest.importorskip("gatewright", reason="the Python module is not built")

TABLES = Path(__file__).parent / "arguments"
EVERY = "(every layer)"
SHARED = bool(layer_cases.read_manifest("keras"))  # whether ../shared/layers is there
NONSENSE = [None, "nonsense", [], {}, -3, float("nan"), HUGE, [[["x"]]]]
# A value that says the same as the one that was there.
SAME_MEANING = {
    ("activation", "null"),
    ("attention_axes", "-3"),
    ("axis", "null"),  # of Normalization, as []
    ("batch_axis", "-3"),  # -3 and these are one axis or position there
    ("dims", "-3"),
    ("index", "-3"),
    ("source", "-3"),
    ("start", "-3"),
    ("start_dim", "-3"),
    ("output_shape", "null"),
    ("relu_upper_bound", "-3"),  # where is_quantized_clip
    ("max_value", json.dumps(HUGE)),
}


@cache
def rows_of(framework):
    """The rows of a table."""
    with (TABLES / f"{framework}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@cache
def rows_with_cases(framework):
    """The rows that have a model here: all with one, or only the repository's own."""
    cases = cases_of(framework)
    return [r for r in rows_of(framework) if r["case"] and (SHARED or r["case"] in cases)]


@cache
def shared_patterns(framework):
    """Arguments that all layers have."""
    return [row["argument"] for row in rows_of(framework) if row["layer"] == EVERY]


@cache
def cases_of(framework):
    """The cases that come out as stated, by name."""
    refused = set((TABLES.parent / "layers_refused.txt").read_text().split())
    return {
        case["name"]: case
        for family in layer_cases.FAMILIES
        for case in layer_cases.read_manifest(family)
        if FRAMEWORKS[framework].has(case) and case["name"] not in refused
    }


def load(files):
    """("ok", text of the layers) or ("error", message) or ("crash", what was seen)."""
    try:
        return "ok", gatewright.load(*files).text()
    except gatewright.Error as error:
        message = str(error)
        return ("error" if re.match("error GW[0-9]{4}: ", message) else "crash"), message
    except Exception as error:  # every other exception is a fault to be told
        return "crash", f"{type(error).__name__}: {error}"


class Probe:
    """The models of one framework, each with its text as it is."""

    def __init__(self, framework, folder):
        self.framework = framework
        self.folder = folder
        self.models = {}

    def model(self, name):
        """(model, what loading it as it is gives)."""
        if name not in self.models:
            case = cases_of(self.framework)[name]
            model = FRAMEWORKS[self.framework](*layer_cases.model_files(case), self.folder)
            self.models[name] = model, load(model.written(0, None, None))
        return self.models[name]

    def check(self, row, counts):
        """Faults of a row, none if it holds."""
        model, before = self.model(row["case"])
        label = f"{row['layer']}.{row['argument']} ({row['status']}, {row['case']})"
        if before[0] != "ok":
            return [f"{label}: the model is not read: {before[1][:200]}"]
        place = model.place_of(row["layer"], row["argument"])
        if not row["argument"]:
            counts["read"] += 1
            return []
        own = model.value_at(place, row["argument"])
        faults = []
        for text in row["values"].split(" or "):
            value = json.loads(text)
            kind, after = load(model.written(place, row["argument"], value))
            counts[row["status"]] += 1
            told = f"{label} = {text}"
            if kind == "crash":
                faults.append(f"{told}: crash: {after}")
            elif row["status"] == "used":
                if own == value:
                    faults.append(f"{told}: the model has this value already")
                if (kind, after) == before:
                    faults.append(f"{told}: nothing changes")
            elif row["status"] == "harmless":
                if (kind, after) != before:
                    faults.append(f"{told}: {after[:200] if kind == 'error' else 'another model'}")
            else:
                faults += [f"{told}: {fault}" for fault in refusal_faults(kind, after, row, text)]
        return faults

    def nonsense(self, row, counts):
        """Faults with values that make no sense."""
        model, before = self.model(row["case"])
        place = model.place_of(row["layer"], row["argument"])
        own = model.value_at(place, row["argument"])
        faults = []
        for value in NONSENSE:
            kind, after = load(model.written(place, row["argument"], value))
            counts[kind] += 1
            shown = json.dumps(value)
            if kind == "crash":
                faults.append(f"{row['layer']}.{row['argument']} = {shown}: crash: {after[:200]}")
            same_meaning = (
                value == own
                or row["default"] == "None" and value in (None, [], {})
                or FRAMEWORKS[self.framework].means_the_same(value, own)
                or (row["argument"], shown) in SAME_MEANING
            )  # fmt: skip
            if row["status"] == "used" and (kind, after) == before and not same_meaning:
                faults.append(f"{row['layer']}.{row['argument']} = {shown}: taken for {own}")
        return faults

    def unknown_argument(self, name, layer):
        """Faults with an argument that the layer does not have."""
        model, _ = self.model(name)
        kind, message = load(model.written(model.place_of(layer, None), "zigzag", 1))
        if kind == "error" and "GW0204" in message and re.search(r"\bzigzag'", message):
            return []
        return [f"{layer} ({name}): an unknown argument gives {kind}: {message[:200]}"]


def refusal_faults(kind, message, row, text):
    """What is missing in the message of a refusal."""
    if kind != "error":
        return ["it is accepted"]
    # An argument of a quantiser is named behind the argument that holds the quantiser.
    named = re.compile(rf"attribute '.*\b{row['argument']}\b")
    first = next((m for m in message.split("\n") if named.search(m)), message)
    faults = []
    if not named.search(first):
        faults.append(f"the argument is not named: {first[:300]}")
    elif (
        f"{row['argument']}': " in first
        and "not known for this layer" not in first
        and "not supported here" not in first
    ):
        value = text.strip('"').lower()
        if not (value in first.lower() or value.replace(" ", "") in first.lower()):
            faults.append(f"the value is not named: {first[:300]}")
    if "layer '" not in first or not re.search(r"model\.\w+: layer", first):
        faults.append(f"file or layer are not named: {first[:300]}")
    if not re.search(r"\. [A-Z`].*", first.split("': ", 1)[-1]):
        faults.append(f"there is no remedy: {first[:300]}")
    return faults


def run(job):
    """Faults and counts of the rows of one layer class, or of a few models."""
    framework, what, items, folder = job
    probe = Probe(framework, Path(folder) / f"{multiprocessing.current_process().pid}")
    counts = Counter()
    faults = []
    for item in items:
        try:
            if what == "unknown":
                faults += probe.unknown_argument(*item)
                counts["unknown"] += 1
            else:
                faults += getattr(probe, what)(item, counts)
        except LookupError as error:
            faults.append(f"{item}: {type(error).__name__} {error}")
    return faults, counts


def run_all(framework, what, groups, folder):
    """Runs groups in processes of their own, so that a crash of one is told and costs only it."""
    jobs = [(framework, what, items, str(folder)) for items in groups]
    faults, counts = [], Counter()
    with multiprocessing.get_context("forkserver").Pool(2) as pool:
        for job, result in [(job, pool.apply_async(run, (job,))) for job in jobs]:
            try:
                found, seen = result.get(timeout=120)
            except multiprocessing.TimeoutError:
                faults.append(f"{job[2][0]}: crashed, or took over two minutes")
                break
            faults += found
            counts += seen
    print(f"{framework}: {what}: {dict(counts)}")
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:200])


def grouped(rows):
    """Rows by class."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["layer"]].append(row)
    return list(groups.values())


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_table_is_sound(framework):
    rows = rows_of(framework)
    keys = [(row["layer"], row["argument"]) for row in rows]
    assert len(keys) == len(set(keys)), [key for key, n in Counter(keys).items() if n > 1]
    for row in rows:
        assert row["status"] in ("used", "harmless", "refused"), row
        assert row["reason"] or (row["status"] == "used" and row["case"]), row
        has_values = bool(row["case"]) and bool(row["argument"])
        assert has_values == bool(row["values"]) or row["layer"] == EVERY, row
    print(framework, dict(Counter(row["status"] for row in rows)))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_files_hold_no_other_arguments(framework, tmp_path):
    rows = rows_of(framework)
    known = defaultdict(set)
    for row in rows:
        known[row["layer"]].add(row["argument"])
    patterns = shared_patterns(framework)
    missing = set()
    for case in (c for c in cases_of(framework).values() if c["expect"] == "match"):
        model = FRAMEWORKS[framework](*layer_cases.model_files(case), tmp_path)
        for layer, arguments in model.places:
            missing |= {
                (layer, argument)
                for argument, value in arguments.items()
                if layer in known
                and not (framework == "torch" and value is None)  # an operand
                and "*" not in known[layer]
                and argument not in known[layer]
                and not any(fnmatch.fnmatchcase(argument, pattern) for pattern in patterns)
            }
    assert not missing, sorted(missing)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_rows_hold(framework, tmp_path):
    run_all(framework, "check", grouped(rows_with_cases(framework)), tmp_path)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_nonsense_is_never_another_value(framework, tmp_path):
    rows = [r for r in rows_with_cases(framework) if r["status"] == "used" and r["argument"]]
    run_all(framework, "nonsense", grouped(rows), tmp_path)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_unknown_arguments_are_errors(framework, tmp_path):
    used = [row for row in rows_with_cases(framework) if row["status"] == "used"]
    one = {row["layer"]: row["case"] for row in used}
    items = sorted((case, layer) for layer, case in one.items())
    run_all(framework, "unknown", [items[i : i + 20] for i in range(0, len(items), 20)], tmp_path)
