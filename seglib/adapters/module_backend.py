"""Call any torch module, or function of tensors, as a `Backend`: normalise and pad its input, and read its output.

Shared by every kind of model whose forward pass is torch's. Importing this module imports torch.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seglib.classes import VOID
from seglib.errors import WeightsError
from seglib.models.adapter import OutputKind
from seglib.models.registry import ModelSpec

_TRIAL_SIDE = 64

_SUM_TOLERANCE = 1e-3  # of probabilities, in fp32 and bf16

_OUTPUT_NAMES = ("out", "logits", "masks", "mask")


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """How a module is called, besides what `ModelSpec` says."""

    input: str = "normalised"
    """`normalised`: float (B, 3, H, W), (x / 255 - mean) / std. `uint8`: uint8 (B, 3, H, W), as decoded."""
    channels: str = "rgb"
    output: str | None = None
    """Key or attribute of the output to read; by default `out`, `logits`, or the first tensor."""
    scores: OutputKind | None = None
    """What the output is, where its values can be read in several ways."""
    multiple: int = 1
    """The sides are padded at the right and bottom to multiples of this, and the padding is cut off the output."""


class ModuleBackend:
    """A torch module or function on one device. Raises `WeightsError` if a trial image gives what cannot be read."""

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
        self._lock = None if thread_safe else threading.Lock()
        self.notes: Sequence[str] = ()
        self.output: OutputKind = "logits"
        self.output, self.notes = self._try()

    def __call__(self, images: NDArray[np.uint8]) -> Iterator[Tensor]:
        """See `seglib.models.adapter.Backend`."""
        read = self._read(self._call(images), images.shape)
        yield from (read,) if read.is_cuda else torch.split(read, 1)

    def _call(self, images: NDArray[np.uint8]) -> Tensor:
        """uint8 (B, H, W, 3) -> the module's output, as far as it is one tensor."""
        pixels = torch.from_numpy(np.array(images)).to(self._device)  # (B, H, W, 3)
        if self._options.channels == "bgr":
            pixels = pixels.flip(-1)
        if self._options.input == "normalised":
            pixels = (pixels.float() / 255 - self._mean) / self._std
        x = self._pad(pixels.permute(0, 3, 1, 2))
        with torch.inference_mode(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            if self._lock is None:
                given = self._forward(x)
            else:
                with self._lock:
                    given = self._forward(x)
        return self._crop(self._pick(given), x.shape, images.shape)

    def _pad(self, x: Tensor) -> Tensor:
        down, right = (-side % self._options.multiple for side in x.shape[2:])
        return torch.nn.functional.pad(x, (0, right, 0, down)) if down or right else x

    @staticmethod
    def _crop(output: Tensor, padded: Sequence[int], image: Sequence[int]) -> Tensor:
        """Cut off what was computed for the padding; a map of lower resolution is first given the padded size."""
        (high, wide), (height, width) = padded[2:], image[1:3]
        if (high, wide) == (height, width):
            return output
        if output.shape[-2:] != (high, wide):
            is_scores = output.dim() == 4 and output.is_floating_point()
            mode = {"mode": "bilinear", "align_corners": False} if is_scores else {"mode": "nearest-exact"}
            planes = output if output.dim() == 4 else output[:, None]
            dtype = output.dtype
            planes = torch.nn.functional.interpolate(planes.float(), size=(high, wide), **mode).to(dtype)
            output = planes if output.dim() == 4 else planes[:, 0]
        return output[..., :height, :width]

    def _pick(self, given: Any) -> Tensor:
        """The tensor of scores or masks among what the module returned."""
        name = self._options.output
        if name is not None:
            found = given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)
            if not isinstance(found, Tensor):
                raise WeightsError(f"{self._spec.name} has no output {name!r}: it gave {_describe(given)}.")
            return found
        if isinstance(given, Tensor):
            return given
        for key in _OUTPUT_NAMES:
            found = given.get(key) if isinstance(given, Mapping) else getattr(given, key, None)
            if isinstance(found, Tensor):
                return found
        if isinstance(given, np.ndarray):
            return torch.from_numpy(given)
        if isinstance(given, tuple | list) and given and isinstance(given[0], Tensor):
            return given[0]
        raise WeightsError(
            f"{self._spec.name} gave {_describe(given)}: expected a tensor, a dict with `out` or `logits`, a tuple "
            "that begins with the scores, or an object with `logits`; or name the output with `output`."
        )

    def _read(self, output: Tensor, shape: Sequence[int]) -> Tensor:
        """Scores float32 (b, C, h, w), or masks uint8 (b, h, w), from what the module gave for `shape[0]` images."""
        if self.output == "masks":
            return self._read_masks(output, shape[0])
        classes = len(self._spec.classes)
        scores = output.float()
        if scores.dim() == 3 and classes == 2:
            scores = scores[:, None]
        if scores.dim() == 4 and scores.shape[1] == 1 and classes == 2:  # one channel, for the second class
            first = 1 - scores if self.output == "probabilities" else torch.zeros_like(scores)
            scores = torch.cat([first, scores], 1)
        if scores.dim() != 4 or len(scores) != shape[0] or scores.shape[1] != classes:
            raise WeightsError(
                f"{self._spec.name} gave {_describe(output)} for {shape[0]} images: expected {classes} scores per "
                f"pixel, (B, {classes}, h, w), one for each of the classes {_some(self._spec.classes)}"
                f"{', or one for the second class' if classes == 2 else ''}."
            )
        return scores

    def _read_masks(self, output: Tensor, count: int) -> Tensor:
        masks = output[:, 0] if output.dim() == 4 and output.shape[1] == 1 else output
        if masks.dim() != 3 or len(masks) != count:
            raise WeightsError(
                f"{self._spec.name} gave {_describe(output)}: expected masks (B, h, w) of class indices."
            )
        highest = len(self._spec.classes) - 1
        outside = (masks < 0) | ((masks > highest) & (masks != VOID))
        if bool(outside.any()):
            raise WeightsError(
                f"{self._spec.name} gave the index {int(masks[outside][0])}, and its last class, "
                f"{self._spec.classes[-1]!r}, has the index {highest}."
            )
        return masks.to(torch.uint8)

    def _try(self) -> tuple[OutputKind, list[str]]:
        """Call the module on one image of noise, and see what kind of output it gives. Raises `WeightsError`."""
        output = self._call_trial()
        self._check_finite(output)
        declared = self._options.scores
        kind = declared or self._guess(output)
        self.output = kind
        self._read(output, (1,))
        notes = []
        if kind != "logits" and declared is None:
            notes.append(f"{self._spec.name}: its output is read as {kind}.")
        if len(self._spec.classes) == 2 and output.shape[1:2] == (1,) and kind != "masks":
            meaning = "probability" if kind == "probabilities" else "logit"
            notes.append(f"{self._spec.name} gives one channel, read as the {meaning} of {self._spec.classes[1]!r}.")
        return kind, notes

    def _call_trial(self) -> Tensor:
        side = _TRIAL_SIDE
        if (rule := self._spec.own_input_rule) is not None:
            width, height = rule.grid_wh(side, side)
        else:
            width = height = side
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        try:
            return self._call(noise[None])
        except WeightsError:
            raise
        except Exception as error:  # foreign code raises whatever it likes
            reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise WeightsError(
                f"{self._spec.name} cannot be called with an image of {width}x{height} "
                f"({type(error).__name__}: {reason[0][:160].rstrip('.')})."
            ) from error

    def _check_finite(self, output: Tensor) -> None:
        if output.is_floating_point() and not bool(output.isfinite().all()):
            raise WeightsError(f"{self._spec.name} gives NaN or infinite numbers: its weights are damaged.")

    def _guess(self, output: Tensor) -> OutputKind:
        """Tell logits, probabilities and masks apart by type, shape and values. Raises `WeightsError` if unclear."""
        if not output.is_floating_point():
            return "masks"
        low, high = float(output.min()), float(output.max())
        if low < 0 or high > 1 + _SUM_TOLERANCE:
            return "logits"
        scores = output if output.dim() == 4 else output[:, None]
        if scores.shape[1] > 1 and float((scores.sum(1) - 1).abs().max()) < _SUM_TOLERANCE:
            return "probabilities"
        raise WeightsError(
            f"{self._spec.name} gives numbers between 0 and 1 that do not sum to 1 over the classes; they may be "
            "probabilities or logits: say which with `scores`."
        )


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
