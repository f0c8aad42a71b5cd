"""Read a weights file (.safetensors or .pth): metadata, parameter count, SHA-256 and tensors.

Every error is a `WeightsError` with a one-sentence message. Only `read_state_dict` imports torch.
"""

import hashlib
import json
import math
import warnings
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from seglib.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor


_MAX_HEADER_BYTES = 100_000_000  # as in the safetensors library


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file. Raises `WeightsError`."""
    metadata = _safetensors_header(path).get("__metadata__", {})
    if not isinstance(metadata, dict):
        raise _not_safetensors_error(path)
    return {str(k): str(v) for k, v in metadata.items()}


def count_parameters(weights: Path, skip: Callable[[str], bool] = lambda _: False) -> int:
    """Number of parameters in a safetensors file, without batch-norm statistics, integers, and what `skip` says by
    name; 0 for other files. Raises `WeightsError`.
    """
    if weights.suffix != ".safetensors":
        return 0
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    tensors = {name: value for name, value in _safetensors_header(weights).items() if name != "__metadata__"}
    try:
        return sum(
            math.prod(value["shape"])
            for name, value in tensors.items()
            if not name.endswith(buffers) and not skip(name) and "F" in value["dtype"]
        )
    except (TypeError, KeyError):
        raise _not_safetensors_error(weights) from None


def read_state_dict(path: Path) -> "dict[str, Tensor]":
    """Tensors of a .safetensors or .pth file by name. Raises `WeightsError`, also for a pickle with other objects."""
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _check_uncompressed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old pickle protocols are fine; damaged files raise
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, pickle, zipfile and safetensors each raise their own types
        code = type(error).__name__ == "UnpicklingError"  # torch's message tells how to bypass the check: not shown
        reason = "it holds other objects, or is damaged" if code else first_line(error)
        raise WeightsError(
            f"{path.name} is not a checkpoint that holds tensors and nothing else ({reason}): "
            "expected a state dict saved as .safetensors or .pth."
        ) from None
    plain = isinstance(state, dict) and all(
        isinstance(k, str) and isinstance(v, torch.Tensor) and v.layout == torch.strided and not v.is_quantized
        for k, v in state.items()
    )
    if not plain:
        raise WeightsError(f"{path.name} holds something other than a state dict of plain tensors.")
    return cast("dict[str, Tensor]", state)


def file_sha256(path: Path) -> str:
    """SHA-256 of a weights file, in hex. Raises `WeightsError`."""
    try:
        status = path.stat()
        return _sha256(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WeightsError(f"The weights file {path.name!r} cannot be read ({reason}).") from None


@lru_cache(maxsize=16)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    """Hash a file once per process and file version: 200 MB take a third of a second."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_uncompressed(path: Path) -> None:
    """Raise `ValueError` for a compressed .pth archive.

    torch never compresses its zip archives, and a compressed one could fill the memory (zip bomb).
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(one.file_size for one in archive.infolist()) > path.stat().st_size:
                raise ValueError("it is compressed, which torch never does")


def _safetensors_header(path: Path) -> dict[str, Any]:
    """Parse the header: 8 bytes of little-endian length, then JSON (huggingface.co/docs/safetensors)."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _MAX_HEADER_BYTES:
                raise _not_safetensors_error(path)
            header = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError):
        raise _not_safetensors_error(path) from None
    if not isinstance(header, dict):
        raise _not_safetensors_error(path)
    return header


def _not_safetensors_error(path: Path) -> WeightsError:
    return WeightsError(f"{path.name} is not a safetensors file, or it is damaged.")


def first_line(error: Exception, index: int = 0) -> str:
    """Line `index` of an error message, trimmed; line 1 of a `load_state_dict` error names the first wrong key."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return "".join(filter(str.isprintable, lines[min(index, len(lines) - 1)])).rstrip(".:")[:160]
