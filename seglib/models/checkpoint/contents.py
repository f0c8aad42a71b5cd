"""Tell kinds of files apart by their first bytes, and list the tensors of a checkpoint by name."""

import io
import json
import os
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from seglib.errors import WeightsError
from seglib.models.checkpoint.pickled import OTHER_TENSORS, ForeignObject, TensorInfo, read_pickle

FileKind = Literal["safetensors", "torch", "legacy torch", "torchscript", "torch.export", "onnx", "xml", "other"]
"""`legacy torch` is what torch wrote before 1.6: pickles and raw bytes one after the other, without a zip archive."""

StateDict = dict[str, TensorInfo]

_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number 0x1950A86A20F9469CFC6C, pickled

_MOST_STRUCTURE = 16_000_000
"""Bytes of a pickle or header that are read; a thousand tensors take 0.1 million."""

_DEEPEST_WRAPPER = 4

_SAFETENSORS_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64"}


@dataclass(frozen=True)
class Contents:
    """A checkpoint's tensors, without their values."""

    name: str
    """The file's."""
    state_dicts: dict[tuple[str, ...], StateDict]
    """Keys of the dicts around it, from the outermost -> tensors by name; at () if the file holds nothing else."""


def check_is_file(path: Path) -> None:
    """Raise `WeightsError` if there is no such file, or if it is a folder, a pipe or a device."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a null character in the path
        raise WeightsError(f"There is no weights file {str(path)!r}.") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise WeightsError(f"There is no weights file {str(path)!r}: it is {kind}.")


def file_kind(path: Path) -> FileKind:
    """What kind of model file this is, whatever its name ends in. Raises `WeightsError` if it cannot be read."""
    check_is_file(path)
    head = read_head(path)
    if head.startswith(b"PK"):
        return _archive_kind(path)
    if head.startswith(_LEGACY_MAGIC):
        return "legacy torch"
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length <= path.stat().st_size - 8:
        return "safetensors"
    if path.suffix == ".safetensors":
        return "safetensors"  # a damaged one
    if head.lstrip().startswith((b"<?xml", b"<net")):
        return "xml"
    return "onnx" if _is_onnx(head) else "other"


def read_head(path: Path) -> bytes:
    """The first 512 bytes. Raises `WeightsError`."""
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WeightsError(f"The weights file {path.name!r} cannot be read ({reason}).") from None


def _archive_kind(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] or name for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return "other"
    if "constants.pkl" in names:
        return "torchscript"
    if "archive_format" in names or any(name.endswith("serialized_exported_program.json") for name in names):
        return "torch.export"
    return "torch" if "data.pkl" in names else "other"


def _is_onnx(head: bytes) -> bool:
    """A protobuf that begins with a small `ir_version` and then names its producer, opset or graph."""
    return len(head) > 2 and head[0] == 0x08 and 1 <= head[1] <= 32 and head[2] in (0x12, 0x1A, 0x22, 0x3A, 0x42)


def read_contents(path: Path) -> Contents:
    """List the tensors of a checkpoint by `file_kind`. Raises `WeightsError` for any other file, or a damaged one."""
    kind = file_kind(path)
    if kind == "safetensors":
        return Contents(path.name, {(): _read_safetensors(path)})
    if kind not in ("torch", "legacy torch"):
        raise not_a_checkpoint(path.name, "neither torch nor safetensors wrote it, or it is cut off")
    try:
        value = _read_archive(path) if kind == "torch" else _read_legacy(path)
    except ForeignObject as error:
        raise _foreign_object(path.name, error.name) from None
    except (ValueError, TypeError, LookupError, OSError, EOFError, OverflowError, MemoryError) as error:
        reason = "".join(filter(str.isprintable, str(error)))[:120] or type(error).__name__
        raise not_a_checkpoint(path.name, reason) from None
    except (zipfile.BadZipFile, NotImplementedError):
        raise not_a_checkpoint(path.name, "its archive is damaged") from None
    return _find_state_dicts(path.name, value)


def not_a_checkpoint(name: str, reason: str) -> WeightsError:
    return WeightsError(
        f"{name} is not a checkpoint that holds tensors and plain data alone ({reason}): "
        "expected a state dict, as torch.save(model.state_dict(), FILE) writes it, or .safetensors."
    )


def _foreign_object(name: str, found: str) -> WeightsError:
    if found in OTHER_TENSORS:
        return WeightsError(f"{name} holds {OTHER_TENSORS[found]}: expected a state dict of plain tensors.")
    shown = "".join(filter(str.isprintable, found))[:80]
    return not_a_checkpoint(name, f"it holds an object of {shown!r}, which could be code")


def _read_archive(path: Path) -> object:
    """The structure of torch's zip archive, which torch never compresses: a compressed one could fill the memory."""
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        if any(one.compress_type for one in infos) or sum(one.file_size for one in infos) > os.path.getsize(path):
            raise ValueError("it is compressed, which torch never does")
        (record,) = (one for one in infos if one.filename.partition("/")[2] == "data.pkl")
        if record.file_size > _MOST_STRUCTURE:
            raise ValueError(f"its structure takes {record.file_size:,} bytes")
        return read_pickle(io.BytesIO(archive.read(record)))


def _read_legacy(path: Path) -> object:
    """The structure of a file that torch wrote before 1.6: a magic number, a version, the machine, then the value."""
    with path.open("rb") as file:
        structure = io.BytesIO(file.read(_MOST_STRUCTURE))
    *_, value = (read_pickle(structure) for _ in range(4))
    return value


def _read_safetensors(path: Path) -> StateDict:
    header = read_safetensors_header(path)
    try:
        return {
            name: TensorInfo(_SAFETENSORS_DTYPES.get(one["dtype"], one["dtype"]), tuple(map(int, one["shape"])))
            for name, one in header.items()
            if name != "__metadata__"
        }
    except (ValueError, TypeError, KeyError, OverflowError):
        raise not_safetensors(path.name) from None


def read_safetensors_header(path: Path) -> dict[str, Any]:
    """Parse the header: 8 bytes of little-endian length, then JSON. Raises `WeightsError`."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(_MOST_STRUCTURE, path.stat().st_size - 8):
                raise not_safetensors(path.name, f" (its header would take {length:,} bytes)")
            header = json.loads(file.read(length))
    except (OSError, ValueError, RecursionError):
        raise not_safetensors(path.name) from None
    if not isinstance(header, dict):
        raise not_safetensors(path.name)
    return header


def not_safetensors(name: str, reason: str = "") -> WeightsError:
    return WeightsError(f"{name} is not a safetensors file, or it is damaged{reason}.")


def _find_state_dicts(name: str, value: object) -> Contents:
    """Every dict that holds tensors by name, in dicts up to `_DEEPEST_WRAPPER` deep; each once."""
    found: dict[tuple[str, ...], StateDict] = {}
    seen = set()
    waiting: list[tuple[tuple[str, ...], object]] = [((), value)]
    for path, one in waiting:  # grows on the way
        if not isinstance(one, dict) or id(one) in seen:
            continue
        seen.add(id(one))
        named = {key: item for key, item in one.items() if isinstance(key, str)}
        tensors = {key: item for key, item in named.items() if isinstance(item, TensorInfo)}
        if tensors:
            found[path] = tensors
        if len(path) < _DEEPEST_WRAPPER:
            waiting += [((*path, key), item) for key, item in named.items() if isinstance(item, dict)]
    if not found:
        raise WeightsError(f"{name} holds something other than a state dict: there are no tensors by name in it.")
    return Contents(name, found)
