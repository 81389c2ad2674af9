"""`Thread`: `threading.Thread` whose target's value or exception can be asked for.

Only what is added to the standard class lives here. It knows nothing of processes.
"""

from __future__ import annotations

import functools
import threading
import time
from typing import TYPE_CHECKING, Any

from holdfast.workers.outcome import Error, Outcome, capture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Thread"]

# How often a waiter looks whether the thread has ended without a word: only from outside can it be made to.
_HEARTBEAT = 1.0


def _left(deadline: float | None, most: float) -> float:
    """Seconds until ``deadline``, not less than 0 and not more than ``most``."""
    return most if deadline is None else min(max(deadline - time.monotonic(), 0), most)


class Thread(threading.Thread):
    """A thread of this process; takes what :class:`threading.Thread` takes, and does what it does.

    New is :meth:`result`. An exception that ends the thread is *also* reported through
    :func:`threading.excepthook`, at once, exactly as in the standard library, and ``SystemExit`` is also silent here.
    """

    # Why the report comes even if somebody will call result(): whether anybody will is not known when the thread
    # fails, and a report put off until the object is collected is lost whenever the program hangs, is killed or
    # keeps the object. Silence for a failure that nobody asks for would be worse than a traceback too many; and a
    # program that only changed its import keeps what it printed.

    # The base class's private names, which typeshed does not list.
    _target: Callable[..., Any] | None
    _args: Sequence[Any]
    _kwargs: Mapping[str, Any]

    # On the class, so that a subclass's __init__ may set its own attributes before it calls ours.
    _holdfast_begun = False
    _holdfast_outcome: Outcome | None = None
    _holdfast_done: threading.Event

    def run(self) -> Any:
        """Call the target and return its value. A subclass may override this; what it returns is the result."""
        try:
            if self._target is not None:
                return self._target(*self._args, **self._kwargs)
            return None
        finally:
            # As in the standard library: an argument may refer to this thread.
            del self._target, self._args, self._kwargs

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if it was started before, or if the system has no room for a thread."""
        if self._holdfast_begun:
            super().start()  # which raises
            return
        # The base class calls self.run and drops what it returns. The attribute hides the method, overridden or
        # not, for the time of the run.
        self._holdfast_begun = True
        self._holdfast_done = threading.Event()
        self.__dict__["run"] = functools.partial(self._holdfast_run, self.run)
        try:
            super().start()
        except Exception:  # of the start; a KeyboardInterrupt finds the thread already on its way
            self.__dict__.pop("run", None)
            self._holdfast_begun = False
            raise

    def _holdfast_run(self, run: Callable[[], Any]) -> None:
        self.__dict__.pop("run", None)
        outcome = self._holdfast_outcome = capture(run)
        self._holdfast_done.set()
        if isinstance(outcome, Error):
            try:
                outcome.unwrap()  # for threading.excepthook
            finally:
                del outcome, run  # the traceback holds this frame

    def join(self, timeout: float | None = None) -> None:
        """Wait, at most ``timeout`` seconds, for the thread to end. Raises RuntimeError as the standard method does."""
        # The standard join() of 3.11 and 3.12, interrupted by Ctrl-C, marks the running thread as stopped and
        # releases what tells of its end. So the long wait is for an event of ours, and only its last steps are
        # waited for there.
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._holdfast_begun and self is not threading.current_thread():
            while self.is_alive() and not self._holdfast_done.wait(_left(deadline, _HEARTBEAT)):
                if _left(deadline, _HEARTBEAT) <= 0:
                    return
        super().join(None if deadline is None else _left(deadline, threading.TIMEOUT_MAX))

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the thread to end; return what its target (or its :meth:`run`) returned, or raise what it raised.

        ``timeout`` is in seconds, None waits without limit. The exception is the very object, with the traceback
        of its thread; a ``SystemExit`` is raised too. May be called any number of times, by any other thread.

        Raises TimeoutError if the thread is still running after ``timeout``; RuntimeError if it was not started,
        if it is the calling thread, or if this is a forked child and the thread stayed behind in the parent.
        """
        Thread.join(self, timeout)
        if self.is_alive():
            raise TimeoutError(f"thread {self.name!r} is still running after timeout={timeout} s")
        outcome = self._holdfast_outcome
        if outcome is None:
            # Also if somebody ended it by an asynchronous exception before it had begun.
            raise RuntimeError(f"thread {self.name!r} has no result here: it ran in the parent of this forked process")
        try:
            return outcome.unwrap()
        finally:
            del self, outcome  # an error's traceback holds this frame
