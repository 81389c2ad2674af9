"""A plain list that behaves as a queue should: what the model-based tests compare with. Knows no queue."""

from __future__ import annotations

from queue import Empty, Full

from holdfast import ShutDown


class Model:
    """One queue as a list; ``kind`` is the class's name. Calls never wait."""

    def __init__(self, kind: str, maxsize: int) -> None:
        self.kind, self.maxsize = kind, maxsize
        self.items: list[object] = []
        self.unfinished = 0
        self.closed = False

    def put(self, item: object) -> None:
        if self.closed:
            raise ShutDown
        if self.full():
            raise Full
        self.items.append(item)
        self.unfinished += 1

    def put_many(self, items: list[object]) -> None:
        for count, item in enumerate(items):
            try:
                self.put(item)
            except (ShutDown, Full) as error:
                error.count = count
                raise

    def get(self) -> object:
        if not self.items:
            raise ShutDown if self.closed else Empty
        if self.kind == "PriorityQueue":
            return self.items.pop(self.items.index(min(self.items)))  # the first of the lowest
        return self.items.pop(-1 if self.kind == "LifoQueue" else 0)

    def get_many(self, most: int | None) -> list[object]:
        if most == 0:
            return []
        got = [self.get()]
        while self.items and (most is None or len(got) < most):
            got.append(self.get())
        return got

    def task_done(self) -> None:
        if self.unfinished == 0:
            raise ValueError
        self.unfinished -= 1

    def shutdown(self, immediate: bool) -> None:
        self.closed = True
        if immediate:
            self.unfinished = max(0, self.unfinished - len(self.items))
            self.items.clear()

    def qsize(self) -> int:
        return len(self.items)

    def full(self) -> bool:
        return 0 < self.maxsize <= len(self.items)

    def state(self) -> tuple[int, bool, bool, int, bool]:
        return len(self.items), not self.items, self.full(), self.unfinished, self.closed


def state_of(queue) -> tuple[int, bool, bool, int, bool]:
    """The same of a queue."""
    return queue.qsize(), queue.empty(), queue.full(), queue.unfinished(), queue.is_shutdown


def outcome(call, *args, **kwargs) -> tuple[str, object, object]:
    """What a call returns, or raises (with ``.count``), in a form that can be compared."""
    try:
        return "returned", call(*args, **kwargs), None
    except (Empty, Full, ShutDown, ValueError) as error:
        return "raised", type(error).__name__, getattr(error, "count", None)
