"""`Executor.map` with chunks and a bounded window. It knows the executor only by its ``submit``.

``submit`` is called on the instance for every chunk: others (tqdm) put their own in its place.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future

__all__ = ["check_buffersize", "map_in_chunks"]


def run_chunk(fn: Callable[..., Any], chunk: list[tuple[Any, ...]]) -> list[Any]:
    """In a worker: one chunk."""
    return [fn(*args) for args in chunk]


def check_buffersize(buffersize: int | None) -> None:
    """Raise TypeError or ValueError as :meth:`concurrent.futures.Executor.map` of Python 3.14 does."""
    if buffersize is not None and not isinstance(buffersize, int):
        raise TypeError(f"buffersize={buffersize!r} must be an integer or None")
    if buffersize is not None and buffersize < 1:
        raise ValueError(f"buffersize={buffersize} must be None or > 0")


def map_in_chunks(
    executor: Executor,
    fn: Callable[..., Any],
    rows: Iterator[tuple[Any, ...]],
    timeout: float | None,
    chunksize: int,
    buffersize: int | None,
) -> Iterator[Any]:
    """Submit now what the window allows (all without one), and return the iterator over the results, in order."""
    deadline = None if timeout is None else time.monotonic() + timeout
    calls = _calls(fn, rows, chunksize)
    # The window counts items; at least one chunk must be on its way.
    window = None if buffersize is None else max(1, buffersize // chunksize)
    futures = deque(executor.submit(*call) for call in itertools.islice(calls, window))
    return _results(executor, futures, calls if window is not None else iter(()), deadline, chunksize > 1)


def _calls(fn: Callable[..., Any], rows: Iterable[tuple[Any, ...]], size: int) -> Iterator[tuple[Any, ...]]:
    rows = iter(rows)
    if size == 1:
        for row in rows:
            yield fn, *row
        return
    while chunk := list(itertools.islice(rows, size)):
        yield run_chunk, fn, chunk


def _results(
    executor: Executor,
    futures: deque[Future[Any]],
    calls: Iterator[tuple[Any, ...]],
    deadline: float | None,
    many: bool,
) -> Iterator[Any]:
    try:
        while futures:
            for call in itertools.islice(calls, 1):
                futures.append(executor.submit(*call))
            # No name for what is yielded: its caller's reference shall be the only one.
            if not many:
                yield _result(futures.popleft(), deadline)
                continue
            chunk = _result(futures.popleft(), deadline)
            chunk.reverse()
            while chunk:
                yield chunk.pop()
    finally:
        for future in futures:
            future.cancel()


def _result(future: Future[Any], deadline: float | None) -> Any:
    try:
        return future.result(None if deadline is None else deadline - time.monotonic())
    finally:
        future.cancel()  # if it was the timeout, or Ctrl-C
        del future  # an error's traceback holds this frame
