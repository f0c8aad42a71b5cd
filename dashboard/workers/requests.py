"""The kinds of long-running jobs that visitors can request, with their parameters.

Requests are frozen dataclasses. Their values come from the browser, so each request is checked before it is stored;
`to_record` and `from_record` convert to and from JSON values. To add a kind, add a class here, its implementation in
`job_worker.HANDLERS` and its labels in `views.shared.job_status`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from dashboard.offers import mask_sources, models, photo_folders
from dashboard.settings import ServerSettings
from dashboard.workers import similarity
from seglib.annotations.options import MaskOptions
from seglib.data.resize import Resize
from seglib.errors import UsageError
from seglib.inference.config import PRECISIONS
from seglib.store.store import Store

MAX_COMPARED_RUNS = 6
"""Maximum number of runs in one comparison, since every pair is counted."""


@dataclass(frozen=True, kw_only=True)
class Request(ABC):
    kind: ClassVar[str]
    """Identifies the class in a job record."""
    queue: ClassVar[str]
    """Jobs in the same queue run one at a time; jobs in different queues run in parallel."""

    @property
    @abstractmethod
    def key(self) -> tuple[str, ...]:
        """Two live jobs of the same kind with equal keys would do the same work."""

    @property
    @abstractmethod
    def description(self) -> str:
        """Start of the sentence that says that this work is already in progress."""

    @abstractmethod
    def check(self, settings: ServerSettings) -> None:
        """Raises `UsageError` if a value is unknown or invalid."""


@dataclass(frozen=True, kw_only=True)
class RunRequest(Request):
    """Run a model on a folder of photos."""

    kind = "run"
    queue = "models"

    folder: str
    """Id of an offered folder."""
    title: str
    """The folder's title, for display."""
    model: str
    """Id of an offered model."""
    resize: str
    """Empty for the model's own."""
    precision: str = "auto"
    limit: int | None = None
    verify: bool = False
    """Reread every file, check every mask and part, and recompute what is damaged."""
    model_title: str = ""
    """The model's title, for display; empty if its id is its name."""

    @property
    def key(self) -> tuple[str, ...]:
        return self.folder, self.model, self.resize, self.precision

    @property
    def description(self) -> str:
        return f"{self.model_title or self.model} is running on {self.title}"

    def check(self, settings: ServerSettings) -> None:
        photo_folders.get_folder(photo_folders.find_roots(settings), self.folder)
        models.get_model(settings, self.model)
        if self.resize:
            Resize(self.resize)
        if self.precision not in ("auto", *PRECISIONS):
            raise UsageError(f"A precision is auto or one of {', '.join(PRECISIONS)}, not {self.precision!r}.")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"At least one photo is needed, not {self.limit}.")


@dataclass(frozen=True, kw_only=True)
class CompareRequest(Request):
    """Count every pair of these runs on the photos that all of them have computed.

    Reads only masks and loads no model, so it does not wait for jobs that do.
    """

    kind = "compare"
    queue = "masks"

    runs: tuple[str, ...]

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(sorted(self.runs))

    @property
    def description(self) -> str:
        return "The comparison of these runs is running"

    def check(self, settings: ServerSettings) -> None:
        _check_runs(settings, self.runs, minimum=2, purpose="compared")


@dataclass(frozen=True, kw_only=True)
class SuspectsRequest(CompareRequest):
    """Measure what makes the masks of one run look implausible."""

    kind = "suspects"

    @property
    def description(self) -> str:
        return "The masks of this run are being looked at"

    def check(self, settings: ServerSettings) -> None:
        _check_runs(settings, self.runs, minimum=1, purpose="looked at")


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest(Request):
    """Count these runs against the masks in a folder, on photos that have a mask and that all runs have computed."""

    kind = "evaluate"
    queue = "masks"

    folder: str
    """Id of an offered folder of masks, or COCO file."""
    title: str
    """Its title, for display."""
    format: str
    """One of `annotations.options.MASK_FORMATS`."""
    runs: tuple[str, ...]
    classes: tuple[str, ...] = ()
    """Class names of the masks in index order; empty if the masks name them."""
    ignore: tuple[int, ...] = ()
    offset: int = 0
    suffix: str = ""
    """What the masks' names end in besides the photos' names; empty for the usual endings."""

    @property
    def options(self) -> MaskOptions:
        return MaskOptions(
            format=self.format,
            classes=self.classes or None,
            ignore=self.ignore,
            offset=self.offset,
            suffix=self.suffix or None,
        )

    @property
    def key(self) -> tuple[str, ...]:
        reading = self.format, *self.classes, str(self.ignore), str(self.offset), self.suffix
        return self.folder, *reading, *sorted(self.runs)

    @property
    def description(self) -> str:
        return f"The evaluation of these runs against {self.title} is running"

    def check(self, settings: ServerSettings) -> None:
        mask_sources.get_mask_source(photo_folders.find_mask_roots(settings), self.folder)
        _ = self.options  # raises if they do not go together
        _check_runs(settings, self.runs, minimum=1, purpose="evaluated")


@dataclass(frozen=True, kw_only=True)
class CalibrateRequest(EvaluateRequest):
    """An evaluation that also measures calibration, for which the models run on the photos again."""

    kind = "calibrate"
    queue = "models"

    truth: str = ""
    """Id of the ground truth that the masks must be read as; empty for any."""

    def check(self, settings: ServerSettings) -> None:
        super().check(settings)
        for run in self.runs:
            models.check_run(settings, Store(settings.store).run(run))


@dataclass(frozen=True, kw_only=True)
class JudgeRequest(CalibrateRequest):
    """An evaluation that also scores how likely the ground truth is wrong, for which the models run again."""

    kind = "judge"

    @property
    def description(self) -> str:
        return f"The search for mistakes in {self.title} is running"


@dataclass(frozen=True, kw_only=True)
class SimilarityRequest(Request):
    """Compute from embeddings what takes longer than a page may: see `workers.similarity`."""

    kind = "similarity"
    queue = "masks"

    task: str
    """One of `similarity.TASKS`."""
    run: str
    """The run whose photos are meant."""
    source: str
    """Name of the embeddings' source."""
    vectors: str = "global"
    """Kind of the vectors: one of `similarity.embeddings.VectorKind`."""
    title: str = ""
    """What the embeddings are called, for display."""

    @property
    def key(self) -> tuple[str, ...]:
        return self.task, self.run, self.source, self.vectors

    @property
    def description(self) -> str:
        return "This work on the embeddings is running"

    def check(self, settings: ServerSettings) -> None:
        store = Store(settings.store)
        store.run(self.run)
        similarity.check_request(store, self.task, self.source, self.vectors)


@dataclass(frozen=True, kw_only=True)
class PrepareRequest(Request):
    """Prepare the table of a run that is too large to be read into memory."""

    kind = "prepare"
    queue = "masks"

    run: str
    title: str = ""
    """What the run is called, for display."""

    @property
    def key(self) -> tuple[str, ...]:
        return (self.run,)

    @property
    def description(self) -> str:
        return "The table of this run is being prepared"

    def check(self, settings: ServerSettings) -> None:
        Store(settings.store).run(self.run)


def _check_runs(settings: ServerSettings, runs: Sequence[str], *, minimum: int, purpose: str) -> None:
    if not minimum <= len(set(runs)) <= MAX_COMPARED_RUNS:
        raise UsageError(f"{minimum} to {MAX_COMPARED_RUNS} different runs can be {purpose}, not {len(set(runs))}.")
    store = Store(settings.store)
    for run in runs:
        store.run(run)


_COUNTING = (CompareRequest, SuspectsRequest, EvaluateRequest, CalibrateRequest, JudgeRequest)
KINDS: dict[str, type[Request]] = {
    kind.kind: kind for kind in (RunRequest, *_COUNTING, SimilarityRequest, PrepareRequest)
}


def to_record(request: Request) -> dict[str, Any]:
    """Return the request as JSON values."""
    return {"kind": request.kind, **asdict(request)}


def from_record(record: Mapping[str, Any]) -> Request | None:
    """Return the request of a record; None if its kind or its fields are unknown to this version."""
    kind = KINDS.get(str(record.get("kind", RunRequest.kind)))
    if kind is None:
        return None
    values = {f.name: record[f.name] for f in fields(kind) if f.name in record}
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except TypeError:
        return None
