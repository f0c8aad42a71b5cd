"""Suspects without ground truth: one photo for each reason, and one that is none."""

import numpy as np
import pandas as pd
import pytest

from seglib.evaluation import comparison
from seglib.evaluation.mistakes import suspects
from seglib.evaluation.mistakes.copies import find_copies
from seglib.maintenance import compact, prune, verify
from seglib.query.filters import Filters
from seglib.store.store import Store
from tests.dashboard.conftest import CONFIDENCE, fill_store, id_of

PIXELS = {
    "cats/fine.jpg": {"background": 11, "cat": 3},
    "cats/wrong.jpg": {"background": 33, "dog": 4},
    "cats/mixed.jpg": {"background": 12, "dog": 1, "cat": 15},
    "dogs/cut.jpg": {"dog": 40},
}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Masks of 10 x 10, filled row by row; a second run that sees a dog in `fine`."""
    monkeypatch.setitem(CONFIDENCE, "cats/fine.jpg", 0.95)
    pixels = {name: {key: n for key, n in counts.items() if key} for name, counts in PIXELS.items()}
    first = fill_store(tmp_path / "store", pixels=pixels)
    second = fill_store(
        tmp_path / "store", pixels=pixels | {"cats/fine.jpg": {"background": 11, "dog": 3}}, code_schema=2
    )
    return Store(tmp_path / "store"), first, second


def test_each_photo_is_listed_with_its_reasons_in_words_the_strongest_first(runs):
    store, first, second = runs
    assert suspects.update_oddities(store, first) == ()
    comparison.update_counts(store, [first.run, second.run])
    found = suspects.find_suspects(store, first, [second.run])
    reasons = found.photos.set_index("path")["reason"].to_dict()
    assert found.images == 4
    assert found.notes == ()
    assert set(reasons) == set(PIXELS)
    assert reasons["cats/wrong.jpg"] == "the folder says cats, the model dog"
    assert reasons["cats/fine.jpg"].startswith("disagreement on 100 % of the objects: fake_net")
    assert reasons["cats/fine.jpg"].endswith(", both 95 % sure or more")
    assert reasons["cats/mixed.jpg"] == "dog and cat in one region, 6 % of it dog"
    assert reasons["dogs/cut.jpg"] == "67 % of the outline of dog lies on the frame"  # 16 of 24 pixels
    assert found.photos["score"].is_monotonic_decreasing
    row = found.photos.set_index("path").loc["dogs/cut.jpg"]
    assert row[list(suspects.REASONS)].dropna().index.tolist() == ["frame"]
    assert row["score"] == pytest.approx(2 / 3)


def test_one_run_alone_has_no_disagreement_and_what_was_not_measured_is_said(runs):
    store, first, _ = runs
    found = suspects.find_suspects(store, first, filters=Filters.decode("label=cats"))
    assert found.photos["path"].tolist() == ["cats/wrong.jpg"]
    assert found.notes == ("3 masks have not been looked at yet for what lies in one region or at the frame.",)
    assert np.isnan(found.photos["frame"].iloc[0])
    nothing = suspects.find_suspects(store, first, filters=Filters.decode("label=horses"))
    assert nothing.photos.empty


def test_masks_without_confidence_are_no_sure_models(tmp_path):
    first = fill_store(tmp_path / "store", pixels={"a/x.jpg": {"cat": 30}}, measured=False)
    second = fill_store(tmp_path / "store", pixels={"a/x.jpg": {"dog": 30}}, code_schema=2)
    store = Store(tmp_path / "store")
    comparison.update_counts(store, [first.run, second.run])
    found = suspects.find_suspects(store, first, [second.run])
    assert found.photos.empty
    assert found.notes[0] == f"{first.run} came without confidence, so nothing is said of how sure it is."


def test_masks_are_measured_once_and_measures_go_with_their_photos(runs, monkeypatch):
    store, first, _ = runs
    suspects.update_oddities(store, first)
    version = store.version()
    monkeypatch.setattr(Store, "mask", lambda *_: pytest.fail("a mask was read again"))
    assert suspects.update_oddities(store, first) == ()
    monkeypatch.undo()
    assert store.version() == version
    compact.merge_parts(store)
    (part,) = store.oddities_folder(first.run).glob("part-*.parquet")
    part.write_bytes(part.read_bytes()[:80])
    assert [one.file for one in verify.find_damaged_files(store) if one.kind == "part"] == [
        part.relative_to(store.path).as_posix()
    ]
    part.unlink()
    store.mask_path(first.run, id_of("cats/fine.jpg")).unlink()
    assert suspects.update_oddities(store, first) == (id_of("cats/fine.jpg"),)
    prune.prune(store)
    assert len(suspects.find_suspects(store, first).photos) == 3
    prune.remove_run(store, first.run)
    assert not store.oddities_folder(first.run).exists()


def test_copies_with_other_masks_are_suspects_and_mirrored_ones_are_not(tmp_path):
    pixels = {"a/one.jpg": {"cat": 50}, "a/two.jpg": {"background": 50, "cat": 50}, "b/three.jpg": {"dog": 50}}
    run = fill_store(tmp_path / "store", pixels=pixels)
    store = Store(tmp_path / "store")
    groups = pd.DataFrame({"group": [0, 0, 1], "dataset": "photos", "path": ["a/one.jpg", "a/two.jpg", "gone.jpg"]})
    assert suspects.find_suspects(store, run, copies=groups).photos["copies"].isna().all()
    groups = pd.DataFrame({"group": [0, 0, 0], "dataset": "photos", "path": [*pixels]})
    found = suspects.find_suspects(store, run, copies=groups).photos.set_index("path")
    assert found["copies"].to_dict() == pytest.approx(dict.fromkeys(pixels, 0.5))
    assert found["reason"]["a/one.jpg"] == "looks like b/three.jpg, but 50 % of the mask has another class"


def test_without_embeddings_copies_are_not_known(runs):
    store, first, _ = runs
    assert find_copies(store, store.table([first.run])) is None
