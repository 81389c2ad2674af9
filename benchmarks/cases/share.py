"""100 MB arrays handed to another process through a pipe: one already shared, and a private one.

``handover_shared``: the receiver touches one element. ``handover_private``: the receiver reads one value of
every page; the peer makes one new ``SharedMemory`` segment per array and pickles with protocol 5 and
out-of-band buffers, as Ray and Plasma do. In both, the first hand-over of a trial (cold) is left out.
"""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Callable
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from multiprocessing.synchronize import Semaphore
from statistics import median
from time import perf_counter_ns
from typing import Any, Protocol, TypeAlias

from benchmarks.model import SUBJECT, AtMost, Beats, Case, Unavailable
from benchmarks.peers import holdfast, numpy
from benchmarks.stage import FORK, Board, play

ITEMS = 12_500_000  # float64: 100 MB
STRIDE = 4096 // 8  # one item of each page
WARM = 4
SEGMENT = "SharedMemory+pickle5"
STAMP, FIGURE = 0, 8  # cells, on lines of their own

Array: TypeAlias = Any  # NumPy is optional here
Touch: TypeAlias = Callable[[Array], float]


class Scheme(Protocol):
    """How an array travels; what ``send`` and ``receive`` keep lives until both sides are done with it."""

    def send(self, conn: Connection, array: Array) -> object: ...
    def free(self, kept: Any) -> None: ...
    def receive(self, conn: Connection) -> tuple[Array, object]: ...
    def drop(self, kept: Any) -> None: ...


class Pickled:
    """The array goes through the pipe by its own pickle: a few bytes if it is shared."""

    def send(self, conn: Connection, array: Array) -> object:
        """Send it; nothing to keep."""
        conn.send(array)
        return None

    def free(self, kept: object) -> None:
        """Nothing was kept but references."""

    def receive(self, conn: Connection) -> tuple[Array, object]:
        """The array as it comes."""
        return conn.recv(), None

    def drop(self, kept: object) -> None:
        """Nothing was kept."""


class SharedFirst(Pickled):
    """``share()``, then as above."""

    def send(self, conn: Connection, array: Array) -> object:
        """Share and send; the shared copy is kept."""
        shared = holdfast().share(array)
        conn.send(shared)
        return shared


class Segment:
    """A new segment for each array, filled from its out-of-band buffer."""

    def send(self, conn: Connection, array: Array) -> object:
        """Copy into a new segment and send its name; the segment is kept."""
        buffers: list[pickle.PickleBuffer] = []
        data = pickle.dumps(array, 5, buffer_callback=buffers.append)
        raw = buffers[0].raw()
        segment = SharedMemory(create=True, size=raw.nbytes)
        _bytes(segment, raw.nbytes)[:] = raw
        conn.send((data, segment.name, raw.nbytes))
        return segment

    def free(self, kept: SharedMemory) -> None:
        """Remove the segment."""
        kept.close()
        kept.unlink()

    def receive(self, conn: Connection) -> tuple[Array, object]:
        """A view of the sender's segment."""
        data, name, nbytes = conn.recv()
        segment = SharedMemory(name)
        return pickle.loads(data, buffers=[_bytes(segment, nbytes)]), segment

    def drop(self, kept: SharedMemory) -> None:
        """Unmap it."""
        kept.close()


def _bytes(segment: SharedMemory, nbytes: int) -> memoryview:
    if segment.buf is None:
        raise ValueError(f"segment {segment.name!r} is closed")
    return segment.buf[:nbytes]


def _touch_one(array: Array) -> float:
    return float(array[0])


def _touch_pages(array: Array) -> float:
    return float(array[::STRIDE].sum())


def _sender(scheme: Scheme, make: Callable[[], Array], conn: Connection, done: Semaphore, board: Board) -> None:
    array = make()
    done.acquire()
    taken = []
    for _ in range(1 + WARM):
        start = perf_counter_ns()
        kept = scheme.send(conn, array)
        done.acquire()
        taken.append(board[STAMP] - start)
        scheme.free(kept)
        del kept
    board[FIGURE] = int(median(taken[1:]))


def _receiver(scheme: Scheme, touch: Touch, conn: Connection, done: Semaphore, board: Board) -> None:
    numpy()
    done.release()
    for _ in range(1 + WARM):
        array, kept = scheme.receive(conn)
        touch(array)
        board[STAMP] = perf_counter_ns()
        del array
        scheme.drop(kept)
        done.release()


def _private() -> Array:
    return numpy().ones(ITEMS)


def _shared() -> Array:
    return holdfast().share(_private())


def _hand_over_ms(peer: str, scheme: Scheme, make: Callable[[], Array], touch: Touch) -> float:
    if importlib.util.find_spec("numpy") is None:  # imported in the children only: it starts threads
        raise Unavailable("needs numpy")
    if peer == SUBJECT:
        holdfast().Lock()  # so that both children are of one session, as in any program that uses it
    else:
        resource_tracker.ensure_running()  # before the fork, so that there is one for both
    receive_end, send_end = FORK.Pipe(duplex=False)
    done = FORK.Semaphore(0)
    try:
        sides = [
            partial(_sender, scheme, make, send_end, done),
            partial(_receiver, scheme, touch, receive_end, done),
        ]
        return play(sides)[FIGURE] / 1e6
    finally:
        receive_end.close()
        send_end.close()


def cases() -> list[Case]:
    """Hand-overs of large arrays."""
    note = f"from before sending until read by the receiver, median of {WARM} after the first; 100 MB, through mp.Pipe"
    ready = {SUBJECT: partial(_hand_over_ms, SUBJECT, Pickled(), _shared, _touch_one)}
    private = {
        SUBJECT: partial(_hand_over_ms, SUBJECT, SharedFirst(), _private, _touch_pages),
        SEGMENT: partial(_hand_over_ms, SEGMENT, Segment(), _private, _touch_pages),
    }
    return [
        Case("handover_shared", "ms", "less", ready, (AtMost(1),), note),
        Case("handover_private", "ms", "less", private, (Beats(SEGMENT, 6),), f"{note}; one value of every page read"),
    ]
