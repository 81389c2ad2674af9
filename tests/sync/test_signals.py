"""Ctrl-C in every blocking call: KeyboardInterrupt at once, and the object as if the call had not been made."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from tests.core.tools import asleep, until
from tests.sync import programs
from tests.sync.programs import Worker

from holdfast.core import _native, session
from holdfast.sync.barrier import Barrier
from holdfast.sync.condition import Condition
from holdfast.sync.event import Event
from holdfast.sync.lock import Lock, RLock
from holdfast.sync.semaphore import Semaphore


@pytest.mark.parametrize("make", [Lock, RLock])
@pytest.mark.parametrize("way", ["acquire", "acquire with a timeout", "with"])
def test_lock(make, way, interrupted, peer_of):
    """The lock stays with its holder, and is ours when that lets go."""
    lock, holder = make(), peer_of()
    holder.call(lock.acquire)
    interrupted(*{"acquire": [lock.acquire], "with": [lock.__enter__]}.get(way, [lock.acquire, True, 60]))
    assert f"held by pid {holder.pid}" in repr(lock)
    assert lock.waiters() == 0
    holder.call(lock.release)
    assert lock.acquire(timeout=20)
    lock.release()
    assert not lock.locked()


def test_semaphore(interrupted):
    """No permit is lost."""
    semaphore = Semaphore(1)
    semaphore.acquire()
    interrupted(semaphore.acquire)
    interrupted(semaphore.acquire, True, 60)
    semaphore.release()
    assert semaphore.get_value() == 1
    assert semaphore.acquire(timeout=20)


def test_event(interrupted):
    """The event is unset as before, and still wakes."""
    event = Event()
    interrupted(event.wait)
    interrupted(event.wait, 60)
    assert not event.is_set()
    waiter = Worker(event.wait)
    event.set()
    assert waiter.result()


@pytest.mark.parametrize("lock", [Lock, RLock])
def test_condition(lock, interrupted):
    """The lock is held again when KeyboardInterrupt comes out of wait(); nobody is left on the list."""
    condition = Condition(lock())
    with condition:
        interrupted(condition.wait)
        assert condition._is_owned()
        interrupted(condition.wait, 60)
        interrupted(condition.wait_for, lambda: False)
    assert not condition._lock.locked()
    assert len(condition._waiters) == 0
    waiter = Worker(programs.wait_under, condition)
    until(lambda: len(condition._waiters) == 1, "waiting")
    programs.notify_under(condition)
    assert waiter.result() is True


def test_condition_does_not_swallow_a_notify(interrupted, peer_of):
    """A waiter interrupted after it was told hands the notify on."""
    condition, other = Condition(), peer_of()
    main = threading.get_native_id()
    pid = os.getpid()

    def tell_and_interrupt():
        until(lambda: len(condition._waiters) == 1 and asleep(pid), "the main thread waits")
        other.begin(programs.wait_under, condition)
        until(lambda: len(condition._waiters) == 2, "both wait")
        with condition:
            os.kill(main, signal.SIGINT)
            condition.notify()

    helper = Worker(tell_and_interrupt)
    interrupts = 0
    with condition:
        try:
            assert condition.wait(20) is True
        except KeyboardInterrupt:
            interrupts = 1
    helper.result()
    if not interrupts:  # it had returned before the signal's turn came: the notify was ours
        programs.notify_under(condition)
    assert other.result() is True


def test_barrier(interrupted):
    """A party that is interrupted cannot come: the barrier is broken, as with threading's; a reset makes it whole."""
    barrier = Barrier(2)
    interrupted(barrier.wait)
    assert barrier.broken
    barrier.reset()
    waiter = Worker(barrier.wait)
    assert sorted([barrier.wait(), waiter.result()]) == [0, 1]


def test_ring(interrupted):
    """An interrupted get takes nothing, an interrupted put adds nothing."""
    ring = _native.Ring(session.current(), None, 128)
    interrupted(ring.get)
    interrupted(ring.get, 60)
    assert ring.put(1, b"x" * 100)
    interrupted(ring.put, 2, b"y" * 100)
    assert len(ring) == 1
    assert ring.get() == (1, b"x" * 100)
    assert ring.get(0) is None


def test_handlers_run_while_it_waits():
    """A handler that does not raise runs at once, and the call goes on waiting with what time it has left."""
    event, ran = Event(), []

    def handler(*_):
        ran.append(len(ran))
        if len(ran) == 3:
            event.set()
        else:
            signal.setitimer(signal.ITIMER_REAL, 0.005)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.005)
        assert event.wait(20) is True
    finally:
        signal.signal(signal.SIGALRM, before)
    assert ran == [0, 1, 2]
