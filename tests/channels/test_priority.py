"""PriorityQueue: the lowest first, equals in the order of their puts. How keys are made is in test_order.py."""

from __future__ import annotations

import dataclasses
import pickle
import queue
import random
import threading

import pytest
from tests.channels import programs
from tests.core.tools import until
from tests.sync.programs import Worker

from holdfast import Full, LifoQueue, NotPicklable, PriorityQueue


@pytest.mark.parametrize(
    "items",
    [
        [3, 1, 2, -5, 0, 10**20, -(10**20)],
        [1.5, 1, -0.5, float("inf"), float("-inf"), True, 0],
        ["b", "a", "", "aa", "ä", "B", "\0", "a\0", "\U0001f600"],
        [b"b", b"", b"\xff", b"\0", b"a\0", b"a"],
        [(1, "b"), (1, "a"), (0, "z"), (1,), (), (1, "a", 0)],
        [(2, b"x" * 5000), (1, b"y" * 5000), (2, b"w")],
    ],
    ids=["ints", "numbers", "strings", "bytes", "tuples", "long tuples"],
)
def test_pythons_order(items, local):
    """What comes out is what sorted() gives."""
    q = PriorityQueue(local=local)
    q.put_many(items)
    assert programs.drain(q) == sorted(items)


def test_as_the_standard_librarys(local):
    """The same puts and gets in the same order give the same items."""
    ours, theirs, numbers = PriorityQueue(local=local), queue.PriorityQueue(), random.Random(4)
    for _ in range(3000):
        if theirs.qsize() and numbers.random() < 0.45:
            assert ours.get() == theirs.get()
        else:
            item = (numbers.randrange(50), numbers.random())
            ours.put(item)
            theirs.put(item)
    assert programs.drain(ours) == programs.drain(theirs)


def test_equals_in_the_order_of_their_puts(local):
    """A stable order: 1,000 of five priorities."""
    q = PriorityQueue(local=local)
    for n in range(1000):
        q.put(("item", n), priority=n * 7 % 5)
    assert [n for _, n in programs.drain(q)] == sorted(range(1000), key=lambda n: n * 7 % 5)


def test_any_item_with_a_priority(local):
    """priority= is the order; the item may be anything."""
    q = PriorityQueue(local=local)
    q.put({"a": 1}, priority=2)
    q.put([1, 2], priority=1.5)
    q.put_nowait(None, priority=-1)
    q.put("text", True, None, priority=2)
    q.put(b"x" * 100_000, block=False, priority=0)
    assert programs.drain(q) == [None, b"x" * 100_000, [1, 2], {"a": 1}, "text"]


@pytest.mark.parametrize("item", [{"a": 1}, [1], None, object, 1j, {1}, (1, [2])], ids=repr)
def test_without_an_order(item, local):
    """A TypeError at put that names the remedy; the queue is as it was."""
    q = PriorityQueue(local=local)
    q.put(1)
    for put in (q.put, q.put_nowait, lambda one: q.put_many([one])):
        with pytest.raises(TypeError, match="priority="):
            put(item)
    assert programs.drain(q) == [1]


def test_not_a_number(local):
    """A NaN has no place in an order."""
    q = PriorityQueue(local=local)
    with pytest.raises(ValueError, match="nan"):
        q.put(float("nan"))
    with pytest.raises(ValueError, match="nan"):
        q.put(1, priority=float("nan"))
    assert q.empty()


@pytest.mark.parametrize("size", [16_384, 20_000, 100_000, 1_000_000])
def test_long_items_and_priorities(size, local):
    """Python's order however long the strings are; they differ at their very end."""
    q, long = PriorityQueue(local=local), "x" * size
    q.put_many([long + "b", long + "a", long, "x"])
    q.put("last", priority=(0, long))  # tuples come after strings
    q.put("first", priority=0)
    assert programs.drain(q) == ["first", "x", long, long + "a", long + "b", "last"]


@dataclasses.dataclass(order=True)
class Job:
    urgency: int
    what: str = dataclasses.field(compare=False)


def test_ordered_dataclasses(local):
    """By their compared fields."""
    q = PriorityQueue(local=local)
    jobs = [Job(3, "c"), Job(1, "a"), Job(2, "b"), Job(1, "second")]
    q.put_many(jobs)
    assert programs.drain(q) == sorted(jobs)


def test_mixed_kinds_do_not_break_it(local):
    """Numbers, strings, bytes, tuples: an order where Python has none."""
    q = PriorityQueue(local=local)
    q.put_many([(1,), b"a", "a", 1])
    assert programs.drain(q) == [1, "a", b"a", (1,)]


def test_local_passes_references():
    """With a priority, the very object."""
    q, item = PriorityQueue(local=True), threading.Lock()
    q.put(item, priority=1)
    assert q.get() is item


def test_what_cannot_be_pickled():
    """NotPicklable, as with Queue."""
    q = PriorityQueue()
    with pytest.raises(NotPicklable, match=r"_thread\.lock"):
        q.put(threading.Lock(), priority=1)
    assert q.empty()


def test_full_and_many(local):
    """put_many says how many are in the queue."""
    q = PriorityQueue(3, local=local)
    with pytest.raises(Full) as caught:
        q.put_many([5, 4, 3, 2], block=False)
    assert caught.value.count == 3
    with pytest.raises(Full):
        q.put_nowait(1)
    with pytest.raises(Full):
        q.put(1, timeout=0.01)
    with pytest.raises(Full) as caught:
        q.put_many([5], timeout=0.01)
    assert caught.value.count == 0
    assert q.get_many() == [3, 4, 5]


def test_a_put_waits_for_room(local):
    """And its item comes in its place."""
    q = PriorityQueue(2, local=local)
    q.put_many([1, 5])
    worker = Worker(q.put, 3)
    assert q.get() == 1
    worker.result()
    assert programs.drain(q) == [3, 5]


def test_between_processes(peer_of, start_method):
    """One order for all; a getter that sleeps is woken."""
    q, peer = PriorityQueue(), peer_of(start_method)
    q.put_many([5, 1, 3])
    peer.call(programs.put_all, q, [4, 2, 0])
    assert [q.get() for _ in range(3)] == [0, 1, 2]
    assert peer.call(programs.get_n, q, 3) == [3, 4, 5]
    peer.begin(q.get)
    until(peer.asleep, "asleep")
    q.put("woken")
    assert peer.result() == "woken"


def test_all_arrive_once_and_sorted(peer_of):
    """Two processes put at random; when they are done, all comes out sorted."""
    q, peers = PriorityQueue(), [peer_of(), peer_of()]
    numbers = random.Random(7)
    items = [[(numbers.randrange(100), n, name) for n in range(700)] for name in range(2)]
    for peer, mine in zip(peers, items, strict=True):
        peer.begin(programs.put_all, q, mine)
    for peer in peers:
        peer.result()
    assert programs.drain(q) == sorted(programs.joined(items))


def test_what_a_killed_producer_put(peer_of):
    """It is there, in its place."""
    q, peer = PriorityQueue(), peer_of()
    q.put_many([1, 4])
    peer.call(programs.put_all, q, [3, 2])
    peer.kill()
    assert programs.drain(q) == [1, 2, 3, 4]


def test_it_pickles_as_what_it_is():
    """And is not a LifoQueue."""
    q = PriorityQueue()
    assert pickle.loads(pickle.dumps(q)) is q
    assert not isinstance(q, LifoQueue)
