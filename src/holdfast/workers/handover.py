"""One outcome's way from a child to its parent: a file in the session's private directory.

Here live the file's name, its writing, its reading and its removal; what is in it is `outcome`'s affair.

Why a file and not a pipe: a pipe holds 64 KiB, then its writer waits for a reader. A child could not end before
somebody asks for its result, and ``join()`` before ``result()`` would hang. A file on the memory file system is
committed in one step and then needs neither side to be awake.

States of ``outcome-<asker's member number>-<token>`` and who moves it on:

    nothing       -> ".tmp" begun   child, `write`: exclusive creation
    ".tmp" begun  -> committed      child, `write`: rename, atomic; readers never see half an outcome
    committed     -> nothing        parent, `take`: read once, then unlinked

A child that dies before the rename has given no outcome; the parent's `discard` (also at the process object's end
of life) removes both names. If the parent dies too, whoever next starts a process in this session removes them, and
the whole directory goes with the session.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from holdfast.errors import GoneError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from holdfast.core import _native

__all__ = ["discard", "new_place", "take", "write"]

_UNFINISHED = ".tmp"


def new_place() -> tuple[str, str]:
    """(identity of this process's session, made on first use; path for one outcome in its directory)."""
    from holdfast.core import session

    current = session.current()
    directory = session.directory(current)
    _discard_orphans(current, directory)
    name = f"outcome-{current.member}-{os.urandom(8).hex()}"
    return session.identity(current), os.path.join(directory, name)


def _discard_orphans(session: _native.Session, directory: str) -> None:
    """Remove what is named after a member that is dead: outcomes for it, and where its fork server listened."""
    for name in os.listdir(directory):
        kind, _, rest = name.partition("-")
        member = rest.partition("-")[0]
        if kind not in ("outcome", "fs") or not member.isdecimal() or session.alive(int(member)):
            continue
        path = os.path.join(directory, name)
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if kind == "fs" else os.unlink(path)


def join(identity: str) -> None:
    """In a child: make the parent's session this process's own, so that a tree has one. Nothing if it has ended."""
    from holdfast.core import session

    with contextlib.suppress(GoneError):
        session.attach(identity)


def write(path: str, data: ReadableBuffer) -> None:
    """Commit ``data`` as the outcome at ``path``. Raises OSError (no room, no session) and then leaves nothing."""
    unfinished = path + _UNFINISHED
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb", buffering=0) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
        os.rename(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise


def take(path: str) -> bytes | None:
    """The committed outcome at ``path``, which is gone afterwards; None if there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(fd, "rb", buffering=0) as file:
        data = file.readall()
    discard(path)
    return data


def discard(path: str) -> None:
    """Remove what is at ``path``, finished or not, if anything."""
    for name in (path, path + _UNFINISHED):
        with contextlib.suppress(OSError):
            os.unlink(name)
