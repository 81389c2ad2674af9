"""How many items per second flow through one queue: one by one, in batches, and between four processes.

A producer puts for a fixed time and then one item that means the end; the figure is all items over the time
from the first put until a consumer has the end, so what a queue only buffered is paid for too. No item may be
lost: a trial in which the counts differ fails.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from time import perf_counter_ns
from typing import Any

from benchmarks.model import SUBJECT, Beats, Case, Gate, Trial, TrialError
from benchmarks.peers import MP
from benchmarks.queue_peers import (
    BYTES_HYPERQ,
    FASTER_FIFO,
    HYPERQ,
    OS_PIPE,
    Carrier,
    Get,
    Load,
    Put,
    carrier,
    queue_class,
)
from benchmarks.stage import Board, Side, play, until

PUT_NS = 200_000_000
CHUNK = 100
MOST = 1000
READY, COUNTS, TIMES = 400, 0, 200  # cells: a line for each side
LINE = 8
SMALL = Load()
ONE_BY_ONE = "holdfast put/get"
FIFO = "holdfast Queue"


@dataclass(frozen=True)
class Payload:
    """Items of one type, and one of that type which means the end."""

    name: str
    items: Sequence[Any]
    end: Any


INTS = Payload("int", range(1_000_000, 1_000_000 + CHUNK), -1)
# hyperq tries to unpickle bytes and fails with EOFError where they begin like a pickle: "x" does not.
BYTES = Payload("bytes100", [b"x" * 96 + b"%04d" % number for number in range(CHUNK)], b"x end")
_RECORDS = [{"id": number, "name": f"item {number}", "price": number * 0.5, "done": False} for number in range(CHUNK)]
DICTS = Payload("dict", _RECORDS, {})
# The same with a list in it, which holdfast leaves to pickle.
NESTED = Payload("dict_pickled", [{**record, "tags": ["new"]} for record in _RECORDS], {})


def gather(board: Board, side: int, sides: int) -> None:
    """Every side leaves this together."""
    board[READY + side] = 1
    for other in range(sides):
        until(board, READY + other, 1)


def _put_single(put: Put, payload: Payload) -> int:
    count = 0
    deadline = perf_counter_ns() + PUT_NS
    chunk = list(payload.items)
    while perf_counter_ns() < deadline:
        for item in chunk:
            put(item)
        count += CHUNK
    return count


def _put_chunks(put_many: Put, payload: Payload) -> int:
    count = 0
    deadline = perf_counter_ns() + PUT_NS
    chunk = list(payload.items)
    while perf_counter_ns() < deadline:
        put_many(chunk)
        count += CHUNK
    return count


def _get_single(get: Get, end: object) -> int:
    count = 0
    for _ in iter(get, end):
        count += 1
    return count


def _get_batches(get_many: Get, end: object) -> int:
    count = -1
    last = None
    while last != end:
        items = get_many()
        count += len(items)
        last = items[-1]
    return count


def _produce(means: Carrier, payload: Payload, side: int, sides: int, board: Board) -> None:
    gather(board, side, sides)
    put = means.putter()
    many = isinstance(means, Batches)
    board[TIMES + LINE * side] = perf_counter_ns()
    board[COUNTS + LINE * side] = (_put_chunks if many else _put_single)(put, payload)
    means.before_end()
    put([payload.end] if many else payload.end)
    means.leave()


def _consume(means: Carrier, payload: Payload, side: int, sides: int, board: Board) -> None:
    get = means.getter()
    gather(board, side, sides)
    many = isinstance(means, Batches)
    board[COUNTS + LINE * side] = (_get_batches if many else _get_single)(get, payload.end)
    board[TIMES + LINE * side] = perf_counter_ns()


class Batches(Carrier):
    """Many items with one call, on both sides; ``most`` at once on the taking side (None: all there are)."""

    def __init__(self, queue_object: Any, most: int | None) -> None:
        super().__init__(queue_object)
        self._most = most

    def putter(self) -> Put:
        put: Put = self._queue.put_many
        return put

    def getter(self) -> Get:
        return partial(self._queue.get_many, self._most)


class Sorted(Carrier):
    """Gives items in another order than they came in: the end may be put only when all others are taken."""

    def before_end(self) -> None:
        while self._queue.qsize():
            os.sched_yield()


def flow(means: Carrier, payload: Payload, pairs: int = 1) -> float:
    """Items per second through ``means``, with ``pairs`` producers and as many consumers."""
    sides = 2 * pairs
    producers: list[Side] = [partial(_produce, means, payload, side, sides) for side in range(pairs)]
    consumers: list[Side] = [partial(_consume, means, payload, side, sides) for side in range(pairs, sides)]
    try:
        board = play(producers + consumers, list(repeat(None, sides)))
    finally:
        means.close()
    counts = [board[COUNTS + LINE * side] for side in range(sides)]
    times = [board[TIMES + LINE * side] for side in range(sides)]
    sent, received = sum(counts[:pairs]), sum(counts[pairs:])
    if sent != received:
        raise TrialError(f"{sent} items put, {received} received")
    return received * 1e9 / (max(times[pairs:]) - min(times[:pairs]))


def _by_peer(peer: str, payload: Payload, pairs: int) -> float:
    return flow(carrier(peer, SMALL), payload, pairs)


def _in_batches(payload: Payload, most: int | None) -> float:
    return flow(Batches(queue_class(SUBJECT)(), most), payload)


def _by_class(peer: str, name: str, payload: Payload, means: type[Carrier] = Carrier) -> float:
    return flow(means(queue_class(peer, name)()), payload)


def _case(name: str, trials: Mapping[str, Trial], *gates: Gate, note: str = "") -> Case:
    return Case(name, "msg/s", "more", trials, gates, note)


def _one_by_one(payload: Payload, times: float) -> Case:
    peers = [SUBJECT, MP, FASTER_FIFO, HYPERQ, OS_PIPE]
    if payload is BYTES:
        peers.append(BYTES_HYPERQ)
    gates = (Beats(MP, times), *(Beats(peer, 1) for peer in peers[2:]))
    trials = {peer: partial(_by_peer, peer, payload, 1) for peer in peers}
    return _case(f"queue_{payload.name}", trials, *gates, note="one producer, one consumer, from first put to last get")


def _batches(payload: Payload, *gates: Gate) -> Case:
    trials = {SUBJECT: partial(_in_batches, payload, MOST), ONE_BY_ONE: partial(_by_peer, SUBJECT, payload, 1)}
    return _case(f"queue_many_{payload.name}", trials, *gates, note=f"put_many of {CHUNK}, get_many of at most {MOST}")


def _all_at_once(payload: Payload) -> Case:
    trials = {SUBJECT: partial(_in_batches, payload, None), ONE_BY_ONE: partial(_by_peer, SUBJECT, payload, 1)}
    note = f"put_many of {CHUNK}, get_many() of all there are: lists of up to millions"
    return _case(f"queue_many_all_{payload.name}", trials, note=note)


def _two_pairs() -> Case:
    trials = {peer: partial(_by_peer, peer, BYTES, 2) for peer in (SUBJECT, MP, HYPERQ, BYTES_HYPERQ)}
    return _case("queue_2p2c_bytes100", trials, Beats(MP, 6), note="two producers, two consumers")


def _sibling(name: str) -> Case:
    trials = {
        SUBJECT: partial(_by_class, SUBJECT, name, INTS, Sorted),
        FIFO: partial(_by_class, SUBJECT, "Queue", INTS, Sorted),
    }
    return _case(
        f"queue_{name.removesuffix('Queue').lower()}_int", trials, note="one producer, one consumer, one by one"
    )


def _simple() -> Case:
    trials = {peer: partial(_by_class, peer, "SimpleQueue", INTS) for peer in (SUBJECT, MP)}
    return _case("queue_simple_int", trials, note="SimpleQueue on both sides, one by one")


def cases() -> list[Case]:
    """Throughput of small items."""
    return [
        _one_by_one(INTS, 10),
        _one_by_one(BYTES, 8),
        _one_by_one(DICTS, 4),
        _one_by_one(NESTED, 4),
        _batches(INTS, Beats(ONE_BY_ONE, 2)),
        _batches(BYTES, Beats(ONE_BY_ONE, 2)),
        _batches(DICTS),
        _all_at_once(BYTES),
        _two_pairs(),
        _simple(),
        _sibling("LifoQueue"),
        _sibling("PriorityQueue"),
    ]
