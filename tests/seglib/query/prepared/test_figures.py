"""The figures, charts, orders and rows of a prepared table equal those of pandas."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal, assert_series_equal

from seglib.query import columns, histograms, statistics
from seglib.query.fields import field_values, list_fields
from seglib.query.filters import Filters, select
from seglib.query.prepared.figures import PreparedFigures
from seglib.query.repeats import describe_repeats, first_datasets
from seglib.query.statistics import sort_positions
from tests.seglib.query.prepared.frames import CLASSES, prepare_frame, random_frame

pytest.importorskip("duckdb", reason="the extra `large` is not installed")

QUERIES = [
    "",
    "label=cats&label=",
    "share.cat=0.1..1",
    "tag=good",
    "dataset=b",
    "path=nothing",
    "where=not%20label=cats",
]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory):
    return prepare_frame(tmp_path_factory.mktemp("prepared") / "store", random_frame(4))


@pytest.fixture(params=QUERIES)
def selected(both, request):
    """(the rows of pandas that figures count, the figures of the prepared table)."""
    frame, table = both
    filters = Filters.decode(request.param)
    rows = select(frame, filters)
    return rows[first_datasets(rows)], PreparedFigures(table, filters)


def assert_equal(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert_frame_equal(
        found,
        expected,
        rtol=1e-9,
        atol=1e-12,
        check_dtype=False,
        check_index_type=False,
        check_column_type=False,
        check_names=False,
    )


def test_key_figures(selected):
    rows, figures = selected
    expected = statistics.key_figures(rows)
    found = figures.key_figures()
    assert (found.photos, found.agreeing, found.claiming) == (expected.photos, expected.agreeing, expected.claiming)
    assert found.mean_confidence == (expected.mean_confidence and pytest.approx(expected.mean_confidence, rel=1e-9))
    assert found.mean_foreground_share == (
        expected.mean_foreground_share and pytest.approx(expected.mean_foreground_share, rel=1e-9)
    )


def test_classes(selected):
    rows, figures = selected
    assert_equal(figures.class_distribution(), statistics.class_distribution(rows))
    assert_equal(figures.co_occurrence(), statistics.co_occurrence(rows))
    assert_equal(figures.share_by_label(), histograms.share_by_label(rows))
    for name in CLASSES:
        assert_equal(figures.share_spread_by_label(name), histograms.share_spread_by_label(rows, name))
        assert_equal(figures.blob_counts([name]), histograms.blob_counts(rows, [name]))


def test_labels(selected):
    rows, figures = selected
    assert_equal(figures.folder_vs_content(), statistics.folder_vs_content(rows))
    assert figures.classes_of_labels() == statistics.classes_of_labels(rows)
    assert figures.count_contradictions() == (columns.label_agreement(rows) == "contradicts").sum()


@pytest.mark.parametrize("bins", [10, 20, 50])
def test_bins(selected, bins):
    rows, figures = selected
    for field in ("confidence", "low_margin"):
        assert_equal(figures.histogram(field, bins), histograms.histogram(rows[field], bins))
    for name in CLASSES:
        share = columns.class_share(rows, name)
        assert_equal(figures.histogram(f"share.{name}", bins), histograms.histogram(share, bins))
    assert_equal(
        figures.density("confidence", "share.dog", (50, bins)),
        histograms.density(rows["confidence"], columns.class_share(rows, "dog"), (50, bins)),
    )
    assert_equal(figures.image_sizes(bins), histograms.image_sizes(rows, bins))


def sorts(frame: pd.DataFrame) -> list[tuple[str, str]]:
    fields = [field.name for field in list_fields(frame) if field.name.startswith("column.")]
    plain = ["confidence", "entropy", "low_margin", "width", "label", "dominant", *fields]
    return [("path", ""), *((sort, "") for sort in plain), ("share", "dog"), ("blobs", "dog")]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("sign", ["", "-"])
def test_every_order(both, query, sign):
    frame, table = both
    filters = Filters.decode(query)
    passes = frame.index.isin(select(frame, filters).index)
    for column, name in sorts(frame):
        if column == "path":
            order = np.arange(len(frame))
        else:
            order = sort_positions(frame, column, descending=sign == "-", name=name)
        expected = order[passes[order]]
        sort = "path" if column == "path" else sign + column
        assert table.sorted_rows(filters, sort, name).tolist() == expected.tolist(), sort
        unique = expected[~frame["image_id"].iloc[expected].duplicated().to_numpy()]
        assert table.unique_rows(filters, sort, name).tolist() == unique.tolist()
        assert table.first_unique_rows(filters, sort, name, 7).tolist() == unique[:7].tolist()


def test_rows_are_those_of_the_table(both):
    frame, table = both
    for rows in (np.array([5, 290, 100, 5]), np.zeros(0, np.int32), np.arange(len(frame))):
        expected = frame.iloc[rows].reset_index(drop=True)
        found = table.rows_at(rows)[expected.columns]
        for name in expected:
            if expected[name].dtype == np.float32:  # stored as filters and figures see it
                expected[name] = columns.to_float64(expected[name])
                found[name] = columns.to_float64(found[name])
            elif name == "tags":
                expected[name], found[name] = expected[name].astype("str"), found[name].astype("str")
        assert_frame_equal(found, expected, check_exact=False, rtol=1e-12)


def test_counts_of_names_and_tags(both):
    frame, table = both
    filters = Filters.decode("width=100..")
    rows = select(frame, filters)
    for field in ("split", "dataset", "content", "agreement", "column.camera"):
        values = columns.label_agreement(rows) if field == "agreement" else rows[field.replace("column.", "column:")]
        expected = {
            str(name): int(n) for name, n in values.astype("object").where(values.notna(), "").value_counts().items()
        }
        assert {name: n for name, n in table.count_names(filters, field).items() if n} == expected
    assert table.count_tags(filters) == columns.count_tags(rows["tags"])
    assert table.count_present() == {name: int(n) for name in CLASSES if (n := columns.is_present(frame, name).sum())}
    assert table.value_range("width") == (frame["width"].min(), frame["width"].max())


@pytest.mark.parametrize("query", QUERIES)
def test_photos_of_several_datasets_count_once_and_are_named(both, query):
    frame, table = both
    filters = Filters.decode(query)
    rows = select(frame, filters)
    counted = first_datasets(rows)
    assert (table.count(filters), table.count_counted(filters)) == (len(rows), counted.sum())
    assert describe_repeats(*table.left_out(filters)) == describe_repeats(rows[["dataset", "image_id"]], counted)


def test_a_photo_is_found_by_its_content(both):
    frame, table = both
    for image_id in frame["image_id"].iloc[[0, 7, 8]]:
        assert table.rows_of_image(image_id).tolist() == np.flatnonzero(frame["image_id"] == image_id).tolist()
    assert table.rows_of_image("nothing").tolist() == []


def test_values_of_a_field_for_a_chart(both):
    frame, table = both
    filters = Filters.decode("width=100..")
    rows = select(frame, filters)
    rows = rows[first_datasets(rows)]
    for field in list_fields(frame):
        if field.name != "tag":
            expected = field_values(rows, field.name)
            if expected.dtype == np.float32:
                expected = pd.Series(columns.to_float64(expected))
            found = table.values(filters, field.name)
            assert_series_equal(
                found, expected.reset_index(drop=True), check_names=False, check_dtype=expected.dtype != np.float64
            )


def test_rows_of_given_images(both):
    frame, table = both
    some = frame["image_id"].iloc[[200, 3, 3]]
    expected = np.flatnonzero(frame["image_id"].isin(some))
    assert table.rows_of_images(pa.array(some)).tolist() == expected.tolist()
    assert table.rows_of_images(pa.array([], pa.string())).tolist() == []
    filters = Filters.decode("width=100..")
    assert table.image_ids(filters).to_pylist() == select(frame, filters)["image_id"].tolist()
