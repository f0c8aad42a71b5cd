"""`seglib run --on ray` on a cluster of two nodes: what a local run gives, and of bad photos a row with a reason."""

import json
from importlib.util import find_spec

import pytest

from seglib.data import decode_pool
from seglib.pipeline.session import RunOptions
from seglib.store.store import Store
from tests.conftest import fake_model
from tests.reliability.harness import ray_nodes
from tests.reliability.harness.scene import Scene, differences
from tests.seglib.small_runs import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed"),
]

PHOTOS = 24


@pytest.fixture(scope="module")
def nodes():
    with ray_nodes.start_nodes(2) as started:
        yield started


def test_a_cluster_gives_what_one_machine_gives_and_of_bad_photos_a_row_with_a_reason(nodes, tmp_path, monkeypatch):
    scene = Scene(tmp_path).paint(PHOTOS)
    for name in ("kills", "hangs", "größe"):
        (scene.photos / "cats" / f"{name}.png").write_bytes((scene.photos / "cats" / "0002.png").read_bytes())
    with nodes.run(scene.photos, tmp_path / "ray", "--json", passes=scene.passes) as process:
        out, err = process.communicate(timeout=ray_nodes.PATIENCE_SECONDS)
    assert process.returncode == 0, err
    monkeypatch.setattr(decode_pool, "decode_file", ray_nodes.read_or_end)
    monkeypatch.setattr(decode_pool.Limits.__init__, "__defaults__", ray_nodes.LIMITS)
    local = run(scene.photos, Store.create(tmp_path / "local"), fake_model(scene.weights), RunOptions(workers=1))
    report = json.loads(out)  # one object, and nothing of Ray's log
    assert {name: report[name] for name in ("run", "images", "computed", "reused", "failed", "device")} == {
        name: getattr(local, name) for name in ("run", "images", "computed", "reused", "failed", "device")
    }
    assert not differences(*(ray_nodes.content_in_any_order(tmp_path / name) for name in ("ray", "local")))
    reasons = Store(tmp_path / "ray").failures().set_index("path")["reason"].to_dict()
    assert reasons == {"cats/broken.jpg": "not_an_image", "cats/hangs.png": "too_slow", "cats/kills.png": "damaged"}
    assert len(set(ray_nodes.read_passes(scene.passes))) == 2  # both nodes computed
    with nodes.run(scene.photos, tmp_path / "split", "--json", passes=scene.passes, decoders=1) as process:
        out, err = process.communicate(timeout=ray_nodes.PATIENCE_SECONDS)
    assert process.returncode == 0, err
    assert not differences(*(ray_nodes.content_in_any_order(tmp_path / name) for name in ("split", "local")))
