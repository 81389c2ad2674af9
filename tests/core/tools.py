"""Processes that tests steer and kill, and arenas of a test's own.

A ``Child`` is a fork that runs one function; a ``Peer`` is a process (any start method) that makes one call after the
other as it is told. Both have a watchdog: whoever hangs is killed, and the test fails. Nothing here knows what the
calls do.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import select
import signal
import struct
import time
import traceback
from typing import TYPE_CHECKING, Any, Self

from holdfast.core import _native, session

if TYPE_CHECKING:
    from collections.abc import Callable

WATCHDOG = float(os.environ.get("HOLDFAST_WATCHDOG", "20"))  # seconds until a call that should return counts as hanging
SOAK = float(os.environ.get("HOLDFAST_SOAK", "1"))  # multiplies how long and how often the chaos tests run
MIB = 1 << 20
FUTEX = {"x86_64": 202, "aarch64": 98}.get(os.uname().machine)


class Hang(AssertionError):
    """Something that should have happened did not, within the watchdog's time."""


def until(condition: Callable[[], Any], what: str, seconds: float = WATCHDOG) -> Any:
    """Poll until ``condition()`` is true and return its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Hang(f"after {seconds:.0f} s still not: {what}")
        time.sleep(0.001)
    return value


def asleep(pid: int, thread: int | None = None) -> bool:
    """Tell whether a thread (the main one) sleeps in a futex call; just sleeps, where the system does not say more."""
    task = f"/proc/{pid}/task/{thread or pid}"
    with contextlib.suppress(OSError):
        try:
            with open(f"{task}/syscall") as file:
                number = file.read().split()[0]
            return number.isdigit() and int(number) == FUTEX
        except OSError:
            with open(f"{task}/stat") as file:
                return file.read().rpartition(")")[2].split()[0] == "S"
    return False


def status_of(pid: int, seconds: float = WATCHDOG) -> int:
    """Wait for a child of ours; its exit code, negative for a signal. Kills it if it hangs."""
    try:
        status = until(lambda: [s for p, s in [os.waitpid(pid, os.WNOHANG)] if p], f"end of process {pid}", seconds)
    except Hang:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return os.waitstatus_to_exitcode(status[0])


class Child:
    """A forked child that runs ``function(*args)`` and ends, in good order unless it is killed."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._read, write = os.pipe()
        self._status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            _run(write, function, args)
        os.close(write)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        if self._read >= 0:
            os.close(self._read)
            self._read = -1

    def wait(self, seconds: float = WATCHDOG) -> int:
        """Wait for the end; the exit code, negative for a signal."""
        if self._status is None:
            try:
                self._status = status_of(self.pid, seconds)
            except Hang:
                self._status = -signal.SIGKILL
                raise
        return self._status

    def ended(self) -> bool:
        """Tell whether it has ended; does not wait."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is not None

    def kill(self) -> None:
        """SIGKILL, and reap."""
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def asleep(self) -> bool:
        return asleep(self.pid)

    def result(self, seconds: float = WATCHDOG) -> Any:
        """Return what the function returned; raises if it raised, died or hangs."""
        if not select.select([self._read], [], [], seconds)[0]:
            self.kill()
            raise Hang(f"child {self.pid} gave no result in {seconds:.0f} s")
        with open(self._read, "rb") as file:
            self._read = -1
            data = file.read()
        self.wait()
        if not data:
            raise AssertionError(f"child {self.pid} ended with {self._status} and gave no result")
        good, value = pickle.loads(data)
        if not good:
            raise AssertionError(f"in child {self.pid}:\n{value}")
        return value


def _run(write: int, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """The whole life of a Child. Never returns, whatever happens."""
    try:
        signal.alarm(120)
        try:
            outcome = (True, function(*args))
        except BaseException:
            outcome = (False, traceback.format_exc())
        end_well()
        data = pickle.dumps(outcome)
        while data:
            data = data[os.write(write, data) :]
    finally:
        os._exit(0)


def end_well() -> None:
    """What a process does that ends in good order by ``os._exit``."""
    session.leave()
    if session._default is not None:
        session._default.leave()


class Peer:
    """A process that makes calls for us, one at a time, always in its main thread."""

    def __init__(self, method: str = "fork") -> None:
        context = multiprocessing.get_context(method)
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,))
        self.process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def end(self) -> int:
        """End it in good order, or kill it if it does not; returns its pid."""
        if not self._pipe.closed:
            with contextlib.suppress(OSError):
                self._pipe.send_bytes(b"")
            self.process.join(5)
            self.kill()
            self._pipe.close()
        return self.process.pid

    @property
    def pid(self) -> int:
        return self.process.pid

    def begin(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have it begin a call; returns when it is about to be made."""
        self._pipe.send((function, args, kwargs))
        assert self._receive() == "begun"

    def result(self) -> Any:
        """Return what the call returned, or raise what it raised."""
        good, value = self._receive()
        if good:
            return value
        raise value

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Have a call made and return its outcome."""
        self.begin(function, *args, **kwargs)
        return self.result()

    def asleep(self) -> bool:
        return asleep(self.pid)

    def kill(self) -> int:
        """SIGKILL, and reap; returns the pid."""
        self.process.kill()
        self.process.join()
        return self.process.pid

    def _receive(self) -> Any:
        if not self._pipe.poll(WATCHDOG):
            raise Hang(f"peer {self.pid} is silent for {WATCHDOG:.0f} s")
        return self._pipe.recv()


def _serve(pipe: Any) -> None:
    while data := pipe.recv_bytes():
        try:
            function, args, kwargs = pickle.loads(data)
            pipe.send("begun")
            outcome = (True, function(*args, **kwargs))
        except BaseException as error:
            outcome = (False, error)
        pipe.send(outcome)
        function = args = kwargs = outcome = None


def new_arena(size: int = 512 * MIB) -> _native.Session:
    """Make a session that no file name leads to; forked children are in it, too."""
    return _native.Session(os.memfd_create("arena", os.MFD_CLOEXEC), size, 0, "arena of a test")


@contextlib.contextmanager
def own_arena():
    """Have all anonymous objects made in a fresh arena, here and in forked children."""
    before, session._default = session._default, new_arena()
    try:
        yield session._default
    finally:
        session._default = before


SLOTS_AT = 128 + 8 * 9 + 8 * 1024  # layout.h: free lists and names lie before the process table
SLOT = struct.Struct("<IIIIQQ96s")


def slot_of(arena, member):
    """Where a member's slot lies in the file, and what is in it."""
    at = SLOTS_AT + SLOT.size * (member % _native.MAX_MEMBERS)
    return at, SLOT.unpack(os.pread(arena.fd, SLOT.size, at))
