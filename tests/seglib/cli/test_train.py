"""`seglib train` from the shell: options, output lines and exit codes; what it computes is tested in `training`."""

import argparse
import json
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import pandas as pd
import pytest

from seglib.cli import main
from seglib.cli.train import make_config
from seglib.data.resize import Resize
from seglib.models import weights_file
from seglib.training.config import TrainConfig
from tests.seglib.training.plain_training import voc_folder

pytestmark = pytest.mark.usefixtures("tiny")

SMALL = [
    *("--epochs", "2", "--batch-size", "1", "--short-side", "32-64", "--resize", "64x32", "--validation", "0.25"),
    *("--workers", "0", "--precision", "fp32", "--rate", "0.02"),
]


@pytest.fixture
def voc(tmp_path):
    return voc_folder(tmp_path / "voc", 12)


def train(*arguments) -> int:
    return main.main(["train", *map(str, arguments)])


def test_a_model_is_trained_and_then_run(voc, tmp_path, capsys):
    out, store = tmp_path / "made" / "pets.safetensors", tmp_path / "store"
    assert train("tiny", voc, "--classes", "background,cat,dog", "--out", out, *SMALL) == 0
    output = capsys.readouterr()
    assert "9 photos to train on, 3 to validate, 3 classes, on cpu in fp32" in output.err
    assert "epoch 2 of 2: loss " in output.err
    assert f"python -m seglib run FOLDER --weights {out}" in output.out
    assert "paused" not in output.out
    best = int(weights_file.read_metadata(out)["epoch"])
    assert f"of validation, epoch {best}\n" in output.out
    another = tmp_path / "last.safetensors"
    assert train("tiny", voc, "--classes", "background,cat,dog", "--out", another, *SMALL, "--keep", "last") == 0
    assert "of validation, epoch 2\n" in capsys.readouterr().out
    assert weights_file.read_metadata(another)["epoch"] == "2"
    assert len((tmp_path / "made" / "pets.val.txt").read_text().splitlines()) == 3
    assert pd.read_csv(tmp_path / "made" / "pets.csv")["epoch"].tolist() == [1, 2]
    arguments = ["run", voc / "JPEGImages", "--weights", out, "--store", store, "--workers", "0", "--json"]
    assert main.main([*map(str, arguments)]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (row["model"], row["images"], row["failed"]) == ("tiny", 12, 0)
    assert row["run"].startswith("tiny-64x32-")


def test_a_teacher_and_unlabelled_photos_are_counted(voc, tmp_path, capsys):
    teacher, out = tmp_path / "teacher.safetensors", tmp_path / "pupil.safetensors"
    classes = ("--classes", "background,cat,dog")
    assert train("tiny", voc, *classes, "--out", teacher, *SMALL) == 0
    unlabelled = ("--unlabelled", voc / "JPEGImages")
    assert train("tiny", voc, *classes, "--out", out, "--teacher", teacher, *unlabelled, *SMALL) == 0
    assert "21 photos to train on" in capsys.readouterr().err


def test_time_pauses_and_the_same_command_continues(voc, tmp_path, capsys):
    out = tmp_path / "net.safetensors"
    command = ("tiny", voc, "--out", out, *SMALL)
    assert train(*command, "--minutes", "0.0001") == 0
    assert capsys.readouterr().out == "paused after 0 epochs; the same command continues\n"
    assert not out.exists()
    assert train(*command) == 0
    assert out.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("magic",), 2, "There is no model 'magic'"),
        (("tiny", "--out", "net.pth"), 2, "expected a name that ends in .safetensors"),
        (("tiny", "--classes", "cat,dog"), 2, "expected background"),
        (("tiny", "--classes", "a,,b"), 2, "different names"),
        (("tiny", "--classes", "gone.txt"), 2, "are no file"),
        (
            ("tiny", "--finetune", "--upsampling", "shuffle"),
            2,
            "leave out --upsampling and, with --finetune, --encoder",
        ),
        (("tiny", "--start", "x.safetensors"), 1, "There is no weights file 'x.safetensors'"),
        (("tiny", "--masks", "nowhere"), 1, "name the folder that holds the masks"),
        (("tiny", "--schedule", "step"), 2, "A schedule is one of"),
        (("tiny", "--net-side", "9"), 2, "A net side of 9 is out of range: expected 32 to 8192 pixels"),
        (("tiny", "--plot"), 2, "pip install '.[train]'"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_and_an_exit_code(
    voc, tmp_path, capsys, monkeypatch, arguments, code, sentence
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    name, *rest = arguments
    assert train(name, voc, "--out", "net.safetensors", *SMALL, *rest) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("seglib: ")
    assert sentence in line
    assert not (tmp_path / "net.safetensors").exists()


@pytest.mark.parametrize(
    "wrong",
    [("--short-side", "320"), ("--rate", "-1"), ("--epochs", "0"), ("--rate", "much")],
)
def test_a_value_that_cannot_be_read_is_a_usage_error(voc, wrong):
    with pytest.raises(SystemExit) as stopped:
        train("tiny", voc, "--out", "net.safetensors", *wrong)
    assert stopped.value.code == 2


# --- options and the fields of TrainConfig ---


def parse(*arguments: str) -> TrainConfig:
    namespace = main.build_parser().parse_args(["train", "segnet", "photos", "--out", "x.safetensors", *arguments])
    return make_config(namespace)


def train_actions() -> list[argparse.Action]:
    (commands,) = [a for a in main.build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return [action for action in commands.choices["train"]._actions if action.dest != "help"]


def test_every_option_has_a_field_and_every_field_an_option():
    by_field = {one.name: one for one in fields(TrainConfig)}
    visible = [action for action in train_actions() if action.help != argparse.SUPPRESS]
    assert [action.dest for action in visible] == list(by_field)
    for action in visible:
        one = by_field[action.dest]
        assert action.option_strings in ([], [f"--{one.name.replace('_', '-')}"])
        assert action.required == (one.default is MISSING)
        assert "`" not in action.help


def test_only_the_model_and_the_dataset_have_no_flag():
    assert [action.dest for action in train_actions() if not action.option_strings] == ["architecture", "dataset"]


def test_without_options_the_command_has_the_defaults_of_the_config():
    assert parse() == TrainConfig(
        architecture="segnet", dataset=Path("photos"), out=Path("x.safetensors"), resize=Resize("224")
    )


def test_each_option_sets_its_field():
    given = {
        "masks": Path("m"),
        "classes": ("background", "cat"),
        "format": "index",
        "ignore": (7, 9),
        "offset": -1,
        "labelmap": None,
        "suffix": "_seg",
        "max_failure_rate": 0.5,
        "start": Path("s.safetensors"),
        "encoder": Path("e.pth"),
        "unlabelled": Path("u"),
        "teacher": "fcn_resnet101",
        "teacher_resize": Resize("short:520"),
        "soft_labels": Path("soft"),
        "soft": 2.0,
        "resize": Resize("96"),
        "epochs": 3,
        "batch_size": 4,
        "short_side": (32, 64),
        "net_side": 320,
        "rate": 0.5,
        "encoder_rate": 0.25,
        "schedule": "constant",
        "cooldown": 1.0,
        "dice": 0.0,
        "loss_stride": 4,
        "freeze": ("backbone.0", "backbone.1"),
        "patience": 2,
        "validation": 0.2,
        "validation_list": Path("val.txt"),
        "keep_statistics": True,
        "rare": 0.05,
        "seed": 4,
        "split_seed": 5,
        "precision": "bf16",
        "keep": "last",
        "weights_as": "fp32",
        "device": "cpu",
        "workers": 0,
        "parallel": 3,
        "threads": 1,
        "minutes": 2.5,
        "plot": True,
    }
    command = (
        "--masks m --classes background,cat --format index --ignore 7,9 --offset -1 --suffix _seg "
        "--max-failure-rate 0.5 --start s.safetensors --encoder e.pth --unlabelled u --teacher "
        "fcn_resnet101 --teacher-resize short:520 --soft-labels soft --soft 2 --resize 96 --epochs 3 --batch-size 4 "
        "--short-side 32-64 --net-side 320 --rate 0.5 --encoder-rate 0.25 --schedule constant --cooldown 1 --dice 0 "
        "--loss-stride 4 --freeze backbone.0,backbone.1 --patience 2 --validation 0.2 --seed 4 --split-seed 5 "
        "--validation-list val.txt --keep-statistics --rare 0.05 "
        "--precision bf16 --keep last --weights-as fp32 --device cpu --workers 0 --parallel 3 --threads 1 "
        "--minutes 2.5 --plot"
    )
    expected = TrainConfig(architecture="segnet", dataset=Path("photos"), out=Path("x.safetensors"), **given)
    assert parse(*command.split()) == expected
    assert {one.name for one in fields(TrainConfig)} - set(given) == {
        *("architecture", "dataset", "out"),
        *("finetune", "upsampling"),  # which do not go with `start`
    }


@pytest.mark.parametrize(
    ("arguments", "finetune"),
    [((), False), (("--finetune",), True), (("--finetune", "a.safetensors"), Path("a.safetensors"))],
)
def test_finetune_takes_a_file_or_nothing(arguments, finetune):
    assert parse(*arguments).finetune == finetune


def test_upsampling_is_read():
    assert parse("--upsampling", "shuffle").upsampling == "shuffle"


@pytest.mark.parametrize("option", ["--parallel", "--lanes"])
def test_parallel_keeps_its_old_name(option):
    assert parse(option, "3").parallel == 3


def test_the_help_names_flags_and_defaults():
    actions = {action.dest: action.help for action in train_actions()}
    assert actions["split_seed"] == "seed of the validation split (default: --seed)"
    assert actions["epochs"].endswith("(default 20)")
    assert actions["cooldown"].endswith("(default 0)")
    assert actions["keep"].endswith("(default best)")
    assert not any("default" in actions[name] for name in ("plot", "masks", "out", "architecture", "freeze"))
