"""Torch modules and other callables as models: `seglib.run("photos", model=my_module, classes=[...])`.

A model in memory is identified by its source and by all that it holds (`state`). What cannot be identified, such
as a lambda, or a class of a notebook, makes runs that are marked as unrepeatable; the same object continues its run as
long as the process lives.
"""

import copy
import inspect
import uuid
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeGuard

from seglib.adapters import identity
from seglib.adapters.lookup import check_request
from seglib.adapters.python_code.state import Fingerprint, take_fingerprint
from seglib.annotations.class_names import as_class_names
from seglib.classes import are_valid_class_names
from seglib.data.resize import Resize, as_resize
from seglib.data.worker_processes import check_importable
from seglib.errors import UnknownName, UsageError, WeightsError
from seglib.models.adapter import Adapter, Backend, ModelRequest
from seglib.models.registry import IMAGENET_MEAN, IMAGENET_STD, ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from seglib.adapters.module_backend import ModuleBackend


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a model says about itself by attributes of these names, or by the dict that its factory returned."""

    classes: tuple[str, ...] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    input: str | None = None
    channels: str | None = None
    output: str | None = None
    scores: str | None = None
    resize: Resize | None = None
    """Default size of the masks."""


@dataclass(frozen=True, eq=False)
class ObjectAdapter(Adapter):
    """A module or callable that is in memory, as it was when it was found."""

    model: Callable[..., Any]
    settings: Settings
    fingerprint: Fingerprint
    token: str
    """Stands for the digest of what has none; empty if it has one."""

    precisions = ("fp32", "bf16")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectAdapter) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        """A module that is identified by its digest is loaded as a copy, so that an equal one may take its place."""
        which = None if is_module(self.model) and not self.token else id(self.model)
        return which, self.settings, self.fingerprint, self.token

    def __getstate__(self) -> dict[str, object]:
        """Raises `UsageError` for a model that another process could not tell from others, or not unpickle."""
        name = _qualified_name(self.model).rpartition(".")[2]
        if self.token:
            raise UsageError(
                f"{name} cannot be sent to another process, since no digest tells it from other models: write a "
                "function that makes it, and give file.py:FUNCTION."
            )
        check_importable(self.model, name)
        return vars(self)

    @property
    def weights_sha256(self) -> str:
        return self.fingerprint.weights_sha256

    @property
    def repeatable(self) -> bool:  # type: ignore[override]
        return not self.token

    @property
    def code(self) -> str:
        return describe_python(self.model, self.settings, f"{self.fingerprint.source} {self.token}".strip())

    def load_backend(self, spec: ModelSpec, precision: str, device: str) -> Backend:
        if take_fingerprint(self.model) != self.fingerprint:
            raise WeightsError(f"{spec.name} has changed since it was found: find the model again.")
        return load_python(self.model, self.settings, spec, precision, device)

    def load_module(self, spec: ModelSpec) -> "nn.Module":
        return self.model if is_module(self.model) else super().load_module(spec)


def find_object(request: ModelRequest, model: Any) -> ModelSpec:
    """The spec of a module or callable. Raises `UsageError` if it is neither, or if its classes are not named."""
    if not callable(model) or inspect.isclass(model):
        what = f"the class {model.__name__}, which has to be called first" if inspect.isclass(model) else None
        raise UsageError(
            f"`model` is a name, a path, a torch module or another callable, not {what or 'a ' + type(model).__name__}."
        )
    name = _qualified_name(model).rpartition(".")[2]
    settings = settle(model, {}, request, name)
    fingerprint = take_fingerprint(model)
    is_named = is_module(model) or (inspect.isfunction(model) and not model.__closure__ and "<" not in model.__name__)
    token = "" if is_named and fingerprint.is_complete else _token(model)
    return describe_spec(model, settings, name, ObjectAdapter(model, settings, fingerprint, token))


def describe_spec(model: Any, settings: Settings, name: str, adapter: Adapter) -> ModelSpec:
    """The spec of a model in memory. Raises `UsageError` if nothing names its classes."""
    if not settings.classes:
        raise UsageError(f"Name the classes of {name} in index order with `classes`.")
    spec = ModelSpec(
        name=identity.model_name(name),
        weights="",
        parameters=sum(one.numel() for one in model.parameters()) if is_module(model) else 0,
        source="foreign",
        classes=settings.classes,
        mean=settings.mean or IMAGENET_MEAN,
        std=settings.std or IMAGENET_STD,
        adapter=adapter,
    )
    return replace(spec, resize=settings.resize) if settings.resize else spec


def describe_python(model: Any, settings: Settings, source: str) -> str:
    """The `code` of an adapter of Python objects."""
    return identity.describe_code(
        "python",
        source=source,
        called=(model if inspect.isroutine(model) else type(model)).__qualname__,
        input=settings.input or "normalised",
        channels=settings.channels or "rgb",
        output=settings.output,
        scores=settings.scores,
        multiple=_multiple(model),
    )


def load_python(model: Any, settings: Settings, spec: ModelSpec, precision: str, device: str) -> "ModuleBackend":
    """A backend of a copy of the module, which stays as the caller has it: its device, its mode and its gradients."""
    from seglib.adapters.module_backend import CallOptions, ModuleBackend

    options = CallOptions(
        input=settings.input or "normalised",
        channels=settings.channels or "rgb",
        output=settings.output,
        scores=settings.scores or _activation(model),  # type: ignore[arg-type]  # checked by settle
        multiple=_multiple(model),
    )
    if is_module(model):  # a function of one's own may keep something between its lines
        backend = ModuleBackend(_copy(model, spec).to(device).eval(), spec, precision, device, options)
    else:
        backend = ModuleBackend(model, spec, precision, device, options, thread_safe=False)
    if options.input == "normalised" and not (settings.mean or settings.std):
        backend.notes = [
            *backend.notes,
            f"{spec.name}: photos are normalised by ImageNet's mean and std, since nothing else was said.",
        ]
    return backend


def _copy(module: "nn.Module", spec: ModelSpec) -> "nn.Module":
    try:
        copied = copy.deepcopy(module)
    except Exception as error:  # foreign code raises whatever it likes
        raise WeightsError(f"{spec.name} cannot be copied ({type(error).__name__}: {error}).") from error
    return copied.requires_grad_(False)


# --- settings ---


def settle(model: Any, said: Mapping[str, Any], request: ModelRequest, name: str) -> Settings:
    """What the request says, else `said`, else the model's attributes. Raises `UsageError` for a contradiction."""
    known = [one.name for one in fields(Settings)]
    for key in said:
        if key not in known:
            raise UnknownName(f"setting of {name}", str(key), known)
    own = {key: value for key in known if (value := _own_value(model, key)) is not None}
    explicit = {key: _checked(name, key, value) for key, value in said.items() if value is not None}
    for key in own.keys() & explicit.keys():
        if own[key] != explicit[key]:
            raise UsageError(
                f"{name} contradicts itself: its settings say {key} {explicit[key]}, its attribute {own[key]}."
            )
    asked = {key: value for key in known if (value := getattr(request, key, None)) is not None}
    settings = Settings(**own | explicit | asked)
    if settings.input == "uint8" and (settings.mean or settings.std):
        raise UsageError(f"{name} takes uint8, which is not normalised: leave out `mean` and `std`, or `input` uint8.")
    if bool(settings.mean) != bool(settings.std):
        raise UsageError(f"Give both `mean` and `std` of {name}, or neither.")
    if settings.mean is None and settings.input is None and _holds_tensor(model, ("mean", "std")):
        raise UsageError(
            f"{name} has a tensor `mean` or `std`, so that it may normalise photos itself: say `input` uint8, or give "
            "`mean` and `std` (0,0,0 and 1,1,1 if it takes photos of range 0..1)."
        )
    return settings


def _own_value(model: Any, key: str) -> Any:
    """What an attribute of the model says; None for one of another kind, such as a number of classes."""
    value = getattr(model, key, None)
    try:
        return _checked("", key, value) if isinstance(value, str | list | tuple | Resize) else None
    except UsageError:
        return None


def _checked(name: str, key: str, value: Any) -> Any:
    """The value of a setting. Raises `UsageError` if it cannot be used."""
    if key == "resize" and isinstance(value, str | Resize):
        return as_resize(value)
    if key in ("mean", "std"):
        try:
            red, green, blue = map(float, value)
        except (TypeError, ValueError):
            raise UsageError(f"{name}: `{key}` is three numbers, one per channel, not {value!r}.") from None
        value = red, green, blue
    elif key == "classes":
        names = as_class_names(value) if isinstance(value, list | tuple) else None
        if names is None or not are_valid_class_names(names):
            raise UsageError(f"{name}: `classes` is a list of names, each once, not {value!r}.")
        value = names
    elif not isinstance(value, str):
        raise UsageError(f"{name}: `{key}` is a text, not {value!r}.")
    check_request(ModelRequest(**{key: value}))
    return value


def _holds_tensor(model: Any, names: Sequence[str]) -> bool:
    import torch

    return any(isinstance(getattr(model, name, None), torch.Tensor) for name in names)


def _multiple(model: Any) -> int:
    """What the sides of the input must be multiples of: a module of segmentation_models_pytorch says it."""
    stride = getattr(getattr(model, "encoder", None), "output_stride", None)
    return stride if type(stride) is int and stride > 0 and hasattr(model, "check_input_shape") else 1


def _activation(model: Any) -> str | None:
    """What the output of a module of segmentation_models_pytorch is, by its last layer."""
    from torch import nn

    head = getattr(model, "segmentation_head", None)
    layers = [*head.children()] if isinstance(head, nn.Module) else []
    last = getattr(layers[-1], "activation", None) if layers else None
    return {"Sigmoid": "probabilities", "Softmax": "probabilities", "Identity": "logits"}.get(type(last).__name__)


_TOKENS: dict[int, tuple[Any, str]] = {}
"""Reference and token of each object that cannot be identified, by its id."""


def _token(model: Any) -> str:
    """A token that stays the same for an object as long as it lives."""
    key = id(model)
    if key not in _TOKENS:
        try:
            reference: Any = weakref.ref(model, lambda _: _TOKENS.pop(key, None))
        except TypeError:  # it cannot be referred to weakly: it lives as long as the process, so that its id stays its
            reference = model
        _TOKENS[key] = reference, uuid.uuid4().hex
    return _TOKENS[key][1]


def _qualified_name(model: Any) -> str:
    named = model if inspect.isroutine(model) else type(model)
    return f"{named.__module__}.{named.__qualname__}"


def is_module(model: Any) -> "TypeGuard[nn.Module]":
    import torch

    return isinstance(model, torch.nn.Module)
