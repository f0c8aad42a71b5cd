"""Call any torch module, or function of tensors, as a `Backend`: normalise and pad its input, and read its output.

Shared by every kind of model whose forward pass is torch's. Importing this module imports torch.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seglib.classes import VOID
from seglib.errors import SegError, WeightsError
from seglib.models import weights_file
from seglib.models.adapter import OutputKind
from seglib.models.registry import ModelSpec

_TRIAL_WH = (96, 64)  # wider than high, so that a model that swaps the sides is noticed

_SUM_TOLERANCE = 1e-2  # of probabilities, in fp32 and bf16

_OUTPUT_NAMES = ("out", "logits", "masks", "mask")


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """How a module is called, besides what `ModelSpec` says."""

    input: str = "normalised"
    """`normalised`: float (B, 3, H, W), (x / 255 - mean) / std. `uint8`: uint8 (B, 3, H, W), as decoded."""
    channels: str = "rgb"
    """`bgr`: the channels are given in the order blue, green, red; `ModelSpec.mean` and `std` stay red, green, blue."""
    output: str | None = None
    """Key or attribute of the output to read; by default `out`, `logits`, or the first tensor."""
    scores: OutputKind | None = None
    """What the output is, where its values can be read in several ways."""
    multiple: int = 1
    """The sides are padded at the right and bottom to multiples of this, and the padding is cut off the output."""
    dtype: torch.dtype = torch.float32
    """Of the normalised input."""
    are_sums: bool = False
    """Probabilities may exceed 1, since they are sums over several proposals, as in Mask2Former."""
    one_at_a_time: bool = False
    """Call the module with batches of one image."""


class ModuleBackend:
    """A torch module or function on one device. Raises `WeightsError` if a trial image gives what cannot be read.

    A module that keeps something on itself while it is called is called by one thread at a time, and so is anything
    with `thread_safe` false.
    """

    def __init__(
        self,
        forward: Callable[[Tensor], Any],
        spec: ModelSpec,
        precision: str,
        device: str,
        options: CallOptions = CallOptions(),  # frozen
        *,
        thread_safe: bool = True,
    ) -> None:
        self._forward, self._spec, self._options = forward, spec, options
        self._device, self._bf16 = torch.device(device), precision == "bf16"
        self._mean, self._std = (torch.tensor(values, device=device) for values in (spec.mean, spec.std))
        self._lock: Any = contextlib.nullcontext() if thread_safe else threading.Lock()
        self.output: OutputKind = options.scores or "logits"
        self.notes: Sequence[str] = ()
        before = _attributes(forward)
        self._try()
        if not _are_same(before, _attributes(forward)):
            self._lock = threading.Lock()

    def __call__(self, images: NDArray[np.uint8]) -> Iterator[Tensor]:
        """See `seglib.models.adapter.Backend`."""
        read = self._read(*self._call(images), images.shape)
        yield from (read,) if read.is_cuda else torch.split(read, 1)

    def _call(self, images: NDArray[np.uint8]) -> tuple[Tensor, Sequence[int]]:
        """uint8 (B, H, W, 3) -> the module's output, as far as it is one tensor, and the padded (H, W)."""
        pixels = torch.from_numpy(np.array(images)).to(self._device)  # (B, H, W, 3)
        if self._options.input == "normalised":
            pixels = ((pixels.float() / 255 - self._mean) / self._std).to(self._options.dtype)
        if self._options.channels == "bgr":
            pixels = pixels.flip(-1)
        x = self._pad(pixels.permute(0, 3, 1, 2).contiguous())
        try:
            with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                if self._options.one_at_a_time:
                    return torch.cat([self._pick(self._forward_alone(one)) for one in torch.split(x, 1)]), x.shape[2:]
                return self._pick(self._forward_alone(x)), x.shape[2:]
        except SegError:
            raise
        except Exception as error:  # foreign code raises whatever it likes
            height, width = images.shape[1:3]
            raise WeightsError(
                f"{self._spec.name} cannot be called with images of {width}x{height} "
                f"({type(error).__name__}: {weights_file.first_line(error)})."
            ) from error

    def _forward_alone(self, x: Tensor) -> Any:
        with self._lock:
            return self._forward(x)

    def _pad(self, x: Tensor) -> Tensor:
        down, right = (-side % self._options.multiple for side in x.shape[2:])
        return torch.nn.functional.pad(x, (0, right, 0, down)) if down or right else x

    def _pick(self, given: Any) -> Tensor:
        """The tensor of scores or masks among what the module returned."""
        name = self._options.output
        if name is not None:
            found = _member(given, name)
            if found is None:
                raise WeightsError(f"{self._spec.name} has no output {name!r}: it gave {_describe(given)}.")
            return found
        found = _as_tensor(given)
        if found is None:
            found = next((one for key in _OUTPUT_NAMES if (one := _member(given, key)) is not None), None)
        if found is None and isinstance(given, tuple | list) and given:
            found = _as_tensor(given[0])
        if found is None:
            raise WeightsError(
                f"{self._spec.name} gave {_describe(given)}: expected a tensor, a dict with 'out' or 'logits', a tuple "
                "that begins with the scores, or an object with such an attribute; or name the output with `output`."
            )
        return found

    def _read(self, output: Tensor, padded_hw: Sequence[int], shape: Sequence[int]) -> Tensor:
        """What the module gave for images (B, H, W, 3) -> scores float32 (B, C, h, w), or masks uint8 (B, h, w).

        What was computed for the padding is cut off; a map of lower resolution is first given the padded size.
        """
        planes = self._read_masks(output, shape[0]) if self.output == "masks" else self._read_scores(output, shape[0])
        if tuple(padded_hw) == tuple(shape[1:3]):
            return planes
        if planes.dim() == 3:
            planes = torch.nn.functional.interpolate(planes[:, None], size=tuple(padded_hw), mode="nearest-exact")[:, 0]
        elif planes.shape[2:] != tuple(padded_hw):
            planes = torch.nn.functional.interpolate(
                planes, size=tuple(padded_hw), mode="bilinear", align_corners=False
            )
        return planes[..., : shape[1], : shape[2]]

    def _read_scores(self, output: Tensor, count: int) -> Tensor:
        classes = len(self._spec.classes)
        scores = output.to(self._device, torch.float32)
        if scores.dim() == 3 and classes == 2:
            scores = scores[:, None]
        is_one_channel = scores.dim() == 4 and scores.shape[1] == 1 and classes == 2
        if scores.dim() != 4 or len(scores) != count or not (is_one_channel or scores.shape[1] == classes):
            raise WeightsError(
                f"{self._spec.name} gave {_describe(output)} for {count} images: expected {classes} scores per "
                f"pixel, ({count}, {classes}, h, w), one for each of the classes {_some(self._spec.classes)}"
                f"{', or one for the second class' if classes == 2 else ''}; name others with `classes`."
            )
        if not bool(scores.isfinite().all()):
            raise WeightsError(f"{self._spec.name} gives NaN or infinite numbers: its weights are damaged.")
        if self.output == "probabilities" and not self._options.are_sums:
            low, high = float(scores.min()), float(scores.max())
            if low < 0 or high > 1 + _SUM_TOLERANCE:
                raise WeightsError(
                    f"{self._spec.name} gives {low if low < 0 else high:.4g} as a probability: say `scores` logits."
                )
        if is_one_channel:  # for the second class
            first = 1 - scores if self.output == "probabilities" else torch.zeros_like(scores)
            scores = torch.cat([first, scores], 1)
        return scores

    def _read_masks(self, output: Tensor, count: int) -> Tensor:
        masks = output[:, 0] if output.dim() == 4 and output.shape[1] == 1 else output
        if masks.dim() != 3 or len(masks) != count:
            raise WeightsError(
                f"{self._spec.name} gave {_describe(output)} for {count} images: expected masks ({count}, h, w) of "
                "class indices."
            )
        if masks.is_floating_point() and not bool((masks == masks.round()).all()):  # NaN too
            raise WeightsError(f"{self._spec.name} gives masks with fractions: say `scores` logits or probabilities.")
        highest = len(self._spec.classes) - 1
        outside = (masks < 0) | ((masks > highest) & (masks != VOID))
        if bool(outside.any()):
            raise WeightsError(
                f"{self._spec.name} gave the index {int(masks[outside][0])}, and its last class, "
                f"{self._spec.classes[-1]!r}, has the index {highest}: name all classes with `classes`."
            )
        return masks.to(self._device, torch.uint8)

    def _try(self) -> None:
        """Call the module on an image of noise, and see what kind of output it gives. Raises `WeightsError`."""
        output, padded_hw, shape = self._call_trial()
        declared = self._options.scores
        if declared is None:
            self.output = self._guess(output)
        self._read(output, padded_hw, shape)
        notes, name, classes = [], self._spec.name, self._spec.classes
        if self.output != "logits" and declared is None:
            notes.append(f"{name}: its output is read as {self.output}.")
        if self.output != "masks" and len(classes) == 2 and (output.dim() == 3 or output.shape[1] == 1):
            meaning = "probability" if self.output == "probabilities" else "logit"
            notes.append(f"{name} gives one channel, read as the {meaning} of {classes[1]!r}.")
        self.notes = notes

    def _call_trial(self) -> tuple[Tensor, Sequence[int], Sequence[int]]:
        """Output, padded (H, W) and shape of a small image, or of one of the usual size if the model refuses that."""
        rule = self._spec.own_input_rule
        sizes = [rule.grid_wh(*_TRIAL_WH)] if rule else [_TRIAL_WH, self._spec.resize.grid_wh(*_TRIAL_WH)]
        for width, height in sizes:
            noise = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), np.uint8)
            try:
                return *self._call(noise), noise.shape
            except WeightsError:
                if (width, height) == sizes[-1]:
                    raise
        raise AssertionError

    def _guess(self, output: Tensor) -> OutputKind:
        """Tell logits, probabilities and masks apart by type, shape and values. Raises `WeightsError` if unclear."""
        if not output.is_floating_point():
            return "masks"
        scores = output[:, None] if output.dim() == 3 else output
        low, high = float(output.min()), float(output.max())
        if scores.dim() == 4 and scores.shape[1] == 1 and low >= 0 and bool((scores == scores.round()).all()):
            raise WeightsError(f"{self._spec.name} gives whole numbers as {_describe(output)}: say what with `scores`.")
        if not (low >= 0 and high <= 1 + _SUM_TOLERANCE):  # NaN is refused when it is read
            return "logits"
        if scores.dim() == 4 and scores.shape[1] > 1 and float((scores.sum(1) - 1).abs().max()) < _SUM_TOLERANCE:
            return "probabilities"
        raise WeightsError(
            f"{self._spec.name} gives numbers between 0 and 1 that do not sum to 1 over the classes; they may be "
            "probabilities or logits: say which with `scores`."
        )


def _attributes(forward: object) -> dict[tuple[str, ...], Any] | None:
    """What a module and its parts hold, with the version of each tensor; None if a hook may hold more."""
    if not isinstance(forward, torch.nn.Module):
        return {}
    held: dict[tuple[str, ...], Any] = {}
    for name, part in forward.named_modules():
        if part._forward_hooks or part._forward_pre_hooks:
            return None
        for key, value in vars(part).items():
            values = (
                value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {"": value}
            )
            held |= {(name, f"{key}.{inner}"): one for inner, one in values.items()}
    versions = {
        (*key, "version"): value._version
        for key, value in held.items()
        if isinstance(value, Tensor) and not value.is_inference()
    }
    return held | versions


def _are_same(before: dict[Any, Any] | None, after: dict[Any, Any] | None) -> bool:
    """Whether both hold the same objects, and no tensor was changed in place."""
    if before is None or after is None or before.keys() != after.keys():
        return False
    return all(before[key] is value or (type(value) is int and before[key] == value) for key, value in after.items())


def _member(given: Any, name: str) -> Tensor | None:
    return _as_tensor(given.get(name) if isinstance(given, Mapping) else getattr(given, name, None))


def _as_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    return torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else None


def _describe(given: Any) -> str:
    if isinstance(given, Tensor | np.ndarray):
        return f"{str(given.dtype).removeprefix('torch.')} of shape ({', '.join(map(str, given.shape))})"
    if isinstance(given, Mapping):
        return f"a {type(given).__name__} of {', '.join(map(repr, list(given)[:8])) or 'nothing'}"
    if isinstance(given, tuple | list):
        return f"a {type(given).__name__} of {', '.join(type(one).__name__ for one in given[:8]) or 'nothing'}"
    return f"a {type(given).__name__}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
