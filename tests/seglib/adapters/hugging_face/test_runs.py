"""Runs of models of transformers: continued, reproduced, compared, on the command line."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("transformers", reason="the extra hf is not installed")

import seglib
from seglib.adapters.hugging_face import loading
from seglib.cli import main
from seglib.errors import WeightsError
from seglib.inference import predictor
from seglib.inference.config import InferenceConfig
from seglib.pipeline.reproduce import resolve_run_model
from seglib.store.store import Store
from tests.conftest import ROOT
from tests.seglib.adapters.hugging_face import tiny_models
from tests.seglib.small_runs import INLINE, counts, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_models.save(tmp_path_factory.mktemp("hf") / "tiny-segformer", tiny_models.segformer)


@pytest.fixture(scope="module")
def queries(tmp_path_factory):
    return tiny_models.save(tmp_path_factory.mktemp("hf") / "tiny-mask2former", tiny_models.mask2former)


def test_a_stopped_run_is_continued_and_its_model_found_again(folder, photos, store):
    first = run(photos, store, f"hf:{folder}", seglib.RunOptions(workers=0, limit=1))
    assert counts(first) == (1, 1, 0, 0)
    assert counts(run(photos, store, f"hf:{folder}")) == (4, 3, 1, 0)
    (this_run,) = store.runs()
    assert this_run.repeatable
    spec, settings = resolve_run_model(store, this_run)
    assert spec == seglib.find_model(f"hf:{folder}")
    assert settings.precision == "fp32"


def test_models_are_compared_and_have_a_confidence(folder, queries, photos, store):
    runs = [run(photos, store, f"hf:{one}", resize="64").run for one in (folder, queries)]
    comparison = seglib.compare(store, runs)
    assert list(comparison.counts) == [tuple(runs)]
    assert 0 <= comparison.consensus.overall() < 1
    for this_run in store.runs():
        confidence = store.stats(this_run)["confidence"].to_numpy()
        assert np.all((confidence > 0.2) & (confidence <= 1))


def images(spec, count=3):
    rng = np.random.default_rng(2)
    width, height = spec.input_rule.grid_wh(60, 48)
    return rng.integers(0, 256, (count, height, width, 3), np.uint8)


@pytest.mark.parametrize("which", ["folder", "queries"])
def test_a_mask_depends_neither_on_its_batch_nor_on_other_threads(which, request):
    spec = seglib.find_model(f"hf:{request.getfixturevalue(which)}")
    settings = InferenceConfig(resize=spec.resize, device="cpu")
    batch, grid_wh = images(spec, 4), (40, 32)
    whole, measures = predictor.predict_batch(batch, spec, settings, grid_wh)
    with ThreadPoolExecutor(2) as pool:
        alone = list(pool.map(lambda image: predictor.predict_batch(image[None], spec, settings, grid_wh), batch))
    np.testing.assert_array_equal(whole, np.concatenate([masks for masks, _ in alone]))
    assert measures == [measure for _, (measure,) in alone]
    assert len(np.unique(whole)) > 1


def test_the_confidence_of_queries_is_their_share_of_all_scores(queries):
    spec = seglib.find_model(f"hf:{queries}")
    settings = InferenceConfig(resize=spec.resize, device="cpu")
    (image,) = images(spec, 1)
    backend = spec.adapter.load_backend(spec, "fp32", "cpu")
    (scores,) = backend(image[None])
    assert backend.output == "probabilities"
    grid_wh = scores.shape[:1:-1]
    shares = (scores / scores.sum(1, keepdim=True))[0]
    found = predictor.confidence_map(image, spec, settings, grid_wh)
    np.testing.assert_allclose(found, shares.amax(0), rtol=1e-5)


def test_bf16_sees_nearly_the_same_and_int8_is_refused(folder):
    spec = seglib.find_model(f"hf:{folder}")
    masks = {}
    for precision in ("fp32", "bf16"):
        settings = InferenceConfig(resize=spec.resize, precision=precision, device="cpu")
        masks[precision], _ = predictor.predict_batch(images(spec), spec, settings, (128, 96))
    assert 0.9 < (masks["fp32"] == masks["bf16"]).mean() < 1
    assert spec.adapter.precisions == ("fp32", "bf16")


def test_on_the_command_line(folder, photos, tmp_path, capsys):
    store = tmp_path / "store"
    command = ["run", str(photos), "--store", str(store), "--workers", "0", "--model", f"hf:{folder}"]
    assert main.main([*command, "--precision", "fp32", "--json"]) == 0
    out = capsys.readouterr().out
    (line,) = out.splitlines()
    assert json.loads(line)["computed"] == 4
    assert main.main([*command, "--precision", "int8"]) == 2
    assert "fp32 or bf16, not in int8" in capsys.readouterr().err
    assert main.main([*command, "--classes", "a,b"]) == 2
    assert "has 5 classes, and --classes names 2" in capsys.readouterr().err
    assert [one.model for one in Store(store).runs()] == ["tiny-segformer"]


def test_the_example_of_the_documentation_runs(monkeypatch, tmp_path):
    pages = sorted((ROOT / "docs").glob("models*.md"))
    blocks = [block for page in pages for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S)]
    (example,) = [block for block in blocks if "hf:" in block]
    monkeypatch.chdir(tmp_path)
    with loading.quiet():
        exec(example, {})


def test_a_model_that_takes_only_squares_is_refused_before_any_photo(tmp_path, photos, store):
    folder = tiny_models.save(tmp_path / "dpt", lambda t: tiny_models.dpt(t, keep_aspect_ratio=True))
    with pytest.raises(WeightsError, match="dpt cannot be called with images of 96x64"):
        run(photos, store, f"hf:{folder}", INLINE)
    assert not store.runs()
