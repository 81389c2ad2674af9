"""shutdown: who waits is woken, wherever it is; what is queued can be had, or is thrown away."""

from __future__ import annotations

import pytest
from tests.channels import programs
from tests.core.tools import until
from tests.sync.programs import Worker

from holdfast import LifoQueue, PriorityQueue, Queue, ShutDown

ALL = pytest.mark.parametrize("make", [Queue, LifoQueue, PriorityQueue])
BOTH_WAYS = pytest.mark.parametrize("immediate", [False, True])


@ALL
def test_what_is_queued_can_be_had(make, local):
    """After shutdown nothing may be put; gets drain the queue, and then raise ShutDown."""
    q = make(local=local)
    q.put_many([1, 2])
    assert not q.is_shutdown
    q.shutdown()
    q.shutdown()
    assert q.is_shutdown
    for put in (lambda: q.put(3), lambda: q.put_nowait(3), lambda: q.put(3, timeout=1), lambda: q.put_many([3])):
        with pytest.raises(ShutDown):
            put()
    assert sorted([q.get(), q.get_nowait()]) == [1, 2]
    for get in (q.get, q.get_nowait, q.get_many, lambda: q.get(timeout=1), lambda: q.get_many(block=False)):
        with pytest.raises(ShutDown):
            get()


@ALL
def test_at_once(make, local):
    """With immediate=True what is queued is gone, and counts as done."""
    q = make(local=local)
    q.put_many([1, 2, 3])
    q.get()
    q.shutdown(immediate=True)
    assert (q.qsize(), q.empty(), q.unfinished()) == (0, True, 1)
    for get in (q.get, q.get_nowait, q.get_many):
        with pytest.raises(ShutDown):
            get()
    with pytest.raises(ShutDown):
        q.put(4)
    q.task_done()
    q.join(timeout=0)


@ALL
def test_at_once_after_gently(make, local):
    """The second, harder shutdown throws away what the first had left; the other way round nothing comes back."""
    q = make(local=local)
    q.put(1)
    q.shutdown()
    q.shutdown(immediate=True)
    with pytest.raises(ShutDown):
        q.get()
    q.shutdown()
    with pytest.raises(ShutDown):
        q.get()
    q.join(timeout=0)


@ALL
@BOTH_WAYS
def test_threads_that_wait_wake(make, local, immediate):
    """Getters of an empty queue, putters of a full one."""
    empty, full = make(local=local), make(1, local=local)
    full.put(1)
    calls = [empty.get, empty.get_many, lambda: empty.get(timeout=60), lambda: full.put(2), lambda: full.put_many([2])]
    workers = [Worker(programs.outcome, call) for call in calls]
    empty.shutdown(immediate)
    full.shutdown(immediate)
    assert [worker.result() for worker in workers] == ["ShutDown"] * len(calls)


@BOTH_WAYS
def test_other_processes_wake(immediate, peer_of, start_method):
    """A getter, a putter and one who iterates, each in another process and asleep."""
    empty, full = Queue(), Queue(1)
    full.put(1)
    getter, putter, iterating = (peer_of(start_method) for _ in range(3))
    getter.begin(programs.outcome, empty.get)
    iterating.begin(programs.iterate, empty)
    putter.begin(programs.outcome, full.put, 2)
    for peer in (getter, putter, iterating):
        until(peer.asleep, "asleep")
    empty.shutdown(immediate)
    full.shutdown(immediate)
    assert (getter.result(), iterating.result(), putter.result()) == ("ShutDown", [], "ShutDown")


def test_joiners_wake_when_all_is_thrown_away(local):
    """A join that waits for queued items ends with shutdown(immediate=True)."""
    q = Queue(local=local)
    q.put_many([1, 2, 3])
    worker = Worker(q.join)
    q.shutdown(immediate=True)
    worker.result()


def test_joiners_elsewhere_wake(peer_of):
    """Also in another process."""
    q, peer = Queue(), peer_of()
    q.put_many([1, 2, 3])
    peer.begin(q.join)
    until(peer.asleep, "asleep")
    q.shutdown(immediate=True)
    assert peer.result() is None


def test_a_joiner_waits_for_what_was_taken(local):
    """Shutting down does not finish what consumers are at."""
    q = Queue(local=local)
    q.put_many([1, 2])
    q.get()
    q.shutdown()
    with pytest.raises(TimeoutError):
        q.join(timeout=0.01)
    worker = Worker(q.join)
    q.get()
    q.task_done()
    q.task_done()
    worker.result()


@ALL
def test_iteration(make, local):
    """`for item in q` ends when the queue is shut down and empty, not before."""
    q = make(local=local)
    worker = Worker(programs.iterate, q)
    for n in range(50):
        q.put(n)
    q.shutdown()
    assert sorted(worker.result()) == list(range(50))


def test_several_share_by_iterating(peer_of):
    """Three processes iterate: each item goes to one of them, and all end."""
    q, peers = Queue(), [peer_of() for _ in range(3)]
    for peer in peers:
        peer.begin(programs.iterate, q)
    q.put_many(range(300))
    q.shutdown()
    got = [peer.result() for peer in peers]
    assert sorted(programs.joined(got)) == list(range(300))
    assert all(each == sorted(each) for each in got)


def test_shut_down_by_another(peer_of):
    """What a process shuts down is shut down for all, also when that process is gone."""
    q, peer = Queue(), peer_of()
    q.put(1)
    peer.call(q.shutdown)
    peer.end()
    assert q.is_shutdown
    assert list(q) == [1]


def test_shutdown_frees_what_it_throws_away():
    """Large items that nobody will take give their memory back."""
    q = Queue()
    q.put_many([b"x" * 1_000_000] * 5)
    assert q.nbytes() >= 5_000_000
    q.shutdown(immediate=True)
    assert q.nbytes() == 0
