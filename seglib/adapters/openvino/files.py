"""The files of a model in ONNX or OpenVINO IR: which they are, their digest, and the model in them."""

import os
from pathlib import Path
from typing import Any

from seglib.adapters import identity
from seglib.adapters.openvino import onnx_file, runtime
from seglib.errors import WeightsError
from seglib.models import weights_file


def model_files(path: Path) -> tuple[Path, ...]:
    """The files that a model is read from: its own, and those with its weights. Raises `WeightsError`."""
    if not path.is_file():
        raise WeightsError(f"There is no file {str(path)!r}.")
    if path.suffix.lower() == ".onnx":
        return path, *onnx_file.external_files(path)
    with path.open("rb") as file:
        if b"<net" not in file.read(4096):
            raise WeightsError(f"{path.name!r} is no OpenVINO IR: expected XML that begins with <net>.")
    weights = path.with_suffix(".bin")
    return (path, weights) if weights.is_file() else (path,)


def sha256(path: Path) -> str:
    """SHA-256 of a model's file, or of the digests of its files if it has several. Raises `WeightsError`."""
    digests = {os.path.relpath(file, path.parent): weights_file.file_sha256(file) for file in model_files(path)}
    return digests[path.name] if len(digests) == 1 else identity.combine_sha256(digests)


def read(path: Path) -> Any:
    """The model in a file. Raises `WeightsError`."""
    files = model_files(path)
    weights = files[1] if path.suffix.lower() != ".onnx" and len(files) > 1 else None
    try:
        return runtime.read_model(path, weights)
    except Exception as error:  # OpenVINO raises several types for damaged files
        missing = (
            ""
            if weights or path.suffix.lower() == ".onnx"
            else f"; there is no {path.with_suffix('.bin').name} beside it"
        )
        raise WeightsError(f"{path.name!r} cannot be read by OpenVINO ({runtime.reason(error)}){missing}.") from None
