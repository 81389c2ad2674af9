"""After ``kill -9`` of the holder of a lock: how long until a waiter that slept in another process has it.

multiprocessing's waiter would wait for ever, so the only peer is ``flock``, whose lock the kernel drops.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from time import perf_counter_ns

from benchmarks.model import SUBJECT, AtMost, Case, TrialError
from benchmarks.peers import LockLike, holdfast
from benchmarks.stage import FORK, Board, check_end, new_board, put_down

KILLS = 5
HELD, WAITING, GOT = 0, 8, 16  # cells, on lines of their own
LIMIT = 10.0


class FileLock:
    """``flock`` on a path, opened anew by each process that takes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def acquire(self) -> None:
        """Open the file and take its lock."""
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def release(self) -> None:
        """Close the file, which gives the lock up."""
        os.close(self._fd)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exc: object) -> None:
        self.release()


def _hold(lock: LockLike, board: Board) -> None:
    lock.acquire()
    board[HELD] = 1
    signal.pause()


def _inherit(lock: LockLike, board: Board) -> None:
    warnings.simplefilter("ignore")  # AbandonedWarning is right here, and expected
    board[WAITING] = 1
    lock.acquire()
    board[GOT] = perf_counter_ns()
    lock.release()


def _takeover_ms(lock: LockLike) -> float:
    board = new_board()
    holder = FORK.Process(target=_hold, args=(lock, board))
    waiter = FORK.Process(target=_inherit, args=(lock, board))
    try:
        holder.start()
        _watch(board, HELD)
        waiter.start()
        _watch(board, WAITING)
        # asleep, and at no fixed phase of a waiter that looks after its owner at intervals
        time.sleep(0.05 + random.random() * 0.05)
        start = perf_counter_ns()
        holder.kill()
        waiter.join(LIMIT)
        if waiter.is_alive():
            raise TrialError(f"HANGS: the waiter did not get the lock in {LIMIT:g} s")
        check_end(waiter)
        return (board[GOT] - start) / 1e6
    finally:
        for child in (holder, waiter):
            if child.pid is not None:
                put_down(child)


def _watch(board: Board, cell: int) -> None:
    deadline = time.monotonic() + LIMIT
    while not board[cell]:
        if time.monotonic() > deadline:
            raise TrialError("a side did not start")
        time.sleep(0.001)


def _of_holdfast() -> float:
    lock_class = holdfast().Lock
    return median(_takeover_ms(lock_class()) for _ in range(KILLS))


def _of_flock() -> float:
    with tempfile.TemporaryDirectory() as folder:
        return median(_takeover_ms(FileLock(Path(folder, "lock"))) for _ in range(KILLS))


def cases() -> list[Case]:
    """Taking over from the dead."""
    trials = {SUBJECT: _of_holdfast, "flock": _of_flock}
    note = f"from before kill -9 of the holder until after acquire(); median of {KILLS} kills a round"
    return [Case("takeover", "ms", "less", trials, (AtMost(50),), note)]
