"""What these tests share: a call in another process, and a count of the session's blocks."""

from __future__ import annotations

import gc
import os
import time

import pytest
from tests.shared import targets

from holdfast.core import _native, session

FORK_GRACE = 1.1  # seconds after a fork in which the core keeps what is dropped, for a child that may still want it
WATCHDOG = 30.0  # seconds after which blocks that should have gone count as left

_forked = 0.0


def _note_fork():
    global _forked
    _forked = time.monotonic()


os.register_at_fork(before=_note_fork)


@pytest.fixture
def call_in(context):
    """Call a function in another process of each start method in turn: ``call_in(function, *args)``, its value."""

    def call(function, *args):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=targets.call, args=(theirs, function, args))
        process.start()
        theirs.close()
        done, value = ours.recv()
        ours.close()
        process.join()
        process.close()
        if not done:
            raise value
        return value

    return call


def _count():
    """Blocks of both sessions, when everything dropped has been given back."""
    gc.collect()
    time.sleep(max(0.0, _forked + FORK_GRACE - time.monotonic()))
    total = 0
    for each in (session.current(), session.named()):
        _native.Lock(each, None)  # making one gives back what waited for the end of the grace
        each.sweep()
        total += each.stats()["blocks"]
    return total


@pytest.fixture
def blocks():
    """How many blocks there are: ``blocks()``; ``blocks(n)`` waits until they are no more than that."""
    # What processes of earlier tests held goes with the second sweep after their end; it must not go while we count.
    _count()
    time.sleep(1.1)
    _count()

    def count(most=None):
        deadline = time.monotonic() + WATCHDOG
        while (found := _count()) > (found if most is None else most) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    return count
