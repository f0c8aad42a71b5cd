"""Losses against plain loops, on degenerate input, and their gradients."""

import numpy as np
import pytest
import torch

from seglib.classes import VOID
from seglib.training import optimization


@pytest.fixture
def some():
    """Logits (2, 3, 4, 5), and a mask with void that lacks class 2."""
    random = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, 4, 5, generator=random, dtype=torch.float64)
    mask = torch.randint(2, (2, 4, 5), generator=random)
    mask[0, 1, 2:] = VOID
    return logits, mask


def plain_softmax(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_cross_entropy_is_the_mean_over_pixels_that_are_not_void(some):
    logits, mask = some
    p, m = plain_softmax(logits.numpy()), mask.numpy()
    each = [-np.log(p[b, m[b, y, x], y, x]) for b in range(2) for y in range(4) for x in range(5) if m[b, y, x] != VOID]
    assert len(each) == 37
    assert float(optimization.cross_entropy(logits, mask)) == pytest.approx(np.mean(each))


def test_dice_is_the_mean_over_the_classes_that_the_masks_hold(some):
    logits, mask = some
    p, m = plain_softmax(logits.numpy()), mask.numpy()
    known = m != VOID
    scores = []
    for c in (0, 1):
        both = sum(p[b, c][known[b] & (m[b] == c)].sum() for b in range(2))
        sizes = sum(p[b, c][known[b]].sum() + (m[b] == c).sum() for b in range(2))
        scores.append((2 * both + 1) / (sizes + 1))
    assert float(optimization.dice_loss(logits, mask)) == pytest.approx(1 - np.mean(scores))


def test_a_perfect_answer_costs_nearly_nothing(some):
    _, mask = some
    right = torch.nn.functional.one_hot(mask.where(mask != VOID, 0), 3).movedim(-1, 1) * 100.0
    assert float(optimization.cross_entropy(right, mask)) == pytest.approx(0, abs=1e-6)
    assert float(optimization.dice_loss(right, mask)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", [optimization.cross_entropy, optimization.dice_loss])
def test_void_alone_costs_nothing_and_moves_nothing(loss):
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    value = loss(logits, torch.full((2, 4, 4), VOID))
    value.backward()
    assert float(value.detach()) == 0
    assert logits.grad.abs().sum() == 0


@pytest.mark.parametrize("loss", [optimization.cross_entropy, optimization.dice_loss])
def test_logits_under_void_have_no_gradient(loss, some):
    logits, mask = some
    logits.requires_grad_()
    loss(logits, mask).backward()
    void = (mask == VOID)[:, None].expand_as(logits)
    assert logits.grad[void].abs().sum() == 0
    assert logits.grad[~void].abs().min() > 0


def test_distillation_is_the_divergence_from_the_teacher():
    logits, teacher = torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2, 2).softmax(1)
    p = plain_softmax(logits.double().numpy())
    t = teacher.double().numpy()
    each = (t * (np.log(t) - np.log(p))).sum(1)
    assert float(optimization.distillation_loss(logits, teacher)) == pytest.approx(each.mean(), rel=1e-5)
    assert float(optimization.distillation_loss(teacher.log(), teacher)) == pytest.approx(0, abs=1e-6)


def test_a_class_that_the_teacher_rules_out_is_no_number_problem():
    teacher = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    logits = torch.zeros(1, 2, 1, 1, requires_grad=True)
    value = optimization.distillation_loss(logits, teacher)
    value.backward()
    assert float(value.detach()) == pytest.approx(np.log(2))
    assert logits.grad.flatten().tolist() == pytest.approx([-0.5, 0.5])
