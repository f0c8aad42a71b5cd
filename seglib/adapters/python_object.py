"""Torch modules and other callables as models: `seglib.run("photos", model=my_module, classes=[...])`.

A module is identified by its weights and by the source of its classes; a function by the source of its file. What was
defined in a notebook, or closes over other objects, cannot be identified: its runs are marked as unrepeatable.
"""

import inspect
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

from seglib.adapters import identity
from seglib.errors import UsageError
from seglib.models.adapter import Adapter, Backend, ModelRequest
from seglib.models.registry import IMAGENET_MEAN, IMAGENET_STD, ModelSpec

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)  # the same object is the same model
class ObjectAdapter(Adapter):
    """A module or callable that is in memory."""

    model: Callable[..., Any]
    request: ModelRequest
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Stands for the digest of what has none."""

    precisions = ("fp32", "bf16")

    @property
    def weights_sha256(self) -> str:
        return identity.module_sha256(self.model) if _is_module(self.model) else ""

    @property
    def repeatable(self) -> bool:  # type: ignore[override]
        return self._source() is not None

    @property
    def code(self) -> str:
        return identity.describe_code(
            "python",
            source=self._source() or f"unknown {self.token}",
            called=_qualified_name(self.model),
            input=self.request.input or "normalised",
            channels=self.request.channels or "rgb",
            output=self.request.output,
            scores=self.request.scores,
        )

    def _source(self) -> str | None:
        """Digest of the source of every class or function that computes; None if one has none."""
        if not _is_module(self.model):
            function = inspect.unwrap(self.model)
            if not inspect.isfunction(function) or function.__closure__ or "<lambda>" in function.__qualname__:
                return None
            return identity.source_sha256([function.__module__])
        modules = {type(part).__module__ for part in self.model.modules()}
        own = {name for name in modules if identity.installed_package(name) is None}
        packages = sorted(str(identity.installed_package(name)) for name in modules - own)
        source = identity.source_sha256(own)
        return None if source is None else f"{source} {packages}"

    def load_backend(self, spec: ModelSpec, precision: str, device: str) -> Backend:
        from seglib.adapters.module_backend import CallOptions, ModuleBackend

        options = CallOptions(
            input=self.request.input or "normalised",
            channels=self.request.channels or "rgb",
            output=self.request.output,
            scores=self.request.scores,  # type: ignore[arg-type]  # checked by lookup
        )
        if not _is_module(self.model):
            return ModuleBackend(self.model, spec, precision, device, options, thread_safe=False)
        return ModuleBackend(self.model.eval().to(device), spec, precision, device, options)

    def load_module(self, spec: ModelSpec) -> "nn.Module":
        return self.model if _is_module(self.model) else super().load_module(spec)


def find_object(request: ModelRequest, model: Any) -> ModelSpec:
    """The spec of a module or callable. Raises `UsageError` if it is neither, or if its classes are not named."""
    if not callable(model):
        raise UsageError(
            f"`model` is a name, a path, a torch module or another callable, not a {type(model).__name__}."
        )
    if not request.classes:
        raise UsageError(f"Name the classes of the {type(model).__name__} in index order with `classes`.")
    parameters = sum(one.numel() for one in model.parameters()) if _is_module(model) else 0
    return ModelSpec(
        name=identity.model_name(_qualified_name(model).rpartition(".")[2]),
        weights="",
        parameters=parameters,
        source="foreign",
        classes=request.classes,
        mean=request.mean or IMAGENET_MEAN,
        std=request.std or IMAGENET_STD,
        adapter=ObjectAdapter(model, request),
    )


def _qualified_name(model: Any) -> str:
    named = model if inspect.isroutine(model) else type(model)
    return f"{named.__module__}.{named.__qualname__}"


def _is_module(model: Any) -> "TypeGuard[nn.Module]":
    import torch

    return isinstance(model, torch.nn.Module)
