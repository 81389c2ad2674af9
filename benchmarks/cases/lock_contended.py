"""Two processes that both want one lock all the time: lock, ``v += 1``, unlock; no update may be lost.

``v`` is a cell of anonymous shared memory, the same for every peer. Both sides run for a fixed time, so that
an unfair lock cannot let one finish early and leave the other alone.
"""

from __future__ import annotations

from functools import partial
from itertools import repeat
from time import perf_counter_ns

from benchmarks.model import SUBJECT, Beats, Case, TrialError
from benchmarks.peers import MP, LockLike, family
from benchmarks.stage import Board, meet, play, two_cores

RUN_NS = 250_000_000
BATCH = 100
SHARED, DONE = 0, 8  # cells: the value both change; what each side did, 8 apart to be on lines of their own


def _side(side: int, lock: LockLike, board: Board) -> None:
    acquire, release = lock.acquire, lock.release
    done = 0
    meet(board, side)
    deadline = perf_counter_ns() + RUN_NS
    while perf_counter_ns() < deadline:
        for _ in repeat(None, BATCH):
            acquire()
            board[SHARED] += 1
            release()
        done += BATCH
    board[DONE * (1 + side)] = done


def _contend(peer: str) -> float:
    cpus = two_cores()
    lock = family(peer).Lock()
    board = play([partial(_side, 0, lock), partial(_side, 1, lock)], cpus)
    done = board[DONE] + board[DONE * 2]
    if board[SHARED] != done:
        raise TrialError(f"lost {done - board[SHARED]} of {done} updates")
    return done / (RUN_NS / 1e9)


def cases() -> list[Case]:
    """The contended lock."""
    trials = {peer: partial(_contend, peer) for peer in (SUBJECT, MP)}
    note = "increments of both of two pinned processes; every round checks that none was lost"
    return [Case("lock_contended", "inc/s", "more", trials, (Beats(MP, 1.5),), note)]
