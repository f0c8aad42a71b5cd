"""Models that one's own code makes: `package.module:factory`, `file.py:factory`, and installed plug-ins.

The factory takes no argument, and returns a torch module or another callable, or that and a dict of settings
(`objects.Settings`), or a `ModelSpec`. Finding such a model runs its code.
"""

import contextlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from seglib.adapters.python_code import objects, state
from seglib.adapters.python_code.objects import Settings
from seglib.adapters.python_code.state import Fingerprint
from seglib.errors import SegError, UsageError, WeightsError
from seglib.models.adapter import Adapter, Backend, ModelRequest
from seglib.models.registry import ModelSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class CodeAdapter(Adapter):
    """The model that a factory makes, as it was when it was found."""

    target: str
    """`package.module:factory` or `/path/file.py:factory`."""
    settings: Settings
    fingerprint: Fingerprint
    description: str
    """`code`."""

    precisions = ("fp32", "bf16")

    @property
    def weights_sha256(self) -> str:
        return self.fingerprint.weights_sha256

    @property
    def code(self) -> str:
        return self.description

    @property
    def repeatable(self) -> bool:  # type: ignore[override]
        return self.fingerprint.is_complete

    def load_backend(self, spec: ModelSpec, precision: str, device: str) -> Backend:
        backend = objects.load_python(self._make(spec), self.settings, spec, precision, device)
        backend.notes = [f"{spec.name}: the code of {self.target} runs.", *backend.notes]
        return backend

    def load_module(self, spec: ModelSpec) -> "nn.Module":
        model = self._make(spec)
        if not objects.is_module(model):
            return super().load_module(spec)
        return model.eval()

    def _make(self, spec: ModelSpec) -> Any:
        made, fingerprint = _make(self.target)
        if fingerprint != self.fingerprint:
            raise WeightsError(
                f"{self.target} gives another model each time: let it load its weights from a file, or seed the random "
                "numbers that it draws."
            )
        return _split(self.target, made)[0]


def find(request: ModelRequest, target: str) -> ModelSpec:
    """The spec of what `package.module:factory` or `file.py:factory` makes. Raises `UsageError` or `WeightsError`."""
    where, _, name = target.rpartition(":")
    if not where or not name.isidentifier():
        raise UsageError(f"{target!r} does not name a factory: write file.py:FACTORY or package.module:FACTORY.")
    is_plugin = request.model is not None and ":" not in request.model
    if _is_file(where):
        target = f"{Path(where).absolute()}:{name}"
    kept = request if is_plugin else replace(request, model=target)
    made, fingerprint = _make(target)
    if isinstance(made, ModelSpec):
        keys = ("classes", "mean", "std", "channels", "output", "scores", "input")
        given = [key for key in keys if getattr(request, key) is not None]
        if given:
            raise UsageError(f"{target} gives a ModelSpec, which says its {given[0]} itself: leave out `{given[0]}`.")
        return replace(made, request=kept)
    model, said = _split(target, made)
    settings = objects.settle(model, said, request, name)
    code = objects.describe_python(model, settings, fingerprint.source)
    short = request.model if is_plugin else f"{Path(where).stem if _is_file(where) else where}.{name}"
    spec = objects.describe_spec(model, settings, short or name, CodeAdapter(target, settings, fingerprint, code))
    return replace(spec, request=kept)


def _split(target: str, made: Any) -> tuple[Callable[..., Any], Mapping[str, Any]]:
    """(model, settings) of what a factory returned. Raises `WeightsError`."""
    model, said = made if isinstance(made, tuple) and len(made) == 2 else (made, {})
    if not callable(model) or inspect.isclass(model) or not isinstance(said, Mapping):
        raise WeightsError(
            f"{target} returned {_describe(made)}: expected a torch module or another callable, or that and a dict of "
            "settings, or a seglib.ModelSpec."
        )
    return model, said


def _make(target: str) -> tuple[Any, Fingerprint]:
    """Import the code, call the factory: what it returned, and its fingerprint. Raises `UsageError`, `WeightsError`."""
    where, _, name = target.rpartition(":")
    with contextlib.redirect_stdout(sys.stderr), _imported(where) as imported:
        factory = getattr(imported.module, name, None)
        if factory is None:
            public = [key for key, value in vars(imported.module).items() if callable(value) and key[0] != "_"]
            raise UsageError(f"There is no {name!r} in {where}; it defines {', '.join(public[:20]) or 'nothing'}.")
        made = factory if objects.is_module(factory) else _call(factory, target)
        if isinstance(made, ModelSpec):
            return made, Fingerprint(weights_sha256="", source="", is_complete=True)
        model = _split(target, made)[0]
        return made, state.take_fingerprint(model, imported.files(), [imported.module.__name__])


def _call(factory: Any, target: str) -> Any:
    if not callable(factory):
        raise UsageError(f"{target} is a {type(factory).__name__}: expected a function that returns the model.")
    try:
        inspect.signature(factory).bind()
    except TypeError:
        raise UsageError(
            f"{target} takes arguments {inspect.signature(factory)}: write a function without any, which calls it."
        ) from None
    except ValueError:  # a class of C has no signature
        pass
    try:
        return factory()
    except SegError:
        raise
    except (Exception, SystemExit) as error:  # foreign code raises whatever it likes
        raise WeightsError(f"{target} failed ({_cause(error)}).") from error


@dataclass(frozen=True)
class _Imported:
    module: ModuleType
    before: frozenset[str]
    """Modules that were loaded before it."""
    folder: Path | None = None
    """Of a file, whose neighbours it may import."""

    def new_neighbours(self) -> dict[str, Path]:
        """Module -> file of what was imported from the folder since."""
        if self.folder is None:
            return {}
        new = {name: getattr(sys.modules[name], "__file__", None) for name in set(sys.modules) - self.before}
        files = {name: Path(file).resolve() for name, file in new.items() if file is not None}
        folder = self.folder.resolve()
        return {name: one for name, one in files.items() if one.is_relative_to(folder) and state.is_own(name)}

    def files(self) -> dict[str, Path]:
        """Source files that it was made of, by path from the folder."""
        if self.folder is None:
            return {}
        folder = self.folder.resolve()
        loaded = {file.relative_to(folder).as_posix(): file for file in self.new_neighbours().values()}
        return state.local_files(Path(str(self.module.__file__)), self.folder) | loaded


@contextlib.contextmanager
def _imported(where: str) -> Iterator[_Imported]:
    """Import a file or module.

    Modules beside a file can be imported meanwhile, as in a script, and are forgotten afterwards: another file's
    neighbours may have the same names.
    """
    before = frozenset(sys.modules)
    if not _is_file(where):
        yield _Imported(_import_module(where), before)
        return
    path = Path(where).absolute()
    if not path.is_file():
        raise UsageError(f"There is no file {str(path)!r}.")
    state.forget_imported(state.local_files(path, path.parent))
    state.SCRIPT_FOLDERS.add(str(path.parent))
    sys.path.insert(0, str(path.parent))
    importlib.invalidate_caches()
    imported = _Imported(_new_module(path), before, path.parent)
    try:
        _execute(imported.module, path)
        yield imported
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(path.parent))
        for name in imported.new_neighbours():
            del sys.modules[name]


class _FreshLoader(importlib.machinery.SourceFileLoader):
    """Compiles the file each time: Python takes a cached one of the same second and size for current."""

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.get_data(self.path), self.path)


def _new_module(path: Path) -> ModuleType:
    name = f"_model_{path.stem}"  # no other module's name
    spec = importlib.util.spec_from_file_location(name, path, loader=_FreshLoader(name, str(path)))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look up the module of their class
    return module


def _execute(module: ModuleType, path: Path) -> None:
    try:
        module.__loader__.exec_module(module)  # type: ignore[union-attr]  # it is a _FreshLoader
    except (Exception, SystemExit) as error:  # foreign code raises whatever it likes
        raise WeightsError(f"{path} cannot be imported ({_cause(error)}).") from error


def _import_module(name: str) -> ModuleType:
    """Import a module that is installed, or lies in the working directory. Raises `UsageError` or `WeightsError`."""
    top = name.partition(".")[0]
    here = Path.cwd()
    if (
        top not in sys.modules
        and ((here / top).is_dir() or (here / f"{top}.py").is_file())
        and str(here) not in sys.path
    ):
        sys.path.append(str(here))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(
                f"There is no module {error.name!r} here: install it, run in the folder that holds it, or name "
                "file.py:FACTORY."
            ) from None
        raise WeightsError(f"{name} cannot be imported ({_cause(error)}).") from error
    except (Exception, SystemExit) as error:  # foreign code raises whatever it likes
        raise WeightsError(f"{name} cannot be imported ({_cause(error)}).") from error


def _is_file(where: str) -> bool:
    return where.endswith(".py")


def _cause(error: BaseException) -> str:
    """Type, message and place of an error in foreign code."""
    text = " ".join(str(error).split())[:200].rstrip(".")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    frames = [frame for frame in frames if not frame.filename.startswith("<frozen")]
    line = frames[-1] if frames else None
    place = f", {Path(line.filename).name}:{line.lineno}" if line else ""
    return f"{type(error).__name__}{': ' if text else ''}{text}{place}"


def _describe(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, tuple):
        return f"a tuple of {', '.join(type(one).__name__ for one in value[:8]) or 'nothing'}"
    return f"the class {value.__name__}" if inspect.isclass(value) else f"a {type(value).__name__}"
