"""Inference settings (device, precision), and the recipe whose digest identifies a run."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from seglib.data.image import DECODER
from seglib.data.resize import Resize
from seglib.errors import SegError, UsageError, WeightsError
from seglib.inference import openvino_backend
from seglib.models import loading, registry
from seglib.models.registry import ModelSpec

GRID_RULE = "bilinear-logits-1"
"""Logits are upsampled bilinearly (align_corners=False) to the size given by --resize before argmax. Masks have that
size even if the model's input has its own (`ModelSpec.net_side`).
"""

CODE_SCHEMA = 2
"""Incremented when a code change alters masks or measures in a way that the rest of the digest does not capture."""

PRECISIONS: tuple[str, ...] = ("fp32", "bf16", "int8")

DEVICES: tuple[str, ...] = ("auto", "cpu", "cuda")


@dataclass(frozen=True, kw_only=True)
class InferenceConfig:
    """Prediction settings besides the model. `precision` is already resolved, never `auto`. Raises `UsageError`."""

    resize: Resize
    precision: str = "fp32"
    device: str = "auto"
    quantised: Path | None = None
    """For int8: the folder of the calibrated model (`openvino_backend.quantise`)."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"A precision is one of {', '.join(PRECISIONS)}, not {self.precision!r}.")
        if self.device not in DEVICES:
            raise UsageError(f"A device is one of {', '.join(DEVICES)}, not {self.device!r}.")
        if self.precision == "int8" and self.device == "cuda":
            raise UsageError("int8 runs on the CPU: take `device` cpu, or `precision` bf16.")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that affects a mask; equal recipes identify the same run. The device is not included."""

    model: str
    resize: str
    precision: str
    weights_sha256: str
    quantised_sha256: str
    """SHA-256 of the calibrated int8 model; empty for other precisions."""
    grid_rule: str
    decoder: str
    code_schema: int
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    code: str
    """Source of the model's code: `installed` (and how a checkpoint is read), torch.hub's repository and tag, or what
    its adapter says.
    """

    @property
    def run_name(self) -> str:
        """Name of the run: `<model>-<resize>-<8 hex digits>`."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.model}-{Resize(self.resize).slug}-{digest}"


def make_run_config(spec: ModelSpec, config: InferenceConfig) -> RunConfig:
    """Recipe for a model and settings. Hashes and verifies the weights file, without importing torch.

    Raises `WeightsError`.
    """
    return RunConfig(
        model=spec.name,
        resize=config.resize.text,
        precision=config.precision,
        weights_sha256=loading.weights_sha256(spec),
        quantised_sha256=quantised_sha256(config),
        grid_rule=_grid_rule(spec, config),
        decoder=DECODER,
        code_schema=CODE_SCHEMA,
        classes=spec.classes,
        mean=spec.mean,
        std=spec.std,
        code=_code(spec),
    )


def _code(spec: ModelSpec) -> str:
    if spec.adapter is not None:
        return spec.adapter.code
    if spec.source == "hub":
        return registry.HUB_REPOSITORY
    chosen = [f"weights {spec.selection.chosen}"] if spec.selection.chosen else []
    channels = [spec.channels] if spec.channels != "rgb" else []
    return ", ".join(["installed", *chosen, *channels])


def _grid_rule(spec: ModelSpec, config: InferenceConfig) -> str:
    input_resize = spec.input_resize(config.resize)
    if input_resize == config.resize:
        return GRID_RULE
    return f"{GRID_RULE}, photos seen at {input_resize.description}"


def quantised_sha256(config: InferenceConfig) -> str:
    """SHA-256 of the calibrated int8 model; empty for other precisions. Raises `WeightsError`."""
    if config.quantised is None:
        return ""
    try:
        return openvino_backend.model_sha256(config.quantised)
    except OSError:
        raise WeightsError(
            f"The int8 model {config.quantised.name} is damaged: delete its folder, and run again to recalibrate."
        ) from None


def device_for(spec: ModelSpec, device: str) -> str:
    """The device as it was asked for, or `cpu` for a model that runs nowhere else. Raises `UsageError`."""
    if spec.adapter is None or "cuda" in spec.adapter.devices:
        return device
    if device == "cuda":
        raise UsageError(f"{spec.name} runs on the CPU: leave out `device` cuda.")
    return "cpu"


def device_of(config: InferenceConfig) -> str:
    """Device for these settings: `cpu` or `cuda`."""
    return "cpu" if config.precision == "int8" else resolve_device(config.device)


def resolve_device(device: str) -> str:
    """Resolve `auto` to `cpu` or `cuda`. Raises `SegError` if `cuda` is requested but unavailable."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise SegError("There is no CUDA device here, or this build of torch cannot use it: take `device` cpu.")
    return device


def library_versions() -> dict[str, str]:
    """Versions of the libraries that may affect a mask, for the run's record; read without importing them."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for name in ("torch", "torchvision", "pillow", "numpy", *openvino_backend.LIBRARIES):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def precisions_of(spec: ModelSpec) -> tuple[str, ...]:
    """The precisions that a model can run in."""
    return PRECISIONS if spec.adapter is None else spec.adapter.precisions


def resolve_precision(
    spec: ModelSpec,
    text: str,
    earlier: Sequence[str],
    device: str = "auto",
    fastest: Callable[[str], str] = lambda device: fastest_precision(resolve_device(device)),
) -> str:
    """Resolve `auto`: the last of `earlier`, the precisions of runs with the same model, weights and resize.

    Without such a run, `auto` is the faster of fp32 and bf16 for a built-in architecture; never int8, which costs more
    mask quality. For any other model it is fp32: what bf16 costs there is not known (up to 3 % of the pixels were
    measured). Only the first case imports torch, which a model's first run needs anyway. `fastest` maps the device to
    that precision, by default on this machine. Raises `UsageError` for a precision that the model does not run in.
    """
    allowed = precisions_of(spec)
    if text in PRECISIONS and text not in allowed:
        raise UsageError(f"This model runs in {' or '.join(allowed)}, not in {text}: take `precision` {allowed[0]}.")
    if text != "auto":
        return text
    if earlier:
        return earlier[-1]
    return "fp32" if spec.adapter is not None else fastest(device)


def fastest_precision(device: str) -> str:
    """bf16 if the hardware supports it natively, else fp32, because emulated bf16 is slower than fp32."""
    if device == "cuda":
        import torch

        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return "fp32"
    return "bf16" if flags & {"avx512_bf16", "amx_bf16"} else "fp32"
