"""Rules for layers of the user's own: what they see of a layer, and what they build results of.

See docs/custom-layers.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from gatewright import _core

Rule = Callable[["Layer"], "Tensor | Sequence[Tensor]"]
Operand = "Tensor | npt.ArrayLike"

_registered: dict[str, Rule] = {}


def register_layer(name: str, rule: Rule, *, replace: bool = False) -> None:
    """Lets `rule` convert the layers of a class, or the operators of a name, in all models.

    Args:
        name: of Keras a class ("MyLayer", or "package>MyLayer" as registered); of PyTorch an
            operator ("mylib.myop") or the class of a pickled module ("package.module.MyLayer", or
            "MyLayer"); of ONNX an operator ("MyOp", or "domain::MyOp").
        rule: called with a `Layer`; gives the layer's result, or a list of them.
        replace: the name may be that of a rule that is built in or was registered before.

    Raises:
        ValueError: there is a rule of that name already.
    """
    _check(name, rule)
    if not replace and name in _registered:
        raise ValueError(f"there is a rule for '{name}' already; replace=True takes its place")
    if not replace:
        _check_built_in(name)
    _registered[name] = rule


def unregister_layer(name: str) -> None:
    """Takes a rule of `register_layer` back; KeyError if there is none."""
    del _registered[name]


def rules_for(layers: Mapping[str, Rule] | None) -> dict[str, Any]:
    """The registered rules and those given for one model, as the compiled part calls them."""
    rules = dict(_registered)
    for name, rule in (layers or {}).items():
        _check(name, rule)
        if name not in _registered:
            _check_built_in(name)
        rules[name] = rule
    return {name: _runner(rule) for name, rule in rules.items()}


def _check(name: str, rule: Rule) -> None:
    if not isinstance(name, str) or not name:
        raise TypeError("a layer's name is a text")
    if not callable(rule):
        raise TypeError(f"the rule for '{name}' cannot be called")


def _check_built_in(name: str) -> None:
    if name in _core.rule_names() or name.startswith("torch.nn.modules."):
        raise ValueError(
            f"'{name}' has a rule that is built in; "
            "register_layer(..., replace=True) takes its place"
        )


def _runner(rule: Rule) -> Callable[[Any], list[int]]:
    def run(at_work: Any) -> list[int]:
        layer = Layer(at_work)
        results = rule(layer)
        if isinstance(results, Tensor):
            results = [results]
        if not isinstance(results, list | tuple) or not all(
            isinstance(y, Tensor) and y._layer is layer for y in results
        ):
            raise TypeError(f"it gives {type(results).__name__}, not tensors of this layer")
        return [y._number for y in results]

    return run


class Tensor:
    """A tensor of the network, or a constant, while a rule runs: one sample, without the batch.

    +, -, *, / and @ work as NumPy's, with numbers and arrays as well.
    """

    __array_ufunc__ = None  # arrays leave operators with tensors to them

    def __init__(self, layer: Layer, number: int):
        self._layer = layer
        self._number = number

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._layer._at_work.shape(self._number))

    @property
    def value(self) -> np.ndarray | None:
        """The numbers of a constant; None of what is computed from the model's inputs."""
        return self._layer._at_work.value(self._number)

    def __repr__(self) -> str:
        return f"<gatewright.Tensor {list(self.shape)} of {self._layer!r}>"

    def __add__(self, other: Operand) -> Tensor:
        return self._layer.operator("add", self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return self._layer.operator("add", other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return self._layer.operator("subtract", self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return self._layer.operator("subtract", other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return self._layer.operator("multiply", self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return self._layer.operator("multiply", other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return self._layer.operator("divide", self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return self._layer.operator("divide", other, self)

    def __matmul__(self, other: Operand) -> Tensor:
        return self._layer.operator("matmul", self, other)

    def __rmatmul__(self, other: Operand) -> Tensor:
        return self._layer.operator("matmul", other, self)

    def __neg__(self) -> Tensor:
        return self._layer.operator("multiply", self, -1)

    def reshape(self, *shape: int) -> Tensor:
        """The same elements in another shape; one extent may be -1."""
        sizes = list(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else list(shape)
        if -1 in sizes:
            known = int(np.prod([n for n in sizes if n != -1], dtype=np.int64))
            total = int(np.prod(self.shape, dtype=np.int64))
            if sizes.count(-1) > 1 or known == 0 or total % known:
                raise ValueError(f"{total} elements do not fill a shape of {sizes}")
            sizes[sizes.index(-1)] = total // known
        return self._layer.operator("reshape", self, shape=sizes)

    def transpose(self, *axes: int) -> Tensor:
        """Axes in another order; without arguments reversed."""
        rank = len(self.shape)
        order = [_axis(a, rank) for a in axes] if axes else list(range(rank))[::-1]
        if sorted(order) != list(range(rank)):
            raise ValueError(f"{axes} does not name each of {rank} axes once")
        return self._layer.operator("transpose", self, permutation=order)

    def slice(self, axis: int, start: int | None, stop: int | None, step: int = 1) -> Tensor:
        """Positions start, start + step, ... before stop along an axis, as Python's slices."""
        axis = _axis(axis, len(self.shape))
        chosen = range(self.shape[axis])[start:stop:step]
        starts, steps, sizes = [0] * len(self.shape), [1] * len(self.shape), list(self.shape)
        starts[axis], steps[axis], sizes[axis] = chosen.start, chosen.step, len(chosen)
        return self._layer.operator("slice", self, starts=starts, steps=steps, sizes=sizes)

    def sum(self, *axes: int, keep: bool = False) -> Tensor:
        return self._reduce("sum", axes, keep)

    def mean(self, *axes: int, keep: bool = False) -> Tensor:
        return self._reduce("mean", axes, keep)

    def max(self, *axes: int, keep: bool = False) -> Tensor:
        return self._reduce("max", axes, keep)

    def min(self, *axes: int, keep: bool = False) -> Tensor:
        return self._reduce("min", axes, keep)

    def _reduce(self, kind: str, axes: Sequence[int], keep: bool) -> Tensor:
        rank = len(self.shape)
        chosen = sorted({_axis(a, rank) for a in axes}) if axes else list(range(rank))
        if not chosen:
            return self
        return self._layer.operator("reduce", self, kind=kind, axes=chosen, keep=keep)


class Layer:
    """One call of a layer, for its rule.

    Attributes:
        framework: "keras", "torch" or "onnx".
        name, type: of the layer, and of its class or operator.
        config: the layer's settings by name. Each must be read or ignored.
        weights: its arrays by name, in the order in which the layer made them (Keras' .keras files
            name them "0", "1", ...). Each must be read.
        inputs: tensors; None for one that is left out. Each must be used.
    """

    def __init__(self, at_work: Any):
        self._at_work = at_work
        self.framework: str = at_work.framework
        self.name: str = at_work.name
        self.type: str = at_work.type
        self.config: Mapping[str, Any] = _Config(at_work)
        self.weights: Mapping[str, np.ndarray] = _Weights(at_work)
        self.inputs: Sequence[Tensor | None] = _Inputs(self)

    def __repr__(self) -> str:
        return f"<gatewright.Layer '{self.name}' ({self.type})>"

    @property
    def input(self) -> Tensor:
        """The only input."""
        if len(self.inputs) != 1:
            raise ValueError(f"the layer has {len(self.inputs)} inputs")
        x = self.inputs[0]
        if x is None:
            raise ValueError("the layer's input is left out")
        return x

    def ignore(self, *names: str, because: str) -> None:
        """Says of settings that they change nothing here ("lr_*": all that begin so), and why."""
        if not because:
            raise ValueError("say why the settings change nothing")
        for name in names:
            self._at_work.ignore_setting(name)

    def constant(self, values: npt.ArrayLike) -> Tensor:
        """A constant; numbers are taken as float64, exactly."""
        array = np.asarray(values)
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise TypeError(f"a constant holds {array.dtype}; taken are bool, integers and floats")
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        return Tensor(self, self._at_work.constant(array.reshape(np.shape(values))))

    def operator(self, name: str, *inputs: Operand, **fields: Any) -> Any:
        """Any operator of `gatewright list operators`, with its fields: a tensor, or a list."""
        numbers = [self._number(x) for x in inputs]
        texts = [(key, _text(value)) for key, value in fields.items()]
        results = [Tensor(self, n) for n in self._at_work.emit(name, texts, numbers)]
        return results[0] if len(results) == 1 else results

    def function(self, name: str, x: Operand, *parameters: Operand) -> Tensor:
        """A function of one number, such as "tanh" or "leaky" with its slope."""
        return self.operator("function", x, *parameters, function=name)

    def join(self, name: str, a: Operand, b: Operand) -> Tensor:
        """A function of two: "less", "greater_equal", "equal", "and", "modulo", ..."""
        return self.operator("join", a, b, function=name)

    def select(self, condition: Operand, a: Operand, b: Operand) -> Tensor:
        """a where the condition is not zero, else b."""
        return self.operator("select", condition, a, b)

    def maximum(self, a: Operand, b: Operand) -> Tensor:
        return self.operator("maximum", a, b)

    def minimum(self, a: Operand, b: Operand) -> Tensor:
        return self.operator("minimum", a, b)

    def concat(self, tensors: Sequence[Operand], axis: int) -> Tensor:
        rank = len(self._tensor(tensors[0]).shape)
        return self.operator("concat", *tensors, axis=_axis(axis, rank))

    def softmax(self, x: Tensor, axis: int = -1) -> Tensor:
        return self.operator("softmax", x, axis=_axis(axis, len(x.shape)))

    def gather(self, x: Operand, index: Operand, axis: int = 0) -> Tensor:
        """Positions `index` (integers, any shape) along an axis of x."""
        return self.operator("gather", x, index, axis=_axis(axis, len(self._tensor(x).shape)))

    def conv(
        self,
        x: Tensor,
        kernel: npt.ArrayLike,
        bias: npt.ArrayLike | None = None,
        *,
        strides: Sequence[int] | int = 1,
        before: Sequence[int] | int = 0,
        after: Sequence[int] | int = 0,
        dilations: Sequence[int] | int = 1,
        groups: int = 1,
    ) -> Tensor:
        """x[channels, ...] with kernel[outputs, channels / groups, ...]; padding with zeros."""
        spatial = len(x.shape) - 1

        def each(n: Sequence[int] | int) -> list[int]:
            return [n] * spatial if isinstance(n, int) else list(n)

        operands = [x, kernel] if bias is None else [x, kernel, bias]
        return self.operator(
            "conv",
            *operands,
            strides=each(strides),
            before=each(before),
            after=each(after),
            dilations=each(dilations),
            groups=groups,
        )

    def quantize(
        self,
        x: Operand,
        *,
        scale: npt.ArrayLike,
        low: npt.ArrayLike,
        high: npt.ArrayLike,
        zero_point: npt.ArrayLike = 0,
        rounding: str = "half_even",
        overflow: str = "saturate",
    ) -> Tensor:
        """scale (clip(round(x / scale + zero_point), low, high) - zero_point)."""
        return self.operator(
            "fake_quantize",
            x,
            scale=np.asarray(scale, float),
            zero_point=np.asarray(zero_point, float),
            low=np.asarray(low, float),
            high=np.asarray(high, float),
            rounding=_Word(rounding),
            overflow=_Word(overflow),
        )

    def _tensor(self, x: Operand) -> Tensor:
        if not isinstance(x, Tensor):
            return self.constant(x)
        if x._layer is not self:
            raise ValueError("a tensor of another layer")
        return x

    def _number(self, x: Operand) -> int:
        return self._tensor(x)._number


class _Word(str):
    """A value that stands in fields without quotes."""


class _Config(Mapping[str, Any]):
    """Settings; reading one marks it."""

    def __init__(self, at_work: Any):
        self._at_work = at_work
        self._names = at_work.setting_names()

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(f"the layer has no setting '{name}'")
        return self._at_work.read_setting(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Weights(Mapping[str, np.ndarray]):
    """Weights; reading one marks it."""

    def __init__(self, at_work: Any):
        self._at_work = at_work
        self._arrays = dict(at_work.weights())

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._arrays:
            raise KeyError(f"the layer has no weight '{name}', but: {', '.join(self._arrays)}")
        self._at_work.use_weight(name)
        return self._arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class _Inputs(Sequence["Tensor | None"]):
    """Inputs; reading one marks it."""

    def __init__(self, layer: Layer):
        self._layer = layer
        self._numbers = layer._at_work.inputs()

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        i = range(len(self))[i]
        number = self._numbers[i]
        if number < 0:
            return None
        self._layer._at_work.use_input(i)
        return Tensor(self._layer, number)

    def __len__(self) -> int:
        return len(self._numbers)


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"there is no axis {axis} in a tensor of {rank} axes")
    return axis % rank


def _text(value: Any) -> str:
    """A field's value in the text form of networks."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, _Word):
        return str(value)
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return repr(float(value))
    if isinstance(value, np.ndarray):
        numbers = "".join(f" {float(v)!r}" for v in value.ravel())
        return f"[{', '.join(str(n) for n in value.shape)}]:{numbers}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(str(int(n)) for n in value)}]"
    raise TypeError(f"{type(value).__name__} is no value of a field")
