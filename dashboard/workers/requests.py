"""What visitors may ask for that takes long: the kinds of jobs, each with what it must be told and what it may be told.

In: choices that came by way of a browser. Out: frozen requests, each checked before it is kept; as JSON values and
back. A new kind is a class here, its work in `job_worker.WORK`, its words in `views.at_work`. Knows nothing of
processes or pages.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from dashboard.settings import Settings
from dashboard.workers import photo_folders
from seglib.data.resize import Resize
from seglib.errors import UsageError
from seglib.inference.config import PRECISIONS
from seglib.masks.annotations import FORMATS
from seglib.models.registry import find
from seglib.store.store import Store

MOST_COMPARED = 6
"""Runs of one comparison: each pair of them is counted."""

AUTO = "auto"
"""The format of masks is what they hold."""


@dataclass(frozen=True, kw_only=True)
class Request(ABC):
    kind: ClassVar[str]
    """In a record."""
    lane: ClassVar[str]
    """Jobs of one lane take turns, one at a time; those of different lanes work side by side."""

    @property
    @abstractmethod
    def key(self) -> tuple[str, ...]:
        """Two live jobs of a kind with equal keys would do the same work."""

    @property
    @abstractmethod
    def subject(self) -> str:
        """What is at work on what, for the sentence that says that it is so already."""

    @abstractmethod
    def check(self, settings: Settings) -> None:
        """Raises `UsageError` unless all of it is known, or makes sense."""


@dataclass(frozen=True, kw_only=True)
class RunRequest(Request):
    """A network over a folder of photos."""

    kind = "run"
    lane = "networks"

    folder: str
    """Id of an offered folder."""
    title: str
    """Its title, for people."""
    model: str
    resize: str
    precision: str = "auto"
    limit: int | None = None
    verify: bool = False
    """Read every file again, check every mask and part, compute anew what is damaged."""

    @property
    def key(self) -> tuple[str, ...]:
        return self.folder, self.model, self.resize, self.precision

    @property
    def subject(self) -> str:
        return f"{self.model} is at work on {self.title}"

    def check(self, settings: Settings) -> None:
        photo_folders.chosen(settings.data, self.folder)
        find(self.model)
        Resize(self.resize)
        if self.precision not in ("auto", *PRECISIONS):
            raise UsageError(f"A precision is auto or one of {', '.join(PRECISIONS)}, not {self.precision!r}.")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"At least one photo is needed, not {self.limit}.")


@dataclass(frozen=True, kw_only=True)
class CompareRequest(Request):
    """The counts of every pair of these runs, of every photo that all of them have computed.

    Reads masks and loads no network, so it need not wait until a network is done.
    """

    kind = "compare"
    lane = "masks"

    runs: tuple[str, ...]

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(sorted(self.runs))

    @property
    def subject(self) -> str:
        return "The comparison of these runs is at work"

    def check(self, settings: Settings) -> None:
        _check_runs(settings, self.runs, least=2, purpose="compared")


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest(Request):
    """Counts of these runs against the masks in a folder, of every photo that has one and that all of them computed."""

    kind = "evaluate"
    lane = "masks"

    folder: str
    """Id of an offered folder."""
    title: str
    """Its title, for people."""
    format: str
    """One of `truth.FORMATS`, or `AUTO`."""
    runs: tuple[str, ...]

    @property
    def key(self) -> tuple[str, ...]:
        return self.folder, self.format, *sorted(self.runs)

    @property
    def subject(self) -> str:
        return f"The evaluation of these runs against {self.title} is at work"

    def check(self, settings: Settings) -> None:
        photo_folders.chosen(settings.data, self.folder)
        if self.format not in (AUTO, *FORMATS):
            raise UsageError(f"Masks are {', '.join(FORMATS)}, or {AUTO}; not {self.format!r}.")
        _check_runs(settings, self.runs, least=1, purpose="evaluated")


@dataclass(frozen=True, kw_only=True)
class CalibrateRequest(EvaluateRequest):
    """The same, and how sure each pixel was: the networks look at the photos again."""

    kind = "calibrate"
    lane = "networks"


def _check_runs(settings: Settings, runs: Sequence[str], *, least: int, purpose: str) -> None:
    if not least <= len(set(runs)) <= MOST_COMPARED:
        raise UsageError(f"{least} to {MOST_COMPARED} different runs can be {purpose}, not {len(set(runs))}.")
    store = Store(settings.store)
    for run in runs:
        store.run(run)


KINDS: dict[str, type[Request]] = {
    kind.kind: kind for kind in (RunRequest, CompareRequest, EvaluateRequest, CalibrateRequest)
}


def record(request: Request) -> dict[str, Any]:
    """As JSON values."""
    return {"kind": request.kind, **asdict(request)}


def recorded(about: Mapping[str, Any]) -> Request | None:
    """The request of a record; None if it is of a kind, or has parts, that this program does not know."""
    kind = KINDS.get(str(about.get("kind", RunRequest.kind)))
    if kind is None:
        return None
    given = {f.name: about[f.name] for f in fields(kind) if f.name in about}
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
    except TypeError:
        return None
