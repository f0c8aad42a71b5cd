"""Which models visitors may run: found without loading, named by ids, and own code only where the operator named it."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dashboard.offers import models
from dashboard.offers.mask_sources import find_mask_sources
from dashboard.offers.models import ModelOffer, find_models, get_model, resolve_model
from dashboard.offers.photo_folders import find_folders
from dashboard.settings import ServerSettings
from dashboard.workers import job_worker, predict_worker
from dashboard.workers.predictor import Predictor
from dashboard.workers.requests import CalibrateRequest, RunRequest
from seglib.adapters import lookup
from seglib.errors import SegError, UsageError, WeightsError
from seglib.models.adapter import ModelRequest
from seglib.models.registry import MODELS
from seglib.store.store import Store
from tests.conftest import ROOT
from tests.dashboard.conftest import draw_truth, fill_store, photo_of

CODE = "open({marker!r}, 'w').close()\ndef make():\n    return lambda x: x\n"


def checkpoint(path: Path, **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"a": np.zeros(3, np.float32)}, path, {"architecture": "segnet", "classes": '["a", "b"]', **metadata})
    return path


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def settings(tmp_path) -> ServerSettings:
    (tmp_path / "models").mkdir()
    return ServerSettings(store=tmp_path / "store", photo_folders=(tmp_path,), models=(str(tmp_path / "models"),))


def offered(settings: ServerSettings) -> dict[str, ModelOffer]:
    """Those that are not built in, by title."""
    return {offer.title: offer for offer in find_models(settings) if not offer.built_in}


def used_by_a_run(settings: ServerSettings, **request: object) -> str:
    run = fill_store(settings.store, real=True)
    store = Store(settings.store)
    store.write_run(replace(store.run(run.run), request=request, title="Mine"))
    return run.run


def test_built_in_models_are_always_offered(tmp_path):
    plain = ServerSettings(store=tmp_path / "none", photo_folders=())
    assert [offer.id for offer in find_models(plain)] == list(MODELS)
    assert get_model(plain, "fcn_mobilenet_v2").request == ModelRequest(model="fcn_mobilenet_v2")


def test_a_folders_models_are_found_by_their_files_and_named_with_their_kind(settings, tmp_path):
    folder = tmp_path / "models"
    checkpoint(folder / "a.safetensors")
    write(folder / "b.onnx")
    write(folder / "deep" / "c.xml", '<?xml version="1.0"?><net name="x">')
    write(folder / "deep" / "d.pt2")
    write(folder / "e.ts")
    write(folder / "vit" / "config.json", '{"architectures": ["SegformerForSemanticSegmentation"]}')
    write(folder / "vit" / "model.safetensors")
    write(folder / "unet" / "config.json", '{"_model_class": "Unet", "encoder_name": "resnet18"}')
    write(folder / "other" / "config.json", "[1]")
    write(folder / "annotations.xml", "<annotation/>")
    write(folder / "code.py")
    write(folder / ".hidden" / "f.onnx")
    write(folder / "store" / "seglib-store.json")
    Store.create(folder / "store")
    write(folder / "store" / "g.onnx")
    found = offered(settings)
    assert set(found) == {
        "models/a.safetensors (checkpoint)",
        "models/b.onnx (ONNX)",
        "models/e.ts (TorchScript)",
        "models/deep/c.xml (OpenVINO)",
        "models/deep/d.pt2 (torch.export)",
        "models/unet (segmentation_models_pytorch)",
        "models/vit (Hugging Face)",
    }
    assert found["models/vit (Hugging Face)"].request == ModelRequest(model=f"hf:{folder / 'vit'}")
    assert found["models/a.safetensors (checkpoint)"].request == ModelRequest(weights=str(folder / "a.safetensors"))
    assert "holds code" in found["models/e.ts (TorchScript)"].problem
    for offer in found.values():
        assert str(tmp_path) not in offer.id + offer.title
        if not offer.problem:
            assert get_model(settings, offer.id) == offer


def test_a_json_file_beside_a_model_says_what_it_does_not(settings, tmp_path):
    write(tmp_path / "models" / "net.onnx")
    values = {"classes": ["road", "sky"], "mean": [0, 0.5, 1], "std": [1, 1, 1], "channels": "bgr", "scores": "logits"}
    write(tmp_path / "models" / "net.json", json.dumps(values))
    write(tmp_path / "models" / "plain.pth")
    write(tmp_path / "models" / "plain.json", '{"model": "fcn_resnet50", "classes": ["a", "b"]}')
    found = offered(settings)
    assert found["models/net.onnx (ONNX)"].request == ModelRequest(
        model=str(tmp_path / "models" / "net.onnx"),
        **{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()},
    )
    assert found["models/plain.pth (checkpoint)"].request == ModelRequest(
        model="fcn_resnet50", weights=str(tmp_path / "models" / "plain.pth"), classes=("a", "b")
    )


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "[" * 100_000,
        '{"run_code": true}',
        '{"allow_pickle": true}',
        '{"weights": "/etc/passwd"}',
        '{"model": "evil.py:make"}',
        '{"mean": [1, 2]}',
        '{"mean": ["a", "b", "c"]}',
        '{"classes": "a,b"}',
        '{"classes": [1, 2]}',
        '{"channels": "rbg"}',
        '{"scores": 3}',
    ],
)
@pytest.mark.parametrize("name", ["net.onnx", "net.pth"])
def test_a_json_file_that_says_something_else_is_refused(settings, tmp_path, text, name):
    write(tmp_path / "models" / name)
    write(tmp_path / "models" / "net.json", text)
    (offer,) = offered(settings).values()
    assert offer.problem
    assert "\n" not in offer.problem
    with pytest.raises(UsageError, match="cannot be used"):
        get_model(settings, offer.id)


@pytest.mark.parametrize(
    "asked", ["", "x", "/etc/passwd", "evil.py:make", "offered:00000000", "run:", "run:../x", "plugin:x"]
)
def test_nothing_else_can_be_named(settings, tmp_path, asked):
    checkpoint(tmp_path / "a.safetensors")
    fill_store(settings.store, real=True)
    for one in (asked, str(tmp_path / "a.safetensors"), f"run:{Store(settings.store).run().run}"):
        with pytest.raises(UsageError, match="among those"):
            get_model(settings, one)
        with pytest.raises(UsageError, match="among those that the dashboard offers"):
            request_of(settings, one).check(settings)


def test_what_an_earlier_run_used_is_offered_once(settings, tmp_path):
    file = checkpoint(tmp_path / "elsewhere" / "a.safetensors")
    name = used_by_a_run(settings, weights=str(file))
    (offer,) = offered(settings).values()
    assert (offer.id, offer.title) == (f"run:{name}", "Mine (of an earlier run)")
    assert offer.made(Store(settings.store).run(name))
    assert get_model(settings, offer.id).request == ModelRequest(weights=str(file))
    within = replace(settings, models=(str(file.parent),))
    (offer,) = offered(within).values()
    assert offer.title == "elsewhere/a.safetensors (checkpoint)"
    assert get_model(within, f"run:{name}").request == offer.request  # Run again names the run


def test_a_model_is_read_as_its_last_run_read_it(settings, tmp_path):
    file = write(tmp_path / "models" / "net.onnx")
    used_by_a_run(settings, model=str(file), classes=["a", "b"], mean=[0, 0, 0])
    (offer,) = offered(settings).values()
    assert offer.request == ModelRequest(model=str(file), classes=("a", "b"), mean=(0, 0, 0))


def test_the_example_of_the_documentation_is_read(settings, tmp_path):
    pages = "".join(page.read_text() for page in sorted((ROOT / "docs").glob("models*.md")))
    examples = [block for block in re.findall(r"```json\n(.*?)```", pages, re.S) if '"scores"' in block]
    write(tmp_path / "models" / "net.onnx")
    for example in examples:
        write(tmp_path / "models" / "net.json", example)
        (offer,) = offered(settings).values()
        assert (offer.problem, offer.request.classes) == ("", ("road", "sky"))
    assert examples


# --- own code ---


def code_file(folder: Path) -> tuple[Path, Path]:
    marker = folder / "it-ran"
    return write(folder / "evil.py", CODE.format(marker=str(marker))), marker


def request_of(settings: ServerSettings, model: str) -> RunRequest:
    return RunRequest(folder=find_folders(settings.photo_folders)[0].id, title="", model=model, resize="")


def questions(settings: ServerSettings, name: str) -> list[dict]:
    """What visitors can ask of the worker about a run."""
    run = Store(settings.store).run(name)
    common = {"settings": settings.to_environment(), "store": str(settings.store), "run": asdict(run)}
    return [
        {"task": "describe", "model": f"run:{name}", **common},
        {"task": "predict", "model": f"run:{name}", "resize": "", "precision": "auto", **common},
        {"task": "uncertainty", **common},
    ]


def test_own_code_of_an_earlier_run_is_never_run_unless_the_operator_named_it(settings, tmp_path):
    file, marker = code_file(tmp_path / "models")
    for request in (
        {"model": f"{file}:make", "classes": ["a", "b"]},
        {"model": "antigravity:make"},
        {"model": str(tmp_path / "net.ts"), "run_code": True},
        {"model": f"hf:{tmp_path}", "allow_pickle": True},
    ):
        name = used_by_a_run(settings, **request)
        assert [offer.problem != "" for offer in offered(settings).values()] == [True]
        for question in questions(settings, name):
            answer, _ = predict_worker.answer_question(question, [photo_of("a")])
            assert "cannot be used" in answer["error"]
        with pytest.raises(UsageError, match="cannot be used"):
            request_of(settings, f"run:{name}").check(settings)
        with pytest.raises(UsageError):
            models.check_run(settings, Store(settings.store).run(name))
    assert not marker.exists()


def test_own_code_is_offered_where_the_operator_named_it(settings, tmp_path):
    file, marker = code_file(tmp_path / "models")
    name = used_by_a_run(settings, model=f"{file}:make", classes=["a", "b"])
    named = replace(settings, models=(resolve_model(f"{file}:make"),))
    (offer,) = offered(named).values()
    assert (offer.title, offer.problem) == ("evil.py:make (own code)", "")
    assert offer.request == ModelRequest(model=f"{file}:make", classes=("a", "b"))  # as the run read it
    models.check_run(named, Store(settings.store).run(name))
    other = replace(settings, models=(resolve_model(f"{file}:other"),))
    with pytest.raises(UsageError, match="own code"):
        models.check_run(other, Store(settings.store).run(name))
    assert not marker.exists()


def test_torchscript_is_offered_where_the_file_itself_is_named(settings, tmp_path):
    file = write(tmp_path / "net.ts")
    (offer,) = offered(replace(settings, models=(resolve_model(str(file)),))).values()
    assert (offer.request, offer.problem) == (ModelRequest(model=str(file), run_code=True), "")


def test_installed_plug_ins_are_offered(settings, monkeypatch):
    monkeypatch.setattr(lookup, "plugin_names", lambda: ("their_net",))
    (offer,) = offered(settings).values()
    assert (offer.id, offer.title, offer.problem) == ("plugin:their_net", "their_net (plug-in)", "")


@pytest.mark.parametrize("text", ["none", "none.py:make", "none/x.onnx", "hf:", "x:"])
def test_what_does_not_exist_is_no_argument(text):
    with pytest.raises(UsageError, match="--models"):
        resolve_model(text)


def test_arguments_become_absolute_and_survive_the_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "net: 1.onnx")
    write(tmp_path / "code.py")
    (tmp_path / "vit").mkdir()
    texts = ["vit", "net: 1.onnx", "hf:vit", "smp:vit", "code.py:make", "hf:org/name", "package.module:make"]
    resolved = [resolve_model(text) for text in texts]
    assert resolved == [
        *(str(tmp_path / "vit"), str(tmp_path / "net: 1.onnx"), f"hf:{tmp_path / 'vit'}", f"smp:{tmp_path / 'vit'}"),
        *(f"{tmp_path / 'code.py'}:make", "hf:org/name", "package.module:make"),
    ]
    settings = ServerSettings(store=tmp_path, photo_folders=(tmp_path,), models=tuple(resolved))
    assert ServerSettings.read(settings.to_environment()) == settings


# --- in the workers ---


def test_a_model_is_described_without_being_loaded(settings, tmp_path, serve, monkeypatch):
    checkpoint(tmp_path / "models" / "a.safetensors", resize="96")
    write(tmp_path / "models" / "b.safetensors")
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    worker, found = Predictor(), offered(settings)
    try:
        described = worker.describe(found["models/a.safetensors (checkpoint)"].id)
        assert asdict(described) == {"name": "segnet", "classes": ("a", "b"), "resize": "96"}
        with pytest.raises(SegError, match="not a safetensors file"):
            worker.describe(found["models/b.safetensors (checkpoint)"].id)
    finally:
        worker.close()


def test_a_run_is_not_continued_with_other_weights(settings, tmp_path):
    file = checkpoint(tmp_path / "models" / "a.safetensors")
    name = used_by_a_run(settings, weights=str(file))
    (offer,) = offered(settings).values()
    assert job_worker._find_model(RunRequest(folder="", title="", model=offer.id, resize=""), settings).name == "segnet"
    with pytest.raises(WeightsError, match="to make a run of its own"):
        job_worker._find_model(RunRequest(folder="", title="", model=f"run:{name}", resize=""), settings)


def test_a_calibration_runs_no_code_either(settings, tmp_path):
    file, _ = code_file(tmp_path / "models")
    name = used_by_a_run(settings, model=f"{file}:make")
    masks = tmp_path / "masks"
    masks.mkdir()
    draw_truth(masks)
    (source,) = [one for one in find_mask_sources(settings.photo_folders) if one.path == masks]
    request = CalibrateRequest(folder=source.id, title="", format="auto", runs=(name,))
    with pytest.raises(UsageError, match="own code"):
        request.check(settings)


def test_the_documentations_example_of_a_file_beside_a_model_is_taken(settings, tmp_path):
    (example,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "models-pages.md").read_text(), re.S)
    write(tmp_path / "models" / "net.onnx")
    write(tmp_path / "models" / "net.json", example)
    (offer,) = offered(settings).values()
    request = offer.request
    assert request.classes == ("road", "sky")
    assert (request.channels, request.scores, request.mean) == ("bgr", "logits", (0.5, 0.5, 0.5))
