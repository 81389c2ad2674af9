"""One producer and one consumer thread of one process: references through ``Queue(local=True)``."""

from __future__ import annotations

import threading
from functools import partial
from time import perf_counter_ns
from typing import Any

from benchmarks.cases.queue_flow import DICTS, INTS, Payload, _get_single, _put_single
from benchmarks.model import SUBJECT, Beats, Case, TrialError
from benchmarks.queue_peers import queue_class
from benchmarks.stage import Board, play

QUEUE = "queue.Queue"
SIMPLE = "queue.SimpleQueue"
SENT, RECEIVED, TAKEN = 0, 8, 16  # cells, on lines of their own


def _make(peer: str) -> Any:
    if peer == SUBJECT:
        return queue_class(SUBJECT)(local=True)
    return queue_class("queue", peer.removeprefix("queue."))()


def _threads(queue: Any, payload: Payload, board: Board) -> None:
    def produce() -> None:
        board[SENT] = _put_single(queue.put, payload)
        queue.put(payload.end)

    producer = threading.Thread(target=produce)
    start = perf_counter_ns()
    producer.start()
    board[RECEIVED] = _get_single(queue.get, payload.end)
    board[TAKEN] = perf_counter_ns() - start
    producer.join()


def _per_s(peer: str, payload: Payload) -> float:
    board = play([partial(_threads, _make(peer), payload)], (None,))  # a child, so that we never fork beside threads
    if board[SENT] != board[RECEIVED]:
        raise TrialError(f"{board[SENT]} items put, {board[RECEIVED]} received")
    return board[RECEIVED] * 1e9 / board[TAKEN]


def _case(payload: Payload) -> Case:
    trials = {peer: partial(_per_s, peer, payload) for peer in (SUBJECT, QUEUE, SIMPLE)}
    note = "local=True; references, one by one"
    return Case(f"queue_threads_{payload.name}", "msg/s", "more", trials, (Beats(QUEUE, 2),), note)


def cases() -> list[Case]:
    """Threads."""
    return [_case(INTS), _case(DICTS)]
