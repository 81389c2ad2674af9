"""Making and dropping objects, and what 10,000 locks cost that exist at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from itertools import repeat
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Literal, TypeAlias

from benchmarks.model import SUBJECT, AtMost, Beats, Case, Gate
from benchmarks.peers import MP, family
from benchmarks.stage import Board, play

EACH = 300
RUNS = 5
HELD = 10_000
Resource: TypeAlias = Literal["time", "fds", "files", "mappings"]
CELLS: dict[Resource, int] = {"time": 0, "fds": 1, "files": 2, "mappings": 3}
UNITS: dict[Resource, str] = {"time": "us", "fds": "each", "files": "each", "mappings": "each"}

Make: TypeAlias = Callable[[], object]


def _maker(peer: str, kind: str) -> Make:
    made_by: Any = family(peer)
    if kind == "Value":
        return partial(made_by.Value, "q", 0)
    make: Make = getattr(made_by, kind)
    return make


def _create_us(peer: str, kind: str) -> float:
    return least_us(_maker(peer, kind), EACH)


def least_us(make: Make, each: int) -> float:
    """Microseconds for making and dropping one, in the quickest of some runs of ``each``."""
    return min(_timed(make, each) for _ in range(RUNS)) / each / 1000


def _timed(make: Make, each: int) -> int:
    start = perf_counter_ns()
    for _ in repeat(None, each):
        make()
    return perf_counter_ns() - start


def usage() -> dict[Resource, int]:
    """What this process holds now."""
    return {
        "fds": len(os.listdir("/proc/self/fd")),
        "files": sum(len(names) for _, _, names in os.walk("/dev/shm")),
        "mappings": Path("/proc/self/maps").read_text(encoding="utf-8").count("\n"),
    }


def _hold_many(make: Make, board: Board) -> None:
    make()  # whatever is made once per process is not counted against each object
    before = usage()
    start = perf_counter_ns()
    held = [make() for _ in range(HELD)]
    board[CELLS["time"]] = perf_counter_ns() - start
    after = usage()
    for name, count in after.items():
        board[CELLS[name]] = max(0, count - before[name])
    del held


def _held(peer: str, resource: Resource) -> float:
    board = play([partial(_hold_many, _maker(peer, "Lock"))], (None,))
    amount = board[CELLS[resource]] / HELD
    return amount / 1000 if resource == "time" else amount


def _create_case(kind: str, *gates: Gate) -> Case:
    trials = {peer: partial(_create_us, peer, kind) for peer in (SUBJECT, MP)}
    return Case(f"create_{kind.lower()}", "us", "less", trials, gates)


def _held_case(resource: Resource, *gates: Gate) -> Case:
    trials = {peer: partial(_held, peer, resource) for peer in (SUBJECT, MP)}
    return Case(f"10k_locks_{resource}", UNITS[resource], "less", trials, gates)


def cases() -> list[Case]:
    """Creation, and resources held."""
    return [
        _create_case("Lock", Beats(MP, 15)),
        _create_case("Event", Beats(MP, 50)),
        _create_case("Semaphore"),
        _create_case("Condition"),
        _create_case("Value"),
        _held_case("time"),
        _held_case("fds", AtMost(0)),
        _held_case("files", AtMost(0.01)),  # other programs may make a few meanwhile
        _held_case("mappings", AtMost(0.01)),
    ]
