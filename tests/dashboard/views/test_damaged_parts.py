"""What the pages show of a store in which a part of the photos' measures or of embeddings is damaged."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dashboard.queries import exports
from dashboard.report import build_report
from seglib.data.photo_measures.measures import VERSION
from seglib.evaluation import comparison, truth_counting
from seglib.fileio import parquet_parts
from seglib.query.filters import Filters
from seglib.store.embeddings import brought, vectors
from seglib.store.photo_measures.rows import SCHEMA
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import PIXELS, draw_truth, fill_store, id_of, make_run_config
from tests.dashboard.views.test_pages import opened, said

A, B = (make_run_config(number).run_name for number in (1, 2))
ABOUT_PHOTOS = ("Overview", "Explore", "Image", "Similar", "Compare", "Evaluate")


@pytest.fixture
def filled(tmp_path, serve) -> Store:
    """Six photos with measures and brought embeddings, two runs of which one has embeddings, and an evaluation."""
    path = tmp_path / "store"
    fill_store(path)
    fill_store(path, code_schema=2)
    store = Store(serve(path))
    ids = [id_of(name) for name in PIXELS]
    parquet_parts.append(store.atomic, store.photo_measures_folder(), measures_of(ids))
    table = vectors.make_table(ids, vectors.to_unit_length(np.eye(6, dtype=np.float32)))
    parquet_parts.append(store.atomic, store.embeddings_folder(store.run(A)), table)
    brought.add_set(store, "clip", ids, np.eye(6, dtype=np.float32), "clip.npz")
    comparison.update_counts(store, [A, B])
    truth_counting.update_counts(store, open_drawn(draw_truth(tmp_path / "masks")), [A])
    return store


def measures_of(ids: list[str]) -> pa.Table:
    rows = [
        {**dict.fromkeys(SCHEMA.names), "image_id": one, "version": VERSION, "gps": "off", "brightness": number / 10}
        for number, one in enumerate(ids)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def cut(store: Store, pattern: str) -> str:
    (part,) = store.path.glob(pattern)
    part.write_bytes(part.read_bytes()[:100])
    return Path(part).name


def plain(app) -> str:
    return said(app).replace("\\", "")


@pytest.mark.parametrize("page", ABOUT_PHOTOS)
def test_without_measures_every_page_shows_the_rest_and_says_why(filled, page):
    part = cut(filled, "photo_measures/part-*")
    query = {"id": [id_of("cats/a.jpg")]} if page == "Image" else {}
    app = opened(page, run=[A], **query)
    assert not app.exception
    assert not app.error
    assert app.title[0].value != "Runs"
    assert plain(app).count(part) == 1
    assert "The measures of the photos are left out" in plain(app)
    assert "here: Verify on Runs" in plain(app)


def test_a_filter_by_a_measure_is_left_out_with_a_sentence(filled):
    cut(filled, "photo_measures/part-*")
    app = opened("Explore", column__brightness=["0.1..0.3"], label=["cats"])
    assert not app.exception
    assert "A filter of the link was left out: There is no column 'brightness'" in plain(app)


def test_exports_and_reports_go_without_measures(filled):
    cut(filled, "photo_measures/part-*")
    assert exports.export_list(filled.path, A, Filters()).count(b"\n") == 7
    assert b"brightness" not in exports.export_rows(filled.path, A, Filters(), "csv")
    assert b"<html" in build_report(filled, [A, B], Filters())


@pytest.mark.parametrize("pattern", ["runs/*/embeddings/part-*", "embeddings/clip/part-*"])
def test_similar_offers_the_other_embeddings_and_names_the_damage(filled, pattern):
    part = cut(filled, pattern)
    app = opened("Similar", run=[A])
    assert not app.exception
    assert not app.error
    assert plain(app).count(part) == 1
    assert "**6 photos on the map**" in said(app)


def test_similar_says_what_is_damaged_if_nothing_else_is_left(filled):
    brought.remove_set(filled, "clip")
    part = cut(filled, "runs/*/embeddings/part-*")
    app = opened("Similar", run=[A])
    assert not app.exception
    assert part in plain(app)
    assert "has no embeddings" not in plain(app)


def test_runs_names_damaged_parts(filled):
    parts = [cut(filled, "photo_measures/part-*"), cut(filled, "runs/*/embeddings/part-*")]
    app = opened("Runs")
    assert not app.exception
    assert all(plain(app).count(part) == 1 for part in parts)
