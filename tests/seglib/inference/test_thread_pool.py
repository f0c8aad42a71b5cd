"""Batches in threads: several at once, a bounded number ahead, no result lost and no error hidden."""

import threading

import pytest
import torch

from seglib.inference.thread_pool import BatchThreadPool, default_thread_count


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

    with BatchThreadPool(2) as pool:
        pool.submit(work)
        pool.submit(work)
        pool.wait()
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

    with BatchThreadPool(2) as pool:
        for number in range(3):
            pool.submit(work, number)
        fourth = threading.Thread(target=pool.submit, args=(work, 3))
        fourth.start()
        fourth.join(0.2)
        assert fourth.is_alive()
        gate.set()
        fourth.join(30)
        pool.wait()
    assert sorted(begun) == [0, 1, 2, 3]


def test_what_one_raises_is_raised():
    def fails():
        raise ValueError("no")

    with BatchThreadPool(1) as pool:
        pool.submit(fails)
        with pytest.raises(ValueError, match="no"):
            pool.wait()


def test_told_to_stop_what_began_is_waited_for_and_the_rest_never_begins():
    gate, done = threading.Event(), []

    def late(number):
        gate.wait(30)
        done.append(number)

    def stopped():
        with BatchThreadPool(1) as pool:
            pool.submit(late, 1)
            pool.submit(late, 2)
            threading.Timer(0.2, gate.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert done == [1]


def test_as_many_as_torch_has_threads_up_to_four():
    assert default_thread_count("cpu") == 2
    torch.set_num_threads(1)
    assert default_thread_count("cpu") == 1
    torch.set_num_threads(16)
    assert (default_thread_count("cpu"), default_thread_count("cuda")) == (4, 2)
