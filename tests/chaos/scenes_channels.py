"""Scenes for the kill tests of the queues that keep their items in rings, and what all queues' scenes share.

See scenes_sync for what a scene is. Here several victims die one after the other on one queue. Whatever is put and
got is noted in shared memory after the call has returned, so that only what was in flight at a death is in doubt.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from tests.chaos import goods
from tests.chaos.scenes_sync import Scene, cell, die_holding, numbers
from tests.core.tools import WATCHDOG, until

from holdfast import Empty, Queue, ShutDown

if TYPE_CHECKING:
    from collections.abc import Callable

PEOPLE = 12  # producers, and as many consumers
LOG = 1 << 14  # items that one consumer can note
VICTIMS_DEAD = 0  # place in `flags`

# A death here is one after the item was taken and before its taker could say so.
LOSING = {"fifo_taken", "fifo_given", "mutex_released", "shelf_taken", "shelf_freed", "ref_dropped", "free_unkinded",
          "free_run"}  # fmt: skip


class QueueScene(Scene):
    """What was put arrives, once, whole and in order; nothing is unfinished and nothing queued in the end."""

    make: Callable[[], Any] = staticmethod(Queue)
    goods: Callable[[int, int], Any] = staticmethod(goods.small)
    batch = 1  # items per call
    records = 200
    ordered = True  # one consumer gets one producer's items in their order
    redelivers = False

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.queue = self.make()
        self.flags = numbers(1)
        self.returned = numbers(PEOPLE)  # per producer: items whose put came back
        self.log = numbers(PEOPLE * LOG)  # per consumer: how many, then the tags
        self.producers, self.consumers = cell(), cell()

    def put(self, who: int, i: int) -> None:
        if self.batch > 1:
            self.queue.put_many([self.goods(who, n) for n in range(i, i + self.batch)])
        else:
            self.queue.put(self.goods(who, i))

    def produce(self, count: int) -> None:
        who = self.producers.add(1) - 1
        for i in range(0, count, self.batch):
            self.put(who, i)
            self.returned[who] = i + self.batch

    def consume(self) -> None:
        who = self.consumers.add(1) - 1
        while True:
            try:
                items = self.queue.get_many(self.batch) if self.batch > 1 else [self.queue.get()]
            except ShutDown:
                return
            for item in items:
                self.note(who, item)
                self.queue.task_done()

    def note(self, who: int, item: Any) -> None:
        producer, i = goods.read(item)
        at = who * LOG
        self.log[at + self.log[at] + 1] = producer << 32 | i
        self.log[at] += 1

    def survive(self) -> None:
        self.consume()

    def died(self) -> None:
        self.flags[VICTIMS_DEAD] = 1

    def arrived(self, producer: int) -> list[int]:
        """Numbers of a producer's items that arrived, sorted."""
        found = []
        for at in range(0, PEOPLE * LOG, LOG):
            tags = self.log[at + 1 : at + 1 + self.log[at]].tolist()
            mine = [tag & 0xFFFFFFFF for tag in tags if tag >> 32 == producer]
            assert not self.ordered or mine == sorted(mine), f"out of order: {mine}"
            found += mine
        return sorted(found)

    def missing(self) -> int:
        """How many items that were put did not arrive; fails if any came that should not."""
        count = 0
        for producer in range(PEOPLE):
            arrived = self.arrived(producer)
            sure, got = self.returned[producer], set(arrived)
            assert self.redelivers or len(got) == len(arrived), "received twice"
            in_flight = sorted(got - set(range(sure)))
            assert in_flight == list(range(sure, sure + len(in_flight)))
            assert len(in_flight) <= self.batch
            count += len(set(range(sure)) - got)
        return count

    def check(self) -> None:
        missing = self.missing()
        loses = self.step in LOSING or self.batch > 1  # of many, some may be taken already
        at_most = self.victims * self.batch if loses and not self.redelivers else 0
        assert missing <= at_most, f"{missing} items are lost"
        self.check_empty()

    victims = 0  # how many took items

    def check_empty(self) -> None:
        self.queue.join(WATCHDOG)
        assert (self.queue.qsize(), self.queue.nbytes(), self.queue.unfinished()) == (0, 0, 0)


class PutScene(QueueScene):
    """The victims put; nobody takes before they are dead. Then another producer goes on, and shuts the queue."""

    def victim(self) -> None:
        self.produce(1 << 30)

    def company(self) -> list[Callable[[], object]]:
        return [self.other]

    def other(self) -> None:
        until(lambda: self.flags[VICTIMS_DEAD], "the victims' death")
        self.produce(self.records)
        self.queue.shutdown()


class GrowingScene(PutScene):
    goods = staticmethod(goods.medium)


class ManyPut(PutScene):
    batch = 10
    deepest = 1  # or more items than consumers can note


class BusyPut(PutScene):
    """The same while somebody takes items out, so that the victims go on past a full queue."""

    make = staticmethod(lambda: Queue(maxsize=5))

    def company(self) -> list[Callable[[], object]]:
        return [self.other, self.consume]


class LargePut(BusyPut):
    goods = staticmethod(goods.large)


class ArrayPut(BusyPut):
    make = staticmethod(lambda: Queue(max_bytes=1 << 20))
    goods = staticmethod(goods.array)


class TakeScene(QueueScene):
    """The victims take; what they had not taken is there for the next ones."""

    victims = 3

    def victim(self) -> None:
        self.consume()

    def company(self) -> list[Callable[[], object]]:
        return [self.other]

    def other(self) -> None:
        self.produce(self.records)
        until(lambda: self.flags[VICTIMS_DEAD], "the victims' death")
        self.queue.shutdown()

    def check(self) -> None:
        if self.step in {"fifo_taken", "fifo_given"} and self.batch == 1:
            assert self.missing() == self.victims
        super().check()


class ManyTake(TakeScene):
    batch = 10
    deepest = 1  # the queue has no more


class LargeTake(TakeScene):
    make = staticmethod(lambda: Queue(max_bytes=1 << 20))
    goods = staticmethod(goods.large)


class ArrayTake(LargeTake):
    goods = staticmethod(goods.array)


class BacklogScene(TakeScene):
    """The victims come to a queue that has grown through many segments."""

    goods = staticmethod(goods.medium)
    records = 1000
    deepest = 1  # the queue has no more

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.produce(self.records)

    def other(self) -> None:
        until(lambda: self.flags[VICTIMS_DEAD], "the victims' death")
        self.queue.shutdown()


class ShrinkScene(PutScene):
    """The victims have the queue grow and empty it, over and over: it becomes small again under their hands."""

    goods = staticmethod(goods.medium)
    victims = 3

    def victim(self) -> None:
        producer, consumer = self.producers.add(1) - 1, self.consumers.add(1) - 1
        for i in range(1 << 30):
            self.put(producer, i)
            self.returned[producer] = i + 1
            with contextlib.suppress(Empty):
                while i % 100 == 99:
                    self.note(consumer, self.queue.get_nowait())


class DoneScene(QueueScene):
    """Who waits in join goes on, although the one who finished the last item died before it woke anybody."""

    def victim(self) -> None:
        who = self.producers.add(1) - 1
        for i in range(1 << 30):
            self.put(who, i)
            self.queue.get()
            self.queue.task_done()

    def company(self) -> list[Callable[[], object]]:
        return [self.join_again, self.join_again]

    def join_again(self) -> None:
        while not self.flags[VICTIMS_DEAD]:
            self.queue.join()
        self.queue.join()

    def survive(self) -> None:
        self.queue.join()

    def check(self) -> None:
        self.check_empty()


class SettleScene(DoneScene):
    """The victims wait in join for what another dead one had taken."""

    def victim(self) -> None:
        while True:
            self.queue.put(1)
            die_holding(self.queue.get)
            self.queue.join()

    def company(self) -> list[Callable[[], object]]:
        return []


class ShutScene(QueueScene):
    """Whoever sleeps in get is told of the end, although the one who shut the queue died before it woke anybody."""

    def victim(self) -> None:
        while True:
            self.queue.shutdown()

    def company(self) -> list[Callable[[], object]]:
        return [self.consume]

    def check(self) -> None:
        assert self.queue.is_shutdown
        self.check_empty()


class ShutNowScene(ShutScene):
    """A queue is thrown away with all that is in it, by one victim after the other; joiners go on."""

    goods = staticmethod(goods.medium)
    records = 1000
    deepest = 1  # the queue has no more

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.produce(self.records)

    def victim(self) -> None:
        while True:
            self.queue.shutdown(immediate=True)

    def company(self) -> list[Callable[[], object]]:
        return [self.join]

    def join(self) -> None:
        if self.step != "queue_shut":  # who waits in join looks after the dead: it would leave the next victim nothing
            until(lambda: self.flags[VICTIMS_DEAD], "the victims' death")
        self.queue.join()


class LargeShutNow(ShutNowScene):
    goods = staticmethod(goods.large)
    records = 20


PUTTING: list[type[Scene]] = [PutScene, ManyPut, BusyPut, LargePut, ArrayPut]
TAKING: list[type[Scene]] = [TakeScene, ManyTake, LargeTake, ArrayTake]

SCENES: dict[str, list[type[Scene]]] = {
    "fifo_ready": [GrowingScene, ManyPut],
    "fifo_linked": [GrowingScene, ShrinkScene],
    "fifo_written": PUTTING,
    "fifo_intended": PUTTING,
    "fifo_committed": PUTTING,
    "fifo_put": PUTTING,
    "fifo_copied": [*TAKING, ShutNowScene, LargeShutNow],
    "fifo_taken": [*TAKING, ShutNowScene, LargeShutNow],
    "fifo_given": TAKING,
    "fifo_advanced": [BacklogScene, ShrinkScene, ShutNowScene],
    "queue_settled": [SettleScene],
    "queue_done": [DoneScene],
    "queue_shut": [ShutScene, ShutNowScene],
    "mutex_taken": [PutScene, TakeScene],
    "mutex_released": [PutScene, TakeScene],
    "alloc_run": [GrowingScene, LargePut],
    "free_run": [LargeTake],
    "ref_dropped": [LargePut, LargeTake],
}
