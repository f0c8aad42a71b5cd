"""Write small ONNX files that a person can check by eye: a pixel is the class whose colour it has."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = ("background", "cat", "dog")

RAW: dict[str, Any] = {"mean": (0, 0, 0), "std": (1, 1, 1)}
"""What `save` expects its input to be: RGB of 0 to 1."""

DYNAMIC: Sequence[str | int] = ("b", 3, "h", "w")

Node = onnx.NodeProto


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Node:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


WEIGHTS = {
    "weight": np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0]], np.float32).reshape(3, 3, 1, 1),  # red: cat, green: dog
    "bias": np.array([4.5, 0, 0], np.float32),
}

LOGITS = [node("Conv", "input weight bias", "out")]
"""float (B, 3, H, W) -> 4.5 for the background, 9 times red for the cat, 9 times green for the dog."""


INT64, UINT8, FLOAT = TensorProto.INT64, TensorProto.UINT8, TensorProto.FLOAT

TWO = {"more": {"one": np.array([[[[9]], [[0]], [[0]]]], np.float32), "half": np.array([-4.5], np.float32)}}
ONE_CHANNEL = node("Conv", "input one half", "out")  # 4.5 for red, -4.5 else

TO_INDEX = node("ArgMax", "out", "mask", axis=1, keepdims=0)


NHWC = [
    node("Transpose", "input", "first", perm=[0, 3, 1, 2]),
    node("Conv", "first weight bias", "last"),
    node("Transpose", "last", "out", perm=[0, 2, 3, 1]),
]
CASTED = [
    node("Cast", "input", "floats", to=FLOAT),
    node("Div", "floats scale", "first"),
    node("Conv", "first weight bias", "out"),
]


def save(
    path: Path,
    nodes: Sequence[Node] = LOGITS,
    *,
    outputs: str = "out",
    shape: Sequence[str | int] = DYNAMIC,
    dtype: int = TensorProto.FLOAT,
    inputs: Sequence[str] = ("input",),
    more: dict[str, np.ndarray] | None = None,
    names: str | None = str(dict(enumerate(CLASSES))),
    key: str = "names",
    output_dtypes: Sequence[int] = (),
) -> Path:
    weights = [numpy_helper.from_array(value, name) for name, value in (WEIGHTS | (more or {})).items()]
    wanted = outputs.split()
    dtypes = [*output_dtypes, *[TensorProto.FLOAT] * len(wanted)]
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, dtype, list(shape)) for name in inputs],
        [helper.make_tensor_value_info(name, one, None) for name, one in zip(wanted, dtypes, strict=False)],
        weights,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    if names is not None:
        entry = model.metadata_props.add()
        entry.key, entry.value = key, names
    onnx.save(model, path)
    return path


def image(height: int = 64, width: int = 96) -> np.ndarray:
    """uint8 (H, W, 3): the left half red, the right half black above and green below."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2, 0] = 255
    picture[height // 2 :, width // 2 :, 1] = 255
    return picture


def expected(height: int = 64, width: int = 96) -> np.ndarray:
    """The mask of `image`."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, : width // 2] = 1
    mask[height // 2 :, width // 2 :] = 2
    return mask
