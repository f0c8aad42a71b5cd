"""The event loop is woken only where it may be asleep, and never too seldom."""

import asyncio
import threading

from dashboard import event_loop


def test_a_loop_that_is_awake_is_not_woken_by_itself():
    async def count_writes():
        loop, written = asyncio.get_running_loop(), []
        loop._write_to_self = lambda: written.append(1)
        assert event_loop.spare_wakeups(loop)
        called = asyncio.Event()
        loop.call_soon_threadsafe(called.set)
        await called.wait()
        return len(written)

    assert asyncio.run(count_writes()) == 0


def test_many_calls_of_another_thread_wake_the_loop_once():
    async def count_writes():
        loop, written = asyncio.get_running_loop(), []
        write = loop._write_to_self
        loop._write_to_self = lambda: (written.append(1), write())
        assert event_loop.spare_wakeups(loop)
        called = []
        thread = threading.Thread(
            target=lambda: [loop.call_soon_threadsafe(called.append, number) for number in range(100)]
        )
        thread.start()
        thread.join()  # the loop is held up here, and reads nothing meanwhile
        while len(called) < 100:
            await asyncio.sleep(0)
        return len(written), called

    assert asyncio.run(count_writes()) == (1, list(range(100)))


def test_a_loop_asleep_is_woken_each_time():
    async def answer():
        loop = asyncio.get_running_loop()
        assert event_loop.spare_wakeups(loop)
        replies = []
        for number in range(200):  # each is asked for only when the one before has come: the loop sleeps in between
            future = loop.create_future()
            timer = threading.Timer(
                0, lambda future=future, number=number: loop.call_soon_threadsafe(future.set_result, number)
            )
            timer.start()
            replies.append(await asyncio.wait_for(future, 30))
        return replies

    assert asyncio.run(answer()) == list(range(200))


def test_threads_at_once_lose_no_call():
    async def gather_all():
        loop, called = asyncio.get_running_loop(), []
        assert event_loop.spare_wakeups(loop)

        def call_often():
            for _ in range(500):
                loop.call_soon_threadsafe(called.append, 1)

        await asyncio.wait_for(asyncio.gather(*(asyncio.to_thread(call_often) for _ in range(8))), 60)
        return len(called)

    assert asyncio.run(gather_all()) == 4000


def test_a_loop_of_another_kind_stays_as_it_is():
    class OtherLoop(asyncio.SelectorEventLoop):
        def _write_to_self(self):
            super()._write_to_self()

    with asyncio.Runner(loop_factory=OtherLoop) as runner:
        assert not event_loop.spare_wakeups(runner.get_loop())
        assert "_write_to_self" not in vars(runner.get_loop())
