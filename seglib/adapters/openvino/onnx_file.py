"""The structure of an ONNX file, as far as it must be known before a library reads it: which other files it names.

An ONNX file is a protobuf message (`onnx.proto`) whose tensors may lie in other files, by a path that the file itself
gives. OpenVINO opens those while it reads the model, and says nothing about which they were, so the message is walked
here: only the fields that lead to tensors are entered, and no tensor's data is read. The `onnx` package is no
dependency, and parses the whole model into memory.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from seglib.errors import WeightsError

_MODEL = "model"
_MESSAGES: dict[str, dict[int, str]] = {
    _MODEL: {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "tensor": {13: "entry"},
}
"""Message -> number of a field -> the message that it holds, for all that can lead to a tensor."""

_ENTRY_KEY, _ENTRY_VALUE = 1, 2

_VARINT, _BYTES, _FIXED_SIZES = 0, 2, {1: 8, 5: 4}  # wire types; those of fixed size, with their bytes

_LONGEST_VARINT = 10  # bytes


def external_files(path: Path) -> tuple[Path, ...]:
    """The files with tensors that an ONNX file names, sorted.

    Raises `WeightsError` if it is no ONNX file or ends too early, or if one of those files is missing or lies outside
    its folder, whatever links lead there.
    """
    try:
        locations = sorted(_locations(path))
    except OSError as error:
        raise WeightsError(
            f"The file {path.name!r} cannot be read ({error.strerror or type(error).__name__})."
        ) from None
    except ValueError:
        raise WeightsError(f"{path.name!r} is no ONNX file, or it is damaged or cut off.") from None
    return tuple(_resolve(path, location) for location in locations)


def _resolve(path: Path, location: str) -> Path:
    """The file at a location that an ONNX file gives: relative, and below its folder."""
    windows = PureWindowsPath(location)  # knows both separators, and drives
    file, folder = path.parent / location, path.parent.resolve()
    leaves = not location or "\0" in location or windows.anchor or ".." in windows.parts
    if leaves or PurePosixPath(location).is_absolute() or not file.resolve().is_relative_to(folder):
        raise WeightsError(
            f"{path.name!r} wants to read {location[:200]!r}, outside its own folder, which is refused: "
            "put the file with its weights beside it, and export it again if need be."
        )
    if not file.is_file():
        raise WeightsError(f"{path.name!r} needs the file {location[:200]!r} with its weights, which is missing.")
    return file


def _locations(path: Path) -> set[str]:
    """Every location of external data in the file. Raises `OSError`, or `ValueError` if it is no such message."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found, has_graph = set(), False
        to_visit = [(_MODEL, 0, len(data))]
        while to_visit:
            message, start, end = to_visit.pop()
            if message == "entry":
                key, value = _entry(data, start, end)
                if key == b"location":
                    found.add(value.decode())
                continue
            inner = _MESSAGES[message]
            for number, begin, stop in _fields(data, start, end):
                if number in inner and stop >= 0:
                    has_graph = has_graph or message == _MODEL
                    to_visit.append((inner[number], begin, stop))
        if not has_graph:
            raise ValueError
        return found


def _entry(data: mmap.mmap, start: int, end: int) -> tuple[bytes, bytes]:
    values = {number: data[begin:stop] for number, begin, stop in _fields(data, start, end) if stop >= 0}
    return values.get(_ENTRY_KEY, b""), values.get(_ENTRY_VALUE, b"")


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, start, end) of each field of a message; the end is -1 for numbers, which have no content to enter."""
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        number, wire_type, size = tag >> 3, tag & 7, 0
        if wire_type == _VARINT:
            _, at = _varint(data, at, end)
        elif wire_type == _BYTES:
            size, at = _varint(data, at, end)
        elif wire_type in _FIXED_SIZES:
            at += _FIXED_SIZES[wire_type]
        else:
            raise ValueError
        if number == 0 or at + size > end:
            raise ValueError
        yield number, at, at + size if wire_type == _BYTES else -1
        at += size


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """The number at this place, and the place behind it. Raises `ValueError`."""
    value = 0
    for index in range(_LONGEST_VARINT):
        if at + index >= end:
            raise ValueError
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError
