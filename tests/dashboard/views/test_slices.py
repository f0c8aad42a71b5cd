"""The slices of Compare and Evaluate, through Streamlit's own test driver."""

import re

import numpy as np
import pytest

from dashboard.queries import photos as photo_queries
from dashboard.views.multi_run import slices
from seglib.evaluation import comparison, truth_counting
from seglib.query.fields import Field, Kind
from seglib.query.filters import Filters
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import draw_truth, fill_store, make_run_config
from tests.dashboard.views.compare.test_compare import components, plain
from tests.dashboard.views.test_pages import asked, html, opened

A, B = (make_run_config(schema).run_name for schema in (1, 2))

SEEN = {f"{folder}/{i:02}.jpg": {"cat": 40 + i} for folder in ("cats", "dogs", "others") for i in range(12)}
DRAWN = {
    path: {"cat": 90 - counts["cat"] if path.startswith("dogs") else counts["cat"] + 1} for path, counts in SEEN.items()
}


@pytest.fixture
def judged(tmp_path, serve) -> Store:
    """36 photos in three folders, two runs; the first is wrong in the folder dogs."""
    path = tmp_path / "store"
    fill_store(path, pixels=SEEN)
    fill_store(path, code_schema=2, pixels=DRAWN)
    store = Store(serve(path))
    truth_counting.update_counts(store, open_drawn(draw_truth(tmp_path / "masks", DRAWN)), [A])
    comparison.update_counts(store, [A, B])
    return store


@pytest.fixture
def with_columns(monkeypatch):
    """Own columns of the table: two cameras in turn, and a number."""
    read = photo_queries._table.__wrapped__

    def table(source):
        rows = read(source)
        return rows.assign(
            **{
                "column:camera": np.where(np.arange(len(rows)) % 2, "Canon", "<b>Nikon</b>"),
                "column:blur": np.arange(len(rows)) / 8,
            }
        ).astype({"column:camera": "category"})

    monkeypatch.setattr(photo_queries, "_table", table)


def chart(app) -> dict:
    import json

    return next(
        json.loads(one["figure"]) for one in components(app) if "Dots:" in one.get("alt", "") and " by " in one["alt"]
    )


def test_no_slices_without_a_field(judged):
    app = opened("Evaluate")
    assert not app.exception
    options = app.selectbox(key="w:by").options
    assert options[:4] == ["no field", "Data set", "Split", "Folder"]
    assert "Path" not in options
    assert "Tag" not in options
    assert "as many random photos" not in html(app)


def test_the_worst_folder_is_named_and_a_click_shows_its_photos(judged):
    app = opened("Evaluate", run=[A], by=["label"])
    assert not app.exception
    text = plain(app)
    assert "Worst for folder dogs: mIoU" in text
    assert "3 of 3 slices differ beyond chance." in text
    figure = chart(app)
    marks = {one["name"]: one["customdata"] for one in figure["data"] if one["type"] == "scatter"}
    assert [mark[0] for mark in marks["lower, beyond chance"]] == ["label=dogs"]
    assert asked(app, "by") == ["label"]


def test_a_field_is_chosen_and_kept_in_the_url(judged):
    app = opened("Compare", run=[A])
    app.selectbox(key="w:by").set_value("label").run()
    assert not app.exception
    assert asked(app, "by") == ["label"]
    assert "Least agreement for folder dogs: pixel agreement" in plain(app)
    app.selectbox(key="w:by").set_value("").run()
    assert "by" not in app.query_params


def test_its_own_filter_leaves_the_slices_and_others_do_not(judged):
    whole = opened("Evaluate", run=[A], by=["label"])
    own = opened("Evaluate", run=[A], by=["label"], label=["dogs"])
    assert re.findall("Worst for.*?chance", plain(own)) == re.findall("Worst for.*?chance", plain(whole)) != []
    faded = [opacity for one in chart(own)["data"] if one["type"] == "scatter" for opacity in one["marker"]["opacity"]]
    assert sorted(faded) == [0.28, 0.28, 1]
    other = opened("Evaluate", run=[A], by=["label"], **{"path": ["1"]})
    assert not other.exception
    assert "None of 3 slices by folder has 10 photos: too few to compare." in plain(other)


def test_a_single_slice_and_none_are_sentences(judged):
    assert "All 36 photos have the same data set, photos: there is nothing to compare." in plain(
        opened("Evaluate", run=[A], by=["dataset"])
    )
    assert "None of 36 photos has a split: there are no slices to compare." in plain(
        opened("Evaluate", run=[A], by=["split"])
    )
    app = opened("Evaluate", run=[A], by=["column.gone"])
    assert not app.exception
    assert "The link names the field column.gone, which these photos do not have" in plain(app)


def test_own_columns_make_slices(judged, with_columns):
    app = opened("Evaluate", run=[A], by=["column.camera"])
    assert not app.exception
    assert "No difference beyond chance between 2 slices by camera" in plain(app)
    assert "<b>Nikon" not in html(app)
    app = opened("Compare", run=[A], by=["column.blur"])
    assert not app.exception
    assert "None of 4 slices by blur has 10 photos: too few to compare." in plain(app)
    assert ">3.3 to 4.38<" in html(app).replace("\xa0", " ")


@pytest.mark.parametrize(
    ("kind", "before", "mark", "after"),
    [
        (Kind.CATEGORY, "", "column.x=a", "column.x=a"),
        (Kind.CATEGORY, "column.x=a", "column.x=a", ""),
        (Kind.NUMBER, "label=cats", "column.x=0..1", "label=cats&column.x=0..1"),
        (Kind.NUMBER, "label=cats&column.x=0..1", "column.x=1..2", "label=cats&column.x=1..2"),
        (Kind.NUMBER, "label=cats&column.x=0..1", "column.x=0..1", "label=cats"),
        (Kind.NUMBER, "column.x=0..1", "", "column.x=0..1"),
        (Kind.NUMBER, "column.x=0..1", "label=cats", "column.x=0..1"),
        (Kind.NUMBER, "column.x=0..1", "%%%", "column.x=0..1"),
        (Kind.NUMBER, "column.x=0..1", 7, "column.x=0..1"),
        (Kind.DATE, "", "column.x=2024-03-01..2024-03-31", "column.x=2024-03-01..2024-03-31"),
    ],
)
def test_a_click_sets_the_filter_of_the_slice_or_takes_it_away(kind, before, mark, after, monkeypatch):
    from dashboard.state.view import View

    filters = [Filters.decode(before)]
    monkeypatch.setattr(slices.session, "view", lambda: View(filters=filters[0]))
    monkeypatch.setattr(slices.session, "set_filters", lambda now: filters.__setitem__(0, now))
    slices._apply(Field("column.x", "x", kind), [mark])
    assert filters[0] == Filters.decode(after)


def test_the_table_is_the_librarys(judged):
    """The files of the menu hold what the pages say."""
    import io

    import pandas as pd

    from dashboard.queries import comparison as comparison_queries
    from dashboard.queries import evaluation as evaluation_queries
    from dashboard.queries.source import RunSource
    from seglib.store import ground_truth

    source = RunSource(str(judged.path), "1-1", A)
    (truth,) = ground_truth.list_truths(judged)
    shown = evaluation_queries.evaluation_query(source, truth, [A], Filters())
    table = pd.read_csv(io.BytesIO(evaluation_queries.export_slices(shown, source, "label", "csv")))
    assert table["slice"].tolist() == ["dogs", "cats", "others"]
    assert table["images"].tolist() == [12] * 3
    assert table["miou_beyond_chance"].tolist() == ["below", "above", "above"]
    compared = comparison_queries.comparison_query(source, [A, B], Filters())
    table = pd.read_parquet(io.BytesIO(comparison_queries.export_slices(compared, source, "label", "parquet")))
    assert table[["a", "b", "slice"]].iloc[0].tolist() == [A, B, "dogs"]
