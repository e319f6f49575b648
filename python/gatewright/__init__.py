"""Gatewright translates trained neural networks into circuits that compute the same numbers.

    import gatewright

    model = gatewright.load("model.onnx")
    y = model.predict(x)["logits"]              # bit for bit as the circuit computes it
    model.convert("design", clock_period=5)     # Verilog, testbench, design.json
    gatewright.verify("design")["verdict"]      # "equal"
    gatewright.synthesize("design", target="ecp5")

The functions are the commands of the same names; `gatewright COMMAND --help` says more of each.
Samples lie along the first axis of all arrays. Times are nanoseconds unless a name says otherwise.
Whatever a command would report as an error is raised as `Error`, with the whole text: the code, the
file, the layer, what is wrong and what to do (`gatewright explain CODE` tells more).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright import _core, _live
from gatewright._adder_graph import AdderGraph, adder_graph
from gatewright._core import Error
from gatewright._layers import Layer, Rule, Tensor, register_layer, rules_for, unregister_layer

__version__ = "0.1.0"
__all__ = [
    "Error",
    "AdderGraph",
    "Layer",
    "Model",
    "Tensor",
    "adder_graph",
    "config_template",
    "convert",
    "load",
    "predict",
    "register_layer",
    "report",
    "report_html",
    "simulate",
    "synthesize",
    "unregister_layer",
    "verify",
]

StrPath = str | os.PathLike[str]
Arrays = npt.ArrayLike | Mapping[str, npt.ArrayLike]
Config = StrPath | Mapping[str, Any]

Error.__module__ = Layer.__module__ = Tensor.__module__ = __name__
Error.__doc__ = "What a command reports as an error. Its text names the code, file, layer, remedy."


class Model:
    """A model file that was read and found sound.

    Attributes:
        path, weights: the files, as given.
        monte_carlo: whether dropout is alive.
        input_shape: as given: of one sample, where the file leaves it open.
        name: the model's own name.
        inputs, outputs: a dict each: "name" and "shape" (without the batch axis).
        layers: a dict each: "layer", "type" (the file's word), "operator", "shape".
    """

    def __init__(
        self,
        path: StrPath,
        weights: StrPath | None = None,
        *,
        monte_carlo: bool = False,
        layers: Mapping[str, Rule] | None = None,
        input_shape: Sequence[int] | None = None,
    ):
        self.path = os.fspath(path)
        self.weights = None if weights is None else os.fspath(weights)
        self.monte_carlo = monte_carlo
        self.input_shape = None if input_shape is None else [*map(int, input_shape)]
        self._source = (
            self.path,
            self.weights or "",
            monte_carlo,
            rules_for(layers),
            self.input_shape or [],
        )
        found = json.loads(_core.inspect(self._source))
        self.name: str = found["name"]
        self.inputs: list[dict[str, Any]] = found["inputs"]
        self.outputs: list[dict[str, Any]] = found["outputs"]
        self.layers: list[dict[str, Any]] = found["layers"]

    def __repr__(self) -> str:
        def ports(rows: list[dict[str, Any]]) -> str:
            return ", ".join(f"{row['name']}{row['shape']}" for row in rows)

        return f"<gatewright.Model {self.name}: {ports(self.inputs)} -> {ports(self.outputs)}>"

    def predict(
        self,
        x: Arrays,
        *,
        config: Config | None = None,
        exact: bool = True,
        final_activation: str = "keep",
        threads: int = 1,
        seed: int = 0,
    ) -> dict[str, np.ndarray]:
        """The outputs for samples; see `gatewright.predict`."""
        return predict(
            self,
            x,
            config=config,
            exact=exact,
            final_activation=final_activation,
            threads=threads,
            seed=seed,
        )

    def trace(
        self, x: Arrays, *, config: Config | None = None, final_activation: str = "keep"
    ) -> dict[str, np.ndarray]:
        """The values of every operation, float64, samples along the first axis."""
        with tempfile.TemporaryDirectory() as folder:
            _, values = _core.predict(
                self._source,
                _named(x),
                True,
                final_activation,
                _config_file(config, folder),
                True,
                1,
                0,
            )
        return values

    def text(self) -> str:
        """The text form of the layers, with all constants: models with equal texts are equal."""
        return _core.layers_text(self._source)

    def config_template(self) -> str:
        """A configuration (YAML) that names all inputs and layers; see `gatewright.convert`."""
        return config_template(self)

    def convert(self, output: StrPath, **options: Any) -> dict[str, Any]:
        """Writes a design folder; see `gatewright.convert`."""
        return convert(self, output, **options)


def load(
    model: Any,
    weights: StrPath | None = None,
    *,
    example_inputs: Sequence[Any] | None = None,
    monte_carlo: bool = False,
    layers: Mapping[str, Rule] | None = None,
    input_shape: Sequence[int] | None = None,
) -> Model:
    """Reads a model: a file, or a live object of Keras or PyTorch.

    Args:
        model: a path; a Keras model (Keras 2 or 3, QKeras, HGQ, HGQ2); a torch module in eval mode,
            or what torch.export.export made of one. An object is saved by its own framework and
            read like a file, so both are one network.
        weights: a second file, for formats that have one (paths only).
        input_shape: of one sample of the only input, where a file leaves it open: free extents, or
            a pickled torch module (paths only).
        example_inputs: of a torch module: the arguments to trace it with, a batch of samples each.
        monte_carlo: keeps dropout alive, with an input of random words for each such layer
            (docs/monte-carlo.md).
        layers: rules for layers of your own in this model, by name, beside those of
            `register_layer` (docs/custom-layers.md).

    Raises:
        Error: the file is missing, damaged or holds what Gatewright does not know; all such layers
            are named at once.
        TypeError: the object is no model, or arguments do not go with it.
    """
    if isinstance(model, str | os.PathLike):
        if example_inputs is not None:
            raise TypeError("example_inputs belong to a torch module, not to a file")
        return Model(
            model, weights, monte_carlo=monte_carlo, layers=layers, input_shape=input_shape
        )
    if input_shape is not None:
        raise TypeError("a live model has its shapes: leave out `input_shape`")
    if weights is not None:
        raise TypeError("a live model holds its weights itself: leave out `weights`")
    return _live.load(model, example_inputs, monte_carlo=monte_carlo, layers=layers)


def predict(
    model: Model | StrPath,
    x: Arrays,
    *,
    config: Config | None = None,
    exact: bool = True,
    final_activation: str = "keep",
    threads: int = 1,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """The outputs of a model, a model file or a design folder for samples.

    Args:
        x: an array [samples, ...], or a dict of them by the model's input names (else "x", or "x0",
            "x1", ... in order). Bool, integers and floats; each number is taken exactly.
        config: types of what the model does not quantise, as for `convert` (model files only).
        exact: the numbers that the circuit gives, bit for bit. False: as trained, on real numbers
            (model files only).
        final_activation: "keep", "drop" or "argmax": what becomes of a last softmax or sigmoid that
            the model does not quantise.
        threads: how many to use.
        seed: of the random words that x does not hold (docs/monte-carlo.md).

    Returns:
        float32 arrays [samples, ...] by the model's output names.

    Raises:
        Error: the model or the folder cannot be used, or the arrays do not fit it.
        TypeError: an array holds no plain numbers.
    """
    with tempfile.TemporaryDirectory() as folder:
        outputs, _ = _core.predict(
            _source(model),
            _named(x),
            exact,
            final_activation,
            _config_file(config, folder),
            False,
            threads,
            seed,
        )
    return outputs


def config_template(model: Model | StrPath) -> str:
    """A configuration (YAML) that names all inputs and layers of a model, with comments."""
    return _core.config_template(_source(model))


def convert(
    model: Model | StrPath,
    output: StrPath,
    *,
    weights: StrPath | None = None,
    backend: str | Sequence[str] = "verilog",
    config: Config | None = None,
    calibrate: Arrays | StrPath | None = None,
    bits: int | None = None,
    max_error: float | None = None,
    target: str | None = None,
    clock_period: float | None = None,
    stages: int | None = None,
    latency: int | None = None,
    register_inputs: bool = True,
    register_outputs: bool = True,
    clock_enable: bool = False,
    extra_depth: int | None = None,
    effort: str = "normal",
    final_activation: str = "keep",
    force: bool = False,
) -> dict[str, Any]:
    """Translates a model into the folder `output`: circuit, testbench, design.json.

    Args:
        backend: what to write, one name or several; `gatewright list backends` shows them.
        config: types of what the model does not quantise: a YAML file, or the same as dicts, such
            as {"model": {"weight": "fixed<8,6>", "result": "fixed<12,6>"}}. `config_template`
            gives one to start from.
        calibrate: sample inputs (arrays, or a file of them) to choose types by, for what neither
            model nor configuration gives a type.
        bits: with `calibrate`: total bits of each tensor.
        max_error: with `calibrate`: the fewest bits that keep every output this near to the float
            model's on the samples.
        target: the device family, for delays; `gatewright list targets` shows them.
        clock_period: in ns; registers are placed to meet it. None: only at inputs and outputs.
        stages: of logic between registers: as short a period as can be, or with `clock_period` as
            few registers as can be.
        latency: the same as cycles from input to output, registers at inputs and outputs included.
        register_inputs, register_outputs: whether there are registers at inputs and outputs.
        clock_enable: gives the circuit a `clock_enable` input.
        extra_depth: adder levels allowed over the shallowest tree; -1: any. None: as many as the
            clock period, the stages or the latency leave time for, else 0.
        effort: of the search for fewer and narrower adders: fast, normal or high.
        final_activation: as for `predict`.
        force: replaces an existing design folder.

    Returns:
        What design.json says, without the model: "timing", "ports", "layers", "approximations" and,
        after a calibration, "calibration".

    Raises:
        Error: the model cannot be translated, or options contradict each other.
    """
    with tempfile.TemporaryDirectory() as folder:
        if calibrate is None:
            calibration = ""
        elif isinstance(calibrate, str | os.PathLike):
            calibration = os.fspath(calibrate)
        else:
            calibration = str(Path(folder) / "calibration.npz")
            np.savez(calibration, **_named(calibrate))
        text = _core.convert(
            _source(model, weights),
            os.fspath(output),
            [backend] if isinstance(backend, str) else list(backend),
            target,
            clock_period,
            stages,
            latency,
            register_inputs,
            register_outputs,
            clock_enable,
            extra_depth,
            effort,
            _config_file(config, folder),
            calibration,
            bits,
            max_error,
            final_activation,
            force,
        )
    return json.loads(text)


def simulate(
    folder: StrPath,
    x: Arrays,
    *,
    simulator: str | None = None,
    netlist: bool = False,
    seed: int = 0,
    timeout: float = 0,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Runs a design's Verilog, or its synthesised netlist, on samples.

    Args:
        simulator: "verilator" or "icarus"; by default the first for Verilog and the second, which
            is sooner built, for netlists.
        netlist: the netlist that `synthesize` wrote.
        seed: other than 0: random gaps between frames.
        timeout: seconds for each tool; 0: none.

    Returns:
        The outputs as `predict` gives them, and a dict: "tool", "version", "samples", "mismatches"
        (values that differ from the emulator's), "latency_cycles", "initiation_interval".
    """
    _use_this_python()
    outputs, info = _core.simulate(
        os.fspath(folder), _named(x), simulator, netlist, seed, float(timeout)
    )
    return outputs, json.loads(info)


def synthesize(
    folder: StrPath,
    target: str | None = None,
    place_and_route: bool = False,
    *,
    timeout: float = 0,
) -> dict[str, Any]:
    """Maps a design to a device family with Yosys; with `place_and_route` runs nextpnr too.

    Returns a dict "synthesis" (tool, version, LUT, FF, carry, DSP, BRAM) and "place_and_route"
    (Fmax in MHz among others). `target` None: the design's own, or ecp5 if that is generic.
    """
    _use_this_python()
    return json.loads(_core.synthesize(os.fspath(folder), target, place_and_route, float(timeout)))


def verify(
    folder: StrPath, samples: int = 1000, *, seed: int = 1, timeout: float = 0
) -> dict[str, Any]:
    """Proves and compares all levels of a design; writes certificate.json.

    Returns the certificate without its adder graphs; "verdict" is "equal" or "different".
    """
    _use_this_python()
    return json.loads(_core.verify(os.fspath(folder), samples, seed, float(timeout)))


def report(folder: StrPath) -> dict[str, Any]:
    """All that is known of a design: layers, timing, what tools and verification found."""
    return json.loads(_core.report(os.fspath(folder)))


def report_html(folder: StrPath) -> str:
    """The same as a page of HTML that needs no other file."""
    return _core.report_html(os.fspath(folder))


def _source(
    model: Model | StrPath, weights: StrPath | None = None
) -> tuple[str, str, bool, dict[str, Any], list[int]]:
    """What the compiled part needs to read a model."""
    if isinstance(model, Model):
        return model._source
    second = "" if weights is None else os.fspath(weights)
    return os.fspath(model), second, False, rules_for(None), []


def _named(x: Arrays) -> dict[str, np.ndarray]:
    """Arrays by name, in the byte order of this machine and without gaps."""
    given = x if isinstance(x, Mapping) else {"x": x}
    arrays = {}
    for name, values in given.items():
        array = np.asarray(values)
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise TypeError(
                f"array '{name}' holds {array.dtype}; taken are bool, integers and floats"
            )
        arrays[str(name)] = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return arrays


def _config_file(config: Config | None, folder: str) -> str:
    """The file of a configuration; dicts are written to one (JSON is YAML too)."""
    if config is None:
        return ""
    if not isinstance(config, Mapping):
        return os.fspath(config)
    file = Path(folder) / "config.yaml"
    file.write_text(json.dumps(config, indent=1))
    return str(file)


def _use_this_python() -> None:
    """Tools that come as wheels are looked for in the Python that runs this."""
    os.environ.setdefault("GATEWRIGHT_PYTHON", sys.executable)
