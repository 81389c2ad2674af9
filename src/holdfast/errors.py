"""The error tree: what can go wrong, under the standard library's own classes where it has one.

Only exception and warning classes live here; this module imports nothing of holdfast.
"""

from __future__ import annotations

__all__ = [
    "AbandonedError",
    "AbandonedWarning",
    "GoneError",
    "HoldfastError",
    "NameTooLongError",
    "NotPicklable",
    "RemoteError",
    "RemoteTraceback",
    "SessionError",
    "WorkerDied",
]


class HoldfastError(Exception):
    """Base of every error that holdfast itself raises."""


class SessionError(HoldfastError, OSError):
    """The shared-memory session cannot be used: wrong owner, wrong mode, wrong version, no room."""


class GoneError(HoldfastError, LookupError):
    """A pickled handle arrived after the object it stands for had been freed."""


class NameTooLongError(HoldfastError, OSError, ValueError):
    """A ``name=`` that is longer than a name may be."""


class AbandonedError(HoldfastError, RuntimeError):
    """The holder of a lock made with ``abandoned="raise"`` died; the lock waits for ``recover()``."""


class AbandonedWarning(RuntimeWarning):
    """A lock was taken over from a holder that died: what it protects may be half-changed."""


class NotPicklable(HoldfastError, TypeError):
    """An argument, a result or an item cannot be pickled; the message names the part."""


class WorkerDied(HoldfastError, RuntimeError):
    """The process that was to give this result died first.

    ``pid`` is its process id, ``exitcode`` as in :attr:`multiprocessing.Process.exitcode` (negative: the
    signal), ``task`` what it was doing, as text.
    """

    def __init__(self, message: str, *, pid: int | None = None, exitcode: int | None = None, task: str = "") -> None:
        super().__init__(message)
        self.pid = pid
        self.exitcode = exitcode
        self.task = task

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_worker_died, (str(self), self.pid, self.exitcode, self.task)


def _rebuild_worker_died(message: str, pid: int | None, exitcode: int | None, task: str) -> WorkerDied:
    return WorkerDied(message, pid=pid, exitcode=exitcode, task=task)


class RemoteTraceback(Exception):
    """The text of a traceback from another process; stands as the ``__cause__`` of the error it belongs to."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class RemoteError(HoldfastError, RuntimeError):
    """Stands for an error of another process that could not be brought here as itself.

    ``type_name`` is the full name of its class, ``text`` its message, ``traceback`` its formatted traceback,
    ``reason`` why it could not travel.
    """

    def __init__(self, type_name: str, text: str, traceback: str, reason: str) -> None:
        super().__init__(f"{type_name}: {text}")
        self.type_name = type_name
        self.text = text
        self.traceback = traceback
        self.reason = reason
        self.add_note(f"(a stand-in: the original error could not be brought over from its process: {reason})")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.type_name, self.text, self.traceback, self.reason)
