"""`TrainConfig` refuses what makes no sense in one sentence; `TrainRecipe` survives JSON and reads older states."""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from seglib.data.resize import Resize
from seglib.errors import UnknownName, UsageError
from seglib.training.config import TrainConfig
from seglib.training.recipe import TrainRecipe
from tests.conftest import ROOT
from tests.seglib.training.plain_training import recipe


def configure(**changes) -> TrainConfig:
    return TrainConfig(**({"architecture": "segnet", "dataset": "photos", "out": "x.safetensors"} | changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"out": "net.pth"}, r"The checkpoint 'net.pth': expected a name that ends in .safetensors"),
        ({"dataset": None}, "`dataset` is None: expected a path"),
        ({"masks": 3}, "`masks` is 3: expected a path"),
        ({"finetune": 1.5}, "`finetune` is 1.5: expected True, False or the path of a checkpoint"),
        ({"classes": "cat,dog"}, "`classes` is 'cat,dog': expected a sequence of names"),
        ({"classes": ("cat", "")}, "`classes` is .*: expected a sequence of names"),
        ({"freeze": "backbone"}, "`freeze` is 'backbone': expected a sequence of names"),
        ({"resize": "huge"}, "A resize is 224, 640x480 .* 'huge' is not"),
        ({"resize": 224}, "`resize` is 224: expected a resize such as '224'"),
        ({"resize": None}, "`resize` is None: expected a resize such as '224'"),
        ({"teacher": "fcn_resnet50", "teacher_resize": "16"}, "A resize is 224"),
        ({"epochs": 0}, "`epochs` is 0: expected a whole number from 1 on"),
        ({"epochs": None}, "`epochs` is None: expected a whole number from 1 on"),
        ({"epochs": 1.5}, "`epochs` is 1.5: expected a whole number from 1 on"),
        ({"epochs": True}, "`epochs` is True: expected a whole number from 1 on"),
        ({"workers": -1}, "`workers` is -1: expected a whole number from 0 on"),
        ({"rate": -1.0}, "`rate` is -1.0: expected a number from 0 on"),
        ({"rate": float("nan")}, "`rate` is nan: expected a number from 0 on"),
        ({"rate": float("inf")}, "`rate` is inf: expected a number from 0 on"),
        ({"dice": "much"}, "`dice` is 'much': expected a number from 0 on"),
        ({"validation": 1.5}, "`validation` is 1.5: expected a number from 0 to 1"),
        ({"validation": 1}, "A share of 1 for validation: expected more than 0 and less than 1"),
        ({"short_side": 224}, r"`short_side` is 224: expected two whole numbers such as \(192, 320\)"),
        ({"short_side": (320, 192)}, "name the smaller first"),
        ({"net_side": 9}, "A net side of 9 is out of range: expected 32 to 8192 pixels"),
        ({"schedule": "step"}, "A schedule is one of poly, onecycle, constant, not 'step'"),
        ({"precision": "fp8"}, "`precision` is 'fp8': expected one of auto, fp32, bf16"),
        ({"keep": "first"}, "`keep` is 'first': expected one of best, last"),
        ({"weights_as": "int8"}, "`weights_as` is 'int8': expected one of fp16, fp32"),
        ({"device": "tpu"}, "`device` is 'tpu': expected one of auto, cpu, cuda"),
        ({"plot": "yes"}, "`plot` is 'yes': expected True or False"),
        ({"unlabelled": "photos"}, "`unlabelled` photos are learnt from soft labels alone: add a `teacher`"),
        ({"teacher": "x.pth"}, "A teacher is a model's name .* 'x.pth' is neither"),
        ({"finetune": True, "upsampling": "shuffle"}, "leave out `upsampling` and, with `finetune`, `encoder`"),
        ({"finetune": True, "encoder": "x.pth"}, "leave out `upsampling` and, with `finetune`, `encoder`"),
        ({"start": "x.safetensors", "upsampling": "shuffle"}, "leave out `upsampling` and"),
        ({"start": "x.safetensors", "finetune": True}, "give one of them"),
        ({"start": "x.safetensors", "finetune": "y.safetensors"}, "give one of them"),
    ],
)
def test_a_config_that_makes_no_sense_is_one_sentence(changes, sentence):
    with pytest.raises(UsageError, match=sentence) as refused:
        configure(**changes)
    assert "--" not in str(refused.value)


def test_an_unknown_architecture_is_refused_before_anything_is_computed():
    with pytest.raises(UnknownName, match=r"There is no model 'magic'; known are: .*segnet"):
        configure(architecture="magic")


def test_what_goes_together_is_accepted():
    configure(start="x.safetensors", encoder="y.pth")
    configure(unlabelled="photos", soft_labels="x.soft")
    configure(teacher=Path("teacher.safetensors"), teacher_resize=Resize("short:520"))
    configure(classes=["background", "cat"], freeze=["backbone"], rate=1, minutes=0)


def test_every_field_has_a_help_text_that_names_only_other_fields():
    names = {one.name for one in fields(TrainConfig)}
    for one in fields(TrainConfig):
        assert one.metadata["help"]
        assert set(one.metadata["help"].split("`")[1::2]) <= names - {one.name}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schedule": "step"}, "A schedule is one of poly, onecycle, constant, not 'step'"),
        ({"short_side": (320, 192)}, "name the smaller first"),
        ({"classes": ("background",)}, "1 classes: name 2 to 255"),
        ({"classes": ("background", "cat", "cat")}, "Name each class once"),
        ({"validation": 1.0}, "more than 0 and less than 1"),
        ({"net_side": 16}, "A net side of 16 is out of range: expected 32 to 8192 pixels"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_one_sentence(changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        recipe(**changes)


def test_a_recipe_survives_json():
    made = recipe(options=(("upsampling", "shuffle"),), frozen=("backbone",))
    assert TrainRecipe.from_dict(json.loads(json.dumps(made.as_dict()))) == made


def test_the_fields_of_a_recipe_are_stored_in_a_fixed_order():
    """Training states and checkpoints hold their JSON; a renamed field would make an old state unreadable."""
    expected = """
        architecture classes options resize epochs batch_size net_side base_side short_side whole rate encoder_rate
        schedule warmup cooldown weight_decay frozen dice soft average patience validation seed split_seed loss_stride
        lanes precision photos weights keep_statistics rare
    """
    assert list(recipe().as_dict()) == expected.split()


_LATER_FIELDS = ("net_side", "split_seed", "lanes", "keep_statistics", "rare")


def test_the_recipe_of_an_older_version_is_read():
    values = recipe(net_side=0, split_seed=0, parallel=1).as_dict()
    older = {name: value for name, value in values.items() if name not in _LATER_FIELDS}
    assert TrainRecipe.from_dict(older).as_dict() == values


def test_a_config_is_made_without_importing_torch():
    code = "import seglib, sys; seglib.TrainConfig; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
