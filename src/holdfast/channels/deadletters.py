"""Dead letters: the items of a redelivering queue that were handed out too often.

A view on the queue, which keeps them; must not know how.
"""

from __future__ import annotations

import time
from queue import Empty
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.channels.queue import Queue

__all__ = ["DeadLetters"]


class DeadLetters:
    """The items of a queue that nobody could finish; any process that has the queue can take them.

    A view: it is always up to date, and taking an item from it is final.
    """

    __module__ = "holdfast"
    __slots__ = ("_queue",)

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def qsize(self) -> int:
        """How many there are."""
        return self._queue._dead()

    __len__ = qsize

    def empty(self) -> bool:
        """Whether there are none."""
        return self.qsize() == 0

    def get_nowait(self) -> Any:
        """Take the oldest, or raise :exc:`queue.Empty`."""
        return self._queue._get_dead(False)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the oldest, waiting for it if need be; raises :exc:`queue.Empty` when time is up."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.001
        while True:
            try:
                return self.get_nowait()
            except Empty:
                if not block or (deadline is not None and time.monotonic() >= deadline):
                    raise
            time.sleep(pause if deadline is None else max(0.0, min(pause, deadline - time.monotonic())))
            pause = min(0.05, 2 * pause)

    def __iter__(self) -> Iterator[Any]:
        """Take all there are."""
        while True:
            try:
                item = self.get_nowait()
            except Empty:
                return
            yield item

    def __repr__(self) -> str:
        return f"<holdfast dead letters: {self.qsize()} of {self._queue!r}>"
