"""A lock that nobody else wants: acquire and release, and ``with``.

Nothing is subtracted: loop and calls are in the figure, the same for every peer. A trial is the best of a few
short runs, because an interruption can only make one longer.
"""

from __future__ import annotations

from functools import partial
from itertools import repeat
from time import perf_counter_ns

from benchmarks.model import SUBJECT, Beats, Case
from benchmarks.peers import MP, THREADING, LockLike, family

PAIRS = 50_000
RUNS = 25


def pair_ns(lock: LockLike) -> float:
    """Nanoseconds for one turn of the loop: ``acquire()`` and ``release()`` as bound methods."""
    acquire, release = lock.acquire, lock.release
    start = perf_counter_ns()
    for _ in repeat(None, PAIRS):
        acquire()
        release()
    return (perf_counter_ns() - start) / PAIRS


def with_ns(lock: LockLike) -> float:
    """Nanoseconds for one turn of the loop: an empty ``with lock``."""
    start = perf_counter_ns()
    for _ in repeat(None, PAIRS):
        with lock:
            pass
    return (perf_counter_ns() - start) / PAIRS


def _pair(peer: str) -> float:
    lock = family(peer).Lock()
    return min(pair_ns(lock) for _ in range(RUNS))


def _with(peer: str) -> float:
    lock = family(peer).Lock()
    return min(with_ns(lock) for _ in range(RUNS))


def cases() -> list[Case]:
    """Uncontended lock cases."""
    peers = (SUBJECT, MP, THREADING)
    return [
        Case(
            "lock_pair",
            "ns",
            "less",
            {peer: partial(_pair, peer) for peer in peers},
            (Beats(MP, 0.9), Beats(THREADING, 1.8)),
            "acquire() + release() by bound methods, loop included",
        ),
        Case(
            "lock_with",
            "ns",
            "less",
            {peer: partial(_with, peer) for peer in peers},
            (Beats(MP, 2.0), Beats(THREADING, 1.5)),
            "`with lock: pass`, loop included",
        ),
    ]
