"""``test.lock_tests``, the standard library's tests of ``threading``'s primitives, on holdfast's classes.

Only the plan lives here: which class of theirs tests which class of ours.
"""

from __future__ import annotations

from typing import Any

from . import harness, subject

_OURS = {name: staticmethod(cls) for name, cls in subject.for_threads().items()}


def _not_exposed(self: Any) -> None:
    # As in the standard library's own test_threading.py: a Condition does not hand this one on.
    self.skipTest("Condition does not expose _recursion_count()")


globals().update(
    harness.planned(
        "lock_tests",
        __name__,
        {
            "LockTests": ("LockTests", {"locktype": _OURS["Lock"]}),
            "RLockTests": ("RLockTests", {"locktype": _OURS["RLock"]}),
            "EventTests": ("EventTests", {"eventtype": _OURS["Event"]}),
            "ConditionAsRLockTests": (
                "RLockTests",
                {"locktype": _OURS["Condition"], "test_recursion_count": _not_exposed},
            ),
            "ConditionTests": ("ConditionTests", {"condtype": _OURS["Condition"]}),
            "SemaphoreTests": ("SemaphoreTests", {"semtype": _OURS["Semaphore"]}),
            "BoundedSemaphoreTests": ("BoundedSemaphoreTests", {"semtype": _OURS["BoundedSemaphore"]}),
            "BarrierTests": ("BarrierTests", {"barriertype": _OURS["Barrier"]}),
        },
    )
)
