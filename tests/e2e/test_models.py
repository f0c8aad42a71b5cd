"""Foreign models in the browser: a run is renamed and run again, a model of --models is run and tried."""

import contextlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from seglib.cli import main
from seglib.models.registry import MODELS
from seglib.store.store import Store
from tests.conftest import SAMPLE
from tests.e2e.test_accessibility import violations
from tests.e2e.test_dashboard import SIDEWAYS, opened, settle, visit
from tests.e2e.test_runs import choose as choose_action

pytestmark = pytest.mark.e2e

LONG = {"timeout": 180_000}
TITLE = "Roads <b>of May</b> **x**"
OFFERED = "models/cats/pets.safetensors (checkpoint)"


@pytest.fixture
def store(tmp_path) -> Store:
    """A run by a checkpoint, one like it that is offered, and two files that cannot be used."""
    photos, folder = tmp_path / "data" / "two", tmp_path / "models"
    (photos / "cats").mkdir(parents=True)
    (folder / "cats").mkdir(parents=True)
    for name in ("chelsea.png", "tabby.jpg"):
        shutil.copy(SAMPLE / "cats" / name, photos / "cats")
    shutil.copy(MODELS["unet_mobilenet_v2"].path, tmp_path / "roads.safetensors")
    other_weights(MODELS["fcn_mobilenet_v2"].path, folder / "cats" / "pets.safetensors")
    (folder / "scripted.ts").write_bytes(b"x")
    (folder / "broken.safetensors").write_bytes(b"x")
    words = ["run", photos, "--weights", tmp_path / "roads.safetensors", "--resize", "64", "--workers", "0"]
    assert main.main([str(word) for word in (*words, "--store", tmp_path / "store")]) == 0
    return Store(tmp_path / "store")


def other_weights(source: Path, target: Path) -> None:
    """The checkpoint with one number changed: another model, which sees the same."""
    state = load_file(source)
    with safe_open(source, "numpy") as opened_file:
        metadata = opened_file.metadata()
    name = next(name for name, value in state.items() if np.issubdtype(value.dtype, np.floating) and value.ndim == 1)
    state[name][0] += 0.01
    save_file(state, target, metadata)


def choose(page, model: str, *, instead: bool = False) -> None:
    """Choose one more model of the list, or another one `instead` of the last chosen."""
    box = page.get_by_role("combobox", name=re.compile("^Models"))
    field = page.get_by_test_id("stMultiSelect").filter(has=box)
    settle(page)
    if instead:
        box.press("Backspace")
        settle(page)
    from playwright.sync_api import TimeoutError as NotShown

    for _ in range(3):  # a rerun of the page closes the list
        box.click()
        with contextlib.suppress(NotShown):
            page.get_by_role("option", name=model).click(timeout=5_000)
        page.keyboard.press("Escape")
        settle(page)
        if model in field.inner_text():
            return
    raise AssertionError(field.inner_text())


def test_foreign_models_are_renamed_run_again_offered_and_tried(start, browser, store, tmp_path):
    (run,) = store.runs()
    server = start(store.path, "--data", str(tmp_path / "data"), "--models", str(tmp_path / "models"))
    page = opened(browser, f"{server.url}/runs", drawn="h1")
    choose_action(page, "roads (unet_mobilenet_v2)", "Rename")
    page.get_by_role("textbox", name="Title").fill(TITLE)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name=f"Actions for {TITLE}").wait_for()
    assert store.run(run.run).title == TITLE

    choose_action(page, TITLE, "Run again")
    page.get_by_text(re.compile("Finished: 2 photos, 0 computed, 2 already known")).wait_for(**LONG)
    visit(page, f"{server.url}/runs", "h1")  # the page of a job that ended is drawn again now and then
    page.get_by_text("2 models cannot be used").click()
    page.get_by_text("broken.safetensors is not a safetensors file").wait_for()
    page.get_by_text(re.compile("It holds code, which runs only if the file itself is named")).wait_for()
    choose(page, OFFERED, instead=True)
    page.get_by_text(f"{OFFERED}: 21 classes, masks of 224").wait_for()
    settle(page)
    assert violations(page) == []
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("button", name="Actions for pets (fcn_mobilenet_v2)").wait_for(**LONG)
    assert {one.display_title for one in store.runs()} == {"pets (fcn_mobilenet_v2)", TITLE}
    assert page.evaluate(SIDEWAYS) == [0, 0]
    assert str(tmp_path / "models") not in page.content()
    assert page.faults == []

    other = opened(browser, f"{server.url}/try", drawn="h1", scheme="dark", width=390)
    choose(other, OFFERED, instead=True)
    other.locator("input[type=file]").set_input_files(str(SAMPLE / "cats" / "chelsea.png"))
    other.get_by_role("heading", name="Figures").wait_for(**LONG)
    other.get_by_text("224 x 224").first.wait_for()
    settle(other)
    assert violations(other) == []
    assert other.evaluate(SIDEWAYS) == [0, 0]
    assert other.faults == []
    assert "torch" not in server.loaded()
