"""Which output of a model holds the scores or the mask, what its numbers are, and the graph that gives them alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from seglib.adapters.openvino import runtime
from seglib.adapters.openvino.graph import ModelOutput
from seglib.errors import UsageError, WeightsError
from seglib.models.adapter import ModelRequest, OutputKind

if TYPE_CHECKING:
    from torch import Tensor

_USUAL_NAMES = ("out", "logits", "output", "masks", "mask", "scores", "probabilities", "probs")

_SUM_TOLERANCE = 1e-3  # of probabilities

_MOST_SHOWN = 12  # outputs in a message

Kind = OutputKind | Literal["scores", "unclear"]
"""`scores`: logits or probabilities, which the values tell. `unclear`: perhaps a mask."""

_KINDS: dict[str, OutputKind] = {"Softmax": "probabilities", "Sigmoid": "probabilities", "LogSoftmax": "logits"}


@dataclass(frozen=True)
class Reading:
    """The output that is read, and as what."""

    output: ModelOutput
    kind: Kind
    others: tuple[str, ...] = ()
    """Names of the outputs that are left out."""

    @property
    def is_single(self) -> bool:
        """One channel, for the second of two classes."""
        return self.kind != "masks" and self.output.channels in (0, 1)


def choose(outputs: Sequence[ModelOutput], classes: int | None, request: ModelRequest, name: str) -> Reading:
    """The output to read, of those that fit the number of classes, as far as that is known. Raises `UsageError`."""
    listed = "; ".join(one.description for one in outputs[:_MOST_SHOWN]) + (
        "; ..." if len(outputs) > _MOST_SHOWN else ""
    )
    if request.output is not None:
        candidates = [one for one in outputs if request.output in one.names]
        if not candidates:
            raise UsageError(f"{name!r} has no output {request.output!r}: it has {listed}.")
    else:
        candidates = list(outputs)
    fitting = [(one, kind) for one in candidates if (kind := _kind(one, classes, request.scores)) is not None]
    if not fitting:
        raise UsageError(_nothing_fits(name, classes, request, candidates, listed))
    if len(fitting) > 1:
        usual = [pair for usual in _USUAL_NAMES for pair in fitting if usual in pair[0].names]
        if not usual:
            raise UsageError(
                f"{name!r} has several outputs that may hold the result: {listed}: choose one with `output`."
            )
        fitting = usual
    output, kind = fitting[0]
    if kind == "unclear":
        raise UsageError(
            f"The output {output.description} of {name!r} may hold masks, or one score per pixel: say which with "
            "`scores` masks, logits or probabilities."
        )
    natural = _KINDS.get(output.end or "")
    if request.scores and natural and kind != natural:
        raise UsageError(
            f"The output {output.description} of {name!r} ends in {output.end}, which gives {natural}, not "
            f"{request.scores}: leave out `scores`."
        )
    return Reading(output, kind, tuple(one.name for one in outputs if one is not output))


def _kind(output: ModelOutput, classes: int | None, scores: str | None) -> Kind | None:
    """What an output is read as, if it can be read for so many classes at all."""
    single = output.channels in (0, 1)
    if output.layout is None:
        return None
    if output.is_integer or output.end == "ArgMax" or scores == "masks":
        return "masks" if single and scores in (None, "masks") else None
    fits = classes in (None, 2) if single else classes in (None, output.channels) or output.channels < 0
    if not fits:
        return None
    if output.channels == 0 and output.end is None and scores is None:
        return "unclear"
    return scores or _KINDS.get(output.end or "") or "scores"  # type: ignore[return-value]  # checked by lookup


def _nothing_fits(
    name: str, classes: int | None, request: ModelRequest, candidates: Sequence[ModelOutput], listed: str
) -> str:
    found = "; ".join(one.description for one in candidates) if request.output else listed
    maps = [one for one in candidates if one.layout is not None]
    if classes is None or not maps:
        return f"{name!r} has no output with scores or classes per pixel: it has {found}."
    others = sorted({one.channels for one in maps if one.channels > 1} - {classes})
    if request.scores is not None and any(_kind(one, classes, None) for one in maps):
        return f"{name!r} has no output with {request.scores}; it has {found}: leave out `scores`."
    if others:
        advice = f"name {' or '.join(map(str, others))} classes with `classes`"
    else:
        advice = "one channel is for the second of two classes, so name two with `classes`, or say `scores` masks"
    source = "`classes`" if request.classes else "its metadata"
    return (
        f"{name!r} has no output with scores per pixel for {classes} classes, named by {source}; it has {found}: "
        f"{advice}."
    )


def single_output(model: Any, reading: Reading) -> Any:
    """The model with only that output: float32 (B, C, h, w), one channel or more, or masks (B, h, w).

    Of integers become int32, and masks in floating point stay so: what is no index must show.
    """
    ov = runtime.import_openvino()
    import openvino.opset13 as ops

    x = model.output(reading.output.index).get_node().input_value(0)
    is_index = reading.output.is_integer
    x = ops.convert(x, "i32" if is_index else "f32").output(0)
    layout = reading.output.layout
    if layout == "HW":
        x = ops.unsqueeze(x, 0).output(0)
    elif layout == "NHWC":
        x = ops.transpose(x, [0, 3, 1, 2]).output(0)
    has_channels = layout in ("NCHW", "NHWC")
    if reading.kind == "masks" and has_channels:
        x = ops.squeeze(x, [1]).output(0)
    elif reading.kind != "masks" and not has_channels:
        x = ops.unsqueeze(x, 1).output(0)
    return ov.Model([ops.result(x)], model.get_parameters(), model.get_friendly_name())


def two_channels(model: Any, kind: OutputKind) -> Any:
    """From a model of one channel, that of the second class, one of two: (1 - p, p), or the logits (0, z)."""
    ov = runtime.import_openvino()
    import numpy as np
    import openvino.opset13 as ops

    second = model.output(0).get_node().input_value(0)
    first = ops.subtract(np.float32(1), second) if kind == "probabilities" else ops.multiply(second, np.float32(0))
    return ov.Model([ops.result(ops.concat([first, second], 1))], model.get_parameters(), model.get_friendly_name())


def resolve(read: Reading, output: "Tensor", name: str) -> OutputKind:
    """Check what a trial call gave, and tell logits from probabilities by it. Raises `WeightsError` or `UsageError`."""
    if read.kind == "masks":
        return "masks"
    low, high = (float(value) for value in output.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise WeightsError(f"{name!r} gives NaN or infinite numbers: its weights are damaged.")
    if read.kind == "probabilities":
        if low < 0 or (read.is_single and high > 1 + _SUM_TOLERANCE):
            raise UsageError(f"{name!r} gives numbers from {low:.3g} to {high:.3g}, which are no probabilities.")
        return "probabilities"
    if read.kind == "logits" or low < 0 or high > 1 + _SUM_TOLERANCE:
        return "logits"
    if output.shape[1] > 1 and float((output.sum(1) - 1).abs().max()) < _SUM_TOLERANCE:
        return "probabilities"
    raise UsageError(
        f"{name!r} gives numbers between 0 and 1{'' if read.is_single else ' that do not sum to 1'}; they may be "
        "probabilities or logits: say which with `scores`."
    )
