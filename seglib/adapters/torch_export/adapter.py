"""Models exported by torch: `net.pt2` of torch.export, and TorchScript files, which hold code and need `run_code`.

`torch.export.load` is no safe reader: it evaluates expressions and may unpickle objects, and an operator may be any
function of torch. So a file is checked before (`archive.check_archive`): it may hold tensors and a graph of torch's own
tensor operators, and nothing else, unless `run_code` allows it.
"""

import contextlib
import io
import logging
import math
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seglib.adapters import identity
from seglib.adapters.torch_export.archive import check_archive, read_archive
from seglib.data.resize import Resize
from seglib.errors import UsageError, WeightsError
from seglib.models import weights_file
from seglib.models.adapter import Adapter, Backend, ModelRequest
from seglib.models.registry import IMAGENET_MEAN, IMAGENET_STD, ModelSpec

if TYPE_CHECKING:
    from torch import nn

Kind = Literal["export", "torchscript"]

_DTYPES = {1: "uint8", 6: "float16", 7: "float32", 8: "float64", 13: "bfloat16"}
"""torch.export's numbers of the types that an input may have."""


@dataclass(frozen=True)
class ExportedAdapter(Adapter):
    """A file of torch.export or TorchScript."""

    file: str
    kind: Kind
    request: ModelRequest
    sha256: str
    """Of the file when the model was found; what is loaded must still have it."""
    dtype: str = "float32"
    multiple: int = 1
    one_at_a_time: bool = False

    @property
    def weights_sha256(self) -> str:
        return self.sha256

    @property
    def code(self) -> str:
        return identity.describe_code(
            self.kind,
            channels=self.request.channels or "rgb",
            input=self._input,
            output=self.request.output,
            scores=self.request.scores,
        )

    @property
    def _input(self) -> str:
        return "uint8" if self.dtype == "uint8" else self.request.input or "normalised"

    def load_backend(self, spec: ModelSpec, precision: str, device: str) -> Backend:
        import torch

        from seglib.adapters.module_backend import CallOptions, ModuleBackend

        options = CallOptions(
            input=self._input,
            channels=self.request.channels or "rgb",
            output=self.request.output,
            scores=self.request.scores,  # type: ignore[arg-type]  # checked by lookup
            multiple=self.multiple,
            dtype=torch.float32 if self.dtype == "uint8" else getattr(torch, self.dtype),
            one_at_a_time=self.one_at_a_time,
        )
        module = self._load(device)
        backend = ModuleBackend(module, spec, precision, device, options)
        if self._input == "normalised" and self.request.mean is None:
            backend.notes = [
                *backend.notes,
                f"{spec.name}: photos are normalised by ImageNet's mean and std, which its file does not say: give "
                "`mean` and `std` if it was trained with others.",
            ]
        return backend

    def load_module(self, spec: ModelSpec) -> "nn.Module":
        return self._load("cpu")

    def _load(self, device: str) -> "nn.Module":
        weights_file.check_unchanged(Path(self.file), self.sha256)
        load = _load_export if self.kind == "export" else _load_torchscript
        return load(Path(self.file), device, run_code=self.request.run_code)


def recognise(path: Path) -> Kind | None:
    """What a file is by its content: of torch.export, TorchScript, or neither, such as a checkpoint."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
            whole = set(archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return None
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "torchscript"
    is_export = "archive_format" in names or "serialized_exported_program.json" in whole
    return "export" if is_export else None


def find(request: ModelRequest, target: str) -> ModelSpec:
    """The spec of a file of torch.export or TorchScript. Raises `UsageError` or `WeightsError`."""
    path = Path(target).absolute()
    if not path.is_file():
        raise UsageError(f"There is no file {str(path)!r}.")
    request = replace(request, model=str(path))
    kind = recognise(path)
    if kind == "torchscript":
        return _find_torchscript(request, path)
    if kind is None:
        raise WeightsError(f"{path.name} is neither a file of torch.export.save nor TorchScript, or it is damaged.")
    program = read_archive(path).program
    taken = _read_input(program, path.name)
    _check_mode(program, path.name)
    outputs = _output_channels(program)
    if request.classes is None:
        count = f" and gives {outputs} scores per pixel" if outputs else ""
        raise UsageError(f"{path.name} names no classes{count}: name them in index order with `classes`.")
    if outputs is not None and len(request.classes) != max(outputs, 2) and request.output is None:
        raise UsageError(
            f"{len(request.classes)} classes were named, and {path.name} gives {outputs} scores per pixel."
        )
    adapter = ExportedAdapter(
        file=str(path),
        kind="export",
        request=request,
        sha256=weights_file.file_sha256(path),
        dtype=taken.dtype,
        multiple=taken.multiple,
        one_at_a_time=taken.batch == 1,
    )
    parameters = read_archive(path).parameters
    return _describe_spec(request, path, adapter, parameters, taken.rule)


def _find_torchscript(request: ModelRequest, path: Path) -> ModelSpec:
    if not request.run_code:
        raise UsageError(
            f"{path.name} is a TorchScript file, which holds code of its own: allow it to run with `run_code`, or save "
            "the model by torch.export.save."
        )
    if request.classes is None:
        raise UsageError(f"{path.name} names no classes: name them in index order with `classes`.")
    adapter = ExportedAdapter(str(path), "torchscript", request, weights_file.file_sha256(path))
    return _describe_spec(request, path, adapter, 0, None)


def _describe_spec(
    request: ModelRequest, path: Path, adapter: ExportedAdapter, parameters: int, rule: Resize | None
) -> ModelSpec:
    assert request.classes is not None
    if bool(request.mean) != bool(request.std):
        raise UsageError(f"Give both `mean` and `std` of {path.name}, or neither.")
    if adapter.dtype == "uint8" and (request.mean or request.input == "normalised"):
        raise UsageError(f"{path.name} takes uint8, which is not normalised: leave out `mean`, `std` and `input`.")
    return ModelSpec(
        name=identity.model_name(path.stem),
        weights=str(path),
        parameters=parameters,
        source="foreign",
        classes=request.classes,
        mean=request.mean or IMAGENET_MEAN,
        std=request.std or IMAGENET_STD,
        input_rule=rule,
        adapter=adapter,
        request=request,
    )


@dataclass(frozen=True)
class _Input:
    dtype: str
    batch: int | None
    """None: any."""
    rule: Resize | None
    """The only size that the model takes."""
    multiple: int


def _read_input(program: Mapping[str, Any], name: str) -> _Input:
    """The one input (B, 3, H, W) of a program. Raises `WeightsError` for others."""
    graph = program["graph_module"]
    given = [one["user_input"]["arg"] for one in graph["signature"]["input_specs"] if "user_input" in one]
    tensors = [graph["graph"]["tensor_values"][one["as_tensor"]["name"]] for one in given if "as_tensor" in one]
    if len(given) != 1 or len(tensors) != 1 or len(tensors[0]["sizes"]) != 4:
        raise WeightsError(f"{name} takes {len(given)} inputs: expected one, images (B, 3, H, W).")
    batch, channels, height, width = (size.get("as_int") for size in tensors[0]["sizes"])
    dtype = _DTYPES.get(tensors[0]["dtype"])
    if channels != 3 or dtype is None:
        shape = ", ".join("any" if size is None else str(size) for size in (batch, channels, height, width))
        raise WeightsError(f"{name} takes {dtype or 'another type'} of shape ({shape}): expected images (B, 3, H, W).")
    if batch not in (1, None):
        raise WeightsError(f"{name} takes {batch} images at a time: export it with a batch of 1, or of any size.")
    if (height is None) != (width is None):
        raise WeightsError(f"{name} fixes one side of its input: export it with both sides fixed, or both of any size.")
    steps = [
        int(found[1])
        for size in tensors[0]["sizes"][2:]
        if (found := re.match(r"Mul\(Integer\((\d+)\), Symbol", size.get("as_expr", {}).get("expr_str", "")))
    ]
    rule = Resize(f"{width}x{height}") if height is not None else None
    return _Input(dtype, batch, rule, math.lcm(*steps))


def _output_channels(program: Mapping[str, Any]) -> int | None:
    """Number of channels of the first output (B, C, h, w); None if it is something else."""
    graph = program["graph_module"]
    given = [one["user_output"]["arg"] for one in graph["signature"]["output_specs"] if "user_output" in one]
    if not given or "as_tensor" not in given[0]:
        return None
    value = graph["graph"]["tensor_values"][given[0]["as_tensor"]["name"]]
    return value["sizes"][1].get("as_int") if len(value["sizes"]) == 4 and value["dtype"] in _DTYPES else None


def _check_mode(program: Mapping[str, Any], name: str) -> None:
    """Raise `WeightsError` for a model that was exported in training mode, with dropout or statistics of the batch."""
    for node in program["graph_module"]["graph"]["nodes"]:
        for one in node["inputs"]:
            if one["name"] in ("train", "training") and one["arg"].get("as_bool"):
                operator = str(node["target"]).removeprefix("torch.ops.aten.").partition(".")[0]
                raise WeightsError(f"{name} was exported in training mode ({operator}): call eval() before the export.")


# --- load ---


def _load_export(path: Path, device: str, *, run_code: bool) -> "nn.Module":
    import torch

    source: Any = path if run_code else io.BytesIO(check_archive(read_archive(path), path.name))
    try:
        with _silence():
            program = torch.export.load(source)
            if device != "cpu":
                from torch.export.passes import move_to_device_pass

                program = move_to_device_pass(program, device)
            return program.module()
    except Exception as error:  # of any kind, from a damaged file
        raise WeightsError(f"{path.name} cannot be loaded ({weights_file.first_line(error)}).") from error


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """No warnings and no log of torch: what fails is raised."""
    names = ("torch.export", "torch._export.serde.serialize", "torch.export.pt2_archive._package")
    levels = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _load_torchscript(path: Path, device: str, *, run_code: bool) -> "nn.Module":
    import torch

    assert run_code
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated
            module: nn.Module = torch.jit.load(path, map_location=device).eval()  # type: ignore[no-untyped-call]
    except Exception as error:  # of any kind, from a damaged file
        raise WeightsError(f"{path.name} cannot be loaded ({weights_file.first_line(error)}).") from error
    return module
