"""Sessions: which shared memory this process uses, and how it comes and goes.

A session is a process tree that shares one arena. Holds: making, joining, leaving and reclaiming sessions, and what
fork does to them. Must not know what kinds of objects lie in an arena.

A process joins its session at the first use. A child that was started with the session's identity, or that unpickles
one of its objects before it made any of its own, joins its parent's. The last member to leave removes the directory;
after a ``kill -9`` of all members the next session made by this user does.

The liveness lock is an ``flock`` and so belongs to the open file, which a forked child shares. To keep "somebody holds
it" exact, the forking thread opens the file once more just before the fork; the child keeps that one, the parent
closes it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from typing import Final

from holdfast.core import _native, place
from holdfast.errors import GoneError, SessionError

__all__ = ["attach", "current", "directory", "identity", "leave", "named"]

NAMED: Final = "named"
MIB: Final = 1 << 20
LARGEST: Final = 256 << 30
LEAST: Final = 256 * MIB
MOST_IDLE: Final = 256 * MIB


class _Member:
    """This process's part in one session: the mapped arena and the liveness lock."""

    __slots__ = ("directory", "identity", "live", "pid", "session")

    def __init__(self, identity: str, directory: str, live: place.Liveness, session: _native.Session) -> None:
        self.identity = identity
        self.directory = directory
        self.live: place.Liveness | None = live
        self.session = session
        self.pid = os.getpid()


_members: dict[str, _Member] = {}
_by_uid: dict[int, _Member] = {}
_lock = threading.RLock()  # over the two above and _default; made anew in a forked child
_default: _native.Session | None = None
_next_live = threading.local()  # what this thread opened for the child it is about to fork


def current() -> _native.Session:
    """Return this process's session, joining or making it at the first call.

    Raises:
        SessionError: The private directory cannot be used, or the memory file system is full.
    """
    return _default if _default is not None else _choose()


def _choose() -> _native.Session:
    global _default
    with _lock:
        if _default is None:
            _default = _make().session
        return _default


def named() -> _native.Session:
    """Return the session in which this user's named objects live, making it if need be."""
    with _lock:
        return (_members.get(NAMED) or _join_or_make_named()).session


def attach(identity: str) -> _native.Session:
    """Return the session that ``identity`` stands for, joining it if need be.

    A process that has no session of its own yet makes this one its own.

    Raises:
        GoneError: Nobody lives in it any more.
    """
    global _default
    with _lock:
        member = _members.get(identity)
        if member is None:
            member = _join_or_make_named() if identity == NAMED else _join(identity)
        if _default is None and identity != NAMED:
            _default = member.session
        return member.session


def identity(session: _native.Session) -> str:
    """Return the text that stands for a session in pickles."""
    return _by_uid[session.uid].identity


def directory(session: _native.Session) -> str:
    """Return the session's private directory; it vanishes with the session."""
    return _by_uid[session.uid].directory


def leave() -> None:
    """Leave every session in good order; the last member removes it. Idempotent; objects go on working.

    Called at exit. A process that ends by ``os._exit`` may call it first; if it does not, nothing breaks, but others
    cannot tell its end from a death, and the directory stays until another program starts.
    """
    with _lock:
        for member in list(_members.values()):
            if member.pid == os.getpid():
                _leave(member)


def _label() -> str:
    argv = getattr(sys, "argv", None) or [""]
    return os.path.basename(argv[0] or sys.executable or "python")[:80]


def _size_of(path: str) -> tuple[int, int]:
    """Size of a new arena's file (sparse, so a limit rather than a use), and how much free memory it keeps warm."""
    room = os.statvfs(path)
    total = room.f_frsize * room.f_blocks
    return max(LEAST, min(LARGEST, 2 * total)), min(MOST_IDLE, total // 8)


def _map(fd: int, path: str) -> _native.Session:
    """Format a new arena; a process whose address space is limited gets a smaller one."""
    size, idle = _size_of(path)
    while True:
        try:
            return _native.Session(fd, size, idle, _label())
        except OSError as error:
            if size <= LEAST:
                raise SessionError(error.errno, f"cannot make shared memory in {path}: {error.strerror}") from error
            size //= 4


def _enlist(identity: str, directory: str, live: place.Liveness, session: _native.Session) -> _Member:
    member = _Member(identity, directory, live, session)
    _members[identity] = _by_uid[session.uid] = member
    _ = session.member  # joins
    return member


def _make() -> _Member:
    with place.usable(), place.locked() as root:
        _reclaim(root)
        return _found(root, os.urandom(8).hex())


def _found(root: str, identity: str) -> _Member:
    """Make a new session (under the lock of the user's directory)."""
    path = _path(root, identity)
    place.make_private(path)
    live = place.Liveness(path, os.O_CREAT)
    try:
        arena = place.open_file(os.path.join(path, "arena"), os.O_CREAT | os.O_EXCL)
        session = _map(arena, path)
    except BaseException:
        live.close()
        place.remove(path)
        raise
    return _enlist(identity, path, live, session)


def _path(root: str, identity: str) -> str:
    return os.path.join(root, identity if identity == NAMED else "s-" + identity)


def _join(identity: str) -> _Member:
    with place.locked() as root:
        path = _path(root, identity)
        try:
            place.check_private(path)
            live = place.Liveness(path)
        except FileNotFoundError:
            raise GoneError(
                f"session {identity} has ended: every process that used this object is gone, and the object with them"
            ) from None
        return _open(identity, path, live)


def _open(identity: str, path: str, live: place.Liveness) -> _Member:
    try:
        return _enlist(identity, path, live, _map_existing(path))
    except (OSError, ValueError) as error:
        live.close()
        raise SessionError(getattr(error, "errno", 0), f"session {path} cannot be joined: {error}") from error


def _map_existing(path: str) -> _native.Session:
    arena = place.open_file(os.path.join(path, "arena"), 0)
    try:
        return _native.Session(arena, 0, 0, _label())
    except BaseException:
        os.close(arena)
        raise


def _join_or_make_named() -> _Member:
    with place.usable(), place.locked() as root:
        _reclaim(root)
        path = _path(root, NAMED)
        if os.path.isdir(path):
            place.check_private(path)
            return _open(NAMED, path, place.Liveness(path))
        return _found(root, NAMED)


def _reclaim(root: str) -> None:
    """Remove the sessions in which nobody lives any more (under the lock of the user's directory)."""
    for name in os.listdir(root):
        path = os.path.join(root, name)
        if name == NAMED or name.startswith("s-"):
            with contextlib.suppress(OSError):
                if place.nobody_lives(path) and not _in_use(path, name):
                    place.remove(path)
    os.makedirs(root, 0o700, exist_ok=True)


def _in_use(path: str, name: str) -> bool:
    """Tell whether a session without a liveness lock must stay.

    A process of the table may still run: a daemon that closed all its files lost its lock. And named queues keep what
    is in them for the next one who opens the name.
    """
    try:
        mapped = _map_existing(path)
        return bool(mapped.members()) or (name == NAMED and mapped.kept() != 0)
    except (OSError, ValueError):
        return False


def _leave(member: _Member) -> None:
    member.session.leave()
    if member.live is None:
        return
    # An error means that somebody removed the directory already: there is nothing to leave.
    with contextlib.suppress(OSError), place.locked():
        if not member.live.held():  # somebody closed it: a daemon that closes all it does not know
            member.live = place.Liveness(member.directory)
        if member.live.is_last() and not _inhabited(member.session) and not _keeps(member):
            place.remove(member.directory)
            _forget(member)
        member.live.close()
    member.live = None


def _inhabited(session: _native.Session) -> bool:
    """Whether anybody else lives in it. One who was seen alive counts for a few milliseconds, so ask again."""
    if not session.members():
        return False
    time.sleep(0.005)
    return bool(session.members())


def _keeps(member: _Member) -> bool:
    """Named queues with something in them outlive their users."""
    return member.identity == NAMED and member.session.kept() != 0


def _forget(member: _Member) -> None:
    """The session has no place any more: what is made from now on (by an exit handler, say) needs another one."""
    global _default
    _members.pop(member.identity, None)
    if _default is member.session:
        _default = None


def _leave_at_exit() -> None:
    """Leave after the daemon processes of multiprocessing have been ended, even if it was imported before us."""
    ending = sys.modules.get("multiprocessing.util")
    if ending is None or getattr(ending, "_exiting", True):
        leave()
    else:  # its exit handler comes after this one, and runs this as its last act
        ending.Finalize(None, leave, exitpriority=-(1 << 20))


# ---- fork ----


def _before_fork() -> None:
    _lock.acquire()
    _next_live.opened = opened = {}
    for name, member in _members.items():
        with contextlib.suppress(OSError):
            opened[name] = place.Liveness(member.directory)


def _after_fork_in_parent() -> None:
    for live in _next_live.__dict__.pop("opened", {}).values():
        live.close()
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    opened = _next_live.__dict__.pop("opened", {})
    for name, member in _members.items():
        if member.live is not None:
            member.live.close()
        member.live = opened.get(name)
        member.pid = os.getpid()
    for member in _members.values():
        member.session.adopt()
    if _members:
        _leave_at_the_end_of_a_child()


def _leave_at_the_end_of_a_child() -> None:
    """Children of multiprocessing end by ``os._exit``, without atexit; the end of threading is what they do run."""
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        with contextlib.suppress(RuntimeError):
            register(leave)


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(_leave_at_exit)
