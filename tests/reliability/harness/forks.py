"""Processes that are forked to be harmed: a try costs a tenth of a second, where a cold start of torch costs seconds.

In: what to do. Out: how it ended, what it said, what it returned. A fork of a process with threads may hang, so all
this happens in a fresh process that only forks (`in_own_process`), and what asks torch or Arrow happens in its
children.
"""

import atexit
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from PIL import Image

from tests.reliability.harness.ledger import CampaignResult

PATIENCE_SECONDS = 120
RunCampaign = Callable[[int, int, Path], CampaignResult]


def in_own_process(campaign: RunCampaign) -> RunCampaign:
    """The same campaign in a process that has no threads; it and its imports are shared by all such campaigns."""
    return partial(_in_other_process, campaign)


def _in_other_process(campaign: RunCampaign, tries: int, seed: int, folder: Path) -> CampaignResult:
    return _forker().submit(campaign, tries, seed, folder).result()


@lru_cache(maxsize=1)
def _forker() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_prepare)


def close() -> None:
    """End that process, if there is one."""
    if _forker.cache_info().currsize:
        _forker().shutdown()
        _forker.cache_clear()


def _prepare() -> None:
    """Import what every child needs, but start no thread."""
    import pyarrow.dataset
    import pyarrow.pandas_compat  # noqa: F401
    import safetensors.torch  # noqa: F401
    from scipy import ndimage  # noqa: F401
    from tqdm import tqdm

    from seglib.models import fcn  # noqa: F401

    Image.init()
    tqdm.get_lock()
    atexit.register(os._exit, 0)  # some of these say at their end what nobody can do anything about
    gc.freeze()  # else each child's collections copy all these pages


@dataclass(frozen=True)
class ProcessResult:
    code: int
    """Of the exit; minus the number of the signal that killed it."""
    stderr_lines: list[str]
    """Lines on standard error."""
    result: Any = None


class ForkedProcess:
    """A child at work on `work`, whose exit code is what `work` returns if that is a number, else 0."""

    def __init__(self, work: Callable[[], Any], folder: Path) -> None:
        self._said, self._result = (folder / f"{time.time_ns()}.{name}" for name in ("said", "result"))
        self.pid = os.fork()
        if self.pid == 0:
            self._work(work)

    def _work(self, work: Callable[[], Any]) -> None:
        code = 70
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            said = os.open(self._said, os.O_CREAT | os.O_WRONLY)
            os.dup2(said, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
            sys.stdout = os.fdopen(1, "w", closefd=False)
            result = work()
            code = result if isinstance(result, int) else 0
            with open(self._result, "wb") as file:
                pickle.dump(result, file)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self) -> ProcessResult:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"A process hung: {self._text()}")
            time.sleep(0.002)
        said = self._text().splitlines()
        returned = pickle.loads(self._result.read_bytes()) if self._result.exists() else None
        for file in (self._said, self._result):
            file.unlink(missing_ok=True)
        return ProcessResult(os.waitstatus_to_exitcode(status), said, returned)

    def _text(self) -> str:
        return self._said.read_text("utf-8", "replace") if self._said.exists() else ""


def run_forked(work: Callable[[], Any], folder: Path) -> ProcessResult:
    return ForkedProcess(work, folder).wait()


def call_forked(work: Callable[[], Any], folder: Path) -> Any:
    """What a child returns; what it raises is raised here, as text."""
    ended = run_forked(work, folder)
    if ended.code:
        raise AssertionError("\n".join(ended.stderr_lines[-30:]) or f"exit code {ended.code}")
    return ended.result
