"""Classes, normalisation and order of channels of a checkpoint: read from it where it says them, else asked for."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file

import seglib
from seglib.classes import VOC_CLASSES
from seglib.errors import UsageError
from seglib.inference import config
from seglib.inference.config import InferenceConfig
from seglib.models import loading
from seglib.pipeline import quantization
from tests.seglib.models.checkpoint.saved_models import CLASSES, NAME, build


@pytest.mark.parametrize(
    ("outputs", "classes", "sentence"),
    [
        (5, None, "has 5 outputs, and does not say of what: name its 5 classes in index order with `classes`"),
        (5, "abc", r"has 5 outputs, and `classes` names 3 \('a', 'b', 'c'\)"),
        (1, None, "has one output: name two classes"),
        (1, "abc", "has one output: name two classes"),
        (21, "ab", "has 21 outputs, and `classes` names 2"),
    ],
)
def test_the_number_of_classes_is_read_from_the_last_layer(tmp_path, outputs, classes, sentence):
    torch.save(build(outputs).state_dict(), tmp_path / "mine.pth")
    with pytest.raises(UsageError, match=sentence):
        seglib.find_model(NAME, weights=tmp_path / "mine.pth", classes=classes and tuple(classes))


def test_21_outputs_are_vocs_classes_unless_others_are_named(tmp_path):
    torch.save(build(21).state_dict(), tmp_path / "mine.pth")
    others = tuple(f"c{number}" for number in range(21))
    assert seglib.find_model(NAME, weights=tmp_path / "mine.pth").classes == VOC_CLASSES
    assert seglib.find_model(NAME, weights=tmp_path / "mine.pth", classes=others).classes == others


@pytest.mark.parametrize("name", [NAME, "unet_mobilenet_v2"])
def test_one_output_is_the_logit_of_the_second_class(tmp_path, name):
    binary = build(1, name)
    torch.nn.init.normal_(next(reversed(list(binary.parameters()))))
    torch.save(binary.state_dict(), tmp_path / "mine.pth")
    spec = seglib.find_model(name, weights=tmp_path / "mine.pth", classes=("background", "cat"))
    assert spec.selection.notes == ("mine.pth gives one output, read as the logit of 'cat'.",)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        logit, both = binary(images)["out"], loading.load(spec)(images)["out"]
    torch.testing.assert_close(both.softmax(1)[:, 1:], logit.sigmoid())
    assert torch.equal(both.argmax(1), (logit > 0).long()[:, 0])


def test_a_checkpoint_that_names_no_model_is_told_by_its_layers(model, tmp_path):
    for state, words in (
        (model.state_dict(), f"name it with `model` {NAME}, whose layers it has"),
        ({"encoder.a": torch.zeros(1), "segmentation_head.0.weight": torch.zeros(1)}, "smp:FOLDER"),
        ({"own.weight": torch.zeros(1)}, "give your own code as `model` file.py:FUNCTION"),
    ):
        torch.save(state, tmp_path / "mine.pth")
        with pytest.raises(UsageError, match=re.escape(words)):
            seglib.find_model(weights=tmp_path / "mine.pth", classes=CLASSES)


# --- preprocessing ---


def test_mean_std_and_order_of_channels_are_those_of_the_training(model, tmp_path):
    """Mean and std are for red, green and blue, whatever the order of the channels."""
    torch.save(model.state_dict(), tmp_path / "mine.pth")
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 0.125)
    spec = seglib.find_model(NAME, weights=tmp_path / "mine.pth", classes=CLASSES, mean=mean, std=std, channels="bgr")
    rgb = torch.rand(1, 64, 64, 3)
    seen = ((rgb - torch.tensor(mean)) / torch.tensor(std)).flip(-1)
    given = (rgb - torch.tensor(spec.mean)) / torch.tensor(spec.std)
    with torch.inference_mode():
        expected, got = model(seen.permute(0, 3, 1, 2))["out"], loading.load(spec)(given.permute(0, 3, 1, 2))["out"]
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    settings = InferenceConfig(resize=spec.resize)
    usual = seglib.find_model(NAME, weights=tmp_path / "mine.pth", classes=CLASSES, mean=mean, std=std)
    assert config.make_run_config(spec, settings).run_name != config.make_run_config(usual, settings).run_name


def test_an_int8_model_of_bgr_weights_is_another_one(model, store, tmp_path):
    """Also where mean and std are the same in either order."""
    torch.save(model.state_dict(), tmp_path / "mine.pth")
    specs = [
        seglib.find_model(
            NAME, weights=tmp_path / "mine.pth", classes=CLASSES, mean=3 * [0.5], std=3 * [0.5], channels=c
        )
        for c in (None, "rgb", "bgr")
    ]
    usual, named, other = (quantization.int8_model_folder(store, spec, spec.resize) for spec in specs)
    assert usual == named != other


def test_what_a_file_says_itself_is_not_contradicted(tmp_path):
    about = {"architecture": NAME, "classes": json.dumps(CLASSES), "mean": "[0.5, 0.5, 0.5]"}
    save_file(build(5).state_dict(), tmp_path / "mine.safetensors", about)
    assert seglib.find_model(None, weights=tmp_path / "mine.safetensors", classes=CLASSES).classes == CLASSES
    for given in ({"classes": CLASSES[::-1]}, {"mean": (0.4, 0.5, 0.5)}, {"channels": "bgr"}):
        with pytest.raises(UsageError, match=f"itself.* leave out `{next(iter(given))}`"):
            seglib.find_model(None, weights=tmp_path / "mine.safetensors", **given)


@pytest.mark.parametrize(
    "given", [{"classes": ("a", "b")}, {"mean": (0, 0, 0)}, {"channels": "bgr"}, {"output": "out"}]
)
def test_built_in_weights_have_their_own_classes_and_preprocessing(given):
    with pytest.raises(UsageError, match="is built in and needs no `" + next(iter(given))):
        seglib.find_model("fcn_mobilenet_v2", **given)
