"""Models that one's own code makes, by file, module and plug-in; what is wrong with it is said in a sentence."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import seglib
from seglib.adapters.lookup import find_model, find_requested, load_model, plugin_names
from seglib.adapters.python_code import state
from seglib.cli import main
from seglib.errors import SegError, UnknownName, UsageError, WeightsError
from seglib.inference.config import InferenceConfig, make_run_config
from seglib.models.adapter import ModelRequest
from seglib.models.registry import IMAGENET_MEAN, MODELS
from seglib.pipeline.reproduce import resolve_run_model
from tests.conftest import ROOT

OPTIONS = seglib.RunOptions(workers=0)

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, scale=10.0):
        super().__init__()
        colours = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]).float()
        self.classify = nn.Conv2d(3, 4, 1)
        with torch.no_grad():
            self.classify.weight.copy_(2 * scale * colours[:, :, None, None])
            self.classify.bias.copy_(-scale * (colours ** 2).sum(1))

    def forward(self, x):
        return self.classify(x)
"""

MINE = """
from nets import Net

SETTINGS = dict(classes=["background", "cat", "dog", "person"], mean=(0, 0, 0), std=(1, 1, 1), resize="64x48")

def make():
    print("this is the author's own message")
    return Net(), SETTINGS
"""


@pytest.fixture
def code(tmp_path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "nets.py").write_text(NETS)
    (folder / "mine.py").write_text(MINE)
    return folder


def name_of(model, **options) -> str:
    spec = find_model(str(model), **options)
    return make_run_config(spec, InferenceConfig(resize=spec.resize)).run_name


def masks_of(store, run) -> dict[str, np.ndarray]:
    return {row.path: store.mask(run, row.image_id) for row in store.table([run]).itertuples()}


# --- files ---


def test_a_file_makes_a_model_that_runs_is_found_again_and_loads(photos, store, fake, code, capsys, monkeypatch):
    monkeypatch.chdir(code)
    arguments = ["run", photos, "--model", "mine.py:make", "--store", store.path, "--precision", "fp32", "--workers", 0]
    assert main.main([str(one) for one in [*arguments, "--json"]]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)  # and nothing else
    assert "this is the author's own message" in err
    assert f"mine.make: the code of {code}/mine.py:make runs." in err
    assert (report["model"], report["computed"]) == ("mine.make", 4)
    want = masks_of(store, seglib.run(photos, store, fake, precision="fp32", options=OPTIONS).run)
    got = masks_of(store, report["run"])
    assert got.keys() == want.keys()
    assert all(np.array_equal(got[path], want[path]) for path in want)
    monkeypatch.chdir("/")
    kept = store.run(report["run"])
    assert kept.request == {"model": f"{code}/mine.py:make"}
    assert kept.repeatable
    spec, settings = resolve_run_model(store, kept)
    assert (spec.parameters, settings.resize) == (16, seglib.Resize("64x48"))
    assert load_model(spec).classify.bias.shape == (4,)
    assert "nets" not in sys.modules


def test_the_name_of_a_run_follows_every_source_file_and_the_weights_but_not_the_folder(code, tmp_path):
    first = name_of(code / "mine.py:make")
    moved = tmp_path / "elsewhere"
    code.rename(moved)
    assert name_of(moved / "mine.py:make") == first
    seen = {first}
    for file, old, new in (
        ("nets.py", "return self.classify(x)", "return self.classify(x) * 2"),
        ("mine.py", "Net(), SETTINGS", "Net(scale=9.0), SETTINGS"),
        ("mine.py", "print(", "pass  # print("),
    ):
        text = (moved / file).read_text()
        assert old in text
        (moved / file).write_text(text.replace(old, new))
        seen.add(name_of(moved / "mine.py:make"))
    (moved / "unrelated.py").write_text("x = 1")
    assert name_of(moved / "mine.py:make") in seen
    assert len(seen) == 4


def test_neighbours_of_one_name_in_two_folders_are_not_mixed_up(code, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.py").write_text(MINE)
    (other / "nets.py").write_text(NETS.replace("nn.Conv2d(3, 4, 1)", "nn.Conv2d(3, 4, 1, dilation=2)"))
    first, second = (load_model(f"{folder}/mine.py:make") for folder in (code, other))
    assert (first.classify.dilation, second.classify.dilation) == ((1, 1), (2, 2))
    assert name_of(code / "mine.py:make") != name_of(other / "mine.py:make")


def test_what_a_factory_makes_may_be_a_class_a_function_or_a_spec(code):
    (code / "kinds.py").write_text(
        "import seglib\nfrom nets import Net\n"
        "class Own(Net):\n    classes = ['background', 'cat', 'dog', 'person']\n"
        "def function():\n    net = Net()\n    def call(x):\n        return net(x)\n"
        "    call.classes = Own.classes\n    return call\n"
        "def spec():\n    return seglib.MODELS['fcn_mobilenet_v2']\n"
        "ready = Own()\n"
    )
    assert find_model(f"{code}/kinds.py:Own").name == "kinds.Own"
    assert find_model(f"{code}/kinds.py:ready").parameters == 16
    by_function = find_model(f"{code}/kinds.py:function")
    assert (by_function.parameters, by_function.adapter.repeatable) == (0, True)
    assert by_function.adapter.load_backend(by_function, "fp32", "cpu").output == "logits"
    spec = find_model(f"{code}/kinds.py:spec")
    assert spec == MODELS["fcn_mobilenet_v2"]
    assert spec.request == ModelRequest(model=f"{code}/kinds.py:spec")
    with pytest.raises(UsageError, match="gives a ModelSpec, which says its classes itself: leave out `classes`"):
        find_model(f"{code}/kinds.py:spec", classes=["a"])


def test_arguments_win_over_settings_and_are_kept_in_the_request(code):
    spec = find_model(f"{code}/mine.py:make", classes=["a", "b", "c", "d"], mean=IMAGENET_MEAN, std=(1, 1, 1))
    assert (spec.classes, spec.mean) == (("a", "b", "c", "d"), IMAGENET_MEAN)
    assert spec.request is not None
    assert find_requested(ModelRequest.from_record(spec.request.to_record())) == spec
    assert find_model(f"{code}/mine.py:make") != spec


def test_a_model_with_other_weights_each_time_is_refused(photos, store, code):
    (code / "mine.py").write_text(MINE.replace("return Net()", "import torch\n    return torch.nn.Conv2d(3, 4, 1)"))
    with pytest.raises(WeightsError, match=r"mine.py:make gives another model each time: let it load its weights from"):
        seglib.run(photos, store, f"{code}/mine.py:make", options=OPTIONS)
    assert store.runs() == []


REFUSED = {
    "return None": ("returned nothing: expected a torch module", WeightsError),
    "return 7": ("returned a int: expected a torch module or another callable", WeightsError),
    "return Net": ("returned the class Net: expected", WeightsError),
    "return Net(), 3": ("returned a tuple of Net, int: expected", WeightsError),
    "return Net(), {}, 1": ("returned a tuple of Net, dict, int", WeightsError),
    "return Net(), {'clases': ['a']}": ("There is no setting of make 'clases'", UnknownName),
    "return Net(), {'classes': 4}": ("make: `classes` is a list of names", UsageError),
    "return Net()": ("Name the classes of mine.make in index order with `classes`", UsageError),
    "return {}['weights.pth']": (r"make failed \(KeyError: 'weights.pth', mine.py:3\)", WeightsError),
    "open('gone.pth')": (r"make failed \(FileNotFoundError: .*gone.pth'?, mine.py:3\)", WeightsError),
    "exit(3)": (r"make failed \(SystemExit: 3", WeightsError),
}


@pytest.mark.parametrize(("body", "expected"), REFUSED.items(), ids=REFUSED)
def test_a_factory_that_makes_no_model_is_refused_with_the_cause(code, body, expected):
    (code / "mine.py").write_text(f"from nets import Net\ndef make():\n    {body}\n")
    words, error = expected
    with pytest.raises(error, match=words):
        find_model(f"{code}/mine.py:make")


def test_code_that_cannot_be_imported_or_called_is_refused_with_the_cause(code):
    (code / "bad.py").write_text("def make(:\n")
    (code / "needs.py").write_text("import a_library_that_is_not_here\n")
    (code / "takes.py").write_text("def make(path, *, size=3): pass\nnumber = 3\n")
    (code / "quits.py").write_text("import sys\nsys.exit('usage')\n")
    for target, words in (
        ("bad.py:make", r"bad.py cannot be imported \(SyntaxError"),
        ("needs.py:make", r"\(ModuleNotFoundError: No module named 'a_library_that_is_not_here', needs.py:1\)"),
        ("takes.py:make", r"takes.py:make takes arguments \(path, \*, size=3\): write a function without any"),
        ("takes.py:number", "takes.py:number is a int: expected a function that returns the model"),
        ("takes.py:other", r"There is no 'other' in .*takes.py; it defines make\."),
        ("quits.py:make", r"\(SystemExit: usage, quits.py:2\)"),
        ("gone.py:make", r"There is no file '.*gone.py'\."),
        ("mine.py:", "does not name a factory: write file.py:FACTORY"),
        ("mine.py:a b", "does not name a factory"),
        ("mine.py", r"mine.py is code: name the function in it that makes the model, as .*mine.py:FUNCTION"),
    ):
        with pytest.raises(SegError, match=words):
            find_model(f"{code}/{target}")
    assert str(code) not in sys.path


# --- modules ---


def test_a_module_of_the_working_directory_or_an_installed_one_makes_a_model(code, monkeypatch):
    package = code / "ownpackage"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text(NETS)
    (package / "build.py").write_text(MINE.replace("from nets", "from .parts"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(code)
    try:
        spec = find_model("ownpackage.build:make")
        assert (spec.name, spec.parameters, spec.adapter.repeatable) == ("ownpackage.build.make", 16, True)
        assert set(state.source_files("ownpackage.build")) == {
            *("ownpackage/__init__.py", "ownpackage/build.py", "ownpackage/parts.py"),
        }
        with pytest.raises(UsageError, match=r"There is no 'gone' in ownpackage\.build; it defines Net, make"):
            find_model("ownpackage.build:gone")
        (package / "parts.py").write_text(NETS + "# edited after it was imported\n")
        assert not find_model("ownpackage.build:make").adapter.repeatable
    finally:
        for name in [name for name in sys.modules if name.startswith("ownpackage")]:
            del sys.modules[name]
    with pytest.raises(
        UsageError, match="There is no module 'nowhere_to_be_found' here: install it, run in the folder"
    ):
        find_model("nowhere_to_be_found.build:make")


# --- plug-ins ---


@pytest.fixture
def plugin(tmp_path, monkeypatch) -> Path:
    """A package that offers the model `nearest`, installed into a folder of its own, as pip would."""
    site = tmp_path / "site"
    (site / "segplugin").mkdir(parents=True)
    (site / "segplugin" / "__init__.py").write_text("")
    (site / "segplugin" / "nets.py").write_text(NETS)
    (site / "segplugin" / "models.py").write_text(MINE.replace("from nets", "from segplugin.nets"))
    info = site / "segplugin-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: segplugin\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[seglib.models]\nnearest = segplugin.models:make\n")
    files = [*(f"segplugin/{name}.py" for name in ("__init__", "nets", "models")), f"{info.name}/METADATA"]
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in files))
    monkeypatch.syspath_prepend(str(site))
    yield site
    for name in [name for name in sys.modules if name.startswith("segplugin")]:
        del sys.modules[name]


def test_a_plugin_runs_by_its_name_and_its_version_tells_it_apart(photos, store, plugin, capsys):
    assert "nearest" in plugin_names()
    report = seglib.run(photos, store, "nearest", precision="fp32", options=OPTIONS)
    assert (report.model, report.computed) == ("nearest", 4)
    kept = store.run(report.run)
    assert kept.request == {"model": "nearest"}
    assert "segplugin 1.2" in json.loads(kept.recipe["code"])["source"]
    assert resolve_run_model(store, kept)[0].name == "nearest"
    before = name_of("nearest")
    (plugin / "segplugin-1.2.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: segplugin\nVersion: 1.3\n"
    )
    import importlib.metadata

    importlib.metadata.version.cache_clear()  # of tests/conftest.py
    assert name_of("nearest") != before
    assert main.main(["models"]) == 0
    assert "nearest                     segplugin.models:make" in capsys.readouterr().out
    assert main.main(["models", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["weights"] for row in rows if row["name"] == "nearest"] == ["segplugin.models:make"]
    assert rows[0].keys() == rows[-1].keys()


def test_two_plugins_of_one_name_are_refused(plugin):
    again = plugin / "segother-1.0.dist-info"
    again.mkdir()
    (again / "METADATA").write_text("Metadata-Version: 2.1\nName: segother\nVersion: 1.0\n")
    (again / "entry_points.txt").write_text("[seglib.models]\nnearest = segother:make\n")
    with pytest.raises(
        UsageError, match="Several packages offer a model 'nearest': name one of segother:make, segplugin"
    ):
        find_model("nearest")


def test_the_command_lists_plugins_without_running_their_code(plugin):
    (plugin / "segplugin" / "models.py").write_text("raise SystemExit('it ran')")
    line = [sys.executable, "-m", "seglib", "models"]
    variables = {"PYTHONPATH": str(plugin), "PATH": ""}
    run = subprocess.run(line, check=False, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert (run.returncode, "segplugin.models:make" in run.stdout) == (0, True), run.stderr
