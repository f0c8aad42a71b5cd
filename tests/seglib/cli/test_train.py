"""`seglib train` from the shell's side: a net of one's own, then `run --weights`; and each sentence of refusal."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from seglib.cli import main
from seglib.masks import png
from seglib.models import loading, registry, weights_file
from seglib.training import checkpoint
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


def test_a_net_of_ones_own_is_trained_and_used(voc, tmp_path, capsys):
    out, store = tmp_path / "made" / "pets.safetensors", tmp_path / "store"
    assert train("tiny", voc, "--classes", "background,cat,dog", "--out", out, *SMALL) == 0
    said = capsys.readouterr()
    assert "9 photos to train on, 3 to validate, 3 classes, on cpu in fp32" in said.err
    assert "epoch 2 of 2: loss " in said.err
    assert f"python -m seglib run FOLDER --weights {out}" in said.out
    best = int(weights_file.read_metadata(out)["epoch"])
    assert f"of validation, epoch {best}\n" in said.out
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


def test_fine_tuning_starts_from_a_checkpoint_under_a_new_head(voc, tmp_path, capsys):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    assert train("tiny", voc, "--classes", "background,cat,dog", "--out", first, *SMALL) == 0
    for index in range(12):  # other masks: two classes by their values
        mask = voc / "SegmentationClass" / f"{index:02}.png"
        old = png.decode_index_png(mask.read_bytes())
        mask.write_bytes(png.encode_index_png(np.where(old == 255, 255, old > 0).astype(np.uint8)))
    assert train("tiny", voc, "--finetune", first, "--classes", "paper,box", "--out", second, *SMALL) == 0
    spec = registry.find_model_spec(None, second)
    assert spec.classes == ("paper", "box")
    assert loading.load(spec).classifier.out_channels == 2
    assert "mIoU" in capsys.readouterr().out


def test_another_leg_goes_on_from_the_net_as_it_is(voc, tmp_path, capsys):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    pets = ("tiny", voc, "--classes", "background,cat,dog", *SMALL, "--weights-as", "fp32")
    assert train(*pets, "--out", first) == 0
    still = ("--rate", "0", "--freeze", "backbone", "--epochs", "1")
    assert train(*pets, "--start", first, "--out", second, *still) == 0
    best = pd.read_csv(tmp_path / "first.csv")["miou"].max()
    assert pd.read_csv(tmp_path / "second.csv")["miou"].tolist() == [best]
    capsys.readouterr()
    assert train("tiny", voc, "--classes", "background,cat", *SMALL, "--start", first, "--out", second) == 2
    assert "first.safetensors knows background, cat, dog" in capsys.readouterr().err


@pytest.mark.parametrize(("more", "expected"), [((), [32, 64]), (("--net-side", "48"), [48, 48])])
def test_pictures_are_around_the_resize_or_as_large_as_the_net_sees_them(voc, tmp_path, more, expected):
    out = tmp_path / "net.safetensors"
    named = [one for one in SMALL if one not in ("--short-side", "32-64")]
    assert train("tiny", voc, "--classes", "background,cat,dog", *named, "--epochs", "1", *more, "--out", out) == 0
    assert json.loads(weights_file.read_metadata(out)["recipe"])["short_side"] == expected


def test_a_net_keeps_its_own_side_in_later_legs(voc, tmp_path, capsys):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    pets = ("tiny", voc, "--classes", "background,cat,dog", *SMALL, "--epochs", "1")
    assert train(*pets, "--out", first, "--net-side", "48") == 0
    for how in ("--start", "--finetune"):
        assert train(*pets, how, first, "--out", second) == 0
        assert registry.find_model_spec(None, second).net_side == 48
        checkpoint.state_path(second).unlink()
    assert train(*pets, "--start", first, "--out", second, "--net-side", "64") == 0
    assert registry.find_model_spec(None, second).net_side == 64
    assert train(*pets, "--out", tmp_path / "plain.safetensors") == 0
    assert registry.find_model_spec(None, tmp_path / "plain.safetensors").net_side == 0
    assert train(*pets, "--out", tmp_path / "x.safetensors", "--net-side", "9") == 2
    assert "A net side of 9 is out of range: expected 32 to 8192 pixels" in capsys.readouterr().err


def test_the_split_may_stay_while_all_other_chance_changes(voc, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    for out, seeds in ((first, ("--seed", 3)), (second, ("--seed", 4, "--split-seed", 3))):
        assert train("tiny", voc, "--classes", "background,cat,dog", "--out", out, *SMALL, *seeds) == 0
    assert (tmp_path / "first.val.txt").read_text() == (tmp_path / "second.val.txt").read_text()
    assert not torch.equal(*(weights_file.read_state_dict(made)["classifier.weight"] for made in (first, second)))


def test_another_leg_may_stand_on_another_encoder(voc, tmp_path):
    first, encoder, second = (tmp_path / f"{name}.safetensors" for name in ("first", "encoder", "second"))
    pets = ("tiny", voc, "--classes", "background,cat,dog", *SMALL, "--weights-as", "fp32", "--epochs", "1")
    assert train(*pets, "--out", first) == 0
    assert train(*pets, "--out", encoder, "--encoder", first) == 0
    assert train(*pets, "--start", first, "--encoder", encoder, "--out", second, "--rate", "0") == 0
    made, head, below = (weights_file.read_state_dict(path) for path in (second, first, encoder))
    for name in ("backbone.0.weight", "classifier.weight"):
        assert not torch.equal(head[name], below[name])
    assert torch.equal(made["backbone.0.weight"], below["backbone.0.weight"])
    assert torch.equal(made["classifier.weight"], head["classifier.weight"])  # the last layer says what classes mean
    assert json.loads(weights_file.read_metadata(second)["recipe"])["weights"] == "+".join(
        weights_file.file_sha256(path) for path in (first, encoder)
    )


def test_a_teacher_is_asked_once_and_helps(voc, tmp_path, capsys):
    teacher, out = tmp_path / "teacher.safetensors", tmp_path / "pupil.safetensors"
    classes = ("--classes", "background,cat,dog")
    assert train("tiny", voc, *classes, "--out", teacher, *SMALL) == 0
    unlabelled = ("--unlabelled", voc / "JPEGImages")
    assert train("tiny", voc, *classes, "--out", out, "--teacher", teacher, *unlabelled, *SMALL) == 0
    assert "21 photos to train on" in capsys.readouterr().err
    assert len(list((tmp_path / "pupil.soft").rglob("*.npy"))) == 12
    assert json.loads((tmp_path / "pupil.soft" / "teacher.json").read_text())["model"] == "tiny"


def test_time_pauses_and_the_same_command_continues(voc, tmp_path, capsys):
    out = tmp_path / "net.safetensors"
    command = ("tiny", voc, "--out", out, *SMALL)
    assert train(*command, "--minutes", "0.0001") == 0
    assert "paused after 0 epochs; the same command continues" in capsys.readouterr().out
    assert not out.exists()
    assert train(*command) == 0
    assert out.exists()


def test_other_weights_or_photos_are_no_continuation(voc, tmp_path, capsys):
    first, second, out = (tmp_path / f"{name}.safetensors" for name in ("first", "second", "out"))
    for seed, made in enumerate((first, second)):
        assert train("tiny", voc, "--out", made, *SMALL, "--seed", seed) == 0
    tuning = ("tiny", voc, "--out", out, *SMALL, "--minutes", "0.0001", "--finetune")
    assert train(*tuning, first) == 0
    capsys.readouterr()
    assert train(*tuning, second) == 2
    assert "was begun with another value of weights" in capsys.readouterr().err
    for folder in ("JPEGImages", "SegmentationClass"):
        next((voc / folder).iterdir()).unlink()
    assert train(*tuning, first) == 2
    assert "was begun with another value of photos" in capsys.readouterr().err
    assert train("tiny", voc, "--out", out, *SMALL, "--finetune", second, "--seed", "3") == 2
    assert "another value of photos, seed, split_seed, weights" in capsys.readouterr().err


def test_patience_that_is_spent_is_an_end_and_no_pause(voc, tmp_path, capsys):
    still = ("--rate", "0", "--patience", "1", "--freeze", "backbone")
    assert train("tiny", voc, "--out", tmp_path / "net.safetensors", *SMALL, "--epochs", "9", *still) == 0
    said = capsys.readouterr()
    assert "paused" not in said.out
    assert "epoch 2 of 9" in said.err
    assert "epoch 3 of 9" not in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("magic",), 2, "There is no model 'magic'"),
        (("tiny", "--classes", "cat,dog"), 2, "expected background"),
        (("tiny", "--unlabelled", "x"), 2, "add --teacher"),
        (("tiny", "--teacher", "x.pth"), 2, "'x.pth' is neither"),
        (("tiny", "--teacher", "x.safetensors"), 1, "no weights file 'x.safetensors'"),
        (("tiny", "--soft-labels", "x"), 2, "holds no soft labels"),
        (
            ("tiny", "--finetune", "--upsampling", "shuffle"),
            2,
            "leave out --upsampling and, with --finetune, --encoder",
        ),
        (("tiny", "--finetune", "--encoder", "x.pth"), 2, "leave out --upsampling and, with --finetune, --encoder"),
        (("tiny", "--start", "x.safetensors", "--finetune"), 2, "give one of them"),
        (("tiny", "--start", "x.safetensors"), 1, "There is no weights file 'x.safetensors'"),
        (("tiny", "--upsampling", "shuffle"), 2, "has no option upsampling"),
        (("tiny", "--encoder", "nowhere.pth"), 1, "'nowhere.pth' cannot be read"),
        (("tiny", "--masks", "nowhere"), 1, "name the folder that holds the masks"),
        (("tiny", "--schedule", "step"), 2, "A schedule is one of"),
        (("tiny", "--freeze", "backbone.77"), 2, "has no module 'backbone.77'"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(voc, tmp_path, capsys, monkeypatch, arguments, code, sentence):
    monkeypatch.chdir(tmp_path)
    name, *rest = arguments
    if "--unlabelled" in rest:
        rest[1] = str(voc / "JPEGImages")
    assert train(name, voc, "--out", "net.safetensors", *SMALL, *rest) == code
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("seglib: ")
    assert sentence in said
    assert not (tmp_path / "net.safetensors").exists()


def test_another_ending_than_safetensors_is_a_sentence(voc, capsys):
    assert train("tiny", voc, "--out", "net.pth") == 2
    assert "expected a name that ends in .safetensors" in capsys.readouterr().err


def test_without_matplotlib_a_plot_is_refused_before_training(voc, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert train("tiny", voc, "--out", tmp_path / "net.safetensors", "--plot", *SMALL) == 2
    assert "pip install '.[train]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "wrong",
    [("--short-side", "320"), ("--classes", "a,,b"), ("--rate", "-1"), ("--epochs", "0"), ("--rate", "much")],
)
def test_a_value_that_cannot_be_read_is_a_usage_error(voc, wrong):
    with pytest.raises(SystemExit) as stopped:
        train("tiny", voc, "--out", "net.safetensors", *wrong)
    assert stopped.value.code == 2


@pytest.mark.parametrize(("side", "wanted"), [(224, (192, 320)), (96, (96, 128)), (32, (32, 32)), (384, (320, 544))])
def test_training_pictures_are_about_as_large_as_the_checkpoints_own(side, wanted):
    from seglib.cli.train import default_side_range

    assert default_side_range(side) == wanted


@pytest.mark.parametrize("option", ["--parallel", "--lanes"])
def test_parallel_keeps_its_old_name(option):
    assert (
        main.build_parser().parse_args(["train", "segnet", "photos", "--out", "x.safetensors", option, "3"]).lanes == 3
    )
