"""One subject per file: each offers ``cases()``, the list of what it measures, with the gates from the issue."""

from __future__ import annotations

from benchmarks.cases import counter, create, event_wake, import_time, lock, lock_contended, round_trip, share, takeover
from benchmarks.model import Case

SUBJECTS = (lock, lock_contended, counter, event_wake, round_trip, takeover, share, create, import_time)


def all_cases() -> list[Case]:
    """Every case, in the order of the issue."""
    return [case for subject in SUBJECTS for case in subject.cases()]
