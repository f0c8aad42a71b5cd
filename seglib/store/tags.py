"""Tags that people put on pictures: an append-only log of actions, and what it says at this moment.

In: a store, image ids, the name of a tag. Out: parts below `<store>/tags/`, and the present tags of each image_id. One
action is one part; an undo is a row that names the action which no longer counts. What is said now is a replay of the
actions that count, so an undo gives back exactly what was there before, whoever else has tagged meanwhile. Nothing is
rewritten but by merging and pruning. Knows nothing of runs, filters or pages.
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

from seglib.errors import StoreError, UsageError
from seglib.fileio import parquet_parts
from seglib.fileio.lock import WriterScratch, lock

SCHEMA = pa.schema(
    [
        *(("image_id", pa.string()), ("tag", pa.string()), ("on", pa.bool_())),
        *(("time", pa.timestamp("us", "UTC")), ("action", pa.string()), ("undoes", pa.string())),
    ]
)
"""`undoes` names the action that no longer counts; all other rows put a tag on a picture or take it off."""

KEY = ("image_id", "tag", "action")
SEPARATOR = "|"
"""Between the tags of one picture in the table and in exports; no tag contains it."""

MAX_LENGTH = 60
MERGE_FROM = 64
"""Parts from which on a new action merges the small ones."""

_IMAGE_ID = "^[0-9a-f]{32}$"
REMEDY = "restore it from a copy, or delete it; the tags in it are lost then"
"""What to do about a damaged part of the log."""
_LINE_ENDS = ("Zl", "Zp")
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Place(Protocol):
    """A store, as far as tags need it."""

    path: Path
    scratch: WriterScratch


@dataclass(frozen=True)
class Action:
    """One tagging: what `undo` takes back as a whole."""

    id: str
    tag: str
    on: bool
    images: int


@dataclass(frozen=True)
class _Log:
    """What was done, as numbers with names to them, since it may be millions of rows."""

    ids: pa.Array
    """string: the pictures, without repetition."""
    rows: pd.DataFrame
    """Oldest first: image (int32, a position in `ids`), tag, on, time, action, undoes."""


def tag_name(text: str) -> str:
    """The name as it is kept: composed (NFC), single spaces. Raises `UsageError` if it cannot be a tag."""
    name = " ".join(part for part in unicodedata.normalize("NFC", text).split(" ") if part)
    if not name or len(name) > MAX_LENGTH:
        raise UsageError(f"A tag has 1 to {MAX_LENGTH} characters, and this one has {len(name)}: choose another name.")
    if SEPARATOR in name or any(_is_control(sign) for sign in name):
        raise UsageError(f"A tag holds no {SEPARATOR!r} and no control character: choose another name.")
    return name


def tag(store: Place, ids: Iterable[str] | pa.Array, name: str) -> Action | None:
    """Put the tag on these pictures; None if all of them have it already."""
    return _act(store, ids, name, on=True)


def untag(store: Place, ids: Iterable[str] | pa.Array, name: str) -> Action | None:
    """Take the tag off these pictures; None if none of them has it."""
    return _act(store, ids, name, on=False)


def undo(store: Place, action: str | None = None) -> Action | None:
    """Take back an action, by default the last one that counts; returns it, or None if there is nothing to undo."""
    log = _log(store)
    found = _action(_counting(log.rows), action)
    if found is not None:
        _append(store, log, [""], "", on=False, undoes=found.id)
    return found


def tags_of(store: Place) -> pd.Series:
    """The tagged pictures: index image_id (unique), values the names in order, joined by `SEPARATOR` (categorical)."""
    log = _log(store)
    present = _present(log.rows)
    images, joined = _combined(present)
    index = pd.Index(pd.array(log.ids.take(pa.array(images)), dtype="str"), name="image_id")
    return pd.Series(joined, index, name="tags")


def column(tagged: pd.Series, image_ids: pd.Series) -> pd.Series:
    """What `tags_of` says of these pictures, row by row (categorical; null where there is no tag)."""
    wanted = pa.array(image_ids, pa.string())
    at = pc.index_in(wanted, value_set=pa.array(tagged.index, pa.string())).fill_null(-1).to_numpy(zero_copy_only=False)
    codes = np.append(tagged.cat.codes.to_numpy(), -1)[at]  # position -1 is the one behind the last
    return pd.Series(pd.Categorical.from_codes(codes, tagged.cat.categories), image_ids.index, name="tags")


def split(tags: object) -> list[str]:
    """The names in one value of the column."""
    return tags.split(SEPARATOR) if isinstance(tags, str) and tags else []


def counts(values: pd.Series) -> dict[str, int]:
    """Tag -> rows of a column that have it, by name; the empty text for the rows without any, if there are such."""
    found: dict[str, int] = {}
    for joined, n in values.value_counts(dropna=False).items():
        for name in split(joined) or [""]:
            found[name] = found.get(name, 0) + int(n)
    return {name: n for name, n in sorted(found.items()) if n}


def version(store: Place) -> str:
    """Changes with each action."""
    return hashlib.sha256("\n".join(parquet_parts.names(folder(store))).encode()).hexdigest()[:16]


# --- care of the log ---------------------------------------------------------------------------------------------


def merge(store: Place) -> None:
    """Small parts become one; every action stays. The caller holds the store's lock."""
    parquet_parts.merge(store.scratch, folder(store), SCHEMA, KEY)


def outdated(store: Place) -> int:
    """Rows that say nothing about the present: undone, replaced by a later action, or a tag taken off."""
    rows = _log(store).rows
    return len(rows) - len(_present(rows))


def compact(store: Place) -> None:
    """Keep only what holds now; the actions before can no longer be undone. The caller holds the store's lock.

    The parts that are read are the parts that are deleted: what others append meanwhile stays.
    """
    old = parquet_parts.names(folder(store))
    log = _ordered(parquet_parts.read_these(folder(store), old, SCHEMA, remedy=REMEDY))
    kept = _present(log.rows)
    if len(kept) == len(log.rows):
        return
    if len(kept):
        ids = log.ids.take(pa.array(kept["image"])).to_pandas()
        kept = kept.assign(image_id=ids.to_numpy(), tag=kept["tag"].astype("str"), action="", undoes=None)
        parquet_parts.append(
            store.scratch, folder(store), pa.Table.from_pandas(kept[SCHEMA.names], SCHEMA, preserve_index=False)
        )
    for name in old:
        (folder(store) / name).unlink(missing_ok=True)


# --- the log -----------------------------------------------------------------------------------------------------


def _act(store: Place, ids: Iterable[str] | pa.Array, name: str, *, on: bool) -> Action | None:
    name, log = tag_name(name), _log(store)
    wanted = pc.unique(ids if isinstance(ids, pa.Array) else pa.array(list(ids), pa.string()))
    if not pc.all(pc.match_substring_regex(wanted, _IMAGE_ID), min_count=0).as_py():
        raise UsageError("A picture is tagged by its image_id, 32 hex digits as in the table.")
    present = _present(log.rows)
    has = pc.is_in(wanted, value_set=log.ids.take(pa.array(present.loc[present["tag"] == name, "image"])))
    changed = wanted.filter(pc.invert(has) if on else has)
    if not len(changed):
        store.scratch.sweep()
        return None
    return Action(_append(store, log, changed, name, on=on), name, on, len(changed))


def _append(
    store: Place, log: _Log, ids: Sequence[str] | pa.Array, name: str, *, on: bool, undoes: str | None = None
) -> str:
    """One action as one part, later than all that is known; returns its id."""
    action, n = secrets.token_hex(8), len(ids)
    time = pd.Timestamp.now("UTC").as_unit("us")
    if len(log.rows):  # a clock that went back must not put this action before the others
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
    parquet_parts.append(store.scratch, folder(store), table)
    if len(parquet_parts.names(folder(store))) >= MERGE_FROM:
        with contextlib.suppress(StoreError), lock(store.path, wait_seconds=0):  # somebody else is at it
            merge(store)
    return action


def _log(store: Place) -> _Log:
    """The rows of one action stand together. A row that is being merged may be there twice."""
    return _ordered(parquet_parts.read(folder(store), SCHEMA, remedy=REMEDY))


def _ordered(table: pa.Table) -> _Log:
    images = table["image_id"].combine_chunks().dictionary_encode()
    named = {name: table[name].combine_chunks().dictionary_encode() for name in ("tag", "action", "undoes")}
    columns = {"image": images.indices, **named, "on": table["on"], "time": table["time"]}
    rows: pd.DataFrame = pa.table(columns).to_pandas()
    if not rows["time"].is_monotonic_increasing:
        rows = rows.sort_values("time", kind="stable", ignore_index=True)
    return _Log(images.dictionary, rows)


def _counting(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that no undo has taken out, without the undos."""
    return rows[rows["undoes"].isna() & ~rows["action"].isin(rows["undoes"].dropna())]


def _present(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that hold now: the newest of each picture and tag, if it puts the tag on."""
    newest = _counting(rows).drop_duplicates(["image", "tag"], keep="last")
    return newest[newest["on"]]


def _action(counting: pd.DataFrame, wanted: str | None) -> Action | None:
    """This action, or the last one that can be undone, if it counts."""
    undoable = counting[counting["action"] != ""]
    if wanted is None and len(undoable):
        wanted = str(undoable["action"].iloc[-1])
    rows = undoable[undoable["action"] == wanted]
    if rows.empty:
        return None
    return Action(str(wanted), str(rows["tag"].iloc[0]), bool(rows["on"].iloc[0]), int(rows["image"].nunique()))


def _combined(present: pd.DataFrame) -> tuple[NDArray[np.int32], pd.Categorical]:
    """(image, joined tags) per picture out of one row per picture and tag: tag by tag, so never picture by picture."""
    images, places = np.unique(present["image"].to_numpy(np.int32), return_inverse=True)
    codes: NDArray[np.int32] = np.zeros(len(images), np.int32)
    values = [""]
    for name, rows in sorted(present.groupby("tag", observed=True, sort=False).indices.items()):
        at = places[rows]
        before, inverse = np.unique(codes[at], return_inverse=True)
        codes[at] = (len(values) + inverse).astype(np.int32)
        values += [f"{values[old]}{SEPARATOR}{name}".removeprefix(SEPARATOR) for old in before]
    joined = pd.Categorical.from_codes(codes, pd.Index(values, dtype="str"))
    return images, joined.remove_unused_categories()


def folder(store: Place) -> Path:
    """Of the log's parts."""
    return store.path / "tags"


def _is_control(sign: str) -> bool:
    """Control characters, surrogates, line ends, and what turns the direction of the text around it."""
    return unicodedata.category(sign) in ("Cc", "Cs", *_LINE_ENDS) or sign in _BIDI_CONTROLS
