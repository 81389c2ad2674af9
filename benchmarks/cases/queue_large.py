"""Large items: 1 MB of bytes and 10 MB arrays as a stream, one 100 MB array at a time handed over.

The receiver of an array reads one value of every page of it. A stream has few items in flight (the same for
every peer that can say so), so that nobody's figure is that of a buffer which was never sent.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Semaphore
from statistics import median
from time import perf_counter_ns
from typing import Any, TypeAlias

from benchmarks.model import SUBJECT, Beats, Case, Gate, TrialError, Unavailable
from benchmarks.peers import MP, numpy
from benchmarks.queue_peers import FASTER_FIFO, ZMQ, Carrier, Load, carrier, queue_class
from benchmarks.stage import FORK, FREE, Board, meet, play

MEGABYTE = Load(in_flight=4, item_bytes=1_000_000)
ARRAY = Load(in_flight=4, item_bytes=10_000_000)
BIG_ARRAY_BYTES = 100_000_000
STRIDE = 4096 // 8  # one float64 of each page
PUT_NS = 250_000_000
WARM = 3
PIPE = "mp.Pipe"
READ = "one value of every page read"
SENT, RECEIVED, START, END = 0, 8, 16, 24  # cells, on lines of their own
STAMP, FIGURE = 0, 8  # the same, for the hand-over

Make: TypeAlias = Callable[[int], Any]
Touch: TypeAlias = Callable[[Any], object]


def _bytes(size: int) -> bytes:
    return b"x" * size


def _array(size: int) -> Any:
    return numpy().ones(size // 8)


def _settle_allocator() -> None:
    """Have this process keep the memory of large objects that it frees, as one that ran for a while does.

    glibc returns blocks of 128 KB or more to the kernel when they are freed, until it has seen a larger one (of at
    most 32 MB) freed; then it reuses them. The difference is up to eightfold, page faults being what they are.
    """
    bytes(33_000_000)


def _touch_pages(array: Any) -> float:
    return float(array[::STRIDE].sum())


@dataclass(frozen=True)
class Stream:
    """Equal items one after the other; ``settled``: by processes that keep the memory which they freed."""

    load: Load
    make: Make
    touch: Touch
    settled: bool = False

    def prepare(self) -> tuple[Any, Sized]:
        """An item, and a short one that means the end."""
        if self.settled:
            _settle_allocator()
        return self.make(self.load.item_bytes), self.make(8)


def _send_all(means: Carrier, stream: Stream, board: Board) -> None:
    item, last = stream.prepare()
    meet(board, 0)
    put = means.putter()
    count = 0
    board[START] = start = perf_counter_ns()
    while perf_counter_ns() < start + PUT_NS:
        put(item)
        count += 1
    put(last)
    board[SENT] = count
    means.leave()


def _read_all(means: Carrier, stream: Stream, board: Board) -> None:
    last = stream.prepare()[1]
    get = means.getter()
    meet(board, 1)
    count = 0
    while len(item := get()) > len(last):
        stream.touch(item)
        del item  # before the next is received
        count += 1
    board[END] = perf_counter_ns()
    board[RECEIVED] = count


def _gb_per_s(peer: str, stream: Stream) -> float:
    _need_numpy(stream.make)
    means = carrier(peer, stream.load)
    try:
        board = play([partial(_send_all, means, stream), partial(_read_all, means, stream)], FREE)
    finally:
        means.close()
    if board[SENT] != board[RECEIVED]:
        raise TrialError(f"{board[SENT]} items put, {board[RECEIVED]} received")
    return board[RECEIVED] * stream.load.item_bytes / (board[END] - board[START])


def _need_numpy(make: Make) -> None:
    if make is _array and importlib.util.find_spec("numpy") is None:  # imported in the children: it starts threads
        raise Unavailable("needs numpy")


def _give(send: Callable[[Any], object], done: Semaphore, board: Board) -> None:
    array = _array(BIG_ARRAY_BYTES)
    done.acquire()
    taken = []
    for _ in range(1 + WARM):
        start = perf_counter_ns()
        send(array)
        done.acquire()
        taken.append(board[STAMP] - start)
    board[FIGURE] = int(median(taken[1:]))


def _take(receive: Callable[[], Any], done: Semaphore, board: Board) -> None:
    numpy()
    done.release()
    for _ in range(1 + WARM):
        array = receive()
        _touch_pages(array)
        board[STAMP] = perf_counter_ns()
        del array
        done.release()


def _hand_over_ms(peer: str) -> float:
    _need_numpy(_array)
    done = FORK.Semaphore(0)
    if peer == PIPE:
        receive_end, send_end = FORK.Pipe(duplex=False)
        sides = [partial(_give, send_end.send, done), partial(_take, receive_end.recv, done)]
        with receive_end, send_end:
            return play(sides, FREE)[FIGURE] / 1e6
    queue = queue_class(peer)()
    return play([partial(_give, queue.put, done), partial(_take, queue.get, done)], FREE)[FIGURE] / 1e6


def _stream_case(name: str, stream: Stream, peers: Sequence[str], *gates: Gate) -> Case:
    trials = {peer: partial(_gb_per_s, peer, stream) for peer in (SUBJECT, *peers)}
    note = f"at most {stream.load.in_flight} in flight, from first put to last get"
    if stream.make is _array:
        note += f"; {READ}"
    if stream.settled:
        note += "; processes whose allocator reuses large blocks (the peers' best state)"
    return Case(name, "GB/s", "more", trials, gates, note)


def cases() -> list[Case]:
    """Large items: streams from fresh processes and from settled ones, and single arrays.

    The gates on multiprocessing are on fresh processes, as its figures in the issue were; the others on both.
    """
    fresh, settled = Stream(MEGABYTE, _bytes, len), Stream(MEGABYTE, _bytes, len, settled=True)
    arrays, settled_arrays = Stream(ARRAY, _array, _touch_pages), Stream(ARRAY, _array, _touch_pages, settled=True)
    fifo, zmq = Beats(FASTER_FIFO, 1), Beats(ZMQ, 1.5)
    hand_overs = {peer: partial(_hand_over_ms, peer) for peer in (SUBJECT, PIPE)}
    warm = f"from before put() until read, median of {WARM} after the first; {READ}"
    return [
        _stream_case("queue_1mb_bytes", fresh, (MP, FASTER_FIFO), Beats(MP, 12), fifo),
        _stream_case("queue_1mb_bytes_settled", settled, (MP, FASTER_FIFO), fifo),
        _stream_case("queue_10mb_array", arrays, (MP, ZMQ), Beats(MP, 12), zmq),
        _stream_case("queue_10mb_array_settled", settled_arrays, (MP, ZMQ), zmq),
        Case("queue_100mb_array", "ms", "less", hand_overs, (Beats(PIPE, 20),), warm),
    ]
