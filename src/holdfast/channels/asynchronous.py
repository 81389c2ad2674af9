"""Waiting for a queue in an event loop, without a thread: the loop watches the queue's bell.

Only the waiting lives here. One reader per queue and loop, whoever waits; each is woken when the bell rings, and looks.
A bell is never missing while something is queued, so the ticks below only serve what comes back from the dead: items
of a consumer that died (``redeliver``), and a shutdown whose caller was killed before it rang.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import Final

__all__ = ["Waiting", "pauses"]

TICK: Final = 0.25  # seconds
TICK_FOR_THE_DEAD: Final = 0.04
SHORTEST_PAUSE: Final = 0.0005
LONGEST_PAUSE: Final = 0.02

_watched: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, set[asyncio.Future[None]]]] = (
    weakref.WeakKeyDictionary()
)


class Waiting:
    """Waiting for one descriptor in the running loop."""

    def __init__(self, fd: int, redelivers: bool) -> None:
        self._fd = fd
        self._tick = TICK_FOR_THE_DEAD if redelivers else TICK

    async def once(self) -> None:
        """Return when the bell may have rung; by a tick at the latest."""
        loop = asyncio.get_running_loop()
        waiters = _watched.setdefault(loop, {}).setdefault(self._fd, set())
        if not waiters:
            loop.add_reader(self._fd, _wake, waiters)
        mine: asyncio.Future[None] = loop.create_future()
        waiters.add(mine)
        timer = loop.call_later(self._tick, _end, mine)
        try:
            await mine
        finally:
            timer.cancel()
            waiters.discard(mine)
            if not waiters:
                _forget(loop, self._fd)


def _wake(waiters: set[asyncio.Future[None]]) -> None:
    for future in waiters:
        _end(future)


def _end(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _forget(loop: asyncio.AbstractEventLoop, fd: int) -> None:
    _watched.get(loop, {}).pop(fd, None)
    with contextlib.suppress(RuntimeError, ValueError, OSError):  # the loop, or the descriptor, was closed meanwhile
        loop.remove_reader(fd)


async def pauses(count: int) -> int:
    """Sleep a little, longer each time (``count`` is what the last call returned); room in a queue has no bell."""
    await asyncio.sleep(min(LONGEST_PAUSE, SHORTEST_PAUSE * 2 ** min(count, 10)))
    return count + 1
