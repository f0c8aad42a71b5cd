"""Tag images, using an append-only log of actions below `<store>/tags/`.

Each action is written as one part; an undo is a row that names the action it cancels. The current tags are a replay of
all actions that were not undone, so an undo restores the previous state exactly, even if others have tagged images in
the meantime. Only merging and pruning rewrite parts.
"""

import contextlib
import hashlib
import secrets
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seglib.data.image import IMAGE_ID_PATTERN
from seglib.errors import StoreError, UsageError
from seglib.fileio import parquet_parts
from seglib.fileio.lock import RegisteredWriter, lock
from seglib.store.schemas import TAG_SEPARATOR

SCHEMA = pa.schema(
    [
        *(("image_id", pa.string()), ("tag", pa.string()), ("on", pa.bool_())),
        *(("time", pa.timestamp("us", "UTC")), ("action", pa.string()), ("undoes", pa.string())),
    ]
)
"""`undoes` is the id of the cancelled action; every row without it adds (`on`) or removes a tag of one image."""

KEY = ("image_id", "tag", "action")
MAX_LENGTH = 60
MERGE_FROM = 64
"""Number of parts from which a new action merges the small ones."""

REMEDY = "restore it from a copy, or delete it; the tags in it are lost then"
"""How the user can repair a damaged part of the log."""
_LINE_ENDS = ("Zl", "Zp")
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class TagStore(Protocol):
    """The attributes of a store that tagging needs."""

    path: Path
    atomic: RegisteredWriter

    def tags_folder(self) -> Path: ...


@dataclass(frozen=True)
class TagAction:
    """One tagging action, which `undo` reverts as a whole."""

    id: str
    tag: str
    on: bool
    images: int


@dataclass(frozen=True)
class _Log:
    """The log, dictionary-encoded because it may have millions of rows."""

    ids: pa.Array
    """string: unique image ids."""
    rows: pd.DataFrame
    """Oldest first: image (int32, position in `ids`), tag, on, time, action, undoes."""


def normalise_tag(text: str) -> str:
    """Normalize a tag name (NFC, single spaces). Raises `UsageError` if it is not a valid tag."""
    name = " ".join(part for part in unicodedata.normalize("NFC", text).split(" ") if part)
    if not name or len(name) > MAX_LENGTH:
        raise UsageError(f"A tag has 1 to {MAX_LENGTH} characters; this one has {len(name)}: choose another name.")
    if TAG_SEPARATOR in name or any(_is_control(sign) for sign in name):
        raise UsageError(f"A tag cannot contain {TAG_SEPARATOR!r} or a control character: choose another name.")
    return name


def tag(store: TagStore, ids: Iterable[str] | pa.Array, name: str) -> TagAction | None:
    """Add the tag to these images; None if all of them already have it."""
    return _set_tag(store, ids, name, on=True)


def untag(store: TagStore, ids: Iterable[str] | pa.Array, name: str) -> TagAction | None:
    """Remove the tag from these images; None if none of them has it."""
    return _set_tag(store, ids, name, on=False)


def undo(store: TagStore, action: str | None = None) -> TagAction | None:
    """Undo an action (default: the latest not yet undone) and return it; None if there is nothing to undo."""
    log = _read_log(store)
    undone = _find_action(_effective_rows(log.rows), action)
    if undone is not None:
        _append_action(store, log, [""], "", on=False, undoes=undone.id)
    return undone


def tags_by_image(store: TagStore) -> pd.Series:
    """Tagged images: index image_id (unique), values the sorted tag names joined by `TAG_SEPARATOR` (categorical)."""
    log = _read_log(store)
    present = _current_rows(log.rows)
    images, joined = _join_tags(present)
    index = pd.Index(pd.array(log.ids.take(pa.array(images)), dtype="str"), name="image_id")
    return pd.Series(joined, index, name="tags")


def align_tags(tagged: pd.Series, image_ids: pd.Series) -> pd.Series:
    """Look up these images in the result of `tags_by_image`, row by row (categorical; null for untagged images)."""
    wanted = pa.array(image_ids, pa.string())
    positions = (
        pc.index_in(wanted, value_set=pa.array(tagged.index, pa.string())).fill_null(-1).to_numpy(zero_copy_only=False)
    )
    codes = np.append(tagged.cat.codes.to_numpy(), -1)[positions]  # position -1 hits the appended -1 (no tag)
    return pd.Series(pd.Categorical.from_codes(codes, tagged.cat.categories), image_ids.index, name="tags")


def add_column(store: TagStore, table: pd.DataFrame) -> pd.DataFrame:
    """The table with the column `tags`."""
    return table.assign(tags=align_tags(tags_by_image(store), table["image_id"]))


def log_version(store: TagStore) -> str:
    """Cache key that changes with every action."""
    return hashlib.sha256("\n".join(parquet_parts.list_parts(store.tags_folder())).encode()).hexdigest()[:16]


# --- care of the log ---------------------------------------------------------------------------------------------


def merge(store: TagStore) -> None:
    """Merge small parts into one and keep every action. The caller must hold the store's lock."""
    parquet_parts.merge(store.atomic, store.tags_folder(), SCHEMA, KEY)


def count_outdated(store: TagStore) -> int:
    """Number of rows without effect on the current tags: undone, superseded, or removing a tag."""
    rows = _read_log(store).rows
    return len(rows) - len(_current_rows(rows))


def compact(store: TagStore) -> None:
    """Keep only the current tags; earlier actions can no longer be undone. The caller must hold the store's lock.

    Only the parts that were read are deleted, so parts that others append meanwhile are kept.
    """
    old = parquet_parts.list_parts(store.tags_folder())
    log = _build_log(parquet_parts.read_parts(store.tags_folder(), old, SCHEMA, remedy=REMEDY))
    current = _current_rows(log.rows)
    if len(current) == len(log.rows):
        return
    if len(current):
        ids = log.ids.take(pa.array(current["image"])).to_pandas()
        current = current.assign(image_id=ids.to_numpy(), tag=current["tag"].astype("str"), action="", undoes=None)
        parquet_parts.append(
            store.atomic, store.tags_folder(), pa.Table.from_pandas(current[SCHEMA.names], SCHEMA, preserve_index=False)
        )
    for name in old:
        (store.tags_folder() / name).unlink(missing_ok=True)


# --- the log -----------------------------------------------------------------------------------------------------


def _set_tag(store: TagStore, ids: Iterable[str] | pa.Array, name: str, *, on: bool) -> TagAction | None:
    name, log = normalise_tag(name), _read_log(store)
    wanted = pc.unique(ids if isinstance(ids, pa.Array) else pa.array(list(ids), pa.string()))
    if not pc.all(pc.match_substring_regex(wanted, f"^{IMAGE_ID_PATTERN}$"), min_count=0).as_py():
        raise UsageError("An image is tagged by its image_id, 32 hex digits as in the table.")
    present = _current_rows(log.rows)
    has = pc.is_in(wanted, value_set=log.ids.take(pa.array(present.loc[present["tag"] == name, "image"])))
    changed = wanted.filter(pc.invert(has) if on else has)
    if not len(changed):
        store.atomic.sweep()
        return None
    return TagAction(_append_action(store, log, changed, name, on=on), name, on, len(changed))


def _append_action(
    store: TagStore, log: _Log, ids: Sequence[str] | pa.Array, name: str, *, on: bool, undoes: str | None = None
) -> str:
    """Write an action as one part, timestamped after every known row; returns the action id."""
    action, n = secrets.token_hex(8), len(ids)
    time = pd.Timestamp.now("UTC").as_unit("us")
    if len(log.rows):  # keep the order even if the system clock was set back
        time = max(time, log.rows["time"].iloc[-1] + pd.Timedelta(1, "us"))
    table = pa.table(
        {
            "image_id": pa.array(ids, pa.string()),
            "tag": pa.repeat(name, n),
            "on": pa.repeat(on, n),
            "time": pa.repeat(pa.scalar(time, pa.timestamp("us", "UTC")), n),
            "action": pa.repeat(action, n),
            "undoes": pa.repeat(pa.scalar(undoes, pa.string()), n),
        },
        SCHEMA,
    )
    parquet_parts.append(store.atomic, store.tags_folder(), table)
    if len(parquet_parts.list_parts(store.tags_folder())) >= MERGE_FROM:
        with contextlib.suppress(StoreError), lock(store.path, wait_seconds=0):  # skip if the store is locked
            merge(store)
    return action


def _read_log(store: TagStore) -> _Log:
    """Read the log. Rows of one action are adjacent; during a merge a row may appear twice."""
    return _build_log(parquet_parts.read(store.tags_folder(), SCHEMA, remedy=REMEDY))


def _build_log(table: pa.Table) -> _Log:
    images = table["image_id"].combine_chunks().dictionary_encode()
    named = {name: table[name].combine_chunks().dictionary_encode() for name in ("tag", "action", "undoes")}
    columns = {"image": images.indices, **named, "on": table["on"], "time": table["time"]}
    rows: pd.DataFrame = pa.table(columns).to_pandas()
    if not rows["time"].is_monotonic_increasing:
        rows = rows.sort_values("time", kind="stable", ignore_index=True)
    return _Log(images.dictionary, rows)


def _effective_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of actions that were not undone, without the undo rows."""
    return rows[rows["undoes"].isna() & ~rows["action"].isin(rows["undoes"].dropna())]


def _current_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in effect: the newest per image and tag, if it adds the tag."""
    newest = _effective_rows(rows).drop_duplicates(["image", "tag"], keep="last")
    return newest[newest["on"]]


def _find_action(counting: pd.DataFrame, wanted: str | None) -> TagAction | None:
    """The wanted action, by default the latest that can be undone; None if it does not exist or was undone."""
    undoable = counting[counting["action"] != ""]
    if wanted is None and len(undoable):
        wanted = str(undoable["action"].iloc[-1])
    rows = undoable[undoable["action"] == wanted]
    if rows.empty:
        return None
    return TagAction(str(wanted), str(rows["tag"].iloc[0]), bool(rows["on"].iloc[0]), int(rows["image"].nunique()))


def _join_tags(present: pd.DataFrame) -> tuple[NDArray[np.int32], pd.Categorical]:
    """(images, joined tags) from one row per image and tag; loops over tags rather than images for speed."""
    images, places = np.unique(present["image"].to_numpy(np.int32), return_inverse=True)
    codes: NDArray[np.int32] = np.zeros(len(images), np.int32)
    values = [""]
    for name, rows in sorted(present.groupby("tag", observed=True, sort=False).indices.items()):
        indices = places[rows]
        before, inverse = np.unique(codes[indices], return_inverse=True)
        codes[indices] = (len(values) + inverse).astype(np.int32)
        values += [f"{values[old]}{TAG_SEPARATOR}{name}".removeprefix(TAG_SEPARATOR) for old in before]
    joined = pd.Categorical.from_codes(codes, pd.Index(values, dtype="str"))
    return images, joined.remove_unused_categories()


def _is_control(sign: str) -> bool:
    """True for control characters, surrogates, line and paragraph separators, and bidirectional controls."""
    return unicodedata.category(sign) in ("Cc", "Cs", *_LINE_ENDS) or sign in _BIDI_CONTROLS
