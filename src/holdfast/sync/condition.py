"""Condition: a lock, and a list of those who wait for something to change under it.

The waiting list is compiled (``_native.Waiters``); the dance of giving the lock up and taking it again is here.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from holdfast.core import _native, handles
from holdfast.sync.lock import RLock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Condition"]

ALL = (1 << 31) - 1


class _Waiters(_native.Waiters):
    """The waiting list as a picklable handle."""

    __slots__ = ("__weakref__",)

    @classmethod
    def _attach(cls, session: _native.Session, where: tuple[int, int]) -> _Waiters:
        return _native.Waiters.__new__(cls, session, where)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return handles.reduce(self)


class _Foreign:
    """How to let go of, and take again, a lock that is not ours; as :class:`threading.Condition` does."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def _is_owned(self) -> bool:
        if self._lock.acquire(False):
            self._lock.release()
            return False
        return True

    def _release_save(self) -> None:
        self._lock.release()

    def _acquire_restore(self, _state: object) -> None:
        self._lock.acquire()


class _Plain(_Foreign):
    """The same for our Lock: any thread may have taken it."""

    def _is_owned(self) -> bool:
        return bool(self._lock.locked())

    def _acquire_restore(self, _state: object) -> None:
        self._lock._acquire_restore(1)


def _ways(lock: Any) -> Any:
    if isinstance(lock, _native.RLock):
        return lock
    if isinstance(lock, _native.Lock):
        return _Plain(lock)
    return lock if hasattr(lock, "_release_save") else _Foreign(lock)


def _lock_of(session: _native.Session, where: tuple[bytes, int]) -> RLock:
    """The lock of a named condition: its name with a suffix that no name of a person can have."""
    name, _mode = where
    return _native.RLock.__new__(RLock, session, (name + b"\0condition", 0))


class Condition:
    """Wait until another thread or process has changed something; :class:`threading.Condition`, pickled anywhere.

    A notify is never lost to a dead waiter: one that died after it was told, and before it could act, passes it on.

    Args:
        lock: The lock around what changes; a new :class:`RLock` if None. Any lock of :mod:`threading` will do between
            threads, but then the condition cannot be pickled.
        name: Open the condition of that name of this user (its lock included), or make it.
        create: For a name, as with :class:`Lock`.
    """

    __module__ = "holdfast"
    __slots__ = ("__weakref__", "_lock", "_waiters", "_ways", "acquire", "release")

    def __init__(self, lock: Any = None, *, name: str | None = None, create: bool | None = None) -> None:
        session, where = handles.where(name, create)
        if lock is None:
            lock = RLock() if where is None else _lock_of(session, where)
        ours = isinstance(lock, _native.Lock) and lock.session is session
        self._set(lock, _native.Waiters.__new__(_Waiters, session, where, lock.offset if ours else 0))

    def _set(self, lock: Any, waiters: _Waiters) -> None:
        self._lock = lock
        self._waiters = waiters
        self._ways = _ways(lock)
        self.acquire = lock.acquire
        self.release = lock.release

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if not isinstance(self._lock, _native.Lock):
            raise TypeError(f"a Condition over {self._lock!r} cannot be pickled: make it over a holdfast.Lock or RLock")
        return _rebuild, (type(self), self._lock, self._waiters)

    def __enter__(self) -> Any:
        return self._lock.__enter__()

    def __exit__(self, *exc: object) -> Any:
        return self._lock.__exit__(*exc)

    def __repr__(self) -> str:
        return f"<Condition({self._lock!r}, {len(self._waiters)})>"

    def _is_owned(self) -> bool:
        return bool(self._ways._is_owned())

    def _release_save(self) -> Any:
        return self._ways._release_save()

    def _acquire_restore(self, state: Any) -> None:
        self._ways._acquire_restore(state)

    def wait(self, timeout: float | None = None) -> bool:
        """Give the lock up, wait to be notified, take the lock again.

        Args:
            timeout: Seconds; None waits for ever.

        Returns:
            True if notified, False if the timeout passed first.

        Raises:
            RuntimeError: The lock is not held.
        """
        ways, waiters = self._ways, self._waiters
        if not ways._is_owned():
            raise RuntimeError("cannot wait on un-acquired lock")
        ticket = waiters.enter()
        done = False
        try:
            saved = ways._release_save()
            try:
                waiters.wait(ticket, timeout)
                done = True
            finally:
                ways._acquire_restore(saved)
        finally:
            notified = waiters.leave(ticket, not done)
        return notified

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until ``predicate()`` is true; return its last value. ``timeout`` in seconds, over all."""
        deadline = None if timeout is None else time.monotonic() + timeout
        result = predicate()
        while not result:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Wake up to ``n`` of those that wait now, the longest waiting first.

        Raises:
            RuntimeError: The lock is not held.
        """
        if not self._ways._is_owned():
            raise RuntimeError("cannot notify on un-acquired lock")
        self._waiters.notify(n)

    def notify_all(self) -> None:
        """Wake all that wait now."""
        self.notify(ALL)


def _rebuild(cls: type[Condition], lock: Any, waiters: _Waiters) -> Condition:
    made = cls.__new__(cls)
    made._set(lock, waiters)
    return made
