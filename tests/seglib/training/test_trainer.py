"""The training loop on a tiny net: it learns, it continues after a kill to the same numbers, its files are whole."""

import csv
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open

from seglib.classes import VOC_CLASSES
from seglib.data import resize
from seglib.data.image import decode
from seglib.errors import SegError, UsageError, WeightsError
from seglib.inference.config import InferenceConfig
from seglib.inference.predictor import predict_batch, prepare_image
from seglib.masks import png
from seglib.models import loading, registry, transfer, weights_file
from seglib.training import checkpoint, dataloader, dataset, trainer
from seglib.training.recipe import CropSize, TrainRecipe
from tests.conftest import ROOT
from tests.seglib.training import plain_training as plain

THREE = ("background", "leaf", "flower")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(registry.TRAINABLE, "tiny", plain.TinyNet)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return plain.voc_folder(tmp_path_factory.mktemp("voc"))


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """A training that nobody interrupted."""
    out = tmp_path_factory.mktemp("whole") / "net.safetensors"
    return out, plain.train(folder, out)


def numbers(out):
    """The table without what a clock says."""
    with out.with_suffix(".csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def test_it_learns(whole):
    _, progress = whole
    first, last = progress.rows[0], progress.rows[-1]
    assert last["loss"] < first["loss"]
    assert [row["epoch"] for row in progress.rows] == [1, 2, 3]
    assert last["photos"] == 3 * 18


def test_the_table_has_both_reductions_and_each_class(whole):
    rows = numbers(whole[0])
    assert len(rows) == 3
    assert {"loss", "rate", "miou", "miou_mean", "mdice", "mdice_mean", "pixel_accuracy", "pixel_accuracy_mean"} < set(
        rows[0]
    )
    assert {f"iou:{name}" for name in plain.CLASSES} < set(rows[0])


@pytest.mark.parametrize("stopped_at", [1, 8, 17])
def test_an_interrupted_training_ends_at_the_same_numbers(folder, whole, tmp_path, monkeypatch, stopped_at):
    monkeypatch.setattr(trainer, "SAVE_INTERVAL_SECONDS", 0.0)

    def stop(progress, *_):
        if progress.steps == stopped_at:
            raise KeyboardInterrupt

    out = tmp_path / "net.safetensors"
    with pytest.raises(KeyboardInterrupt):
        plain.train(folder, out, on_step=stop)
    plain.train(folder, out)
    assert numbers(out) == numbers(whole[0])
    assert_same_state(out, whole[0])


@pytest.mark.slow
def test_a_killed_training_ends_at_the_same_numbers(folder, whole, tmp_path):
    out = tmp_path / "net.safetensors"
    command = [sys.executable, "-m", "tests.seglib.training.plain_training", str(folder), str(out)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line == "step 11\n":
                os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    plain.train(folder, out)
    assert numbers(out) == numbers(whole[0])
    assert_same_state(out, whole[0])


def assert_same_state(one, other):
    a, b = (torch.load(checkpoint.state_path(path), weights_only=True) for path in (one, other))
    for part in ("net", "average"):
        for name, value in a[part].items():
            assert torch.equal(value, b[part][name]), name


def test_time_that_is_spent_pauses_and_the_same_call_continues(folder, whole, tmp_path):
    out = tmp_path / "net.safetensors"
    paused = plain.train(folder, out, seconds=0.0)
    assert paused.steps == 1
    plain.train(folder, out)
    assert numbers(out) == numbers(whole[0])


def test_what_is_done_is_not_done_again(folder, whole, tmp_path):
    out, before = whole
    progress = plain.train(folder, out, on_step=lambda *_: pytest.fail("a step"))
    assert progress.rows == before.rows


def test_another_recipe_does_not_continue_this_state(folder, whole):
    with pytest.raises(UsageError, match="another value of rate: give the same settings"):
        plain.train(folder, whole[0], plain.recipe(rate=0.5))


def test_a_constant_rate_is_prolonged(folder, tmp_path):
    short, long = tmp_path / "short.safetensors", tmp_path / "long.safetensors"
    plain.train(folder, short, plain.recipe(schedule="constant", epochs=1))
    plain.train(folder, short, plain.recipe(schedule="constant", epochs=2))
    plain.train(folder, long, plain.recipe(schedule="constant", epochs=2))
    assert numbers(short) == numbers(long)


def test_a_state_without_its_net_is_a_sentence(folder, whole, tmp_path):
    out = tmp_path / "net.safetensors"
    state = torch.load(checkpoint.state_path(whole[0]), weights_only=True)
    torch.save({**state, "net": {}}, checkpoint.state_path(out))
    with pytest.raises(WeightsError, match="cannot be read"):
        plain.train(folder, out)


def test_a_damaged_state_is_a_sentence(folder, tmp_path):
    out = tmp_path / "net.safetensors"
    checkpoint.state_path(out).write_bytes(b"no state")
    with pytest.raises(WeightsError, match="cannot be read"):
        plain.train(folder, out)


def test_the_checkpoint_says_all_that_a_run_needs(whole):
    out, progress = whole
    with safe_open(out, "pt") as file:
        about = file.metadata()
    assert json.loads(about["classes"]) == list(plain.CLASSES)
    assert (about["architecture"], about["resize"]) == ("tiny", "64")
    assert TrainRecipe.from_dict(json.loads(about["recipe"])) == plain.recipe()
    spec = registry.find_model_spec(None, out)
    assert (spec.classes, spec.resize.text, spec.mean) == (plain.CLASSES, "64", registry.IMAGENET_MEAN)
    assert spec.parameters == sum(p.numel() for p in plain.TinyNet(3).parameters())
    assert about["validation_miou"] == f"{progress.best:.4f}"
    assert int(about["epoch"]) == 1 + np.argmax([row["miou"] for row in progress.rows])


def test_a_net_that_learnt_at_a_side_of_its_own_is_validated_and_used_at_it(folder, tmp_path):
    """The table's figures are those of the masks that a run with the checkpoint would make."""
    out = tmp_path / "net.safetensors"
    made = plain.recipe(net_side=48, epochs=1)
    progress = plain.train(folder, out, made)
    spec = registry.find_model_spec(None, out)
    assert spec.net_side == 48
    pairs, what = dataset.find_samples(folder, classes=made.classes)
    settings = InferenceConfig(resize=spec.resize)
    right, seen = [], []
    for pair in dataset.split(pairs, made.validation, made.seed)[1]:
        photo, truth = dataset.load_sample(pair, what)
        image, grid_wh = prepare_image(photo, spec, settings)
        (mask,), _ = predict_batch(image[None], spec, settings, grid_wh)
        right.append(truth[truth != 255])
        seen.append(png.resize_mask(mask, photo.size)[truth != 255])
    equal = np.concatenate(right) == np.concatenate(seen)
    assert progress.rows[0]["pixel_accuracy"] == pytest.approx(equal.mean(), abs=2e-3)  # fp16
    with pytest.raises(UsageError, match="A net side of 16 is out of range: expected 32 to 8192 pixels"):
        plain.recipe(net_side=16)


def test_the_checkpoint_is_the_mean_of_weights_that_was_validated(folder, tmp_path):
    out = tmp_path / "net.safetensors"
    plain.train(folder, out, plain.recipe(epochs=1))
    state = torch.load(checkpoint.state_path(out), weights_only=True)["average"]
    net = loading.load(registry.find_model_spec(None, out))
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=1e-3, atol=1e-3)  # fp16


@pytest.mark.parametrize(("last", "epoch"), [(False, "1"), (True, "3")])
def test_the_checkpoint_is_of_the_best_epoch_or_of_the_last_one(folder, tmp_path, last, epoch):
    still = plain.recipe(rate=0.0, encoder_rate=0.0, average=0.0, frozen=("backbone",))  # no epoch beats the first one
    plain.train(folder, out := tmp_path / "net.safetensors", still, last=last)
    assert weights_file.read_metadata(out)["epoch"] == epoch


def test_patience_stops_training(folder, tmp_path):
    still = plain.recipe(epochs=50, rate=0.0, encoder_rate=0.0, average=0.0, patience=2, frozen=("backbone",))
    assert plain.train(folder, tmp_path / "net.safetensors", still).epoch == 3


def test_frozen_modules_keep_their_weights_and_their_statistics(folder, tmp_path):
    torch.manual_seed(0)
    before = plain.TinyNet(3).state_dict()
    out = tmp_path / "net.safetensors"
    plain.train(folder, out, plain.recipe(epochs=1, frozen=("backbone",), average=0.0))
    after = torch.load(checkpoint.state_path(out), weights_only=True)["net"]
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if name.startswith("backbone.")}


@pytest.mark.parametrize("keeps", [False, True])
def test_batch_norms_keep_their_statistics_on_demand_and_learn_all_the_same(folder, tmp_path, keeps):
    begun, out = plain.TinyNet(3).backbone[1], tmp_path / "net.safetensors"
    plain.train(folder, out, plain.recipe(keep_statistics=keeps, epochs=1))
    learnt = weights_file.read_state_dict(out)
    assert torch.equal(learnt["backbone.1.running_mean"], begun.running_mean) is keeps
    assert not torch.equal(learnt["backbone.1.weight"], begun.weight)


def test_a_loss_that_is_no_number_is_a_sentence(folder, tmp_path):
    with pytest.raises(SegError, match="lower `rate`"):
        plain.train(folder, tmp_path / "net.safetensors", plain.recipe(rate=float("inf"), warmup=0.0))


def test_the_plot_is_drawn_or_its_absence_is_a_sentence(whole, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install '.\[train\]'"):
        trainer.check_plot()
    monkeypatch.undo()
    trainer.check_plot()
    trainer.draw_curves(tmp_path / "plot.png", whole[1].rows)
    assert decode((tmp_path / "plot.png").read_bytes()).width > 500


# --- what a net sees ---


def test_each_photo_is_seen_once_per_epoch_in_another_order():
    made = plain.recipe(batch_size=4)
    plans = [dataloader.plan_batches([1.0] * 37, made, epoch) for epoch in (0, 1)]
    orders = [[position for batch in plan for position in batch.positions] for plan in plans]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(37))
    assert orders[0] != orders[1]
    assert dataloader.plan_batches([1.0] * 37, made, 0) == plans[0]
    assert all(len(batch.positions) > 1 for plan in plans for batch in plan)


def test_an_epoch_draws_a_photo_as_often_as_its_factor_says():
    draws = [dataloader.draw_images([1.0, 2.5, 3.0], dataloader.make_generator(seed)).tolist() for seed in range(400)]
    counts = np.array([np.bincount(drawn, minlength=3) for drawn in draws])
    assert set(map(tuple, counts)) == {(1, 2, 3), (1, 3, 3)}
    assert 2.4 < counts[:, 1].mean() < 2.6


@pytest.mark.parametrize("net_side", [0, 288])
def test_batches_have_as_many_pixels_for_the_net_whatever_their_frames(net_side):
    made = plain.recipe(batch_size=16, base_side=224, short_side=(192, 448), net_side=net_side)
    pixels = [
        len(batch.positions) * np.prod(resize.input_size_wh(batch.crop_size.width, batch.crop_size.height, net_side))
        for batch in dataloader.plan_batches([1.0] * 2000, made, 0)[:-1]
    ]
    assert max(pixels) < 1.4 * min(pixels)


def test_a_box_lies_within_its_photo_and_is_mostly_all_of_it():
    random = dataloader.make_generator(1)
    whole = 0
    for _ in range(300):
        box = dataloader.sample_crop_box((384, 256), CropSize(224, 224), 0.6, random)
        assert -1e-6 <= box.left <= 384 - box.width + 1e-6
        assert -1e-6 <= box.top <= 256 - box.height + 1e-6
        assert box.width * box.height >= 0.1 * 384 * 256
        whole += (round(box.width), round(box.height)) == (384, 256)
    assert 140 < whole < 220


def test_photo_mask_and_soft_labels_stay_on_top_of_each_other():
    """The photo's light says where the object is; mask and soft labels must say the same wherever it is put."""
    mask = torch.zeros(96, 144, dtype=torch.uint8)
    mask[20:70, 30:110] = 1
    photo = (255 * mask).expand(3, 96, 144)
    soft = torch.stack([1.0 - mask[::2, ::2], mask[::2, ::2].float()]) * 20
    made = plain.recipe(loss_stride=2, whole=0.3)
    for seed in range(20):
        seen, where, probability = dataloader.augment_image(
            photo, mask, soft, crop_size=CropSize(64, 96), recipe=made, random=dataloader.make_generator(seed)
        )
        assert (seen.shape, where.shape, probability.shape) == ((3, 64, 96), (32, 48), (2, 8, 12))
        assert (seen.dtype, where.dtype) == (torch.uint8, torch.int64)
        light = torch.nn.functional.avg_pool2d((seen[0] > 60).float()[None], 2)[0]
        assert ((light > 0.5) == (where == 1)).float().mean() > 0.95
        coarse = torch.nn.functional.avg_pool2d((where == 1).float()[None], 4)[0]
        sure = (coarse == 0) | (coarse == 1)
        assert ((probability[1] > 0.5) == (coarse == 1))[sure].float().mean() > 0.97
        torch.testing.assert_close(probability.sum(0), torch.ones(8, 12))


def test_a_mirror_image_is_seen_half_of_the_time():
    photo = torch.zeros(3, 64, 64, dtype=torch.uint8)
    photo[:, :, :32] = 200
    mask = torch.zeros(64, 64, dtype=torch.uint8)
    made = plain.recipe(whole=1.0)
    left = sum(
        bool(
            dataloader.augment_image(
                photo, mask, None, crop_size=CropSize(64, 64), recipe=made, random=dataloader.make_generator(0, seed)
            )[0][0, 30, 5]
            > 50
        )
        for seed in range(100)
    )
    assert 30 < left < 70


# --- where training starts ---


def test_the_encoder_takes_weights_of_the_same_shape(tmp_path):
    net = transfer.init_model("tiny", THREE, options={}, seed=1, encoder=None)
    state = {f"features.{name}": value + 1 for name, value in net.backbone.state_dict().items()}
    torch.save(state, tmp_path / "encoder.pth")
    filled = transfer.init_model("tiny", THREE, options={}, seed=1, encoder=tmp_path / "encoder.pth")
    assert torch.equal(filled.backbone[0].weight, net.backbone[0].weight + 1)
    assert torch.equal(filled.classifier.weight, net.classifier.weight)
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other.pth does not fit this encoder: 0.weight"):
        transfer.init_model("tiny", THREE, options={}, seed=1, encoder=tmp_path / "other.pth")


def test_the_encoder_takes_that_of_another_net(whole):
    trained = loading.load(registry.find_model_spec(None, whole[0]))
    filled = transfer.init_model("tiny", tuple("abcdefg"), options={}, seed=1, encoder=whole[0])
    for name, value in trained.backbone.state_dict().items():
        assert torch.equal(filled.backbone.state_dict()[name], value), name


@pytest.mark.parametrize("classes", [VOC_CLASSES, VOC_CLASSES[::-1]])
def test_a_unet_takes_all_of_an_fcn_and_its_scores_if_they_are_of_the_same_classes(classes):
    fcn = registry.MODELS["fcn_mobilenet_v2"]
    trained = loading.load(fcn).state_dict()
    new, filled = (
        transfer.init_model(
            "unet_mobilenet_v2", classes, options={"head": "fused"}, seed=1, encoder=encoder
        ).state_dict()
        for encoder in (None, fcn.path)
    )
    scores = {f"classifier.{layer}.{kind}" for layer in ("classify", "coarse") for kind in ("weight", "bias")}
    assert trained.keys() - new.keys() == set()
    for name, value in filled.items():
        taken = name in trained and (classes == VOC_CLASSES or name not in scores)
        assert torch.equal(value, (trained if taken else new)[name]), name


def test_segnets_encoder_takes_vgg16s_weights(tmp_path):
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(2)
    vgg = make_layers(cfgs["D"], batch_norm=True).eval()
    torch.save({f"features.{name}": value for name, value in vgg.state_dict().items()}, tmp_path / "v.pth")
    net = transfer.init_model("segnet", THREE[:2], options={}, seed=1, encoder=tmp_path / "v.pth").eval()
    picture = torch.randn(1, 3, 64, 64)
    pooled = picture
    with torch.inference_mode():
        for stage in net.backbone:
            pooled = net.pool(stage(pooled))[0]
        torch.testing.assert_close(pooled, vgg(picture))


def test_a_choice_that_an_architecture_lacks_is_a_sentence():
    with pytest.raises(UsageError, match="tiny has no option upsampling"):
        transfer.init_model("tiny", THREE, options={"upsampling": "shuffle"}, seed=1, encoder=None)


def test_fine_tuning_keeps_all_but_the_last_layer(whole):
    spec = registry.find_model_spec(None, whole[0])
    trained, net = loading.load(spec), transfer.init_with_new_head(spec, 3, seed=4)
    assert torch.equal(net.backbone[0].weight, trained.backbone[0].weight)
    assert not torch.equal(net.classifier.weight, trained.classifier.weight)
    assert transfer.init_with_new_head(spec, 7, seed=4).classifier.out_channels == 7


def test_continued_training_starts_from_the_whole_model(whole):
    spec = registry.find_model_spec(None, whole[0])
    trained, net = loading.load(spec), transfer.init_from_trained(spec, spec.classes)
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), net.parameters(), strict=True))
    with pytest.raises(UsageError, match="knows background, cat, dog, and background, leaf are to be learnt: give it"):
        transfer.init_from_trained(spec, ("background", "leaf"))
