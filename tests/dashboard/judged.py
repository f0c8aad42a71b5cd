"""Score the ground truth of the fake store by a model that is sure of what the run's masks show."""

from pathlib import Path

import numpy as np
import pytest

from seglib.classes import VOC_CLASSES
from seglib.evaluation import truth_counting
from seglib.pipeline import reproduce
from seglib.store.ground_truth import GroundTruth
from seglib.store.store import Store
from tests.annotated import open_drawn

SURE = 0.98


def judge(store: Store, run: str, masks: Path, monkeypatch: pytest.MonkeyPatch, **options: object) -> GroundTruth:
    """Score these masks by a run of `fill_store`, which has no model."""

    def predict(counter: object, image_id: str, _: object) -> np.ndarray:
        mask = store.mask(run, image_id)
        table = np.full((len(VOC_CLASSES), *mask.shape), (1 - SURE) / (len(VOC_CLASSES) - 1), np.float32)
        np.put_along_axis(table, mask[None].astype(int), np.float32(SURE), 0)
        return table

    with monkeypatch.context() as patch:
        patch.setattr(reproduce, "resolve_run_model", lambda *_: None)
        patch.setattr(truth_counting._TruthCounter, "_predict", predict)
        return truth_counting.update_counts(store, open_drawn(masks), [run], label_quality=True, **options).truth
