"""Points at which a process may be harmed: around every write, fsync, rename, link and removal that Python makes.

In: what to do at a point. Out: every such call of this process passes through it, before, after and, for writes, in
their middle. For processes that were forked for it: nothing is put back.
"""

import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

Point = Callable[[str], None]
"""Gets what is about to happen, or has just happened: `before replace`, `in write`."""

CALLS = ("replace", "rename", "link", "unlink", "mkdir", "rmdir", "fsync")


def intercept_calls(point: Point, below: Path) -> None:
    """Call `point` around each change of a file below this folder, from now on."""
    place = os.fspath(below)
    for name in CALLS:
        setattr(os, name, _around(getattr(os, name), name, point, place))
    io.open = _opening(io.open, point, place)


def harm_at(number: int, harm: Callable[[str], None]) -> Point:
    """Harm at the point of this number, counted from 0."""
    passed = [0]

    def point(what: str) -> None:
        passed[0] += 1
        if passed[0] == number + 1:
            harm(what)

    return point


def kill(number: int = signal.SIGKILL) -> Callable[[str], None]:
    return lambda _: os.kill(os.getpid(), number)


def refuse(code: int) -> Callable[[str], None]:
    """As the operating system does: `errno.ENOSPC`, `errno.EROFS`, `errno.EIO`."""

    def harm(_: str) -> None:
        raise OSError(code, os.strerror(code))

    return harm


def _around(call: Callable[..., Any], name: str, point: Point, place: str) -> Callable[..., Any]:
    def around(*arguments: Any, **options: Any) -> Any:
        if not _is_below(arguments[0], place) and not options.get("dir_fd"):
            return call(*arguments, **options)
        point(f"before {name}")
        result = call(*arguments, **options)
        point(f"after {name}")
        return result

    return around


def _opening(call: Callable[..., Any], point: Point, place: str) -> Callable[..., Any]:
    def opening(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if not set("wax+") & set(mode) or not _is_below(file, place):
            return call(file, mode, *arguments, **options)
        point("before open")
        opened = _WatchedFile(call(file, mode, *arguments, **options), point)
        point("after open")
        return opened

    return opening


class _WatchedFile:
    """A file whose writes have a point before, one in their middle with half of it written, and one after."""

    def __init__(self, file: Any, point: Point) -> None:
        self._file, self._point = file, point

    def write(self, data: Any) -> int:
        self._point("before write")
        half = len(data) // 2
        self._file.write(data[:half])
        self._file.flush()
        self._point("in write")
        self._file.write(data[half:])
        self._file.flush()
        self._point("after write")
        return len(data)

    def __enter__(self) -> "_WatchedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Any:
        return iter(self._file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _is_below(file: Any, place: str) -> bool:
    if isinstance(file, int):
        try:
            file = os.readlink(f"/proc/self/fd/{file}")
        except OSError:
            return False
    return os.fspath(file).startswith(place) if isinstance(file, str | os.PathLike) else False
