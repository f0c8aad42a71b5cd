"""Runs of models from files: damage is refused, int8 keeps what the output is, a run is found again."""

import re
import shlex
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import seglib
from seglib.adapters.openvino import files, runtime
from seglib.classes import VOC_CLASSES
from seglib.cli import main
from seglib.data.resize import Resize
from seglib.errors import SegError, WeightsError
from seglib.inference import openvino_backend, predictor
from seglib.inference.config import InferenceConfig
from seglib.models.registry import MODELS
from seglib.pipeline import quantization
from seglib.pipeline.reproduce import resolve_run_model
from seglib.pipeline.session import RunOptions
from seglib.store.store import Store
from tests.conftest import ROOT, SAMPLE
from tests.seglib.adapters.onnx_files import (
    CASTED,
    INT64,
    LOGITS,
    RAW,
    TO_INDEX,
    UINT8,
    expected,
    image,
    node,
    save,
)

ov = pytest.importorskip("openvino", reason="the extra openvino is not installed")

IN_MEMORY = RunOptions(workers=0)


@pytest.fixture
def photos(paint, tmp_path) -> Path:
    for index in range(4):
        paint(f"cats/{index}.png", cat=(0, 0, 20 + index, 30))
    return tmp_path / "photos"


def save_ir(path: Path, **more) -> Path:
    model = ov.Core().read_model(save(path.with_suffix(".onnx"), **more))
    ov.save_model(model, path, compress_to_fp16=False)
    path.with_suffix(".onnx").unlink()
    return path


# --- damage ---


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def without_weights(path: Path) -> Path:
    save_ir(path).with_suffix(".bin").unlink()
    return path


def cut_off(path: Path) -> Path:
    weights = save_ir(path).with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:20])
    return path


def edited(path: Path, old: str, new: str) -> Path:
    text = save_ir(path).read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


DAMAGED = {
    "missing": ("net.onnx", lambda path: path, "There is no file"),
    "a folder": ("net.onnx", lambda path: path.mkdir() or path, "There is no file"),
    "empty": ("net.onnx", lambda path: write(path, b""), "no ONNX file"),
    "noise": ("net.onnx", lambda path: write(path, np.random.default_rng(0).bytes(5000)), "no ONNX file"),
    "text": ("net.onnx", lambda path: write(path, b"weights"), "no ONNX file"),
    "a claim of 10 GB": ("net.onnx", lambda path: write(path, b"\x3a\x80\x80\x80\x80\x28" + bytes(99)), "no ONNX file"),
    "cut off": ("net.onnx", lambda path: write(path, save(path).read_bytes()[:-30]), "no ONNX file"),
    "empty xml": ("net.xml", lambda path: write(path, b""), "no OpenVINO IR"),
    "noise in xml": ("net.xml", lambda path: write(path, np.random.default_rng(0).bytes(5000)), "no OpenVINO IR"),
    "half an xml": (
        "net.xml",
        lambda path: write(path, save_ir(path).read_bytes()[:900]),
        "cannot be read by OpenVINO",
    ),
    "no weights": ("net.xml", without_weights, "there is no net.bin beside it"),
    "weights cut off": ("net.xml", cut_off, "cannot be read by OpenVINO"),
    "weights of 40 GB": ("net.xml", lambda path: edited(path, 'size="12"', 'size="40000000000"'), "cannot be read by"),
    "weights elsewhere": (
        "net.xml",
        lambda path: edited(path, 'offset="0"', 'offset="9999999999"'),
        "cannot be read by",
    ),
    "an unknown operation": (
        "net.xml",
        lambda path: edited(path, '"Convolution"', '"Foo"'),
        "cannot be read by OpenVINO",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_refused_in_a_sentence(tmp_path, case, capsys):
    name, make, message = DAMAGED[case]
    path = make(tmp_path / name)
    with pytest.raises(WeightsError, match=message):
        seglib.find_model(path)
    code = main.main(["run", str(SAMPLE), "--model", str(path), "--store", str(tmp_path / "store")])
    said = capsys.readouterr()
    assert (code, said.out, len(said.err.splitlines())) == (1, "", 1)
    assert not (tmp_path / "store").exists()


def external(path: Path, location: str) -> Path:
    """A model whose weights lie at `location`, which need not exist."""
    model = onnx.load(save(path))
    for tensor in model.graph.initializer:
        data = onnx.numpy_helper.to_array(tensor).tobytes()
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", str(len(data)))):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        if tensor.name == "weight":
            weights = data
    path.write_bytes(model.SerializeToString())
    return write(path.parent / "weights.bin", weights) and path


OUTSIDE = ["../secret", "/etc/hostname", "sub/../../secret", "link", "C:\\secret", "..\\secret", ""]


@pytest.mark.parametrize("place", ["graph", "attribute", "subgraph", "sparse", "function"])
@pytest.mark.parametrize(
    "location", ["../secret", "/etc/hostname", "sub/../../secret", "link", "C:\\secret", "..\\secret", ""]
)
def test_weights_outside_the_folder_are_refused_before_anything_reads_them(tmp_path, monkeypatch, location, place):
    folder = tmp_path / "model"
    folder.mkdir()
    write(tmp_path / "secret", b"secret")
    (folder / "sub").mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    model = onnx.load(save(folder / "net.onnx"))
    place_tensor(model, place, location)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    monkeypatch.setattr(runtime, "read_model", pytest.fail)
    with pytest.raises(WeightsError, match="outside its own folder"):
        seglib.find_model(folder / "net.onnx")


def place_tensor(model: onnx.ModelProto, place: str, location: str) -> None:
    tensor = onnx.TensorProto(name="t", dims=[1], data_type=1, data_location=1)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    graph = model.graph
    if place == "graph":
        graph.initializer.append(tensor)
    elif place == "sparse":
        graph.sparse_initializer.append(onnx.SparseTensorProto(values=tensor))
    elif place == "attribute":
        graph.node.append(node("Constant", "", "x", value=tensor))
    elif place == "subgraph":
        inner = onnx.helper.make_graph([node("Constant", "", "x", value=tensor)], "inner", [], [])
        graph.node.append(node("If", "input", "x", then_branch=inner, else_branch=inner))
    else:
        constant = node("Constant", "", "x", value=tensor)
        model.functions.append(onnx.helper.make_function("custom", "F", [], ["x"], [constant], []))


def test_weights_inside_the_folder_are_read_and_count_in_the_digest(tmp_path):
    path = external(tmp_path / "net.onnx", "weights.bin")
    assert files.model_files(path) == (path, tmp_path / "weights.bin")
    before = seglib.find_model(path).adapter.weights_sha256
    (tmp_path / "weights.bin").write_bytes((tmp_path / "weights.bin").read_bytes()[::-1])
    assert seglib.find_model(path).adapter.weights_sha256 != before
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(WeightsError, match=r"needs the file 'weights.bin' with its weights, which is missing"):
        seglib.find_model(path)


def test_a_file_that_changes_after_it_was_looked_at_is_not_loaded(tmp_path):
    spec = seglib.find_model(save(tmp_path / "net.onnx"), **RAW)
    save(tmp_path / "net.onnx", [*LOGITS[:1], node("Neg", "out", "other")], outputs="other")
    with pytest.raises(WeightsError, match="has changed"):
        predictor.warm_up(spec, InferenceConfig(resize=spec.resize))
    assert seglib.find_model(tmp_path / "net.onnx", **RAW) != spec


# --- runs ---


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_a_run_is_resumed_and_found_again(photos, tmp_path, suffix, monkeypatch):
    make = save if suffix == ".onnx" else save_ir
    make(tmp_path / f"net{suffix}")
    store = Store.create(tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    spec = seglib.find_model(f"net{suffix}", **RAW)
    first = seglib.run(photos, store, spec, resize="64x48", options=replace(IN_MEMORY, limit=2))
    whole = seglib.run(photos, store, spec, resize="64x48", options=IN_MEMORY)
    assert (first.computed, whole.computed, whole.reused) == (2, 2, 2)
    this_run = store.run(whole.run)
    assert this_run.run == first.run
    assert this_run.request["model"] == str(tmp_path / f"net{suffix}")
    monkeypatch.chdir("/")
    found, settings = resolve_run_model(store, this_run)
    assert (found, settings.precision) == (spec, this_run.precision)
    assert seglib.find_model(f"{tmp_path}/net{suffix}").mean != spec.mean
    make(tmp_path / f"net{suffix}", names="a,b,c")
    with pytest.raises(WeightsError, match="other weights"):
        resolve_run_model(store, this_run)
    for image_id in store.computed_ids(this_run):
        mask = store.mask(this_run.run, image_id)
        assert (mask[:30, :20] == 1).all(), "the cat is red"


KINDS = {
    "logits": {},
    "probabilities": {"nodes": [*LOGITS, node("Softmax", "out", "soft", axis=1)], "outputs": "soft"},
    "masks": {"nodes": [*LOGITS, TO_INDEX], "outputs": "mask", "output_dtypes": [INT64]},
    "uint8": {"nodes": CASTED, "dtype": UINT8, "more": {"scale": np.float32(255)}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_int8_keeps_what_the_output_is(tmp_path, kind):
    spec = seglib.find_model(save(tmp_path / "net.onnx", **KINDS[kind]), **(RAW if kind != "uint8" else {}))
    openvino_backend.quantise(spec, [image(), image(48, 96)], tmp_path)
    settings = InferenceConfig(resize=Resize("native"), precision="int8", quantised=tmp_path)
    masks, (measures,) = predictor.predict_batch(image()[None], spec, settings)
    assert (masks[0] == expected()).mean() > 0.98
    assert (measures is None) == (kind == "masks")
    if measures is not None:
        exact = predictor.predict_batch(image()[None], spec, replace(settings, precision="fp32", quantised=None))[1][0]
        assert measures.confidence == pytest.approx(exact.confidence, abs=0.02)
    assert predictor.warm_up(spec, settings) == predictor.warm_up(spec, replace(settings, precision="fp32"))


def test_what_openvino_or_nncf_cannot_do_is_a_sentence(tmp_path, monkeypatch):
    import nncf

    def fail(*_, **__):
        raise RuntimeError("Exception from src/core.cpp:1:\nToo many inputs.\n\n")

    spec = seglib.find_model(save(tmp_path / "net.onnx"), **RAW)
    with monkeypatch.context() as patch:
        patch.setattr(nncf, "quantize", fail)
        with pytest.raises(SegError, match=r"cannot be calibrated \(Too many inputs\): take `precision` fp32"):
            openvino_backend.quantise(spec, [image()], tmp_path)
    monkeypatch.setattr(runtime, "compile_for_cpu", fail)
    with pytest.raises(WeightsError, match=r"cannot be run by OpenVINO \(Too many inputs\)"):
        predictor.warm_up(spec, InferenceConfig(resize=spec.resize))


def test_each_way_to_read_a_file_has_an_int8_model_of_its_own(tmp_path):
    store = Store.create(tmp_path / "store")
    file = save(tmp_path / "net.onnx", [*LOGITS, node("Neg", "out", "z")], outputs="out z")
    specs = [seglib.find_model(file, output=output, channels=c) for output in ("out", "z") for c in ("rgb", "bgr")]
    assert len({quantization.int8_model_folder(store, spec, Resize("64")) for spec in specs}) == 4


# --- documentation ---

DOCUMENT = (ROOT / "docs" / "models-onnx.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.mark.slow
def test_the_documented_examples_run(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "net.onnx", names=None)
    (tmp_path / "ir").mkdir()
    ir = save_ir(tmp_path / "ir" / "net.xml", names=None)
    for file in (ir, ir.with_suffix(".bin")):
        file.rename(tmp_path / file.name)
    (tmp_path / "classes.txt").write_text("background\ncat\ndog\n")
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == 3
    for command in commands:
        assert main.main([*shlex.split(command)[3:], "--workers", "0"]) == 0
    (script,) = blocks("python")
    names: dict[str, object] = {}
    exec(script, names)
    store = Store(tmp_path / "output")
    assert {run.precision for run in store.runs()} >= {"fp32", "int8"}
    assert store.run(names["report"].run).title == "net, exported in May"


# --- the embedded model, exported ---


class Scores(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)["out"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "fcn.onnx"
    sides = {0: "b", 2: "h", 3: "w"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Scores(seglib.load_model("fcn_mobilenet_v2")),
            (torch.zeros(1, 3, 64, 96),),
            path,
            dynamo=False,
            input_names=["input"],
            output_names=["out"],
            dynamic_axes={"input": sides, "out": sides},
        )
    return path


@pytest.mark.slow
def test_the_exported_model_gives_the_masks_of_the_torch_module(exported, tmp_path):
    """Where the masks differ, the two best classes are all but equal: the kernels add in another order."""
    classes = ",".join(VOC_CLASSES)
    command = ["run", str(SAMPLE), "--store", str(tmp_path / "store"), "--precision", "fp32", "--workers", "0"]
    assert main.main([*command, "--model", str(exported), "--classes", classes, "--resize", "96"]) == 0
    ir = tmp_path / "ir.xml"
    ov.save_model(ov.Core().read_model(exported), ir, compress_to_fp16=False)
    assert main.main([*command, "--model", str(ir), "--classes", classes, "--resize", "96"]) == 0
    store = Store(tmp_path / "store")
    by_name = {run.model: run for run in store.runs()}
    module = replace(MODELS["fcn_mobilenet_v2"], net_side=0)
    torch_run = store.run(seglib.run(SAMPLE, store, module, resize="96", precision="fp32", options=IN_MEMORY).run)
    table = store.table([torch_run.run]).set_index("image_id")
    assert len(table) == 13
    different = pixels = 0
    for image_id, row in table.iterrows():
        mask, other, plain = (store.mask(run.run, image_id) for run in (by_name["fcn"], by_name["ir"], torch_run))
        assert (mask == other).all(), "the same graph"
        different, pixels = different + int((mask != plain).sum()), pixels + mask.size
        assert row["confidence"] == pytest.approx(
            store.table([by_name["fcn"].run]).set_index("image_id").loc[image_id, "confidence"], abs=1e-5
        )
    assert different / pixels < 1e-4
    spec = seglib.find_model(exported, classes=VOC_CLASSES)
    published = MODELS["fcn_mobilenet_v2"]
    assert spec.parameters == pytest.approx(published.parameters, rel=0.01), "less those of batch norms"
    assert main.main(["status", "--verify", "--store", str(store.path)]) == 0
    names = [by_name["fcn"].run, torch_run.run]
    assert main.main(["compare", "--runs", *names, "--store", str(store.path)]) == 0
