"""aget, aput and ajoin: queues in an event loop, without threads and without losing items."""

from __future__ import annotations

import asyncio
import gc
import os
import threading

import pytest
from tests.channels import programs
from tests.sync.programs import Worker

from holdfast import Full, LifoQueue, NotPicklable, PriorityQueue, Queue

ALL = pytest.mark.parametrize("make", [Queue, LifoQueue, PriorityQueue])
LIMIT = 20  # seconds until something that should happen counts as hanging


def run(main):
    """Run a coroutine function in a loop of its own, watched."""

    async def watched():
        async with asyncio.timeout(LIMIT):
            return await main()

    return asyncio.run(watched())


async def turns(count=20):
    """Let the other tasks run until they all wait."""
    for _ in range(count):
        await asyncio.sleep(0)


@ALL
def test_put_and_get(make, local):
    """What aput puts aget takes; mixed with put and get."""
    q = make(local=local)

    async def main():
        await q.aput(1)
        q.put(2)
        assert {await q.aget(), q.get()} == {1, 2}

    run(main)


@ALL
def test_a_task_that_waits(make, local):
    """An aget that waits gets what another task puts; other tasks run meanwhile."""
    q = make(local=local)

    async def main():
        waiting = asyncio.create_task(q.aget())
        await turns()
        assert not waiting.done()
        await q.aput("there")
        return await waiting

    assert run(main) == "there"


def test_a_thread_puts(local):
    """Also an ordinary put in a thread wakes it."""
    q = Queue(local=local)

    async def main():
        waiting = asyncio.create_task(q.aget())
        await turns()
        worker = Worker(q.put, 5)
        assert await waiting == 5
        worker.result()

    run(main)


def test_another_process_puts(peer_of, start_method):
    """And one in another process, of any start method."""
    q, peer = Queue(), peer_of(start_method)

    async def main():
        for n in range(5):
            waiting = asyncio.create_task(q.aget())
            await turns()
            peer.begin(q.put, n)
            assert await waiting == n
            peer.result()

    run(main)


def test_a_thousand_from_another_process(peer_of):
    """Nothing is missed between looking and waiting; all in order."""
    q, peer = Queue(10), peer_of()

    async def main():
        peer.begin(programs.put_all, q, range(1000))
        got = [await q.aget() for _ in range(1000)]
        peer.result()
        return got

    assert run(main) == list(range(1000))


def test_to_another_process(peer_of):
    """A task waits in aput for the room that a consumer elsewhere makes."""
    q, peer = Queue(2), peer_of()

    async def main():
        peer.begin(programs.get_n, q, 200)
        for n in range(200):
            await q.aput(n)
        return await asyncio.to_thread(peer.result)

    assert run(main) == list(range(200))


def test_many_tasks_on_one_queue(local):
    """Forty that get and twenty that put, through a queue of three: each item exactly once."""
    q = Queue(3, local=local)

    async def put(n):
        for i in range(20):
            await q.aput((n, i))

    async def get():
        return [await q.aget() for _ in range(10)]

    async def main():
        getters = [asyncio.create_task(get()) for _ in range(40)]
        await asyncio.gather(*(put(n) for n in range(20)))
        return programs.joined(await asyncio.gather(*getters))

    assert sorted(run(main)) == [(n, i) for n in range(20) for i in range(20)]


def test_many_queues_in_one_loop(local):
    """Each wakes its own."""
    queues = [Queue(local=local) for _ in range(50)]

    async def main():
        waiting = [asyncio.create_task(q.aget()) for q in queues]
        await turns()
        for n, q in enumerate(queues):
            q.put(n)
        return await asyncio.gather(*waiting)

    assert run(main) == list(range(50))


def test_no_threads_and_no_descriptors_per_call(local):
    """Waiting makes no thread, and leaves nothing open."""
    q = Queue(local=local)

    async def main():
        q.fileno()
        before = threading.active_count(), len(os.listdir("/proc/self/fd"))
        waiting = [asyncio.create_task(q.aget()) for _ in range(30)]
        await turns()
        during = threading.active_count(), len(os.listdir("/proc/self/fd"))
        q.put_many(range(30))
        assert sorted(await asyncio.gather(*waiting)) == list(range(30))
        return before, during, (threading.active_count(), len(os.listdir("/proc/self/fd")))

    before, during, after = run(main)
    assert before == during == after


@ALL
def test_a_full_queue(make, local):
    """A task that puts waits for room, and the loop goes on."""
    q = make(1, local=local)

    async def main():
        await q.aput(1)
        waiting = asyncio.create_task(q.aput(2))
        await turns()
        assert not waiting.done()
        assert await q.aget() == 1
        await waiting
        assert await q.aget() == 2

    run(main)


def test_full_of_bytes():
    """It waits for room in bytes, too; what can never fit is a ValueError."""
    q = Queue(max_bytes=300_000)

    async def main():
        await q.aput(b"x" * 200_000)
        waiting = asyncio.create_task(q.aput(b"y" * 200_000))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert await q.aget() == b"x" * 200_000
        await waiting
        assert await q.aget() == b"y" * 200_000
        with pytest.raises(ValueError, match="can never fit"):
            await q.aput(b"z" * 400_000)

    run(main)


# --------------------------------------------------------------------------------------------------------------- errors


def test_errors_come_out():
    """What cannot be pickled, or unpickled, and a closed queue."""
    q = Queue()

    async def main():
        with pytest.raises(NotPicklable):
            await q.aput(threading.Lock())
        await q.aput(programs.Bad("b"))
        with pytest.raises(RuntimeError, match="does not like"):
            await q.aget()
        q.close()
        for call in (q.aget(), q.aput(1)):
            with pytest.raises(ValueError, match="closed"):
                await call

    run(main)


def test_priorities(local):
    """In the loop, too, there is priority=, also when it waits."""
    q = PriorityQueue(2, local=local)

    async def main():
        await q.aput("c", priority=3)
        await q.aput("a", priority=1)
        waiting = asyncio.create_task(q.aput("b", priority=2))
        await turns()
        got = [await q.aget()]
        await waiting
        return got + programs.drain(q)

    assert run(main) == ["a", "b", "c"]


def test_one_queue_in_two_loops_after_another(local):
    """A queue is not bound to a loop."""
    q = Queue(local=local)

    async def main():
        waiting = asyncio.create_task(q.aget())
        await turns()
        q.put(1)
        return await waiting

    assert [run(main) for _ in range(3)] == [1, 1, 1]


def test_two_loops_at_once(local):
    """Two threads with a loop each share a queue: each item once."""
    q = Queue(local=local)

    async def main():
        return [await q.aget() for _ in range(100)]

    workers = [Worker(run, main) for _ in range(2)]
    for n in range(200):
        q.put(n)
    assert sorted(programs.joined(worker.result() for worker in workers)) == list(range(200))


def test_dropped_while_nobody_waits(local):
    """A queue that was waited for can be collected; its descriptor goes with it."""

    def use(q):
        async def main():
            waiting = asyncio.create_task(q.aget())
            await turns()
            q.put(1)
            return await waiting

        run(main)
        return q.fileno()

    fd = use(Queue(local=local))
    gc.collect()
    with pytest.raises(OSError):
        os.fstat(fd)


def test_a_loop_that_ends_while_tasks_wait(local):
    """asyncio.run cancels them; the queue goes on."""
    q = Queue(1, local=local)

    async def main():
        asyncio.get_running_loop()._waiting = [asyncio.create_task(q.aget()) for _ in range(3)]
        await turns()

    run(main)
    q.put(1)
    with pytest.raises(Full):
        q.put_nowait(2)
    assert q.get() == 1
