"""Lists the layer classes of the frameworks and the arguments of their constructors.

    python list_arguments.py FRAMEWORK SOURCES...            prints rows layer,argument,default
    python list_arguments.py FRAMEWORK SOURCES... --update   brings FRAMEWORK.csv up to date

SOURCES are folders in which wheels were unpacked (pip download --no-deps, unzip), for instance
those of keras 2.15.0 and QKeras 0.9.0 for qkeras, as its classes stand on those of Keras. torch,
torch_modules, onnx and qonnx are asked from the packages themselves, which must be installed.
A new row has the status "?", which the tests refuse: the statement is ours to make. Rows whose
default is "in files" stay: they are arguments that files have and constructors do not.
"""

import argparse
import ast
import csv
import fnmatch
import re
import sys
from pathlib import Path

from read_sources import IN_FILES, REQUIRED, arguments_of, classes_in, has_base, own_arguments

HERE = Path(__file__).resolve().parent
COLUMNS = ["layer", "argument", "default", "status", "values", "case", "reason"]
EVERY = "(every layer)"


def keras_layers(sources):
    """Layers that Keras exports."""
    (root,) = sources
    known = classes_in(root / "keras", "src")
    return {
        cls.layer: arguments_of(name, known)
        for name, cls in known.items()
        if cls.layer and name != "Layer" and has_base(name, {"Layer"}, known)
    }


def derived_layers(package, roots, abstract="", config=None):
    """Layers and quantisers of a package that stands on Keras; `abstract` are classes that only
    others derive from."""

    def layers(sources):
        known = {}
        for root in sources:
            if (root / "keras").is_dir():
                known |= classes_in(root / "keras", "src")
        own = {}
        for root in sources:
            if (root / package).is_dir():
                own |= classes_in(root / package)
        known |= own
        without = roots | set(abstract.split())
        wanted = [n for n in own if n not in without and has_base(n, roots, known)]
        out = {name: arguments_of(name, known) for name in wanted}
        if config is not None:
            out |= config(known)
        return out

    return layers


def quantiser_configurations(known):
    """HGQ2 writes a quantiser as a dictionary of one of three kinds."""
    names = [*own_arguments(known["QuantizerConfig"].tree)[0]]
    for kind in ("QuantizerConfigBase", "KBIConfig", "KIFConfig", "FloatConfig"):
        names += [part.target.id for part in known[kind].tree.body]
    return {"QuantizerConfig": dict.fromkeys(names, IN_FILES)}


def onnx_operators(sources):
    """Attributes of all versions of ONNX' own operators; graphs in attributes are no arguments."""
    assert not sources, "ONNX is asked from its package"
    import onnx

    out = {}
    for schema in sorted(onnx.defs.get_all_schemas_with_history(), key=lambda s: s.since_version):
        if schema.domain:
            continue
        attributes = out.setdefault(schema.name, {})
        for name, attribute in schema.attributes.items():
            default = onnx.helper.get_attribute_value(attribute.default_value)
            default = default.decode() if isinstance(default, bytes) else default
            attributes[name] = REQUIRED if attribute.required else repr(default)
    return out


def qonnx_operators(sources):
    """What get_nodeattr_types of QONNX' operators names: {name: (kind, required, default)}."""
    (root,) = sources
    out = {}
    for cls in classes_in(root / "qonnx/custom_op/general").values():
        for part in ast.walk(cls.tree):
            if isinstance(part, ast.FunctionDef) and part.name == "get_nodeattr_types":
                keys = [d for d in ast.walk(part) if isinstance(d, ast.Dict)]
                attributes = out.setdefault(cls.name, {})
                for node in keys:
                    for key, value in zip(node.keys, node.values, strict=True):
                        if isinstance(key, ast.Constant) and isinstance(value, ast.Tuple):
                            attributes[key.value] = ast.unparse(value.elts[2])
    return out


def torch_operators(sources):
    """Arguments besides tensors of the ATen operators and overloads that have a rule; SOURCES is
    src/import/torch, whose tables name them."""
    import torch
    import torch.ao.quantization.fx._decomposed  # it registers quantized_decomposed

    rules = {}
    for file in sources[0].glob("*_rules.cpp"):
        for name, overloads in re.findall(r'\{"(\w+\.\w+)",\s*"([^"]*)"', file.read_text()):
            rules.setdefault(name, set()).update(overloads.split())
    out = {}
    for schema in torch._C._jit_get_all_schemas():
        name = schema.name.replace("::", ".")
        if (schema.overload_name or "default") in rules.get(name, ()):
            arguments = out.setdefault(name, {})
            for argument in schema.arguments:
                if "Tensor" not in str(argument.type):
                    has = argument.has_default_value()
                    arguments[argument.name] = repr(argument.default_value) if has else REQUIRED
    return out


FRAMEWORKS = {
    "keras2": keras_layers,
    "keras3": keras_layers,
    "qkeras": derived_layers("qkeras", {"Layer", "BaseQuantizer"}),
    "hgq1": derived_layers(
        "HGQ",
        {"Layer"},
        "ABSBaseLayer HBatchNormBase HConv HConvBatchNorm HLayerBase PLayerBase PPool1D PPool2D "
        "Signature",
    ),
    "hgq2": derived_layers(
        "hgq",
        {"Layer"},
        "MultipleQuantizers QBaseConv QBasePooling QConvTBase QLayerBase QLayerBaseMultiInputs "
        "QLayerBaseSingleInput QMerge QRNN SpikingNeuralCell _QSNN FixedPointQuantizer "
        "FixedPointQuantizerKBI FixedPointQuantizerKIF FloatPointQuantizer TrainableQuantizerBase "
        "FixedPointQuantizerBase DummyQuantizer",
        quantiser_configurations,
    ),
    "onnx": onnx_operators,
    "qonnx": qonnx_operators,
    "torch": torch_operators,
}


def read_rows(framework):
    """The rows of a framework's data file."""
    with (HERE / f"{framework}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_rows(framework, rows):
    """Writes them, in order."""
    rows = sorted(rows, key=lambda row: (row["layer"] != EVERY, row["layer"], row["argument"]))
    with (HERE / f"{framework}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def shared_patterns(rows):
    """Arguments that mean the same in all layers; "*_initializer" stands for all such names."""
    return [row["argument"] for row in rows if row["layer"] == EVERY]


def listed(framework, sources, rows):
    """(layer, argument, default) of all arguments that the framework has."""
    patterns = shared_patterns(rows)
    out = []
    for layer, arguments in sorted(FRAMEWORKS[framework](sources).items()):
        own = [
            (layer, argument, default)
            for argument, default in arguments.items()
            if not any(fnmatch.fnmatchcase(argument, pattern) for pattern in patterns)
        ]
        out += own or [(layer, "", "")]  # a layer without arguments of its own
    return out


def main():
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("framework", choices=FRAMEWORKS)
    parser.add_argument("sources", nargs="*", type=Path)
    parser.add_argument("--update", action="store_true")
    given = parser.parse_args()
    exists = (HERE / f"{given.framework}.csv").is_file()
    rows = read_rows(given.framework) if exists else []
    found = listed(given.framework, given.sources, rows)
    if not given.update:
        csv.writer(sys.stdout, lineterminator="\n").writerows(found)
        return
    old = {(row["layer"], row["argument"]): row for row in rows}
    new = [row for row in rows if row["layer"] == EVERY or row["argument"] == "*"]
    refused = {row["layer"] for row in new if row["argument"] == "*"}
    for layer, argument, default in found:
        if layer not in refused:
            row = dict.fromkeys(COLUMNS, "") | {"layer": layer, "argument": argument}
            row = old.get((layer, argument), row | {"status": "?"})
            new.append(row | {"default": default})
    listed_ones = {(row["layer"], row["argument"]) for row in new}
    new += [
        row
        for key, row in old.items()
        if row["default"] == IN_FILES and key not in listed_ones and row["layer"] not in refused
    ]
    write_rows(given.framework, new)


if __name__ == "__main__":
    main()
