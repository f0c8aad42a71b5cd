"""Hostile stores: files that were written by somebody who wants others to be read or deleted.

In: a store with two runs, and beside it what nobody may touch. Out: after each try all commands have ended in a table
or in one sentence, and what lies beside the store is as it was, bit by bit.
"""

import contextlib
import hashlib
import io
import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from seglib.cli import main
from seglib.evaluation import comparison
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store
from tests.reliability.harness.ledger import Campaign, CampaignResult

Harm = Callable[[Path, Path, random.Random], None]
"""What is done to the store, which lies beside the second folder."""

COMMANDS = (
    ("status",), ("prune",), ("export", "stats", "--out", "OUT/a.csv"), ("export", "masks", "--out", "OUT/masks"),
    ("export", "overlays", "--out", "OUT/overlays"), ("compare", "--runs", "RUNS"), ("prune", "--run", "../../outside"),
    ("tag", "seen", "--where", "label=cats"), ("prune", "--run", "RUN"),
)  # fmt: skip


def harmed(tries: int, seed: int, folder: Path) -> CampaignResult:
    """Every command on each of them."""
    fill_store(folder / "sound", real=True)
    fill_store(folder / "sound", real=True, code_schema=2)
    comparison.update_counts(Store(folder / "sound"), [run.run for run in Store(folder / "sound").runs()])
    shutil.move(folder / "sound", folder / "kept")
    ends: Counter[str] = Counter()
    chance = random.Random(seed)
    for number in range(tries):
        outside = folder / "outside"
        _furnish(outside)
        shutil.copytree(folder / "kept", folder / "store", symlinks=True)
        HARMS[number % len(HARMS)](folder / "store", outside, chance)
        before = _hash_files(outside)
        for command in COMMANDS:
            ends[_ran(folder, command, f"{HARMS[number % len(HARMS)].__name__} {command[:2]}")] += 1
            assert _hash_files(outside) == before, (
                f"{HARMS[number % len(HARMS)].__name__}: {command} changed what is outside"
            )
        for path in (folder / "out").rglob("*"):
            assert path.is_dir() or b"SECRET" not in path.read_bytes(), f"{path.name} holds what is outside"
        for name in ("store", "outside", "out"):
            shutil.rmtree(folder / name, ignore_errors=True)
    told = ", ".join(f"{count} {what}" for what, count in ends.items())
    return CampaignResult(tries, f"{told}; nothing outside was read, written or deleted")


def _ran(folder: Path, command: tuple[str, ...], what: str) -> str:
    runs = sorted(path.name for path in (folder / "store" / "runs").glob("*"))[:2]
    words: list[str] = []
    for word in command:
        words += runs if word == "RUNS" else runs[:1] if word == "RUN" else [word.replace("OUT", str(folder / "out"))]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main.main([*words, "--store", str(folder / "store")])
        except SystemExit as end:
            code = int(end.code or 0)
        except Exception as error:
            raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    if code:
        lines = [line for line in err.getvalue().splitlines() if line.startswith(("seglib: ", "python -m seglib"))]
        assert lines, f"{what}: no sentence: {err.getvalue()}"
        return "refused with one sentence"
    return "done"


def _furnish(outside: Path) -> None:
    """What a store's folders hold, under names that its care would delete."""
    for name in ("runs/x/run.json", "masks/ab/abcdef.png", "thumbs/ab/abcdef.jpg", "ab/abcdef.png",
                 "stats/part-1.parquet", "part-1.parquet", "run.json", "truth.json", "secret.png",
                 "files/part-1.parquet"):  # fmt: skip
        file = outside / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"SECRET")


def _hash_files(outside: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(outside.rglob("*")) if p.is_file()}


# --- harms -------------------------------------------------------------------------------------------------------


def _first(store: Path, pattern: str) -> Path:
    return sorted(store.glob(pattern))[0]


def _changed_json(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def a_run_called_otherwise(store: Path, outside: Path, chance: random.Random) -> None:
    name = chance.choice(("../../outside/runs/x", str(outside / "runs" / "x"), "..", "", "a/b", "\0"))
    _changed_json(_first(store, "runs/*/run.json"), run=name)


def wrong_types_in_a_run(store: Path, _outside: Path, chance: random.Random) -> None:
    wrong: tuple[object, ...] = (None, 3, "text", [], {}, [[]], {"a": []}, 1e400, True)
    names = (
        "classes",
        "invocations",
        "recipe",
        "versions",
        "created",
        "resize",
        "model",
        "run",
        "parameters",
        "schema",
    )
    _changed_json(_first(store, "runs/*/run.json"), **{chance.choice(names): chance.choice(wrong)})


def a_data_set_elsewhere(store: Path, outside: Path, chance: random.Random) -> None:
    root = chance.choice((str(outside), "/etc", "/", "..", "", 7, None, ["/etc"], "\0"))
    _changed_json(_first(store, "datasets/*/dataset.json"), root=root)


def a_data_set_of_nonsense(store: Path, _outside: Path, chance: random.Random) -> None:
    text = chance.choice(("", "[]", "null", "{}", '{"name": 3, "root": "/"}', '{"name": "a"}', "[" * 100_000, "\xff"))
    _first(store, "datasets/*/dataset.json").write_text(text)


def paths_that_climb(store: Path, outside: Path, chance: random.Random) -> None:
    part = _first(store, "datasets/*/files/*.parquet")
    table = pq.read_table(part)
    path = chance.choice(("../outside/secret.png", str(outside / "secret.png"), "../../../etc/passwd", "a\0b"))
    names = [path, *table["path"].to_pylist()[1:]]
    pq.write_table(table.set_column(table.column_names.index("path"), "path", pa.array(names)), part)


def ids_that_climb(store: Path, _outside: Path, chance: random.Random) -> None:
    bad = chance.choice(("../../../outside/secret", "../" * 9 + "etc/passwd", "ab/../../x", "", "\0", "A" * 32))
    for part in (*store.glob("datasets/*/files/*.parquet"), *store.glob("runs/*/stats/*.parquet")):
        table = pq.read_table(part)
        ids = [bad, *table["image_id"].to_pylist()[1:]]
        pq.write_table(table.set_column(table.column_names.index("image_id"), "image_id", pa.array(ids)), part)


def masks_that_are_links(store: Path, outside: Path, _chance: random.Random) -> None:
    for mask in list(store.glob("runs/*/masks/*/*.png"))[::2]:
        mask.unlink()
        mask.symlink_to(outside / "secret.png")


def folders_that_are_links(store: Path, outside: Path, chance: random.Random) -> None:
    pattern = chance.choice(
        ("runs/*/masks", "runs/*/masks/*", "thumbs", "thumbs/*", "runs/*/stats", "runs/*", "compare/*", "compare",
         "runs", "datasets/*/files", "tags", "cache", "tmp", "int8", "truths", "evaluate", "cache/photos")
    )  # fmt: skip
    found = sorted(store.glob(pattern))
    place = found[0] if found else store / pattern
    if place.is_dir():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(outside)


def parts_of_other_columns(store: Path, _outside: Path, chance: random.Random) -> None:
    part = _first(store, chance.choice(("runs/*/stats/*.parquet", "datasets/*/files/*.parquet", "compare/*/*.parquet")))
    table = pq.read_table(part)
    column = chance.choice(table.column_names)
    at = table.column_names.index(column)
    how = chance.choice(("text", "gone", "renamed", "lists", "nulls", "more"))
    if how == "gone":
        table = table.remove_column(at)
    elif how == "renamed":
        table = table.rename_columns([f"{name}x" if name == column else name for name in table.column_names])
    elif how == "more":
        table = table.append_column("path" if "path" not in table.column_names else "more", pa.array([1] * len(table)))
    else:
        values = {"text": ["<b>"], "lists": [[1]], "nulls": [None]}[how]
        table = table.set_column(at, column, pa.array(values * len(table)))
    pq.write_table(table, part)


def nonsense_in_a_part(store: Path, _outside: Path, chance: random.Random) -> None:
    part = _first(store, chance.choice(("runs/*/stats/*.parquet", "datasets/*/files/*.parquet", "compare/*/*.parquet")))
    data = bytearray(part.read_bytes())
    for _ in range(chance.randint(1, 30)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    part.write_bytes(data)


HARMS: tuple[Harm, ...] = (
    a_run_called_otherwise,
    wrong_types_in_a_run,
    a_data_set_elsewhere,
    a_data_set_of_nonsense,
    paths_that_climb,
    ids_that_climb,
    masks_that_are_links,
    folders_that_are_links,
    parts_of_other_columns,
    nonsense_in_a_part,
)

SECTION = "Hostile stores"
CAMPAIGNS = (Campaign(SECTION, "store files written to reach outside the store", harmed, 100, 10),)
