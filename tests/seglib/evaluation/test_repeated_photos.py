"""Photos that two datasets hold count once in comparisons and evaluations, which say so."""

import shutil

import pandas as pd
import pytest

import seglib
from seglib.data.resize import Resize
from seglib.evaluation import comparison
from seglib.query.filters import Filters
from tests.seglib.evaluation.conftest import CLASSES, OPTIONS

SAID = "3 photos are in several datasets (again, photos): each is counted once."


@pytest.fixture
def two(store, tmp_path, fake):
    """The store with a second run, and its two names; `copy()` scans a copy of the photos for both runs."""
    runs = [store.runs()[0].run, seglib.run(tmp_path / "photos", store, fake, resize="48x36", options=OPTIONS).run]

    def copy() -> None:
        shutil.copytree(tmp_path / "photos", tmp_path / "again")
        for resize in (Resize("64x48"), Resize("48x36")):
            report = seglib.run(tmp_path / "again", store, fake, resize=resize, options=OPTIONS)
            assert (report.run in runs, report.computed, report.reused) == (True, 0, 3)

    return store, runs, copy


def test_a_comparison_has_the_same_figures_and_n(two):
    store, runs, copy = two
    before = seglib.compare(store, runs)
    copy()
    assert len(store.table(runs[:1])) == 6
    found = seglib.compare(store, runs)
    pd.testing.assert_frame_equal(found.pairs(), before.pairs())
    assert found.figures() == before.figures()
    assert len(found.files) == 3
    assert found.notes == (SAID, *before.notes)


@pytest.mark.parametrize("name", ["photos", "again"])
def test_a_comparison_of_one_of_the_datasets_is_of_all_its_photos(two, name):
    store, runs, copy = two
    copy()
    comparison.update_counts(store, runs)
    found = comparison.load_comparison(store, runs, Filters.decode(f"dataset={name}"))
    assert (len(found.files), found.notes) == (3, ())


def test_an_evaluation_has_the_same_figures_and_n(two, drawn):
    store, runs, copy = two
    (before,) = seglib.evaluate(store, drawn, runs[:1], format="index", classes=CLASSES)
    copy()
    (found,) = seglib.evaluate(store, drawn, runs[:1], format="index", classes=CLASSES)
    assert found.figures() == before.figures()
    assert len(found.files) == 3
    assert found.notes == (SAID, *before.notes)
    assert {label: len(part.files) for label, part in found.by_label()} == {"cats": 2, "dogs": 1}
