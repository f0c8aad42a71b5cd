"""int8: calibrated once on the user's own photos, kept in the store, told apart by its hash; a sentence without it."""

import ctypes
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import seglib
from seglib.adapters.openvino import runtime
from seglib.cli import main
from seglib.data.image import compute_image_id, decode
from seglib.data.resize import Resize
from seglib.errors import DatasetError, SegError, StoreError, UsageError, WeightsError
from seglib.inference import config, openvino_backend, predictor
from seglib.inference.config import InferenceConfig
from seglib.inference.predictor import predict_batch, prepare_image
from seglib.inference.torch_backend import TorchBackend
from seglib.maintenance import prune
from seglib.models.registry import MODELS, ModelSpec, find_model_spec
from seglib.pipeline import quantization
from seglib.pipeline.reproduce import resolve_run_model
from seglib.pipeline.session import RunOptions
from seglib.store.store import Store
from tests.conftest import COLOURS, ROOT, SAMPLE, fake_model

installed = pytest.mark.skipif(
    any(runtime.find_spec(name) is None for name in openvino_backend.LIBRARIES),
    reason="the extra openvino is not installed",
)


@pytest.fixture
def photos(paint, tmp_path):
    for index in range(5):
        paint(f"cats/{index}.png", cat=(index, 0, 20 + index, 30))
    (tmp_path / "photos" / "cats" / "broken.jpg").write_bytes(b"no photo")
    return tmp_path / "photos"


def run(photos, store, spec, **more):
    return seglib.run(photos, store, spec, precision="int8", options=RunOptions(workers=0), **more)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory) -> tuple[Path, Path, ModelSpec]:
    """Five photos, a store with an int8 run over them, and the model; calibrating takes seconds."""
    place = tmp_path_factory.mktemp("calibrated")
    for index in range(5):
        image = Image.new("RGB", (64, 48), COLOURS["background"])
        image.paste(COLOURS["cat"], (index, 0, 20 + index, 30))
        (place / "photos" / "cats").mkdir(parents=True, exist_ok=True)
        image.save(place / "photos" / "cats" / f"{index}.png")
    fake = fake_model(place / "fake.safetensors")
    run(place / "photos", Store.create(place / "store"), fake)
    return place / "photos", place / "store", fake


@pytest.fixture
def calibrated_store(calibrated, tmp_path) -> Store:
    """A copy of its store."""
    return Store(shutil.copytree(calibrated[1], tmp_path / "calibrated"))


@pytest.fixture(scope="module")
def embedded(tmp_path_factory) -> Store:
    """A run of the embedded network over the sample; to calibrate it takes a while."""
    store = Store.create(tmp_path_factory.mktemp("embedded") / "store")
    assert run(SAMPLE, store, find_model_spec()).computed == 13
    return store


def test_without_the_extra_one_sentence_names_it(photos, store, fake, monkeypatch, capsys):
    monkeypatch.setattr(runtime, "find_spec", lambda _: None)
    with pytest.raises(SegError, match=r"openvino and nncf.*pip install '\.\[openvino\]'"):
        run(photos, store, fake)
    assert main.main(["run", str(SAMPLE), "--store", str(store.path), "--precision", "int8"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "[openvino]" in said.err.splitlines()[-1]
    assert not store.runs()


def test_without_a_store_there_is_no_calibrated_model():
    with pytest.raises(UsageError, match="another `precision`"):
        predictor.warm_up(MODELS["fcn_mobilenet_v2"], InferenceConfig(resize=Resize("224"), precision="int8"))


def test_int8_and_cuda_do_not_go_together():
    with pytest.raises(UsageError, match="int8 runs on the CPU"):
        InferenceConfig(resize=Resize("224"), precision="int8", device="cuda")
    assert config.device_of(InferenceConfig(resize=Resize("224"), precision="int8")) == "cpu"


@pytest.mark.slow
def test_nothing_but_int8_imports_openvino():
    code = "import seglib.pipeline.session, sys; assert not {'openvino', 'nncf', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.slow
@installed
@pytest.mark.skipif(sys.platform != "linux", reason="sigaltstack is looked at as Linux has it")
def test_signals_find_the_stack_that_was_there_before(photos, store, fake):
    """OpenVINO's own is freed with the model, and then each signal with a handler would end the process."""
    before = signal_stack()
    run(photos, store, fake)
    assert signal_stack() == before


def signal_stack() -> bytes:
    stack = (ctypes.c_char * 24)()
    assert ctypes.CDLL(None).sigaltstack(None, stack) == 0
    return bytes(stack)


@pytest.mark.slow
@installed
def test_a_run_keeps_its_model_and_uses_it_again(photos, store, fake, monkeypatch, capsys):
    notes: list[str] = []
    report = run(photos, store, fake, on_note=notes.append)
    assert (report.computed, report.failed, report.precision, report.device) == (5, 1, "int8", "cpu")
    assert [note for note in notes if "Calibrating" in note]
    assert capsys.readouterr().out == ""
    this_run = store.run(report.run)
    folder = quantization.int8_model_folder(store, fake, fake.resize)
    about = json.loads((folder / "calibration.json").read_text())
    ids = {compute_image_id(path.read_bytes()) for path in photos.glob("*/*.png")}
    assert about["image_ids"] == sorted(ids)
    assert this_run.recipe["quantised_sha256"] == about["sha256"] == openvino_backend.model_sha256(folder)
    assert {"openvino", "nncf"} <= set(this_run.versions)

    monkeypatch.setattr(openvino_backend, "quantise", pytest.fail)
    monkeypatch.setattr(quantization, "read_image", pytest.fail)
    again = run(photos, store, fake)
    assert (again.run, again.computed, again.reused) == (report.run, 0, 5)
    monkeypatch.undo()
    assert seglib.run(photos, store, fake).precision == "int8", "auto repeats what the store has"


@pytest.mark.slow
@installed
def test_its_masks_are_nearly_those_of_fp32(calibrated, calibrated_store):
    (photos, _, fake), store = calibrated, calibrated_store
    (kept,) = store.runs()
    exact = seglib.run(photos, store, fake, precision="fp32", options=RunOptions(workers=0))
    assert kept.run != exact.run
    assert len(store.computed_ids(store.run(exact.run))) == 5
    for image_id in store.computed_ids(store.run(exact.run)):
        assert (store.mask(kept.run, image_id) == store.mask(exact.run, image_id)).mean() > 0.99


@pytest.mark.slow
@installed
def test_a_net_with_a_side_of_its_own_is_calibrated_and_run_at_it(photos, store, fake, monkeypatch):
    spec, shapes, quantise = replace(fake, net_side=96), set(), openvino_backend.quantise

    def watched(spec, images, folder):
        shapes.update(image.shape for image in images)
        quantise(spec, images, folder)

    monkeypatch.setattr(openvino_backend, "quantise", watched)
    report = run(photos, store, spec)
    exact = seglib.run(photos, store, spec, precision="fp32", options=RunOptions(workers=0))
    assert shapes == {(96, 128, 3)}
    for image_id in store.computed_ids(store.run(exact.run)):
        mask = store.mask(report.run, image_id)
        assert mask.shape == (48, 64)
        assert (mask == store.mask(exact.run, image_id)).mean() > 0.99
    monkeypatch.setattr(openvino_backend, "quantise", pytest.fail)
    other = run(photos, store, spec, resize=Resize("32"))
    assert (other.computed, other.run != report.run) == (5, True), "one model serves all grids: the net sees the same"


@pytest.mark.slow
@installed
def test_calibration_takes_the_smallest_ids_known_or_not(photos, store, fake, monkeypatch):
    monkeypatch.setattr(quantization, "CALIBRATION_IMAGES", 3)
    seglib.run(photos, store, fake, precision="fp32", options=RunOptions(workers=0, limit=3))  # some ids are known then
    run(photos, store, fake)
    ids = sorted(compute_image_id(path.read_bytes()) for path in photos.glob("*/*.png"))
    about = json.loads((quantization.int8_model_folder(store, fake, fake.resize) / "calibration.json").read_text())
    assert about["image_ids"] == ids[:3]


@pytest.mark.slow
@installed
def test_each_resize_and_each_weights_file_has_a_model_of_its_own(store, fake, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes((tmp_path / "fake.safetensors").read_bytes() + b" ")
    folders = {
        quantization.int8_model_folder(store, spec, resize)
        for spec in (fake, replace(fake, weights=str(other)))
        for resize in (Resize("64x48"), Resize("short:64"))
    }
    assert len(folders) == 4


@pytest.mark.slow
@installed
def test_photos_of_different_shapes(photos, store, fake, paint):
    paint("cats/wide.png", size_wh=(128, 40), cat=(0, 0, 60, 40))
    report = run(photos, store, fake, resize=Resize("short:48"))
    assert report.computed == 6
    table = store.table([report.run])
    assert set(zip(table["grid_width"], table["grid_height"], strict=True)) == {(64, 48), (154, 48)}


@pytest.mark.slow
@installed
def test_without_a_readable_photo_there_is_nothing_to_calibrate_with(tmp_path, store, fake):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no photo")
    with pytest.raises(DatasetError, match="none of these can be read"):
        run(tmp_path / "photos", store, fake)
    assert not list(store.path.glob("int8/*"))


@pytest.mark.slow
@installed
@pytest.mark.parametrize("name", [openvino_backend.MODEL_FILE, openvino_backend.WEIGHTS_FILE, "calibration.json"])
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_model_is_refused(calibrated, calibrated_store, name, damage):
    (photos, _, fake), store = calibrated, calibrated_store
    folder = quantization.int8_model_folder(store, fake, fake.resize)
    if damage == "gone":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes((folder / name).read_bytes()[:-7] + b"1234567")
    with pytest.raises(StoreError, match=f"delete int8/{folder.name}"):
        run(photos, store, fake)


@pytest.mark.slow
@installed
def test_a_run_is_remade_with_its_own_model_or_not_at_all(embedded, tmp_path):
    store = Store(shutil.copytree(embedded.path, tmp_path / "store"))
    (record,) = store.runs()
    spec, settings = resolve_run_model(store, record)
    assert config.make_run_config(spec, settings).run_name == record.run
    prune.prune(store)
    assert settings.quantised is not None
    assert settings.quantised.is_dir(), "prune keeps what a run was made with"
    (settings.quantised / openvino_backend.MODEL_FILE).unlink()
    with pytest.raises(WeightsError, match="damaged"):
        resolve_run_model(store, record)


@pytest.mark.slow
@installed
def test_prune_removes_a_model_whose_run_is_gone(calibrated_store):
    store = calibrated_store
    assert list(store.path.glob("int8/*"))
    prune.remove_run(store, store.runs()[0].run)
    prune.prune(store)
    assert not list(store.path.glob("int8/*"))


@pytest.mark.slow
@installed
def test_results_come_in_order_and_whoever_stops_early_leaves_nothing_at_work(photos, store, fake):
    run(photos, store, fake)
    net = openvino_backend.OpenVinoBackend(quantization.int8_model_folder(store, fake, fake.resize))
    images = np.zeros((50, 48, 64, 3), np.uint8)
    for index in range(50):
        images[index, :, : index + 1] = (255, 0, 0)  # cat
    found = [int((logits[0].argmax(0) == 1).sum()) // 48 for logits in net(images)]
    assert found == list(range(1, 51))
    next(iter(net(images)))
    assert len(list(net(images))) == 50


@pytest.mark.slow
@installed
def test_the_embedded_network_agrees_on_the_sample(embedded, sample):
    spec = MODELS["fcn_mobilenet_v2"]
    quantised = quantization.int8_model_folder(embedded, spec, spec.resize)
    agreement = []
    for path in sorted(sample.glob("*/*")):
        settings = InferenceConfig(resize=spec.resize, precision="int8", quantised=quantised)
        image, grid_wh = prepare_image(decode(path.read_bytes()), spec, settings)
        masks, _ = predict_batch(image[None], spec, settings, grid_wh)
        exact, _ = predict_batch(image[None], spec, InferenceConfig(resize=spec.resize, device="cpu"), grid_wh)
        agreement.append((masks == exact).mean())
    assert np.mean(agreement) > 0.985
    net, exact = openvino_backend.OpenVinoBackend(quantised), TorchBackend(spec, "fp32", "cpu")
    photo = decode((sample / "cats" / "chelsea.png").read_bytes())
    for height in (592, 606, 608, 620):  # with AMX, OpenVINO up to 2026.4 reads beyond its tensors at these
        image = np.asarray(photo.resize((320, height)))[None]
        with torch.inference_mode():
            (found,), (expected,) = (list(one(image)) for one in (net, exact))
        assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.95


@pytest.mark.slow
@installed
def test_a_net_that_looks_at_its_own_size_is_traced_for_every_size(tmp_path):
    """DeepLabV3 pools over the picture and enlarges again: a size frozen at tracing would show at another one."""
    torch.manual_seed(0)
    spec = MODELS["deeplabv3_mobilenet_v3_large"]
    net = spec.build(21)
    file = tmp_path / "random.pth"
    torch.save(net.state_dict(), file)
    spec = replace(spec, weights=str(file), sha256="", source="file")
    random = np.random.default_rng(0)
    openvino_backend.quantise(spec, [random.integers(0, 256, (96, 64, 3), np.uint8) for _ in range(4)], tmp_path)
    image = random.integers(0, 256, (1, 64, 128, 3), np.uint8)
    (logits,) = openvino_backend.OpenVinoBackend(tmp_path)(image)
    exact = next(iter(predictor._load_backend(spec, "fp32", "cpu", None)(image)))
    assert logits.shape == exact.shape
    assert torch.corrcoef(torch.stack([logits.flatten(), exact.flatten()]))[0, 1] > 0.9
