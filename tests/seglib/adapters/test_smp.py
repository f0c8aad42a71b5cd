"""Models of segmentation_models_pytorch: the folder's masks are those of a plain loop, and nothing is downloaded."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import seglib
from seglib.adapters import smp as adapter
from seglib.adapters.lookup import find_model, load_model
from seglib.data.image import decode, read_bytes
from seglib.errors import SegError, UsageError, WeightsError
from seglib.inference.config import InferenceConfig, make_run_config
from seglib.models.registry import IMAGENET_MEAN, IMAGENET_STD
from seglib.pipeline.reproduce import resolve_run_model
from tests.conftest import SAMPLE

smp = pytest.importorskip("segmentation_models_pytorch", reason="the extra smp is not installed")

CLASSES = ("background", "cat", "dog", "bird")
OPTIONS = seglib.RunOptions(workers=0)


def build(architecture="Unet", **arguments):
    """A small model with seeded weights, whose batch norms have statistics of their own."""
    arguments = (
        {"encoder_depth": 3, "decoder_channels": (16, 8, 8), **arguments} if architecture == "Unet" else arguments
    )
    torch.manual_seed(0)
    model = smp.create_model(architecture, "mobilenet_v2", None, 3, **{"classes": 4, **arguments}).eval()
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 1.5)
    return model


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("smp") / "unet"
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy of the folder that a test may change."""
    copied = tmp_path / "unet"
    copied.mkdir()
    for file in saved.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    return copied


def change_config(folder: Path, **values) -> Path:
    config = json.loads((folder / "config.json").read_text()) | values
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value != "gone"}))
    return folder


def plain_mask(model, path: Path, short: int, multiple: int, mean=IMAGENET_MEAN, std=IMAGENET_STD) -> np.ndarray:
    """Read, resize, normalise, pad, call, cut, and take the highest: as anyone writes it."""
    image = decode(read_bytes(path))
    scale = short / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].contiguous() / 255
    x = (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    x = nn.functional.pad(x, (0, -image.width % multiple, 0, -image.height % multiple))
    with torch.inference_mode():
        scores = model(x)[:, :, : image.height, : image.width]
    return (scores[0].argmax(0) if scores.shape[1] > 1 else scores[0, 0] > 0).byte().numpy()


PHOTOS = ("cats/chelsea.png", "dogs/german_shepherd.webp", "others/cow.webp")


def test_masks_of_a_folder_and_of_the_module_are_those_of_a_plain_loop(model, saved, tmp_path):
    assert model.encoder.output_stride == 8
    for given in (f"smp:{saved}", model):
        found = find_model(given, classes=CLASSES)
        for name in PHOTOS:
            (one,) = seglib.predict(SAMPLE / name, found, resize="short:73", precision="fp32")
            want = plain_mask(model, SAMPLE / name, 73, 8)
            full = np.asarray(Image.fromarray(want).resize(one.image.size, Image.Resampling.NEAREST))
            assert len(np.unique(want)) > 1
            assert (one.mask == full).mean() == 1, (given, name)


def test_a_folder_runs_is_continued_and_is_found_again(saved, photos, store, monkeypatch):
    monkeypatch.chdir(saved.parent)
    spec = find_model("smp:unet", classes=CLASSES)
    assert (spec.name, spec.parameters) == ("unet", sum(one.numel() for one in load_model(spec).parameters()))
    notes = []
    first = seglib.run(
        photos, store, spec, resize="64", options=seglib.RunOptions(workers=0, limit=1), on_note=notes.append
    )
    again = seglib.run(photos, store, f"smp:{saved}", classes=CLASSES, resize="64", options=OPTIONS)
    assert (first.computed, again.run, again.computed, again.reused) == (1, first.run, 3, 1)
    assert sum("normalised by ImageNet's mean and std, since its folder does not name" in one for one in notes) == 1
    monkeypatch.chdir("/")
    kept = store.run(first.run)
    assert kept.request == {"model": f"smp:{saved}", "classes": list(CLASSES)}
    assert resolve_run_model(store, kept)[0] == find_model(f"smp:{saved}", classes=CLASSES)
    code = json.loads(kept.recipe["code"])
    assert (code["kind"], set(code["packages"])) == ("smp", {"segmentation-models-pytorch", "timm"})


def test_finding_a_model_does_not_import_torch(saved):
    import subprocess

    line = (
        "import sys, seglib; from seglib.adapters.lookup import find_model; "
        f"find_model('smp:{saved}', classes='a,b,c,d'.split(',')); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", line], check=True)


def test_what_changes_a_mask_changes_the_runs_name_and_nothing_else_does(folder, tmp_path):
    def name(place=folder, **options):
        spec = find_model(f"smp:{place}", **{"classes": CLASSES, **options})
        return make_run_config(spec, InferenceConfig(resize=spec.resize)).run_name

    before = name()
    moved = tmp_path / "elsewhere" / "unet"
    moved.parent.mkdir()
    folder.rename(moved)
    assert name(moved) == before
    (moved / "README.md").write_text("another text")
    assert name(change_config(moved, class_names=["a", "b", "c", "d"])) == before
    seen = {before, name(moved, channels="bgr"), name(moved, mean=(0, 0, 0), std=(1, 1, 1)), name(moved, classes=None)}
    seen.add(name(change_config(moved, activation="softmax2d")))
    seen.add(name(change_config(moved, activation=None, encoder_weights="advprop")))
    assert len(seen) == 6


# --- what a folder says ---


@pytest.mark.parametrize(
    ("encoder", "weights", "expected"),
    [
        ("resnet34", "imagenet", (IMAGENET_MEAN, IMAGENET_STD)),
        ("xception", "imagenet", ((0.5,) * 3, (0.5,) * 3)),
        ("inceptionv4", "imagenet+background", ((0.5,) * 3, (0.5,) * 3)),
        ("efficientnet-b0", "advprop", ((0.5,) * 3, (0.5,) * 3)),
        ("efficientnet-b0", "imagenet", (IMAGENET_MEAN, IMAGENET_STD)),
        ("timm-tf_efficientnet_lite0", "imagenet", ((0.5,) * 3, (0.5,) * 3)),
        ("dpn68", "imagenet", ((124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3)),
        ("tu-mixnet_s", "imagenet", (IMAGENET_MEAN, IMAGENET_STD)),
        ("tu-inception_v4", True, ((0.5,) * 3, (0.5,) * 3)),
    ],
)
def test_the_normalisation_is_that_of_the_encoders_weights(folder, encoder, weights, expected):
    change_config(folder, encoder_name=encoder, encoder_weights=weights)
    spec = find_model(f"smp:{folder}", classes=CLASSES)
    assert (spec.mean, spec.std) == expected
    assert spec.adapter.says_mean
    assert find_model(f"smp:{folder}", classes=CLASSES, mean=(0, 0, 0), std=(1, 1, 1)).mean == (0, 0, 0)


def test_names_of_classes_come_from_the_config_or_the_request(folder):
    spec = find_model(f"smp:{change_config(folder, class_names=['a', 'b', 'c', 'd'])}")
    assert spec.classes == ("a", "b", "c", "d")
    assert find_model(f"smp:{change_config(folder, class_names={'0': 'a', '1': 'b', '2': 'c', '3': 'd'})}") == spec
    assert find_model(f"smp:{folder}", classes=CLASSES).classes == CLASSES


@pytest.mark.parametrize(
    ("activation", "classes", "output"),
    [
        (None, CLASSES, "logits"),
        ("softmax2d", CLASSES, "probabilities"),
        ("logsoftmax", CLASSES, "logits"),
        ("sigmoid", CLASSES, "probabilities"),
        ("argmax2d", CLASSES, "masks"),
        (None, CLASSES[:2], "logits"),
        ("sigmoid", CLASSES[:2], "probabilities"),
    ],
)
def test_the_activation_says_what_the_output_is(tmp_path, activation, classes, output):
    one_channel = len(classes) == 2
    model = build(activation=activation, classes=1 if one_channel else len(classes))
    model.save_pretrained(tmp_path / "net")
    logits = build(classes=1 if one_channel else len(classes))
    spec = find_model(f"smp:{tmp_path / 'net'}", classes=classes)
    backend = spec.adapter.load_backend(spec, "fp32", "cpu")
    assert backend.output == output
    assert any("classes may overlap" in note for note in backend.notes) is (activation == "sigmoid" and not one_channel)
    assert any("one channel" in note for note in backend.notes) is one_channel
    (one,) = seglib.predict(SAMPLE / PHOTOS[0], spec, resize="short:64", precision="fp32")
    want = plain_mask(logits, SAMPLE / PHOTOS[0], 64, 8)
    full = np.asarray(Image.fromarray(want).resize(one.image.size, Image.Resampling.NEAREST))
    assert (one.mask == full).mean() > 0.999
    assert (one.measures is None) is (output == "masks")


def test_the_activation_of_a_module_in_memory_is_seen():
    for activation, output in (("sigmoid", "probabilities"), ("softmax2d", "probabilities"), (None, "logits")):
        spec = find_model(build(activation=activation), classes=CLASSES)
        assert spec.adapter.load_backend(spec, "fp32", "cpu").output == output


@pytest.mark.parametrize("architecture", ["FPN", "PSPNet", "DeepLabV3Plus", "Segformer"])
def test_other_architectures_are_padded_to_what_they_need(tmp_path, architecture):
    model = build(architecture)
    model.save_pretrained(tmp_path / "net")
    spec = find_model(f"smp:{tmp_path / 'net'}", classes=CLASSES)
    (one,) = seglib.predict(SAMPLE / PHOTOS[0], spec, resize="short:137", precision="fp32")
    want = plain_mask(model, SAMPLE / PHOTOS[0], 137, model.encoder.output_stride)
    full = np.asarray(Image.fromarray(want).resize(one.image.size, Image.Resampling.NEAREST))
    assert (one.mask == full).mean() == 1


def test_a_classification_head_is_ignored(tmp_path):
    model = build(aux_params={"classes": 7})
    model.save_pretrained(tmp_path / "net")
    spec = find_model(f"smp:{tmp_path / 'net'}", classes=CLASSES)
    assert spec.adapter.load_backend(spec, "fp32", "cpu").output == "logits"


def test_random_numbers_are_left_as_they_were(saved):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_model(find_model(f"smp:{saved}", classes=CLASSES))
    assert torch.equal(torch.get_rng_state(), before)


# --- what is refused ---


@pytest.mark.parametrize(
    ("config", "options", "words", "error"),
    [
        ({}, {"classes": None}, "unet has 4 classes: name them in index order, with `classes`", UsageError),
        ({}, {"classes": ("a", "b")}, "2 classes were named, and unet has 4", UsageError),
        ({"classes": 1}, {"classes": None}, "unet has one output channel: name two classes, the second of", UsageError),
        ({"classes": 1}, {}, "4 classes were named, and unet has one output channel", UsageError),
        ({"class_names": ["a", "a", "b", "c"]}, {"classes": None}, "class_names that cannot be used", WeightsError),
        ({"class_names": 4}, {"classes": None}, "class_names that cannot be used", WeightsError),
        ({}, {"input": "uint8"}, "takes normalised photos: leave out `input` uint8", UsageError),
        ({"_model_class": "gone"}, {}, "does not name an architecture of segmentation_models_pytorch", WeightsError),
        ({"in_channels": 1}, {}, "unet takes images of 1 channels, not of 3", WeightsError),
        ({"classes": "four"}, {}, "does not say how many classes it has", WeightsError),
        (
            {"encoder_name": "tu-hf-hub:somebody/net"},
            {},
            "names an encoder 'tu-hf-hub:.*which would load",
            WeightsError,
        ),
        ({"checkpoint_path": "/etc/passwd"}, {}, "names checkpoint_path, which would load other files", WeightsError),
        ({"pretrained": True}, {}, "names pretrained, which would load other files: refused", WeightsError),
    ],
)
def test_a_folder_that_contradicts_itself_or_the_request_is_refused(folder, config, options, words, error):
    change_config(folder, **config)
    with pytest.raises(error, match=words):
        find_model(f"smp:{folder}", **{"classes": CLASSES, **options})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"_model_class": "Unnet"}, "unet is a Unnet, which is no architecture of segmentation_models_pytorch: Unet,"),
        ({"_model_class": "encoders"}, "unet is a encoders, which is no architecture"),
        ({"encoder_name": "resnet19"}, r"The arguments in config.json of unet do not fit Unet \(.*resnet19"),
        ({"decoder_channels": [16, 8]}, "do not fit Unet"),
        ({"encoder_name": "resnet18"}, r"model.safetensors of unet does not fit its config.json \(Missing key"),
    ],
)
def test_an_architecture_that_cannot_be_built_is_refused_when_it_is_loaded(folder, config, words):
    change_config(folder, **config)
    spec = find_model(f"smp:{folder}", classes=CLASSES)
    with pytest.raises(WeightsError, match=words):
        spec.adapter.load_backend(spec, "fp32", "cpu")


def test_damaged_weights_are_refused(folder):
    from safetensors.torch import load_file, save_file

    spec = find_model(f"smp:{folder}", classes=CLASSES)
    state = load_file(folder / "model.safetensors")
    state["segmentation_head.0.bias"][0] = float("nan")
    save_file(state, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"model.safetensors has changed since it was found: find the model again"):
        load_model(spec)
    spec = find_model(f"smp:{folder}", classes=CLASSES)
    with pytest.raises(WeightsError, match=r"model.safetensors of unet holds NaN or infinite numbers in segm"):
        load_model(spec)
    (folder / "model.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(WeightsError, match="is not a safetensors file"):
        find_model(f"smp:{folder}", classes=CLASSES)


def test_files_and_incomplete_folders_are_refused_with_what_to_do(folder, tmp_path):
    (tmp_path / "net.pth").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for target, words in (
        (tmp_path / "net.pth", r"net.pth is a file, and weights alone do not say which architecture .*save_pretrained"),
        (tmp_path / "gone", "There is no folder"),
        (tmp_path / "empty", "has no config.json: save the model by its save_pretrained"),
    ):
        with pytest.raises(UsageError, match=words):
            find_model(f"smp:{target}", classes=CLASSES)
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config.json of unet cannot be read as JSON"):
        find_model(f"smp:{folder}", classes=CLASSES)
    (folder / "config.json").write_text('{"architectures": ["SegformerForSemanticSegmentation"]}')
    with pytest.raises(WeightsError, match="give hf:/"):
        find_model(f"smp:{folder}", classes=CLASSES)
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"has no model.safetensors"):
        find_model(f"smp:{folder}", classes=CLASSES)


def test_weights_in_a_pickle_file_need_leave_and_give_the_same_model(folder, model):
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match="unet holds a pickle file of weights: allow it with `allow_pickle`"):
        find_model(f"smp:{folder}", classes=CLASSES)
    loaded = load_model(find_model(f"smp:{folder}", classes=CLASSES, allow_pickle=True))
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))


def test_without_the_library_the_extra_is_named(saved, monkeypatch):
    monkeypatch.setattr(adapter, "find_spec", lambda name: None)
    with pytest.raises(SegError, match=r"pip install '.\[smp\]'"):
        find_model(f"smp:{saved}", classes=CLASSES)
