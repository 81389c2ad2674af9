"""What of the standard library's tests is not run as it stands, by name and with the reason: the whole list.

Only the tables live here. ``test_exceptions.py`` holds them to the tests of the running interpreter, so an entry
whose test is gone, or was renamed, fails there.
"""

from __future__ import annotations

from typing import Final

_DESCRIPTORS: Final = (
    "passes a descriptor through the connection's own, which it takes for a Unix socket; fileno() of ours is only "
    "there to be waited for, messages travel in shared memory"
)

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
    "_TestQueue.test_queue_feeder_donot_stop_onexc": (
        "demands that put() of what cannot be pickled succeeds, to fail later in the feeder thread; holdfast has no "
        "such thread, and put() itself raises. The rest, that the queue then works, runs in test_amended.py"
    ),
    "_TestQueue.test_queue_feeder_on_queue_feeder_error": (
        "overrides the private hook _on_queue_feeder_error of the class multiprocessing.queues.Queue, which it names "
        "itself: it would test that class and not ours"
    ),
    "_TestQueue.test_closed_queue_empty_exceptions": (
        "demands that close() changes nothing if the feeder thread was never started; holdfast has no such thread. The "
        "rest, that empty() of a closed queue raises OSError, runs in test_amended.py"
    ),
    "TestSimpleQueue.test_closed": (
        "reads the private attributes _reader and _writer. That close() closes runs in test_amended.py"
    ),
    "FailingQueueTest.test_failing_queue": (
        "overrides queue.Queue's private _put and _get, to make them raise; ours are compiled, and have no such steps. "
        "The same test with items that raise in pickle's hands runs in test_amended.py"
    ),
    "_TestConnection.test_fd_transfer": _DESCRIPTORS,
    "_TestConnection.test_large_fd_transfer": _DESCRIPTORS,
    "_TestConnection.test_missing_fd_transfer": _DESCRIPTORS,
    "TestIgnoreEINTR.test_ignore": (
        "needs a child that is held up by sending what fills a Unix socket, and signals it then; pipes of ours hold "
        "far more, so that child may have ended. A receiver that is held up and signalled is in test_amended.py"
    ),
    "_TestPicklingConnections.test_pickling": (
        "sends sockets and multiprocessing's own connections, which only its ForkingPickler can send; holdfast uses "
        "plain pickle. That connections of ours travel is test_access of the same class, which runs"
    ),
}

#: As ``EXCLUDED``, only where threads take the place of processes (``WithThreads…``).
EXCLUDED_THREADS: Final[dict[str, str]] = {
    "_TestConnection.test_spawn_close": (
        "closes the end that a thread of the same process still uses; close() of multiprocessing.dummy's connections "
        "does nothing, that of any connection with a descriptor (multiprocessing's own, ours) ends it for all threads"
    ),
}

#: Entries of the tables whose tests older interpreters do not have, and the first version that surely does.
SINCE: Final[dict[str, tuple[int, int]]] = {
    "_TestQueue.test_closed_queue_empty_exceptions": (3, 13),
}

#: Run, but with this helper or global of the test module replaced, since it is bound to multiprocessing's own insides.
REPLACED: Final[dict[str, str]] = {
    "_TestCondition.check_invariant": (
        "reads multiprocessing.Condition's private semaphores; here: nobody is left on the condition's waiting list"
    ),
    "_UpperCaser": "a subclass of multiprocessing.Process; here: the same methods on a subclass of holdfast.Process",
    "multiprocessing": (
        "the package, where a test takes Queue, SimpleQueue, Pipe, Process, Event or Semaphore from it and not from "
        "its mixin; here: a copy of its names with those of holdfast"
    ),
    "Value": "multiprocessing.sharedctypes.Value, taken from the module directly; here: holdfast.Value",
}
