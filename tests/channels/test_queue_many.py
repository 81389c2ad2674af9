"""put_many and get_many: all in order, and what is known when only some could be put, taken or read."""

from __future__ import annotations

import re
import threading
import time

import pytest
from tests.channels import programs
from tests.core.tools import until
from tests.sync.programs import Worker

from holdfast import Empty, Full, LifoQueue, NotPicklable, PriorityQueue, Queue, ShutDown

ALL = pytest.mark.parametrize("make", [Queue, LifoQueue, PriorityQueue])
ORDER = {Queue: 1, PriorityQueue: 1, LifoQueue: -1}


@ALL
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
def test_all_in_order(make, local, count):
    """What put_many put, in the queue's order; from a list, a generator or a range."""
    q = make(local=local)
    for items in (range(count), list(range(count)), (n for n in range(count))):
        assert q.put_many(items) is None
        assert q.qsize() == count
        if count:
            assert q.get_many() == list(range(count))[:: ORDER[make]]


def test_large_ones_among_small_ones(local):
    """Items that travel beside the queue keep their place."""
    items = [b"x" * (100_000 if n % 7 == 3 else n) for n in range(40)] + ["ß" * 50_000, None, {"a": b"y" * 70_000}]
    q = Queue(local=local)
    q.put_many(items)
    assert q.get_many() == items


@ALL
def test_at_most_so_many(make, local):
    """get_many(max) leaves the rest."""
    q = make(local=local)
    q.put_many(range(10))
    expected = list(range(10))[:: ORDER[make]]
    assert q.get_many(3) == expected[:3]
    assert q.get_many(max=3) == expected[3:6]
    assert q.get_many(0) == []
    assert q.get_many(100) == expected[6:]
    assert q.qsize() == 0


def test_how_get_many_is_written(local):
    """get_many(max, timeout) by position; block is there, too."""
    q = Queue(local=local)
    began = time.monotonic()
    with pytest.raises(Empty):
        q.get_many(10, 0.05)
    assert time.monotonic() - began >= 0.05
    with pytest.raises(Empty):
        q.get_many(None, timeout=0.01)
    with pytest.raises(Empty):
        q.get_many(block=False)
    with pytest.raises(ValueError, match="non-negative"):
        q.get_many(3, timeout=-1)
    with pytest.raises(ValueError, match="max"):
        q.get_many(-1)
    q.put(1)
    assert q.get_many(max=5, timeout=20) == [1]


def test_it_waits_for_the_first_only(local):
    """A get_many that waits returns with what is there when something is."""
    q = Queue(local=local)
    worker = Worker(q.get_many, 100)
    q.put(1)
    assert worker.result() == [1]


def test_put_many_without_waiting(local):
    """Full says how many are in the queue: those before."""
    q = Queue(5, local=local)
    q.put("first")
    with pytest.raises(Full) as caught:
        q.put_many(range(100), block=False)
    assert caught.value.count == 4
    assert q.get_many() == ["first", 0, 1, 2, 3]


def test_put_many_with_a_timeout(local):
    """Not before the time is up, and with the number."""
    q = Queue(3, local=local)
    began = time.monotonic()
    with pytest.raises(Full) as caught:
        q.put_many(range(10), timeout=0.05)
    assert time.monotonic() - began >= 0.05
    assert caught.value.count == 3
    assert q.get_many() == [0, 1, 2]


def test_put_many_waits_for_room(local):
    """Through a small queue all arrive in order, while another takes."""
    q = Queue(7, local=local)
    worker = Worker(q.put_many, range(1000))
    got = []
    while len(got) < 1000:
        got += q.get_many(timeout=20)
    worker.result()
    assert got == list(range(1000))


@ALL
def test_a_generator_that_raises(make, local):
    """Its error comes out, with the number of items that are in the queue: all it had yielded."""

    def items():
        yield from range(100)
        raise ZeroDivisionError

    q = make(local=local)
    with pytest.raises(ZeroDivisionError) as caught:
        q.put_many(items())
    assert caught.value.count == 100
    assert sorted(q.get_many()) == list(range(100))


@ALL
@pytest.mark.parametrize("at", [0, 1, 63, 64, 100])
def test_one_that_cannot_be_pickled(make, at):
    """NotPicklable with the number; those before are in the queue, those behind are not."""
    q = make()
    items = [*range(at), threading.Lock(), 1000]
    if make is PriorityQueue:
        with pytest.raises(TypeError, match="has no order") as caught:
            q.put_many(items)
    else:
        with pytest.raises(NotPicklable, match=re.escape("item is of type _thread.lock")) as caught:
            q.put_many(items)
    assert caught.value.count == at
    assert sorted(programs.drain(q)) == list(range(at))


def test_shut_down_in_the_middle(local):
    """A put_many that waits for room ends with ShutDown and the number."""
    q = Queue(3, local=local)
    worker = Worker(q.put_many, range(10))
    until(lambda: q.qsize() == 3, "full")
    q.shutdown()
    with pytest.raises(ShutDown) as caught:
        worker.result()
    assert caught.value.count == 3
    assert list(q) == [0, 1, 2]


def test_an_iterable_that_uses_the_queue(local):
    """A generator may take from the very queue it fills."""
    q = Queue(local=local)

    def items():
        for n in range(200):
            yield n
            if n % 70 == 69:
                q.get_many(1, block=False)

    q.put_many(items())
    rest = q.get_many()
    assert rest == list(range(200 - len(rest), 200))


@pytest.mark.parametrize("where", [0, 3, 5])
def test_one_that_cannot_be_unpickled(where):
    """Its error carries the others as `.items`; nothing is lost but the one."""
    q = Queue()
    items = list(range(6))
    q.put_many([*items[:where], programs.Bad("b"), *items[where:]])
    got = []
    while not q.empty():
        try:
            got += q.get_many()
        except RuntimeError as error:
            got += getattr(error, "items", [])
    assert got == items


def test_several_that_cannot_be_unpickled():
    """However many are bad, the good ones come."""
    q = Queue()
    q.put_many([1, programs.Bad(), 2, programs.Bad(), [3], programs.Bad(b"x" * 100_000), 4])
    got = []
    while not q.empty():
        try:
            got += q.get_many()
        except RuntimeError as error:
            got += getattr(error, "items", [])
    assert got == [1, 2, [3], 4]


@ALL
def test_unfinished_counts_each(make, local):
    """put_many counts all its items, get_many none as finished."""
    q = make(local=local)
    q.put_many(range(100))
    q.get_many(60)
    assert q.unfinished() == 100
    for _ in range(100):
        q.task_done()
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()


def test_between_processes(peer_of, start_method):
    """What put_many put there get_many takes here; also large ones."""
    q, peer = Queue(20), peer_of(start_method)
    items = [b"x" * (n % 5 * 30_000) for n in range(100)]
    peer.begin(q.put_many, items)
    got = []
    while len(got) < 100:
        got += q.get_many(8, timeout=20)
    assert got == items
    assert peer.result() is None


def test_interleaved_producers_keep_their_order(peer_of):
    """Two processes put_many; each one's items come in its order."""
    q, peers = Queue(100), [peer_of(), peer_of()]
    for name, peer in enumerate(peers):
        peer.begin(q.put_many, [(name, n) for n in range(3000)])
    got = []
    while len(got) < 6000:
        got += q.get_many(timeout=20)
    for name, peer in enumerate(peers):
        peer.result()
        assert [n for who, n in got if who == name] == list(range(3000))


def test_a_lazy_producer_sees_the_answer_to_what_it_yielded():
    """put_many of a generator puts each item before it asks for the next."""
    q, answers = Queue(), Queue()

    def lazily():
        for number in range(5):
            yield number
            assert answers.get(timeout=30) == number

    def answer():
        for _ in range(5):
            answers.put(q.get(timeout=30))

    worker = Worker(answer)
    q.put_many(lazily())
    worker.result()


def test_all_means_all_there_are_now(local):
    """get_many() ends although a producer keeps up with it."""
    q, stop = Queue(local=local), threading.Event()

    def keep_putting():
        while not stop.is_set():
            if q.qsize() < 10_000:
                q.put_many(range(100))

    worker = Worker(keep_putting)
    for _ in range(50):
        assert q.get_many()
    stop.set()
    worker.result()
