"""A run's record gives back what made it, or says why it cannot."""

from dataclasses import replace

import pytest
import torch

import seglib
from seglib.data.resize import Resize, resize_image
from seglib.errors import SegError, WeightsError
from seglib.inference import config, predictor
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


def test_a_run_of_a_checkpoint_is_made_again_by_what_it_was_named_by(store, photos, tmp_path, monkeypatch):
    """From another folder too; Verify, uncertainty maps and Run again rest on it."""
    torch.manual_seed(0)
    made = registry.get_model_builder("lraspp_mobilenet_v3_large")(3)
    torch.save(
        {"state_dict": {f"model.{name}": value for name, value in made.state_dict().items()}}, tmp_path / "my.ckpt"
    )
    monkeypatch.chdir(tmp_path)
    spec = seglib.find_model(
        "lraspp_mobilenet_v3_large", weights="my.ckpt", classes=["a", "b", "c"], mean=(0.5, 0.4, 0.3), channels="bgr"
    )
    report = seglib.run(photos, store, spec, resize="64", precision="fp32")
    monkeypatch.chdir("/")
    again, settings = resolve_run_model(store, store.run(report.run))
    assert config.make_run_config(again, settings).run_name == report.run
    (dataset,) = store.datasets()
    for row in store.table([report.run]).to_dict("records"):
        image = resize_image(store.image(dataset.id, row["path"]), Resize("64"))
        masks, _ = predictor.predict_batch(image[None], again, settings)
        assert (masks[0] == store.mask(report.run, row["image_id"])).all()
        assert predictor.entropy_map(image, again, settings).mean() == pytest.approx(row["entropy"], abs=1e-5)
    torch.save(made.state_dict(), tmp_path / "my.ckpt")
    with pytest.raises(WeightsError, match="other weights"):
        resolve_run_model(store, store.run(report.run))
    (tmp_path / "my.ckpt").unlink()
    with pytest.raises(WeightsError, match=r"cannot be loaded again: There is no weights file .*my\.ckpt"):
        resolve_run_model(store, store.run(report.run))
