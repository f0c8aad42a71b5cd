"""What runs cost, and that the models' counts of operations are the profiler's."""

from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model, get_model_weights

from seglib.data.resize import Resize, input_size_wh
from seglib.evaluation import cost
from seglib.masks.png import encode_index_png
from seglib.models.registry import GFLOPS_SIDE, MODELS
from seglib.pipeline import run, session
from seglib.pipeline.import_masks import import_masks
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.conftest import SAMPLE


def gflops(net, side: int = GFLOPS_SIDE) -> float:
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        net.to("meta").eval()(torch.empty(1, 3, side, side))
    return counter.get_total_flops() / 2 / 1e9  # the counter takes a multiplication and its addition for two


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MODELS))
def test_operations_are_those_that_a_profiler_counts(name):
    with torch.device("meta"):
        net = MODELS[name].build(21)
    side, _ = input_size_wh(GFLOPS_SIDE, GFLOPS_SIDE, MODELS[name].net_side)
    assert MODELS[name].gflops == pytest.approx(gflops(net, side), abs=6e-4)


def test_torchvision_counts_the_same_way_but_with_the_auxiliary_head():
    with torch.device("meta"):
        net = get_model("fcn_resnet50", weights=None, weights_backbone=None, aux_loss=True)
    published = get_model_weights("fcn_resnet50")["COCO_WITH_VOC_LABELS_V1"].meta["_ops"]
    assert gflops(net) == pytest.approx(published, abs=1e-3)


def test_operations_grow_with_the_grid():
    with torch.device("meta"):
        net = MODELS["lraspp_mobilenet_v3_large"].build(21)
    scaled = MODELS["lraspp_mobilenet_v3_large"].gflops_at(224, 224)
    assert scaled == pytest.approx(gflops(net, 224), rel=0.04)  # sides are rounded up at each stride


@pytest.mark.parametrize("net_side", [0, 64])
def test_a_runs_operations_are_the_mean_over_what_the_net_saw_of_each_picture(
    paint, tmp_path, fake, monkeypatch, net_side
):
    """Of four files: two are equal, one could not be read, and a photo that was never computed does not count."""
    spec = replace(fake, net_side=net_side, gflops=1.0)
    monkeypatch.setitem(MODELS, spec.name, spec)
    paint("a.png", size_wh=(64, 64))
    paint("b.png", size_wh=(128, 64))
    paint("c.png", size_wh=(128, 64))
    (tmp_path / "photos" / "d.png").write_bytes(b"")
    store, options = Store.create(tmp_path / "store"), session.RunOptions(workers=0)
    report = run.run(tmp_path / "photos", store, spec, resize=Resize("32"), precision="fp32", options=options)
    paint("e.png", size_wh=(256, 64))
    run.run(tmp_path / "photos", store, spec, resize=Resize("64"), precision="fp32", options=options)
    (found,) = cost.costs(store, [report.run])["gflops"]
    assert found == pytest.approx((1 + 2) / 2 if net_side else 32 * 32 / GFLOPS_SIDE**2, abs=1e-3)


def test_nobody_counted_the_operations_of_somebodys_own_net(tmp_path, monkeypatch):
    store, spec = Store.create(tmp_path / "store"), MODELS["fcn_mobilenet_v2"]
    options = session.RunOptions(workers=0, limit=1)
    report = run.run(SAMPLE, store, spec, resize=Resize("64"), precision="fp32", options=options)
    monkeypatch.setitem(MODELS, spec.name, replace(spec, parameters=spec.parameters + 1))
    (cost_of_run,) = cost.costs(store, [report.run]).astype("object").to_dict("records")
    assert cost_of_run["parameters"] == spec.parameters
    assert cost_of_run["gflops"] is None


def test_a_runs_cost_is_what_was_measured_and_imported_masks_cost_nobody_knows(tmp_path):
    store = Store.create(tmp_path / "store")
    spec, options = MODELS["fcn_mobilenet_v2"], session.RunOptions(workers=0, limit=3)
    report = run.run(SAMPLE, store, spec, precision="fp32", options=options)
    run.run(SAMPLE, store, spec, precision="fp32", options=options)  # nothing to do costs nothing
    (tmp_path / "m").mkdir()
    stem = PurePosixPath(store.table()["path"][0]).stem
    (tmp_path / "m" / f"{stem}.png").write_bytes(encode_index_png(np.zeros((4, 4), np.uint8)))
    other = import_masks(store, open_drawn(tmp_path / "m", ("background",)), "x")
    ours, theirs = cost.costs(store, [report.run, other.run]).astype("object").to_dict("records")
    assert ours["ms_per_image"] == pytest.approx(1000 * report.seconds / 3, rel=0.01)
    assert (ours["images_timed"], ours["device"], ours["parameters"]) == (3, "cpu", spec.parameters)
    sides = [
        spec.input_resize(spec.resize).grid_wh(*size_wh)
        for size_wh in store.table([report.run])[["width", "height"]].values
    ]
    assert ours["gflops"] == pytest.approx(np.mean([spec.gflops_at(*one) for one in sides]), abs=1e-3)
    assert ours["checkpoint_bytes"] == spec.path.stat().st_size
    unknown = ("device", "ms_per_image", "parameters", "gflops", "checkpoint_bytes")
    assert [theirs[name] is None or np.isnan(theirs[name]) for name in unknown] == [True] * 5
