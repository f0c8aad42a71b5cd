"""Files of torch.export and TorchScript: equal masks, and nothing that may run code is loaded unless it is allowed."""

import contextlib
import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import seglib
from seglib.adapters.lookup import find_model, load_model
from seglib.adapters.torch_export.adapter import recognise
from seglib.adapters.torch_export.archive import read_archive
from seglib.errors import UsageError, WeightsError
from seglib.inference.config import InferenceConfig, make_run_config
from seglib.models.registry import MODELS
from seglib.pipeline.reproduce import resolve_run_model
from tests.conftest import COLOURS

CLASSES = list(COLOURS)
RANGE = {"mean": (0, 0, 0), "std": (1, 1, 1)}
OPTIONS = seglib.RunOptions(workers=0)


class Net(nn.Module):
    """The nearest colour wins, at half the resolution."""

    def __init__(self, dtype=torch.float32) -> None:
        super().__init__()
        colours = torch.tensor(np.array(list(COLOURS.values())), dtype=torch.float32) / 255
        self.classify = nn.Conv2d(3, 4, 1)
        with torch.no_grad():
            self.classify.weight.copy_(20 * colours[:, :, None, None])
            self.classify.bias.copy_(-10 * (colours**2).sum(1))
        self.to(dtype)

    def forward(self, x):
        y = self.classify(nn.functional.avg_pool2d(x, 2))
        return {"out": nn.functional.interpolate(y, size=x.shape[-2:], mode="bilinear")}


def export(module, file: Path, shape=(2, 3, 64, 96), sizes="dynamic", dtype=torch.float32) -> Path:
    any_size = torch.export.Dim.DYNAMIC
    shapes = {"dynamic": ({0: any_size, 2: any_size, 3: any_size},), "fixed": None, "batch": ({0: any_size},)}
    if sizes == "steps":
        dynamic = ({0: any_size, 2: 32 * torch.export.Dim("h", max=99), 3: 32 * torch.export.Dim("w", max=99)},)
    else:
        dynamic = shapes[sizes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (torch.zeros(shape).to(dtype),), dynamic_shapes=dynamic)
        torch.export.save(program, file)
    return file


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """any.pt2 takes any size, fixed.pt2 one image of 48x32."""
    place = tmp_path_factory.mktemp("export")
    export(Net().eval(), place / "any.pt2")
    export(Net().eval(), place / "fixed.pt2", (1, 3, 32, 48), "fixed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Net().eval(), torch.zeros(1, 3, 32, 32), strict=False).save(place / "traced.pt")
    torch.save(Net().state_dict(), place / "weights.pt")
    return place


def masks_of(store, run) -> dict[str, np.ndarray]:
    return {row.path: store.mask(run, row.image_id) for row in store.table([run]).itertuples()}


@pytest.fixture
def marker(tmp_path, monkeypatch) -> Path:
    """A file that hostile code would make."""
    return tmp_path / "it-ran"


# --- equal masks ---


@pytest.mark.parametrize("name", ["any.pt2", "traced.pt"])
def test_a_file_gives_the_masks_of_its_module_and_is_found_again(photos, store, place, name, monkeypatch):
    options = {"classes": CLASSES, **RANGE}
    want = masks_of(
        store, seglib.run(photos, store, Net(), resize="64x48", precision="fp32", options=OPTIONS, **options).run
    )
    monkeypatch.chdir(place)
    spec = find_model(name, run_code=name == "traced.pt", **options)
    first = seglib.run(photos, store, spec, resize="64x48", options=seglib.RunOptions(workers=0, limit=1))
    report = seglib.run(photos, store, spec, resize="64x48", options=OPTIONS)
    assert (report.run, report.computed, report.precision) == (first.run, 3, "fp32")
    got = masks_of(store, report.run)
    assert got.keys() == want.keys()
    assert all(np.array_equal(got[path], want[path]) for path in want)
    monkeypatch.chdir("/")
    found, _ = resolve_run_model(store, store.run(report.run))
    assert (found, found.adapter.file) == (spec, str(place / name))
    assert (found.parameters, found.name) == (16 if name == "any.pt2" else 0, Path(name).stem)
    assert load_model(found)(torch.zeros(1, 3, 32, 32))["out"].shape == (1, 4, 32, 32)


def test_a_fixed_size_is_what_the_model_sees_and_the_grid_stays(photos, store, place):
    spec = find_model(place / "fixed.pt2", classes=CLASSES, **RANGE)
    assert (spec.input_rule, spec.adapter.one_at_a_time) == (seglib.Resize("48x32"), True)
    report = seglib.run(photos, store, spec, resize="64x48", options=OPTIONS)
    assert {mask.shape for mask in masks_of(store, report.run).values()} == {(48, 64)}
    assert "photos seen at 48x32" in store.run(report.run).recipe["grid_rule"]


def test_sizes_in_steps_are_padded_to(tmp_path):
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()

        def forward(self, x):
            return self.net.classify(nn.functional.avg_pool2d(x, 32))

    file = export(Halves().eval(), tmp_path / "steps.pt2", sizes="steps")
    spec = find_model(file, classes=CLASSES, **RANGE)
    assert spec.adapter.multiple == 32
    (output,) = spec.adapter.load_backend(spec, "fp32", "cpu")(np.zeros((1, 40, 50, 3), np.uint8))
    assert output.shape[2:] == (40, 50)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_of_the_input_is_honoured(tmp_path, dtype):
    spec = find_model(export(Net(dtype).eval(), tmp_path / "n.pt2", dtype=dtype), classes=CLASSES, **RANGE)
    assert spec.adapter.dtype == str(dtype).removeprefix("torch.")
    (output,) = spec.adapter.load_backend(spec, "fp32", "cpu")(np.full((1, 32, 32, 3), (255, 0, 0), np.uint8))
    assert output.argmax(1).unique().tolist() == [1]


def test_uint8_needs_no_normalisation_and_takes_none(tmp_path):
    class Own(nn.Module):
        def forward(self, x):
            return torch.stack([x[:, 0] <= 127, x[:, 0] > 127], 1).float() * 8 - 4

    file = export(Own().eval(), tmp_path / "u.pt2", dtype=torch.uint8)
    spec = find_model(file, classes=["a", "b"])
    backend = spec.adapter.load_backend(spec, "fp32", "cpu")
    assert backend.notes == []
    assert torch.cat(list(backend(np.full((1, 32, 32, 3), 200, np.uint8)))).argmax(1).unique().tolist() == [1]
    with pytest.raises(UsageError, match=r"u.pt2 takes uint8, which is not normalised"):
        find_model(file, classes=["a", "b"], **RANGE)


def test_imagenets_normalisation_is_said_unless_another_is_given(place):
    def notes(**options):
        spec = find_model(place / "any.pt2", classes=CLASSES, **options)
        return spec.adapter.load_backend(spec, "fp32", "cpu").notes

    assert "any: photos are normalised by ImageNet's mean and std, which its file does not say" in notes()[0]
    assert notes(**RANGE) == []


def test_what_changes_a_mask_changes_the_runs_name(place, tmp_path):
    def name(file=place / "any.pt2", **options):
        spec = find_model(file, **{"classes": CLASSES, **options})
        return make_run_config(spec, InferenceConfig(resize=spec.resize)).run_name

    other = Net().eval()
    other.classify.bias.data += 1
    (tmp_path / "b").mkdir()
    changed = export(other, tmp_path / "b" / "any.pt2")
    copied = tmp_path / "any.pt2"
    copied.write_bytes((place / "any.pt2").read_bytes())
    assert name(copied) == name()
    assert name(run_code=True) == name()
    names = [name(), name(changed), name(**RANGE), name(channels="bgr"), name(output="out"), name(scores="logits")]
    assert len(set(names)) == len(names)


# --- recognised by content ---


def test_files_are_recognised_by_their_content(place, tmp_path):
    kinds = {"any.pt2": "export", "fixed.pt2": "export", "traced.pt": "torchscript", "weights.pt": None}
    assert {name: recognise(place / name) for name in kinds} == kinds
    for source, name in (("any.pt2", "net.pth"), ("traced.pt", "net.pt2")):
        (tmp_path / name).write_bytes((place / source).read_bytes())
    assert find_model(tmp_path / "net.pth", classes=CLASSES).adapter.kind == "export"
    with pytest.raises(UsageError, match=r"net.pt2 is a TorchScript file, which holds code of its own"):
        find_model(tmp_path / "net.pt2", classes=CLASSES)
    assert recognise(tmp_path / "gone.pt") is None
    assert recognise(MODELS["fcn_mobilenet_v2"].path) is None
    assert recognise(tmp_path) is None


def test_torchscript_needs_leave_to_run_its_code(place):
    with pytest.raises(
        UsageError, match=r"traced.pt is a TorchScript file, which holds code of its own: allow it to run"
    ):
        find_model(place / "traced.pt", classes=CLASSES)
    with pytest.raises(UsageError, match=r"traced.pt names no classes: name them in index order"):
        find_model(place / "traced.pt", run_code=True)


# --- what is refused ---


def test_classes_are_named_and_counted(place):
    with pytest.raises(UsageError, match=r"any.pt2 names no classes and gives 4 scores per pixel: name them"):
        find_model(place / "any.pt2")
    with pytest.raises(UsageError, match=r"2 classes were named, and any.pt2 gives 4 scores per pixel"):
        find_model(place / "any.pt2", classes=["a", "b"])
    with pytest.raises(UsageError, match=r"Give both `mean` and `std` of any.pt2"):
        find_model(place / "any.pt2", classes=CLASSES, mean=(0, 0, 0))


def test_programs_for_other_inputs_are_refused(tmp_path):
    class Two(nn.Module):
        def forward(self, x, y):
            return x + y

    grey, flat = nn.Conv2d(1, 4, 1).eval(), nn.Linear(3, 4).eval()
    x = torch.zeros(1, 3, 32, 32)
    torch.export.save(torch.export.export(Two(), (x, x)), tmp_path / "two.pt2")
    for file, words in (
        (tmp_path / "two.pt2", r"two.pt2 takes 2 inputs: expected one, images \(B, 3, H, W\)"),
        (export(grey, tmp_path / "grey.pt2", (1, 1, 32, 32), "fixed"), r"takes float32 of shape \(1, 1, 32, 32\): exp"),
        (export(flat, tmp_path / "flat.pt2", (1, 3), "fixed"), r"flat.pt2 takes 1 inputs: expected one"),
        (
            export(Net(), tmp_path / "four.pt2", (4, 3, 32, 32), "fixed"),
            r"four.pt2 takes 4 images at a time: export it",
        ),
    ):
        with pytest.raises(WeightsError, match=words):
            find_model(file, classes=CLASSES)


def test_a_model_exported_in_training_mode_is_refused(tmp_path):
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout(0.5)).train()
    with pytest.raises(WeightsError, match=r"drop.pt2 was exported in training mode \(dropout\): call eval\(\)"):
        find_model(export(module, tmp_path / "drop.pt2"), classes=CLASSES)


def test_damaged_files_are_refused(place, tmp_path):
    whole = (place / "any.pt2").read_bytes()
    for content, words in (
        (b"", "neither a file of torch.export.save nor TorchScript"),
        (b"\x00" * 500, "neither a file of torch.export.save nor TorchScript"),
        (whole[: len(whole) // 2], "neither a file of torch.export.save nor TorchScript"),
    ):
        (tmp_path / "net.pt2").write_bytes(content)
        with pytest.raises(WeightsError, match=words):
            find_model(tmp_path / "net.pt2", classes=CLASSES)
    with pytest.raises(UsageError, match="There is no file"):
        find_model(tmp_path / "gone.pt2", classes=CLASSES)
    rewrite(place / "any.pt2", tmp_path / "net.pt2", {"models/model.json": b"{"})
    with pytest.raises(WeightsError, match=r"net.pt2 is damaged: export the model again"):
        find_model(tmp_path / "net.pt2", classes=CLASSES)
    rewrite(place / "any.pt2", tmp_path / "net.pt2", {"data/weights/weight_0": b"\x00" * 4})
    spec = find_model(tmp_path / "net.pt2", classes=CLASSES)
    with pytest.raises(WeightsError, match=r"net.pt2 cannot be loaded"):
        load_model(spec)


# --- hostile files ---


def rewrite(source: Path, target: Path, files: dict[str, bytes], compression=zipfile.ZIP_STORED) -> Path:
    """A copy of an archive with some files replaced or added."""
    archive = read_archive(source)
    with zipfile.ZipFile(target, "w", compression) as written:
        for name, content in {**archive.files, **files}.items():
            written.writestr(f"{archive.root}/{name}", content)
    return target


def change_program(source: Path, target: Path, change) -> Path:
    program = read_archive(source).program
    change(program)
    return rewrite(source, target, {"models/model.json": json.dumps(program).encode()})


def first_node(program):
    return program["graph_module"]["graph"]["nodes"][0]


def first_expression(program, text):
    sizes = program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
    sizes[2]["as_expr"]["expr_str"] = text


EVIL = "__import__('pathlib').Path('{marker}').touch()"

PROGRAMS = {
    "a guard": lambda p, evil: p["guards_code"].append(evil),
    "an expression": first_expression,
    "an expression inside a symbol": lambda p, evil: first_expression(p, f'Add("{evil}", 1)'),
    "an attribute of an expression": lambda p, evil: first_expression(p, "Symbol('s1').__class__"),
    "a function of torch": lambda p, evil: first_node(p).update(target="torch.os.system"),
    "torch.load": lambda p, evil: first_node(p).update(target="torch.load"),
    "a file": lambda p, evil: first_node(p).update(target="torch.ops.aten.from_file.default"),
    "a method": lambda p, evil: first_node(p).update(target="_operator.methodcaller"),
    "an extension": lambda p, evil: first_node(p).update(target="#os:system"),
    "a name": lambda p, evil: first_node(p).update(name=f"x\n{evil}"),
    "a keyword": lambda p, evil: first_node(p)["inputs"][0].update(name=f"a={evil},b"),
    "a placeholder": lambda p, evil: p["graph_module"]["graph"]["inputs"][-1]["as_tensor"].update(name=f"x={evil}"),
    "a range": lambda p, evil: p["range_constraints"].update({evil: {"min_val": 0, "max_val": 9}}),
    "a tree": lambda p, evil: p["graph_module"]["module_call_graph"][0]["signature"].update(
        out_spec='[1, {"type": "collections.defaultdict", "context": "os", "children_spec": []}]'
    ),
}


@pytest.mark.parametrize("change", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_that_may_run_code_is_refused(place, tmp_path, marker, change):
    evil = EVIL.format(marker=marker)
    file = change_program(place / "any.pt2", tmp_path / "net.pt2", lambda program: change(program, evil))
    with pytest.raises(WeightsError, match=r"net.pt2 may run code when it is loaded \(.*\): allow it with `run_code`"):
        load_model(find_model(file, classes=CLASSES))
    assert not marker.exists()


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def pickled(marker: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"x": Evil(marker)}, buffer)
    return buffer.getvalue()


def test_an_archive_with_pickled_objects_or_other_files_is_refused(place, tmp_path, marker):
    config = json.loads(read_archive(place / "any.pt2").files["data/weights/model_weights_config.json"])
    first = next(iter(config["config"].values()))
    first["use_pickle"] = True
    with_pickle = {
        "data/weights/model_weights_config.json": json.dumps(config).encode(),
        f"data/weights/{first['path_name']}": pickled(marker),
    }
    for files, words in (
        ({"data/sample_inputs/model.pt": pickled(marker)}, "its sample input is a pickled object"),
        (with_pickle, "it holds pickled objects"),
        ({"data/constants/opaque_obj_0": pickle.dumps(Evil(marker))}, "it holds data/constants/opaque_obj_0"),
        ({"data/constants/custom_obj_0": pickled(marker)}, "it holds data/constants/custom_obj_0"),
        ({"data/aotinductor/model/net.so": b"\x7fELF"}, "it holds data/aotinductor/model/net.so"),
        ({"data/weights/model.pt": pickled(marker)}, "it holds data/weights/model.pt"),
        ({"models/other.json": b"{}"}, "it holds models/other.json"),
    ):
        file = rewrite(place / "any.pt2", tmp_path / "net.pt2", files)
        with pytest.raises(WeightsError, match=words):
            load_model(find_model(file, classes=CLASSES))
        assert not marker.exists()


def test_torch_itself_would_have_run_that_code(place, tmp_path, marker):
    """Else the refusals above show nothing."""
    file = rewrite(place / "any.pt2", tmp_path / "net.pt2", {"data/sample_inputs/model.pt": pickled(marker)})
    with contextlib.suppress(WeightsError):  # afterwards
        load_model(find_model(file, classes=CLASSES, run_code=True))
    assert marker.exists()


def test_compressed_archives_and_two_files_of_one_name_are_refused(place, tmp_path):
    file = rewrite(place / "any.pt2", tmp_path / "net.pt2", {}, zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="is compressed, which torch never does"):
        find_model(file, classes=CLASSES)
    archive = read_archive(place / "any.pt2")
    file.write_bytes((place / "any.pt2").read_bytes())
    with warnings.catch_warnings(), zipfile.ZipFile(file, "a") as written:
        warnings.simplefilter("ignore")
        written.writestr(f"{archive.root}/models/model.json", b"{}")
    with pytest.raises(WeightsError, match="holds two files of one name"):
        find_model(file, classes=CLASSES)


def test_nan_weights_are_refused(tmp_path, photos, store):
    module = Net().eval()
    module.classify.bias.data[0] = float("nan")
    file = export(module, tmp_path / "nan.pt2")
    with pytest.raises(WeightsError, match="nan gives NaN or infinite numbers: its weights are damaged"):
        seglib.run(photos, store, find_model(file, classes=CLASSES), options=OPTIONS)
    assert store.runs() == []
