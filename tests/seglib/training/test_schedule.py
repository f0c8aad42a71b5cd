"""Rates against torch's own schedulers, and the running mean of weights."""

import pytest
import torch

from seglib.training import optimization


def rates(scheduler_of, steps: int) -> list[float]:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    scheduler = scheduler_of(optimiser)
    found = []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return found


def test_poly_is_torchs():
    wanted = rates(lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 40, 0.9), 40)
    assert [optimization.rate_factor("poly", step, 40) for step in range(40)] == pytest.approx(wanted)


def test_onecycle_is_torchs():
    wanted = rates(lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1.0, 41, cycle_momentum=False), 41)
    # torch ends its rise at 0.3 * 41 - 1, ours at 0.3 of the whole
    ours = [optimization.rate_factor("onecycle", step, 40) for step in range(41)]
    assert ours[0] == pytest.approx(wanted[0])
    assert ours[-1] == pytest.approx(wanted[-1], abs=1e-9)
    assert max(abs(a - b) for a, b in zip(ours, wanted, strict=True)) < 0.1
    assert ours[12] == 1


def test_warmup_rises_and_cooldown_falls_in_straight_lines():
    found = [optimization.rate_factor("constant", step, 10, warmup=4, cooldown=5) for step in range(10)]
    assert found == pytest.approx([0, 0.25, 0.5, 0.75, 1, 1, 0.8, 0.6, 0.4, 0.2])


def test_a_constant_rate_can_be_prolonged_before_its_cooldown():
    early = [optimization.rate_factor("constant", step, 10, cooldown=3) for step in range(7)]
    assert early == [optimization.rate_factor("constant", step, 99, cooldown=3) for step in range(7)]


def test_the_running_mean_is_a_plain_recurrence():
    net, kept = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    wanted = kept.weight.item()
    for step in range(30):
        net.weight.data.fill_(step)
        net.running_mean.fill_(-step)
        net.num_batches_tracked.fill_(step)
        decay = min(0.8, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * step
        optimization.update_ema(kept, net, step, 0.8)
    assert kept.weight.item() == pytest.approx(wanted, rel=1e-5)
    assert float(kept.num_batches_tracked) == 29  # copied, not averaged


def test_a_decay_of_nought_copies():
    net, kept = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    optimization.update_ema(kept, net, 1000, 0.0)
    assert torch.equal(kept.weight, net.weight)
