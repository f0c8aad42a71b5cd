"""`seglib.train` from Python: a `TrainConfig` in, a checkpoint and a report out, with each refusal as one sentence."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import seglib
from seglib import TrainConfig
from seglib.classes import VOC_CLASSES
from seglib.data.resize import Resize
from seglib.errors import DatasetError, SegError, UnknownName, UsageError, WeightsError
from seglib.masks import png
from seglib.models import loading, registry, weights_file
from seglib.training import checkpoint
from seglib.training.train import default_side_range
from tests.seglib.training.plain_training import CLASSES, voc_folder

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture
def voc(tmp_path):
    return voc_folder(tmp_path / "voc", 12)


def configure(voc, out, **changes) -> TrainConfig:
    values = {
        "architecture": "tiny",
        "dataset": voc,
        "out": out,
        "classes": CLASSES,
        "resize": "64x32",
        "epochs": 1,
        "batch_size": 1,
        "short_side": (32, 64),
        "validation": 0.25,
        "rate": 0.02,
        "workers": 0,
        "precision": "fp32",
    }
    return TrainConfig(**(values | changes))


def train(voc, out, **changes) -> seglib.TrainReport:
    return seglib.train(configure(voc, out, **changes))


def stored_recipe(out) -> dict[str, object]:
    return json.loads(weights_file.read_metadata(out)["recipe"])


def test_a_training_reports_what_it_wrote_and_prints_nothing(voc, tmp_path, capfd):
    plans, steps, rows = [], [], []
    out = tmp_path / "made" / "pets.safetensors"
    report = seglib.train(
        configure(voc, out, epochs=2),
        on_start=plans.append,
        on_step=lambda progress, batches, loss: steps.append((progress.steps, batches, loss)),
        on_epoch=rows.append,
    )
    (plan,) = plans
    assert (len(plan.training), len(plan.validation), plan.device) == (9, 3, "cpu")
    assert plan.recipe.as_dict() == {**stored_recipe(out), "classes": CLASSES, "options": (), "frozen": ()} | {
        "short_side": (32, 64)
    }
    assert [number for number, _, _ in steps] == list(range(1, len(steps) + 1))
    assert all(loss > 0 for _, _, loss in steps)
    assert (report.checkpoint, report.epochs, report.is_paused) == (out, 2, False)
    assert list(report.rows) == rows
    table = pd.read_csv(out.with_suffix(".csv"))
    assert table["epoch"].tolist() == [1, 2]
    assert table["miou"].tolist() == [row["miou"] for row in rows]
    assert report.kept_epoch == int(weights_file.read_metadata(out)["epoch"]) == 1 + table["miou"].argmax()
    assert report.measures["miou"] == table["miou"].max()
    assert {"miou", "mdice", "pixel_accuracy", "iou:cat", "miou_mean"} < set(report.measures)
    assert not {"epoch", "photos", "seconds", "rate", "loss"} & set(report.measures)
    assert (tmp_path / "made" / "pets.val.txt").read_text().split() == [sample.name for sample in plan.validation]
    assert seglib.load_model(out).classifier.out_channels == 3
    assert capfd.readouterr() == ("", "")


VOC_SHOWN = ("background", "cat", "dog")


def trained_classes(file) -> list[str] | None:
    about = weights_file.read_metadata(file)
    return json.loads(about["trained_classes"]) if "trained_classes" in about else None


def test_a_checkpoint_says_which_of_its_classes_the_masks_showed(voc, tmp_path):
    train(voc, tmp_path / "a.safetensors", classes=None)
    spec = registry.find_model_spec(None, tmp_path / "a.safetensors")
    assert spec.classes == VOC_CLASSES
    assert spec.trained_classes == VOC_SHOWN
    assert spec.untrained_classes == tuple(name for name in VOC_CLASSES if name not in VOC_SHOWN)
    train(voc, tmp_path / "b.safetensors")
    assert registry.find_model_spec(None, tmp_path / "b.safetensors").untrained_classes == ()


def test_what_a_model_was_trained_on_before_counts_when_it_is_trained_on(voc, tmp_path):
    """Masks 08 are of cats, 12 of dogs; the second training shows dogs alone."""
    train(voc, tmp_path / "a.safetensors", classes=None)
    for file in sorted((voc / "SegmentationClass").iterdir())[::2]:
        file.unlink()
    train(voc, tmp_path / "b.safetensors", classes=None)
    assert trained_classes(tmp_path / "b.safetensors") == ["background", "dog"]
    train(voc, tmp_path / "c.safetensors", classes=None, start=tmp_path / "a.safetensors")
    assert trained_classes(tmp_path / "c.safetensors") == list(VOC_SHOWN)
    nameless = tmp_path / "nameless.pth"
    torch.save(seglib.load_model(tmp_path / "a.safetensors").state_dict(), nameless)
    about = {"architecture": "tiny", "classes": json.dumps(VOC_CLASSES), "resize": "64"}
    save_file(torch.load(nameless, weights_only=True), nameless.with_suffix(".safetensors"), about)
    train(voc, tmp_path / "d.safetensors", classes=None, start=nameless.with_suffix(".safetensors"))
    assert trained_classes(tmp_path / "d.safetensors") is None
    assert registry.find_model_spec(None, tmp_path / "d.safetensors").untrained_classes == ()


def test_a_teachers_classes_are_trained_too(voc, tmp_path):
    train(voc, tmp_path / "teacher.safetensors", classes=None)
    for file in sorted((voc / "SegmentationClass").iterdir())[::2]:
        file.unlink()
    train(voc, tmp_path / "a.safetensors", classes=None, teacher=tmp_path / "teacher.safetensors")
    assert trained_classes(tmp_path / "a.safetensors") == list(VOC_SHOWN)


def test_photos_of_rare_classes_are_drawn_more_often(voc, tmp_path):
    for file in sorted((voc / "SegmentationClass").iterdir())[2::2]:
        Image.fromarray(np.zeros((40, 48), np.uint8)).save(file)
    plans = []
    seglib.train(configure(voc, tmp_path / "a.safetensors", rare=0.6), on_start=plans.append)
    (plan,) = plans
    assert plan.recipe.rare == 0.6
    assert len(plan.repeats) == len(plan.training)
    assert max(plan.repeats) > min(plan.repeats) == 1


def test_a_list_says_what_is_held_out(voc, tmp_path):
    (tmp_path / "val.txt").write_text("03\n07.png\n")
    plans = []
    config = configure(voc, tmp_path / "a.safetensors", validation_list=tmp_path / "val.txt")
    seglib.train(config, on_start=plans.append)
    assert [sample.name for sample in plans[0].validation] == ["03.png", "07.png"]
    assert plans[0].recipe.validation == pytest.approx(2 / 12)


def test_the_last_epoch_is_kept_on_demand(voc, tmp_path):
    still = {"rate": 0.0, "freeze": ("backbone",), "epochs": 2}  # no epoch beats the first one
    assert train(voc, tmp_path / "best.safetensors", **still).kept_epoch == 1
    report = train(voc, tmp_path / "last.safetensors", **still, keep="last")
    assert (report.kept_epoch, weights_file.read_metadata(report.checkpoint)["epoch"]) == (2, "2")
    assert report.measures["miou"] == report.rows[1]["miou"]


def test_strings_and_paths_give_the_same_recipe(voc, tmp_path):
    first = train(voc, tmp_path / "first.safetensors").checkpoint
    recipes = []
    for number, kind in enumerate((str, Path)):
        out = tmp_path / f"{number}.safetensors"
        resize = "64x32" if kind is str else Resize("64x32")
        more = {"teacher": kind(first), "teacher_resize": resize, "soft_labels": kind(tmp_path / "soft")}
        more |= {"masks": kind(voc / "SegmentationClass"), "unlabelled": kind(voc / "JPEGImages")}
        more |= {"start": kind(first), "encoder": kind(first)}
        train(kind(voc / "JPEGImages"), kind(out), resize=resize, **more)
        recipes.append(stored_recipe(out))
    assert recipes[0] == recipes[1]
    tuned = [train(voc, tmp_path / f"{kind.__name__}.safetensors", finetune=kind(first)) for kind in (str, Path)]
    assert stored_recipe(tuned[0].checkpoint) == stored_recipe(tuned[1].checkpoint)


def test_everything_left_open_is_resolved(voc, tmp_path):
    out = tmp_path / "net.safetensors"
    train(voc, out, short_side=None, resize="96", seed=3, soft=2.0)
    resolved = stored_recipe(out)
    assert resolved["encoder_rate"] == 0.02 / 5
    assert (resolved["seed"], resolved["split_seed"]) == (3, 3)
    assert (resolved["lanes"], resolved["soft"], resolved["net_side"]) == (2, 0.0, 0)
    assert (resolved["base_side"], resolved["short_side"]) == (96, [96, 128])
    assert resolved["weights"] == ""


def test_fine_tuning_starts_from_a_checkpoint_with_a_new_head(voc, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    train(voc, first)
    for index in range(12):  # other masks: two classes by their values
        mask = voc / "SegmentationClass" / f"{index:02}.png"
        old = png.decode_index_png(mask.read_bytes())
        mask.write_bytes(png.encode_index_png(np.where(old == 255, 255, old > 0).astype(np.uint8)))
    train(voc, second, finetune=first, classes=("paper", "box"))
    spec = registry.find_model_spec(None, second)
    assert spec.classes == ("paper", "box")
    assert loading.load(spec).classifier.out_channels == 2


def test_fine_tuning_takes_the_published_weights_of_an_architecture(voc, tmp_path):
    out = tmp_path / "net.safetensors"
    train(
        voc,
        out,
        architecture="fcn_mobilenet_v2",
        finetune=True,
        rate=0.0,
        freeze=("backbone",),
        weights_as="fp32",
        batch_size=4,
    )
    published = seglib.load_model("fcn_mobilenet_v2").state_dict()
    made = weights_file.read_state_dict(out)
    assert torch.equal(made["backbone.0.0.weight"], published["backbone.0.0.weight"])
    assert stored_recipe(out)["net_side"] == seglib.MODELS["fcn_mobilenet_v2"].net_side


def test_start_continues_from_a_model_with_its_last_layer(voc, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    best = train(voc, first, epochs=2, weights_as="fp32").measures["miou"]
    report = train(voc, second, start=first, rate=0.0, freeze=("backbone",), weights_as="fp32")
    assert [row["miou"] for row in report.rows] == [best]
    with pytest.raises(UsageError, match=r"first.safetensors knows background, cat, dog.*with `finetune`"):
        train(voc, second, start=first, classes=("background", "cat"))


@pytest.mark.parametrize(("net_side", "expected"), [(None, [32, 64]), (48, [48, 48])])
def test_training_images_are_around_the_resize_or_at_the_models_own_side(voc, tmp_path, net_side, expected):
    out = tmp_path / "net.safetensors"
    train(voc, out, short_side=None, net_side=net_side)
    assert stored_recipe(out)["short_side"] == expected


@pytest.mark.parametrize(("side", "expected"), [(224, (192, 320)), (96, (96, 128)), (32, (32, 32)), (384, (320, 544))])
def test_the_default_range_of_sides_is_around_the_checkpoints_own(side, expected):
    assert default_side_range(side) == expected


def test_a_model_keeps_its_own_side_in_later_trainings(voc, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    train(voc, first, net_side=48)
    for start in ("start", "finetune"):
        train(voc, second, **{start: first})
        assert registry.find_model_spec(None, second).net_side == 48
        checkpoint.state_path(second).unlink()
    train(voc, second, start=first, net_side=64)
    assert registry.find_model_spec(None, second).net_side == 64
    train(voc, tmp_path / "plain.safetensors")
    assert registry.find_model_spec(None, tmp_path / "plain.safetensors").net_side == 0


def test_the_split_may_stay_while_all_other_randomness_changes(voc, tmp_path):
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    train(voc, first, seed=3)
    train(voc, second, seed=4, split_seed=3)
    assert (tmp_path / "first.val.txt").read_text() == (tmp_path / "second.val.txt").read_text()
    assert not torch.equal(*(weights_file.read_state_dict(made)["classifier.weight"] for made in (first, second)))


def test_a_started_model_may_take_another_encoder(voc, tmp_path):
    first, encoder, second = (tmp_path / f"{name}.safetensors" for name in ("first", "encoder", "second"))
    train(voc, first, weights_as="fp32")
    train(voc, encoder, encoder=first, weights_as="fp32")
    train(voc, second, start=first, encoder=encoder, rate=0.0, weights_as="fp32")
    made, head, below = (weights_file.read_state_dict(path) for path in (second, first, encoder))
    for name in ("backbone.0.weight", "classifier.weight"):
        assert not torch.equal(head[name], below[name])
    assert torch.equal(made["backbone.0.weight"], below["backbone.0.weight"])
    assert torch.equal(made["classifier.weight"], head["classifier.weight"])  # the last layer says what classes mean
    assert stored_recipe(second)["weights"] == "+".join(weights_file.file_sha256(path) for path in (first, encoder))


def test_a_teachers_soft_labels_are_computed_once_and_reused(voc, tmp_path):
    teacher, out = tmp_path / "teacher.safetensors", tmp_path / "pupil.safetensors"
    train(voc, teacher)
    seen, plans = [], []
    seglib.train(
        configure(voc, out, teacher=teacher, unlabelled=voc / "JPEGImages", soft=2.0),
        on_teacher=lambda progress: seen.append((progress.title, progress.done, progress.total)),
        on_start=plans.append,
    )
    assert seen == [("tiny at 64x32", done, 21) for done in range(1, 22)]
    assert len(plans[0].training) == 21
    assert len(list((tmp_path / "pupil.soft").rglob("*.npy"))) == 12  # equal images have one soft label
    assert json.loads((tmp_path / "pupil.soft" / "teacher.json").read_text())["model"] == "tiny"
    assert stored_recipe(out)["soft"] == 2.0
    train(voc, tmp_path / "second.safetensors", soft_labels=tmp_path / "pupil.soft")
    assert stored_recipe(tmp_path / "second.safetensors")["soft"] == 1.0


@pytest.mark.parametrize("workers", [0, 1])
def test_soft_labels_that_are_missing_are_a_sentence_whoever_loads_them(voc, tmp_path, workers):
    teacher = train(voc, tmp_path / "teacher.safetensors").checkpoint
    soft = tmp_path / "soft"
    train(voc, tmp_path / "a.safetensors", teacher=teacher, soft_labels=soft)
    for file in soft.glob("*/*.npy"):
        file.unlink()
    with pytest.raises(DatasetError) as caught:
        train(voc, tmp_path / "b.safetensors", soft_labels=soft, workers=workers)
    assert re.fullmatch(r"There are no soft labels of '\d\d.png' in 'soft': add the `teacher`\.", str(caught.value))


def test_time_that_is_spent_pauses_and_the_same_call_continues(voc, tmp_path):
    out = tmp_path / "net.safetensors"
    paused = train(voc, out, minutes=0.0001)
    assert (paused.is_paused, paused.epochs, paused.kept_epoch, paused.rows, paused.measures) == (True, 0, None, (), {})
    assert not out.exists()
    report = train(voc, out)
    assert (report.is_paused, report.epochs) == (False, 1)
    assert out.exists()
    assert train(voc, out) == report


def test_patience_that_is_spent_is_an_end_and_no_pause(voc, tmp_path):
    report = train(voc, tmp_path / "net.safetensors", epochs=9, rate=0.0, patience=1, freeze=("backbone",))
    assert (report.is_paused, report.epochs) == (False, 2)


def test_other_weights_or_photos_are_no_continuation(voc, tmp_path):
    first, second, out = (tmp_path / f"{name}.safetensors" for name in ("first", "second", "out"))
    for seed, made in enumerate((first, second)):
        train(voc, made, seed=seed)
    train(voc, out, finetune=first, minutes=0.0001)
    with pytest.raises(UsageError, match="was begun with another value of weights: give the same settings"):
        train(voc, out, finetune=second)
    for folder in ("JPEGImages", "SegmentationClass"):
        next((voc / folder).iterdir()).unlink()
    with pytest.raises(UsageError, match="was begun with another value of photos"):
        train(voc, out, finetune=first)
    with pytest.raises(UsageError, match="another value of photos, seed, split_seed, weights"):
        train(voc, out, finetune=second, seed=3)


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"dataset": "nowhere"}, DatasetError, "'nowhere' is not a folder"),
        ({"dataset": "."}, DatasetError, "name the folder of its `masks`"),
        ({"masks": "nowhere"}, DatasetError, "name the folder that holds the masks"),
        ({"validation": 0.01}, DatasetError, "another share for `validation`"),
        ({"classes": ("cat", "dog")}, UsageError, "expected background"),
        ({"classes": ("background", "cat", "cat")}, UsageError, "Name each class once"),
        ({"teacher": "x.safetensors"}, WeightsError, "no weights file 'x.safetensors'"),
        ({"soft_labels": "x"}, UsageError, r"holds no soft labels \(teacher.json\): make them with a `teacher`"),
        ({"finetune": True}, UnknownName, "There is no model 'tiny'"),
        ({"start": "x.safetensors"}, WeightsError, "There is no weights file 'x.safetensors'"),
        ({"upsampling": "shuffle"}, UsageError, "has no option upsampling"),
        ({"encoder": "nowhere.pth"}, WeightsError, "'nowhere.pth' cannot be read"),
        ({"freeze": ("backbone.77",)}, UsageError, "has no module 'backbone.77'"),
        ({"freeze": ("backbone", "classifier")}, UsageError, "`freeze` names all modules"),
        ({"rate": 1e30}, SegError, "start over with a lower `rate`"),
    ],
)
def test_what_does_not_fit_the_data_or_the_model_is_one_sentence(voc, tmp_path, monkeypatch, changes, error, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=sentence) as refused:
        train(voc, "net.safetensors", **changes)
    assert "--" not in str(refused.value)
    assert not Path("net.safetensors").exists()


def test_without_matplotlib_a_plot_is_refused_before_training(voc, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"`plot` draws with matplotlib.*pip install '.\[train\]'"):
        train(voc, tmp_path / "net.safetensors", plot=True)
    assert list(tmp_path.glob("net*")) == []


def test_the_number_of_threads_holds_for_one_training(voc, tmp_path):
    before, during = torch.get_num_threads(), []
    other = 1 if before > 1 else 2
    seglib.train(
        configure(voc, tmp_path / "net.safetensors", threads=other),
        on_step=lambda *_: during.append(torch.get_num_threads()),
    )
    assert set(during) == {other}
    assert torch.get_num_threads() == before
