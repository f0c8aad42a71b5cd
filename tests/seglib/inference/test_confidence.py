"""Masks and measures from logits, against softmax, argmax and top-2 one after the other."""

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from seglib.inference import confidence


def test_both_ways_to_measure_give_the_same():
    logits = torch.randn(3, 21, 60, 50, generator=torch.Generator().manual_seed(0)) * 5
    logits[0, 4] = logits[0, 9]  # ties
    each = [confidence.summarise_numpy(picture.flatten(1).numpy(), (60, 50)) for picture in logits]
    masks, measures = np.stack([mask for mask, _ in each]), [sure for _, sure in each]
    same_masks, same_measures = confidence.summarise_torch(logits)
    assert (masks == same_masks).all()
    assert (masks == logits.argmax(1).numpy()).all()
    for one, other in zip(measures, same_measures, strict=True):
        assert asdict(one) == pytest.approx(asdict(other), abs=1e-6)
    oracle = logits.softmax(1)
    assert [m.confidence for m in measures] == pytest.approx(oracle.amax(1).mean((1, 2)).tolist(), abs=1e-6)
    two = oracle.topk(2, 1).values
    assert [m.low_margin for m in measures] == pytest.approx(
        ((two[:, 0] - two[:, 1]) < 0.2).float().mean((1, 2)).tolist()
    )
    entropy = torch.distributions.Categorical(oracle.permute(0, 2, 3, 1)).entropy().mean((1, 2)) / math.log(21)
    assert [m.entropy for m in measures] == pytest.approx(entropy.tolist(), abs=1e-6)


def test_blocks_of_rows_change_nothing(monkeypatch):
    logits = np.random.default_rng(0).normal(size=(5, 37 * 29)).astype(np.float32)
    whole, sure = confidence.summarise_numpy(logits, (37, 29))
    for block in (1, 29, 100):
        monkeypatch.setattr(confidence, "_BLOCK_PIXELS", block)
        parts, other = confidence.summarise_numpy(logits, (37, 29))
        assert (parts == whole).all()
        assert asdict(other) == pytest.approx(asdict(sure), abs=1e-9)
