"""What of the standard library's tests is not run as it stands, by name and with the reason: the whole list.

Only the tables live here. ``test_exceptions.py`` holds them to the tests of the running interpreter, so an entry
whose test is gone, or was renamed, fails there.
"""

from __future__ import annotations

from typing import Final

#: Skipped: "class of the standard library's test module" + "." + test → reason.
EXCLUDED: Final[dict[str, str]] = {
    "EventTests.test_at_fork_reinit": (
        "looks inside threading.Event (its _cond over a plain Lock); holdfast's Event is one shared word and has none"
    ),
    "_TestSemaphore.test_timeout": (
        "demands that acquire(False, 0.1) is False; threading's own test demands ValueError for it, and holdfast "
        "follows threading. The rest of this test runs in test_amended.py"
    ),
    "_TestEvent.test_repr": (
        "demands '<Event at …>'; threading's own test demands '<module.Event at …>', and holdfast follows threading. "
        "The rest of this test runs in test_amended.py"
    ),
}

#: Run, but with this helper or global of the test module replaced, since it is bound to multiprocessing's own insides.
REPLACED: Final[dict[str, str]] = {
    "_TestCondition.check_invariant": (
        "reads multiprocessing.Condition's private semaphores; here: nobody is left on the condition's waiting list"
    ),
    "_UpperCaser": "a subclass of multiprocessing.Process; here: the same methods on a subclass of holdfast.Process",
    "Value": "multiprocessing.sharedctypes.Value, taken from the module directly; here: holdfast.Value",
}
