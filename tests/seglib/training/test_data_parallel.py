"""The gradient of a batch split among replicas: the same as in one, and the same again."""

import copy

import pytest
import torch
from torch import nn

from seglib.training import data_parallel
from seglib.training.data_parallel import ReplicaPool
from seglib.training.dataloader import TrainBatch


def batch(photos: int) -> TrainBatch:
    torch.manual_seed(photos)
    return TrainBatch(
        torch.randint(0, 256, (photos, 3, 8, 8), dtype=torch.uint8), torch.randint(0, 2, (photos, 8, 8)), None
    )


def error(net: nn.Module, seen: TrainBatch) -> torch.Tensor:
    return nn.functional.cross_entropy(net(seen.images / 255), seen.masks)


def slopes(net: nn.Module, number: int, seen: TrainBatch, seed: int = 0) -> tuple[float, list[torch.Tensor]]:
    made = ReplicaPool(net, number, "cpu")
    try:
        made.train(())
        loss = made.backward(seen, error, seed)
    finally:
        made.close()
    return loss, [p.grad.clone() for p in net.parameters()]


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 2, 1))


@pytest.mark.parametrize("photos", [2, 3, 5, 8])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_loss_and_gradient_are_those_of_the_whole_batch(photos, number):
    net, seen = plain(), batch(photos)
    loss = error(net, seen)
    expected = torch.autograd.grad(loss, list(net.parameters()))
    got, gradient = slopes(net, number, seen)
    assert got == pytest.approx(loss.item(), abs=1e-6)
    for one, other in zip(gradient, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_each_batch_norm_sees_its_own_share_and_the_first_is_kept():
    net, seen = nn.Sequential(nn.BatchNorm2d(3), plain()), batch(8)
    first = copy.deepcopy(net)
    slopes(net, 2, seen)
    first.train()(seen.images[:4] / 255)
    torch.testing.assert_close(net[0].running_mean, first[0].running_mean)


def test_chance_follows_from_the_seed_and_differs_between_replicas():
    def net() -> nn.Sequential:
        return nn.Sequential(plain(), nn.Dropout(0.5))

    one, again, other = (slopes(net(), 2, batch(8), seed) for seed in (1, 1, 2))
    assert one[0] == again[0] != other[0]
    assert all(torch.equal(a, b) for a, b in zip(one[1], again[1], strict=True))
    twice = batch(4)
    twice = TrainBatch(torch.cat([twice.images] * 2), torch.cat([twice.masks] * 2), None)
    assert slopes(net(), 2, twice)[0] != pytest.approx(slopes(net(), 1, batch(4))[0])


def test_own_dropout_keeps_the_mean_and_rests_when_the_net_does():
    drop = data_parallel.SeededDropout(0.25, "cpu")
    x = torch.ones(200, 200)
    drop.generator.manual_seed(3)
    assert drop(x).mean() == pytest.approx(1, abs=0.02)
    assert drop(x).unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(drop.eval()(x), x)


def test_what_is_frozen_has_no_gradient():
    net = plain()
    net[0].requires_grad_(False)
    made = ReplicaPool(net, 2, "cpu")
    made.train(("0",))
    assert not net[0].training
    made.backward(batch(4), error, 0)
    made.close()
    assert net[0].weight.grad is None
    assert net[2].weight.grad is not None


def test_a_part_that_the_loss_does_not_reach_has_no_gradient():
    net = plain()
    net.add_module("aside", nn.Identity())
    net.aside.register_parameter("unused", nn.Parameter(torch.zeros(1)))
    made = ReplicaPool(net, 2, "cpu")
    made.backward(batch(4), error, 0)
    made.close()
    assert net.aside.unused.grad is None
