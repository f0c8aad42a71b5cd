"""Fixtures for all tests: the sample, small photos, a fake net that a person can check by eye, the development data."""

import ast
import importlib.metadata
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from seglib.fileio import atomic
from tests.buckets import serve_bucket

# Threads of torch that wait for each other sleep: on cores that several workers share, spinning takes most of the time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is first imported; children inherit it
os.environ.setdefault("OMP_NUM_THREADS", "1")  # there is a worker per core, and what the tests compute is small

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "dataset" / "sample"
SHARED = Path(os.environ.get("SEGLIB_TEST_DATA", ROOT.parent / "shared"))

settings.register_profile("project", deadline=None)  # a busy machine is no failure
settings.load_profile("project")

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every process that a test starts would compile all modules

MOST_WORKERS = 8
WORKER_GB = 2
"""Of memory, for one worker and what its tests start: both hold torch and Streamlit."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, as far as memory reaches, since tests that drive a browser often wait for it."""
    by_memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // (WORKER_GB * 2**30)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores + 1, by_memory, MOST_WORKERS))


def pytest_itemcollected(item: pytest.Item) -> None:
    """What drives a browser, and the campaigns of faults, are slow without saying so."""
    if item.get_closest_marker("e2e") or item.path.parent.name == "reliability":
        item.add_marker("slow")


LONGEST_FIRST = ("test_accessibility", "test_dashboard", "test_viewer", "test_runs", "test_crossfilter", "test_compare")
"""Of the files that drive a browser: a long one that begins last keeps a worker busy while the others are done."""

BROWSER_TESTS = "tests/e2e/"

SAME_SAMPLE = {"test_dashboard", "test_viewer"}
"""These files look at one analysis of the sample, which takes as long as a test: they stay on one worker."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def rank(item: pytest.Item) -> tuple[bool, int, bool]:
        if not item.get_closest_marker("e2e"):
            return True, 0, item.path not in slow
        name = item.path.stem
        return False, LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST), False

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object):
    """Which tests stay together on a worker. Those of a file do, so that its fixtures are made once; the campaigns of
    faults share nothing, and each goes to the next free worker. Of three workers or more, the last begins with what
    drives no browser, to compute while the others wait for theirs.

    (The marker `xdist_group` has no effect with pytest-xdist 3.8 under pytest 9.2.)
    """
    if config.getvalue("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, _ = nodeid.partition("::")
            if file.startswith(BROWSER_TESTS) and Path(file).stem in SAME_SAMPLE:
                return f"{BROWSER_TESTS}sample"
            return nodeid if file.startswith("tests/reliability/") else file

        def _assign_work_unit(self, node: object) -> None:
            computes = len(self.nodes) > 2 and node is self.nodes[-1]
            wanted = next((scope for scope in self.workqueue if scope.startswith(BROWSER_TESTS) != computes), None)
            if wanted is not None:
                self.workqueue.move_to_end(wanted, last=False)
            super()._assign_work_unit(node)

    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def _installed_versions_are_read_once():
    """Each run records the versions of its libraries, whose metadata take longer to parse than a small photo to see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lru_cache(importlib.metadata.version))
        yield


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk():
    """No test cuts the power, so none can see whether a write was flushed: `fsync` only checks its descriptor.

    Processes that a test starts do wait, and so do the tests of `seglib.fileio.atomic`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: os.fstat(descriptor) and None)
        patch.setattr(atomic, "_syncfs", lambda: os.fstat)
        yield


COLOURS = {"background": (0, 0, 0), "cat": (255, 0, 0), "dog": (0, 255, 0), "person": (0, 0, 255)}
"""The fake net sees these classes: a pixel is the class whose colour it has."""


def list_imports(path: Path, *, top_only: bool = False) -> set[str]:
    """Every dotted name that a file imports, at its top or (unless `top_only`) inside a function too."""
    return list_imports_of(ast.parse(path.read_text()), top_only=top_only)


def list_imports_of(tree: ast.Module, *, top_only: bool = False) -> set[str]:
    """The same of a parsed file."""
    names: set[str] = set()
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.fixture
def sample() -> Path:
    return SAMPLE


@pytest.fixture
def shared() -> Path:
    if not (SHARED / "data").is_dir():
        pytest.skip("the development data is not beside this checkout")
    return SHARED


@pytest.fixture
def paint(tmp_path: Path) -> Callable[..., Path]:
    """Write a PNG of one colour with a rectangle of another: paint("cats/a.png", "background", cat=(0, 0, 20, 10))."""

    def write(name: str, ground: str = "background", size_wh: tuple[int, int] = (64, 48), **boxes: tuple) -> Path:
        image = Image.new("RGB", size_wh, COLOURS[ground])
        for colour, box in boxes.items():
            image.paste(COLOURS[colour], box)
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        return path

    return write


def build_fake(classes: int):
    """A 1x1 convolution: the logit of a class grows as the pixel's colour comes near to the class's.

    Its backbone changes nothing, so that an embedding is the mean colour.
    """
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = nn.Identity()
            self.classifier = nn.Conv2d(3, classes, 1)

        def forward(self, x):
            return {"out": self.classifier(self.backbone(x))}

    return Net()


@pytest.fixture
def fake(tmp_path: Path):
    """A ModelSpec of the fake net at 64x48, with a real checkpoint file."""
    return fake_model(tmp_path / "fake.safetensors")


def fake_model(path: Path):
    """The same with its checkpoint in this file, written if it is not there."""
    import torch
    from safetensors.torch import save_file

    from seglib.data.resize import Resize
    from seglib.models.registry import ModelSpec

    colours = torch.tensor(np.array(list(COLOURS.values())), dtype=torch.float32) / 255  # (C, 3)
    # |x - c|^2 up to a constant of the pixel: the nearest colour wins
    state = {"classifier.weight": 20 * colours[:, :, None, None], "classifier.bias": -10 * (colours**2).sum(1)}
    if not path.exists():
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    return ModelSpec(
        name="fake",
        build=build_fake,
        weights=str(path),
        source="file",
        parameters=16,
        classes=tuple(COLOURS),
        resize=Resize("64x48"),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


@pytest.fixture(scope="module")
def bucket_server():
    """A server of S3 on loopback."""
    for library in ("obstore", "arro3.core", "moto", "boto3"):
        pytest.importorskip(library, reason="photos on object storage: pip install -r tests/requirements.txt")
    with serve_bucket() as server:
        yield server


@pytest.fixture
def bucket(bucket_server, monkeypatch):
    """An empty bucket `photos`, for which the environment has the credentials."""
    from seglib.data.buckets import client

    for name, value in bucket_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket_server.clear()
    client.connect.cache_clear()
    yield bucket_server
    client.connect.cache_clear()
