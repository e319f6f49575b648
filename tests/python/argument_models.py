"""Models whose arguments the tests change: one class for each kind of file.

A model has `places`: (layer class, arguments) of all layers in it, and of the objects within layers
(quantisers, cells, wrapped layers). `written` writes the file with one argument of one place set.
"""

import json
import zipfile
from functools import cached_property
from pathlib import Path


def plain(value):
    """A value as JSON holds it, so that (2, 2) and [2, 2] are one."""
    return json.loads(json.dumps(value))


HUGE = "~1e400~"  # a number beyond float64: written as 1e400, which json.dumps cannot


class KerasModel:
    """A model of Keras 2 (.h5, or .json with .h5) or Keras 3 (.keras), and of their kin.

    Changed models are written as .json with the file of weights, which the reader takes the same
    way."""

    def __init__(self, model, weights, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        if model.suffix == ".keras":
            with zipfile.ZipFile(model) as archive:
                self.text = archive.read("config.json").decode()
                self.weights = self.folder / f"{model.parent.name}.weights.h5"
                self.weights.write_bytes(archive.read("model.weights.h5"))
            self.version = "3"
        elif model.suffix == ".json":
            self.text = model.read_text()
            self.weights = weights
            config = json.loads(self.text)
            self.version = config.get("keras_version", "3" if "module" in config else "2")
        else:
            import h5py

            with h5py.File(model) as file:
                self.text = file.attrs["model_config"]
                self.version = file.attrs.get("keras_version", "2")
            self.weights = model

    @cached_property
    def places(self):
        """(class, configuration) of all objects."""
        return [(layer, config) for layer, config, _ in self.walk(json.loads(self.text))]

    @staticmethod
    def walk(tree):
        """(class, configuration, the object itself) of all objects in a tree."""
        if isinstance(tree, list):
            for part in tree:
                yield from KerasModel.walk(part)
        elif isinstance(tree, dict):
            if isinstance(tree.get("config"), dict) and isinstance(tree.get("class_name"), str):
                yield tree["class_name"].split(">")[-1], tree["config"], tree
            for part in tree.values():
                yield from KerasModel.walk(part)

    @classmethod
    def has(cls, case):
        """Whether a case is of this framework."""
        return case["framework"].startswith(cls.framework)

    @staticmethod
    def means_the_same(value, own):
        """Whether a value is another spelling of one that is there: never."""
        del value, own
        return False

    def place_of(self, layer, argument):
        """The first place of a class that has the argument, else the first of the class. A layer
        that does nothing may stand in the place of a Dropout: (place, class)."""
        ours = [i for i, (name, _) in enumerate(self.places) if name == layer]
        if not ours:
            (place,) = (i for i, (name, _) in enumerate(self.places) if name == "Dropout")
            return place, layer
        having = [i for i in ours if argument in self.places[i][1]]
        return (having or ours)[0]

    def value_at(self, place, argument):
        """The argument's value, None if it is not there."""
        return None if isinstance(place, tuple) else self.places[place][1].get(argument)

    def written(self, place, argument, value):
        """Writes the model with one argument set; gives the files to load. The argument None
        changes nothing."""
        tree = json.loads(self.text)
        if argument is not None:
            put_at, layer = place if isinstance(place, tuple) else (place, None)
            _, config, whole = list(self.walk(tree))[put_at]
            if layer is not None:
                whole["class_name"] = layer
                config = whole["config"] = {"name": config["name"]}
            config[argument] = value
        tree["keras_version"] = self.version
        path = self.folder / "model.json"
        path.write_text(json.dumps(tree).replace(json.dumps(HUGE), "1e400"))
        return path, self.weights


class Keras2Model(KerasModel):
    """Of Keras 2.15."""

    framework = "keras 2"


class Keras3Model(KerasModel):
    """Of Keras 3.15."""

    framework = "keras 3"


class QKerasModel(KerasModel):
    """Of QKeras 0.9."""

    framework = "qkeras"


class Hgq1Model(KerasModel):
    """Of HGQ 0.2.6: proxy models."""

    framework = "HGQ "


class Hgq2Model(KerasModel):
    """Of HGQ2 0.2.0."""

    framework = "HGQ2"


class OnnxModel:
    """A model of ONNX operators: nodes and their attributes."""

    framework = "onnx"

    def __init__(self, model, weights, folder):
        import onnx

        assert weights is None
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model = onnx.load(model)
        self.places = [
            (node.op_type, {a.name: self.plain_value(a) for a in node.attribute})
            for node in self.model.graph.node
        ]

    @classmethod
    def has(cls, case):
        """Whether a case is of this framework."""
        return case["framework"] == cls.framework

    @staticmethod
    def plain_value(attribute):
        """An attribute's value as JSON has it; None for tensors and graphs."""
        import onnx

        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            return value.decode(errors="replace")
        if isinstance(value, int | float):
            return value
        if isinstance(value, list) and all(isinstance(v, int | float | bytes) for v in value):
            return [v.decode(errors="replace") if isinstance(v, bytes) else v for v in value]
        return None

    @staticmethod
    def means_the_same(value, own):
        """Whether a value is another spelling of one that is there: never."""
        del value, own
        return False

    def place_of(self, layer, argument):
        """The first node of an operator that has the attribute, else the first."""
        ours = [i for i, (name, _) in enumerate(self.places) if name == layer]
        having = [i for i in ours if argument in self.places[i][1]]
        return (having or ours)[0]

    def value_at(self, place, argument):
        """The attribute's value, None if it is not there."""
        return self.places[place][1].get(argument)

    def written(self, place, argument, value):
        """Writes the model with one attribute set; gives the files to load. The attribute None
        changes nothing; the value None is an attribute without a value."""
        import onnx

        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        if argument is not None:
            node = model.graph.node[place]
            kept = [a for a in node.attribute if a.name != argument]
            del node.attribute[:]
            node.attribute.extend(kept)
            if value == HUGE:
                value = 3.4e38
            if isinstance(value, list) and value and isinstance(value[0], list):
                value = ["x"]
            if value is None or value in ({}, []):
                node.attribute.append(onnx.AttributeProto(name=argument))
            else:
                node.attribute.append(onnx.helper.make_attribute(argument, value))
        path = self.folder / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return (path,)


class QonnxModel(OnnxModel):
    """Of QONNX, and of quantisers in standard operators."""

    framework = "qonnx"


class TorchModel:
    """A program of torch.export: calls of ATen operators with named arguments."""

    def __init__(self, model, weights, folder):
        assert weights is None
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(model) as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}
        (self.graph,) = (name for name in self.members if name.endswith("models/model.json"))
        self.program = json.loads(self.members[self.graph])
        self.nodes = self.program["graph_module"]["graph"]["nodes"]
        self.places = [
            (self.layer_of(node), {a["name"]: self.plain_value(a["arg"]) for a in node["inputs"]})
            for node in self.nodes
        ]

    @classmethod
    def has(cls, case):
        """Whether a case is of this framework."""
        return case["framework"] == "torch"

    @staticmethod
    def layer_of(node):
        """ "aten.conv2d" of "torch.ops.aten.conv2d.padding"."""
        parts = node["target"].removeprefix("torch.ops.").split(".")
        return ".".join(parts[:2])

    @staticmethod
    def plain_value(argument):
        """A value as JSON has it; None for tensors, types and what is left out."""
        ((kind, value),) = argument.items()
        settings = ("as_int", "as_float", "as_bool", "as_string", "as_ints", "as_floats")
        return value if kind in settings else None

    place_of = OnnxModel.place_of
    value_at = OnnxModel.value_at

    @staticmethod
    def means_the_same(value, own):
        """{} is written as None too, and an empty list names nothing, as None does."""
        return value in ({}, []) and own is None

    @staticmethod
    def argument_of(value):
        """A value as the program writes it."""
        kinds = {bool: "as_bool", int: "as_int", float: "as_float", str: "as_string"}
        if value is None or value == {}:
            return {"as_none": True}
        if isinstance(value, list):
            reals = any(isinstance(part, float) for part in value)
            return {"as_floats" if reals else "as_ints": value}
        return {kinds[type(value)]: value}

    def written(self, place, argument, value):
        """Writes the program with one argument set; gives the files to load. The argument None
        changes nothing."""
        if argument is not None:
            inputs = self.nodes[place]["inputs"]
            kept = [a for a in inputs if a["name"] != argument]
            given = {"name": argument, "arg": self.argument_of(value), "kind": 1}
            self.nodes[place]["inputs"] = [*kept, given]
        text = json.dumps(self.program).replace(json.dumps(HUGE), "1e400")
        if argument is not None:
            self.nodes[place]["inputs"] = inputs
        path = self.folder / "model.pt2"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in self.members.items():
                archive.writestr(name, text if name == self.graph else data)
        return (path,)


# One table of arguments each.
FRAMEWORKS = {
    "keras2": Keras2Model,
    "keras3": Keras3Model,
    "qkeras": QKerasModel,
    "hgq1": Hgq1Model,
    "hgq2": Hgq2Model,
    "onnx": OnnxModel,
    "qonnx": QonnxModel,
    "torch": TorchModel,
}
