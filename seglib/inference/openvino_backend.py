"""int8 inference on the CPU: quantise a model with NNCF on the user's images, and run it with OpenVINO.

`quantise` writes an OpenVINO model to a folder; `OpenVinoBackend` loads it and is called like
`torch_backend.TorchBackend`. Uses post-training quantisation with per-channel weights and bias correction (Nagel et al.
2021, "A White Paper on Neural Network Quantization"); the spec's `fp32_blocks` stay in float32. Requires the `openvino`
extra (OpenVINO and NNCF), which no other module imports.
"""

import contextlib
import ctypes
import hashlib
import io
import logging
import os
import re
import sys
import threading
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seglib.errors import SegError
from seglib.models import loading
from seglib.models.adapter import OutputKind
from seglib.models.registry import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor

LIBRARIES = ("openvino", "nncf")
MODEL_FILE, WEIGHTS_FILE = "model.xml", "model.bin"


def ensure_installed() -> None:
    """Raise `SegError` with install instructions if OpenVINO or NNCF is missing."""
    if missing := [name for name in LIBRARIES if find_spec(name) is None]:
        raise SegError(
            f"`precision` int8 needs {' and '.join(missing)}, which are not installed: "
            "pip install '.[openvino]' in the project's folder, or take `precision` auto."
        )


def quantise(spec: ModelSpec, images: Sequence[NDArray[np.uint8]], folder: Path) -> None:
    """Quantise the model, calibrated on these uint8 (H, W, 3) images, and save it to a folder.

    Takes minutes for a large model. Raises `SegError` if a library is missing.
    """
    ensure_installed()
    with _silence(), _preserve_signal_stack():
        ov = _import_openvino()
        import nncf

        ignored_scope = nncf.IgnoredScope(
            patterns=[rf"__module\.{re.escape(b)}\..*" for b in spec.fp32_blocks], validate=False
        )
        quantised = nncf.quantize(
            _to_openvino(spec) if spec.adapter is None else spec.adapter.to_openvino(spec),
            nncf.Dataset([photo[None] for photo in images]),
            preset=nncf.QuantizationPreset.MIXED,  # for activations of both signs, such as those before a residual sum
            subset_size=len(images),
            ignored_scope=ignored_scope,
        )
        ov.save_model(quantised, folder / MODEL_FILE, compress_to_fp16=False)


def _to_openvino(spec: ModelSpec) -> Any:
    """Convert the model to OpenVINO: input uint8 (B, H, W, 3) of any size, with normalisation built in."""
    import torch

    from seglib.models import optimize

    ov = _import_openvino()
    from openvino.preprocess import PrePostProcessor

    net = optimize.prepare_for_inference(loading.load(spec), torch.float32)
    model = ov.convert_model(net, example_input=torch.zeros(1, 3, 224, 224), input=[-1, 3, -1, -1])
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    mean, std = ([255 * value for value in values] for values in (spec.mean, spec.std))
    steps.input().preprocess().convert_element_type(ov.Type.f32).mean(mean).scale(std)
    return steps.build()


def _import_openvino() -> Any:
    """Import OpenVINO with AMX disabled, unless the user has set `ONEDNN_MAX_CPU_ISA`.

    With AMX, quantised models with dynamic shapes read out of bounds at some sizes
    (https://github.com/openvinotoolkit/openvino/issues/37577). Disabling it costs up to 10 % of speed, and also
    disables AMX in torch if torch has not computed anything in this process yet.
    """
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")
    import openvino

    return openvino


def model_sha256(folder: Path) -> str:
    """SHA-256 of a model's two files, concatenated. Raises `OSError`."""
    digest = hashlib.sha256()
    for name in (MODEL_FILE, WEIGHTS_FILE):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


class OpenVinoBackend:
    """A quantised model, compiled for the CPU; may be called from several threads."""

    output: OutputKind = "logits"
    notes: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        ensure_installed()
        with _silence():
            ov = _import_openvino()
        # one image per stream, so that threads do not wait for each other at every layer
        options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        with _preserve_signal_stack():
            compiled = ov.Core().compile_model(folder / MODEL_FILE, "CPU", options)
        streams = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._compiled, self._per_thread = compiled, threading.local()
        self._requests_at_once = 2 * streams

    def _requests(self) -> list[Any]:
        """Infer requests of the calling thread; never shared, so that threads do not wait for each other's."""
        if not hasattr(self._per_thread, "requests"):
            self._per_thread.requests = [self._compiled.create_infer_request() for _ in range(self._requests_at_once)]
        requests: list[Any] = self._per_thread.requests
        return requests

    def __call__(self, images: NDArray[np.uint8]) -> "Iterator[Tensor]":
        """uint8 (B, H, W, 3) -> yields float32 logits (1, C, h, w) per image, while the next ones are computed."""
        requests = self._requests()
        idle, running = cycle(requests), deque[Any]()
        try:
            for image in images:
                if len(running) == len(requests):
                    yield _wait_for_result(running.popleft())
                request = next(idle)
                request.start_async({0: image[None]})
                running.append(request)
            while running:
                yield _wait_for_result(running.popleft())
        finally:
            for request in running:  # leave no request running if the caller stopped early
                request.wait()


def _wait_for_result(request: Any) -> "Tensor":
    import torch

    request.wait()
    return torch.from_numpy(request.get_output_tensor().data.copy())


class _SignalStack(ctypes.Structure):
    """`stack_t` of sigaltstack(2) on Linux."""

    _fields_ = (("memory", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextlib.contextmanager
def _preserve_signal_stack() -> Iterator[None]:
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
def _silence() -> Iterator[None]:
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
