"""Barrier between processes: rounds, actions, deaths of parties, names, words."""

from __future__ import annotations

import os
import pickle
import re
import threading
import uuid
from threading import BrokenBarrierError

import pytest
from tests.core.tools import Child, until
from tests.sync.programs import Worker

from holdfast.core import _native, session
from holdfast.sync.barrier import Barrier


def leave_pid() -> None:
    """An action that any process can import."""
    os.environ["HF_ACTION"] = str(os.getpid())


def read_pid() -> str | None:
    return os.environ.pop("HF_ACTION", None)


def test_rounds_over_processes(peer_of, start_method):
    """Processes and a thread meet; each gets its own number, round after round."""
    barrier, peers = Barrier(3), [peer_of(start_method) for _ in range(2)]
    for _ in range(5):
        for peer in peers:
            peer.begin(barrier.wait)
        mine = barrier.wait()
        assert sorted([mine, *(peer.result() for peer in peers)]) == [0, 1, 2]
    assert (barrier.n_waiting, barrier.broken) == (0, False)


def test_the_action_travels(peer_of, start_method):
    """It is called once a round, in the process that arrives last, before anybody goes on."""
    barrier, peer = Barrier(2, leave_pid), peer_of(start_method)
    peer.begin(barrier.wait)
    until(lambda: barrier.n_waiting == 1, "the peer waits")
    assert barrier.wait() == 1
    assert read_pid() == str(os.getpid())
    peer.result()
    waiter = Worker(barrier.wait)
    until(lambda: barrier.n_waiting == 1, "the thread waits")
    assert peer.call(barrier.wait) == 1
    assert waiter.result() == 0
    assert peer.call(read_pid) == str(peer.pid)


def test_many_rounds():
    """A few hundred rounds with a count that must be whole after each."""
    barrier, count = Barrier(3), _native.Cell(session.current(), None)

    def go():
        for i in range(200):
            count.add(1)
            barrier.wait()
            assert count.get() == 3 * (i + 1)
            barrier.wait()

    with Child(go) as one, Child(go) as other:
        go()
        one.result()
        other.result()


def test_more_threads_than_parties():
    """Who comes while a full round still runs its action waits for the next one."""
    entered, go = threading.Event(), threading.Event()

    def action():
        entered.set()
        go.wait(20)

    barrier = Barrier(2, action)
    first = [Worker(barrier.wait) for _ in range(2)]
    entered.wait(20)
    late = [Worker(barrier.wait) for _ in range(2)]
    go.set()
    assert sorted(worker.result() for worker in first + late) == [0, 0, 1, 1]


def test_a_party_killed_while_it_waits(peer_of):
    """The others get BrokenBarrierError that names the dead one; a reset makes the barrier whole."""
    barrier, victim, other = Barrier(3), peer_of(), peer_of()
    for n, peer in enumerate((victim, other), 1):
        peer.begin(barrier.wait)
        until(lambda n=n: barrier.n_waiting == n, "waiting")
    pid = victim.kill()
    with pytest.raises(BrokenBarrierError, match=rf"holdfast.Barrier: pid {pid}\b.*took part and died"):
        other.result()
    assert barrier.broken
    with pytest.raises(BrokenBarrierError, match=f"pid {pid}"):
        barrier.wait()
    barrier.reset()
    workers = [Worker(barrier.wait) for _ in range(2)]
    other.begin(barrier.wait)
    assert sorted([other.result(), *(worker.result() for worker in workers)]) == [0, 1, 2]


def test_a_party_killed_between_rounds(peer_of):
    """It took part in the round before and died: the next round breaks instead of waiting for it."""
    barrier, victim = Barrier(2), peer_of()
    victim.begin(barrier.wait)
    barrier.wait()
    victim.result()
    pid = victim.kill()
    with pytest.raises(BrokenBarrierError, match=f"pid {pid}"):
        barrier.wait()


def test_a_party_killed_between_rounds_and_swept(peer_of):
    """That it was killed is not forgotten when its place in the process table is given away."""
    barrier, victim = Barrier(2), peer_of()
    victim.begin(barrier.wait)
    barrier.wait()
    victim.kill()
    arena = session.current()
    until(lambda: arena.sweep() > 0, "the dead one is swept")
    with pytest.raises(BrokenBarrierError):
        barrier.wait(20)


def test_a_party_that_ended_in_good_order(peer_of):
    """Its end between rounds breaks nothing: another party may take its place."""
    barrier, leaver, heir = Barrier(2), peer_of(), peer_of()
    leaver.begin(barrier.wait)
    barrier.wait()
    leaver.result()
    leaver.end()
    waiter = Worker(barrier.wait)
    until(lambda: barrier.n_waiting == 1, "waiting")
    with pytest.raises(TimeoutError):
        waiter_done(waiter, 0.2)
    heir.begin(barrier.wait)
    assert sorted([heir.result(), waiter.result()]) == [0, 1]


def waiter_done(worker, seconds):
    worker.join(seconds)
    if worker.is_alive():
        raise TimeoutError


def test_the_last_one_is_killed_in_the_action(peer_of):
    """The action kills its process: the waiting ones learn it."""
    barrier, victim = Barrier(2, suicide), peer_of()
    waiter = Worker(barrier.wait)
    until(lambda: barrier.n_waiting == 1, "waiting")
    with pytest.raises(EOFError):
        victim.call(barrier.wait)
    with pytest.raises(BrokenBarrierError, match="took part and died"):
        waiter.result()


def suicide():
    os.kill(os.getpid(), 9)


def test_abort_and_reset(peer_of):
    """abort() breaks it for those who wait and for those who come; reset() breaks only those who wait."""
    barrier, peer = Barrier(2), peer_of()
    for end, broken in ((barrier.abort, True), (barrier.reset, False)):
        barrier.reset()
        peer.begin(barrier.wait)
        until(lambda: barrier.n_waiting == 1, "waiting")
        end()
        with pytest.raises(BrokenBarrierError, match="broken or reset"):
            peer.result()
        assert barrier.broken is broken


def test_an_action_that_raises():
    """The exception is the last one's; the others find the barrier broken."""

    def fail():
        raise ZeroDivisionError

    barrier = Barrier(2, fail)
    waiter = Worker(barrier.wait)
    until(lambda: barrier.n_waiting == 1, "waiting")
    with pytest.raises(ZeroDivisionError):
        barrier.wait()
    with pytest.raises(BrokenBarrierError):
        waiter.result()


def test_a_timeout_breaks_it_for_all(peer_of):
    """One gives up; the others, here and later, get BrokenBarrierError. The default travels with a pickle."""
    barrier, peer = Barrier(3, timeout=0.05), peer_of()
    waiter = Worker(barrier.wait, 20)
    with pytest.raises(BrokenBarrierError, match="timed out"):
        peer.call(barrier.wait)
    with pytest.raises(BrokenBarrierError):
        waiter.result()
    with pytest.raises(BrokenBarrierError, match="it is broken"):
        barrier.wait()


def test_pickles_and_names(run_python):
    """One object here, the same barrier elsewhere; another number of parties for a name is an error."""
    barrier = Barrier(2)
    assert pickle.loads(pickle.dumps(barrier)) is barrier
    waiter = Worker(barrier.wait)
    code = "import pickle, sys; print(pickle.loads(bytes.fromhex(sys.argv[1])).wait())"
    assert sorted([run_python(code, pickle.dumps(barrier).hex()).stdout.strip(), str(waiter.result())]) == ["0", "1"]
    name = f"test {uuid.uuid4().hex}"
    kept = Barrier(2, name=name)
    with pytest.raises(ValueError, match=re.escape(f"parties=3: the barrier name={name!r} was made for 2")):
        Barrier(3, name=name)
    assert kept.parties == 2


@pytest.mark.parametrize("parties", [0, -1, 1 << 31])
def test_wrong_parties(parties):
    """At least one: the error names the number."""
    with pytest.raises(ValueError, match=f"parties must be >= 1, not {parties}"):
        Barrier(parties)


def test_repr():
    """Who waits of how many, or broken."""
    barrier = Barrier(2)
    assert re.fullmatch(r"<holdfast.Barrier at 0x\w+: waiters=0/2>", repr(barrier))
    barrier.abort()
    assert repr(barrier).endswith(": broken>")
    assert Barrier(1).wait() == 0
