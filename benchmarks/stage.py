"""Processes that play one trial together: forked, pinned, watched; and the memory they share meanwhile.

The shared board is a plain anonymous mapping, the same for every peer, so that what is measured is only the
primitive. Time stamps of several processes compare because ``perf_counter_ns`` is CLOCK_MONOTONIC on Linux.
A side that fails or stalls ends the trial with :class:`TrialError`; only processes started here are killed.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.context import ForkProcess
from typing import TypeAlias

from benchmarks.model import TrialError, Unavailable

Board: TypeAlias = "memoryview[int]"
Side: TypeAlias = Callable[[Board], None]
Cpus: TypeAlias = Sequence[int | None]

FORK = multiprocessing.get_context("fork")
FREE: Cpus = (None, None)
_ARRIVALS = 500
STALL_SECONDS = 30.0


def new_board() -> Board:
    """512 zeroed signed 64-bit cells that forked children share; those from 500 on are the stage's own."""
    return memoryview(mmap.mmap(-1, 4096)).cast("q")


def two_cores() -> Cpus:
    """Two different CPUs that this process may use."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise Unavailable("needs two CPUs")
    return cpus[:2]


def until(board: Board, cell: int, value: int) -> None:
    """Wait, without sleeping, until ``board[cell]`` is at least ``value``."""
    while board[cell] < value:
        os.sched_yield()


def meet(board: Board, side: int) -> None:
    """Both sides of a pair leave this together, so that neither runs alone at the start."""
    board[_ARRIVALS + side] = 1
    until(board, _ARRIVALS + 1 - side, 1)


def play(sides: Sequence[Side], cpus: Cpus = FREE, board: Board | None = None) -> Board:
    """Run each side in a forked child (on its CPU, if one is given) until all have ended; the board as they left it.

    Raises :class:`TrialError` if a side fails, or if they have not ended after ``STALL_SECONDS``.
    """
    shared = new_board() if board is None else board
    children = [FORK.Process(target=_run_side, args=(side, shared, cpu)) for side, cpu in zip(sides, cpus, strict=True)]
    for child in children:
        child.start()
    try:
        _watch(children)
    finally:
        for child in children:
            put_down(child)
    return shared


def _run_side(side: Side, board: Board, cpu: int | None) -> None:
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    side(board)


def _watch(children: Sequence[ForkProcess]) -> None:
    deadline = time.monotonic() + STALL_SECONDS
    running = {child.sentinel: child for child in children}
    while running:
        left = deadline - time.monotonic()
        ended = wait_for_any(list(running), max(left, 0.0))
        if not ended:
            raise TrialError(f"HANGS: no end after {STALL_SECONDS:g} s")
        for sentinel in ended:
            check_end(running.pop(sentinel))  # type: ignore[arg-type]  # only sentinels were given


def check_end(child: ForkProcess) -> None:
    """Reap an ended child; raises :class:`TrialError` unless its exit code is 0."""
    child.join()
    if child.exitcode:
        raise TrialError(f"a side ended with exit code {child.exitcode}")


def put_down(child: ForkProcess) -> None:
    """Kill a child that still runs, and reap it."""
    if child.is_alive():
        child.kill()
    child.join()
    child.close()


@contextmanager
def computing(count: int) -> Iterator[None]:
    """``count`` other processes compute while the body runs: a busy machine."""
    children = [FORK.Process(target=_compute) for _ in range(count)]
    for child in children:
        child.start()
    try:
        yield
    finally:
        for child in children:
            put_down(child)


def _compute() -> None:
    total = 0
    while True:
        total = (total * 31 + 7) % 1_000_003
