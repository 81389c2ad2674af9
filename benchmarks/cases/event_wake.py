"""From ``Event.set()`` in one process to the first line after ``wait()`` in another that has slept 1 ms or more."""

from __future__ import annotations

import time
from functools import partial
from statistics import median
from time import perf_counter_ns

from benchmarks.model import SUBJECT, Beats, Case
from benchmarks.peers import MP, EventLike, family
from benchmarks.stage import FREE, Board, play, two_cores, until

WAKES = 150
ASLEEP = 0.0015
READY, WOKEN, CLEARED, STAMP, P50 = 0, 8, 16, 24, 32  # cells, on lines of their own


def _sleeper(event: EventLike, board: Board) -> None:
    for number in range(1, WAKES + 1):
        board[READY] = number
        event.wait()
        board[STAMP] = perf_counter_ns()
        board[WOKEN] = number
        until(board, CLEARED, number)


def _waker(event: EventLike, board: Board) -> None:
    taken = []
    for number in range(1, WAKES + 1):
        until(board, READY, number)
        time.sleep(ASLEEP)  # the sleeper's own time to sleep, not an order: a sleeper found awake only counts as fast
        start = perf_counter_ns()
        event.set()
        until(board, WOKEN, number)
        taken.append(board[STAMP] - start)
        event.clear()
        board[CLEARED] = number
    board[P50] = int(median(taken))


def _wake(peer: str, *, pinned: bool) -> float:
    cpus = two_cores() if pinned else FREE
    event = family(peer).Event()
    board = play([partial(_sleeper, event), partial(_waker, event)], cpus)
    return board[P50] / 1000


def cases() -> list[Case]:
    """Waking a sleeper, on two cores (with the gate) and wherever the scheduler puts the two."""
    peers = (SUBJECT, MP)
    note = f"p50 of {WAKES} wake-ups, from before set() until after wait(); the waker slept {ASLEEP * 1000:g} ms too"
    pinned = {peer: partial(_wake, peer, pinned=True) for peer in peers}
    free = {peer: partial(_wake, peer, pinned=False) for peer in peers}
    return [
        Case("event_wake_2core", "us", "less", pinned, (Beats(MP, 1.8),), note),
        Case("event_wake_free", "us", "less", free),
    ]
