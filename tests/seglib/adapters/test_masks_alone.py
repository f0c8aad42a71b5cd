"""A model that gives masks alone has no confidence: it is missing everywhere, and never 0."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import seglib
from seglib.adapters.lookup import find_model
from seglib.cli import main
from seglib.errors import UsageError
from seglib.inference import predictor
from seglib.inference.config import InferenceConfig
from seglib.masks import png
from seglib.query import statistics
from seglib.query.filters import Filters, select
from tests.seglib.adapters.test_python_objects import CLASSES, OPTIONS, nearest_class

MEASURES = ["confidence", "entropy", "low_margin"]


@pytest.fixture
def spec():
    return find_model(nearest_class, classes=CLASSES, input="uint8")


@pytest.fixture
def run(photos, store, spec) -> str:
    return seglib.run(photos, store, spec, resize="64x48", options=OPTIONS).run


def test_measures_are_null_on_disk_in_tables_and_in_exports(store, run, tmp_path):
    parts = [pq.read_table(file) for file in store.run_folder(run).rglob("*.parquet")]
    assert sum(part.num_rows for part in parts) == 4
    assert all(part[name].null_count == part.num_rows for part in parts for name in MEASURES)
    assert store.table([run])[MEASURES].isna().all(axis=None)
    for kind in ("csv", "parquet"):
        out = ["--format", kind, "--out", str(tmp_path / f"stats.{kind}")]
        assert main.main(["export", "stats", "--store", str(store.path), *out]) == 0
    with (tmp_path / "stats.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row[name] for row in rows for name in MEASURES] == [""] * 12
    assert any(float(row["share:cat"]) > 0 for row in rows)
    table = pq.read_table(tmp_path / "stats.parquet")
    assert all(table[name].null_count == len(rows) for name in MEASURES)


def test_no_filter_of_a_measure_takes_a_photo_whose_measure_is_missing(store, run):
    table = store.table([run])
    for name in MEASURES:
        for ends in ("0..1", "0..0.5", "0.5..1"):
            assert len(select(table, Filters.decode(f"{name}={ends}"))) == 0, (name, ends)
    assert len(select(table, Filters.decode("animal=cat"))) > 0


def test_figures_without_a_measure_are_none_and_the_others_are_computed(store, run):
    figures = statistics.key_figures(store.table([run]))
    assert (figures.photos, figures.mean_confidence) == (4, None)
    assert figures.mean_foreground_share is not None
    assert figures.mean_foreground_share > 0


def test_ground_truth_is_compared_and_calibration_has_no_value(store, run, tmp_path, capsys):
    for row in store.table([run]).itertuples():
        file = tmp_path / "truth" / row.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png.encode_index_png(store.mask(run, row.image_id)))
    (evaluation,) = seglib.evaluate(store, tmp_path / "truth", classes=CLASSES)
    figures = evaluation.figures()
    assert figures["miou"].value == 1
    assert figures["image_ece"].value is None or math.isnan(figures["image_ece"].value)
    assert np.isnan(evaluation.confidence).all()
    names = tmp_path / "names.txt"
    names.write_text("\n".join(CLASSES))
    arguments = ["evaluate", "--truth", tmp_path / "truth", "--classes", names, "--store", store.path, "--json"]
    assert main.main([str(one) for one in arguments]) == 0
    (pair,) = json.loads(capsys.readouterr().out)["pairs"]
    assert pair["image_ece"] is None


def test_maps_of_what_is_missing_are_refused_in_a_sentence(spec):
    config = InferenceConfig(resize=seglib.Resize("32"), device="cpu")
    for draw in (predictor.entropy_map, predictor.confidence_map):
        with pytest.raises(UsageError, match="nearest_class gives masks alone, without a score per class"):
            draw(np.zeros((32, 32, 3), np.uint8), spec, config)


def test_a_prediction_has_no_measures(photos, spec):
    one = next(iter(seglib.predict(photos, spec)))
    assert one.measures is None
    assert one.mask.shape == (one.image.height, one.image.width)


def test_a_mask_of_another_size_is_resized_to_the_grid_by_the_nearest_pixel(photos, store):
    def coarse(images):
        return nearest_class(images)[:, ::4, ::4]

    spec = find_model(coarse, classes=CLASSES, input="uint8")
    report = seglib.run(photos, store, spec, resize="64x48", options=OPTIONS)
    table: pd.DataFrame = store.table([report.run])
    masks = {row.path: store.mask(report.run, row.image_id) for row in table.itertuples()}
    assert {mask.shape for mask in masks.values()} == {(48, 64)}
    assert all((mask == mask[::4, ::4].repeat(4, 0).repeat(4, 1)).all() for mask in masks.values())
    assert replace(spec, resize=seglib.Resize("32")).adapter == spec.adapter
