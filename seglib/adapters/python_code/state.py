"""Digest of a Python object that computes masks: its source, and all that it holds.

A model in memory is code and state. The code is the source of every class and function of one's own that it reaches,
with the local modules that those import; installed packages count by their version. The state is its weights, and every
other value that its parts hold: a dilation, a threshold, an activation.
"""

import ast
import enum
import functools
import hashlib
import inspect
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from seglib.adapters import identity

_PLAIN = (bool, int, float, complex, str, bytes, type(None), range, slice, Path)

_BOOKKEEPING = {"training", "_parameters", "_buffers", "_modules", "_is_hf_initialized"}
"""Attributes of a torch module that change no mask, or are counted as weights or parts."""

_MAX_DEPTH = 60


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """What tells one model from another."""

    weights_sha256: str
    """Of all state; two models of equal code and equal digest compute the same."""
    source: str
    """Digest of the source files, and the installed packages with their versions."""
    is_complete: bool
    """False if something could not be identified, such as a function of a notebook or an object of a compiled class."""


def take_fingerprint(model: Any, files: Mapping[str, Path] | None = None, modules: Iterable[str] = ()) -> Fingerprint:
    """The fingerprint of a torch module, function or other callable as it is now.

    `files`, by name, and the source of `modules` count in any case.
    """
    state = _State(modules=set(modules))
    state.add(model)
    own: dict[str, Path] = dict(files or {})
    packages: set[str] = set()
    for name in state.modules:
        if (package := installed_package(name)) is not None:
            packages.add(" ".join(package))
        elif not _is_standard(name):
            found = source_files(name)
            own |= found
            state.is_complete &= bool(found)
    digests = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in own.items() if file.is_file()}
    return Fingerprint(
        weights_sha256=state.digest.hexdigest(),
        source=" ".join([identity.combine_sha256(digests), *sorted(packages - {_torch()})]),
        is_complete=state.is_complete and _are_as_imported(own, digests),
    )


@dataclass
class _State:
    """Digest of values, and the modules that define the classes and functions among them."""

    digest: Any = field(default_factory=hashlib.sha256)
    modules: set[str] = field(default_factory=set)
    is_complete: bool = True
    _seen: dict[int, tuple[int, Any]] = field(default_factory=dict)

    def add(self, value: Any, depth: int = 0, *, is_known: bool = False) -> None:
        """Add a value; `is_known`: it belongs to an installed class, whose opaque objects the version stands for."""
        import numpy as np
        import torch

        if isinstance(value, (*_PLAIN, enum.Enum, torch.dtype, torch.device)):
            self._write(repr(value))
            return
        if id(value) in self._seen:
            self._write(f"seen {self._seen[id(value)][0]}")
            return
        self._seen[id(value)] = len(self._seen), value  # kept, so that no other object gets its id
        if depth > _MAX_DEPTH:
            self.is_complete = False
        elif isinstance(value, torch.nn.Module):
            self._add_module(value, depth)
        elif isinstance(value, torch.Tensor):
            self._write(identity.tensor_bytes(value))
        elif isinstance(value, np.ndarray | np.generic):
            self._write(f"{value.dtype} {value.shape} {value.tolist() if value.dtype.hasobject else ''}")
            self._write(np.ascontiguousarray(value).tobytes())
        elif isinstance(value, Mapping):
            for key, one in value.items():
                self.add(key, depth + 1, is_known=is_known)
                self.add(one, depth + 1, is_known=is_known)
        elif isinstance(value, list | tuple | set | frozenset):
            ordered = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
            self._write(f"{type(value).__name__} {len(value)}")
            for one in ordered:
                self.add(one, depth + 1, is_known=is_known)
        elif isinstance(value, types.ModuleType):
            self._write(value.__name__)
        else:
            self._add_object(value, depth, is_known)

    def _add_module(self, module: Any, depth: int) -> None:
        self._write(identity.module_sha256(module))
        for name, part in module.named_modules(remove_duplicate=False):
            is_known = installed_package(type(part).__module__) is not None
            self._name(type(part))
            for key, value in sorted(vars(part).items()):
                if key not in _BOOKKEEPING and not key.endswith("_with_kwargs"):
                    self._write(f"{name}.{key}")
                    held = list(value.values()) if key.endswith("_hooks") else value  # numbered differently each time
                    self.add(held, depth + 1, is_known=is_known)

    def _add_object(self, value: Any, depth: int, is_known: bool) -> None:
        """Functions, methods, classes and instances."""
        if isinstance(value, type):
            self._name(value)
        elif isinstance(value, functools.partial):
            self.add((value.func, value.args, value.keywords), depth + 1, is_known=is_known)
        elif inspect.ismethod(value):
            self._write(value.__name__)
            self.add(value.__self__, depth + 1, is_known=is_known)
        elif inspect.isfunction(value):
            self._add_function(value, depth)
        elif inspect.isroutine(value):
            self._write(getattr(value, "__qualname__", repr(value)))
        elif hasattr(value, "__dict__") and type(value).__module__ != "builtins":
            self._name(type(value))
            self.is_complete &= is_known or bool(vars(value)) or is_own(type(value).__module__)
            self.add(vars(value), depth + 1, is_known=is_known or not is_own(type(value).__module__))
        else:
            self._write(type(value).__qualname__)
            self.is_complete &= is_known

    def _add_function(self, function: types.FunctionType, depth: int) -> None:
        """A function: what it closes over, its defaults, and the globals that it names."""
        self._name(function)
        if not is_own(function.__module__):
            return
        if "<" in function.__qualname__:  # several in one file may have this name
            self._write(function.__code__.co_code)
            self._write(repr([one for one in function.__code__.co_consts if isinstance(one, _PLAIN)]))
        cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
        self.add([cells, function.__defaults__, function.__kwdefaults__], depth + 1)
        for name in sorted(_names(function.__code__)):
            if name in function.__globals__:
                self.add(function.__globals__[name], depth + 1)

    def _name(self, thing: Any) -> None:
        """Add the qualified name of a class or function, and count the source of its module."""
        self._write(thing.__qualname__)  # the module's name depends on how it was imported; its source counts
        self.modules.add(thing.__module__ or "")

    def _write(self, value: str | bytes) -> None:
        encoded = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
        self.digest.update(f"{len(encoded)}:".encode() + encoded)


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # not yet
        return False


def _names(code: types.CodeType) -> set[str]:
    """Global names that a function's code, and the functions inside it, may read."""
    inner = (_names(one) for one in code.co_consts if isinstance(one, types.CodeType))
    return set(code.co_names).union(*inner)


# --- source files ---


def source_files(module: str) -> dict[str, Path]:
    """Source files of one's own module, and of the local modules that it imports, by their path from the root of its
    package; empty if it has none.
    """
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or not Path(file).is_file() or Path(file).suffix != ".py":
        return {}
    path = Path(file).resolve()
    depth = module.count(".") + (path.name == "__init__.py") if module != "__main__" else 0
    return local_files(path, path.parents[depth])


def local_files(file: Path, root: Path) -> dict[str, Path]:
    """`file`, and every file below `root` that it imports, directly or not, by path from the root."""
    found: dict[str, Path] = {}
    todo = [file.resolve()]
    root = root.resolve()
    while todo:
        path = todo.pop()
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        if name not in found:
            found[name] = path
            todo += _imported_files(path, root)
    return found


def _imported_files(file: Path, root: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(root, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = file.parents[node.level - 1] if 0 < node.level <= len(file.parents) else root
            for alias in node.names:
                yield from _files_of(base, [*(node.module or "").split("."), alias.name])


def _files_of(base: Path, names: list[str]) -> Iterator[Path]:
    """Files that an import of `names` from the folder `base` loads: each package on the way, and the module."""
    for place in [base.joinpath(*names[:i]) for i in range(len(names) + 1)]:
        for one in (place / "__init__.py", Path(f"{place}.py")):
            if one.is_file() and one.is_relative_to(base) and not one.is_relative_to(base / "seglib"):
                yield one.resolve()


_IMPORTED: dict[Path, str] = {}
"""Digest of each source file when this process first met it."""


def _are_as_imported(files: Mapping[str, Path], digests: Mapping[str, str]) -> bool:
    """Whether no file has changed since this process imported it."""
    return all(_IMPORTED.setdefault(files[name], digest) == digest for name, digest in digests.items())


def forget_imported(files: Mapping[str, Path]) -> None:
    """Forget the digests of files that are about to be imported again."""
    for file in files.values():
        _IMPORTED.pop(file, None)


# --- installed packages ---


SCRIPT_FOLDERS: set[str] = set()
"""Folders that are on Python's path while code in them is imported; no package is installed there."""


def installed_package(module: str) -> tuple[str, str] | None:
    """(distribution, version) of an installed module; None if it is one's own, as in an editable installation."""
    names = _distributions(tuple(place for place in sys.path if place not in SCRIPT_FOLDERS)).get(
        module.partition(".")[0]
    )
    if not names:
        return None
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is not None:
        place = Path(str(metadata.distribution(names[0]).locate_file(""))).resolve()
        if not Path(file).resolve().is_relative_to(place):
            return None
    return names[0], metadata.version(names[0])


@lru_cache(maxsize=4)
def _distributions(_path: tuple[str, ...]) -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _torch() -> str:
    return f"torch {metadata.version('torch')}"  # as for built-in models, whose runs do not name it either


def _is_standard(module: str) -> bool:
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or top in ("", "builtins", "seglib") if top != "__main__" else False


def is_own(module: str) -> bool:
    return not _is_standard(module) and installed_package(module) is None
