"""The three ways the demo does its job: serially, with threads, and with processes of which one is killed.

Here live the runs and what is measured of them. What a task does is in `counting`, what is shown at the end in `demo`.
"""

from __future__ import annotations

import os
import signal
import sysconfig
import time
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast.cli import counting
from holdfast.cli.counting import Board, Counts, Report
from holdfast.errors import WorkerDied
from holdfast.pool.executor import ProcessPoolExecutor
from holdfast.pool.threads import ThreadPoolExecutor

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

__all__ = ["Kill", "Result", "serially", "watched", "with_processes", "with_threads"]

KILL_AFTER = 0.5  # of the bytes are done


@dataclass
class Kill:
    """A worker that was killed on purpose, and what that cost."""

    pid: int
    at: float
    lost: str = ""  # the file that its worker was parsing
    noticed: float = 0.0  # seconds from the kill to the task's WorkerDied
    repeated: float = 0.0  # seconds that the file took when it was run again

    def sentence(self) -> str:
        """What happened, for people."""
        if not self.lost:
            return f"Killed worker {self.pid} with SIGKILL between two files: nothing had to be run again."
        name = os.path.relpath(self.lost, sysconfig.get_path("stdlib"))
        return (
            f"Killed worker {self.pid} with SIGKILL while it was parsing {name}: known after "
            f"{self.noticed * 1e3:.0f} ms, 1 task run again in {self.repeated:.3f} s; no other task was touched, and "
            "the worker was replaced."
        )


@dataclass
class Result:
    """What one way came to."""

    name: str
    seconds: float = 0.0
    returned: Counts = field(
        default_factory=Counts
    )  # the sum of what the tasks returned, counted in this process alone
    shared: Counts = field(default_factory=Counts)  # what the shared values hold
    again: list[str] = field(default_factory=list)  # files whose task was run a second time
    kill: Kill | None = None


def watched(console: Console, name: str, way: Callable[..., None], paths: list[str], *args: object) -> Result:
    """Run one way, with a bar if there is a terminal to draw it on; returns its result."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    result = Result(name)
    board = Board(len(paths))
    columns = TextColumn("{task.description:>9}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(name, total=len(paths))
        began = time.perf_counter()
        way(result, board, paths, lambda: progress.advance(bar), *args)
        result.seconds = time.perf_counter() - began
    result.shared = board.read()
    return result


def serially(result: Result, board: Board, paths: list[str], advance: Callable[[], None]) -> None:
    """One after the other, in this thread. The sum of the returned counts is the plain count all must equal."""
    counting.install(board)
    for number, path in enumerate(paths):
        result.returned = result.returned.plus(counting.count_shared(number, path).counts)
        advance()


def with_threads(result: Result, board: Board, paths: list[str], advance: Callable[[], None], workers: int) -> None:
    """In a pool of threads."""
    with ThreadPoolExecutor(workers, initializer=counting.install, initargs=(board,)) as pool:
        for report in pool.map(counting.count_shared, range(len(paths)), paths):
            result.returned = result.returned.plus(report.counts)
            advance()


def with_processes(
    result: Result, board: Board, paths: list[str], advance: Callable[[], None], workers: int, kill: bool
) -> None:
    """In a pool of processes, of which one is killed on the way; what it was doing is submitted again."""
    with ProcessPoolExecutor(workers, initializer=counting.install, initargs=(board,)) as pool:
        waiting = {pool.submit(counting.count_shared, number, path): number for number, path in enumerate(paths)}
        done, middle = 0, KILL_AFTER * sum(map(os.path.getsize, paths))
        while waiting:
            ready, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ready:
                number = waiting.pop(future)
                if _take(result, future, paths[number]):
                    done += os.path.getsize(paths[number])
                    advance()
                else:
                    waiting[pool.submit(counting.count_shared, number, paths[number])] = number
            if kill and result.kill is None and done >= middle:
                result.kill = _kill_one(pool)


def _take(result: Result, future: Future[Report], path: str) -> bool:
    """Add what a task returned; False if its worker died, so that it has to be run again."""
    try:
        report = future.result()
    except WorkerDied as death:
        result.again.append(path)
        if result.kill is not None and result.kill.pid == death.pid:
            result.kill.lost = path
            result.kill.noticed = time.perf_counter() - result.kill.at
        return False
    result.returned = result.returned.plus(report.counts)
    if result.kill is not None and result.kill.lost == path:
        result.kill.repeated = report.seconds
    return True


def _kill_one(pool: ProcessPoolExecutor) -> Kill | None:
    """SIGKILL a worker of the pool, whatever it is doing at this instant."""
    for pid, process in list(pool._processes.items()):
        if process.is_alive():
            os.kill(pid, signal.SIGKILL)
            return Kill(pid, time.perf_counter())
    return None
