"""A small model of every kind that a run accepts, for the four photos of the tests."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from seglib.adapters.lookup import find_model
from seglib.models import registry
from seglib.models.registry import MODELS, ModelSpec
from tests.conftest import COLOURS, fake_model
from tests.seglib.adapters import onnx_files, test_python_factory, test_python_objects, test_torch_export
from tests.seglib.adapters.hugging_face import tiny_models

KINDS = ("embedded", "spec", "checkpoint", "file", "module", "object", "function", "export", "torchscript")
KINDS_OF_EXTRAS = {"hf": "transformers", "smp": "segmentation_models_pytorch", "onnx": "openvino"}


def make(kind: str, folder: Path) -> ModelSpec:
    """A model of this kind, with its files in the folder."""
    if kind in KINDS_OF_EXTRAS:
        pytest.importorskip(KINDS_OF_EXTRAS[kind])
    spec: ModelSpec = globals()[f"_make_{kind}"](folder)
    return spec


RANGE: dict[str, Any] = {"classes": list(COLOURS), "mean": (0, 0, 0), "std": (1, 1, 1)}


def _make_embedded(_: Path) -> ModelSpec:
    return MODELS["fcn_mobilenet_v2"]


def _make_spec(folder: Path) -> ModelSpec:
    return fake_model(folder / "fake.safetensors")


def _make_checkpoint(folder: Path) -> ModelSpec:
    torch.manual_seed(0)
    file = folder / "mine.safetensors"
    save_file(registry.get_model_builder("fcn_mobilenet_v2")(4).state_dict(), file)
    return find_model("fcn_mobilenet_v2", weights=file, classes=list(COLOURS))


def _make_file(folder: Path) -> ModelSpec:
    (folder / "nets.py").write_text(test_python_factory.NETS)
    (folder / "mine.py").write_text(test_python_factory.MINE)
    return find_model(f"{folder}/mine.py:make")


def make_nearest() -> torch.nn.Module:
    return test_python_objects.Nearest()


def _make_module(_: Path) -> ModelSpec:
    return find_model(f"{__name__}:make_nearest", **RANGE)


def _make_object(_: Path) -> ModelSpec:
    return find_model(make_nearest(), **RANGE)


def _make_function(_: Path) -> ModelSpec:
    return find_model(test_python_objects.nearest_class, classes=list(COLOURS), input="uint8")


def _make_export(folder: Path) -> ModelSpec:
    return find_model(test_torch_export.export(test_torch_export.Net().eval(), folder / "any.pt2"), **RANGE)


def _make_torchscript(folder: Path) -> ModelSpec:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        module = torch.jit.trace(test_torch_export.Net().eval(), torch.zeros(1, 3, 32, 32), strict=False)
        module.save(folder / "traced.pt")
    return find_model(folder / "traced.pt", **RANGE, run_code=True)


def _make_hf(folder: Path) -> ModelSpec:
    return find_model(f"hf:{tiny_models.save(folder / 'tiny-segformer', tiny_models.segformer)}")


def _make_smp(folder: Path) -> ModelSpec:
    from tests.seglib.adapters import test_smp

    test_smp.build().save_pretrained(folder / "unet")
    return find_model(f"smp:{folder / 'unet'}", classes=test_smp.CLASSES)


def _make_onnx(folder: Path) -> ModelSpec:
    file = onnx_files.save(folder / "net.onnx")
    return find_model(file, classes=onnx_files.CLASSES, **onnx_files.RAW)
