"""Batches by shape: what is seen at once, how much waits, that masks stay those of each photo alone."""

from dataclasses import replace

import pandas as pd
import pytest

from seglib.compute import batching
from seglib.data.image import compute_image_id, decode
from seglib.data.resize import Resize
from seglib.inference import config, predictor
from seglib.pipeline.session import RunOptions
from seglib.store.store import Store
from tests.seglib.small_runs import run


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_and_workers_change_nothing(photos, tmp_path, fake, batch_size, workers):
    expected, found = Store.create(tmp_path / "expected"), Store.create(tmp_path / "found")
    run(photos, expected, fake, resize=Resize("short:40"))
    run(photos, found, fake, RunOptions(workers=workers, batch_size=batch_size), resize=Resize("short:40"))
    pd.testing.assert_frame_equal(found.table(), expected.table(), rtol=0, atol=1e-5)
    name = expected.runs()[0].run
    for found_id in expected.table()["image_id"]:
        assert found.mask_path(name, found_id).read_bytes() == expected.mask_path(name, found_id).read_bytes()


def test_photos_of_different_shape_are_batched_by_shape(paint, store, fake, tmp_path, monkeypatch):
    for index in range(6):
        paint(f"{index}.png", size_wh=(64, 48) if index % 2 else (48, 64), cat=(0, 0, 1 + index, 1))
    shapes = []
    real = predictor.predict_batch
    monkeypatch.setattr(
        predictor, "predict_batch", lambda images, *rest: shapes.append(images.shape) or real(images, *rest)
    )
    run(tmp_path / "photos", store, fake, RunOptions(workers=0, batch_size=3), resize=Resize("native"))
    assert sorted(shapes) == [(3, 48, 64, 3), (3, 64, 48, 3)]


def test_a_net_with_a_side_of_its_own_sees_photos_in_their_aspect_whatever_the_grid(
    paint, store, fake, tmp_path, monkeypatch
):
    """Batches are of one shape for the net and of one grid; masks are those of the photo alone."""
    for index in range(3):
        paint(f"wide{index}.png", size_wh=(96, 48), cat=(0, 0, 16 + 16 * index, 48))
        paint(f"large{index}.png", size_wh=(192, 96), dog=(0, 0, 32 + 32 * index, 96))
        paint(f"tall{index}.png", size_wh=(48, 96), dog=(0, 0, 48, 16 + 16 * index))
    spec, asked, real = replace(fake, net_side=96), [], predictor.predict_batch

    def watched(images, spec, settings, grid_wh, *features):
        asked.append((*images.shape[:3], *grid_wh))
        return real(images, spec, settings, grid_wh, *features)

    monkeypatch.setattr(predictor, "predict_batch", watched)
    options = RunOptions(workers=0, batch_size=3)
    for rule, expected in {
        "32": [(3, 96, 192, 32, 32), (3, 96, 192, 32, 32), (3, 192, 96, 32, 32)],
        "native": [(3, 96, 192, 96, 48), (3, 96, 192, 192, 96), (3, 192, 96, 48, 96)],
    }.items():
        asked.clear()
        report = run(tmp_path / "photos", store, spec, options, resize=Resize(rule))
        assert sorted(asked) == sorted(expected)
        settings = config.InferenceConfig(resize=Resize(rule))
        table = store.table([report.run]).set_index("path")
        assert (table["px:cat"] / (table["grid_width"] * table["grid_height"]))["wide1.png"] == pytest.approx(
            1 / 3, abs=0.02
        )
        for path in table.index:
            data = (tmp_path / "photos" / path).read_bytes()
            image, grid_wh = predictor.prepare_image(decode(data), spec, settings)
            alone = real(image[None], spec, settings, grid_wh)[0][0]
            assert (store.mask(report.run, compute_image_id(data)) == alone).all()


def test_many_shapes_do_not_wait_for_ever(paint, store, fake, tmp_path, monkeypatch):
    for index in range(20):
        paint(f"{index:02}.png", size_wh=(40 + index, 40))
    waiting = []
    real = batching.Batcher.add
    monkeypatch.setattr(
        batching.Batcher,
        "add",
        lambda self, *a: waiting.append(self.waiting) or real(self, *a),
    )
    assert (
        run(tmp_path / "photos", store, fake, RunOptions(workers=0, batch_size=2), resize=Resize("native")).computed
        == 20
    )
    assert max(waiting) < 8
