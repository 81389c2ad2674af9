"""The compiled core as Python sees it: shared memory, waiting and atomics; no policy, no pickle.

Every handle type is made in one of three ways, chosen by ``where``:

* ``None``: a new anonymous object in the session;
* ``(offset, uid)``: attach to an existing one (``LookupError`` if it is gone);
* ``(name, mode)``: a named object, ``name`` in bytes, ``mode`` 0 open or create, 1 create only
  (``FileExistsError``), 2 open only (``FileNotFoundError``).

Timeouts are seconds (``None``: no limit). Blocking calls release the GIL only to wait, run signal
handlers, and re-check the life of whoever they wait for every 40 ms at the latest.
"""

from collections.abc import Iterable
from typing import Any, Final, Self, TypeAlias

from typing_extensions import Buffer

Where: TypeAlias = tuple[int, int] | tuple[bytes, int] | None

MAX_MEMBERS: Final[int]
MAX_NAME: Final[int]
LAYOUT: Final[int]
VERSION: Final[int]

class Session:
    """One mapped arena, and this process's membership in it."""

    def __new__(cls, fd: int, size: int, idle_limit: int, label: str, /) -> Self:
        """Map the arena file ``fd`` (which it closes in the end); ``size`` > 0 formats a new one, 0 attaches."""
    @property
    def member(self) -> int:
        """This process's member number; joins the session if the process is not in it."""
    @property
    def size(self) -> int: ...
    @property
    def uid(self) -> int: ...
    @property
    def fd(self) -> int: ...
    def joined(self) -> bool: ...
    def adopt(self) -> None:
        """In a forked child: become a member of its own and take a reference on every inherited handle."""
    def leave(self) -> None:
        """Announce that this process ends in good order: it stays a member, and holds what it holds, until then."""
    def members(self) -> list[tuple[int, int, int, str]]:
        """(member, pid, start time in clock ticks, label) of every living member."""
    def describe(self, member: int, /) -> tuple[int, str, bool]:
        """(pid, label, alive) of a member; pid 0 if its slot was reused since."""
    def alive(self, member: int, /) -> bool: ...
    def sweep(self) -> int:
        """Release what dead members held in this arena; the number of members swept."""
    def kept(self) -> int:
        """How many named queues hold something. For a session in which nobody lives."""
    def held(self, offset: int, uid: int, besides_us: bool = False, /) -> bool:
        """Does anybody who lives (besides this process) hold the object, or is it on its way? The dead may count for
        100 ms.
        """
    def stats(self) -> dict[str, int]:
        """blocks, bytes_used, bytes_committed, bytes_idle, members, repairs."""
    def trim(self) -> int:
        """Give idle memory back to the system; bytes given back."""

class Handle:
    """A reference of this process to one shared object."""

    @property
    def session(self) -> Session: ...
    @property
    def offset(self) -> int: ...
    @property
    def uid(self) -> int: ...
    @property
    def created(self) -> bool: ...
    @property
    def name(self) -> bytes | None: ...
    def sent(self) -> None:
        """Count one pickle on its way: the object outlives this handle until it is attached somewhere."""
    def received(self) -> None:
        """Count one arrival that found this handle already here (attaching counts by itself)."""
    def _pending(self) -> bool:
        """Is a pickle of it on its way?"""
    def _settled(self) -> None:
        """Every child forked so far has taken a reference of its own: dropping ours need not wait for them."""
    def unlink(self) -> None:
        """Forget the name; the object lives on for those who hold it."""

class Lock(Handle):
    def __new__(cls, session: Session, where: Where, strict: bool = ..., /) -> Self: ...
    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...
    def release(self) -> None: ...
    def locked(self) -> bool: ...
    def recover(self) -> None: ...
    def holder(self) -> tuple[int, int, float] | None:
        """(member, kernel thread id, seconds since somebody first had to wait for it, or -1)."""
    def waiters(self) -> int: ...
    def strict(self) -> bool: ...
    def broken(self) -> bool: ...
    def _is_owned(self) -> bool: ...
    def __enter__(self) -> bool: ...
    def __exit__(self, *exc: object) -> None: ...

class RLock(Lock):
    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...
    def release(self) -> None: ...
    def _recursion_count(self) -> int: ...
    def _release_save(self) -> Any: ...
    def _acquire_restore(self, state: Any, /) -> None: ...

class Semaphore(Handle):
    def __new__(cls, session: Session, where: Where, value: int = ..., bounded: bool = ..., /) -> Self: ...
    def acquire(self, blocking: bool = ..., timeout: float | None = ...) -> bool: ...
    def release(self, n: int = ...) -> None: ...
    def get_value(self) -> int: ...
    def initial(self) -> int: ...
    def bounded(self) -> bool: ...
    def holders(self) -> list[tuple[int, int]]: ...
    def __enter__(self) -> bool: ...
    def __exit__(self, *exc: object) -> None: ...

class Event(Handle):
    def __new__(cls, session: Session, where: Where, /) -> Self: ...
    def is_set(self) -> bool: ...
    def set(self) -> None: ...
    def clear(self) -> None: ...
    def wait(self, timeout: float | None = ...) -> bool: ...

class Waiters(Handle):
    """The waiting list of a condition; the lock around it is the caller's."""

    def __new__(cls, session: Session, where: Where, lock_offset: int = ..., /) -> Self:
        """``lock_offset``: of the lock around it, if that lies in the same session; 0 if not."""
    def enter(self) -> int: ...
    def wait(self, ticket: int, timeout: float | None = ..., /) -> bool: ...
    def leave(self, ticket: int, pass_on: bool = ..., /) -> bool:
        """Take the entry off the list; true if it had been notified. ``pass_on`` hands that notify to another."""
    def notify(self, n: int, /) -> int: ...
    def __len__(self) -> int: ...

class Gate(Handle):
    """A barrier without its action: ``arrive``; the last one ``open``s, the others ``wait``."""

    def __new__(cls, session: Session, where: Where, parties: int = ..., /) -> Self: ...
    def arrive(self) -> tuple[int, int]:
        """(index, round); index == parties - 1 is the last; -1: broken; -3: full, wait for ``round`` and come again."""
    def wait(self, round: int, timeout: float | None = ..., /) -> int:
        """1 opened, 0 timed out, -1 broken (or reset, or a party died)."""
    def open(self, round: int, /) -> bool: ...
    def abort(self) -> None: ...
    def _abort_round(self, round: int, /) -> bool: ...
    def reset(self) -> None: ...
    @property
    def parties(self) -> int: ...
    @property
    def n_waiting(self) -> int: ...
    @property
    def broken(self) -> bool: ...
    @property
    def casualty(self) -> int:
        """The member whose death broke it, or 0."""

class Cell(Handle):
    """One number, read and changed atomically. ``code`` is a typecode of ``array`` or '?'."""

    def __new__(cls, session: Session, where: Where, code: str = ..., value: int | float = ..., /) -> Self: ...
    value: int | float
    @property
    def code(self) -> str: ...
    def get(self) -> int | float: ...
    def set(self, value: int | float, /) -> None: ...
    def add(self, n: int | float, /) -> int | float: ...
    def exchange(self, value: int | float, /) -> int | float: ...
    def compare_exchange(self, expected: int | float, desired: int | float, /) -> bool: ...
    def max(self, value: int | float, /) -> int | float: ...
    def min(self, value: int | float, /) -> int | float: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Block(Handle):
    """Plain bytes in shared memory: a writable buffer."""

    def __new__(cls, session: Session, where: Where, nbytes: int = ..., zero: bool = ..., /) -> Self: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def fill(self, data: Buffer, at: int = ..., /) -> None:
        """Copy ``data`` in, without the GIL when it is large."""

class Ring(Handle):
    """A bounded queue of byte records, any number of producers and consumers, in commit order."""

    def __new__(cls, session: Session, where: Where, capacity: int = ..., /) -> Self: ...
    def put(self, tag: int, data: Buffer, timeout: float | None = ..., /) -> bool:
        """Append one record; False on timeout; ValueError if it can never fit; BrokenPipeError once closed."""
    def get(self, timeout: float | None = ..., /) -> tuple[int, bytes] | None:
        """Take the oldest record; None on timeout; EOFError once closed and empty."""
    def close(self) -> None: ...
    def closed(self) -> bool: ...
    def __len__(self) -> int:
        """Records inside."""
    @property
    def capacity(self) -> int: ...
    @property
    def used(self) -> int: ...

def kill_points() -> list[str]:
    """The names of the places where a test can have this process killed."""

def kill_at(name: str | None, skip: int = ..., /) -> None:
    """Have this process SIGKILL itself at the named place, after passing it ``skip`` times."""

def undo_sent() -> None:
    """What this thread has pickled for a put so far goes nowhere: count it back."""

def process_start(pid: int, /) -> int:
    """Start time of a process in clock ticks since boot; 0 if it is dead or a zombie, 2**64 - 1 if it cannot be told."""

class Queue(Handle):
    """Items between processes, or (``session`` None) between threads of this one, as references.

    ``ways``: ``(loads, dumps, pack, unpack, Block, Empty, Full, put after shutdown, get after shutdown)``: callables and
    exceptions for what is not decided here (dumps None: always pack). ``flavour``: 0 first in first out, 1 last in first out, 2 by key.
    """

    def __new__(
        cls,
        session: Session | None,
        where: Where,
        ways: tuple[Any, ...],
        flavour: int = 0,
        maxsize: int = 0,
        max_bytes: int = ...,
        redeliver: int = 0,
        max_deliveries: int = 0,
        nbytes: int = ...,
        /,
    ) -> Self: ...
    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an item; when this returns it is there, whatever becomes of this process.

        Args:
            item: Any picklable object (any object at all in a local queue).
            block: Wait for room.
            timeout: Seconds to wait at most; None: no limit.

        Raises:
            Full: No room (in time).
            ShutDown: The queue was shut down.
            NotPicklable: The message names the part; the queue is unchanged.
            ValueError: The item can never fit, or the queue is closed in this process.
            MemoryError: Shared memory is full.
        """
    def put_nowait(self, item: Any) -> None:
        """As ``put(item, block=False)``."""
    def put_many(self, items: Iterable[Any], block: bool = True, timeout: float | None = None) -> None:
        """Put all, in their order, many at a time. ``timeout`` is for all of them together.

        An exception's ``count`` says how many items are in the queue: all before the one at fault.
        """
    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the next item.

        Raises:
            Empty: Nothing came (in time).
            ShutDown: The queue was shut down, and nothing is left.
        """
    def get_nowait(self) -> Any:
        """As ``get(block=False)``."""
    def get_many(self, max: int | None = None, timeout: float | None = None, block: bool = True) -> list[Any]:
        """Wait for one item, then take all there are, at most ``max``.

        If one of them cannot be unpickled, the exception's ``items`` holds the others.
        """
    def qsize(self) -> int:
        """How many items are queued this moment."""
    def empty(self) -> bool:
        """Whether nothing is queued this moment; ``OSError`` if the queue is closed in this process."""
    def full(self) -> bool:
        """Whether a put would have to wait this moment."""
    def unfinished(self) -> int:
        """How many items were put and not yet marked by :meth:`task_done`."""
    def nbytes(self) -> int:
        """How many bytes are queued this moment."""
    def task_done(self) -> None:
        """Mark one item that was taken as finished.

        With ``redeliver``: the oldest that this thread took and has not marked, or else this process.

        Raises:
            ValueError: Called more often than items were put.
        """
    def _put_keyed(self, key: bytes, item: Any, block: bool = True, timeout: float | None = None) -> None: ...
    def _get_dead(self, block: bool = True, timeout: float | None = None) -> Any: ...
    def _dead(self) -> int: ...
    def _deliveries(self) -> int: ...
    def _config(self) -> tuple[int, int, int, int, int]:
        """(flavour, maxsize, max_bytes, redeliver, max_deliveries)."""
    def _set_maxsize(self, maxsize: int, /) -> None: ...
    def _join_step(self, timeout: float | None, /) -> bool | tuple[int, list[tuple[int, int]]]:
        """True: all finished; False: time is up; else (items given up, [(member, items)]): call again."""
    def _shut(self, how: int, /) -> None:
        """1: nothing may be put; 2: nor taken."""
    def _shut_state(self) -> int: ...
    def _retire(self) -> None:
        """This process uses it no more; the last one to say so of a named queue ends it."""
    def _retired(self) -> bool: ...
    def _is_local(self) -> bool: ...
    def _set_ways(self, ways: tuple[Any, ...], /) -> None: ...
    def _forsake(self) -> None:
        """Forget the name, and that it was to be kept."""
    def _nudge(self) -> None:
        """Wake all who wait, to look around."""
    def _watch(self, offset: int, uid: int, /) -> None:
        """Waiting makes sense only while somebody holds that object: else it ends as after a shutdown."""
    def _has_peer(self) -> bool: ...
    def _wait_item(self, timeout: float | None, /) -> bool:
        """Wait until a get would return or raise; False if time is up first."""
    def _want_bell(self) -> int:
        """From now on every put rings the bell that ``_open_bell`` (of the subclass) opens; its descriptor."""
    def _new_bell(self) -> None:
        """The bell is a new one: it has not been rung."""
    def _bell_wanted(self) -> bool: ...
    def _hush(self) -> None:
        """Silence the bell if nothing is queued."""
