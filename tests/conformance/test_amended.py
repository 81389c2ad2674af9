"""The excluded tests of the standard library without the one demand that cannot be met (see ``exceptions``)."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

import pytest

from . import subject

pytestmark = pytest.mark.skipif(subject.STDLIB, reason="about holdfast's choices, not the standard library's")


def test_semaphore_timeout() -> None:
    """``_TestSemaphore.test_timeout`` with threading's answer to ``acquire(False, timeout)``: ValueError."""
    sem = subject.for_threads()["Semaphore"](0)
    assert sem.acquire(False) is False
    assert sem.acquire(False, None) is False
    with pytest.raises(ValueError):
        sem.acquire(False, 0.1)
    assert sem.acquire(True, 0.1) is False
    assert sem.acquire(timeout=0.1) is False


def test_event_repr() -> None:
    """``_TestEvent.test_repr`` with threading's form, ``<module.Event at …: state>``."""
    event = subject.for_threads()["Event"]()
    for change, state in ((event.clear, "unset"), (event.set, "set"), (event.clear, "unset")):
        change()
        assert re.search(rf"^<holdfast\.Event at .*: {state}>$", repr(event))


class Unpicklable:
    """Raises what a test wants when it is pickled (put), or else when it is unpickled (got)."""

    def __init__(self, error: type[Exception], at_put: bool) -> None:
        self.error = error
        self.at_put = at_put

    def __reduce__(self) -> Any:
        if self.at_put:
            raise self.error("You Lose")
        return _lose, (self.error,)


def _lose(error: type[Exception]) -> None:
    raise error("You Lose")


class FailingError(Exception):
    """What the failing items raise."""


def test_queue_put_of_the_unpicklable() -> None:
    """``_TestQueue.test_queue_feeder_donot_stop_onexc``: the queue works on, and what was refused is not counted."""
    queue = subject.for_processes()["Queue"](maxsize=1)
    with pytest.raises(TypeError):
        queue.put(Unpicklable(AttributeError, at_put=True))
    queue.put(True)
    assert queue.qsize() == 1
    assert queue.get(timeout=30) is True
    assert queue.empty()
    queue.close()


@pytest.mark.parametrize("kind", ["Queue", "JoinableQueue"])
def test_closed_queue_empty(kind: str) -> None:
    """``_TestQueue.test_closed_queue_empty_exceptions`` of a queue that was used: OSError."""
    queue = subject.for_processes()[kind]()
    queue.put("foo")
    queue.close()
    queue.join_thread()
    with pytest.raises(OSError, match="is closed"):
        queue.empty()


def test_simple_queue_closed() -> None:
    """``TestSimpleQueue.test_closed`` by what can be seen from outside."""
    queue = subject.queue_module(local=False).SimpleQueue()
    assert not queue.closed
    queue.close()
    queue.close()
    assert queue.closed


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue"])
def test_failing_queue(kind: str) -> None:
    """``FailingQueueTest.test_failing_queue``: a put or a get that raises does the queue no harm, twice over.

    A put that failed has put nothing. A get that failed has taken its item, which nobody else could unpickle either.
    """
    queue = getattr(subject.queue_module(local=False), kind)(5)
    for _ in range(2):
        for number in range(4):
            queue.put(number)
        for options in ({"block": False}, {"timeout": 0.1}, {}):
            with pytest.raises(TypeError, match="You Lose"):
                queue.put(Unpicklable(FailingError, at_put=True), **options)
        queue.put("last")
        assert queue.full()
        for _ in range(5):
            queue.get()
        assert queue.empty()
        for options in ({"block": False}, {"timeout": 0.1}, {}):
            queue.put(Unpicklable(FailingError, at_put=False))
            with pytest.raises(FailingError):
                queue.get(**options)
            assert queue.empty()
        queue.put("first")
        assert queue.get() == "first"


def _echo_signalled(connection: Any) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: None)
    connection.send("ready")
    connection.send(connection.recv())


def test_signal_while_receiving() -> None:
    """``TestIgnoreEINTR.test_ignore`` for ``recv``: a handled signal does not end the wait."""
    connection, childs = subject.for_processes()["Pipe"]()
    process, own = subject.process_class("spawn")
    child = type("Child", (process,), own)(target=_echo_signalled, args=(childs,))
    child.start()
    childs.close()
    assert connection.recv() == "ready"
    for _ in range(20):
        os.kill(child.pid, signal.SIGUSR1)  # it is in recv, or on its way there, until something is sent
    connection.send(1234)
    assert connection.recv() == 1234
    child.join()
    assert child.exitcode == 0
    connection.close()
