"""Who carries items from process to process in the queue cases, each behind the same small face.

Only here is a queue of a peer made: hyperq both by its general class and by the one that carries nothing but
bytes, 0MQ with out-of-band buffers and without copies. Knows nothing of what is measured.

A carrier is made before the fork. A sending side calls ``putter()`` after both sides have met and ``leave()``
when it has put its last item; a receiving side calls ``getter()`` before they meet; the parent calls
``close()`` when all sides have ended.
"""

from __future__ import annotations

import itertools
import os
import pickle
import queue
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from benchmarks.model import SUBJECT, Unavailable
from benchmarks.peers import MP, _module, family, holdfast

FASTER_FIFO = "faster-fifo"
HYPERQ = "hyperq"
BYTES_HYPERQ = "hyperq.BytesHyperQ"
OS_PIPE = "os.pipe+pickle"
ZMQ = "pyzmq"

Put: TypeAlias = Callable[[Any], Any]
Get: TypeAlias = Callable[[], Any]

_numbers = itertools.count()


@dataclass(frozen=True)
class Load:
    """What will be carried: ``in_flight`` items at most (0: the peer's default) of about ``item_bytes`` each."""

    in_flight: int = 0
    item_bytes: int = 100

    @property
    def room(self) -> int:
        """Bytes of a buffer of fixed size: 1 MB (the default of faster-fifo), or what is in flight."""
        return max(1_000_000, (self.in_flight + 1) * (self.item_bytes + 256))


class Carrier:
    """One queue object whose methods do all the work, in every process that inherited it."""

    def __init__(self, queue_object: Any) -> None:
        self._queue = queue_object

    def putter(self) -> Put:
        """What puts one item."""
        put: Put = self._queue.put
        return put

    def getter(self) -> Get:
        """What takes one item."""
        get: Get = self._queue.get
        return get

    def before_end(self) -> None:
        """All items but the one that means the end were put; here nothing has to happen before that one is."""

    def leave(self) -> None:
        """Everything was put: see that it arrives."""

    def close(self) -> None:
        """Give back what outlives the object; nothing here."""


class PipeCarrier(Carrier):
    """``pickle.dumps`` and one ``write`` on this side, ``pickle.load`` from a buffered file on the other."""

    def __init__(self) -> None:
        self._ends = os.pipe()

    def putter(self) -> Put:
        write_end, write, dumps = self._ends[1], os.write, pickle.dumps

        def put(item: object) -> None:
            write(write_end, dumps(item, 5))

        return put

    def getter(self) -> Get:
        file = open(self._ends[0], "rb", buffering=1 << 16, closefd=False)  # noqa: SIM115  # closed with the process
        return partial(pickle.load, file)

    def close(self) -> None:
        for end in self._ends:
            os.close(end)


class ZmqCarrier(Carrier):
    """PUSH and PULL over ipc, ``copy=False``: protocol-5 buffers travel as frames of their own.

    Contexts are made in the processes that use them, because they do not survive a fork.
    """

    def __init__(self, in_flight: int) -> None:
        self._zmq = _module("zmq")
        self._in_flight = in_flight
        self._folder = tempfile.mkdtemp(prefix="benchmark-")
        self._open: list[Any] = []

    def putter(self) -> Put:
        send = self._socket(self._zmq.PUSH, "connect").send_multipart
        dumps = pickle.dumps

        def put(item: object) -> None:
            buffers: list[pickle.PickleBuffer] = []
            head = dumps(item, 5, buffer_callback=buffers.append)
            send([head, *buffers], copy=False)

        return put

    def getter(self) -> Get:
        receive = self._socket(self._zmq.PULL, "bind").recv_multipart
        loads = pickle.loads

        def get() -> Any:
            head, *buffers = receive(copy=False)
            return loads(head.buffer, buffers=[frame.buffer for frame in buffers])

        return get

    def _socket(self, kind: int, join: str) -> Any:
        context = self._zmq.Context()
        socket = context.socket(kind)
        if self._in_flight:
            socket.set_hwm(self._in_flight)
        getattr(socket, join)(f"ipc://{self._folder}/socket")
        self._open += [socket, context]
        return socket

    def leave(self) -> None:
        socket, context = self._open
        socket.close(linger=-1)
        context.term()

    def close(self) -> None:
        shutil.rmtree(self._folder)


def holdfast_class(name: str) -> Any:
    """A class of holdfast's channels, or :class:`Unavailable`."""
    try:
        return getattr(holdfast(), name)
    except (AttributeError, ImportError) as error:
        raise Unavailable(f"no holdfast.{name}: {error}") from error


def queue_class(peer: str, name: str = "Queue") -> Any:
    """The class or factory called ``name`` of holdfast, of multiprocessing, or of the module ``queue``."""
    if peer == SUBJECT:
        return holdfast_class(name)
    return getattr(queue if peer == "queue" else family(MP), name)


def _faster_fifo(load: Load) -> Carrier:
    return Carrier(_module("faster_fifo").Queue(max_size_bytes=load.room))


def _hyperq(name: str, load: Load) -> Carrier:
    made_by = getattr(_module("hyperq"), name)
    return Carrier(made_by(load.room, f"benchmark-{os.getpid()}-{next(_numbers)}"))  # unlinked with the object


_MAKERS: dict[str, Callable[[Load], Carrier]] = {
    SUBJECT: lambda load: Carrier(queue_class(SUBJECT)(load.in_flight)),
    MP: lambda load: Carrier(queue_class(MP)(load.in_flight)),
    FASTER_FIFO: _faster_fifo,
    HYPERQ: partial(_hyperq, "HyperQ"),
    BYTES_HYPERQ: partial(_hyperq, "BytesHyperQ"),
    OS_PIPE: lambda _: PipeCarrier(),
    ZMQ: lambda load: ZmqCarrier(load.in_flight),
}


def carrier(peer: str, load: Load) -> Carrier:
    """A new queue of ``peer`` for ``load``; raises :class:`Unavailable` if the peer is not installed."""
    return _MAKERS[peer](load)
