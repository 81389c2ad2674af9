"""What other processes are told to do with a queue; importable by spawned ones."""

from __future__ import annotations

import itertools
import os
import signal
import warnings
from queue import Empty
from typing import Any

SLOT: dict[str, Any] = {}  # what a peer keeps between two calls


class Bad:
    """An item that pickles, and cannot be unpickled."""

    def __init__(self, tag: object = None) -> None:
        self.tag = tag

    def __reduce__(self):
        return refuse, (self.tag,)


def refuse(tag: object) -> None:
    raise RuntimeError(f"{tag!r} does not like to be unpickled")


class Unpicklable:
    def __reduce__(self):
        raise TypeError("never")


def put_all(queue: Any, items: Any) -> None:
    for item in items:
        queue.put(item)


def get_n(queue: Any, count: int) -> list[Any]:
    return [queue.get(timeout=20) for _ in range(count)]


def drain(queue: Any) -> list[Any]:
    items = []
    while True:
        try:
            items.append(queue.get_nowait())
        except Empty:
            return items


def iterate(queue: Any) -> list[Any]:
    return list(queue)


def put_and_die(queue: Any, items: Any, how: str) -> None:
    """The last thing this process does, the moment its last put has returned."""
    for item in items:
        queue.put(item)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


def put_many_and_die(queue: Any, items: Any, how: str) -> None:
    queue.put_many(items)
    put_and_die(queue, (), how)


def take_and_die(queue: Any, count: int, how: str) -> None:
    for _ in range(count):
        queue.get(timeout=20)
    put_and_die(queue, (), how)


def finish(queue: Any, count: int) -> None:
    for _ in range(count):
        queue.get(timeout=20)
        queue.task_done()


def joined(lists: Any) -> list[Any]:
    """All the items of several lists, one list after another."""
    return list(itertools.chain.from_iterable(lists))


def outcome(call: Any, *args: Any, **kwargs: Any) -> str:
    """The name of what a call raises, or "returned"."""
    try:
        call(*args, **kwargs)
    except Exception as error:
        return type(error).__name__
    return "returned"


def told(call: Any, *args: Any, **kwargs: Any) -> tuple[Any, list[str]]:
    """Make a call; its value and the text of every warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = call(*args, **kwargs)
    return value, [f"{one.category.__name__}: {one.message}" for one in caught]


def keep(key: str, value: Any) -> None:
    SLOT[key] = value


def kept(key: str) -> Any:
    return SLOT[key]


def drop(key: str) -> None:
    del SLOT[key]


def deliveries_of(queue: Any) -> tuple[Any, int]:
    """Take one item: it, and how often it has been handed out."""
    item = queue.get(timeout=20)
    return item, queue.deliveries


def open_and_put(make: Any, name: str, items: Any) -> None:
    put_all(make(name=name), items)


def pid() -> int:
    return os.getpid()
