"""Scenes for the kill tests of the barrier. See scenes_sync for what a scene is."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

from tests.chaos.scenes_sync import Scene, numbers
from tests.core.tools import until

from holdfast.sync.barrier import Barrier

if TYPE_CHECKING:
    from collections.abc import Callable


class BarrierScene(Scene):
    """A party of the dead one gets through or finds the barrier broken; a reset makes it whole."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.barrier = Barrier(2)
        self.plain = numbers(2 + 2 * 20)  # stop, the company has left, who came in each round

    def meet(self) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            while True:
                self.barrier.wait()

    victim = meet

    def company(self) -> list[Callable[[], object]]:
        return [self.meet_and_tell]

    def meet_and_tell(self) -> None:
        self.meet()
        self.plain[1] = 1

    def died(self) -> None:
        if self.step == "mutex_taken":  # perhaps it never was a party
            self.barrier.abort()
        until(lambda: self.plain[1], f"the barrier broken by the death: {self.barrier}")
        self.barrier.reset()

    def survive(self) -> None:
        for i in range(20):
            self.plain[2 + 2 * i + self.barrier.wait()] += 1

    def check(self) -> None:
        assert self.plain[2:].tolist() == [1] * 40
        assert (self.barrier.n_waiting, self.barrier.broken) == (0, False)


class AbortScene(BarrierScene):
    """The victim is no party: it breaks the barrier under others, or resets it."""

    def victim(self) -> None:
        while True:
            until(lambda: self.barrier.n_waiting == 1, "a party")
            self.barrier.abort()
            self.barrier.reset()

    def company(self) -> list[Callable[[], object]]:
        return [self.insist]

    def insist(self) -> None:
        while not self.plain[0]:
            try:
                self.barrier.wait()
            except threading.BrokenBarrierError:
                os.sched_yield()
        self.plain[1] = 1

    def died(self) -> None:
        self.plain[0] = 1  # the party leaves at the next break: one that the death has caused, or ours
        if self.step.startswith("mutex"):
            self.barrier.abort()
        until(lambda: self.plain[1], f"the party that was waiting goes on: {self.barrier}")
        self.barrier.reset()


class ResetScene(AbortScene):
    def victim(self) -> None:
        while True:
            until(lambda: self.barrier.n_waiting == 1, "a party")
            self.barrier.reset()
