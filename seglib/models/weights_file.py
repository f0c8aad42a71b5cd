"""Read a weights file (.safetensors or .pth): metadata, parameter count, SHA-256 and tensors.

Every error is a `WeightsError` with a one-sentence message. Only `read_state_dict` imports torch.
"""

import hashlib
import threading
import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from seglib.errors import WeightsError
from seglib.models.checkpoint import contents
from seglib.models.checkpoint.pickled import DICT_NAMES, INERT_NAMES
from seglib.models.checkpoint.selection import Selection, own_tensors

if TYPE_CHECKING:
    from torch import Tensor

_SAFE_GLOBALS = threading.Lock()  # torch keeps the names that it reads in a global


_MAX_HEADER_BYTES = 100_000_000  # as in the safetensors library


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a safetensors file. Raises `WeightsError`."""
    metadata = contents.read_safetensors_header(path).get("__metadata__", {})
    if not isinstance(metadata, dict):
        raise contents.not_safetensors(path.name)
    return {str(k): str(v) for k, v in metadata.items()}


def count_parameters(weights: Path, skip: Callable[[str], bool] = lambda _: False) -> int:
    """Number of parameters in a safetensors file, without batch-norm statistics, integers, and what `skip` says by
    name; 0 for other files. Raises `WeightsError`.
    """
    if weights.suffix != ".safetensors":
        return 0
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    (tensors,) = contents.read_contents(weights).state_dicts.values()
    return sum(
        tensor.numbers
        for name, tensor in tensors.items()
        if not name.endswith(buffers) and not skip(name) and "f" in tensor.dtype.lower()
    )


def read_state_dict(path: Path, selection: Selection | None = None) -> "dict[str, Tensor]":
    """Tensors of a checkpoint by name, with the names that its model gives them.

    `selection` says where in the file they are; by default they are all that it holds, under their own names. A zip
    archive's are mapped from the file: copy those that are kept. Raises `WeightsError`, also for a pickle that holds
    anything but plain data.
    """
    kind = contents.file_kind(path)
    if kind != "safetensors":
        contents.read_contents(path)  # refuses what is no plain data, before torch reads it
    try:
        state = _load_safetensors(path) if kind == "safetensors" else _load_torch(path, mapped=kind == "torch")
    except Exception as error:  # torch, pickle, zipfile and safetensors each raise their own types
        hidden = type(error).__name__ == "UnpicklingError"  # torch's message tells how to bypass the check
        reason = "it holds other objects, or is damaged" if hidden else first_line(error)
        raise contents.not_a_checkpoint(path.name, reason) from None
    return _select(path.name, state, selection)


def _load_safetensors(path: Path) -> object:
    from safetensors.torch import load_file

    return load_file(path)


def _load_torch(path: Path, *, mapped: bool) -> object:
    """Unpickle by torch's restricted reader, which calls nothing but functions that make tensors and dicts."""
    import torch

    inert = [(_Inert, name) for name in INERT_NAMES]
    dicts = [(dict, name) for name in DICT_NAMES]
    with _SAFE_GLOBALS, torch.serialization.safe_globals([*inert, *dicts]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old pickle protocols are fine; damaged files raise
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _select(name: str, state: object, selection: Selection | None) -> "dict[str, Tensor]":
    """The tensors of a checkpoint that `selection` means. Raises `WeightsError` if they are of another kind."""
    import torch

    for key in selection.path if selection else ():
        state = state[key]  # type: ignore[index]  # read_contents found the weights here
    if not isinstance(state, dict):
        raise WeightsError(f"{name} holds something other than a state dict of plain tensors.")
    if selection is not None:
        named = {key: value for key, value in state.items() if isinstance(key, str)}
        state = own_tensors({k: v for k, v in named.items() if isinstance(v, torch.Tensor)}, selection.prefix)
    if not all(isinstance(k, str) and _is_plain_tensor(v) for k, v in state.items()):
        raise WeightsError(f"{name} holds something other than a state dict of plain tensors.")
    return cast("dict[str, Tensor]", state)


def _is_plain_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_quantized


class _Inert:
    """Stands for plain data beside the weights, such as a script's arguments, while they are read."""

    def __new__(cls, *_arguments: object) -> "_Inert":
        return super().__new__(cls)

    def __setstate__(self, _state: object) -> None:
        pass


def file_sha256(path: Path) -> str:
    """SHA-256 of a weights file, in hex. Raises `WeightsError`."""
    try:
        status = path.stat()
        return _sha256(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WeightsError(f"The weights file {path.name!r} cannot be read ({reason}).") from None


def check_unchanged(path: Path, sha256: str) -> None:
    """Raise `WeightsError` if the file is not the one that was found with this SHA-256."""
    if file_sha256(path) != sha256:
        raise WeightsError(f"{path.name} has changed since it was found: find the model again.")


@lru_cache(maxsize=16)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    """Hash a file once per process and file version: 200 MB take a third of a second."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_line(error: Exception, index: int = 0) -> str:
    """Line `index` of an error message, trimmed; line 1 of a `load_state_dict` error names the first wrong key."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return "".join(filter(str.isprintable, lines[min(index, len(lines) - 1)])).rstrip(".:")[:160]
