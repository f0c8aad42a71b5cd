"""What an `openvino.Model` says about its input, its outputs, its class names and its cost, without running it."""

import ast
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from seglib.classes import are_valid_class_names
from seglib.errors import WeightsError
from seglib.models.registry import GFLOPS_SIDE

Layout = Literal["NCHW", "NHWC"]

End = Literal["Softmax", "LogSoftmax", "Sigmoid", "ArgMax"]

_RGB = 3

_DTYPES = {"f32": "float32", "f16": "float16", "u8": "uint8"}  # of inputs

_TRIAL_HW = (192, 320)  # multiples of 64 of unlike proportions, so that the layout of outputs shows

_MAX_BYTES = 1 << 32  # of one tensor that is computed for such an image

_PASSED = {"Convert", "Transpose", "Squeeze", "Unsqueeze", "Reshape", "Interpolate", "Slice", "StridedSlice"}
"""Operations after which the scores of a pixel are still what they were."""

_ENDS: dict[str, End] = {"Softmax": "Softmax", "LogSoftmax": "LogSoftmax", "Sigmoid": "Sigmoid", "TopK": "ArgMax"}

_NAME_KEYS = ("names", "classes", "class_names", "labels", "id2label")

_NAME_SECTIONS = ((), ("framework",), ("model_info",))  # `framework` holds the metadata of an ONNX file

_MAX_NAMES_LENGTH = 100_000  # characters


@dataclass(frozen=True)
class ModelInput:
    layout: Layout
    size_wh: tuple[int, int] | None
    """(width, height) that the model insists on; None if it takes any."""
    dtype: str
    """`float32`, `float16`, or `uint8`, so that nothing can be normalised before it."""
    normalisation: str | None
    """What the graph does to the input first, if that is a normalisation: `Subtract 0.485 0.456 0.406, ...`."""

    @property
    def is_integer(self) -> bool:
        return self.dtype == "uint8"


@dataclass(frozen=True)
class ModelOutput:
    index: int
    names: tuple[str, ...]
    shape: tuple[int, ...]
    """For one image; -1 where the model does not say."""
    dtype: str
    end: End | None
    """The last operation that gives the numbers their meaning."""
    layout: Literal["NCHW", "NHWC", "NHW", "HW"] | None
    """None if the output is no map of the image."""
    channels: int
    """-1 if the model does not say; 0 if the output has no axis for them."""

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def is_integer(self) -> bool:
        return self.dtype[0] in "iub" and self.dtype != "bf16"

    @property
    def description(self) -> str:
        sides = ", ".join("?" if side < 0 else str(side) for side in self.shape)
        return f"{self.name[:60]!r} {self.dtype} ({sides})"


def find_input(model: Any, name: str) -> ModelInput:
    """What the model takes. Raises `WeightsError` if it is not one image of three channels."""
    if len(model.inputs) != 1:
        names = ", ".join(repr(_names(one)[0]) for one in model.inputs[:6])
        raise WeightsError(f"{name!r} has {len(model.inputs)} inputs ({names}): expected one, for the image.")
    (tensor,) = model.inputs
    dtype, shape = tensor.get_element_type().to_string(), tensor.get_partial_shape()
    described = f"{_names(tensor)[0]!r} {dtype} {shape}"
    if shape.rank.is_dynamic or shape.rank.get_length() != 4 or dtype not in _DTYPES:
        raise WeightsError(
            f"{name!r} has the input {described}: expected float or uint8 images, (B, 3, H, W) or (B, H, W, 3)."
        )
    sides = [dimension.get_length() if dimension.is_static else -1 for dimension in shape]
    bounds = [d for d in shape if d.is_dynamic and (d.get_min_length() > 1 or d.get_max_length() > 1)]
    layout = _input_layout(tensor, sides)
    if layout is None or bounds:
        reason = "sizes without limits" if bounds else "three channels, (B, 3, H, W) or (B, H, W, 3)"
        raise WeightsError(f"{name!r} has the input {described}: expected {reason}.")
    if sides[0] not in (-1, 1):
        raise WeightsError(f"{name!r} takes {sides[0]} images at once: export it for batches of 1, or of any size.")
    height, width = sides[2:] if layout == "NCHW" else sides[1:3]
    if (height < 0) != (width < 0):
        raise WeightsError(f"{name!r} has the input {described}: expected both sides fixed, or both of any size.")
    return ModelInput(layout, None if height < 0 else (width, height), _DTYPES[dtype], _normalisation(tensor))


def _input_layout(tensor: Any, sides: Sequence[int]) -> Layout | None:
    """Where the channels are: by what the model says of its layout, else by the sides; None if neither fits."""
    declared = re.sub(r"[^A-Z?.]", "", str(tensor.get_node().layout))
    if declared in ("NCHW", "NHWC"):
        return declared if sides[declared.index("C")] in (-1, _RGB) else None  # type: ignore[return-value]
    if sides[1] == _RGB or (sides[1] < 0 and sides[3] != _RGB):  # ONNX's usual order, where nothing is said
        return "NCHW"
    return "NHWC" if sides[3] == _RGB else None


def _normalisation(tensor: Any) -> str | None:
    """Constants of one or three numbers that the graph subtracts from its input, or multiplies it by, at once."""
    steps: list[str] = []
    while (
        len(consumers := [one for one in tensor.get_target_inputs() if one.get_node().get_type_name() != "ShapeOf"])
        == 1
    ):
        node = consumers[0].get_node()
        kind = node.get_type_name()
        if kind in ("Subtract", "Add", "Multiply", "Divide"):
            constant = _constant(node.input_value(1 - consumers[0].get_index()))
            if constant is None or constant.size not in (1, _RGB):
                break
            steps.append(f"{kind} {' '.join(f'{value:.4g}' for value in constant.ravel())}")
        elif kind not in ("Convert", "Transpose"):
            break
        tensor = node.output(0)
    return ", ".join(steps) or None


def _constant(output: Any) -> Any:
    """The value of a constant, through a conversion of its type; None if it is none."""
    node = output.get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return node.data if node.get_type_name() == "Constant" else None


def at_one_size(model: Any, size_wh: tuple[int, int] | None, layout: Layout) -> tuple[Any, tuple[int, int]]:
    """A copy of the model for one image, and its (height, width); with shapes as far as OpenVINO can infer them."""
    height, width = size_wh[::-1] if size_wh else _TRIAL_HW
    copy = model.clone()
    try:
        copy.reshape([1, _RGB, height, width] if layout == "NCHW" else [1, height, width, _RGB])
    except RuntimeError:  # it cannot be made for this size; a trial call will say why
        return model, (height, width)
    return copy, (height, width)


def check_memory(model: Any, name: str) -> None:
    """Raise `WeightsError` if one small image needs tensors that no real model needs."""
    for node in model.get_ops():
        if node.get_type_name() == "Constant":
            continue
        for output in node.outputs():
            shape = output.get_partial_shape()
            if shape.is_static and math.prod(output.get_shape()) * output.get_element_type().size > _MAX_BYTES:
                raise WeightsError(f"{name!r} wants a tensor {shape} for one small image: it is damaged, or no model.")


def list_outputs(model: Any, image_hw: tuple[int, int], classes: int | None) -> list[ModelOutput]:
    """Every output of a model that was given one size; `classes` decides where two layouts are possible."""
    return [_output(tensor, index, image_hw, classes) for index, tensor in enumerate(model.outputs)]


def _output(tensor: Any, index: int, image_hw: tuple[int, int], classes: int | None) -> ModelOutput:
    partial = tensor.get_partial_shape()
    known = partial.rank.is_static
    shape = tuple(one.get_length() if one.is_static else -1 for one in partial) if known else ()
    readings: list[tuple[Literal["NCHW", "NHWC", "NHW", "HW"], int]] = []
    if len(shape) == 4 and shape[0] in (-1, 1):
        readings += [("NCHW", shape[1])] if _is_map(shape[2:], image_hw) else []
        readings += [("NHWC", shape[3])] if _is_map(shape[1:3], image_hw) else []
    elif len(shape) == 3 and shape[0] in (-1, 1) and _is_map(shape[1:], image_hw):
        readings.append(("NHW", 0))
    elif len(shape) == 2 and _is_map(shape, image_hw):
        readings.append(("HW", 0))
    fitting = [one for one in readings if one[1] in (-1, 1, classes)] or readings
    layout, channels = fitting[0] if fitting else (None, -1)
    end = _end(tensor)
    return ModelOutput(index, _names(tensor), shape, tensor.get_element_type().to_string(), end, layout, channels)


def _is_map(sides: Sequence[int], image_hw: tuple[int, int]) -> bool:
    """Whether (h, w) are in the proportion of the image, give or take a pixel."""
    (h, w), (height, width) = sides, image_hw
    return min(h, w) < 0 or (min(h, w) > 1 and abs(h * width - w * height) <= max(height, width))


def _end(tensor: Any) -> End | None:
    source = tensor.get_node().input_value(0)
    while (kind := source.get_node().get_type_name()) in _PASSED:
        source = source.get_node().input_value(0)
    if kind == "TopK" and source.get_index() == 0:  # the highest score itself
        return None
    return _ENDS.get(kind)


def _names(tensor: Any) -> tuple[str, ...]:
    """Names of an input or output: those in the file, or that of the operation behind it."""
    node = tensor.get_node()
    behind = node.input_value(0).get_node() if node.get_type_name() == "Result" else node
    return tuple(sorted(tensor.get_names())) or (behind.get_friendly_name(),)


def class_names(model: Any) -> tuple[str, ...] | None:
    """Class names in the metadata, in index order; None if there are none, or they are no list of names."""
    for section in _NAME_SECTIONS:
        for key in _NAME_KEYS:
            path = [*section, key]
            if model.has_rt_info(path) and (names := parse_names(_text(model, path))):
                return names
    return None


def _text(model: Any, path: list[str]) -> str:
    value = model.get_rt_info(path)
    return str(getattr(value, "value", value))


def parse_names(text: str) -> tuple[str, ...] | None:
    """Names from a list or a dict by index, as JSON or Python writes them, or from words between separators."""
    if len(text) > _MAX_NAMES_LENGTH:
        return None
    names: tuple[str, ...] = ()
    if text.lstrip()[:1] in ("{", "[", "("):
        value = _literal(text)
        if isinstance(value, dict):
            names = _by_index(value)
        elif isinstance(value, list | tuple):
            names = tuple(str(one) for one in value)
    else:
        separator = next((one for one in ("\n", ",", ";") if one in text), None)  # none: white space
        names = tuple(name.strip() for name in text.split(separator) if name.strip())
    return names if are_valid_class_names(names) else None


def _literal(text: str) -> object:
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return None


def _by_index(value: dict[Any, Any]) -> tuple[str, ...]:
    """The names of {0: a, 1: b} or {"0": a, "1": b}, empty if an index is missing."""
    by_index = {str(index): str(name) for index, name in value.items()}
    if set(by_index) != {str(index) for index in range(len(by_index))}:
        return ()
    return tuple(by_index[str(index)] for index in range(len(by_index)))


def count_parameters(model: Any) -> int:
    """Numbers in the model's constants that are weights: floating-point ones, and those stored as 4 or 8 bits."""
    weights = (one for one in _constants(model) if _is_weight(one.get_element_type()))
    return sum(math.prod(one.get_shape()) for one in weights)


def _constants(model: Any) -> Iterator[Any]:
    return (node.output(0) for node in model.get_ops() if node.get_type_name() == "Constant")


def _is_weight(dtype: Any) -> bool:
    return dtype.is_real() or dtype.to_string() in ("i8", "u8", "i4", "u4")


def check_constants(model: Any, name: str) -> None:
    """Raise `WeightsError` if a weight is not a number."""
    for output in _constants(model):
        node, dtype = output.get_node(), output.get_element_type().to_string()
        if dtype in ("f32", "f16", "f64") and bool(np.isnan(node.data).any()):
            raise WeightsError(f"{name!r} holds NaN in {node.get_friendly_name()[:80]!r}: the file is damaged.")


def count_gflops(model: Any, image_hw: tuple[int, int]) -> float | None:
    """GFLOPs of convolutions and matrix products for a square image of `GFLOPS_SIDE`, a multiply-add counted once.

    From a model at one size, scaled by area; None if a shape is unknown.
    """
    count = 0
    for node in model.get_ops():
        kind = node.get_type_name()
        if kind not in (
            "Convolution",
            "GroupConvolution",
            "ConvolutionBackpropData",
            "GroupConvolutionBackpropData",
            "MatMul",
        ):
            continue
        shapes = [node.output(0).get_partial_shape(), *(node.input_value(i).get_partial_shape() for i in (0, 1))]
        if not all(shape.is_static for shape in shapes):
            return None
        out, data, kernel = ([axis.get_length() for axis in shape] for shape in shapes)
        if kind == "MatMul":
            inner = data[-2 if node.get_attributes().get("transpose_a") else -1]
            count += math.prod(out) * inner
        elif kind in ("Convolution", "GroupConvolution"):
            count += math.prod(out) * math.prod(kernel) // out[1]  # per number: one filter
        else:
            count += math.prod(data) * math.prod(kernel) // data[1]
    return count * GFLOPS_SIDE**2 / math.prod(image_hw) / 1e9
