"""How long one item takes: there and back through two queues or a pipe, and to a getter that sleeps.

Round trips are measured with the two processes pinned to two cores and while two other processes compute;
there, every round trip is a sample of its own, so that the slowest of a hundred can be told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter_ns
from typing import Any, TypeAlias

from benchmarks.model import SUBJECT, Beats, Case, Gate
from benchmarks.peers import MP
from benchmarks.queue_peers import Get, Put, queue_class
from benchmarks.stage import FREE, Board, computing, meet, play, two_cores, until

RUN_NS = 300_000_000
BUSY_RUN_NS = 600_000_000
WARM_UP = 100
P50, P99 = 0, 8  # cells, on lines of their own, for all figures here
STOP = 0  # the item that ends a round trip for good

WAKES = 150
ASLEEP = 0.0015
READY, WOKEN, STAMP = 16, 24, 32

Ends: TypeAlias = tuple[tuple[Put, Get], tuple[Put, Get]]
"""What each of the two sides sends and receives with."""


@dataclass(frozen=True)
class Manner:
    """Where the two run, among how many that compute, and how round trips are timed."""

    pinned: bool
    others: int
    batch: int
    run_ns: int


TWO_CORES = Manner(pinned=True, others=0, batch=20, run_ns=RUN_NS)
BUSY = Manner(pinned=False, others=2, batch=1, run_ns=BUSY_RUN_NS)


def _two_queues(peer: str) -> Ends:
    there, back = queue_class(peer)(), queue_class(peer)()
    return (there.put, back.get), (back.put, there.get)


def _pipe(peer: str) -> Ends:
    left, right = queue_class(peer, "Pipe")()
    return (left.send, left.recv), (right.send, right.recv)


def _timed_trips(send: Put, receive: Get, manner: Manner) -> list[int]:
    for item in range(1, WARM_UP + 1):
        send(item)
        receive()
    taken = []
    batch = range(1, manner.batch + 1)
    start = perf_counter_ns()
    deadline = start + manner.run_ns
    while start < deadline:
        for item in batch:
            send(item)
            receive()
        end = perf_counter_ns()
        taken.append(end - start)
        start = end
    return taken


def _ask(ends: Ends, manner: Manner, board: Board) -> None:
    send, receive = ends[0]
    meet(board, 0)
    taken = _timed_trips(send, receive, manner)
    send(STOP)
    receive()
    _note(board, taken, manner.batch)


def _answer(ends: Ends, board: Board) -> None:
    send, receive = ends[1]
    meet(board, 1)
    item: Any = None
    while item != STOP:
        item = receive()
        send(item)


def _note(board: Board, taken: Sequence[int], batch: int) -> None:
    """Picoseconds for one of a batch: a hot round trip is not many nanoseconds."""
    board[P50] = int(median(taken) * 1000 / batch)
    board[P99] = int(sorted(taken)[len(taken) * 99 // 100] * 1000 / batch)


def _trip_us(make: Callable[[str], Ends], manner: Manner, cell: int, peer: str) -> float:
    cpus = two_cores() if manner.pinned else FREE
    ends = make(peer)
    with computing(manner.others):
        board = play([partial(_ask, ends, manner), partial(_answer, ends)], cpus)
    return board[cell] / 1e6


def _sleeper(get: Get, board: Board) -> None:
    for number in range(1, WAKES + 1):
        board[READY] = number
        get()
        board[STAMP] = perf_counter_ns()
        board[WOKEN] = number


def _waker(put: Put, board: Board) -> None:
    taken = []
    for number in range(1, WAKES + 1):
        until(board, READY, number)
        time.sleep(ASLEEP)  # the getter's own time to sleep, not an order: one found awake only counts as fast
        start = perf_counter_ns()
        put(number)
        until(board, WOKEN, number)
        taken.append(board[STAMP] - start)
    _note(board, taken, 1)


def _wake_us(peer: str) -> float:
    queue = queue_class(peer)()
    return play([partial(_sleeper, queue.get), partial(_waker, queue.put)], two_cores())[P50] / 1e6


def _trips(name: str, make: Callable[[str], Ends], manner: Manner, cell: int, *gates: Gate) -> Case:
    trials = {peer: partial(_trip_us, make, manner, cell, peer) for peer in (SUBJECT, MP)}
    over = f"batches of {manner.batch} round trips" if manner.batch > 1 else "single round trips"
    beside = f", while {manner.others} other processes compute" if manner.others else ""
    return Case(name, "us", "less", trials, gates, f"{'p50' if cell == P50 else 'p99'} over {over}{beside}")


def cases() -> list[Case]:
    """Round trips and wake-ups."""
    wakes = {peer: partial(_wake_us, peer) for peer in (SUBJECT, MP)}
    note = f"p50 of {WAKES}, from before put() until after get(); the producer slept {ASLEEP * 1000:g} ms too"
    return [
        _trips("queue_rtt_2core", _two_queues, TWO_CORES, P50, Beats(MP, 25)),
        _trips("queue_rtt_busy", _two_queues, BUSY, P50, Beats(MP, 4)),
        _trips("queue_rtt_busy_p99", _two_queues, BUSY, P99, Beats(MP, 1)),
        Case("queue_wake_2core", "us", "less", wakes, (Beats(MP, 1.7),), note),
        _trips("queue_pipe_rtt_2core", _pipe, TWO_CORES, P50),
        _trips("queue_pipe_rtt_busy", _pipe, BUSY, P50),
    ]
