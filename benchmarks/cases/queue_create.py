"""Making and dropping queues, and what 1,000 queues cost that exist at once."""

from __future__ import annotations

import resource
from functools import partial
from time import perf_counter_ns
from typing import Any

from benchmarks.cases.create import CELLS, UNITS, Make, Resource, least_us, usage
from benchmarks.model import SUBJECT, AtMost, Beats, Case, Gate, Unavailable
from benchmarks.peers import MP
from benchmarks.queue_peers import queue_class
from benchmarks.stage import Board, play

EACH = 200
HELD = 1000
MOST_FDS = 4 * HELD


def _create_us(peer: str) -> float:
    return least_us(queue_class(peer), EACH)


def _with_an_item(make: Make) -> Any:
    queue = make()
    queue.put(0)
    return queue


def _hold_many(make: Make, board: Board) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    make()  # whatever is made once per process is not counted against each object
    before = usage()
    start = perf_counter_ns()
    held = [make() for _ in range(HELD)]
    board[CELLS["time"]] = perf_counter_ns() - start
    for name, count in usage().items():
        board[CELLS[name]] = max(0, count - before[name])
    del held


def _held(peer: str, what: Resource, *, used: bool) -> float:
    if peer == MP and resource.getrlimit(resource.RLIMIT_NOFILE)[1] < MOST_FDS:
        raise Unavailable(f"needs {MOST_FDS} open files")
    make = queue_class(peer)
    board = play([partial(_hold_many, partial(_with_an_item, make) if used else make)], (None,))
    amount = board[CELLS[what]] / HELD
    return amount / 1000 if what == "time" else amount


def _held_case(what: Resource, *gates: Gate) -> Case:
    trials = {peer: partial(_held, peer, what, used=peer == SUBJECT and what != "time") for peer in (SUBJECT, MP)}
    note = "" if what == "time" else "holdfast's with an item in each; the peer's empty, they would start a thread each"
    return Case(f"queue_1k_{what}", UNITS[what], "less", trials, gates, note)


def cases() -> list[Case]:
    """Creation, and resources held."""
    creation = {peer: partial(_create_us, peer) for peer in (SUBJECT, MP)}
    return [
        Case("queue_create", "us", "less", creation, (Beats(MP, 10),), "made and dropped, never used"),
        _held_case("time"),
        _held_case("fds", AtMost(0)),
        _held_case("files", AtMost(0.01)),  # other programs may make a few meanwhile
        _held_case("mappings", AtMost(0.01)),
    ]
