"""Ctrl-C and handlers in every blocking call of a queue: it ends, and the queue is as if it had not been made."""

from __future__ import annotations

import signal

import pytest
from tests.channels import programs
from tests.sync.programs import Worker

from holdfast import LifoQueue, Queue


@pytest.mark.parametrize("make", [Queue, LifoQueue])
def test_get(make, local, interrupted):
    """An interrupted get has taken nothing."""
    q = make(local=local)
    for call in (q.get, lambda: q.get(timeout=60), q.get_many, lambda: next(iter(q))):
        interrupted(call)
    q.put(1)
    assert q.get_nowait() == 1


@pytest.mark.parametrize("make", [Queue, LifoQueue])
def test_put(make, local, interrupted):
    """An interrupted put has put nothing."""
    q = make(1, local=local)
    q.put(1)
    interrupted(q.put, 2)
    interrupted(q.put, 2, True, 60)
    assert (q.qsize(), q.unfinished()) == (1, 1)
    assert programs.drain(q) == [1]


def test_put_of_a_large_item(interrupted):
    """Nor has one that waited for room in bytes."""
    q = Queue(max_bytes=1_000_000)
    q.put(b"x" * 900_000)
    interrupted(q.put, [b"y" * 900_000])
    interrupted(q.put, b"y" * 900_000)
    assert [len(item) for item in programs.drain(q)] == [900_000]


def test_put_many(local, interrupted):
    """It has put what it had put, and says how many."""
    q = Queue(3, local=local)
    noted = []

    def put():
        try:
            q.put_many(range(10))
        except KeyboardInterrupt as interrupt:
            noted.append(interrupt.count)
            raise

    interrupted(put)
    assert noted == [3]
    assert programs.drain(q) == [0, 1, 2]


def test_join(local, interrupted):
    """An interrupted join changes nothing."""
    q = Queue(local=local)
    q.put(1)
    q.get()
    interrupted(q.join)
    interrupted(q.join, 60)
    assert q.unfinished() == 1
    q.task_done()
    q.join(timeout=0)


def test_handlers_run_while_it_waits(local):
    """A handler that does not raise runs at once, may use the queue, and the get goes on waiting."""
    q, ran = Queue(local=local), []

    def handler(*_):
        ran.append(len(ran))
        if len(ran) == 3:
            q.put("from the handler")
        else:
            signal.setitimer(signal.ITIMER_REAL, 0.005)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.005)
        assert q.get(timeout=20) == "from the handler"
    finally:
        signal.signal(signal.SIGALRM, before)
    assert ran == [0, 1, 2]


def test_a_handler_at_any_moment(local):
    """Handlers put into the very queue that the interrupted code uses: nothing hangs, nothing is lost."""
    q, sent = Queue(local=local), []

    def handler(*_):
        sent.append(-len(sent) - 1)
        q.put(sent[-1])

    before = signal.signal(signal.SIGALRM, handler)
    got = []
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        for n in range(20_000):
            q.put(n)
            got.append(q.get(timeout=20))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    got += programs.drain(q)
    assert [n for n in got if n >= 0] == list(range(20_000))
    assert [n for n in got if n < 0] == sent


def test_other_threads_wait_on(interrupted):
    """Ctrl-C is the main thread's; a get in another thread is not disturbed."""
    q, mine = Queue(), Queue()
    worker = Worker(q.get)
    interrupted(mine.get)
    q.put(1)
    assert worker.result() == 1
