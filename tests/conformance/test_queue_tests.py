"""``test.test_queue``, the standard library's tests of the module ``queue``, on holdfast's queues.

Only the plan lives here: each class of theirs, with ours for all processes ("Shared") and for threads only ("Local").
"""

from __future__ import annotations

from typing import Any

from . import harness, subject

# CSimpleQueueTest has what PySimpleQueueTest has, and more; it has no Python class's insides in it.
_BASES = ("QueueTest", "LifoQueueTest", "PriorityQueueTest", "FailingQueueTest", "CSimpleQueueTest")


def _tests(prefix: str, local: bool) -> dict[str, type]:
    ours: dict[str, Any] = {"queue": subject.queue_module(local)}
    plan = {prefix + base.removeprefix("C"): (base, ours) for base in _BASES}
    return harness.planned("test_queue", __name__, plan)


globals().update({**_tests("Shared", local=False), **_tests("Local", local=True)})
