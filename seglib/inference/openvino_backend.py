"""int8 inference on the CPU: quantise a model with NNCF on the user's images, and run it with OpenVINO.

`quantise` writes an OpenVINO model to a folder; `OpenVinoBackend` loads it and is called like
`torch_backend.TorchBackend`. Uses post-training quantisation with per-channel weights and bias correction (Nagel et al.
2021, "A White Paper on Neural Network Quantization"); the spec's `fp32_blocks` stay in float32. Requires the `openvino`
extra (OpenVINO and NNCF).
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seglib.adapters.openvino import runtime
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
    runtime.ensure_installed("`precision` int8", LIBRARIES, ", or take `precision` auto")


def quantise(spec: ModelSpec, images: Sequence[NDArray[np.uint8]], folder: Path) -> None:
    """Quantise the model, calibrated on these uint8 (H, W, 3) images, and save it to a folder.

    Takes minutes for a large model. Raises `SegError` if a library is missing.
    """
    ensure_installed()
    with runtime.silence(), runtime.preserve_signal_stack():
        ov = runtime.import_openvino()
        import nncf

        ignored_scope = nncf.IgnoredScope(
            patterns=[rf"__module\.{re.escape(b)}\..*" for b in spec.fp32_blocks], validate=False
        )
        model = _to_openvino(spec) if spec.adapter is None else spec.adapter.to_openvino(spec)
        facts = runtime.read_facts(model)
        try:
            quantised = nncf.quantize(
                model,
                nncf.Dataset([facts.pad(photo)[None] for photo in images]),
                preset=nncf.QuantizationPreset.MIXED,  # activations of both signs, such as those before a residual sum
                subset_size=len(images),
                ignored_scope=ignored_scope,
            )
        except Exception as error:  # foreign graphs make NNCF and OpenVINO raise whatever they like
            if spec.adapter is None:
                raise
            reason = runtime.reason(error)
            raise SegError(f"{spec.name} cannot be calibrated ({reason}): take `precision` fp32.") from error
        if spec.adapter is not None:
            runtime.write_facts(quantised, facts)
        ov.save_model(quantised, folder / MODEL_FILE, compress_to_fp16=False)


def _to_openvino(spec: ModelSpec) -> Any:
    """Convert the model to OpenVINO: input uint8 (B, H, W, 3) of any size, with normalisation built in."""
    import torch

    from seglib.models import optimize

    ov = runtime.import_openvino()
    from openvino.preprocess import PrePostProcessor

    net = optimize.prepare_for_inference(loading.load(spec), torch.float32)
    model = ov.convert_model(net, example_input=torch.zeros(1, 3, 224, 224), input=[-1, 3, -1, -1])
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    mean, std = ([255 * value for value in values] for values in (spec.mean, spec.std))
    steps.input().preprocess().convert_element_type(ov.Type.f32).mean(mean).scale(std)
    return steps.build()


def model_sha256(folder: Path) -> str:
    """SHA-256 of a model's two files, concatenated. Raises `OSError`."""
    digest = hashlib.sha256()
    for name in (MODEL_FILE, WEIGHTS_FILE):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


class OpenVinoBackend:
    """A quantised model, compiled for the CPU; may be called from several threads."""

    def __init__(self, folder: Path, feature_block: str = "") -> None:
        """`feature_block`: the submodule of a built-in architecture whose features are given too."""
        ensure_installed()
        model = runtime.read_model(folder / MODEL_FILE)
        self._has_features = bool(feature_block) and runtime.add_feature_output(model, feature_block)
        self._facts = runtime.read_facts(model)
        self.output: OutputKind = self._facts.output
        self.notes: Sequence[str] = self._facts.notes
        self._requests = runtime.Requests(runtime.compile_for_cpu(model))

    def __call__(self, images: NDArray[np.uint8]) -> "Iterator[Tensor]":
        """uint8 (B, H, W, 3) -> yields outputs of one image each: float32 (1, C, h, w), or masks uint8 (1, h, w)."""
        for output, _ in self.with_features(images):
            yield output

    def with_features(self, images: NDArray[np.uint8]) -> "Iterator[tuple[Tensor, Tensor | None]]":
        """See `seglib.models.adapter.FeatureBackend`."""
        for outputs in self._requests.all_outputs(self._facts.pad(image)[None] for image in images):
            cropped = self._facts.crop(outputs[0], images.shape[1:3])
            yield cropped.byte() if self.output == "masks" else cropped, outputs[-1] if self._has_features else None
