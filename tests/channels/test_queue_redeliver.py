"""redeliver=True: what a consumer had and did not finish when it died comes again, first, and is counted."""

from __future__ import annotations

import numpy as np
import pytest
from tests.channels import programs
from tests.core.tools import Child, until
from tests.sync.programs import Worker

from holdfast import Empty, LifoQueue, PriorityQueue, Queue

ALL = pytest.mark.parametrize("make", [Queue, LifoQueue, PriorityQueue])
ORDER = {Queue: 1, PriorityQueue: 1, LifoQueue: -1}


def die_with(q, count=1, how="kill"):
    """Have a process take so many and die of it, and the queue notice at once what it would within 40 ms."""
    with Child(programs.take_and_die, q, count, how) as child:
        child.wait()
    notice(q)


def notice(q):
    """A join looks for the dead; so does a get now and then."""
    try:
        q.join(timeout=0)
    except TimeoutError:
        pass


@ALL
def test_nothing_special_while_all_live(make):
    """An item is delivered once, counts 1, and is finished by task_done."""
    q = make(redeliver=True)
    q.put_many(range(5))
    assert q.deliveries == 0
    for n in list(range(5))[:: ORDER[make]]:
        assert q.get() == n
        assert q.deliveries == 1
        q.task_done()
        assert q.deliveries == 0
    q.join(timeout=0)
    with pytest.raises(ValueError, match="too many times"):
        q.task_done()


@ALL
@pytest.mark.parametrize("how", ["kill", "exit"])
def test_a_dead_consumers_items_come_first(make, how):
    """In their order, before all else, with a count of 2; then the others with 1."""
    q = make(redeliver=True)
    q.put_many(range(6))
    die_with(q, 3, how)
    got = []
    for _ in range(6):
        item = q.get(timeout=20)
        got.append((item, q.deliveries))
        q.task_done()
    order = list(range(6))[:: ORDER[make]]
    assert got == [(item, 2) for item in order[:3]] + [(item, 1) for item in order[3:]]
    q.join(timeout=0)
    assert (q.qsize(), q.unfinished()) == (0, 0)


def test_a_consumer_that_waits_gets_them(peer_of):
    """A get asleep on an empty queue is given what a consumer that is killed had."""
    q, victim, heir = Queue(redeliver=True), peer_of(), peer_of()
    q.put("precious")
    assert victim.call(programs.deliveries_of, q) == ("precious", 1)
    heir.begin(programs.deliveries_of, q)
    until(heir.asleep, "asleep")
    victim.kill()
    assert heir.result() == ("precious", 2)


def test_finished_ones_do_not_come_back(peer_of):
    """Only what was not marked is delivered again."""
    q, victim = Queue(redeliver=True), peer_of()
    q.put_many(range(5))
    victim.call(programs.finish, q, 2)
    victim.call(programs.get_n, q, 2)
    victim.kill()
    notice(q)
    assert [q.get(timeout=20) for _ in range(3)] == [2, 3, 4]
    with pytest.raises(Empty):
        q.get(timeout=0.2)


def test_join_waits_for_redelivered_ones(peer_of):
    """Nothing is given up: join returns when another has finished them, without a warning."""
    q, joiner = Queue(redeliver=True), peer_of()
    q.put_many([1, 2])
    die_with(q, 2)
    joiner.begin(programs.told, q.join)
    for _ in range(2):
        q.get(timeout=20)
        q.task_done()
    assert joiner.result() == (None, [])


@ALL
def test_dead_letters(make):
    """An item handed out max_deliveries times and never finished goes to dead_letters, and counts as done."""
    q = make(redeliver=True, max_deliveries=3)
    q.put("poison")
    for _ in range(3):
        assert q.dead_letters.empty()
        die_with(q)
    with pytest.raises(Empty):
        q.get(timeout=0.3)
    until(lambda: q.dead_letters.qsize() == 1, "a dead letter")
    assert len(q.dead_letters) == 1
    assert not q.dead_letters.empty()
    q.join(timeout=20)
    assert q.dead_letters.get(timeout=20) == "poison"
    assert q.dead_letters.empty()
    with pytest.raises(Empty):
        q.dead_letters.get_nowait()
    with pytest.raises(Empty):
        q.dead_letters.get(timeout=0.02)


def test_dead_letters_by_iteration(peer_of):
    """Iterating drains them, in any process."""
    q, peer = Queue(redeliver=True, max_deliveries=1), peer_of()
    q.put_many([*range(5), b"x" * 100_000])
    die_with(q, 6)
    with pytest.raises(Empty):
        q.get(timeout=0.2)
    until(lambda: q.dead_letters.qsize() == 6, "six dead letters")
    assert "6" in repr(q.dead_letters)
    assert q.dead_letters.get_nowait() == 0
    assert peer.call(_dead_letters_of, q) == [1, 2, 3, 4, b"x" * 100_000]


def _dead_letters_of(q):
    return list(q.dead_letters)


def test_a_good_item_beside_a_poisonous_one():
    """The others are not held up by one that kills each of its consumers."""
    q = Queue(redeliver=True, max_deliveries=2)
    q.put_many(["poison", 1, 2])
    die_with(q)
    die_with(q)
    assert [q.get(timeout=20), q.get(timeout=20)] == [1, 2]
    until(lambda: list(q.dead_letters) == ["poison"], "the dead letter")


def test_each_thread_has_its_own():
    """task_done marks the oldest of this thread; deliveries tells of what this thread took last."""
    q = Queue(redeliver=True)
    q.put_many(["mine", "other's"])
    assert q.get() == "mine"

    def other():
        assert q.deliveries == 0
        got = q.get()
        return got, q.deliveries

    assert Worker(other).result() == ("other's", 1)
    q.task_done()
    assert q.deliveries == 0
    assert q.unfinished() == 1
    q.task_done()  # what another thread of this process took
    q.join(timeout=0)


def test_which_are_finished(peer_of):
    """Who has three and marks two has finished the oldest two: the third comes back."""
    q, victim = Queue(redeliver=True), peer_of()
    q.put_many("abc")
    victim.call(programs.keep, "q", q)  # whoever drops a queue forgets which of its items are his
    victim.call(programs.get_n, q, 3)
    victim.call(q.task_done)
    victim.call(q.task_done)
    victim.kill()
    assert q.get(timeout=20) == "c"
    assert q.deliveries == 2
    q.task_done()
    q.join(timeout=0)


def test_finished_through_another_handle(peer_of):
    """A process that got the queue a second time, its first handle dropped, can finish what it took."""
    q, peer = Queue(redeliver=True), peer_of()
    q.put(1)
    assert peer.call(q.get) == 1
    peer.call(q.task_done)
    q.join(timeout=0)


def test_arrays_are_not_changed_by_the_first_receiver(peer_of):
    """The second receiver finds what was put, not what the first made of it."""
    q, victim = Queue(redeliver=True), peer_of()
    q.put(np.zeros(100_000))
    assert victim.call(_spoil, q) == 100_000
    victim.kill()
    got = q.get(timeout=20)
    assert q.deliveries == 2
    assert not got.any()
    got += 1


def _spoil(q):
    array = q.get(timeout=20)
    array += 1
    return int(array.sum())


def test_unpickling_that_fails_is_a_delivery():
    """What get could not read is still to be finished: task_done marks it."""
    q = Queue(redeliver=True)
    q.put(programs.Bad("b"))
    q.put(2)
    with pytest.raises(RuntimeError):
        q.get()
    assert q.deliveries == 1
    q.task_done()
    assert q.get() == 2
    q.task_done()
    q.join(timeout=0)


@pytest.mark.parametrize("start_method", ["spawn"], indirect=True)
def test_by_spawn(peer_of, start_method):
    """The option travels with the handle."""
    q, victim = Queue(redeliver=True), peer_of(start_method)
    q.put([1, 2])
    assert victim.call(programs.deliveries_of, q) == ([1, 2], 1)
    victim.kill()
    assert programs.deliveries_of(q) == ([1, 2], 2)


def test_a_fork_does_not_inherit_debts():
    """What the parent took is the parent's; a child that dies gives nothing back, and cannot finish it."""
    q = Queue(redeliver=True)
    q.put(1)
    q.get()

    def in_child():
        return q.deliveries, programs.outcome(q.task_done)

    with Child(in_child) as child:
        assert child.result() == (0, "ValueError")
    with pytest.raises(Empty):
        q.get(timeout=0.2)
    q.task_done()
    q.join(timeout=0)


def test_shutdown_with_redelivery(peer_of):
    """After shutdown a dead consumer's items can still be had, before ShutDown is raised for good."""
    q, victim = Queue(redeliver=True), peer_of()
    q.put_many([1, 2])
    victim.call(q.get)
    q.shutdown()
    victim.kill()
    got = []
    while len(got) < 2:
        got.append(q.get(timeout=20))
        q.task_done()
    assert sorted(got) == [1, 2]
    assert programs.iterate(q) == []


def test_closed_by_a_consumer_that_lives(peer_of):
    """Ending in good order without task_done gives the items back, too."""
    q, peer = Queue(redeliver=True), peer_of()
    q.put("unfinished")
    peer.call(q.get)
    peer.end()
    assert programs.deliveries_of(q) == ("unfinished", 2)


@pytest.mark.parametrize("size", [0, 100, 10_000, 1_000_000])
def test_of_every_size(size):
    """Short items and long ones come back whole."""
    q, item = Queue(redeliver=True), {"data": b"x" * size, "text": "y" * size}
    q.put(item)
    q.put(b"x" * size)
    die_with(q, 2)
    assert [programs.deliveries_of(q), programs.deliveries_of(q)] == [(item, 2), (b"x" * size, 2)]
