"""Handles: how an object in an arena becomes a Python object, by making, by name or from a pickle.

A handle pickles as (class, session, offset, uid, extras). What was pickled in a process is remembered weakly, so that
a pickle that comes back there finds the same Python object. Two handles of one object in a process (a name opened
twice, a pickle that a forked child made of what it inherited) are equally good. Must not know what the objects do.
"""

from __future__ import annotations

import errno
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from holdfast.core import _native, session
from holdfast.errors import GoneError, NameTooLongError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["attach", "encode_name", "reduce", "text_name", "where"]

MAX_NAME = 200  # bytes

_known: weakref.WeakValueDictionary[tuple[int, int, int], _native.Handle] = weakref.WeakValueDictionary()
_guard = threading.RLock()


def _forget_guard() -> None:
    global _guard
    _guard = threading.RLock()


os.register_at_fork(after_in_child=_forget_guard)


def encode_name(name: str) -> bytes:
    """Check a ``name=`` and return its bytes.

    Raises:
        TypeError: It is not a ``str``.
        ValueError: It is empty or holds a NUL.
        NameTooLongError: It is longer than 200 bytes in UTF-8 (an ``OSError`` with ``ENAMETOOLONG``).
    """
    if not isinstance(name, str):
        raise TypeError(f"name={name!r} must be a str")
    try:
        data = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ValueError(f"name={name!r} holds a lone surrogate; leave that out") from error
    if not data:
        raise ValueError("name='' is empty; leave it out for an anonymous object")
    if b"\0" in data:
        raise ValueError(f"name={name!r} holds a NUL character; leave that out")
    if len(data) > MAX_NAME:
        raise NameTooLongError(
            errno.ENAMETOOLONG, f"name={name!r} has {len(data)} bytes; a name has at most {MAX_NAME}"
        )
    return data


def where(name: str | None, create: bool | None = None) -> tuple[_native.Session, tuple[bytes, int] | None]:
    """Return the session and the place for a new object, or for the object of that name.

    Args:
        name: None for an anonymous object in this process's own session.
        create: For a name. None: open it, or make it if there is none; True: make it; False: open it.
    """
    if name is None:
        return session.current(), None
    mode = 0 if create is None else 1 if create else 2
    return session.named(), (encode_name(name), mode)


def text_name(handle: _native.Handle) -> str | None:
    """Return a handle's name as text, None if it has none."""
    data: bytes | None = _native.Handle.name.__get__(handle)  # a class may have text under that name
    return None if data is None else data.decode("utf-8", "surrogateescape")


def reduce(handle: _native.Handle, *extra: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Return what ``__reduce__`` returns: an O(1) pickle that any process of this user can open.

    The object lives on until the pickle has arrived somewhere, or the session ends.
    """
    key = (handle.session.uid, handle.offset, handle.uid)
    with _guard:
        _known[key] = handle
    handle.sent()
    return attach, (type(handle), session.identity(handle.session), key[0], handle.offset, handle.uid, *extra)


def attach(cls: type[Any], identity: str, session_uid: int, offset: int, uid: int, *extra: Any) -> Any:
    """Open the object that a pickle stands for; the other half of :func:`reduce`.

    Raises:
        GoneError: It was freed, or its session has ended.
    """
    found = session.attach(identity)
    if found.uid != session_uid:
        raise GoneError(f"session {identity} has ended and another one has its name; the object is gone")
    key = (session_uid, offset, uid)
    with _guard:
        handle = _known.get(key)
        if handle is None:
            try:
                handle = cls._attach(found, (offset, uid), *extra)
            except LookupError as error:
                raise GoneError(f"{cls.__name__}: {error}") from None
            _known[key] = handle
        else:
            handle.received()
        return handle
