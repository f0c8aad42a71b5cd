"""Scripts as people write them, without `if __name__ == "__main__"`: each runs once."""

import multiprocessing
import os
import subprocess
import sys
import threading
from multiprocessing import spawn
from pathlib import Path

import pytest

from seglib.data.worker_processes import without_main_module
from tests.conftest import ROOT, SAMPLE
from tests.seglib.training.plain_training import voc_folder

SCRIPT = """
import multiprocessing, sys
multiprocessing.set_start_method("spawn")  # as on macOS and Windows
import seglib
print("begins")
photos, store, data, checkpoint = sys.argv[1:]
seglib.load_model("fcn_mobilenet_v2")
options = seglib.RunOptions(workers=2, limit=4)
report = seglib.run(photos, store, "fcn_mobilenet_v2", resize="64", options=options)
print(report.computed, report.failed)
for method in ("spawn", "fork"):
    multiprocessing.set_start_method(method, force=True)
    config = seglib.TrainConfig(
        architecture="unet_mobilenet_v2", dataset=data, classes=("background", "cat", "dog"), out=method + checkpoint,
        resize="32", short_side=(32, 32), epochs=1, batch_size=4, workers=1,
    )
    print(method, seglib.train(config).epochs)
"""


def run_script(tmp_path: Path, text: str, *arguments: object) -> list[str]:
    """Lines that the script prints."""
    script = tmp_path / "my script.py"
    script.write_text(text)
    done = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_script_without_a_guard_runs_a_model_and_trains_once(tmp_path):
    data = voc_folder(tmp_path / "voc", 12)
    lines = run_script(tmp_path, SCRIPT, SAMPLE, tmp_path / "store", data, ".safetensors")
    assert lines == ["begins", "4 0", "spawn 1", "fork 1"]


def main_of(name: str = "") -> set[str]:
    return {key for key in spawn.get_preparation_data(name) if key.startswith("init_main")}


def test_only_this_threads_processes_start_without_the_main_module():
    """The user's own pools may need it."""
    usual = main_of()
    seen = []
    with without_main_module():
        with without_main_module():
            assert main_of() == set()
        assert main_of() == set()
        other = threading.Thread(target=lambda: seen.append(main_of()))
        other.start()
        other.join()
    assert seen == [usual]
    assert main_of() == usual


def test_what_a_user_starts_has_the_main_module_as_ever():
    with without_main_module():
        pass
    process = multiprocessing.get_context("spawn").Process(target=os.getpid)
    process.start()
    process.join()
    assert process.exitcode == 0
