"""Real models of ../shared/models: runs each form of each against its framework's outputs.

As a program: python tests/python/model_cases.py [PART ...] prints a table, a row for each form (a
file, or a .json with its weights) of the models whose names contain one of the parts:

    mode        exact: bit for bit as the circuit. float: as trained, on real numbers
    differing   values that are not equal to the reference, of how many
    largest     the largest difference, and the same as a part of its sample's largest value
    argmax      samples whose largest output is at the same place
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

MODELS = Path(__file__).resolve().parents[3] / "shared/models"
ENDINGS = (".onnx", ".keras", ".h5", ".pt2", ".pt")


@dataclass(frozen=True)
class Form:
    """One way in which a folder holds its model."""

    name: str  # of the model
    meta: dict
    file: str
    weights: str | None = None

    @property
    def exact(self) -> bool:
        """Whether the model is quantised, so that its numbers are met exactly or nearly so."""
        return self.meta["exactness"].startswith(("quantised", "bit-exact", "HGQ"))

    def __str__(self) -> str:
        return f"{self.name}/{self.file}"


def forms(name: str) -> Iterator[Form]:
    """All forms of a model. Files that hold only weights are none by themselves."""
    meta = json.loads((MODELS / name / "meta.json").read_text())
    weights = [f for f in meta["files"] if f.endswith(("weights.h5", "state_dict.pt"))]
    for file in meta["files"]:
        if file.endswith(".json"):
            yield Form(name, meta, file, *(f for f in weights if f.endswith(".h5")))
        elif file.endswith(ENDINGS) and file not in weights:
            yield Form(name, meta, file)


def all_forms() -> list[Form]:
    """Of all models, [] if they are not there."""
    manifest = MODELS / "manifest.json"
    if not manifest.is_file():
        return []
    names = [model["name"] for model in json.loads(manifest.read_text())["models"]]
    return [form for name in names for form in forms(name)]


def stored(form: Form) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Inputs and reference outputs in order; before a last softmax if the model is quantised."""
    arrays = np.load(MODELS / form.name / form.meta["io"])
    keys = sorted(k for k in arrays if k in ("x", "y") or (k[0] in "xy" and k[1:].isdecimal()))
    inputs = [arrays[k] for k in keys if k[0] == "x"]
    if form.exact and "y_logits" in arrays:
        return inputs, [arrays["y_logits"]]
    return inputs, [arrays[k] for k in keys if k[0] == "y"]


def load(form: Form):
    """The model, read from its files."""
    import gatewright

    folder = MODELS / form.name
    weights = folder / form.weights if form.weights else None
    options = {}
    if form.file == "module.pt":  # a pickled module does not say the shape of its input
        (x, *_), _ = stored(form)
        options["input_shape"] = x.shape[1:]
    return gatewright.load(folder / form.file, weights, **options)


def predict(form: Form) -> list[np.ndarray]:
    """The model's outputs for the stored inputs, in the shapes of the references."""
    inputs, references = stored(form)
    arrays = np.load(MODELS / form.name / form.meta["io"])
    model = load(form)
    names = [port["name"] for port in model.inputs]
    if "edge_index" in arrays:
        # Graphs one by one: points, edges, and the graph that each point belongs to.
        inputs = [inputs[0], arrays["edge_index"], np.zeros(inputs[0].shape[:2], np.int64)]
        rows = [
            list(model.predict(dict(zip(names, one, strict=True)), exact=False).values())
            for one in zip(*inputs, strict=True)
        ]
        outputs = [np.concatenate(column) for column in zip(*rows, strict=True)]
    else:
        final = "drop" if form.exact and "y_logits" in arrays else "keep"
        outputs = list(
            model.predict(
                dict(zip(names, inputs, strict=True)), exact=form.exact, final_activation=final
            ).values()
        )
    assert len(outputs) == len(references)
    return [y.reshape(r.shape) for y, r in zip(outputs, references, strict=True)]


@dataclass
class Difference:
    """How outputs differ from their references."""

    values: int
    differing: int
    largest: float
    relative: float  # to the largest value of the sample
    same_argmax: int
    samples: int


def difference(outputs: list[np.ndarray], references: list[np.ndarray]) -> Difference:
    """Over all outputs; argmax along the last axis of the first one's rows."""
    total = Difference(0, 0, 0.0, 0.0, 0, len(references[0]))
    for y, reference in zip(outputs, references, strict=True):
        rows = y.reshape(len(y), -1).astype(np.float64)
        truth = reference.reshape(len(reference), -1).astype(np.float64)
        off = np.abs(rows - truth)
        total.values += off.size
        total.differing += int((off > 0).sum())
        total.largest = max(total.largest, float(off.max()))
        size = np.maximum(np.abs(truth).max(axis=1, keepdims=True), 1e-30)
        total.relative = max(total.relative, float((off / size).max()))
        if reference is references[0]:
            total.same_argmax = int((rows.argmax(axis=1) == truth.argmax(axis=1)).sum())
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="parts of names; all models without")
    arguments = parser.parse_args()
    print("| model | mode | differing | largest | relative | argmax | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for form in all_forms():
        if arguments.parts and not any(part in form.name for part in arguments.parts):
            continue
        begin = time.process_time()
        try:
            found = difference(predict(form), stored(form)[1])
        except Exception as error:  # a table of all models says which fail
            print(f"| {form} | {type(error).__name__}: {str(error).splitlines()[0]} |", flush=True)
            continue
        seconds = time.process_time() - begin
        print(
            f"| {form} | {'exact' if form.exact else 'float'} | {found.differing} of {found.values}"
            f" | {found.largest:.2g} | {found.relative:.2g} | {found.same_argmax} of"
            f" {found.samples} | {seconds:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
