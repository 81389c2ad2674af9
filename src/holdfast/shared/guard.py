"""The lock beside shared data: which one it is, and the methods it adds.

Must not know what the data are. An object's own lock is made with the object, not at its first use: only so is it the
same in all processes, those included that are forked before anybody used it, and only so is a holder's death known
to everybody.
"""

from __future__ import annotations

from typing import Any

from holdfast.core import _native
from holdfast.sync.lock import RLock

__all__ = ["Locked", "lock_for"]


def lock_for(handle: _native.Handle, lock: Any) -> Any:
    """Return the lock that goes with an object.

    Args:
        handle: The object.
        lock: True or None: its own :class:`RLock`; anything else is the lock.

    Raises:
        AttributeError: It cannot be acquired.
    """
    if lock is True or lock is None:
        where = None if handle.name is None else (b"\0lock of %d" % handle.uid, 0)
        return _native.RLock.__new__(RLock, handle.session, where, False)
    if not hasattr(lock, "acquire"):
        raise AttributeError(f"lock={lock!r} has no method 'acquire'")
    return lock


class Locked:
    """What objects with a lock have; mixed into their classes, which keep the lock in ``_holdfast_lock``."""

    __slots__ = ()
    _holdfast_lock: Any

    def get_lock(self) -> Any:
        """Return the lock; ``with value.get_lock():`` makes several operations one."""
        return self._holdfast_lock

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        """Acquire the lock; arguments are those of the lock's own ``acquire``."""
        return bool(self._holdfast_lock.acquire(*args, **kwargs))

    def release(self) -> None:
        """Release the lock."""
        self._holdfast_lock.release()

    def __enter__(self) -> Any:
        return self._holdfast_lock.__enter__()

    def __exit__(self, *exc: object) -> Any:
        return self._holdfast_lock.__exit__(*exc)
