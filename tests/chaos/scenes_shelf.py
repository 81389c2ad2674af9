"""Scenes for the kill tests of the queues that keep each item in a block of its own. See scenes_channels."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.chaos import goods
from tests.chaos.scenes_channels import (
    LOSING,
    BusyPut,
    DoneScene,
    PutScene,
    ShutNowScene,
    ShutScene,
    TakeScene,
)
from tests.chaos.scenes_sync import die_holding

from holdfast import Empty, LifoQueue, PriorityQueue, Queue

if TYPE_CHECKING:
    from tests.chaos.scenes_sync import Scene


class LifoPut(PutScene):
    make = staticmethod(LifoQueue)
    ordered = False


class LifoTake(TakeScene):
    make = staticmethod(LifoQueue)
    ordered = False


class PriorityPut(PutScene):
    make = staticmethod(PriorityQueue)


class PriorityTake(TakeScene):
    make = staticmethod(PriorityQueue)


class LargePriorityPut(BusyPut):
    make = staticmethod(lambda: PriorityQueue(max_bytes=1 << 20))
    goods = staticmethod(goods.large)

    def put(self, who: int, i: int) -> None:
        self.queue.put(self.goods(who, i), priority=(who, i))


class LargeLifoTake(LifoTake):
    make = staticmethod(lambda: LifoQueue(max_bytes=1 << 20))
    goods = staticmethod(goods.large)


class LifoShutNow(ShutNowScene):
    make = staticmethod(LifoQueue)


class RedeliverPut(PutScene):
    make = staticmethod(lambda: Queue(redeliver=True))


class RedeliverTake(TakeScene):
    """What a victim had taken and not finished comes again: nothing is lost."""

    make = staticmethod(lambda: Queue(redeliver=True))
    redelivers = True
    ordered = False


class LargeRedeliverTake(RedeliverTake):
    make = staticmethod(lambda: Queue(redeliver=True, max_bytes=1 << 20))
    goods = staticmethod(goods.large)


class ArrayRedeliverTake(LargeRedeliverTake):
    goods = staticmethod(goods.array)


class RedeliverDone(DoneScene):
    make = staticmethod(lambda: Queue(redeliver=True))

    def survive(self) -> None:
        """The item of a victim that died before it was finished is there once more; somebody must finish it."""
        while self.queue.unfinished():
            with contextlib.suppress(Empty):
                self.queue.get(timeout=0.05)
                self.queue.task_done()


class RedeliverShutNow(ShutNowScene):
    make = staticmethod(lambda: Queue(redeliver=True))


class RedeliverShut(ShutScene):
    make = staticmethod(lambda: Queue(redeliver=True))


class InheritScene(RedeliverPut):
    """The victims take what other dead ones had taken, again and again."""

    redelivers = True
    ordered = False

    def victim(self) -> None:
        producer, consumer = self.producers.add(1) - 1, self.consumers.add(1) - 1
        for i in range(1 << 30):
            self.put(producer, i)
            self.returned[producer] = i + 1
            die_holding(self.queue.get)
            self.note(consumer, self.queue.get())
            self.queue.task_done()


class LetterScene(InheritScene):
    """The victims read dead letters; who dies reading one leaves it to the next reader."""

    make = staticmethod(lambda: Queue(redeliver=True, max_deliveries=1))

    def victim(self) -> None:
        producer, consumer = self.producers.add(1) - 1, self.consumers.add(1) - 1
        for i in range(1 << 30):
            self.put(producer, i)
            self.returned[producer] = i + 1
            die_holding(self.queue.get)
            self.note(consumer, self.queue.dead_letters.get())

    def check(self) -> None:
        reader = self.consumers.add(1) - 1
        self.queue.join(20)
        for item in self.queue.dead_letters:
            self.note(reader, item)
        assert self.missing() <= (3 if self.step in LOSING else 0)
        assert self.queue.dead_letters.empty()
        self.check_empty()


PUTTING: list[type[Scene]] = [LifoPut, PriorityPut, LargePriorityPut, RedeliverPut]

SCENES: dict[str, list[type[Scene]]] = {
    "shelf_filled": PUTTING,
    "shelf_intended": PUTTING,
    "shelf_queued": PUTTING,
    "shelf_taken": [LifoTake, LargeLifoTake, PriorityTake, RedeliverTake, LargeRedeliverTake, LetterScene],
    "shelf_freed": [LifoTake, LargeLifoTake, PriorityTake, RedeliverTake, ArrayRedeliverTake, LetterScene,
                    LifoShutNow, RedeliverShutNow],
    "shelf_back": [InheritScene, LetterScene],
    "queue_done": [RedeliverDone],
    "queue_shut": [LifoShutNow, RedeliverShut],
    "mutex_taken": [LifoPut, RedeliverTake, InheritScene],
    "mutex_released": [PriorityPut, LifoTake, RedeliverTake],
    "alloc_popped": [LifoPut],
    "free_unkinded": [LifoTake, LetterScene],
    "ref_dropped": [LargeLifoTake],
}  # fmt: skip
