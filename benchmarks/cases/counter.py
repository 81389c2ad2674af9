"""A shared counter: one atomic ``add(1)`` against ``with v.get_lock(): v.value += 1``, alone and by two processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from time import perf_counter_ns
from typing import Any

from benchmarks.model import SUBJECT, Beats, Case, TrialError
from benchmarks.peers import MP, holdfast
from benchmarks.stage import Board, meet, play, two_cores

RUN_NS = 250_000_000
BATCH = 200
ADDS = 30_000
RUNS = 5
DONE = 8  # the cells of the two sides are 8 apart


@dataclass(frozen=True)
class Counter:
    """A shared number and the loop that adds 1 to it ``n`` times in the peer's own idiom."""

    value: Any
    bump: Callable[[int], None]


def _bump_holdfast(value: Any, n: int) -> None:
    add = value.add
    for _ in repeat(None, n):
        add(1)


def _bump_mp(value: Any, n: int) -> None:
    for _ in repeat(None, n):
        with value.get_lock():
            value.value += 1


def _counter(peer: str) -> Counter:
    if peer == MP:
        value: Any = multiprocessing.get_context("fork").Value("q", 0)
        return Counter(value, partial(_bump_mp, value))
    value = holdfast().Value("q", 0)
    return Counter(value, partial(_bump_holdfast, value))


def _alone(peer: str) -> float:
    counter = _counter(peer)
    best = min(_timed(counter, ADDS) for _ in range(RUNS)) / ADDS
    _check(counter, ADDS * RUNS)
    return best


def _timed(counter: Counter, n: int) -> int:
    start = perf_counter_ns()
    counter.bump(n)
    return perf_counter_ns() - start


def _side(side: int, counter: Counter, board: Board) -> None:
    bump, done = counter.bump, 0
    meet(board, side)
    deadline = perf_counter_ns() + RUN_NS
    while perf_counter_ns() < deadline:
        bump(BATCH)
        done += BATCH
    board[DONE * (1 + side)] = done


def _together(peer: str) -> float:
    cpus = two_cores()
    counter = _counter(peer)
    board = play([partial(_side, 0, counter), partial(_side, 1, counter)], cpus)
    done = board[DONE] + board[DONE * 2]
    _check(counter, done)
    return done / (RUN_NS / 1e9)


def _check(counter: Counter, wanted: int) -> None:
    if counter.value.value != wanted:
        raise TrialError(f"the sum is {counter.value.value}, not {wanted}")


def cases() -> list[Case]:
    """Counter cases."""
    peers = (SUBJECT, MP)
    alone = {peer: partial(_alone, peer) for peer in peers}
    together = {peer: partial(_together, peer) for peer in peers}
    note = "the multiprocessing idiom is `with v.get_lock(): v.value += 1`; sums are checked"
    return [
        Case("counter", "ns", "less", alone, (Beats(MP, 15),), f"one +1, loop included; {note}"),
        Case("counter_2proc", "inc/s", "more", together, (Beats(MP, 20),), f"both of two pinned processes; {note}"),
    ]
