"""Lock and RLock when their holder dies: who gets them, what is said, ``abandoned="raise"`` and ``recover()``."""

from __future__ import annotations

import re
import uuid

import pytest
from tests.core.tools import until
from tests.sync import programs
from tests.sync.programs import Worker

from holdfast.errors import AbandonedError, AbandonedWarning
from holdfast.sync.lock import Lock, RLock

BOTH = pytest.mark.parametrize("make", [Lock, RLock])


@BOTH
def test_a_waiter_takes_over_from_a_killed_holder(make, peer_of, record_property):
    """The waiter gets the lock, in another process, and is told who died."""
    lock, holder, waiter = make(), peer_of(), peer_of()
    holder.call(lock.acquire)
    waiter.begin(programs.told, lock.acquire)
    until(lock.waiters, "the waiter")
    pid = holder.kill()
    got, words = waiter.result()
    assert got is True
    assert len(words) == 1
    assert re.match(
        rf"AbandonedWarning: holdfast.{make.__name__} was taken over from pid {pid}\b.*, which ended", words[0]
    )
    assert f"held by pid {waiter.pid}" in repr(lock)
    waiter.call(lock.release)
    assert lock.acquire(timeout=5)  # and nobody is told twice
    lock.release()


@BOTH
def test_a_thread_takes_over(make, peer_of):
    """A waiting thread here takes over from another process."""
    lock, holder = make(), peer_of()
    holder.call(lock.acquire)
    waiter = Worker(programs.told, lock.acquire)
    until(lock.waiters, "the waiter")
    holder.kill()
    got, words = waiter.result()
    assert got is True
    assert len(words) == 1


@BOTH
def test_without_waiting(make, peer_of):
    """A non-blocking acquire finds the owner dead and gets the lock."""
    lock, holder = make(), peer_of()
    holder.call(lock.acquire)
    pid = holder.kill()
    with pytest.warns(AbandonedWarning, match=f"pid {pid}"):
        until(lambda: lock.acquire(blocking=False), "the lock")
    lock.release()


@BOTH
def test_many_waiters_one_is_told(make, peer_of):
    """Of several waiters each gets the lock in turn, and one of them the warning."""
    lock, holder = make(), peer_of()
    holder.call(lock.acquire)
    peers = [peer_of() for _ in range(3)]
    for peer in peers:
        peer.begin(programs.told, programs.take_and_give, lock)
    until(lambda: lock.waiters() == 3, "three waiters")
    holder.kill()
    assert sum(len(peer.result()[1]) for peer in peers) == 1
    assert not lock.locked()


def test_a_holder_that_ends_without_releasing(peer_of, start_method):
    """An end in good order with the lock held counts as abandoned, too."""
    lock, peer = Lock(), peer_of(start_method)
    peer.call(lock.acquire)
    pid = peer.end()
    with pytest.warns(AbandonedWarning, match=f"taken over from pid {pid}"):
        assert lock.acquire()


def test_named_in_the_warning(peer_of):
    """The warning names the lock if it has a name."""
    name = f"test {uuid.uuid4().hex}"
    lock, holder = Lock(name=name), peer_of()
    holder.call(lock.acquire)
    holder.kill()
    with pytest.warns(AbandonedWarning, match=re.escape(f"holdfast.Lock {name!r} was taken over")):
        assert lock.acquire()


@BOTH
@pytest.mark.parametrize("way", ["acquire", "__enter__"])
def test_the_warning_as_an_error(make, way, peer_of):
    """Under ``-W error`` the acquire raises, and the lock is not left held."""
    lock, holder = make(), peer_of()
    holder.call(lock.acquire)
    holder.kill()
    with pytest.raises(AbandonedWarning):
        programs.with_errors(getattr(lock, way))
    assert not lock.locked()
    with lock:
        pass


@BOTH
def test_raise_and_recover(make, peer_of):
    """abandoned="raise": every acquire raises until somebody recovers; then it is that one's."""
    lock, holder, waiter = make(abandoned="raise"), peer_of(), peer_of()
    holder.call(lock.acquire)
    waiter.begin(lock.acquire)
    until(lock.waiters, "the waiter")
    pid = holder.kill()
    with pytest.raises(AbandonedError, match=rf"is abandoned: pid {pid}\b.* Call recover\(\)"):
        waiter.result()
    for blocking in (True, False):
        with pytest.raises(AbandonedError):
            lock.acquire(blocking)
    with pytest.raises(RuntimeError):
        lock.release()
    lock.recover()
    assert lock.locked()
    assert not waiter.call(lock.acquire, False)
    lock.release()
    assert waiter.call(lock.acquire, True, 5)


def test_recover_needs_a_death(peer_of):
    """recover() of a lock that is free, or held by somebody living, is wrong use."""
    for lock in (Lock(), Lock(abandoned="raise")):
        with pytest.raises(RuntimeError, match=r"recover\(\) is for a lock whose holder died"):
            lock.recover()
        assert not lock.locked()
        peer_of().call(lock.acquire)
        with pytest.raises(RuntimeError, match="free or held"):
            lock.recover()


def test_a_dead_waiter_disturbs_nobody(peer_of):
    """A waiter is killed in its sleep; the next one gets the lock."""
    lock, victim, other = Lock(), peer_of(), peer_of()
    lock.acquire()
    victim.begin(lock.acquire)
    until(victim.asleep, "the victim asleep")
    other.begin(lock.acquire)
    until(other.asleep, "the other asleep")
    victim.kill()
    lock.release()
    assert other.result() is True
