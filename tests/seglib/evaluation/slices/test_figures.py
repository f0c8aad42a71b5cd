"""Slices of evaluations and comparisons: the library's calls, against the same figures of each slice alone."""

import pandas as pd
import pytest

import seglib
from seglib.errors import UnknownName, UsageError
from seglib.evaluation import evaluation_tables
from seglib.query.filters import Filters
from tests.seglib.evaluation.conftest import CLASSES


def test_evaluate_by_a_field_measures_what_each_slice_alone_does(store, drawn):
    (found,) = seglib.evaluate(store, drawn, classes=CLASSES, by="label")
    table = found.slices(["miou", "pixel_accuracy", "iou:cat"])
    assert [(row.slice.name, row.images, row.is_small) for row in table.rows] == [("dogs", 1, True), ("cats", 2, True)]
    for row in table.rows:
        alone = dict(found.by_label())[row.slice.name]
        for name in table.measures:
            value, (mean, n) = alone.measures[name].overall(), alone.measures[name].mean()
            figure = row.estimates[name].figure
            assert (figure.value, figure.mean, figure.n) == (pytest.approx(value), pytest.approx(mean), n)
            assert figure.interval is None
    frame = evaluation_tables.all_slices([found])
    assert frame["slice"].tolist() == ["dogs", "cats"]
    assert frame["where"].tolist() == ["label=dogs", "label=cats"]
    assert frame["miou_others"].tolist() == pytest.approx(frame["miou"].tolist()[::-1])
    assert found.select((found.files["label"] == "cats").to_numpy()).slices().rows[0].images == 2


def test_compare_by_a_field_measures_what_each_slice_alone_does(store, fake, tmp_path):
    from dataclasses import replace

    from seglib.data.resize import Resize
    from tests.seglib.evaluation.conftest import OPTIONS

    seglib.run(tmp_path / "photos", store, replace(fake, resize=Resize("32")), options=OPTIONS)
    runs = [run.run for run in store.runs()]
    found = seglib.compare(store, runs, by="label")
    (pair,) = found.slices().values()
    for row in pair.rows:
        alone = seglib.compare(store, runs, filters=Filters.decode(row.slice.where))
        for name in pair.measures:
            value = alone.measures[tuple(runs)][name].overall()
            assert row.estimates[name].figure.value == pytest.approx(value)
    assert found.all_slices()[["a", "b"]].drop_duplicates().to_numpy().tolist() == [runs]


def test_own_columns_and_tags_are_fields(store, drawn):
    from seglib.store import tags

    (run,) = store.runs()
    ids = store.table([run.run]).set_index("path")["image_id"]
    tags.tag(store, [ids["cats/a.png"], ids["cats/b.png"]], "dark")
    (found,) = seglib.evaluate(store, drawn, classes=CLASSES, by="tag")
    assert {row.slice.name: row.images for row in found.slices().rows} == {"dark": 2, "no tag": 1}


def test_what_cannot_be_sliced_is_said_before_anything_is_counted(store, drawn, monkeypatch):
    monkeypatch.setattr("seglib.evaluation.truth_counting.update_counts", lambda *_, **__: pytest.fail("it counted"))
    with pytest.raises(UnknownName, match=r"There is no field 'column\.camera'; known are: .*dataset, split, label"):
        seglib.evaluate(store, drawn, classes=CLASSES, by="column.camera")
    monkeypatch.undo()
    (found,) = seglib.evaluate(store, drawn, classes=CLASSES)
    with pytest.raises(UsageError, match="Name the field to slice by"):
        found.slices()
    assert isinstance(found.images(), pd.DataFrame)
