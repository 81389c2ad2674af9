"""LifoQueue: last in, first out, between threads and processes."""

from __future__ import annotations

from holdfast.channels.queue import LIFO, Queue

__all__ = ["LifoQueue"]


class LifoQueue(Queue):
    """A :class:`Queue` that hands out the newest item first; :class:`queue.LifoQueue` between processes too.

    Arguments, sharing, pickling and what happens at deaths are as with :class:`Queue`.
    """

    __module__ = "holdfast"
    __slots__ = ()
    _flavour = LIFO
