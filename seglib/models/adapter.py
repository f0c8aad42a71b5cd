"""Interface of models that are not built in: what `ModelSpec.adapter` offers, and how a loaded model is called.

Implementations are in `seglib.adapters`. This module does not import torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from seglib.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from seglib.models.registry import ModelSpec

OutputKind = Literal["logits", "probabilities", "masks"]
"""What a model gives per pixel: unbounded scores, non-negative scores of every class, or the class's index alone.

Probabilities need not sum to 1 (Mask2Former's do not): they are divided by their sum once they have the grid's size.
"""


class Backend(Protocol):
    """A loaded model, ready to be called from several threads."""

    @property
    def output(self) -> OutputKind: ...

    @property
    def notes(self) -> Sequence[str]:
        """Sentences for the user about how the model's output is read."""
        ...

    def __call__(self, images: NDArray[np.uint8]) -> "Iterator[Tensor]":
        """uint8 (B, H, W, 3) RGB at the model's input size -> yields outputs, in order, of one or more images each.

        Float32 (b, C, h, w), C the number of classes, for logits and probabilities; uint8 (b, h, w) for masks. h and w
        may be smaller than H and W: the caller resamples them to the grid, bilinearly or, for masks, to the nearest.
        """
        ...


@runtime_checkable
class FeatureBackend(Backend, Protocol):
    """A backend that also gives the feature maps that it computes on the way to its output."""

    def with_features(self, images: NDArray[np.uint8]) -> "Iterator[tuple[Tensor, Tensor | None]]":
        """The same as a call, with the backbone's last feature map (b, D, h, w) beside each output.

        None if this model turns out to have none.
        """
        ...


class Adapter(ABC):
    """How one foreign model is identified and loaded. Implementations are immutable, hashable and picklable."""

    precisions: tuple[str, ...] = ("fp32",)
    """Those that the model can run in; `int8` if `to_openvino` is implemented."""

    devices: tuple[str, ...] = ("cpu", "cuda")
    """Where the model can run."""

    repeatable: bool = True
    """False if no digest can tell whether the model is still the same: its runs are marked and never continued."""

    gives_features: bool = False
    """Whether the loaded model is a `FeatureBackend`, so that its runs have embeddings."""

    @property
    @abstractmethod
    def weights_sha256(self) -> str:
        """SHA-256 of the weights in hex; with several files, of their digests. Raises `WeightsError`."""

    @property
    @abstractmethod
    def code(self) -> str:
        """Everything else that changes a mask, besides what `ModelSpec` holds: packages, versions, settings, source."""

    @abstractmethod
    def load_backend(self, spec: "ModelSpec", precision: str, device: str) -> Backend:
        """Load the model. Raises `WeightsError` if it does not fit what `spec` says."""

    def load_module(self, spec: "ModelSpec") -> "nn.Module":
        """The model as a torch module, as `seglib.load_model` returns it. Raises `UsageError` if it is none."""
        raise UsageError(f"{spec.name} is no torch module: run it with seglib.run or seglib.predict.")

    def to_openvino(self, spec: "ModelSpec") -> Any:
        """The model as an `openvino.Model` with input uint8 (B, H, W, 3) RGB, for int8. Raises `UsageError`."""
        raise UsageError(f"{spec.name} cannot be calibrated for int8: take `precision` auto.")


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """What a person names a model by; all that is needed to find it again, so a run's record keeps it.

    `None` stands for what the model itself says, or for the usual.
    """

    model: str | None = None
    """A name of `MODELS`, `hf:FOLDER`, `smp:FOLDER`, a file, `package.module:factory` or `file.py:factory`."""
    weights: str | None = None
    """Path of a checkpoint for a built-in architecture."""
    source: str = "torchvision"
    classes: tuple[str, ...] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channels: str | None = None
    """`rgb` or `bgr`: the order that the model expects."""
    output: str | None = None
    """Name of the model's output that holds the scores or the mask."""
    scores: str | None = None
    """`logits`, `probabilities` or `masks`: what the output is."""
    input: str | None = None
    """`normalised` or `uint8`: what the model's own code takes."""
    allow_pickle: bool = False
    run_code: bool = False
    """Allow a file to run code of its own (TorchScript)."""

    def to_record(self) -> dict[str, Any]:
        """The values that differ from their defaults, as JSON values."""
        default = ModelRequest()
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value != getattr(default, name)
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "ModelRequest":
        """Inverse of `to_record`. Raises `TypeError` for a field that is unknown."""
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in record.items()}
        return cls(**values)
