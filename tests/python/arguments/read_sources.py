"""Classes of Keras and of its kin, and the arguments of their constructors, read from the sources.

The frameworks need not run, nor be installed side by side: an unpacked wheel is enough. Classes are
found by their syntax trees; `**kwargs` stands for the arguments of the base class.
"""

import ast
from dataclasses import dataclass, field
from pathlib import Path

# The end of a chain of base classes. Its arguments are those of all layers ("(every layer)").
ROOTS = {"Layer", "object"}
LAYERS = "keras.layers."
REQUIRED = "required"
IN_FILES = "in files"  # a key of the configuration that is no argument of the constructor


@dataclass
class Class:
    """A class of the sources."""

    name: str
    file: Path
    tree: ast.ClassDef
    bases: list[str] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)

    @property
    def layer(self):
        """The name under which Keras exports and saves a layer, or None."""
        names = [e.removeprefix(LAYERS) for e in self.exports if e.startswith(LAYERS)]
        short = [name for name in names if "." not in name]
        return self.name if names and (self.name in names or not short) else next(iter(short), None)


def texts_in(tree):
    return [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and type(n.value) is str]


def last_name(tree):
    """The name of a base class: `layers.Dense` is Dense, `Generic[T]` is Generic."""
    while isinstance(tree, ast.Subscript):
        tree = tree.value
    return tree.attr if isinstance(tree, ast.Attribute) else getattr(tree, "id", "")


def classes_in(folder, under=""):
    """All classes of the sources below a folder, by name; of two of one name the first, unless the
    later one is exported as a layer."""
    found = {}
    for file in sorted((folder / under).rglob("*.py")):
        if file.name.endswith("_test.py") or "/testing/" in str(file):
            continue
        for tree in ast.walk(ast.parse(file.read_text())):
            if not isinstance(tree, ast.ClassDef):
                continue
            exports = [
                text
                for mark in tree.decorator_list
                if isinstance(mark, ast.Call) and last_name(mark.func).endswith("_export")
                for text in texts_in(mark)
            ]
            new = Class(tree.name, file, tree, [last_name(base) for base in tree.bases], exports)
            old = found.get(tree.name)
            if old is None or (new.layer and not old.layer):
                found[tree.name] = new
    return found


def own_arguments(tree):
    """Arguments and defaults of a class's own __init__, and whether it hands others on; None if it
    has none."""
    for part in tree.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            break
    else:
        return None
    given = part.args
    names = [a.arg for a in given.posonlyargs + given.args][1:]
    defaults = [None] * (len(names) - len(given.defaults)) + list(given.defaults)
    out = dict(zip(names, defaults[-len(names) :] if names else [], strict=True))
    out.update({a.arg: d for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True)})
    return (
        {name: REQUIRED if d is None else ast.unparse(d) for name, d in out.items()},
        given.kwarg is not None,
    )


def given_to_base(tree):
    """What a class's __init__ itself gives to its base's: how many by position, and the names."""
    count, names = 0, set()
    for call in ast.walk(tree):
        called = call.func if isinstance(call, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr == "__init__":
            count = max(count, sum(not isinstance(a, ast.Starred) for a in call.args))
            names.update(word.arg for word in call.keywords if word.arg)
    return count, names


def config_keys(tree):
    """The keys that a class's get_config writes besides those of its base."""
    keys = []
    for part in tree.body:
        if isinstance(part, ast.FunctionDef) and part.name == "get_config":
            for node in ast.walk(part):
                if isinstance(node, ast.Dict):
                    keys += [k.value for k in node.keys if isinstance(k, ast.Constant)]
                elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
                    keys += texts_in(node.targets[0].slice)
    return [key for key in keys if isinstance(key, str)]


def arguments_of(name, known):
    """Arguments of a class with those of its bases that it hands on, and other keys of its
    configuration: {name: default}."""
    cls = known.get(name)
    if name in ROOTS or cls is None:
        return {}
    own = own_arguments(cls.tree)
    out, open_ended = own if own is not None else ({}, True)
    if open_ended:
        count, names = given_to_base(cls.tree) if own is not None else (0, set())
        for base in cls.bases:
            for place, (argument, default) in enumerate(arguments_of(base, known).items()):
                if place >= count and argument not in names:
                    out.setdefault(argument, default)
    for key in config_keys(cls.tree):
        out.setdefault(key, IN_FILES)
    return out


def has_base(name, roots, known, depth=0):
    """Whether a class descends from one of `roots`."""
    if name in roots:
        return True
    cls = known.get(name)
    return (
        depth < 20
        and cls is not None
        and any(has_base(base, roots, known, depth + 1) for base in cls.bases)
    )
