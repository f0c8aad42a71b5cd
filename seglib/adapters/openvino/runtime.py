"""Import OpenVINO, read and compile models for the CPU, and run them on images, several at a time.

Shared by models from files and by int8 (`seglib.inference.openvino_backend`). OpenVINO is an extra: it is imported by
`import_openvino` alone.
"""

import contextlib
import ctypes
import io
import json
import logging
import os
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seglib.errors import SegError
from seglib.models.adapter import OutputKind

if TYPE_CHECKING:
    from torch import Tensor


def ensure_installed(what: str, libraries: Sequence[str], otherwise: str = "") -> None:
    """Raise `SegError` with install instructions if `what` needs a library that is missing."""
    if missing := [name for name in libraries if find_spec(name) is None]:
        names, verb = " and ".join(missing), "are" if len(missing) > 1 else "is"
        raise SegError(
            f"{what} needs {names}, which {verb} not installed: pip install '.[openvino]' in the project's folder"
            f"{otherwise}."
        )


def import_openvino() -> Any:
    """Import OpenVINO with AMX disabled, unless the user has set `ONEDNN_MAX_CPU_ISA`.

    With AMX, quantised models with dynamic shapes read out of bounds at some sizes
    (https://github.com/openvinotoolkit/openvino/issues/37577). Disabling it costs up to 10 % of speed, and also
    disables AMX in torch if torch has not computed anything in this process yet.
    """
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")
    with silence():
        import openvino

    return openvino


def compile_for_cpu(model: Any, precision: str = "fp32") -> Any:
    """Compile an `openvino.Model`, or the .xml file of one, in `fp32` or `bf16`."""
    ov = import_openvino()
    # one image per stream, so that threads do not wait for each other at every layer
    hint = {"fp32": "f32", "bf16": "bf16"}[precision]
    options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": hint}
    with preserve_signal_stack():
        return ov.Core().compile_model(model, "CPU", options)


def simplify(model: Any) -> None:
    """Rewrite a model as OpenVINO does when it converts or compiles one, so that NNCF knows its operations.

    A model that was only read has, for one, a minimum and a maximum where ONNX had a Clip, and int8 loses by that.
    """
    from openvino._offline_transformations import apply_moc_transformations  # NNCF uses this module too

    apply_moc_transformations(model, cf=False)


def has_bf16() -> bool:
    """Whether OpenVINO computes in bf16 on this processor."""
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class Requests:
    """A compiled model with one input; may be called from several threads."""

    def __init__(self, compiled: Any) -> None:
        self._compiled, self._per_thread = compiled, threading.local()
        self._at_once = 2 * compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")

    def _of_this_thread(self) -> list[Any]:
        """Infer requests of the calling thread; never shared, so that threads do not wait for each other's."""
        if not hasattr(self._per_thread, "requests"):
            self._per_thread.requests = [self._compiled.create_infer_request() for _ in range(self._at_once)]
        requests: list[Any] = self._per_thread.requests
        return requests

    def __call__(self, inputs: "Iterable[NDArray[Any]]") -> "Iterator[Tensor]":
        """Inputs of one image each -> yields the first output of each, in order, while the next ones are computed."""
        for outputs in self.all_outputs(inputs):
            yield outputs[0]

    def all_outputs(self, inputs: "Iterable[NDArray[Any]]") -> "Iterator[list[Tensor]]":
        """The same with every output."""
        requests = self._of_this_thread()
        idle, running = cycle(requests), deque[Any]()
        try:
            for one in inputs:
                if len(running) == len(requests):
                    yield _wait_for_outputs(running.popleft())
                request = next(idle)
                request.start_async({0: one})
                running.append(request)
            while running:
                yield _wait_for_outputs(running.popleft())
        finally:
            for request in running:  # leave no request running if the caller stopped early
                with contextlib.suppress(RuntimeError):  # it failed like the one that ended the loop
                    request.wait()


def _wait_for_outputs(request: Any) -> "list[Tensor]":
    import torch

    request.wait()
    return [torch.from_numpy(tensor.data.copy()) for tensor in request.output_tensors]


def add_feature_output(model: Any, block: str) -> bool:
    """Make the last value that a submodule computes for others an output, as the last one; False if there is none.

    For models that OpenVINO has converted from torch, whose operations are named by their modules. The other outputs
    stay what they are, bit for bit: in an int8 model this is the value after its rounding, which the next layer takes.
    """
    prefix = f"__module.{block}."
    last = None
    for operation in model.get_ordered_ops():
        if operation.get_friendly_name().startswith(prefix) and operation.get_type_name() != "Constant":
            readers = [one.get_node().get_friendly_name() for one in operation.output(0).get_target_inputs()]
            if not all(name.startswith(prefix) for name in readers):
                last = operation
    if last is not None:
        model.add_outputs([last.output(0)])
    return last is not None


@dataclass(frozen=True)
class Facts:
    """How to call a model with uint8 (B, H, W, 3) RGB input, and how to read its output; stored in the model's file."""

    output: OutputKind = "logits"
    multiple: int = 1
    """The sides of its input must be multiples of this."""
    colour: tuple[int, int, int] = (0, 0, 0)
    """RGB of the padding: what the normalisation maps to zero."""
    notes: tuple[str, ...] = ()
    """Sentences for the user."""

    def pad(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 (H, W, 3) -> the same, padded at the bottom and the right to sides that the model takes."""
        height, width = image.shape[:2]
        down, right = -height % self.multiple, -width % self.multiple
        if not down and not right:
            return image
        padded = np.empty((height + down, width + right, 3), np.uint8)
        padded[:] = np.asarray(self.colour, np.uint8)
        padded[:height, :width] = image
        return padded

    def crop(self, output: "Tensor", image_hw: tuple[int, ...]) -> "Tensor":
        """Cut off the model's output, (b, C, h, w) or (b, h, w), what belongs to the padding of such an image.

        A map of lower resolution is first given the padded size.
        """
        height, width = image_hw
        padded = (height + -height % self.multiple, width + -width % self.multiple)
        if padded == (height, width):
            return output
        from torch.nn.functional import interpolate

        if self.output == "masks":
            planes = interpolate(output[:, None].float(), size=padded, mode="nearest-exact")[:, 0]
        else:
            planes = interpolate(output, size=padded, mode="bilinear", align_corners=False)
        return planes[..., :height, :width]


_SECTION = "seglib"  # of a model's rt_info


def write_facts(model: Any, facts: Facts) -> None:
    model.set_rt_info(json.dumps(asdict(facts)), [_SECTION, "facts"])


def read_facts(model: Any) -> Facts:
    """What `write_facts` has written, also if the model has been saved since; the defaults if it has not."""
    if not model.has_rt_info([_SECTION, "facts"]):
        return Facts()
    values = json.loads(model.get_rt_info([_SECTION, "facts"]).value)
    return Facts(values["output"], values["multiple"], tuple(values["colour"]), tuple(values["notes"]))


class _SignalStack(ctypes.Structure):
    """`stack_t` of sigaltstack(2) on Linux."""

    _fields_ = (("memory", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextlib.contextmanager
def preserve_signal_stack() -> Iterator[None]:
    """Restore the thread's alternate signal stack on exit.

    OpenVINO (2026.2) installs its own on the compiling thread and later frees the memory; after that, Ctrl-C or the
    exit of a child process causes a segmentation fault.
    """
    if sys.platform != "linux":
        yield
        return
    libc, before = ctypes.CDLL(None), _SignalStack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Suppress the libraries' progress bars, logs and warnings, and telemetry (optional in both libraries)."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # makes its import fail
    noisy = [logging.getLogger(name) for name in ("nncf", "torch.utils.cpp_extension")]
    levels = [logger.level for logger in noisy]
    for logger in noisy:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)


def read_model(path: Path, weights: Path | None = None) -> Any:
    """The `openvino.Model` in a file. Raises `RuntimeError` as OpenVINO does, for every kind of damage."""
    ov = import_openvino()
    with silence(), preserve_signal_stack():
        return ov.Core().read_model(path) if weights is None else ov.Core().read_model(path, weights)


def reason(error: Exception) -> str:
    """The line of an error of OpenVINO that says most: its last one that names neither a source file nor itself."""
    lines = [line.strip(" -:\t") for line in str(error).splitlines()]
    telling = [
        line for line in lines if line and not line.startswith(("Exception from", "Check '", "Summary", "FrontEnd"))
    ]
    return (telling or lines or [type(error).__name__])[-1][:200].rstrip(" .!:")
