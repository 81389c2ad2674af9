"""The excluded tests of the standard library without the one demand that cannot be met (see ``exceptions``)."""

from __future__ import annotations

import re

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
