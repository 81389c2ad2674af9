"""The child's side of a pool: take a call, run it, answer, until the ring is closed.

It knows its desk and nothing of the pool, of futures or of other workers. It must survive everything a task raises,
and may be killed at any instruction: what it was doing is then read from its desk (see `channel`).
"""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from holdfast.pool import channel, codec
from holdfast.workers import watch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["main"]


def main(
    number: int,
    address: channel.Address,
    parent_start: int,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
) -> None:
    """Target of a worker's process. Ends when the parent closes the ring, or has died.

    Not daemonic in multiprocessing's sense, since tasks may have children; so it watches the parent by itself.
    """
    watch.die_with_parent(parent_start)
    _leave_ctrl_c_to_the_parent()
    desk = channel.Desk.open(address)
    if initializer is not None:
        try:
            initializer(*initargs)
        except BaseException as error:
            desk.answer(number, channel.FAILED, codec.pack_error(error), time.monotonic())
            return
    del initializer, initargs
    desk.results.put(channel.tag(number, channel.READY), b"")
    try:
        while _serve(desk):
            pass
    except BrokenPipeError:
        pass  # the parent wants no more results


def _leave_ctrl_c_to_the_parent() -> None:
    """Ctrl-C reaches the whole group; the parent decides what it means.

    A handler that does nothing instead of SIG_IGN, which the programs that a task runs would inherit.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda _signal, _frame: None)


def _serve(desk: channel.Desk) -> bool:
    """Run one task; False at the end. A function of its own, so that nothing of a task outlives it."""
    try:
        record = desk.tasks.get()
    except EOFError:
        return False
    if record is None:
        return True
    tag, data = record
    number = channel.number_of(tag)
    desk.running.set(number)  # before the first byte is looked at: from here on it has begun
    began = time.monotonic()
    try:
        plain, answer = codec.run_packed(channel.open_payload(desk.session, tag, data))
    except LookupError:
        return True  # the parent gave the task up and freed its block
    _answer(desk, number, plain, answer, began)
    return True


def _answer(desk: channel.Desk, number: int, plain: bool, answer: bytes, began: float) -> None:
    try:
        desk.answer(number, channel.VALUE if plain else channel.OUTCOME, answer, began)
    except (MemoryError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        error.add_note(f"there was no room for the result, {len(answer)} bytes, in shared memory")
        desk.answer(number, channel.OUTCOME, codec.pack_error(error), began)
