"""Event between processes: wake-ups, deaths of setters and waiters, names, words."""

from __future__ import annotations

import pickle
import re
import signal
import threading
import uuid

import pytest
from tests.core.tools import Child, until
from tests.sync.programs import Worker

from holdfast.sync.event import Event


def test_wakes_processes_and_threads(peer_of, start_method):
    """One set() wakes sleepers in other processes and in threads, also if clear() follows at once."""
    event, peers = Event(), [peer_of(start_method) for _ in range(2)]
    for peer in peers:
        peer.begin(event.wait)
        until(peer.asleep, "asleep")
    thread = Worker(event.wait, 20)
    event.set()
    assert [peer.result() for peer in peers] == [True, True]
    assert thread.result() is True
    assert peers[0].call(event.is_set)
    peers[0].call(event.clear)
    assert not event.is_set()
    assert pickle.loads(pickle.dumps(event)) is event


def test_set_and_cleared_at_once(peer_of):
    """Sleepers see a set() that was cleared before they ran."""
    event, peers = Event(), [peer_of() for _ in range(3)]
    for peer in peers:
        peer.begin(event.wait)
        until(peer.asleep, "asleep")
    event.set()
    event.clear()
    assert [peer.result() for peer in peers] == [True] * 3
    assert event.wait(0) is False


def test_pickle_in_an_unrelated_program(run_python):
    """A program that is given the pickle raises the flag for us."""
    event = Event()
    run_python("import pickle, sys; pickle.loads(bytes.fromhex(sys.argv[1])).set()", pickle.dumps(event).hex())
    assert event.wait(20)


def test_dead_waiters_disturb_nobody(peer_of):
    """Some sleepers are killed; the others wake."""
    event, peers = Event(), [peer_of() for _ in range(4)]
    for peer in peers:
        peer.begin(event.wait)
        until(peer.asleep, "asleep")
    for peer in peers[:2]:
        peer.kill()
    event.set()
    assert [peer.result() for peer in peers[2:]] == [True, True]


def test_set_from_a_signal_handler():
    """A handler may set the event that its own thread waits for, or was just setting."""
    event = Event()
    before = signal.signal(signal.SIGALRM, lambda *_: event.set())
    try:
        for _ in range(20):
            event.clear()
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            assert event.wait(20)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        for _ in range(5000):
            event.set()
            event.clear()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_ping_pong(peer_of):
    """Two events handed back and forth a few hundred times between processes."""
    ping, pong = Event(), Event()

    def answer():
        for _ in range(300):
            assert ping.wait(20)
            ping.clear()
            pong.set()

    with Child(answer) as child:
        for _ in range(300):
            ping.set()
            assert pong.wait(20)
            pong.clear()
        child.result()


def test_timeouts():
    """None waits, others return what is; wrong ones say so."""
    event = Event()
    assert event.wait(0) is False
    assert event.wait(-1) is False
    assert event.wait(0.01) is False
    with pytest.raises(TypeError):
        event.wait("soon")
    with pytest.raises(ValueError, match="nan"):
        event.wait(float("nan"))
    event.set()
    assert event.wait(timeout=threading.TIMEOUT_MAX) is True
    assert event.wait() is True


def test_repr_and_name():
    """Name and state; two openings of a name are one event."""
    name = f"test {uuid.uuid4().hex}"
    event = Event(name=name)
    assert re.fullmatch(rf"<holdfast.Event at 0x\w+ {name!r}: unset>", repr(event))
    Event(name=name, create=False).set()
    assert re.fullmatch(r"<holdfast.Event at 0x\w+: unset>", repr(Event()))
    assert repr(event).endswith(": set>")
