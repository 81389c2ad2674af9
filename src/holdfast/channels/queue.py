"""Queue: items between threads and processes, first in first out; and what all queues have in common.

The work is done by ``_native.Queue``; here are names, options, pickling, warnings and the event loop's face.
"""

from __future__ import annotations

import copyreg
import functools
import pickle
import sys
import time
import types
import warnings
from queue import Empty, Full
from typing import TYPE_CHECKING, Any, Final, Self

from holdfast.channels import bell, codec
from holdfast.channels.deadletters import DeadLetters
from holdfast.core import _native, handles
from holdfast.errors import AbandonedWarning

if sys.version_info >= (3, 13):
    from queue import ShutDown
else:

    class ShutDown(Exception):
        """The queue was shut down: nothing may be put any more, and there is nothing left to get."""

        __module__ = "holdfast"


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Empty", "Full", "Queue", "ShutDown", "SimpleQueue"]

FIFO: Final = 0
LIFO: Final = 1
PRIORITY: Final = 2
SHELF_BYTES: Final = 2048 - 192  # a queue that keeps its items in blocks of their own is small itself
PIECE: Final = 4096 - 192  # one that keeps them inside begins with this much
UNLIMITED: Final = 1 << 62
MOST_DELIVERIES: Final = (1 << 29) - 1
OPEN, SHUT, THROWN_AWAY = 0, 1, 2

_FLAVOURS: Final = {FIFO: "Queue", LIFO: "LifoQueue", PRIORITY: "PriorityQueue"}


_unpack_copies = functools.partial(codec.unpack, copied=True)


def _ways(of: _native.Session | None, redelivers: bool = False) -> tuple[Any, ...]:
    """What the compiled part needs of us: see ``native/binding/queue.h``.

    What may be delivered again must not be changed by the first who gets it, so he gets a copy.
    """
    teach_pickle()
    pack = None if of is None else functools.partial(codec.pack, of)  # a local queue packs nothing
    unpack = _unpack_copies if redelivers else codec.unpack
    return pickle.loads, pickle.dumps, pack, unpack, _native.Block, Empty, Full, ShutDown, ShutDown


def teach_pickle() -> None:
    """Have plain pickle send multiprocessing's connections as multiprocessing does; it would send a bare number."""
    connection = sys.modules.get("multiprocessing.connection")
    if connection is not None and connection.Connection not in copyreg.dispatch_table:
        copyreg.pickle(connection.Connection, connection.reduce_connection)


def default_bytes(of: _native.Session) -> int:
    """An eighth of the arena: as a rule a quarter of the memory file system."""
    return of.size // 8


class Base(_native.Queue):
    """What every queue has: making, naming, pickling, and the calls that all share."""

    __slots__ = ("__weakref__",)
    _flavour = FIFO

    def __new__(
        cls,
        maxsize: int = 0,
        *more: Any,
        local: bool = False,
        name: str | None = None,
        create: bool | None = None,
        redeliver: bool = False,
        max_deliveries: int = 0,
        max_bytes: int | None = None,
        **others: Any,
    ) -> Self:
        if more or others or not isinstance(maxsize, int):
            maxsize = _of_a_subclass(cls, maxsize, more, others)
        limit = _count("maxsize", maxsize)
        if create is not None and name is None:
            raise ValueError(f"create={create!r} means something only with name=")
        if local:
            _refuse_with_local(name, redeliver, max_bytes)
        if max_deliveries and not redeliver:
            raise ValueError(f"max_deliveries={max_deliveries} means something only with redeliver=True")
        if local:
            return _native.Queue.__new__(cls, None, None, _ways(None), cls._flavour, limit)
        found, where = handles.where(name, create)
        most = default_bytes(found) if max_bytes is None else _size("max_bytes", max_bytes)
        times = min(_count("max_deliveries", max_deliveries), MOST_DELIVERIES)
        kind = (cls._flavour, limit, most, int(redeliver), times)
        size = PIECE if cls._flavour == FIFO and not redeliver else SHELF_BYTES
        made = _native.Queue.__new__(cls, found, where, _ways(found, redeliver), *kind, size)
        if name is not None and not made.created:
            made._check(name, kind, max_bytes is None)
            made._set_ways(_ways(found, bool(made._config()[3])))
        return made

    def __init__(self, maxsize: int = 0, *_more: Any, **options: Any) -> None:
        """For subclasses with an ``__init__`` of their own: sets ``maxsize``. The other options are ``__new__``'s,
        which gets what the class was called with.

        Raises:
            TypeError: An option that the queue was not made with.
        """
        if type(self).__init__ is Base.__init__:
            return
        if maxsize and isinstance(maxsize, int):
            self.maxsize = maxsize
        made = {"local": self._is_local(), "name": self.name, "redeliver": self._config()[3]}
        for option, has in made.items():
            if options.get(option) and not has:
                raise TypeError(
                    f"{option}={options[option]!r} comes too late: call {type(self).__name__}() itself with it"
                )

    def _check(self, name: str, asked: tuple[int, ...], any_bytes: bool) -> None:
        """A queue of that name was there: is it what was asked for? What was left at its default is not asked."""
        flavour, *found = self._config()
        if flavour != asked[0]:
            raise ValueError(f"name={name!r} is a {_FLAVOURS[flavour]}, not a {type(self).__name__}")
        labels = ("maxsize", "max_bytes", "redeliver", "max_deliveries")
        for label, mine, theirs in zip(labels, asked[1:], found, strict=True):
            default = any_bytes if label == "max_bytes" else mine == 0
            if not default and mine != theirs:
                as_given = bool if label == "redeliver" else int
                raise ValueError(f"{label}={as_given(mine)}: the queue name={name!r} was made with {as_given(theirs)}")

    # ---- pickling ----

    @classmethod
    def _attach(cls, found: _native.Session, where: tuple[int, int]) -> Self:
        made = _native.Queue.__new__(cls, found, where, _ways(found))
        if made._config()[3]:
            made._set_ways(_ways(found, redelivers=True))
        return made

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if self._is_local():
            raise TypeError(
                f"{self!r} cannot be pickled: local=True passes references, which mean nothing in another process; "
                "make it without local=True"
            )
        return handles.reduce(self)

    # ---- names ----

    @property  # the compiled base has the bytes
    def name(self) -> str | None:  # type: ignore[override]
        """The name it was made or opened with; None for an anonymous one."""
        return handles.text_name(self)

    @classmethod
    def unlink(cls, name: str) -> None:  # type: ignore[override]  # by name: nobody need have it open
        """Remove the name: who has the queue open goes on with it, and its memory goes with the last of them.

        Raises:
            FileNotFoundError: There is no queue of that name.
        """
        found, where = handles.where(name, False)
        _native.Queue.__new__(cls, found, where, _ways(found))._forsake()

    # ---- asking ----

    @property
    def maxsize(self) -> int:
        """How many items it holds at most; 0: no limit but :attr:`max_bytes`."""
        return self._config()[1]

    @maxsize.setter
    def maxsize(self, limit: int) -> None:
        """Change the limit for everybody; what is queued beyond it stays."""
        self._set_maxsize(_count("maxsize", limit))

    @property
    def closed(self) -> bool:
        """Whether this process has closed it."""
        return self._retired()

    @property
    def is_shutdown(self) -> bool:
        """Whether :meth:`shutdown` was called, by anybody."""
        return self._shut_state() != OPEN

    def __repr__(self) -> str:
        kind = f"{type(self).__module__.partition('.')[0]}.{type(self).__name__}"
        if self._retired():
            return f"<{kind} at {id(self):#x}: closed>"
        named = "" if self.name is None else f" {self.name!r}"
        limit = f"/{self.maxsize}" if self.maxsize else ""
        shut = ", shut down" if self.is_shutdown else ""
        return f"<{kind}{named} at {id(self):#x}: {self.qsize()}{limit} queued, {self.unfinished()} unfinished{shut}>"

    __class_getitem__ = classmethod(types.GenericAlias)  # type: ignore[var-annotated]

    # ---- closing ----

    def close(self) -> None:
        """This process will not use it any more: every put and get raises ``ValueError`` from now on. Idempotent.

        Others are not concerned. The last one to close a *named* queue removes it; processes that end without closing
        leave it, with what is in it, to the next one who opens the name.
        """
        self._retire()

    def fileno(self) -> int:
        """Return a descriptor that is readable while something is queued (or the queue is shut down).

        For ``select``, ``selectors`` and event loops. It is the queue's own: do not read from it, and do not close it.
        With several consumers another one may be faster: use :meth:`get_nowait`.
        """
        return self._want_bell()

    def _open_bell(self) -> int:
        """Called by the compiled part, once per object: the descriptor to ring."""
        fd, silent = (bell.open_local(), False) if self._is_local() else bell.open_shared(self)
        bell.close_with(self, fd)
        if silent:
            self._new_bell()
        return fd


def _of_a_subclass(cls: type[Base], maxsize: Any, more: tuple[Any, ...], others: dict[str, Any]) -> int:
    """Arguments that are not ours may be a subclass's own, for its ``__init__``; what they may be for maxsize."""
    if cls.__init__ is not Base.__init__:
        return maxsize if isinstance(maxsize, int) else 0
    if more:
        raise TypeError(f"{cls.__name__}() takes at most 1 positional argument, maxsize ({1 + len(more)} given)")
    if others:
        raise TypeError(f"{cls.__name__}() got an unexpected keyword argument {next(iter(others))!r}")
    raise TypeError(f"maxsize={maxsize!r} must be an int")


def _count(label: str, value: int) -> int:
    """A limit: 0 and less mean none, as in the standard library."""
    if not isinstance(value, int):
        raise TypeError(f"{label}={value!r} must be an int")
    return max(0, min(value, UNLIMITED))


def _size(label: str, value: int) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{label}={value!r} must be an int")
    if value < 1:
        raise ValueError(f"{label}={value!r} must be at least 1")
    return min(value, UNLIMITED)


def _refuse_with_local(name: str | None, redeliver: bool, max_bytes: int | None) -> None:
    if name is not None:
        raise ValueError(f"name={name!r}: a queue with local=True belongs to one process and has no name")
    if redeliver:
        raise ValueError("redeliver=True is for consumers that may be killed; with local=True they are threads")
    if max_bytes is not None:
        raise ValueError(f"max_bytes={max_bytes!r}: with local=True items are references; use maxsize=")


class SimpleQueue(Base):
    """An unbounded queue with no accounting; :class:`queue.SimpleQueue` and :class:`multiprocessing.SimpleQueue`.

    Args:
        local: For threads only: passes references.
        name: Open the queue of that name of this user, or make it.
    """

    __module__ = "holdfast"
    __slots__ = ()

    def __new__(cls, *, local: bool = False, name: str | None = None) -> Self:
        return Base.__new__(cls, local=local, name=name)


class Queue(Base):
    """A queue between threads and processes: :class:`queue.Queue`, ``multiprocessing.Queue`` and ``JoinableQueue``.

    When :meth:`put` returns, the item is in shared memory: the producer may end or be killed, nothing is lost. There
    is no feeder thread, so nothing hangs at exit. Who is killed in the middle of a put has put nothing; who is killed
    in the middle of a get has taken nothing. It pickles anywhere: as an argument of a process or a task, as an item.

    Args:
        maxsize: How many items it holds at most; 0 or less: no limit but ``max_bytes``.
        local: For threads of one process only: passes references, of any object; cannot be pickled.
        name: Open the queue of that name of this user, or make it. It outlives its users while it holds items.
        create: For a name: ``True`` makes it (``FileExistsError`` if there is one), ``False`` opens it
            (``FileNotFoundError`` if there is none).
        redeliver: What a consumer took and had not marked by :meth:`task_done` when it died is delivered again, before
            all else once the death is noticed (within 40 ms). Items may then come twice.
        max_deliveries: With ``redeliver``: an item that was handed out so often goes to :attr:`dead_letters` instead.
        max_bytes: How many bytes may be queued; a put waits (or raises ``Full``) beyond it. Default: a quarter of the
            memory file system, as a rule.

    Raises:
        ValueError: Options that do not go together, or a named queue that was made with others.
    """

    __module__ = "holdfast"
    __slots__ = ()

    # ---- finishing ----

    def join(self, timeout: float | None = None) -> None:
        """Wait until every item that was put has been taken and marked by :meth:`task_done`.

        What a consumer had taken and not marked when it ended, or was killed, counts as done, and an
        :class:`AbandonedWarning` names it; with ``redeliver`` it is delivered again instead.

        Args:
            timeout: Seconds to wait at most (not in the standard library).

        Raises:
            TimeoutError: Time is up.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            found = self._join_step(left)
            if found is True:
                return
            if found is False:
                raise TimeoutError(f"{self.unfinished()} items of {self!r} are unfinished after {timeout} s")
            self._warn(*found)

    def _warn(self, items: int, lost: list[tuple[int, int]]) -> None:
        who = "; ".join(f"{_person(self.session, member)} had {count}" for member, count in lost)
        warnings.warn(
            f"{items} items of {self!r} were taken and never marked by task_done() by processes that have ended: they "
            f"count as done ({who})",
            AbandonedWarning,
            stacklevel=3,
        )

    @property
    def unfinished_tasks(self) -> int:
        """What :meth:`unfinished` says, under the standard library's name."""
        return self.unfinished()

    # ---- redelivery ----

    @property
    def deliveries(self) -> int:
        """How often the item that this thread took last has been handed out: 1 the first time; 0 if it is finished.

        Always 0 without ``redeliver``.
        """
        return self._deliveries()

    @property
    def dead_letters(self) -> DeadLetters:
        """Items that were handed out ``max_deliveries`` times and never finished. They count as done for `join`."""
        return DeadLetters(self)

    @property
    def max_bytes(self) -> int:
        """How many bytes may be queued."""
        return self._config()[2]

    # ---- shutting down ----

    def shutdown(self, immediate: bool = False) -> None:
        """Let nobody put any more: ``put`` raises :exc:`ShutDown`, and ``get`` once the queue is empty.

        With ``redeliver`` a ``get`` of a process that holds no unfinished item waits until the others have finished
        theirs: should one of them die, its items come back.

        Args:
            immediate: Throw away what is queued, so that ``get`` raises at once; thrown-away items count as done.
        """
        self._shut(THROWN_AWAY if immediate else SHUT)
        if self._bell_wanted():
            self._want_bell()

    def __iter__(self) -> Iterator[Any]:
        """Take items until the queue is shut down and empty (with ``redeliver``: and others hold none either)."""
        while True:
            try:
                item = self.get()
            except ShutDown:
                return
            yield item

    def join_thread(self) -> None:
        """Do nothing: there is no feeder thread (for programs written for ``multiprocessing.Queue``)."""

    def cancel_join_thread(self) -> None:
        """Do nothing: no exit ever waits for this queue."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ---- in an event loop ----

    async def aget(self) -> Any:
        """Take the next item, waiting in the event loop; no thread is used.

        Raises:
            ShutDown: The queue was shut down and is empty.
        """
        from holdfast.channels import asynchronous  # imports asyncio: not for programs without a loop

        waiting = None
        while True:
            try:
                return self.get_nowait()
            except Empty:
                waiting = waiting or asynchronous.Waiting(self.fileno(), bool(self._config()[3]))
            if self.is_shutdown:  # the bell rings for good; what others hold may yet come back
                await asynchronous.pauses(10)
            else:
                await waiting.once()

    async def aput(self, item: Any) -> None:
        """Put an item, waiting in the event loop for room. A large item is copied before this returns.

        Raises:
            ShutDown: The queue was shut down.
        """
        await self._aput(lambda: self.put_nowait(item))

    async def _aput(self, put: Callable[[], None]) -> None:
        from holdfast.channels import asynchronous

        count = 0
        while True:
            try:
                return put()
            except Full:
                count = await asynchronous.pauses(count)
            while self.full() and not self.is_shutdown:
                count = await asynchronous.pauses(count)

    async def ajoin(self) -> None:
        """Wait in the event loop as :meth:`join` does."""
        from holdfast.channels import asynchronous

        count = 0
        while (found := self._join_step(0.0)) is not True:
            if found:
                self._warn(*found)
            count = await asynchronous.pauses(count)


def _person(of: _native.Session, member: int) -> str:
    pid, label, _ = of.describe(member)
    return f"process {label!r} (pid {pid})" if pid else "a process that is gone"


def put_each(queue: Any, items: Iterable[Any], block: bool, timeout: float | None) -> None:
    """Put one by one, for queues whose items need a look first; errors carry ``count`` as ``put_many``'s do."""
    deadline = None if timeout is None else time.monotonic() + timeout
    count = 0
    try:
        for item in items:
            queue.put(item, block, None if deadline is None else max(0.0, deadline - time.monotonic()))
            count += 1
    except Exception as error:
        error.count = count  # type: ignore[attr-defined]
        raise
