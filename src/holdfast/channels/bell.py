"""Bells: a file descriptor of a queue that is readable while there is something to take.

A FIFO in the session's directory; every process that puts rings it (writes a byte) once somebody asked for it, and
whoever finds the queue empty hushes it. Here are the file and its descriptors; when it is rung is the compiled core's
affair (``native/core/queue.h``). Must not know what a queue holds.
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
import weakref
from typing import TYPE_CHECKING, Final

from holdfast.core import session

if TYPE_CHECKING:
    from holdfast.core import _native

__all__ = ["close_with", "open_local", "open_shared"]

FLAGS: Final = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC  # for both ways: a FIFO nobody else holds open has no end
_opened: collections.Counter[str | None] = collections.Counter()  # descriptors of this process, by path
_NAME: Final = re.compile(r"bell-([0-9a-f]+)-([0-9a-f]+)")


def open_shared(handle: _native.Handle) -> tuple[int, bool]:
    """Open the bell of a shared queue; the descriptor, and whether the file was made now (and so is silent)."""
    path = _path(handle)
    try:
        return os.open(path, FLAGS), False
    except FileNotFoundError:
        pass
    _clear_up(os.path.dirname(path), handle.session)
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        return os.open(path, FLAGS), False
    return os.open(path, FLAGS), True


def _path(handle: _native.Handle) -> str:
    return os.path.join(session.directory(handle.session), f"bell-{handle.offset:x}-{handle.uid:x}")


def close_with(handle: _native.Handle, fd: int) -> None:
    """Close a descriptor when its queue object goes, and remove the file when nobody else has the queue."""
    path = _path(handle) if handle.uid else None  # a local queue has none
    _opened[path] += 1
    weakref.finalize(handle, _close, fd, path, handle.session, handle.offset, handle.uid).atexit = False


def _close(fd: int, path: str | None, of: _native.Session, offset: int, uid: int) -> None:
    os.close(fd)
    _opened[path] -= 1
    if path is None or _opened[path]:
        return
    del _opened[path]
    if not of.held(offset, uid, True):
        with contextlib.suppress(OSError):
            os.unlink(path)


def _clear_up(directory: str, of: _native.Session) -> None:
    """Remove the bells of queues that are gone. What is left goes with the session's directory."""
    for name in os.listdir(directory):
        found = _NAME.fullmatch(name)
        if found and not of.held(int(found[1], 16), int(found[2], 16)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, name))


def open_local() -> int:
    """Open the bell of a local queue: a pipe that both reads and writes."""
    reading, writing = os.pipe()
    try:
        return os.open(f"/proc/self/fd/{reading}", FLAGS)
    finally:
        os.close(reading)
        os.close(writing)
