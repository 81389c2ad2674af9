"""Pipe and Connection: messages between two ends, each of which any number of processes may use.

Holds what a connection is and does. A direction is a queue (``pipe_way.py``); who holds an end is
``pipe_ends.py``, the descriptor is ``pipe_poll.py``.

``send_bytes`` puts its bytes as if they were a pickle, which makes the two kinds of calls mix as in the standard
library: ``recv`` unpickles what ``send_bytes`` sent, and ``recv_bytes`` returns the pickle of what ``send`` sent.
"""

from __future__ import annotations

import errno
import functools
import os
import pickle
import sys
from typing import TYPE_CHECKING, Any, Self

from holdfast.channels import pipe_ends, pipe_poll
from holdfast.channels.pipe_way import Direction, Raw
from holdfast.core import session
from holdfast.errors import GoneError

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from holdfast.core import _native

__all__ = ["Connection", "Pipe"]

CERTAINTY = 0.2  # seconds after which a death is beyond doubt


def Pipe(duplex: bool = True) -> tuple[Connection, Connection]:  # noqa: N802 - the standard library's name
    """Make a pipe: two connections, each of which receives what the other sends.

    A process that ends, or is killed, closes its connections; so :func:`multiprocessing.Pipe`, except that any number
    of processes (and threads) may send and receive at either end at once: messages stay whole, and each is received
    once.

    Args:
        duplex: Both ends send and receive; if false, the first only receives and the second only sends.

    Raises:
        OSError: No descriptor is left: each end has one in each process.
    """
    of = session.current()
    one, two = pipe_ends.Hold(of), pipe_ends.Hold(of)
    to_one = Direction(of, None, two.place)
    to_two = Direction(of, None, one.place) if duplex else None
    first = Connection(one, two.place, to_one, None if to_two is None else to_two.twin(two.place))
    return first, Connection(two, one.place, to_two, to_one.twin(one.place))


class Connection:
    """One end of a :func:`Pipe`; :class:`multiprocessing.connection.Connection` for any number of processes.

    ``recv`` raises :exc:`EOFError` and ``send`` :exc:`BrokenPipeError` when nothing is left to receive and nobody has
    the other end any more: all who had it closed it, ended or were killed (a waiting call sees a death within 250 ms).
    Until then it counts as open in every process that has it: a forked child has all ends its parent had, and should
    close those it does not use; an end that was pickled counts as open until the pickle has arrived.

    It pickles through anything; each copy is closed by itself. A ``send`` waits while the messages not yet received
    fill a quarter of the memory file system, as a rule, and one that is larger than that is a ``ValueError``. The bytes
    of ``send_bytes`` count as a pickle: see there.
    """

    __module__ = "holdfast"
    __slots__ = (
        "__weakref__",
        "_hold",
        "_inbound",
        "_outbound",
        "_peer",
        "_poller",
        "_raw_inbound",
        "_raw_outbound",
        "_readable",
        "_writable",
    )

    def __init__(
        self, hold: pipe_ends.Hold, peer: pipe_ends.Place, inbound: Direction | None, outbound: Direction | None
    ) -> None:
        self._hold: pipe_ends.Hold | None = hold
        self._peer = peer
        self._inbound, self._outbound = inbound, outbound
        self._raw_inbound: Direction | None = None
        self._raw_outbound: Direction | None = None
        self._poller: pipe_poll.Poller | None = None
        self._readable, self._writable = inbound is not None, outbound is not None

    # ---- objects ----

    def send(self, obj: Any) -> None:
        """Send an object; when this returns it can be received, whatever becomes of this process.

        Raises:
            BrokenPipeError: Nobody has the other end.
            NotPicklable: The message names the part that cannot be pickled; nothing was sent.
            OSError: This connection is closed, or only receives.
            MemoryError: Shared memory is full.
        """
        way = self._outbound
        if way is None:
            raise self._refusal("connection is read-only")
        try:
            way.put(obj)
        except BrokenPipeError:
            raise _broken() from None

    def recv(self) -> Any:
        """Wait for an object, and return it.

        Raises:
            EOFError: Nothing is left to receive, and nobody has the other end.
            OSError: This connection is closed, or only sends.
        """
        way = self._inbound
        if way is None:
            raise self._refusal("connection is write-only")
        return self._get(way)

    def _get(self, way: Direction) -> Any:
        try:
            return way.get()
        except ValueError:  # of the message; or another thread has closed this connection
            if self._hold is None:
                raise self._refusal("") from None
            raise

    # ---- bytes ----

    def send_bytes(self, buf: Buffer, offset: int = 0, size: int | None = None) -> None:
        """Send bytes as one message, which :meth:`recv_bytes` returns (and :meth:`recv` takes for a pickle).

        Args:
            buf: Anything with a contiguous buffer.
            offset: The first byte of it to send.
            size: How many; None: all that follow.

        Raises what :meth:`send` does, and ``ValueError`` if there are no such bytes.
        """
        if self._outbound is None:
            raise self._refusal("connection is read-only")
        view = _slice(buf, offset, size)
        if self._raw_outbound is None:
            self._raw_outbound = self._outbound.twin(self._peer, raw=True)
        try:
            self._raw_outbound.put(view)
        except BrokenPipeError:
            raise _broken() from None

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """Wait for a message, and return its bytes; of an object that was sent with :meth:`send`, its pickle.

        Args:
            maxlength: The longest message to accept. A longer one is lost, and this connection receives no more.

        Raises what :meth:`recv` does, and ``OSError`` for a message that is too long.
        """
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        data = self._recv_bytes()
        if maxlength is not None and len(data) > maxlength:
            self._end_receiving()
            raise OSError("bad message length")
        return data

    def recv_bytes_into(self, buf: Buffer, offset: int = 0) -> int:
        """Wait for a message, and write its bytes into a buffer; return how many.

        Args:
            buf: Anything with a writable contiguous buffer.
            offset: Where in it to begin, in bytes.

        Raises what :meth:`recv` does, ``ValueError`` if there is no such place, and
        ``multiprocessing.BufferTooShort`` if the message does not fit: it is the exception's first argument.
        """
        with memoryview(buf) as view, view.cast("B") as room:
            if offset < 0:
                raise ValueError("negative offset")
            if offset > room.nbytes:
                raise ValueError("offset too large")
            if room.readonly:
                raise TypeError("the buffer is read-only: give one that can be written")
            data = self._recv_bytes()
            if len(data) > room.nbytes - offset:
                from multiprocessing import BufferTooShort

                raise BufferTooShort(data)
            room[offset : offset + len(data)] = data
            return len(data)

    def _recv_bytes(self) -> bytes:
        way = self._raw_inbound
        if way is None:
            if self._inbound is None:
                raise self._refusal("connection is write-only")
            way = self._raw_inbound = self._inbound.twin(self._peer, raw=True)
            if self._poller is not None:
                way._want_bell()  # it must be hushed by whoever takes the last message
        message = self._get(way)
        return message.data if type(message) is Raw else pickle.dumps(message)

    # ---- waiting ----

    def poll(self, timeout: float | None = 0.0) -> bool:
        """Wait until there is something to receive, or nobody has the other end; false if time is up first.

        Args:
            timeout: Seconds to wait at most; None: no limit.
        """
        way = self._inbound
        if way is None:
            raise self._refusal("connection is write-only")
        try:
            if way._wait_item(timeout):
                return True
        except ValueError:
            if self._hold is None:  # another thread has closed this connection
                raise self._refusal("") from None
            raise
        if self._poller is None or self._poller.pid != os.getpid():
            return False
        for each in (way, self._raw_inbound):
            if each is not None:
                each._hush()
        # A death that the descriptor tells at once is beyond doubt only a little later.
        return self._poller.hung_up() and way._wait_item(CERTAINTY)

    def fileno(self) -> int:
        """Return a descriptor that is readable when :meth:`poll` is true, for ``select``, ``selectors``, event loops
        and ``multiprocessing.connection.wait``. It is the connection's own: do not read from it, do not close it.

        That of a connection that only sends is readable when nobody has the other end; none is ever *writable*. With
        several receivers at one end another one may be faster: then ``poll()`` says so.
        """
        if self._hold is None:
            raise self._refusal("")
        if self._poller is None or self._poller.pid != os.getpid():
            stale, self._poller = self._poller, None
            if stale is not None:
                stale.close()
            bells = [each._want_bell() for each in (self._inbound, self._raw_inbound) if each is not None]
            self._poller = pipe_poll.Poller(self._hold.session, bells[0] if bells else None, self._peer)
        return self._poller.fileno()

    # ---- closing ----

    def close(self) -> None:
        """Close this connection. Who waits at the other end is woken if nobody else has this one. Idempotent."""
        hold, self._hold = self._hold, None
        if hold is None:
            return
        ways = [each for each in (self._inbound, self._outbound) if each is not None]
        for each in (*ways, self._raw_inbound, self._raw_outbound):
            if each is not None:
                each._retire()  # who waits in another thread of this process is told
        self._inbound = self._outbound = self._raw_inbound = self._raw_outbound = None
        if self._poller is not None:
            self._poller.close()
            self._poller = None
        hold.release(functools.partial(_wake, hold.session, self._peer, ways))

    def __del__(self, _ending: Callable[[], bool] = sys.is_finalizing) -> None:
        # When the interpreter ends, modules may be empty already; the end of the process closes everything.
        if not _ending() and getattr(self, "_hold", None) is not None:
            self.close()

    def _end_receiving(self) -> None:
        if not self._writable:
            self.close()
            return
        self._readable = False
        self._inbound = self._raw_inbound = None

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._hold is None

    @property
    def readable(self) -> bool:
        """Whether it receives."""
        return self._readable

    @property
    def writable(self) -> bool:
        """Whether it sends."""
        return self._writable

    def _refusal(self, why: str) -> OSError:
        return OSError("handle is closed" if self._hold is None else why)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._hold is None:
            return f"<holdfast.Connection at {id(self):#x}: closed>"
        waiting = "" if self._inbound is None else f", {self._inbound.qsize()} to receive"
        does = " and ".join(what for what, can in (("receives", self._readable), ("sends", self._writable)) if can)
        return f"<holdfast.Connection at {id(self):#x}: {does}{waiting}>"

    # ---- pickling ----

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        hold = self._hold
        if hold is None:
            raise self._refusal("")
        ways = []
        for way in (self._inbound, self._outbound):
            if way is not None:
                way.sent()
            ways.append(None if way is None else way.place)
        hold.sent()
        of = hold.session
        return _arrive, (session.identity(of), of.uid, hold.place, self._peer, *ways)


def _arrive(
    identity: str,
    session_uid: int,
    place: pipe_ends.Place,
    peer: pipe_ends.Place,
    inbound: pipe_ends.Place | None,
    outbound: pipe_ends.Place | None,
) -> Connection:
    """Open the end that a pickle stands for.

    Raises:
        GoneError: It was closed everywhere, or its session has ended.
    """
    of = session.attach(identity)
    if of.uid != session_uid:
        raise GoneError(f"session {identity} has ended and another one has its name; the pipe is gone")
    try:
        ways = [None if way is None else Direction(of, way, peer) for way in (inbound, outbound)]
        return Connection(pipe_ends.Hold(of, place), peer, ways[0], ways[1])
    except LookupError as error:
        raise GoneError(f"Connection: {error}") from None


def _slice(buf: Buffer, offset: int, size: int | None) -> memoryview:
    view = memoryview(buf)
    if view.itemsize > 1 or view.ndim > 1:
        view = view.cast("B")
    if offset < 0:
        raise ValueError("offset is negative")
    if offset > view.nbytes:
        raise ValueError("buffer length < offset")
    if size is None:
        size = view.nbytes - offset
    if size < 0:
        raise ValueError("size is negative")
    if offset + size > view.nbytes:
        raise ValueError("buffer length < offset + size")
    return view[offset : offset + size]


def _wake(of: _native.Session, peer: pipe_ends.Place, ways: list[Direction]) -> None:
    for way in ways:
        way._nudge()
    pipe_ends.remove(of, peer)


def _broken() -> BrokenPipeError:
    return BrokenPipeError(errno.EPIPE, "nobody has the other end of this connection any more")
