"""RLock: what it has beyond Lock (see test_lock for what they share)."""

from __future__ import annotations

import pytest
from tests.core.tools import until
from tests.sync import programs
from tests.sync.programs import Worker

from holdfast.sync.lock import RLock


def test_taken_again_across_processes(peer_of, start_method):
    """Its holder takes it three deep; it is free for others only after as many releases."""
    lock, peer = RLock(), peer_of(start_method)
    for _ in range(3):
        assert peer.call(lock.acquire)
    assert peer.call(lock._recursion_count) == 3
    assert lock._recursion_count() == 0
    for _ in range(3):
        assert not lock.acquire(blocking=False)
        peer.call(lock.release)
    assert lock.acquire(blocking=False)
    lock.release()


def test_only_its_holder_releases(peer_of):
    """Another process, and another thread, get RuntimeError, and nothing changes."""
    lock, peer = RLock(), peer_of()
    lock.acquire()
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        peer.call(lock.release)
    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        Worker(lock.release).result()
    assert lock._is_owned()
    lock.release()


def test_taken_over_once(peer_of):
    """The heir of a holder that had it three deep has it once."""
    lock, holder, heir = RLock(), peer_of(), peer_of()
    for _ in range(3):
        holder.call(lock.acquire)
    heir.begin(programs.told, lock.acquire)
    until(lock.waiters, "the heir waits")
    holder.kill()
    assert heir.result()[0] is True
    assert heir.call(lock._recursion_count) == 1
    heir.call(lock.release)
    assert not lock.locked()


def test_recover_holds_once(peer_of):
    """recover() of an RLock makes the caller its owner, once."""
    lock, holder = RLock(abandoned="raise"), peer_of()
    holder.call(lock.acquire)
    holder.call(lock.acquire)
    holder.kill()
    lock.recover()
    assert lock._is_owned()
    assert lock._recursion_count() == 1
    lock.release()
    assert not lock.locked()


def test_saved_and_restored():
    """What a condition does: let go of all levels, take as many back."""
    lock = RLock()
    with pytest.raises(RuntimeError):
        lock._release_save()
    lock.acquire()
    lock.acquire()
    state = lock._release_save()
    assert not lock.locked()
    lock._acquire_restore(state)
    assert lock._recursion_count() == 2
    lock.release()
    lock.release()
