"""What a parent and a worker share: a ring of tasks, a ring of results, and the words that say what the worker does.

Here live the layout of a record's tag, the two ends, and the way of payloads too large for a ring. Payloads are
bytes; this module knows neither tasks nor pickles.

A record of either ring is a 64-bit tag and bytes. The tag stands outside the pickle, so that bytes that cannot be
unpickled still belong to a known task, and fail that one only::

    63            16 15       8 7     0
    +---------------+----------+-------+
    |    number     | duration | kind  |    number: of the task; in READY and FAILED, of the worker
    +---------------+----------+-------+    duration: of the run, the bit length of its microseconds

Who may die where. Rings are robust: a record whose writer died is not there, one whose reader died before it had
taken it still is. The worker writes the number of a task into `running` after taking it and before looking at it.
So of a dead worker's tasks without an answer, the one in `running` had begun (perhaps), and all others had not.

A payload over `INLINE` bytes travels as a block of shared memory, the record then holding its place. The parent keeps
its blocks until the task has ended, so a worker's death costs nothing there. A worker hands its block over: it notes
it in `handed`, counts it as sent, and commits the record; if it dies between the last two, the parent finds the
note (`recover`) and lets the block go.
"""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast.core import _native, session

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = [
    "FAILED",
    "INLINE",
    "OUTCOME",
    "READY",
    "TASK",
    "VALUE",
    "WAKE",
    "Address",
    "Bench",
    "Desk",
    "Parcel",
    "bucket",
    "kind_of",
    "number_of",
    "open_payload",
    "tag",
    "wrap",
]

TASK: Final = 1  # parent to worker: a pickled call
VALUE: Final = 2  # worker to parent: the pickled value
OUTCOME: Final = 3  # worker to parent: an outcome in the form of `workers.outcome`
READY: Final = 4  # worker to parent: the initializer is through
FAILED: Final = 5  # worker to parent: the initializer failed; an outcome
WAKE: Final = 6  # parent to itself: look around
OUTSIDE: Final = 0x80  # flag of a kind: the payload is in a block

INLINE: Final = 1 << 16
TASK_RING: Final = 1 << 18
RESULT_RING: Final = 1 << 20
_PLACE: Final = struct.Struct("<QQ")


def tag(number: int, kind: int, duration: int = 0) -> int:
    """The tag of a record."""
    return number << 16 | duration << 8 | kind


def number_of(tag: int) -> int:
    """The number of the task, or of the worker."""
    return tag >> 16


def kind_of(tag: int) -> int:
    """TASK, VALUE, ...; without the flag `OUTSIDE`."""
    return tag & 0x7F


def bucket(tag: int) -> int:
    """The bit length of the run's microseconds: 0 under 1 µs, 10 about 1 ms, 20 about 1 s."""
    return tag >> 8 & 0xFF


def span_bucket(seconds: float) -> int:
    """The bucket of a duration."""
    return min(int(seconds * 1e6).bit_length(), 0xFF)


Place = tuple[int, int]


class Address(NamedTuple):
    """What a worker needs to find its desk: the session and the places of the parts. Pickles in a few bytes.

    The parts are the parent's; it holds them as long as the worker lives.
    """

    session: str
    tasks: Place
    results: Place
    running: Place
    offset: Place
    uid: Place


def _place(handle: _native.Handle) -> Place:
    return handle.offset, handle.uid


class Parcel(NamedTuple):
    """A payload ready to be written, any number of times; holds its block, if it has one."""

    flag: int
    data: bytes
    block: _native.Block | None


def wrap(payload: bytes) -> Parcel:
    """Make a parcel. Raises MemoryError or OSError if shared memory is full."""
    if len(payload) <= INLINE:
        return Parcel(0, payload, None)
    block = _native.Block(session.current(), None, len(payload), False)
    block.fill(payload)
    return Parcel(OUTSIDE, _PLACE.pack(*_place(block)), block)


class Bench:
    """The parent's end of a whole pool: the ring on which all results arrive. Many writers, one reader."""

    def __init__(self) -> None:
        self.session = session.current()
        self.results = _native.Ring(self.session, None, RESULT_RING)

    def wake(self) -> None:
        """Make a waiting reader look around. A full ring needs no waking: its reader has work."""
        try:
            self.results.put(tag(0, WAKE), b"", 0)
        except (BrokenPipeError, OSError, ValueError):
            pass


class Desk:
    """What one worker and its parent share. Made by the parent, opened by the worker."""

    __slots__ = ("address", "offset", "results", "running", "session", "tasks", "uid")

    def __init__(self, bench: Bench) -> None:
        self.session = bench.session
        self.results = bench.results
        self.tasks = _native.Ring(self.session, None, TASK_RING)
        self.running = _native.Cell(self.session, None, "Q", 0)
        self.offset = _native.Cell(self.session, None, "Q", 0)
        self.uid = _native.Cell(self.session, None, "Q", 0)
        parts = (self.tasks, self.results, self.running, self.offset, self.uid)
        self.address = Address(session.identity(self.session), *map(_place, parts))

    @classmethod
    def open(cls, address: Address) -> Desk:
        """The worker's end. Raises LookupError or GoneError if the parent is gone."""
        desk = cls.__new__(cls)
        desk.address = address
        desk.session = found = session.attach(address.session)
        desk.tasks = _native.Ring(found, address.tasks)
        desk.results = _native.Ring(found, address.results)
        desk.running = _native.Cell(found, address.running)
        desk.offset = _native.Cell(found, address.offset)
        desk.uid = _native.Cell(found, address.uid)
        return desk

    def give(self, number: int, parcel: Parcel) -> bool:
        """Parent: write a task into the worker's ring, if there is room."""
        return self.tasks.put(tag(number, TASK | parcel.flag), parcel.data, 0)

    def answer(self, number: int, kind: int, payload: bytes, began: float) -> None:
        """Worker: commit a result; waits for room in the ring.

        Raises BrokenPipeError if the parent wants no more, MemoryError or OSError if shared memory is full.
        """
        duration = span_bucket(time.monotonic() - began)
        if len(payload) <= INLINE:
            self.results.put(tag(number, kind, duration), payload)
            return
        block = _native.Block(self.session, None, len(payload), False)
        self.offset.set(block.offset)
        self.uid.set(block.uid)
        block.fill(payload)
        block.sent()
        self.results.put(tag(number, kind | OUTSIDE, duration), _PLACE.pack(*_place(block)))

    def recover(self) -> None:
        """Parent, after the worker's death and after its last result: let go a block that it had not handed over.

        The block is freed with what else the dead process held, when the session next looks for the dead.
        """
        try:
            # Attaching counts as the arrival, whether the sending had been counted or not.
            _native.Block(self.session, (int(self.offset.get()), int(self.uid.get())))
        except LookupError:
            pass  # it arrived, or there was none


def open_payload(desk_session: _native.Session, tag: int, data: bytes) -> Buffer:
    """The payload of a record: its bytes, or the block they are in. Raises LookupError if that is gone."""
    return _native.Block(desk_session, _PLACE.unpack(data)) if tag & OUTSIDE else data
