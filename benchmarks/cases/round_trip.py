"""Two processes that answer each other: by semaphores, by a condition, and by the rounds of a barrier.

Each is measured with the two pinned to two cores (the gate), free, and while two other processes compute. A
trial runs for a fixed time; the figure is the median over batches, so that a round trip which the machine
interrupted does not count for more than one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter_ns
from typing import TypeAlias

from benchmarks.model import SUBJECT, Beats, Case
from benchmarks.peers import MP, BarrierLike, ConditionLike, Family, LockLike, family
from benchmarks.stage import FREE, Board, Side, computing, meet, play, two_cores

RUN_NS = 250_000_000
WARM_UP = 100
BATCH = 20
STOP, TURN, FIGURE = 0, 8, 16  # cells, on lines of their own

Trip: TypeAlias = Callable[[], None]


def _lead(board: Board, trip: Trip) -> None:
    """Time ``trip`` in batches, then let one last batch tell the other side to stop."""
    for _ in range(WARM_UP):
        trip()
    taken = []
    deadline = perf_counter_ns() + RUN_NS
    start = perf_counter_ns()
    while start < deadline:
        for _ in range(BATCH):
            trip()
        end = perf_counter_ns()
        taken.append(end - start)
        start = end
    board[FIGURE] = int(median(taken) * 1000 / BATCH)  # picoseconds: a hot round trip is not many nanoseconds
    board[STOP] = 1
    trip()


def _semaphore_sides(peer: Family) -> list[Side]:
    there, back = peer.Semaphore(0), peer.Semaphore(0)
    return [partial(_ask_semaphore, there, back), partial(_answer_semaphore, there, back)]


def _ask_semaphore(there: LockLike, back: LockLike, board: Board) -> None:
    def trip() -> None:
        there.release()
        back.acquire()

    meet(board, 0)
    _lead(board, trip)


def _answer_semaphore(there: LockLike, back: LockLike, board: Board) -> None:
    meet(board, 1)
    stop = 0
    while not stop:
        there.acquire()
        stop = board[STOP]
        back.release()


def _condition_sides(peer: Family) -> list[Side]:
    condition = peer.Condition()
    return [partial(_ask_condition, condition), partial(_answer_condition, condition)]


def _ask_condition(condition: ConditionLike, board: Board) -> None:
    def trip() -> None:
        with condition:
            board[TURN] = 1
            condition.notify()
            while board[TURN]:
                condition.wait()

    meet(board, 0)
    _lead(board, trip)


def _answer_condition(condition: ConditionLike, board: Board) -> None:
    meet(board, 1)
    stop = 0
    while not stop:
        with condition:
            while not board[TURN]:
                condition.wait()
            stop = board[STOP]
            board[TURN] = 0
            condition.notify()


def _barrier_sides(peer: Family) -> list[Side]:
    barrier = peer.Barrier(2)
    return [partial(_ask_barrier, barrier), partial(_answer_barrier, barrier)]


def _ask_barrier(barrier: BarrierLike, board: Board) -> None:
    meet(board, 0)
    _lead(board, partial(_round, barrier, board))


def _round(barrier: BarrierLike, board: Board) -> None:
    board[TURN] = board[STOP]  # before this round, so that both sides agree that it is the last
    barrier.wait()
    barrier.wait()


def _answer_barrier(barrier: BarrierLike, board: Board) -> None:
    meet(board, 1)
    stop = 0
    while not stop:
        barrier.wait()
        stop = board[TURN]
        barrier.wait()


KINDS: dict[str, Callable[[Family], list[Side]]] = {
    "semaphore": _semaphore_sides,
    "condition": _condition_sides,
    "barrier": _barrier_sides,
}


def _trip_us(peer: str, kind: str, *, pinned: bool, others: int = 0) -> float:
    cpus = two_cores() if pinned else FREE
    sides = KINDS[kind](family(peer))
    with computing(others):
        return play(sides, cpus)[FIGURE] / 1e6


def _rounds_per_s(peer: str, kind: str, *, pinned: bool, others: int = 0) -> float:
    return 2e6 / _trip_us(peer, kind, pinned=pinned, others=others)


def _case(kind: str, place: str, *, pinned: bool, others: int) -> Case:
    gates = (Beats(MP, 5),) if pinned else ()
    measure = _rounds_per_s if kind == "barrier" else _trip_us
    trials = {peer: partial(measure, peer, kind, pinned=pinned, others=others) for peer in (SUBJECT, MP)}
    if kind == "barrier":
        return Case(f"barrier_{place}", "rounds/s", "more", trials, gates, "two parties, rounds by median over batches")
    return Case(f"{kind}_rtt_{place}", "us", "less", trials, gates, f"p50 over batches of {BATCH} round trips")


def cases() -> list[Case]:
    """Round trips: every kind in every placement."""
    places = (("2core", True, 0), ("free", False, 0), ("busy", False, 2))
    return [_case(kind, place, pinned=pinned, others=others) for kind in KINDS for place, pinned, others in places]
