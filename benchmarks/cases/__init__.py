"""One subject per file: each offers ``cases()``, the list of what it measures, with the gates from the issue."""

from __future__ import annotations

from benchmarks.cases import (
    counter,
    create,
    event_wake,
    import_time,
    lock,
    lock_contended,
    queue_create,
    queue_flow,
    queue_large,
    queue_latency,
    queue_threads,
    round_trip,
    share,
    takeover,
)
from benchmarks.model import Case

PRIMITIVES = (lock, lock_contended, counter, event_wake, round_trip, takeover, share, create, import_time)
CHANNELS = (queue_flow, queue_latency, queue_large, queue_create, queue_threads)
SUBJECTS = PRIMITIVES + CHANNELS


def all_cases() -> list[Case]:
    """Every case, in the order of the issues."""
    return [case for subject in SUBJECTS for case in subject.cases()]
