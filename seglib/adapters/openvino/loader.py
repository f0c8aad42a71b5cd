"""Load a model from a file: find out by a trial call what it takes and gives, and call it on images."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seglib.adapters.openvino import files, graph, reading, runtime
from seglib.adapters.openvino.graph import ModelInput
from seglib.adapters.openvino.reading import Reading
from seglib.adapters.openvino.runtime import Facts
from seglib.classes import VOID
from seglib.errors import UsageError, WeightsError
from seglib.models.adapter import ModelRequest, OutputKind
from seglib.models.registry import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

_MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
"""Of a side: the smallest that the model takes is found by trial."""

_TRIAL_SIDE = 96  # pixels, about


class InputPreparer:
    """uint8 (H, W, 3) RGB -> the model's input for one image, (1, 3, H, W) or (1, H, W, 3): normalised, or as it is."""

    def __init__(self, takes: ModelInput, spec: ModelSpec, request: ModelRequest) -> None:
        self._takes = takes
        self._order = (2, 1, 0) if request.channels == "bgr" else (0, 1, 2)
        self.is_raw = takes.is_integer or request.input == "uint8"
        values = np.arange(256, dtype=np.float32)
        mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
        tables = [values if self.is_raw else (values / np.float32(255) - mean[c]) / std[c] for c in range(3)]
        self._tables = np.stack(tables).astype(takes.dtype)  # (3, 256): channel, value -> what the model takes
        colour = np.clip(np.round(255 * mean), 0, 255) * (not self.is_raw)
        self.padding = (int(colour[0]), int(colour[1]), int(colour[2]))

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        height, width = image.shape[:2]
        if self._takes.layout == "NHWC":
            return np.stack([self._tables[c][image[..., c]] for c in self._order], -1)[None]
        x = np.empty((1, 3, height, width), self._tables.dtype)
        for target, c in enumerate(self._order):
            np.take(self._tables[c], image[..., c], out=x[0, target])
        return x


@dataclass(frozen=True)
class LoadedModel:
    """A model with one output: float32 (B, C, h, w) with the scores of every class, or masks (B, h, w)."""

    graph: Any
    """An `openvino.Model`."""
    takes: ModelInput
    prepare: InputPreparer
    reading: Reading
    facts: Facts

    def from_uint8(self, spec: ModelSpec, request: ModelRequest) -> Any:
        """The model with input uint8 (B, H, W, 3) RGB, and its facts. Raises `UsageError` if int8 would spoil it."""
        if self.facts.output == "masks" and self.reading.output.end != "ArgMax":
            raise UsageError(f"{spec.name} gives masks that int8 would distort: take `precision` fp32.")
        ov = runtime.import_openvino()
        from openvino.preprocess import PrePostProcessor

        steps = PrePostProcessor(self.graph.clone())
        steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        steps.input().model().set_layout(ov.Layout(self.takes.layout))
        process = steps.input().preprocess()
        if not self.takes.is_integer:
            process.convert_element_type(ov.Type.f32)
        if not self.prepare.is_raw:
            mean, std = ([255 * value for value in values] for values in (spec.mean, spec.std))
            process.mean(mean).scale(std)
        if request.channels == "bgr":
            process.reverse_channels()
        if self.takes.dtype == "float16":
            process.convert_element_type(ov.Type.f16)
        model = steps.build()
        runtime.simplify(model)
        runtime.write_facts(model, self.facts)
        return model


def load(path: Path, sha256: str, spec: ModelSpec, request: ModelRequest) -> LoadedModel:
    """Load the model that `spec` describes. Raises `WeightsError` or `UsageError` if it does not fit, or cannot run."""
    name = path.name
    if files.sha256(path) != sha256:
        raise WeightsError(f"{name!r} has changed since it was looked at: start again.")
    model = files.read(path)
    graph.check_constants(model, name)
    takes = graph.find_input(model, name)
    small, image_hw = graph.at_one_size(model, takes.size_wh, takes.layout)
    outputs = graph.list_outputs(small, image_hw, len(spec.classes))
    read = reading.choose(outputs, len(spec.classes), request, name)
    prepare = InputPreparer(takes, spec, request)
    model = reading.single_output(model, read)
    multiple, output = _try(model, takes, prepare, name)
    _check(output, read, spec, name)
    kind = reading.resolve(read, output, name)
    read = replace(read, kind=kind)
    if read.is_single:
        model = reading.two_channels(model, kind)
    notes = *_input_notes(takes, prepare, request, multiple, name), *_output_notes(read, spec, request, name)
    return LoadedModel(model, takes, prepare, read, Facts(kind, multiple, prepare.padding, notes))


def _compile(model: Any, precision: str, name: str) -> runtime.Requests:
    """Raises `WeightsError` if OpenVINO cannot run the model."""
    try:
        return runtime.Requests(runtime.compile_for_cpu(model, precision))
    except RuntimeError as error:
        raise WeightsError(f"{name!r} cannot be run by OpenVINO ({runtime.reason(error)}).") from None


def _try(model: Any, takes: ModelInput, prepare: InputPreparer, name: str) -> "tuple[int, Tensor]":
    """Call the model on noise: the smallest multiple of a side that it takes, and its output. Raises `WeightsError`."""
    requests = _compile(model, "fp32", name)
    random = np.random.default_rng(0)
    for multiple in _MULTIPLES:
        count = max(1, _TRIAL_SIDE // multiple) | 1  # odd, so that a larger multiple is not met by chance
        width, height = takes.size_wh or (multiple * (count + 2), multiple * count)
        noise = random.integers(0, 256, (height, width, 3), np.uint8)
        try:
            (output,) = requests([prepare(noise)])
        except RuntimeError as error:
            reason = runtime.reason(error)
            if takes.size_wh is not None:
                break
            continue
        return multiple, output
    raise WeightsError(f"{name!r} cannot be called with an image of {width}x{height} ({reason}).")


def _check(output: "Tensor", read: Reading, spec: ModelSpec, name: str) -> None:
    """Check the output of a trial call. Raises `WeightsError`."""
    if read.kind == "masks":
        _read_masks(output, spec)
    elif output.dim() != 4 or output.shape[1] not in ((1,) if read.is_single else (len(spec.classes),)):
        shape = ", ".join(map(str, output.shape))
        raise WeightsError(f"{name!r} gave scores ({shape}): expected (1, {len(spec.classes)}, h, w).")


def _read_masks(output: "Tensor", spec: ModelSpec) -> "Tensor":
    """Masks (1, h, w) of any type -> uint8. Raises `WeightsError` if a value is no index of a class."""
    if output.dim() != 3:
        raise WeightsError(f"{spec.name} gave {tuple(output.shape)}: expected a mask (1, h, w) of class indices.")
    if output.is_floating_point() and not bool((output == output.round()).all()):  # NaN too
        raise WeightsError(f"{spec.name} gives masks with fractions: say `scores` logits or probabilities.")
    highest = len(spec.classes) - 1
    outside = (output < 0) | ((output > highest) & (output != VOID))
    if bool(outside.any()):
        raise WeightsError(
            f"{spec.name} gave the index {int(output[outside][0])}, and its last class, {spec.classes[-1]!r}, has the "
            f"index {highest}: name all classes with `classes`."
        )
    return output.byte()


def _finite(scores: "Tensor", spec: ModelSpec) -> "Tensor":
    if not all(math.isfinite(value) for value in scores.aminmax()):
        raise WeightsError(f"{spec.name} gives NaN or infinite numbers: its weights are damaged.")
    return scores


def _input_notes(
    takes: ModelInput, prepare: InputPreparer, request: ModelRequest, multiple: int, name: str
) -> Iterator[str]:
    if takes.is_integer:
        yield f"{name} takes uint8 values: nothing is normalised."
    elif not prepare.is_raw and request.mean is None:
        yield (
            f"{name} cannot say how its input is normalised: ImageNet's mean and std for RGB are taken, unless `mean`, "
            "`std` and `channels` say otherwise."
        )
    if multiple > 1:
        yield f"{name} takes sides that are multiples of {multiple}: images are padded, and the padding cut off again."


def _output_notes(read: Reading, spec: ModelSpec, request: ModelRequest, name: str) -> Iterator[str]:
    if read.others and request.output is None:
        yield f"{name}: its output {read.output.name!r} is read; it has others: {', '.join(read.others[:8])}."
    by = f" (it ends in {read.output.end})" if read.output.end else ""
    if read.is_single:
        meaning = "probability" if read.kind == "probabilities" else "logit"
        yield f"{name} gives one channel, read as the {meaning} of {spec.classes[1]!r}{by}."
    elif read.kind != "logits" and request.scores is None:
        yield f"{name}: its output is read as {read.kind}{by}."


class FileBackend:
    """A model from a file, compiled for the CPU; see `seglib.models.adapter.Backend`."""

    def __init__(self, loaded: LoadedModel, spec: ModelSpec, precision: str) -> None:
        self.output: OutputKind = loaded.facts.output
        self.notes: Sequence[str] = loaded.facts.notes
        self._spec, self._prepare, self._facts = spec, loaded.prepare, loaded.facts
        self._requests = _compile(loaded.graph, precision, spec.name)

    def __call__(self, images: NDArray[np.uint8]) -> "Iterator[Tensor]":
        """uint8 (B, H, W, 3) -> yields float32 (1, C, h, w), or masks uint8 (1, h, w), of one image each."""
        try:
            for output in self._requests(self._prepare(self._facts.pad(image)) for image in images):
                cropped = self._facts.crop(output, images.shape[1:3])
                yield _read_masks(cropped, self._spec) if self.output == "masks" else _finite(cropped, self._spec)
        except RuntimeError as error:
            height, width = images.shape[1:3]
            raise WeightsError(
                f"{self._spec.name} cannot be called with an image of {width}x{height} ({runtime.reason(error)}): "
                "take another `resize`."
            ) from None
