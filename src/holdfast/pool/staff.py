"""The workers of one pool as a whole: how many there should be, hiring, seeing who is dead, and when to despair.

Tasks are not known here. Everything is called under the engine's lock, except `dead`, which only the collector calls.
"""

from __future__ import annotations

from multiprocessing import spawn
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Final

from holdfast.pool import channel
from holdfast.pool.crew import Plan, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Staff"]

FALSE_STARTS: Final = 3  # workers in a row that ended before they were ready, by themselves: the pool gives up
KILLED_STARTS: Final = 20  # the same for those that were killed: somebody else's doing, unless it goes on


class Staff:
    """Who works in a pool."""

    bench: channel.Bench  # made by `begin`

    def __init__(self, plan: Plan, most: int) -> None:
        self.plan = plan
        self.most = most
        self.workers: dict[int, Worker] = {}
        self.processes: dict[int, Any] = {}  # by pid, as others read it
        self.begun = False
        self.target = 0  # how many workers there should be; grows with the demand
        self.made = 0
        self.false_starts = 0
        self.patience = 1.0  # with false starts; 0 is the end

    def begin(self) -> None:
        """Make what the first worker needs. With the fork method all workers are started at once, here, while there
        is no thread of ours that a fork could catch in the middle of something.
        """
        if self.plan.method != "fork":
            # Before anything is made: a worker that runs an unguarded main module again must end without a trace.
            spawn._check_not_importing_main()  # type: ignore[attr-defined]
        if not self.begun:
            self.bench = channel.Bench()
            self.begun = True
        while self.plan.method == "fork" and self.target < self.most:
            self.grow()

    def grow(self) -> None:
        """One more worker than before, if there may be more. Raises what its start raised."""
        if self.target < self.most:
            self._hire()
            self.target += 1

    def _hire(self) -> None:
        self.made += 1
        worker = Worker(self.made, self.bench, self.plan)
        self.workers[worker.number] = worker
        self.processes[worker.pid] = worker.process

    def active(self) -> int:
        """How many workers may be given tasks."""
        return sum(worker.active for worker in self.workers.values())

    def replace(self) -> Exception | None:
        """Hire for those who are gone or retiring. Returns what prevented it; worth another try later."""
        try:
            for _ in range(self.target - self.active()):
                self._hire()
        except Exception as error:
            return error
        return None

    def dismiss(self, worker: Worker) -> None:
        """Its process has ended."""
        self.workers.pop(worker.number, None)
        self.processes.pop(worker.pid, None)

    def dead(self, timeout: float) -> Iterator[Worker]:
        """Those whose process has ended; waits at most ``timeout`` seconds for one."""
        by_sentinel = {worker.process.sentinel: worker for worker in list(self.workers.values())}
        for sentinel in wait(list(by_sentinel), timeout) if by_sentinel else ():
            worker = by_sentinel[sentinel]  # type: ignore[index]
            if worker.dead():
                yield worker

    def ready(self, number: int) -> Worker | None:
        """A worker got through its initializer: workers can be started. None if it is gone already."""
        self.false_starts, self.patience = 0, 1.0
        return self.workers.get(number)

    def false_start(self, error: BaseException, killed: bool) -> str:
        """A worker ended before it was ready. Returns why there is no more sense in trying, or ""."""
        self.false_starts += 1
        self.patience -= 1 / (KILLED_STARTS if killed else FALSE_STARTS)
        if self.patience > 1e-6:
            return ""
        return (
            f"{self.false_starts} workers in a row ended before they were ready, the last one with "
            f"{type(error).__name__}: {error}. If that is the initializer's error, put it right; if the workers "
            "cannot import the main module, guard its work with if __name__ == '__main__'"
        )
