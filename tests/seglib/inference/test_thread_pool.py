"""Lanes: several at once, a bounded number ahead, nothing lost and nothing hidden."""

import threading

import pytest
import torch

from seglib.inference.thread_pool import Lanes, default_count


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_two_are_at_work_at_once_each_with_its_share_of_threads():
    both, shares = threading.Barrier(2, timeout=30), []

    def work():
        both.wait()  # returns only if the other is there too
        shares.append(torch.get_num_threads())

    with Lanes(2) as lanes:
        lanes.submit(work)
        lanes.submit(work)
        lanes.wait()
    assert shares == [1, 1]
    assert torch.get_num_threads() == 2
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2]


def test_only_one_more_than_there_are_threads_waits():
    gate, begun = threading.Event(), []

    def work(number):
        begun.append(number)
        gate.wait(30)

    with Lanes(2) as lanes:
        for number in range(3):
            lanes.submit(work, number)
        fourth = threading.Thread(target=lanes.submit, args=(work, 3))
        fourth.start()
        fourth.join(0.2)
        assert fourth.is_alive()
        gate.set()
        fourth.join(30)
        lanes.wait()
    assert sorted(begun) == [0, 1, 2, 3]


def test_what_one_raises_is_raised():
    def fails():
        raise ValueError("no")

    with Lanes(1) as lanes:
        lanes.submit(fails)
        with pytest.raises(ValueError, match="no"):
            lanes.wait()


def test_told_to_stop_what_began_is_waited_for_and_the_rest_never_begins():
    gate, done = threading.Event(), []

    def late(number):
        gate.wait(30)
        done.append(number)

    def stopped():
        with Lanes(1) as lanes:
            lanes.submit(late, 1)
            lanes.submit(late, 2)
            threading.Timer(0.2, gate.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert done == [1]


def test_as_many_as_torch_has_threads_up_to_four():
    assert default_count("cpu") == 2
    torch.set_num_threads(1)
    assert default_count("cpu") == 1
    torch.set_num_threads(16)
    assert (default_count("cpu"), default_count("cuda")) == (4, 2)
