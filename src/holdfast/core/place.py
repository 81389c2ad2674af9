"""Where sessions lie in the file system, and who may use them: the private directory of this user.

Holds the choice of the memory file system, the checks of owner and mode, and the lock under which sessions are made
and removed. Must not know what an arena contains.

Layout::

    <memory file system>/holdfast-<uid>/        0700, locked (flock) while a session is made, joined or removed
        s-<16 hex digits>/                      0700, one session of one process tree
        named/                                  0700, the session in which all named objects of the user live
            live                                0600, every member holds a shared flock; exclusive = nobody lives
            arena                               0600, the shared memory
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING

from holdfast.errors import SessionError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_PATIENCE = 10.0  # seconds; the lock is held for well under a millisecond unless its holder is stopped


def root() -> str:
    """Return the directory under which this user's sessions lie.

    ``HOLDFAST_DIR`` names another file system than ``/dev/shm`` (a container with a tiny one, say).
    """
    chosen = os.environ.get("HOLDFAST_DIR")
    if chosen:
        base = chosen
    elif os.path.isdir("/dev/shm"):
        base = "/dev/shm"
    else:
        base = os.environ.get("TMPDIR", "/tmp")
    return os.path.join(base, f"holdfast-{os.getuid()}")


def make_private(path: str) -> None:
    """Make a directory for this user alone, or check that the one that is there is.

    Raises:
        SessionError: It is a link, belongs to somebody else or is open to others.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    check_private(path)


def check_private(path: str) -> None:
    """Refuse a directory that is not this user's alone (see :func:`make_private`)."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise SessionError(errno.ENOTDIR, f"{path} is not a directory; remove it or set HOLDFAST_DIR")
    if found.st_uid != os.getuid():
        raise SessionError(
            errno.EPERM, f"{path} belongs to user {found.st_uid}, not to {os.getuid()}; set HOLDFAST_DIR elsewhere"
        )
    if found.st_mode & 0o077:
        raise SessionError(
            errno.EPERM, f"{path} has mode {stat.S_IMODE(found.st_mode):04o}, open to others; chmod it to 0700"
        )


def open_file(path: str, flags: int) -> int:
    """Open a file of ours without following links; refuses one that belongs to somebody else or is shared.

    Returns:
        A file descriptor that no executed program inherits.
    """
    fd = os.open(path, flags | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    found = os.fstat(fd)
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise SessionError(errno.EPERM, f"{path} is not a private file of user {os.getuid()}")
    return fd


class Liveness:
    """A shared lock on a session's ``live`` file: "somebody lives".

    A program may close every file it does not know (daemons do), and another file may then get the number. So the
    number is used only while it still stands for this file.
    """

    __slots__ = ("_fd", "_file")

    def __init__(self, directory: str, flags: int = 0) -> None:
        self._fd = open_file(os.path.join(directory, "live"), flags)
        found = os.fstat(self._fd)
        self._file = (found.st_dev, found.st_ino)
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def held(self) -> bool:
        """Tell whether the lock is still ours."""
        try:
            found = os.fstat(self._fd)
        except OSError:
            return False
        return self._fd >= 0 and (found.st_dev, found.st_ino) == self._file

    def is_last(self) -> bool:
        """Tell whether nobody else holds it (call under :func:`locked`)."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Give it up; a forked child that has the same open file keeps it."""
        if self.held():
            os.close(self._fd)
        self._fd = -1


def _lock(fd: int) -> None:
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise SessionError(
                    errno.ETIMEDOUT, f"{root()} has been locked for {LOCK_PATIENCE:.0f} s: is its holder stopped?"
                ) from None
            time.sleep(0.001)
        else:
            return


@contextlib.contextmanager
def usable() -> Iterator[None]:
    """Turn what the system says of a place that cannot be used into a SessionError that names it, and the remedy."""
    try:
        yield
    except SessionError:
        raise
    except OSError as error:
        raise SessionError(
            error.errno, f"no session can be made in {root()}: {error.strerror}; set HOLDFAST_DIR to another place"
        ) from error


@contextlib.contextmanager
def locked() -> Iterator[str]:
    """Hold the user's directory while a session is made, joined or removed; yields its path.

    The directory itself is the lock file, so that nothing extra is left behind; one that was removed between
    opening and locking is made anew.
    """
    path = root()
    while True:
        make_private(path)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            _lock(fd)
            if os.fstat(fd).st_nlink == 0:
                continue
            yield path
            return
        finally:
            os.close(fd)


def _clear(directory: str, depth: int) -> None:
    for entry in list(os.scandir(directory)):
        if depth and entry.is_dir(follow_symlinks=False):
            _clear(entry.path, depth - 1)
            os.rmdir(entry.path)
        else:
            os.unlink(entry.path)


def remove(directory: str) -> None:
    """Remove a session's directory, and the user's if that was the last one. Never follows a link."""
    with contextlib.suppress(OSError):
        _clear(directory, 2)
        os.rmdir(directory)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(directory))


def nobody_lives(directory: str) -> bool:
    """Tell whether no process holds the session's liveness lock (call under :func:`locked`)."""
    try:
        fd = open_file(os.path.join(directory, "live"), 0)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(fd)
