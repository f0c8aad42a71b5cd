"""Read and validate the JSON records of a store, of its datasets and of its runs.

`store.json` -> layout, `dataset.json` -> `Dataset`, `run.json` -> `Run`; raises `DamagedFileError` if a record is
invalid.
"""

import json
import math
import os
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seglib.classes import are_valid_class_names
from seglib.data.buckets.address import Bucket, looks_like_address
from seglib.data.photo_root import PhotoRoot
from seglib.errors import StoreError, UsageError
from seglib.fileio import json_record

SCHEMA_VERSION = 1
"""Version of the layout on disk of a new store, and of all records."""

PACKED_LAYOUT = 2
"""Version of the layout of a store with packs. A store with a higher number comes from a newer version of this program
and is left untouched.
"""

MAX_TITLE_LENGTH = 120

_BIDI_CONTROLS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Invisible characters of Persian and of emoji sequences, which names may have."""

_STORE_REMEDY = f'restore it from a copy, or write {{"schema": {PACKED_LAYOUT}}} into it'
_DATASET_REMEDY = "run over the folder of its photos again, which rewrites it"
_RUN_REMEDY = "the command that made the run rewrites it with `verify`; or remove the run"


@dataclass(frozen=True)
class Dataset:
    id: str
    """First 8 hex digits of the SHA-256 of the folder or address that was first scanned; it stays when that moves."""
    name: str
    """Unique within the store; value of the table's `dataset` column."""
    root: PhotoRoot
    """Absolute path of its folder, which may be gone, or its address on object storage."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Contents of `run.json`: how the masks were computed, and every invocation that added to them."""

    run: str
    model: str
    resize: str
    precision: str | None
    classes: tuple[str, ...]
    weights_sha256: str | None
    parameters: int | None
    created: str
    recipe: dict[str, Any]
    versions: dict[str, str]
    invocations: list[dict[str, Any]] = field(default_factory=list)
    title: str | None = None
    """What a person calls the run; None: the model's name."""
    request: dict[str, Any] = field(default_factory=dict)
    """`ModelRequest.to_record`: how the model is found again, if its name is not enough."""
    untrained_classes: tuple[str, ...] = ()
    """Those of `classes` that the model was never trained on, as far as its weights say."""
    repeatable: bool = True
    """False if nothing tells whether the model is still the one that made these masks."""
    schema: int = SCHEMA_VERSION

    @property
    def last_used(self) -> str:
        return max([self.created, *(str(i["started"]) for i in self.invocations)])

    @property
    def display_title(self) -> str:
        """What the run is called on pages: its title, or the model's name; one line, at most `MAX_TITLE_LENGTH`."""
        return clean_title(self.title or "") or clean_title(self.model)


def parse_title(text: str) -> str | None:
    """Normalise a title that a person gives a run (NFC, single spaces); None if it is empty. Raises `UsageError`."""
    title = " ".join(unicodedata.normalize("NFC", text).split())
    if len(title) > MAX_TITLE_LENGTH:
        raise UsageError(f"A title has at most {MAX_TITLE_LENGTH} characters, and this one has {len(title):,}.")
    if title != clean_title(title):
        raise UsageError("A title has no control characters and no marks that turn the direction of the text.")
    return title or None


def clean_title(text: str) -> str:
    """A title from text of unknown origin, such as a file name: without control characters, and cut if too long."""
    kept = "".join(sign for sign in " ".join(text.split()) if sign.isprintable() or sign in JOINERS)
    return kept if len(kept) <= MAX_TITLE_LENGTH else kept[: MAX_TITLE_LENGTH - 1] + "…"


def read_layout(marker: Path) -> int:
    """The version of a store's layout, from its `store.json`. Raises `StoreError` if this program does not know it."""
    layout = json_record.read(marker, _STORE_REMEDY).get("schema")
    if not isinstance(layout, int) or layout < 1:
        raise json_record.damaged_error(marker, _STORE_REMEDY)
    if layout > PACKED_LAYOUT:
        raise StoreError(
            f"This store has layout {layout}, and this program knows up to {PACKED_LAYOUT}: "
            "upgrade the program, or name another store."
        )
    return layout


def encode_layout(layout: int) -> bytes:
    return json.dumps({"schema": layout}, indent=1).encode()


def read_dataset(file: Path) -> Dataset:
    record = json_record.read(file, _DATASET_REMEDY)
    name, root = record.get("name"), record.get("root")
    if not (isinstance(name, str) and isinstance(root, str) and root and "\0" not in root) or len(record) != 2:
        raise json_record.damaged_error(file, _DATASET_REMEDY)
    try:
        return Dataset(file.parent.name, name, _decode_root(root, _store_folder(file)))
    except UsageError:
        raise json_record.damaged_error(file, _DATASET_REMEDY) from None


def encode_dataset(dataset: Dataset, file: Path) -> bytes:
    """The content of the dataset's record `file`.

    The root is relative to the store, with `/`, if it lies below the store's parent folder or holds the store, so that
    both can be copied or moved together; otherwise it is absolute.
    """
    root, store = dataset.root, _store_folder(file)
    if isinstance(root, Bucket):
        return json_record.encode({"root": root.address, "name": dataset.name})
    below_parent = root.is_relative_to(store.parent) and store.parent != Path(store.anchor)
    if below_parent or store.is_relative_to(root):
        root = Path(os.path.relpath(root, store))
    return json_record.encode({"root": root.as_posix() if not root.is_absolute() else str(root), "name": dataset.name})


def _decode_root(text: str, store: Path) -> PhotoRoot:
    if looks_like_address(text):
        return Bucket.parse(text)
    return Path(os.path.normpath(store / text))


def _store_folder(dataset_record: Path) -> Path:
    return dataset_record.parents[2].resolve()


_LISTS = ("classes", "untrained_classes")


def read_run(file: Path) -> Run:
    record = json_record.read(file, _RUN_REMEDY, max_schema=SCHEMA_VERSION)
    schema = record.get("schema", 0)
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        raise StoreError(
            f"The run {file.parent.name} was made by a newer version (layout {schema}): upgrade the program."
        )
    try:
        run = Run(**{**record, **{name: tuple(record[name]) for name in _LISTS if name in record}})
    except (TypeError, KeyError):
        raise json_record.damaged_error(file, _RUN_REMEDY) from None
    if not _is_valid_run(run) or run.run != file.parent.name:
        raise json_record.damaged_error(file, _RUN_REMEDY)
    return run


def _is_valid_run(run: Run) -> bool:
    """Check the type of every field, since the file may have been edited by hand."""
    texts = (run.run, run.model, run.resize, run.created)
    optional_texts = (run.precision, run.weights_sha256, run.title)
    return (
        all(isinstance(one, str) for one in texts)
        and all(one is None or isinstance(one, str) for one in optional_texts)
        and (run.parameters is None or type(run.parameters) is int)
        and isinstance(run.schema, int)
        and are_valid_class_names(run.classes)
        and all(name in run.classes for name in run.untrained_classes)
        and isinstance(run.recipe, dict)
        and isinstance(run.versions, dict)
        and isinstance(run.request, dict)
        and isinstance(run.repeatable, bool)
        and isinstance(run.invocations, list)
        and all(_is_valid_invocation(one) for one in run.invocations)
    )


def _is_valid_invocation(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("started"), str)
        and isinstance(value.get("seconds"), int | float)
        and math.isfinite(value["seconds"])
    )


def find_damaged_records(files: Iterable[Path], read: Callable[[Path], object]) -> dict[str, str]:
    """Map folder name -> error message for each unreadable record, skipping records that were deleted meanwhile."""
    damaged = {}
    for file in sorted(files):
        try:
            read(file)
        except StoreError as error:
            if file.exists():
                damaged[file.parent.name] = str(error)
    return damaged


def utc_now() -> str:
    """Current UTC time in ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat()
