"""LifoQueue: the newest first, whoever puts and takes. What it shares with Queue is in test_queue*.py."""

from __future__ import annotations

import pickle

import pytest
from tests.channels import programs
from tests.core.tools import until
from tests.sync.programs import Worker

from holdfast import LifoQueue, NotPicklable, Queue


def test_the_newest_first(local):
    """As the standard library's."""
    q = LifoQueue(local=local)
    q.put_many([1, 2, 3])
    assert q.get() == 3
    q.put(4)
    assert programs.drain(q) == [4, 2, 1]


def test_many_and_in_between(local):
    """A stack of thousands, with takes in between."""
    q, model = LifoQueue(local=local), []
    for n in range(3000):
        q.put(n)
        model.append(n)
        if n % 3 == 2:
            assert q.get() == model.pop()
    assert programs.drain(q) == model[::-1]


def test_of_every_size():
    """Sizes do not matter to the order, nor to what arrives."""
    q = LifoQueue()
    items = ["", b"x" * 31, "y" * 3000, [b"z" * 40_000], b"w" * 1_000_000, None, (1, "a"), {"k": "v" * 100_000}]
    q.put_many(items)
    assert programs.drain(q) == items[::-1]
    assert q.nbytes() == 0


def test_it_is_a_queue():
    """And pickles as what it is."""
    q = LifoQueue(5)
    assert isinstance(q, Queue)
    assert pickle.loads(pickle.dumps(q)) is q
    assert (q.maxsize, type(q)) == (5, LifoQueue)


def test_between_processes(peer_of, start_method):
    """A stack shared with another process."""
    q, peer = LifoQueue(), peer_of(start_method)
    q.put("bottom")
    peer.call(programs.put_all, q, [1, [2], "three"])
    assert [q.get(), q.get()] == ["three", [2]]
    assert peer.call(programs.get_n, q, 2) == [1, "bottom"]
    peer.begin(q.get)
    until(peer.asleep, "asleep")
    q.put("woken")
    assert peer.result() == "woken"


def test_all_arrive_once(peer_of):
    """Two processes put, two threads take: each item exactly once."""
    q, peers = LifoQueue(20), [peer_of(), peer_of()]
    for n, peer in enumerate(peers):
        peer.begin(programs.put_all, q, range(n * 500, n * 500 + 500))
    workers = [Worker(programs.get_n, q, 500) for _ in range(2)]
    got = [worker.result() for worker in workers]
    for peer in peers:
        peer.result()
    assert sorted(programs.joined(got)) == list(range(1000))


def test_what_a_killed_producer_put(peer_of):
    """It is there, in its place."""
    q, peer = LifoQueue(), peer_of()
    q.put("mine")
    peer.call(programs.put_all, q, ["its first", "its last"])
    peer.kill()
    assert programs.drain(q) == ["its last", "its first", "mine"]


def test_what_cannot_be_unpickled():
    """The one is lost with its error; the others are not."""
    q = LifoQueue()
    q.put_many([1, programs.Bad(), 2])
    assert q.get() == 2
    with pytest.raises(RuntimeError):
        q.get()
    assert q.get() == 1
    with pytest.raises(NotPicklable):
        q.put(programs.Unpicklable())
    assert q.empty()


def test_many_with_a_bad_one():
    """get_many carries the others as `.items`, in the order of the stack."""
    q = LifoQueue()
    q.put_many([1, 2, programs.Bad(), 3, 4])
    got = []
    while not q.empty():
        try:
            got += q.get_many()
        except RuntimeError as error:
            got += getattr(error, "items", [])
    assert got == [4, 3, 2, 1]
