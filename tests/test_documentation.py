"""The Python of the README, of its page and of the notebook runs as it is printed, on the sample photos."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import seglib
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """`dataset/sample` and `photos`, both of the sample, and `docs`, from which the notebook is run."""
    folder = tmp_path_factory.mktemp("documentation")
    shutil.copytree(ROOT / "dataset" / "sample", folder / "dataset" / "sample")
    (folder / "photos").symlink_to(folder / "dataset" / "sample")
    (folder / "docs").mkdir()
    return folder


def read_blocks(page: str) -> Iterator[str]:
    yield from re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)


def run(code: str, names: dict[str, object]) -> object:
    """Run the code, and return the value of its last line if that is an expression, as a notebook shows it."""
    *lines, last = code.strip().splitlines()
    try:
        shown = compile(last, "<last line>", "eval")
    except SyntaxError:
        exec(code, names)
        return None
    exec("\n".join(lines), names)
    return eval(shown, names)


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_the_examples_run(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    blocks = list(read_blocks(page))
    assert blocks
    try:
        for block in blocks:
            run(block, names)
    finally:
        if "dashboard" in names:
            names["dashboard"].stop()
    assert 0 < len(names["table"]) <= 13
    assert isinstance(names["run"], seglib.RunReport)
    assert names["other"].model == "unet_mobilenet_v2"


def test_the_notebook_runs_from_beginning_to_end(folder, monkeypatch):
    monkeypatch.chdir(folder / "docs")
    names: dict[str, object] = {}
    cells = [one for one in json.loads((ROOT / "docs" / "notebook.ipynb").read_text())["cells"] if "outputs" in one]
    assert len(cells) == 8
    for cell in cells:
        value = run("".join(cell["source"]), names)
        (output,) = cell["outputs"]
        assert value._repr_html_().count("<img ") == "".join(output["data"]["text/html"]).count("<img ")
    assert names["run"].images == 13
