"""Live models of Keras and PyTorch: saved by their own framework, then read like a file.

No framework is imported here; an object brings its own.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gatewright import Model


def load(model: Any, example_inputs: Sequence[Any] | None, **options: Any) -> Model:
    """The Model of a live object; see `gatewright.load`. Its files live as long as it does."""
    from gatewright import Model

    if _is(model, "torch", "Module") or _is(model, "torch", "ExportedProgram"):
        name, save = "model.pt2", _save_torch
    elif _is(model, "keras", "Model") or _is(model, "tf_keras", "Model"):
        if example_inputs is not None:
            raise TypeError("example_inputs belong to a torch module, not to a Keras model")
        name, save = ("model.keras" if _is_keras_3(model) else "model.h5"), _save_keras
    else:
        raise TypeError(f"{type(model).__name__} is neither a path nor a model of Keras or PyTorch")
    folder = tempfile.TemporaryDirectory()
    file = Path(folder.name) / name
    save(model, file, example_inputs)
    loaded = Model(file, **options)
    loaded._folder = folder
    return loaded


def _is(model: Any, package: str, name: str) -> bool:
    """Whether a class of this name from this package is among the object's classes."""
    return any(
        cls.__name__ == name and cls.__module__.split(".")[0] == package
        for cls in type(model).__mro__
    )


def _is_keras_3(model: Any) -> bool:
    """Whether the model's own framework writes `.keras` files by default."""
    roots = {cls.__module__.split(".")[0] for cls in type(model).__mro__}
    if "tf_keras" in roots:
        return False
    version = getattr(sys.modules.get("keras"), "__version__", "2")
    return int(version.split(".")[0]) >= 3


def _save_keras(model: Any, file: Path, _: Sequence[Any] | None) -> None:
    model.save(file)


def _save_torch(model: Any, file: Path, example_inputs: Sequence[Any] | None) -> None:
    torch = sys.modules["torch"]
    if _is(model, "torch", "Module"):
        if example_inputs is None:
            raise TypeError("a torch module is traced: give example_inputs, a tuple of tensors")
        model = torch.export.export(model, tuple(example_inputs))
    elif example_inputs is not None:
        raise TypeError("an exported program is traced already: leave out example_inputs")
    torch.export.save(model, file)
