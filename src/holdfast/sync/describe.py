"""Words about who holds what, for ``repr`` and for warnings; knows of locks only what their handles tell."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from holdfast.core import handles

if TYPE_CHECKING:
    from holdfast.core import _native

__all__ = ["class_name", "holder", "member", "quoted_name"]


def class_name(thing: object) -> str:
    """Return the class as people import it: ``holdfast.Lock``."""
    cls = type(thing)
    return f"{cls.__module__}.{cls.__qualname__}"


def quoted_name(handle: _native.Handle) -> str:
    """Return the name in quotes and a space, or nothing."""
    name = handles.text_name(handle)
    return "" if name is None else f"{name!r} "


def member(session: _native.Session, number: int) -> str:
    """Return a process of the session in words: ``pid 4711 (worker.py)``."""
    pid, label, _alive = session.describe(number)
    if not pid:
        return "a process that has ended"
    return f"pid {pid} ({label})" if label else f"pid {pid}"


def _thread(native_id: int) -> str:
    for thread in list(threading._active.values()):  # type: ignore[attr-defined]
        if thread.native_id == native_id:
            return f" thread {thread.name!r}"
    return f" thread {native_id}" if native_id else ""


def holder(lock: _native.Lock) -> str:
    """Return who holds a lock and who waits: ``held by pid 4711 thread 'writer', 3 waiting for 2.1 s``."""
    found = lock.holder()
    if found is None:
        return ""
    number, native_id, waited = found
    session = lock.session
    if session.joined() and number == session.member:
        text = f"held by pid {session.describe(number)[0]}{_thread(native_id)}"
    else:
        text = f"held by {member(session, number)}" + (f" thread {native_id}" if native_id else "")
    waiting = lock.waiters()
    return text + (f", {waiting} waiting for {waited:.1f} s" if waiting and waited >= 0 else "")
