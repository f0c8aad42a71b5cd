"""A loading process leaves signals to the trainer."""

import multiprocessing
import os
import signal

import pytest

from seglib.training import dataloader, dataset
from seglib.training.dataloader import TrainingSet
from tests.seglib.training.plain_training import recipe, voc_folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_of_the_whole_group_does_not_break_the_loading(tmp_path, number):
    made = recipe(batch_size=1, short_side=(32, 32))
    pairs, mapping = dataset.find_samples(voc_folder(tmp_path / "voc", 12), classes=made.classes)
    plan = dataloader.plan_batches([1.0] * len(pairs), made, 0)
    others = set(multiprocessing.active_children())
    seen = dataloader.load_batches(TrainingSet(pairs, mapping), made, 0, plan, start=0, workers=1)
    found = [next(seen)]
    (worker,) = set(multiprocessing.active_children()) - others
    os.kill(worker.pid, number)
    found += seen
    assert len(found) == len(plan) > 3
