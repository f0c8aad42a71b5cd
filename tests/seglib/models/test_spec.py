"""Specs: which are equal, what can be sent to another process, and that a changed file is not taken for the former."""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from seglib.adapters.lookup import find_model
from seglib.errors import UsageError, WeightsError
from seglib.inference import predictor
from seglib.inference.config import InferenceConfig
from seglib.models import loading, registry
from seglib.models.registry import MODELS
from tests.conftest import ROOT

CLASSES = ("background", "leaf")
NOISE = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)


@pytest.fixture
def file(tmp_path):
    """A checkpoint of one's own."""
    torch.manual_seed(0)
    path = tmp_path / "mine.safetensors"
    save_file(registry.get_model_builder("fcn_mobilenet_v2")(2).state_dict(), path)
    return path


def find(file):
    return find_model("fcn_mobilenet_v2", weights=file, classes=CLASSES)


@pytest.mark.parametrize("name", list(MODELS))
def test_a_pickled_spec_is_the_same_model(name):
    spec = MODELS[name]
    copied = pickle.loads(pickle.dumps(spec))
    assert copied is not spec
    assert (copied, hash(copied)) == (spec, hash(spec))
    assert len(pickle.dumps(spec)) < 4000  # no weights
    assert [other.name for other in MODELS.values() if other == copied] == [name]


def test_specs_compare_by_the_content_of_their_file_and_not_by_its_place(file, tmp_path):
    spec = find(file)
    elsewhere = find(file.rename(tmp_path / "moved.safetensors"))
    assert (elsewhere, hash(elsewhere)) == (spec, hash(spec))
    assert elsewhere.path != spec.path
    for other in (
        replace(spec, classes=("background", "tree")),
        replace(spec, mean=(0, 0, 0)),
        replace(spec, name="other"),
        replace(spec, build=registry.get_model_builder("fcn_mobilenet_v2", (("head", "context"),))),
        replace(spec, sha256="0" * 64),
        replace(spec, sha256=""),
    ):
        assert other != spec
    assert spec != "fcn_mobilenet_v2"


def test_a_changed_file_is_another_model_and_is_loaded_again(file):
    spec, settings = find(file), InferenceConfig(resize=MODELS["fcn_mobilenet_v2"].resize, device="cpu")
    (before,), _ = predictor.predict_batch(NOISE, spec, settings)
    state = load_file(file)
    bias = next(name for name, value in state.items() if name.startswith("classif") and value.shape == (2,))
    state[bias] += torch.tensor([-1e3, 1e3]) * (1 if before.mean() < 0.5 else -1)
    save_file(state, file)
    with pytest.raises(WeightsError, match=r"mine.safetensors has changed since it was found: find the model again"):
        loading.load(spec)
    changed = find(file)
    assert changed != spec
    (after,), _ = predictor.predict_batch(NOISE, changed, settings)
    assert set(after.flat) == {int(before.mean() < 0.5)}


def test_what_another_process_cannot_import_is_refused_with_a_sentence(file):
    def build(classes):
        return nn.Conv2d(3, classes, 1)

    class Local(nn.Conv2d):
        pass

    spec = find(file)
    with pytest.raises(
        UsageError, match=r"architecture of fcn_mobilenet_v2 cannot be sent to another process \(.*local"
    ):
        pickle.dumps(replace(spec, build=build))
    with pytest.raises(UsageError, match=r"^Local cannot be sent .*: define it in a module that can be imported\.$"):
        pickle.dumps(find_model(Local(3, 2, 1), classes=CLASSES))
    with pytest.raises(UsageError, match=r"cannot be sent to another process, since no digest tells it from other mod"):
        pickle.dumps(find_model(lambda images: images, classes=CLASSES))


def test_a_model_of_the_script_that_runs_is_refused(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import pickle, seglib, torch\n"
        "class Mine(torch.nn.Conv2d): pass\n"
        "spec = seglib.find_model(torch.nn.Sequential(Mine(3, 2, 1)), classes=['a', 'b'])\n"
        "try:\n"
        "    pickle.dumps(spec)\n"
        "except seglib.SegError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, script], check=False, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stdout.strip() == (
        "Sequential cannot be sent to another process (Mine is defined in the script that runs): define it in a module "
        "that can be imported."
    ), done.stderr
