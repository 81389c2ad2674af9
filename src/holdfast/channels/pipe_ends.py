"""Ends of a pipe: who holds one, so that the other end learns when nobody does any more.

Only holding lives here; what travels through a pipe does not. A :class:`Hold` is one hold on one end, in two forms:

* a token, a small block of shared memory: the compiled core knows whether anybody who lives holds it, or a pickle of
  it is on its way, and looks when a ``get`` or ``put`` waits;
* a FIFO in the session's directory that every hold keeps open: the kernel hangs up on whoever watches it when the last
  one is closed or its process has died, which is what ``select`` and event loops can see.

A forked child has both. Two things need a moment: a child must have taken its own references before the parent gives up
its own, and an end that is closed while a pickle of it is on its way stays held until that has arrived.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import errno
import os
import re
import select
import struct
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final

from holdfast.core import _native, session

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Hold", "Place", "hung_up", "remove", "watch"]

Place = tuple[int, int]  # (offset, uid) of a token

START: Final = 60_000_000_000  # nanoseconds a process has for unpickling what it was started with
_UNTIL: Final = struct.Struct("=Q")  # a token: until when its pickles are believed to be on their way; 0: for ever
BIRTH: Final = 1.0  # seconds a forked child has for taking its references
FIRST_PAUSE: Final = 0.001
LAST_PAUSE: Final = 0.04
CLEAR_UP: Final = 64  # blocks made between two times
_NAME: Final = re.compile(r"end-([0-9a-f]+)-([0-9a-f]+)")
_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC


class Hold:
    """One hold of this process on an end.

    Args:
        of: The session.
        place: Of the token; None makes a new end.

    Raises:
        LookupError: There is no such end any more.
        OSError: No descriptor is left.
    """

    __slots__ = ("__weakref__", "_fd", "_token", "place")

    def __init__(self, of: _native.Session, place: Place | None = None) -> None:
        if place is None:
            self._token: _native.Block | None = _native.Block(of, None, 8, True)
            self.place = self._token.offset, self._token.uid
            _clear_up(of, self.place[1])
            self._fd = _make(of, self.place)
        else:
            self.place = place
            self._fd = _make(of, place)  # before the pickle counts as arrived: its sender may close the FIFO then
            try:
                self._token = _native.Block(of, place)
            except LookupError:
                os.close(self._fd)
                remove(of, place)
                raise
        _holds.add(self)

    @property
    def session(self) -> _native.Session:
        """Where it lies."""
        assert self._token is not None
        return self._token.session

    def sent(self) -> None:
        """Count one pickle of the end that is on its way: the end is held until it arrives.

        What a process is started with is believed to be on its way for a minute at most: the process may be killed, or
        fail, before it has unpickled it.
        """
        assert self._token is not None
        context = sys.modules.get("multiprocessing.context")
        starts = context is not None and context.get_spawning_popen() is not None
        (until,) = _UNTIL.unpack_from(self._token)
        if until or not self._token._pending():  # else one that may take its time is on its way too
            _UNTIL.pack_into(self._token, 0, time.monotonic_ns() + START if starts else 0)
        self._token.sent()

    def _expected(self) -> bool:
        """Whether a pickle of it is still believed to be on its way."""
        if self._token is None or not self._token._pending():
            return False
        (until,) = _UNTIL.unpack_from(self._token)
        return bool(until == 0 or time.monotonic_ns() < until)

    def release(self, then: Callable[[], None]) -> None:
        """Give it up, and call ``then``; a little later, from a thread, if a pickle is on its way."""
        if self._expected():
            _wait_for_arrival(self, then)
        else:
            self._drop()
            then()

    def _drop(self) -> None:
        token = self._token
        if token is None:
            return
        of = token.session
        _await_births()
        token._settled()
        self._token = None
        del token  # the last reference to the object: others see it now
        _holds.discard(self)
        self._close_file(of)

    def _close_file(self, of: _native.Session) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            remove(of, self.place)


def _path(of: _native.Session, place: Place) -> str:
    return os.path.join(session.directory(of), f"end-{place[0]:x}-{place[1]:x}")


def _make(of: _native.Session, place: Place) -> int:
    """Open the FIFO of an end as one who holds it: for both ways, so that it needs nobody else."""
    path = _path(of, place)
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    return os.open(path, os.O_RDWR | _FLAGS)


def remove(of: _native.Session, place: Place) -> None:
    """Remove the FIFO if nobody has it open. What the dead leave goes with the other end, or when pipes are made."""
    with contextlib.suppress(OSError, KeyError):
        path = _path(of, place)
        try:
            os.close(os.open(path, os.O_WRONLY | _FLAGS))
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody reads, and who holds an end reads, too
                os.unlink(path)


def _clear_up(of: _native.Session, count: int) -> None:
    """Now and then, remove what the dead left."""
    if count % CLEAR_UP:
        return
    for name in os.listdir(session.directory(of)):
        found = _NAME.fullmatch(name)
        if found:
            remove(of, (int(found[1], 16), int(found[2], 16)))


def watch(of: _native.Session, place: Place) -> int:
    """Return a descriptor on which the kernel hangs up when nobody holds the end; the caller closes it."""
    path = _path(of, place)
    try:
        holding = os.open(path, os.O_RDWR | _FLAGS)  # only who has met a writer is told when there is none
    except FileNotFoundError:
        reading, writing = os.pipe()
        os.close(writing)
        return reading
    try:
        return os.open(f"/proc/self/fd/{holding}", os.O_RDONLY | _FLAGS)
    finally:
        os.close(holding)


# ---- pickles on their way ----

_departing: list[tuple[Hold, Callable[[], None]]] = []
_lock = threading.RLock()  # over _departing and _waiting
_waiting = False


def _wait_for_arrival(hold: Hold, then: Callable[[], None]) -> None:
    global _waiting
    with _lock:
        _departing.append((hold, then))
        if _waiting:
            return
        _waiting = True
    _thread.start_new_thread(_release_arrived, ())


def _release_arrived() -> None:
    global _waiting
    pause = FIRST_PAUSE
    while True:
        with _lock:
            arrived = [one for one in _departing if not one[0]._expected()]
            for one in arrived:
                _departing.remove(one)
            if not _departing and not arrived:
                _waiting = False
                return
        for hold, then in arrived:
            hold._drop()
            then()
        del arrived
        time.sleep(pause)
        pause = min(LAST_PAUSE, 1.5 * pause)


# ---- forked children ----

_holds: weakref.WeakSet[Hold] = weakref.WeakSet()  # this process's
_births: list[tuple[int, float]] = []  # (hangs up when the child has its references, when to wait no longer)
_unborn: dict[int, int] = {}  # of forks in progress: writing end -> reading end
_mine = threading.local()


def _before_fork() -> None:
    """Make a pipe that the child closes when it has taken its references, or when it dies before that."""
    _mine.born = None
    if _holds:
        with contextlib.suppress(OSError):
            reading, writing = os.pipe()
            _unborn[writing] = reading
            _mine.born = writing


def _after_fork_in_parent() -> None:
    writing = getattr(_mine, "born", None)
    if writing is not None:
        reading = _unborn.pop(writing)
        os.close(writing)
        _clear_births()
        _births.append((reading, time.monotonic() + BIRTH))


def _after_fork_in_child() -> None:
    global _lock, _waiting
    _lock = threading.RLock()
    _waiting = False
    for writing, reading in _unborn.items():
        os.close(writing)
        os.close(reading)
    for reading, _ in _births:
        os.close(reading)
    _unborn.clear()
    _births.clear()
    while _departing:  # the parent's, which waits for it
        _departing.pop()[0]._drop()
    if _holds:
        _clean_up_at_the_end_of_a_child()


def hung_up(fd: int, seconds: float) -> bool:
    """Wait until the other side of a descriptor is closed."""
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(max(0.0, 1000 * seconds)))


def _clear_births() -> None:
    """Forget the births that are over."""
    for one in _births.copy():
        if hung_up(one[0], 0) or time.monotonic() >= one[1]:
            _end_birth(one)


def _await_births() -> None:
    for one in _births.copy():
        hung_up(one[0], one[1] - time.monotonic())
        _end_birth(one)


def _end_birth(one: tuple[int, float]) -> None:
    try:
        _births.remove(one)
    except ValueError:
        return  # another thread was faster
    os.close(one[0])


# ---- the end of the process: its files go; connections work until the last moment ----


def _clean_up() -> None:
    for hold in list(_holds):
        if hold._token is not None:
            hold._close_file(hold._token.session)


def _clean_up_at_the_end_of_a_child() -> None:
    """Children of multiprocessing end without atexit; the end of threading is what they do run."""
    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        with contextlib.suppress(RuntimeError):
            register(_clean_up)


atexit.register(_clean_up)
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
