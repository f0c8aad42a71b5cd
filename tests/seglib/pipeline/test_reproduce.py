"""A run's record gives back what made it, or says why it cannot."""

from dataclasses import replace

import pytest

from seglib.data.resize import Resize
from seglib.errors import SegError, WeightsError
from seglib.inference import config
from seglib.inference.config import InferenceConfig
from seglib.models import registry
from seglib.pipeline.reproduce import resolve_run_model
from seglib.pipeline.run import describe_run
from seglib.store.records import Run


@pytest.fixture
def run(store) -> Run:
    settings = InferenceConfig(resize=Resize("short:96"), precision="fp32")
    recipe = config.make_run_config(registry.find_model_spec(), settings)
    return store.keep_run(describe_run(recipe, parameters=1, versions={}))


def test_what_comes_back_has_the_runs_recipe(store, run):
    spec, settings = resolve_run_model(store, run, device="cpu")
    assert settings == InferenceConfig(resize=Resize("short:96"), precision="fp32", device="cpu")
    assert config.make_run_config(spec, settings).run_name == run.run


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weights_sha256": None, "precision": None}, "imported"),
        ({"model": "unknown_net"}, "does not know"),
        ({"model": "segnet"}, "a user's own checkpoint"),
        ({"weights_sha256": "f" * 64}, "other weights .* ffffffff"),
        ({"run": "fcn_mobilenet_v2-short96-00000000"}, "another version"),
    ],
)
def test_what_cannot_come_back_is_a_sentence(store, run, changes, sentence):
    with pytest.raises(SegError, match=sentence):
        resolve_run_model(store, replace(run, **changes))


def test_nothing_is_downloaded(store, run, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="not on this machine"):
        resolve_run_model(store, replace(run, model="fcn_resnet50"))


def test_a_run_by_torch_hub_is_remade_by_torch_hub(store, run, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    spec = replace(registry.find_model_spec("fcn_resnet50", source="hub"), sha256="")
    spec.path.parent.mkdir(parents=True)
    spec.path.write_bytes(b"weights")
    monkeypatch.setitem(registry.MODELS, "fcn_resnet50", replace(spec, source="torchvision"))
    recipe = config.make_run_config(spec, InferenceConfig(resize=Resize("short:96")))
    changes = {"model": spec.name, "recipe": {"code": recipe.code}, "weights_sha256": recipe.weights_sha256}
    assert resolve_run_model(store, replace(run, run=recipe.run_name, **changes))[0].source == "hub"
