"""The official tests of single ONNX operators, from the onnx package: match, refused or wrong.

As a program: python tests/python/onnx_node_tests.py [PART ...] [--jobs N] [--only OUTCOME] runs the
tests whose names contain one of the parts and prints the counts, and each test that is wrong.

In these tests all operands are inputs of the model. What is a parameter in a real model (weights,
axes, shapes) is stored in the file instead, and the test runs in two ways: only the first input
stays one, or those of floating point do, or all.
"""

import argparse
import multiprocessing
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

# Training, random numbers, the decoding of images, operators of other domains, and tests again with
# operators spelt out in terms of others.
NOT_PLAUSIBLE = (
    "adagrad", "adam", "momentum", "bernoulli", "gradient", "image_decoder", "nllloss", "sce_",
    "training", "ai_onnx_ml", "unique", "random", "expanded",
)  # fmt: skip


def has_plausible_types(model):
    """Whether all inputs and outputs are tensors of float32, float64, integers or booleans."""
    from onnx import TensorProto as T

    narrow = (T.STRING, T.FLOAT16, T.BFLOAT16, T.COMPLEX64, T.COMPLEX128)
    return all(
        value.type.HasField("tensor_type")
        and value.type.tensor_type.elem_type not in narrow
        and not T.DataType.Name(value.type.tensor_type.elem_type).startswith(("FLOAT8", "FLOAT4"))
        for value in (*model.graph.input, *model.graph.output)
    )


def plausible_tests():
    """The package's tests of operators on plain tensors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_node_model_tests

        tests = load_node_model_tests()
    return [
        t
        for t in tests
        if t.data_sets
        and not any(word in t.name for word in NOT_PLAUSIBLE)
        and has_plausible_types(t.model)
    ]


def as_array(data):
    """Test data as an array."""
    import onnx

    is_proto = isinstance(data, onnx.TensorProto)
    return onnx.numpy_helper.to_array(data) if is_proto else np.asarray(data)


def model_with_inputs(model, inputs, kept):
    """The model with the inputs that are not kept stored in it."""
    import onnx

    out = onnx.ModelProto()
    out.CopyFrom(model)
    del out.graph.input[:]
    for number, (value, array) in enumerate(zip(model.graph.input, inputs, strict=True)):
        if number in kept:
            out.graph.input.append(value)
        else:
            out.graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
    return out


def ways(test):
    """The sets of inputs that stay inputs, most usual first."""
    arrays = [as_array(x) for x in test.data_sets[0][0]]
    floats = tuple(i for i, x in enumerate(arrays) if x.dtype.kind == "f" and x.size)
    deep = tuple(i for i in floats if arrays[i].ndim > 2)  # no masks, which samples share
    candidates = [(0,), deep, floats, tuple(range(len(arrays)))]
    return [way for way in dict.fromkeys(candidates) if way and len(way) <= len(arrays)]


def compare(test, got, expected):
    """What differs, "" if nothing."""
    if len(got) < len(expected):
        return f"{len(got)} outputs instead of {len(expected)}"
    for y, reference in zip(got, expected, strict=False):
        reference = as_array(reference)
        if y.size != reference.size:
            return f"shape {y.shape} instead of {reference.shape}"
        y = np.asarray(y, np.float64).reshape(reference.shape)
        reference = reference.astype(np.float64)
        if not np.allclose(y, reference, rtol=max(test.rtol, 1e-5), atol=1e-5, equal_nan=True):
            with np.errstate(invalid="ignore"):
                return f"differs by {np.nanmax(np.abs(y - reference)):.3g}"
    return ""


def outcome(test):
    """("match" | "refused" | "wrong" | "error", what was seen)."""
    import gatewright
    import onnx

    refusals = []
    matched = False
    inputs, expected = test.data_sets[0]
    inputs = [as_array(x) for x in inputs]
    names = [value.name for value in test.model.graph.input]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        for kept in ways(test) if len(names) == len(inputs) else []:
            onnx.save(model_with_inputs(test.model, inputs, kept), file)
            try:
                model = gatewright.load(file)
                arrays = {names[i]: inputs[i].astype(np.float64) for i in kept}
                got = list(model.predict(arrays, exact=False).values())
            except gatewright.Error as error:
                refusals.append(str(error))
                continue
            except Exception as error:  # every other exception is a fault to be told
                return "error", f"{type(error).__name__}: {error}"
            difference = compare(test, got, expected)
            if difference:
                return "wrong", f"with inputs {kept}: {difference}"
            matched = True
    return ("match", "") if matched else ("refused", refusals[0] if refusals else "no inputs")


_tests = None


def outcome_of(number):
    """The outcome of one of the plausible tests, in a process of its own."""
    global _tests
    if _tests is None:
        _tests = plausible_tests()
    return outcome(_tests[number])


def outcomes(parts=(), jobs=2):
    """Yields (name, outcome, what was seen); a crash costs one test, not the run."""
    names = [t.name for t in plausible_tests()]
    pending = [i for i, n in enumerate(names) if not parts or any(p in n for p in parts)]
    context = multiprocessing.get_context("forkserver")
    while pending:
        done = 0
        with context.Pool(jobs) as pool:
            results = [pool.apply_async(outcome_of, (number,)) for number in pending]
            for number, result in zip(pending, results, strict=True):
                done += 1
                try:
                    yield (names[number], *result.get(timeout=60))
                except multiprocessing.TimeoutError:
                    yield names[number], "error", "crashed, or took over a minute"
                    pool.terminate()
                    break
        pending = pending[done:]


def main():
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="parts of names; none: all tests")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", help="print only tests of this outcome")
    arguments = parser.parse_args()
    counts = Counter()
    for name, result, seen in outcomes(arguments.parts, arguments.jobs):
        counts[result] += 1
        if arguments.only == result or (arguments.only is None and result in ("wrong", "error")):
            print(f"{result:8} {name}: {seen[:300]}")
    print(dict(counts))
    return int(counts["wrong"] + counts["error"] > 0)


if __name__ == "__main__":
    sys.exit(main())
