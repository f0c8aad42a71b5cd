"""Weights are found in a checkpoint by two layers' names, whatever wraps them. The oracle is the model's own module."""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import seglib
from seglib.classes import VOC_CLASSES
from seglib.errors import SegError, UsageError, WeightsError
from seglib.inference import config
from seglib.inference.config import InferenceConfig
from seglib.models import loading, registry, transfer
from seglib.models.checkpoint import contents, selection
from seglib.models.checkpoint.selection import LAYERS
from seglib.training import train
from seglib.training.config import TrainConfig
from tests.seglib.models.checkpoint.saved_models import (
    CLASSES,
    NAME,
    assert_same_weights,
    auxiliary,
    backbone_compiled,
    build,
    compiled_in_parallel,
    lightning,
    parallel,
    plain,
    prefixed,
    reference,
)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".bin", ".model"])
def test_the_name_of_the_file_does_not_matter(model, tmp_path, suffix):
    torch.save(model.state_dict(), tmp_path / f"mine{suffix}")
    assert_same_weights(tmp_path / f"mine{suffix}", model)


@pytest.mark.parametrize(
    "wrap",
    [plain, parallel, backbone_compiled, compiled_in_parallel, auxiliary, reference, lightning],
)
def test_every_wrapping_gives_the_models_own_weights(model, tmp_path, wrap: Callable[..., Any]):
    torch.save(wrap(model), tmp_path / "mine.pth")
    assert_same_weights(tmp_path / "mine.pth", model)


def test_a_file_that_torch_wrote_before_its_zip_archives_is_read_too(model, tmp_path):
    torch.save(lightning(model), tmp_path / "mine.ckpt", _use_new_zipfile_serialization=False)
    assert_same_weights(tmp_path / "mine.ckpt", model)


def test_a_safetensors_file_without_metadata_of_ours_is_read_too(model, tmp_path):
    save_file(prefixed(model.state_dict(), "net."), tmp_path / "mine.safetensors", {"format": "pt"})
    assert_same_weights(tmp_path / "mine.safetensors", model)
    (tmp_path / "mine.safetensors").rename(tmp_path / "mine.bin")
    assert_same_weights(tmp_path / "mine.bin", model)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_become_float32(model, tmp_path, dtype):
    state = {name: value.to(dtype) if value.is_floating_point() else value for name, value in plain(model).items()}
    torch.save(state, tmp_path / "mine.pth")
    loaded = loading.load(seglib.find_model(NAME, weights=tmp_path / "mine.pth", classes=CLASSES)).state_dict()
    for name, value in state.items():
        assert loaded[name].dtype == (torch.float32 if value.is_floating_point() else value.dtype)
        assert torch.equal(loaded[name], value.to(loaded[name].dtype))


def test_loaded_weights_do_not_change_with_the_file(model, tmp_path):
    """The file is mapped into memory while it is read: what is kept must be a copy."""
    file = tmp_path / "mine.pth"
    torch.save(model.state_dict(), file)
    loaded = loading.load(seglib.find_model(NAME, weights=file, classes=CLASSES))
    before = [one.clone() for one in loaded.parameters()]
    with file.open("r+b") as opened:
        opened.write(bytes(file.stat().st_size))
    assert all(torch.equal(a, b) for a, b in zip(before, loaded.parameters(), strict=True))


@pytest.mark.parametrize("name", registry.trainable_names())
def test_the_layers_that_tell_an_architecture_are_its_first_and_last(name):
    builders = [registry.get_model_builder(name)]
    builders += [registry.get_model_builder(name, layers.options) for layers in LAYERS[name] if layers.options]
    for build_it, layers in zip(builders, LAYERS[name], strict=True):
        with torch.device("meta"):
            made = build_it(7)
        convolutions = [key for key, part in made.named_modules() if isinstance(part, torch.nn.Conv2d)]
        assert convolutions[0] == layers.first
        scores = made.get_submodule(layers.scores)
        assert layers.scores == convolutions[-1]
        assert (scores.out_channels, scores.in_channels) == (7, layers.channels)
        state = {
            key: contents.TensorInfo(str(value.dtype), tuple(value.shape)) for key, value in made.state_dict().items()
        }
        assert selection.fitting_architectures(contents.Contents("x", {(): state})) == [name]


# --- a model and its average ---


def test_of_a_model_and_its_average_the_average_is_taken_said_and_in_the_runs_name(model, tmp_path):
    average = torch.optim.swa_utils.AveragedModel(model)
    worse = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    both, file = {"model": worse, "model_ema": average.state_dict()}, tmp_path / "mine.pth"
    torch.save(both, file)
    spec = seglib.find_model(NAME, weights=file, classes=CLASSES)
    assert_same_weights(file, model)
    assert "their average, 'model_ema', is taken, not 'model'" in spec.selection.notes[0]
    settings = InferenceConfig(resize=spec.resize)
    assert config.make_run_config(spec, settings).code == "installed, weights model_ema"
    torch.save({"ema": model.state_dict()}, file)
    alone = seglib.find_model(NAME, weights=file, classes=CLASSES)
    assert (alone.selection.path, alone.selection.notes) == (("ema",), ())
    assert config.make_run_config(alone, settings).code == "installed"


def test_the_average_in_one_dict_with_the_model_is_found_by_its_prefix(model, tmp_path):
    worse = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    state = {**prefixed(worse, "model."), **prefixed(model.state_dict(), "ema.module."), "n_averaged": torch.tensor(3)}
    torch.save({"state_dict": state}, tmp_path / "mine.pth")
    assert_same_weights(tmp_path / "mine.pth", model)
    spec = seglib.find_model(NAME, weights=tmp_path / "mine.pth", classes=CLASSES)
    assert (spec.selection.chosen, spec.selection.path) == ("state_dict.ema", ("state_dict",))


def test_the_weights_that_lightning_averaged_are_taken(model, tmp_path):
    worse = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    saved = {"state_dict": model.state_dict(), "current_model_state": worse, "averaging_state": {"n": 3}}
    torch.save(saved, tmp_path / "mine.ckpt")
    assert_same_weights(tmp_path / "mine.ckpt", model)


@pytest.mark.parametrize(
    ("wrap", "sentence"),
    [
        (lambda state: {"student": state, "teacher": dict(state)}, "several models, 'student', 'teacher'"),
        (lambda state: {"ema_1": state, "ema_2": dict(state)}, "several models, 'ema_1', 'ema_2'"),
        (lambda state: {**prefixed(state, "a."), "head.weight": torch.zeros(3)}, r"'head\.weight' beside the weights"),
        (
            lambda state: {**state, "module.backbone.0.0.weight": torch.zeros(16, 3, 3, 3)},
            "differ only by what a wrapper adds",
        ),
    ],
)
def test_what_fits_two_readings_is_refused(model, tmp_path, wrap, sentence):
    torch.save(wrap(model.state_dict()), tmp_path / "mine.pth")
    with pytest.raises(WeightsError, match=sentence):
        seglib.find_model(NAME, weights=tmp_path / "mine.pth", classes=CLASSES)


# --- finding it again ---


def test_a_request_finds_the_same_model_from_another_folder(model, tmp_path, monkeypatch):
    torch.save(model.state_dict(), tmp_path / "mine.pth")
    monkeypatch.chdir(tmp_path)
    spec = seglib.find_model(NAME, weights="mine.pth", classes=CLASSES, mean=(0.5, 0.5, 0.5), channels="bgr")
    record = spec.request.to_record()
    monkeypatch.chdir("/")
    from seglib.adapters.lookup import find_requested
    from seglib.models.adapter import ModelRequest

    again = find_requested(ModelRequest.from_record(json.loads(json.dumps(record))))
    settings = InferenceConfig(resize=spec.resize)
    assert config.make_run_config(again, settings) == config.make_run_config(
        seglib.find_model(NAME, weights=tmp_path / "mine.pth", classes=CLASSES, mean=(0.5, 0.5, 0.5), channels="bgr"),
        settings,
    )


# --- what does not fit ---


def test_a_file_that_names_no_model_is_told_which_one_it_fits(model, tmp_path):
    torch.save(lightning(model), tmp_path / "mine.ckpt")
    with pytest.raises(UsageError, match=f"name it with `model` {NAME}, whose layers it has"):
        seglib.find_model(tmp_path / "mine.ckpt")


def test_another_architecture_is_named_if_the_layers_are_its(tmp_path):
    torch.save(build(5, "fcn_mobilenet_v2").state_dict(), tmp_path / "mine.pth")
    with pytest.raises(WeightsError, match=r"does not fit fcn_resnet50.*take `model` fcn_mobilenet_v2\."):
        seglib.find_model("fcn_resnet50", weights=tmp_path / "mine.pth")


def test_a_tensor_that_does_not_fit_is_named_and_those_that_fit_are_counted(model, tmp_path):
    state = plain(model)
    count = len(state)
    del state["backbone.1.block.0.0.weight"]
    torch.save({**state, "more": torch.zeros(1)}, tmp_path / "mine.pth")
    with pytest.raises(SegError) as caught:
        loading.load(seglib.find_model(NAME, weights=tmp_path / "mine.pth", classes=CLASSES))
    assert str(caught.value) == (
        f"mine.pth does not fit {NAME} with 5 classes (backbone.1.block.0.0.weight is missing): {count - 1} of the "
        f"model's {count} tensors fit, and 1 others are not part of it."
    )


def test_the_example_of_the_documentation_runs(photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    page = (Path(__file__).parents[4] / "docs" / "models-checkpoints.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(compile(example, "example", "exec"), {})
    (run,) = seglib.open("output").runs()
    assert run.title == "mine (lraspp_mobilenet_v3_large)"
    assert run.classes == ("background", "cat", "dog")


# --- where training starts ---


def start_config(tmp_path: Path, name: str, **given: object) -> TrainConfig:
    return TrainConfig(architecture=name, dataset=tmp_path, out=tmp_path / "out.safetensors", **given)


def test_a_training_starts_from_any_checkpoint(model, tmp_path):
    """Its classes are those to be learnt; with a new last layer it may have any number of them."""
    file = tmp_path / "mine.ckpt"
    torch.save(lightning(model), file)
    start = train._find_start_model(start_config(tmp_path, NAME, start=file), CLASSES)
    continued = transfer.init_from_trained(start, CLASSES)
    assert all(torch.equal(a, b) for a, b in zip(continued.parameters(), model.parameters(), strict=True))
    with pytest.raises(UsageError, match="has 5 outputs, and `classes` names 2"):
        train._find_start_model(start_config(tmp_path, NAME, start=file), ("background", "leaf"))
    finetuned = train._find_start_model(start_config(tmp_path, NAME, finetune=file), ("background", "leaf"))
    made = transfer.init_with_new_head(finetuned, 2, seed=0)
    assert made.classifier.high_classifier.out_channels == 2
    assert all(torch.equal(a, b) for a, b in zip(made.backbone.parameters(), model.backbone.parameters(), strict=True))


def test_the_head_that_a_checkpoint_has_is_the_one_that_is_trained_on(tmp_path):
    spec = registry.find_model_spec()
    file = tmp_path / "mine.pth"
    torch.save(loading.load(spec).state_dict(), file)
    config = start_config(tmp_path, spec.name, start=file)
    start = train._find_start_model(config, VOC_CLASSES)
    assert train._architecture_options(config, start) == (("head", "fused"),)
    older = registry.get_model_builder(spec.name, (("head", "context"),))(len(VOC_CLASSES))
    torch.save(older.state_dict(), file)
    start = train._find_start_model(config, VOC_CLASSES)
    assert train._architecture_options(config, start) == (("head", "context"),)


def test_an_encoder_is_read_from_a_checkpoint_too(tmp_path):
    donor = build(5, "fcn_mobilenet_v2")
    worse = {name: torch.zeros_like(value) for name, value in donor.state_dict().items()}
    saved = {"model": worse, "model_ema": prefixed(donor.state_dict(), "module.net."), "args": argparse.Namespace(a=1)}
    torch.save(saved, tmp_path / "mine.pth")
    made = transfer.init_model("fcn_mobilenet_v2", CLASSES, options={}, seed=1, encoder=tmp_path / "mine.pth")
    for name, value in donor.backbone.state_dict().items():
        assert torch.equal(made.backbone.state_dict()[name], value)
