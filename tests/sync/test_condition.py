"""Condition between processes: who is told, deaths of waiters and of the lock's holder, pickling, foreign locks."""

from __future__ import annotations

import pickle
import re
import threading
import uuid

import pytest
from tests.core.tools import Child, until
from tests.sync import programs
from tests.sync.programs import Worker

from holdfast.core import _native, handles
from holdfast.errors import AbandonedError, AbandonedWarning
from holdfast.sync.condition import Condition
from holdfast.sync.lock import Lock, RLock

LOCKS = pytest.mark.parametrize("lock", [Lock, RLock, lambda: None], ids=["Lock", "RLock", "own"])


def waiting(condition, peers, *args):
    """Put peers to wait, one after the other, so that their order is known."""
    for n, peer in enumerate(peers, 1):
        peer.begin(programs.wait_under, condition, *args)
        until(lambda n=n: len(condition._waiters) == n, f"{n} waiting")


@LOCKS
def test_notify_reaches_other_processes(lock, peer_of, start_method):
    """notify(n) wakes the n that wait longest, wherever they are; notify_all wakes all."""
    condition, peers = Condition(lock()), [peer_of(start_method) for _ in range(3)]
    waiting(condition, peers)
    programs.notify_under(condition)
    assert peers[0].result() is True
    assert len(condition._waiters) == 2
    with condition:
        condition.notify_all()
    assert [peer.result() for peer in peers[1:]] == [True, True]
    assert len(condition._waiters) == 0
    assert peers[0].call(programs.wait_under, condition, 0.01) is False


def test_many_waiters_at_once(peer_of):
    """More waiters than the list has room for at first."""
    condition = Condition()
    peers = [peer_of() for _ in range(3)]
    waiting(condition, peers)
    threads = [Worker(programs.wait_under, condition) for _ in range(40)]
    until(lambda: len(condition._waiters) == 43, "43 waiting")
    programs.notify_under(condition, 100)
    assert all(one.result() for one in (*threads, *peers))


def test_pickles():
    """With its lock, as one; a copy here is the same lock and the same list; over a foreign lock it refuses."""
    condition = Condition()
    copy = pickle.loads(pickle.dumps(condition))
    assert copy._lock is condition._lock
    assert copy._waiters is condition._waiters
    lock = Lock()
    assert pickle.loads(pickle.dumps((lock, Condition(lock))))[1]._lock is lock
    with pytest.raises(TypeError, match=r"a Condition over <.*thread.lock.*> cannot be pickled"):
        pickle.dumps(Condition(threading.Lock()))


def test_pickle_in_an_unrelated_program(run_python):
    """A program that is given the pickle notifies a thread here."""
    condition = Condition()
    waiter = Worker(programs.wait_under, condition, 60)
    until(lambda: len(condition._waiters) == 1, "waiting")
    code = "import pickle, sys; c = pickle.loads(bytes.fromhex(sys.argv[1])); c.acquire(); c.notify(); c.release()"
    assert run_python(code, pickle.dumps(condition).hex()).stderr == ""
    assert waiter.result() is True


def test_names():
    """By name, the lock comes with it."""
    name = f"test {uuid.uuid4().hex}"
    one, other = Condition(name=name), Condition(name=name)
    with one:
        assert not Worker(other.acquire, False).result()
    waiter = Worker(programs.wait_under, one)
    until(lambda: len(other._waiters) == 1, "waiting")
    programs.notify_under(other)
    assert waiter.result() is True


def test_the_longest_name():
    """A name as long as a name may be works for a condition, too."""
    name = uuid.uuid4().hex + "x" * (handles.MAX_NAME - 32)
    assert not Condition(name=name)._is_owned()


# ---- deaths ----


def test_a_killed_waiter_is_passed_over(peer_of):
    """notify() after the first in line died in its sleep goes to the next."""
    condition, victim, other = Condition(), peer_of(), peer_of()
    waiting(condition, [victim, other])
    victim.kill()
    programs.notify_under(condition)
    assert other.result() is True


def test_a_waiter_killed_after_it_was_told(peer_of):
    """Told, but dead before it had the lock back: the notify goes to another."""
    condition, victim, other = Condition(), peer_of(), peer_of()
    waiting(condition, [victim, other])
    with condition:
        condition.notify()  # the victim cannot run on: we hold the lock
        assert len(condition._waiters) == 1
        victim.kill()
    assert other.result() is True


def test_all_told_and_some_killed(peer_of):
    """notify(2) with four waiting: the two that were told die; the other two wake instead."""
    condition, peers = Condition(), [peer_of() for _ in range(4)]
    waiting(condition, peers)
    with condition:
        condition.notify(2)
        for peer in peers[:2]:
            peer.kill()
    assert [peer.result() for peer in peers[2:]] == [True, True]


def test_the_holder_of_its_lock_is_killed(peer_of):
    """A waiter that was told takes the lock over from a dead holder, with the warning, and returns True."""
    condition, waiter, holder = Condition(), peer_of(), peer_of()
    waiter.begin(programs.told, programs.wait_under, condition)
    until(lambda: len(condition._waiters) == 1, "waiting")
    holder.call(condition.acquire)
    holder.call(condition.notify)
    pid = holder.kill()
    value, words = waiter.result()
    assert value is True
    assert len(words) == 1
    assert f"taken over from pid {pid}" in words[0]


def test_the_warning_as_an_error_in_wait(peer_of):
    """Under -W error wait() raises the warning, holding the lock as after every wait; the with block frees it."""
    condition, waiter, holder = Condition(Lock()), peer_of(), peer_of()
    waiter.begin(programs.with_errors, programs.wait_under, condition)
    until(lambda: len(condition._waiters) == 1, "waiting")
    holder.call(condition.acquire)
    holder.call(condition.notify)
    holder.kill()
    with pytest.raises(AbandonedWarning, match="taken over"):
        waiter.result()
    assert condition.acquire(timeout=20)
    condition.release()


def test_an_abandoned_lock_that_raises(peer_of):
    """Over a lock made with abandoned="raise", the waiter sees AbandonedError, not that it holds no lock any more."""
    condition, waiter, holder = Condition(Lock(abandoned="raise")), peer_of(), peer_of()
    waiter.begin(programs.wait_under, condition)
    until(lambda: len(condition._waiters) == 1, "waiting")
    holder.call(condition.acquire)
    holder.call(condition.notify)
    holder.kill()
    with pytest.raises(AbandonedError, match="recover"):
        waiter.result()
    condition._lock.recover()
    condition.release()


def test_jobs_with_random_order(peer_of):
    """One notify for one item, between three processes: every item is eaten."""
    condition, items = Condition(), Lock().session and _native.Cell(Lock().session, None)

    def eat():
        for _ in range(50):
            with condition:
                assert condition.wait_for(items.get, 20)
                items.add(-1)

    with Child(eat) as one, Child(eat) as other:
        for _ in range(100):
            with condition:
                items.add(1)
                condition.notify()
        one.result()
        other.result()
    assert items.get() == 0


# ---- use ----


def test_wait_gives_up_all_levels(peer_of):
    """An RLock held three deep is free during wait() and held three deep after it."""
    condition, peer = Condition(), peer_of()
    with condition, condition, condition:
        peer.begin(programs.notify_under, condition)
        assert condition.wait(20) is True
        assert condition._lock._recursion_count() == 3
    peer.result()


@pytest.mark.parametrize("lock", [threading.Lock, threading.RLock])
def test_over_a_lock_of_threading(lock):
    """Any lock will do between threads."""
    condition = Condition(lock())
    waiter = Worker(programs.wait_under, condition)
    until(lambda: len(condition._waiters) == 1, "waiting")
    programs.notify_under(condition)
    assert waiter.result() is True
    with pytest.raises(RuntimeError):
        condition.notify()


@LOCKS
def test_unheld(lock):
    """Wait and notify without the lock: RuntimeError."""
    condition = Condition(lock())
    for call in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(RuntimeError, match=r"cannot (wait|notify) on un-acquired lock"):
            call()


def test_wait_for():
    """Returns the predicate's last value; a passed timeout is no error."""
    condition = Condition()
    with condition:
        assert condition.wait_for(lambda: 42) == 42
        assert condition.wait_for(lambda: None, 0.01) is None
        assert condition.wait(0) is False
        with pytest.raises(TypeError):
            condition.wait("soon")
        assert condition._is_owned()
    assert len(condition._waiters) == 0


def test_repr(peer_of):
    """The lock's words, and how many wait."""
    condition, peer = Condition(), peer_of()
    waiting(condition, [peer])
    assert re.fullmatch(r"<Condition\(<unlocked holdfast.RLock object at 0x\w+>, 1\)>", repr(condition))
    programs.notify_under(condition)
    peer.result()
