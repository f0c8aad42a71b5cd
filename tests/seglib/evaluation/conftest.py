"""A run of three painted photos, and a ground truth drawn for them."""

import numpy as np
import pytest

import seglib
from seglib.classes import VOID
from seglib.evaluation import evaluation, truth_counting
from seglib.masks import png
from seglib.pipeline import session
from seglib.store.store import Store
from tests.annotated import open_drawn

OPTIONS = session.RunOptions(workers=0)
CLASSES = ("background", "cat", "dog", "person")


@pytest.fixture
def store(tmp_path, paint, fake) -> Store:
    paint("cats/a.png", cat=(0, 0, 32, 24))
    paint("cats/b.png", cat=(0, 0, 32, 48))
    paint("dogs/c.png", dog=(16, 0, 64, 48), size_wh=(128, 96))
    store = Store.create(tmp_path / "store")
    seglib.run(tmp_path / "photos", store, fake, options=OPTIONS)
    return store


def draw(folder, name, size_wh=(64, 48), **boxes):
    mask = np.zeros(size_wh[::-1], np.uint8)
    for called, (left, top, right, bottom) in boxes.items():
        mask[top:bottom, left:right] = VOID if called == "void" else CLASSES.index(called)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png.encode_index_png(mask))


@pytest.fixture
def drawn(tmp_path):
    """a is right but for half of its cat, b is right, c is a cat; void is nobody's."""
    folder = tmp_path / "truth"
    draw(folder, "cats/a.png", cat=(0, 0, 32, 48))
    draw(folder, "cats/b.png", cat=(0, 0, 32, 48), void=(60, 0, 64, 48))
    draw(folder, "dogs/c.png", (128, 96), cat=(16, 0, 64, 48))
    return folder


def evaluated(store, folder, **options):
    (run,) = store.runs()
    report = truth_counting.update_counts(store, open_drawn(folder, classes=CLASSES), [run.run], **options)
    return report, evaluation.load_evaluation(store, report.truth, run.run, files=report.files)


def values(found) -> dict[str, float | None]:
    return {name: measure.overall() for name, measure in found.measures.items()}
