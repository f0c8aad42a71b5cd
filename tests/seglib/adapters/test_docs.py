"""The examples of docs/models-code.md run, in their order, as they stand there."""

import re
import shlex
import sys
import warnings

import pytest

import seglib
from seglib.cli import main
from tests.conftest import ROOT

DOCUMENT = ROOT / "docs" / "models-code.md"


def test_the_examples_of_the_page_work(photos, tmp_path, monkeypatch):
    pytest.importorskip("segmentation_models_pytorch", reason="the extra smp is not installed")
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Conv2d(3, 3, 3)).save("traced.pt")
    commands = 0
    for kind, file, text in re.findall(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S):
        if file:
            (tmp_path / file).write_text(text)
        elif kind == "python":
            exec(compile(text, str(DOCUMENT), "exec"), {})
        elif kind == "sh":
            python, dash_m, package, *arguments = shlex.split(text)
            assert (python, dash_m, package) == ("python", "-m", "seglib")
            assert main.main(arguments) == 0
            commands += 1
    sys.modules.pop("my_model", None)
    runs = seglib.open("output").runs()
    assert commands == 4
    assert [run.model for run in runs] == ["my_unet", "net", "traced", "my_model.make", "Net"]
    assert [run.title for run in runs][-2:] == ["my first net", "in memory"]
    assert all(seglib.open("output").table([run.run])["px:cat"].notna().all() for run in runs)
