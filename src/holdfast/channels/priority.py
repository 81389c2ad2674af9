"""PriorityQueue: the lowest item first, between threads and processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.channels import order
from holdfast.channels.queue import PRIORITY, Queue, put_each

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PriorityQueue"]


class PriorityQueue(Queue):
    """A :class:`Queue` that hands out the lowest item first; :class:`queue.PriorityQueue` between processes too.

    Items that are numbers, ``str``, ``bytes`` or tuples of these (or instances of an ordered dataclass of these) have
    Python's own order; any other item needs ``priority=``, which is one of them. Equal ones come in the order in which
    they were put. Arguments, sharing, pickling and what happens at deaths are as with :class:`Queue`.

    What an item is ordered by has at most 1 MiB (no limit with ``local=True``).

    Where items of different kinds meet (an ``int`` and a ``str``), which Python would refuse to compare, the order is
    numbers, ``str``, ``bytes``, tuples.
    """

    __module__ = "holdfast"
    __slots__ = ()
    _flavour = PRIORITY

    def put(self, item: Any, block: bool = True, timeout: float | None = None, *, priority: Any = None) -> None:
        """Put an item.

        Args:
            item: Any picklable object (any object with ``local=True``).
            block: Wait for room.
            timeout: Seconds to wait at most; None: no limit.
            priority: What to order it by, if not by itself.

        Raises:
            TypeError: The item has no order and no priority was given.
            ValueError: What it is ordered by is too long, or NaN.
            Full, ShutDown, NotPicklable: As with :class:`Queue`.
        """
        self._put_keyed(order.key(item if priority is None else priority), item, block, timeout)

    def put_nowait(self, item: Any, *, priority: Any = None) -> None:
        """Put an item, or raise :exc:`queue.Full` at once."""
        self._put_keyed(order.key(item if priority is None else priority), item, False)

    def put_many(self, items: Iterable[Any], block: bool = True, timeout: float | None = None) -> None:
        """Put all, in their order; an exception's ``count`` says how many are in the queue."""
        put_each(self, items, block, timeout)

    async def aput(self, item: Any, *, priority: Any = None) -> None:
        """Put an item, waiting in the event loop for room."""
        key = order.key(item if priority is None else priority)
        await self._aput(lambda: self._put_keyed(key, item, False))
