"""A damaged part of embeddings or of the photos' measures is named, and keeps nothing from working but itself."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import seglib
from seglib.cli import main
from seglib.errors import DamagedFileError, StoreError
from seglib.evaluation.slices import figures
from seglib.maintenance import prune
from seglib.maintenance.status import read_status
from seglib.query import export
from seglib.query.expressions.where import read_where
from seglib.query.fields import uses_columns
from seglib.similarity.embeddings import find_damaged, find_source, list_sources, read_embeddings
from seglib.store.embeddings import brought
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.store import Store
from tests.seglib.small_runs import run

EMBEDDINGS, MEASURES = "runs/*/embeddings/part-*", "photo_measures/part-*"

DAMAGES = {
    "cut": lambda data: data[:100],
    "empty": lambda _: b"",
    "zeroed": lambda data: bytes(len(data)),
    "text": lambda _: b"not Parquet",
}


@pytest.fixture
def ran(photos, store, fake) -> Store:
    """A store with a run over four photos, and embeddings that were brought along."""
    run(photos, store, fake)
    ids = sorted(store.table()["image_id"])
    brought.add_set(store, "clip", ids, np.eye(4, dtype=np.float32), "clip.npz")
    return store


def damage(store: Store, pattern: str, how: str = "cut") -> str:
    (part,) = store.path.glob(pattern)
    part.write_bytes(DAMAGES[how](part.read_bytes()))
    return part.name


def columns_of(table: pd.DataFrame) -> set[str]:
    return {name for name in table if name.startswith("column:")}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_part_of_embeddings_leaves_the_other_sources(ran, how):
    name = ran.run().run
    part = damage(ran, EMBEDDINGS, how)
    assert [source.name for source in list_sources(ran)] == ["clip"]
    ((damaged, sentence),) = find_damaged(ran).items()
    assert damaged == name
    assert part in sentence
    assert sentence.endswith("run again with `verify`, which computes its rows again.")
    assert read_embeddings(ran, "clip").vectors.shape == (4, 4)
    for source in (name, None):  # without a name the run is meant, and never another source in its place
        with pytest.raises(DamagedFileError, match=part):
            find_source(ran, source)


def test_a_damaged_part_of_a_set_leaves_those_of_the_run(ran):
    part = damage(ran, "embeddings/clip/part-*")
    assert [source.name for source in list_sources(ran)] == [ran.run().run]
    assert part in find_damaged(ran)["clip"]
    assert find_damaged(ran)["clip"].endswith("remove these embeddings, and add their file again.")


@pytest.mark.parametrize("pattern", [EMBEDDINGS, MEASURES])
def test_status_counts_what_is_intact_and_prune_removes_nothing(ran, photos, pattern):
    (photos / "cats" / "a.png").unlink()
    part = damage(ran, pattern)
    status = read_status(ran)
    (of_run,) = status.runs
    expected = (0, 4) if pattern == EMBEDDINGS else (4, 0)
    assert (of_run.rows, of_run.embeddings, status.measures.photos) == (4, *expected)
    before = sorted(ran.path.rglob("*"))
    with pytest.raises(StoreError, match=part):
        prune.prune(ran)
    assert sorted(ran.path.rglob("*")) == before


@pytest.mark.parametrize("how", DAMAGES)
def test_without_measures_everything_else_can_be_had(ran, how):
    whole = ran.table()
    part = damage(ran, MEASURES, how)
    assert list(photo_measures.find_damaged(ran)) == [part]
    with pytest.raises(DamagedFileError, match="measure the photos again"):
        ran.table()
    others = whole.drop(columns=columns_of(whole))
    pd.testing.assert_frame_equal(ran.table(with_measures=False), others)
    frame = export.stats_frame(ran, filters=read_where("label = cats"))
    assert frame["path"].tolist() == ["cats/a.png", "cats/b.png"]
    assert columns_of(frame) == set()
    name = ran.run().run
    assert figures.read_field(ran, name, "label", whole).cut().left_out == 0
    for needed in (
        lambda: export.stats_frame(ran, filters=read_where("brightness > 0.1")),
        lambda: export.stats_frame(ran, filters=read_where("column.brightness=0.1..")),
        lambda: figures.read_field(ran, name, "column.brightness", whole),
    ):
        with pytest.raises(DamagedFileError, match=part):
            needed()


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("label=cats&share.cat=0.1..1&tag=x", False),
        ("share.cat > 10% and not tag = x or blobs.dog = 2 or present = cat", False),
        ("column.brightness=..0.2", True),
        ("label = cats or not brightness > 0.2", True),
        ("column.brightness > 0.2", True),
    ],
)
def test_which_filters_need_columns(text, needed):
    assert uses_columns(read_where(text)) is needed


def test_the_commands_name_the_damage_and_go_on(ran, tmp_path, capsys):
    parts = [damage(ran, EMBEDDINGS), damage(ran, MEASURES)]

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main.main([*arguments, "--store", str(ran.path)])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    code, out, _ = call("status")
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("damaged: ")] == [
        line for part in reversed(parts) for line in out.splitlines() if part in line
    ]
    assert "run again with --verify" in out
    code, out, err = call("status", "--json")
    assert code == 0
    assert json.loads(out)["runs"][0]["embeddings"] == 0
    assert all(part in err for part in parts)
    code, out, err = call("embeddings", "list")
    assert (code, out) == (0, "clip (added): 4 photos, 4 dimensions, global\n")
    assert parts[0] in err
    code, out, err = call("export", "list", "--where", "label = cats", "--out", str(tmp_path / "list.csv"))
    assert code == 0
    assert "The measures of the photos are left out" in err
    assert call("tag", "seen", "--where", "label=cats")[0] == 0
    assert call("tag", "seen", "--where", "column.brightness=0..1")[0] == 1
    assert call("similar", "cats/a.png", "--source", "clip")[0] == 0


def test_a_run_with_verify_mends_both(ran, photos, fake):
    expected = ran.table()
    damage(ran, EMBEDDINGS)
    damage(ran, MEASURES)
    seglib.run(photos, ran, fake, precision="fp32", options=seglib.RunOptions(workers=0, verify=True))
    assert (find_damaged(ran), photo_measures.find_damaged(ran)) == ({}, {})
    pd.testing.assert_frame_equal(ran.table(), expected)
    assert Path(ran.path / "embeddings" / "clip").is_dir()
