"""ONNX files and OpenVINO IR as models: `net.onnx`, or `net.xml` beside its `net.bin`, run by OpenVINO on the CPU.

What the file says is taken from it: the size and type of the input, the number of classes, their names, whether the
output holds logits, probabilities or masks. What it cannot say is asked for. Requires the `openvino` extra.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seglib.adapters import identity
from seglib.adapters.openvino import files, graph, loader, reading, runtime
from seglib.adapters.openvino.graph import ModelInput
from seglib.adapters.openvino.reading import Reading
from seglib.data.resize import MAX_SIDE, MIN_SIDE, Resize
from seglib.errors import UsageError, WeightsError
from seglib.models.adapter import Adapter, Backend, ModelRequest
from seglib.models.registry import IMAGENET_MEAN, IMAGENET_STD, ModelSpec

_RAW_MEAN, _RAW_STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)  # of a model that takes values as they are


@dataclass(frozen=True)
class OpenVinoFile(Adapter):
    """An ONNX or IR file, and what a person said about it."""

    path: Path
    request: ModelRequest
    sha256: str
    """Of the files when the model was found; what is loaded must still have it."""

    precisions = ("fp32", "bf16", "int8")
    devices = ("cpu",)

    @property
    def weights_sha256(self) -> str:
        return self.sha256

    @property
    def code(self) -> str:
        return identity.describe_code(
            "openvino",
            "openvino",
            input=self.request.input,
            channels=self.request.channels or "rgb",
            output=self.request.output,
            scores=self.request.scores,
        )

    def load_backend(self, spec: ModelSpec, precision: str, device: str) -> Backend:
        if precision == "bf16" and not runtime.has_bf16():
            raise UsageError("This processor does not compute in bf16: take `precision` fp32.")
        return loader.FileBackend(loader.load(self.path, self.sha256, spec, self.request), spec, precision)

    def to_openvino(self, spec: ModelSpec) -> Any:
        return loader.load(self.path, self.sha256, spec, self.request).from_uint8(spec, self.request)


def find(request: ModelRequest, target: str) -> ModelSpec:
    """The spec of a model in a .onnx or .xml file. Raises `UsageError` or `WeightsError`."""
    path = Path(target).absolute()
    name = path.name
    runtime.ensure_installed(f"The model {name!r}", ["openvino"])
    model = files.read(path)
    takes = graph.find_input(model, name)
    mean, std = _normalisation(takes, request, name)
    small, image_hw = graph.at_one_size(model, takes.size_wh, takes.layout)
    graph.check_memory(small, name)
    classes = request.classes or graph.class_names(model)
    count = len(classes) if classes else None
    read = reading.choose(graph.list_outputs(small, image_hw, count), count, request, name)
    if classes is None:
        raise UsageError(_classes_missing(read, name))
    rule, named = _input_rule(takes, name), replace(request, model=str(path))
    return ModelSpec(
        name=identity.model_name(path.stem),
        weights=str(path),
        parameters=graph.count_parameters(model),
        gflops=graph.count_gflops(small, image_hw),
        source="foreign",
        classes=classes,
        resize=rule or Resize("short:520"),
        input_rule=rule,
        mean=mean,
        std=std,
        adapter=OpenVinoFile(path, named, files.sha256(path)),
        request=named,
    )


def _normalisation(
    takes: ModelInput, request: ModelRequest, name: str
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and std to normalise by. Raises `UsageError` if what the file and the request say does not fit."""
    given = request.mean is not None or request.std is not None
    if given and (request.mean is None or request.std is None):
        raise UsageError("`mean` and `std` belong together: give both.")
    if takes.is_integer:
        if given or request.input == "normalised":
            raise UsageError(f"{name!r} takes uint8 values, which cannot be normalised: leave out `mean` and `std`.")
        return _RAW_MEAN, _RAW_STD
    if request.input == "uint8":
        if given:
            raise UsageError("`input` uint8 gives values as they are, 0 to 255: leave out `mean` and `std`.")
        return _RAW_MEAN, _RAW_STD
    if takes.normalisation and not given:
        raise UsageError(
            f"{name!r} seems to normalise its input itself ({takes.normalisation[:120]}): say `input` uint8 if it "
            "takes values of 0 to 255, or give `mean` and `std` (0,0,0 and 1,1,1 for values of 0 to 1)."
        )
    return request.mean or IMAGENET_MEAN, request.std or IMAGENET_STD


def _input_rule(takes: ModelInput, name: str) -> Resize | None:
    if takes.size_wh is None:
        return None
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in takes.size_wh):
        width, height = takes.size_wh
        raise WeightsError(f"{name!r} takes images of {width}x{height}: expected sides from {MIN_SIDE} to {MAX_SIDE}.")
    return Resize("{}x{}".format(*takes.size_wh))


def _classes_missing(read: Reading, name: str) -> str:
    if read.kind == "masks":
        return f"{name!r} gives masks, and does not name their classes: name them in index order with `classes`."
    if read.is_single:
        return (
            f"{name!r} gives one channel, for the second of two classes, and does not name them: name both with "
            "`classes`, such as background,cat."
        )
    count = str(read.output.channels) if read.output.channels > 0 else "its"
    return f"{name!r} has {count} classes, and does not name them: name them in index order with `classes`."
