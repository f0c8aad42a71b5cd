"""Start worker processes that do not run the user's script again.

Python's "spawn" and "forkserver" import the main module into every new process. A script that calls `seglib.run` or
`seglib.train` without `if __name__ == "__main__":` would then start itself over and over. Our workers need nothing from
it, so they are started without. What is sent to them must therefore be importable without it (`check_importable`).
"""

import contextlib
import io
import pickle
import threading
from collections.abc import Iterator
from multiprocessing import spawn
from types import FunctionType
from typing import Any

from seglib.errors import UsageError

_this_thread = threading.local()
_get_preparation_data = spawn.get_preparation_data


@contextlib.contextmanager
def without_main_module() -> Iterator[None]:
    """Processes that this thread starts within the block do not import the main module; those of others do."""
    setattr(spawn, "get_preparation_data", _prepare)  # noqa: B010 - mypy allows no assignment to a function
    before = getattr(_this_thread, "hides_main", False)
    _this_thread.hides_main = True
    try:
        yield
    finally:
        _this_thread.hides_main = before


def _prepare(name: str) -> dict[str, Any]:
    """What Python tells a new process about its parent, without the main module where it is hidden."""
    data = _get_preparation_data(name)
    if getattr(_this_thread, "hides_main", False):
        data = {key: value for key, value in data.items() if not key.startswith("init_main")}
    return data


def check_importable(value: object, name: str) -> None:
    """Raise `UsageError` if another process could not unpickle this value, as what is defined in the main module, or
    within a function.
    """
    try:
        _Pickler(_Nowhere(), pickle.HIGHEST_PROTOCOL).dump(value)
    except Exception as error:  # foreign code raises whatever it likes
        reason = " ".join(str(error).split())[:160].rstrip(".")
        raise UsageError(
            f"{name} cannot be sent to another process ({reason}): define it in a module that can be imported."
        ) from None


class _Nowhere(io.RawIOBase):
    """Takes what is written, and keeps none of it."""

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: object) -> Any:
        if isinstance(value, type | FunctionType) and value.__module__ == "__main__":
            raise pickle.PicklingError(f"{value.__qualname__} is defined in the script that runs")
        return NotImplemented
