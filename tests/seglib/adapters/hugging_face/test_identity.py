"""What a folder of transformers is known by: a digest of what changes a mask, or an ID of the hub and its commit."""

import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="the extra hf is not installed")

import huggingface_hub.constants
import huggingface_hub.errors

import seglib
from seglib.errors import UsageError, WeightsError
from tests.seglib.adapters.hugging_face import tiny_models
from tests.seglib.adapters.hugging_face.tiny_models import HEAD, find, replace_weights, weights


def identity(spec) -> tuple:
    return spec.adapter.code, spec.adapter.weights_sha256, spec.mean, spec.std, spec.input_rule, spec.name


def test_the_digest_holds_what_changes_a_mask_and_nothing_else(folder, tmp_path):
    before = identity(find(folder))
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
    assert identity(find(moved)) == before
    tiny_models.edit_json(folder / "config.json", transformers_version="4.1", dtype="bfloat16", _name_or_path="x")
    tiny_models.edit_json(folder / "preprocessor_config.json", do_reduce_labels=True)
    assert identity(find(folder)) == before


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"layer_norm_eps": 1e-3}),
        ("preprocessor_config.json", {"image_mean": [0.4, 0.4, 0.4]}),
        ("preprocessor_config.json", {"rescale_factor": 1 / 128}),
        ("preprocessor_config.json", {"do_normalize": False}),
        ("preprocessor_config.json", {"resample": 3}),
        ("preprocessor_config.json", {"size": {"height": 96, "width": 96}}),
    ],
)
def test_settings_that_change_a_mask_change_the_digest(folder, file, values):
    before = identity(find(folder))
    tiny_models.edit_json(folder / file, **values)
    assert identity(find(folder)) != before


def test_other_weights_change_the_digest(folder):
    before = identity(find(folder))
    replace_weights(folder, weights(folder) | {HEAD: weights(folder)[HEAD] * 2})
    assert identity(find(folder)) != before


# --- IDs ---


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache of huggingface_hub, without a network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_an_id_is_found_in_the_cache_and_again_by_its_commit(folder, cache):
    repository = cache / "models--somebody--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(folder, repository / "snapshots" / COMMIT)
    spec = seglib.find_model("hf:somebody/tiny")
    assert (spec.name, spec.request.model) == ("somebody-tiny", f"hf:somebody/tiny@{COMMIT}")
    assert seglib.find_model(spec.request.model) == spec
    assert identity(spec)[:5] == identity(find(folder))[:5]


@pytest.mark.parametrize("allowed", [False, True])
def test_a_download_takes_pickles_only_if_they_are_allowed(folder, cache, monkeypatch, allowed):
    asked = []

    def download(repository, *, allow_patterns=None, **options):
        if options.get("local_files_only"):
            raise huggingface_hub.errors.LocalEntryNotFoundError("nothing")
        asked.extend(allow_patterns)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    (folder / "model.safetensors").unlink()
    hint = "" if allowed else ": if it has pickles only, add `allow_pickle`"
    with pytest.raises(WeightsError, match=re.escape(f"(it holds no other files){hint}.")):
        seglib.find_model("hf:somebody/tiny", allow_pickle=allowed)
    assert any(pattern.endswith(".bin") for pattern in asked) == allowed
    assert "*.safetensors" in asked


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("somebody/tiny", "neither on this machine nor could it be downloaded"),
        (f"somebody/tiny@{COMMIT}", "not on this machine in the version 0123456789ab: fetch that revision"),
        ("/nowhere/at/all", "There is no folder"),
        ("some/../where", "There is no folder"),
        ("one-word", "There is no folder"),
    ],
)
def test_a_model_that_is_not_there_is_refused(cache, target, reason):
    with pytest.raises(UsageError, match=reason) as error:
        seglib.find_model(f"hf:{target}")
    assert "\n" not in str(error.value)
