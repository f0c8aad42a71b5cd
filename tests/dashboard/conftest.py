"""A store that one can check by eye, made without a net: six files, one run, masks of 10 x 10 pixels."""

import io
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.components.v2 import manifest_scanner

from dashboard.charts import theme
from dashboard.settings import ServerSettings
from seglib.classes import VOC_CLASSES
from seglib.data.image import compute_image_id
from seglib.inference.config import RunConfig
from seglib.masks import png, statistics
from seglib.pipeline.run import describe_run
from seglib.store.records import Run
from seglib.store.store import Store
from seglib.store.writer import RunWriter

NASTY = "others/<img src=x onerror=alert(1)> :cat: **b** [l](http://x).jpg"
"""A file's name that is HTML, Markdown, an icon and a link."""

PIXELS: dict[str, dict[str, int]] = {
    "cats/a.jpg": {"cat": 50},
    "cats/b.jpg": {"dog": 30},  # contradicts its folder
    "cats/c.jpg": {"cat": 20, "person": 10},
    "dogs/d.jpg": {"dog": 80},
    "dogs/e.jpg": {},  # nothing found
    NASTY: {"person": 40},
}
"""Path -> class -> pixels of 100; all else is background."""

CONFIDENCE = {
    "cats/a.jpg": 0.9,
    "cats/b.jpg": 0.5,
    "cats/c.jpg": 0.8,
    "dogs/d.jpg": 0.95,
    "dogs/e.jpg": 0.99,
    NASTY: 0.7,
}


@pytest.fixture(scope="session", autouse=True)
def _installed_components_are_looked_for_once():
    """Streamlit's test driver reads what every installed package says of itself for each page: longer than the page."""
    with pytest.MonkeyPatch.context() as patch:
        once = lru_cache(manifest_scanner.scan_component_manifests)
        patch.setattr(manifest_scanner, "scan_component_manifests", once)
        yield


@pytest.fixture(autouse=True)
def _validate_plotly_figures(monkeypatch):
    monkeypatch.setattr(theme, "VALIDATE_FIGURES", True)


@pytest.fixture(autouse=True)
def restore_main_module():
    """AppTest makes the page the process's main module, which a worker process of a later test would then import."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


def mask_of(pixels: dict[str, int], classes: tuple[str, ...] = VOC_CLASSES) -> np.ndarray:
    """uint8 (10, 10): the classes one after the other from the top left."""
    flat = np.zeros(100, np.uint8)
    start = 0
    for name, count in pixels.items():
        flat[start : start + count] = classes.index(name)
        start += count
    return flat.reshape(10, 10)


def id_of(path: str) -> str:
    return compute_image_id(path.encode())


PHOTO_WH = (400, 300)


def photo_of(path: str) -> bytes:
    """A JPEG of 400 x 300 pixels in a colour of its own."""
    buffer = io.BytesIO()
    red, green, blue = id_of(path)[:2], id_of(path)[2:4], id_of(path)[4:6]
    Image.new("RGB", PHOTO_WH, f"#{red}{green}{blue}").save(buffer, "JPEG")
    return buffer.getvalue()


def real_id(path: str) -> str:
    return compute_image_id(photo_of(path))


def make_run_config(code_schema: int = 1, classes: tuple[str, ...] = VOC_CLASSES) -> RunConfig:
    return RunConfig(
        model="fake_net",
        resize="64x64",
        precision="fp32",
        weights_sha256="0" * 64,
        quantised_sha256="",
        grid_rule="g",
        decoder="d",
        code_schema=code_schema,
        classes=classes,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        code="installed",
    )


def fill_store(
    path: Path,
    *,
    pixels: dict[str, dict[str, int]] = PIXELS,
    code_schema: int = 1,
    classes: tuple[str, ...] = VOC_CLASSES,
    measured: bool = True,
    folder: str = "photos",
    real: bool = False,
) -> Run:
    """Make or extend a store at `path` with a run that saw these pixels, and one unreadable file.

    `real`: the photos' files are there too, beside the store (see `photo_of`).
    """
    store = Store.create(path)
    dataset = store.register_dataset(path.parent / folder)
    run = store.keep_run(describe_run(make_run_config(code_schema, classes), parameters=16, versions={}))
    with store.atomic.register_writer():
        writer = RunWriter(store, dataset, run, scan=code_schema)
        for name, counts in pixels.items():
            record = {"path": name, "bytes": 1, "mtime_ns": 1, "split": None, "label": name.split("/")[0]}
            identity, width, height = id_of(name), 40, 30
            if real:
                file = path.parent / folder / name
                file.parent.mkdir(parents=True, exist_ok=True)
                if not file.exists():
                    file.write_bytes(photo_of(name))
                status = file.stat()
                record |= {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
                identity, width, height = real_id(name), *PHOTO_WH
            measures = statistics.ConfidenceStats(confidence=CONFIDENCE.get(name, 0.9), entropy=0.1, low_margin=0.05)
            mask = mask_of(counts, classes)
            row = statistics.stats_row(mask, classes, measures if measured else None)
            writer.add_result(identity, row, png.encode_index_png(mask), thumbnail())
            writer.add_file(record, image_id=identity, width=width, height=height)
        bad = {"path": "cats/bad.jpg", "bytes": 1, "mtime_ns": 1, "split": None, "label": "cats"}
        writer.add_file(bad, reason="not an image", detail="The file is empty.")
        writer.commit()
    return run


def thumbnail() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), (90, 120, 60)).save(buffer, "JPEG")
    return buffer.getvalue()


TRUTH: dict[str, dict[str, int]] = {
    "cats/a.jpg": {"cat": 60},  # the run of `fill_store` misses ten
    "cats/b.jpg": {"cat": 30},  # it says dog
    "dogs/d.jpg": {"dog": 80},  # it is right
}
"""What people drew; of 300 pixels at the size of the masks, 260 are right."""


def draw_truth(folder: Path, drawn: dict[str, dict[str, int]] = TRUTH, size_wh: tuple[int, int] = (40, 30)) -> Path:
    """A mask per photo at the photo's size, as `fill_store` made it."""
    for name, counts in drawn.items():
        file = (folder / name).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png.encode_index_png(png.resize_mask(mask_of(counts), size_wh)))
    return folder


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch):
    """Tell the pages and routes of this process which store they show."""

    def use(path: Path, *folders: Path) -> Path:
        """Without folders, one is offered that holds no photo."""
        for name, value in (
            ServerSettings(store=path, photo_folders=folders or (path.parent / "none",)).to_environment().items()
        ):
            monkeypatch.setenv(name, value)
        return path

    return use


@pytest.fixture
def full(tmp_path: Path, serve) -> Path:
    """A store with one run over six photos."""
    fill_store(tmp_path / "store")
    return serve(tmp_path / "store")


@pytest.fixture
def real(tmp_path: Path, serve) -> Path:
    """The same with the photos' files beside it."""
    fill_store(tmp_path / "store", real=True)
    return serve(tmp_path / "store")


@pytest.fixture
def empty(tmp_path: Path, serve) -> Path:
    """A store without a run."""
    Store.create(tmp_path / "store")
    return serve(tmp_path / "store")


@pytest.fixture
def missing(tmp_path: Path, serve) -> Path:
    return serve(tmp_path / "nowhere")


@pytest.fixture
def broken(full: Path) -> Path:
    """A store with a damaged part of statistics."""
    (part,) = full.glob("runs/*/stats/part-*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    return full


@pytest.fixture
def newer(full: Path) -> Path:
    """A store that a newer version made."""
    (full / "store.json").write_text('{"schema": 99}')
    return full
