"""Semaphore and BoundedSemaphore between processes: permits of the dead, names, wrong use, words."""

from __future__ import annotations

import os
import pickle
import re
import sys
import uuid

import pytest
from tests.core.tools import Child, until
from tests.sync.programs import Worker

from holdfast.core import session
from holdfast.sync.semaphore import BoundedSemaphore, Semaphore

BOTH = pytest.mark.parametrize("make", [Semaphore, BoundedSemaphore])


@BOTH
def test_counts_over_processes(make, peer_of, start_method):
    """Permits taken in one process are gone in all; a release wakes a sleeper elsewhere."""
    semaphore, peer = make(2), peer_of(start_method)
    assert peer.call(semaphore.acquire)
    assert semaphore.get_value() == 1
    assert semaphore.acquire()
    assert not semaphore.acquire(blocking=False)
    assert not semaphore.acquire(timeout=0.01)
    peer.begin(semaphore.acquire)
    until(peer.asleep, "the peer asleep")
    semaphore.release()
    assert peer.result() is True
    peer.call(semaphore.release, 2)
    assert semaphore.get_value() == 2
    assert pickle.loads(pickle.dumps(semaphore)) is semaphore


def test_pickle_in_an_unrelated_program(run_python):
    """A program that is given the pickle takes a permit; when it has ended the permit is back."""
    semaphore = Semaphore(1)
    code = "import pickle, sys; print(pickle.loads(bytes.fromhex(sys.argv[1])).acquire(False))"
    assert run_python(code, pickle.dumps(semaphore).hex()).stdout == "True\n"
    assert semaphore.acquire(timeout=20)


@BOTH
def test_permits_of_the_killed_come_back(make, peer_of):
    """Waiters here get what a killed process held, all of it and no more."""
    semaphore, holder, waiter = make(3), peer_of(), peer_of()
    for _ in range(3):
        holder.call(semaphore.acquire)
    waiter.begin(semaphore.acquire)
    until(waiter.asleep, "the waiter asleep")
    holder.kill()
    assert waiter.result() is True
    assert semaphore.get_value() == 2
    assert semaphore.holders() == [(waiter.call(member_of, semaphore), 1)]


def member_of(handle):
    return handle.session.member


def test_without_waiting(peer_of):
    """A non-blocking acquire finds the holder dead."""
    semaphore, holder = Semaphore(1), peer_of()
    holder.call(semaphore.acquire)
    assert not semaphore.acquire(blocking=False)
    holder.kill()
    until(lambda: semaphore.acquire(blocking=False), "the permit")


def test_a_dead_waiter_takes_nothing(peer_of):
    """A waiter killed in its sleep neither gets nor loses a permit."""
    semaphore, victim, other = Semaphore(1), peer_of(), peer_of()
    semaphore.acquire()
    for peer in (victim, other):
        peer.begin(semaphore.acquire)
        until(peer.asleep, "asleep")
    victim.kill()
    semaphore.release()
    assert other.result() is True
    other.call(semaphore.release)
    assert semaphore.get_value() == 1


def test_a_signal_gains_nothing_by_a_death(peer_of):
    """Made with 0 it is a mere signal: what was released stays, nothing is added for the dead."""
    semaphore, peer = Semaphore(0), peer_of()
    peer.call(semaphore.release, 2)
    peer.call(semaphore.acquire)
    peer.kill()
    assert semaphore.acquire(timeout=5)
    assert not semaphore.acquire(timeout=0.1)
    assert semaphore.get_value() == 0


def test_released_by_another(peer_of):
    """A permit taken here and released there: when both are done the value is what it was, whoever died."""
    semaphore, taker, giver = BoundedSemaphore(2), peer_of(), peer_of()
    taker.call(semaphore.acquire)
    giver.call(semaphore.release)
    taker.kill()
    assert semaphore.get_value() == 2
    assert semaphore.acquire()
    assert semaphore.acquire()
    assert not semaphore.acquire(timeout=0.1)


def test_a_forked_child_has_no_permit_of_its_own():
    """A fork does not double the holder; the child's end gives back nothing."""
    semaphore = Semaphore(1)
    semaphore.acquire()
    assert Child(semaphore.acquire, False).result() is False
    assert not semaphore.acquire(timeout=0.1)
    semaphore.release()
    assert semaphore.get_value() == 1


def test_more_holders_than_fit_at_first(peer_of):
    """Many processes may hold permits at once; the list of holders grows and shrinks."""
    semaphore = Semaphore(10)
    peers = [peer_of() for _ in range(9)]
    for peer in peers:
        assert peer.call(semaphore.acquire)
    assert len(semaphore.holders()) == 9
    for peer in peers[:5]:
        peer.kill()
    for _ in range(6):
        assert semaphore.acquire(timeout=20)
    assert not semaphore.acquire(blocking=False)
    assert sorted(count for _, count in semaphore.holders()) == [1, 1, 1, 1, 6]


@BOTH
def test_names(make):
    """By name it is the same one; another value is an error that names both."""
    name = f"test {uuid.uuid4().hex}"
    semaphore = make(3, name=name)
    other = make(3, name=name, create=False)
    other.acquire()
    assert semaphore.get_value() == 2
    with pytest.raises(ValueError, match=re.escape(f"value=5: the semaphore name={name!r} was made with 3")):
        make(5, name=name)


def test_bounded_and_unbounded_of_one_name():
    """A name made as one kind does not silently open as the other."""
    name = f"test {uuid.uuid4().hex}"
    kept = Semaphore(2, name=name)
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        BoundedSemaphore(2, name=name)
    assert kept.get_value() == 2


@pytest.mark.parametrize("value", [-1, -sys.maxsize, 1 << 31])
@BOTH
def test_wrong_values(make, value):
    """Negative or too large: ValueError with the value."""
    with pytest.raises(ValueError, match=str(value)):
        make(value)


def test_wrong_use():
    """The standard library's errors; nothing changes."""
    semaphore = BoundedSemaphore(2)
    with pytest.raises(ValueError, match="released too many times: 2 of 2"):
        semaphore.release()
    with pytest.raises(ValueError, match="n must be one or more, not 0"):
        semaphore.release(0)
    with pytest.raises(ValueError, match="timeout"):
        semaphore.acquire(False, 1)
    with pytest.raises(ValueError, match="too many"):
        Semaphore(1).release((1 << 31) - 1)
    assert semaphore.get_value() == 2


def test_repr():
    """Its value, of how many if bounded."""
    assert re.fullmatch(r"<holdfast.Semaphore at 0x\w+: value=3>", repr(Semaphore(3)))
    with BoundedSemaphore(2) as _, BoundedSemaphore(3) as _:
        pass
    semaphore = BoundedSemaphore(3)
    semaphore.acquire()
    assert re.fullmatch(r"<holdfast.BoundedSemaphore at 0x\w+: value=2/3>", repr(semaphore))


def test_never_more_inside(peer_of):
    """Threads here and there pass through; never more than two at once."""
    semaphore, inside = Semaphore(2), Semaphore(2)

    def pass_through():
        for _ in range(100):
            with semaphore:
                assert inside.acquire(blocking=False)
                inside.release()

    with Child(pass_through) as child:
        for worker in [Worker(pass_through) for _ in range(3)]:
            worker.result()
        child.result()
    assert (semaphore.get_value(), inside.get_value()) == (2, 2)
    assert os.getpid() == session.current().describe(session.current().member)[0]
