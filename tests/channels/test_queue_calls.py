"""How the calls of a queue are written, what they raise, limits and order; shared and local alike."""

from __future__ import annotations

import queue
import re
import sys
import time

import pytest
from tests.channels import programs
from tests.sync.programs import Worker

from holdfast import Empty, Full, LifoQueue, PriorityQueue, Queue, ShutDown, SimpleQueue

ALL = pytest.mark.parametrize("make", [Queue, LifoQueue, PriorityQueue])
EVERY = pytest.mark.parametrize("make", [Queue, LifoQueue, PriorityQueue, SimpleQueue])


# ------------------------------------------------------------------------------------------------ how calls are written


@EVERY
def test_every_way_to_write_put_and_get(make, local):
    """Positions and keywords, as the standard library has them."""
    q = make(local=local)
    for put in (
        lambda: q.put(1),
        lambda: q.put(1, True),
        lambda: q.put(1, False),
        lambda: q.put(1, True, None),
        lambda: q.put(1, True, 1.5),
        lambda: q.put(1, True, 2),
        lambda: q.put(1, block=False),
        lambda: q.put(1, timeout=0.5),
        lambda: q.put(1, block=True, timeout=0),
        lambda: q.put(item=1),
        lambda: q.put(item=1, block=False, timeout=-1),
        lambda: q.put_nowait(1),
    ):
        assert put() is None
    count = q.qsize()
    for get in (
        q.get,
        lambda: q.get(True),
        lambda: q.get(False),
        lambda: q.get(True, None),
        lambda: q.get(True, 1.5),
        lambda: q.get(block=False),
        lambda: q.get(timeout=0.5),
        lambda: q.get(block=True, timeout=0),
        lambda: q.get(block=False, timeout=-1),
        q.get_nowait,
    ):
        assert get() == 1
    assert q.qsize() == count - 10


@EVERY
def test_wrong_calls(make, local):
    """What the signatures do not have is a TypeError, and nothing is put or taken."""
    q = make(local=local)
    for call in (
        q.put,
        lambda: q.put(1, 2, 3, 4),
        lambda: q.put(1, wait=True),
        lambda: q.put(1, True, "soon"),
        q.put_nowait,
        lambda: q.get(1, 2, 3),
        lambda: q.get(wait=True),
        lambda: q.get(True, "soon"),
        lambda: q.get_nowait(1),
        q.put_many,
        lambda: q.put_many(3),
        lambda: q.get_many("all"),
    ):
        with pytest.raises(TypeError):
            call()
    assert q.qsize() == 0


@ALL
@pytest.mark.parametrize("timeout", [-1, -0.001, -1e9])
def test_a_negative_timeout(make, local, timeout):
    """A ValueError, as in the standard library, unless the call does not wait at all."""
    q = make(local=local)
    with pytest.raises(ValueError, match="non-negative"):
        q.put(1, timeout=timeout)
    with pytest.raises(ValueError, match="non-negative"):
        q.get(timeout=timeout)
    assert q.empty()
    q.put(1, False, timeout)
    assert q.get(False, timeout) == 1


@ALL
def test_empty_not_before_its_time(make, local):
    """A get with a timeout gives up, and not too early; without waiting it gives up at once."""
    q = make(local=local)
    began = time.monotonic()
    with pytest.raises(Empty):
        q.get(timeout=0.05)
    assert time.monotonic() - began >= 0.05
    for call in (q.get_nowait, lambda: q.get(False), lambda: q.get(timeout=0), lambda: q.get_many(block=False)):
        with pytest.raises(Empty):
            call()
    with pytest.raises(Empty):
        q.get_many(5, timeout=0.01)


@ALL
def test_full_not_before_its_time(make, local):
    """A put into a full queue gives up, and not too early, and has put nothing."""
    q = make(2, local=local)
    q.put(1)
    q.put(2)
    assert q.full()
    began = time.monotonic()
    with pytest.raises(Full):
        q.put(3, timeout=0.05)
    assert time.monotonic() - began >= 0.05
    for call in (lambda: q.put_nowait(3), lambda: q.put(3, False), lambda: q.put(3, timeout=0)):
        with pytest.raises(Full):
            call()
    assert q.qsize() == 2
    q.get()
    assert not q.full()
    q.put(3)
    assert sorted(programs.drain(q)) in ([1, 3], [2, 3])


def test_its_exceptions_are_the_standard_librarys():
    """Code that catches queue.Empty, queue.Full (and, from 3.13, queue.ShutDown) goes on working."""
    assert Empty is queue.Empty
    assert Full is queue.Full
    assert issubclass(ShutDown, Exception)
    if sys.version_info >= (3, 13):
        assert ShutDown is queue.ShutDown


# --------------------------------------------------------------------------------------------------------------- limits


@ALL
def test_a_put_waits_for_room(make, local):
    """The put of a thread that waits for room ends when another takes an item."""
    q = make(1, local=local)
    q.put(1)
    worker = Worker(q.put, 0)
    assert q.get(timeout=20) in (0, 1)
    worker.result()
    assert q.qsize() == 1


@ALL
def test_a_get_waits_for_an_item(make, local):
    """The get of a thread that waits ends when another puts."""
    q = make(local=local)
    worker = Worker(q.get)
    q.put("there")
    assert worker.result() == "there"
    assert q.empty()


@ALL
@pytest.mark.parametrize("maxsize", [0, -1, -7])
def test_no_limit(make, local, maxsize):
    """A maxsize of zero or less is none."""
    q = make(maxsize, local=local)
    q.put_many(range(3000))
    assert not q.full()
    assert q.qsize() == 3000
    assert q.maxsize == 0


@ALL
@pytest.mark.parametrize("maxsize", [1.5, "3", None])
def test_a_limit_that_is_no_int(make, local, maxsize):
    """The message has the value."""
    with pytest.raises(TypeError, match=re.escape(f"maxsize={maxsize!r}")):
        make(maxsize, local=local)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_bytes": 0}, "max_bytes=0"),
        ({"max_bytes": -5}, "max_bytes=-5"),
        ({"max_deliveries": 3}, "redeliver=True"),
        ({"local": True, "name": "a"}, "belongs to one process"),
        ({"local": True, "redeliver": True}, "threads"),
        ({"local": True, "max_bytes": 100}, "references"),
        ({"name": ""}, "empty"),
        ({"name": "a\0b"}, "NUL"),
    ],
)
@ALL
def test_options_that_make_no_sense(make, options, words):
    """A ValueError that says why."""
    with pytest.raises(ValueError, match=words):
        make(**options)


@ALL
def test_empty_full_and_sizes(make, local):
    """qsize, empty, full and unfinished tell what is the case."""
    q = make(3, local=local)
    seen = []
    for item in range(3):
        seen.append((q.qsize(), q.empty(), q.full(), q.unfinished()))
        q.put(item)
    seen.append((q.qsize(), q.empty(), q.full(), q.unfinished()))
    assert seen == [(0, True, False, 0), (1, False, False, 1), (2, False, False, 2), (3, False, True, 3)]
    q.get()
    assert (q.qsize(), q.unfinished()) == (2, 3)
    q.task_done()
    assert (q.qsize(), q.unfinished()) == (2, 2)


# ---------------------------------------------------------------------------------------------------------------- order


def test_first_in_first_out(local):
    """In the order of the puts, also far round the ring and through its growth."""
    q = Queue(local=local)
    took, sent = [], 0
    for burst in (1, 10, 100, 1000, 10, 1, 2000, 3):
        for _ in range(burst):
            q.put((sent, "x" * (sent % 40)))
            sent += 1
        took += [q.get() for _ in range(burst - burst // 3)]
    took += programs.drain(q)
    assert took == [(n, "x" * (n % 40)) for n in range(sent)]


def test_order_of_each_producer(local):
    """With four threads that put, what each put arrives in its order, and nothing is lost or doubled."""
    q = Queue(50, local=local)
    workers = [Worker(programs.put_all, q, [(n, i) for i in range(500)]) for n in range(4)]
    got = programs.get_n(q, 2000)
    for worker in workers:
        worker.result()
    for n in range(4):
        assert [i for m, i in got if m == n] == list(range(500))
    assert q.empty()


def test_many_threads_on_both_sides(local):
    """Three that put and three that get, through a queue of five: each item exactly once."""
    q = Queue(5, local=local)
    putters = [Worker(programs.put_all, q, range(n * 400, n * 400 + 400)) for n in range(3)]
    getters = [Worker(programs.get_n, q, 400) for _ in range(3)]
    for putter in putters:
        putter.result()
    got = [getter.result() for getter in getters]
    assert sorted(programs.joined(got)) == list(range(1200))
    for each in got:  # one consumer sees each producer's items in their order
        for n in range(3):
            mine = [i for i in each if i // 400 == n]
            assert mine == sorted(mine)
