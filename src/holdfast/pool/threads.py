"""`ThreadPoolExecutor`: the standard library's, sized by what this process may use, with the same ``map`` on every
Python version. Only these differences live here.
"""

from __future__ import annotations

from concurrent import futures
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast.pool import chunks
from holdfast.workers.cpu import cpu_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["ThreadPoolExecutor"]

T = TypeVar("T")


class ThreadPoolExecutor(futures.ThreadPoolExecutor):
    """A pool of threads; :class:`concurrent.futures.ThreadPoolExecutor` with a container's number of CPUs.

    Args:
        max_workers: The number of threads; by default :func:`holdfast.cpu_count` and four more, at most 32.

    The other arguments, and everything a future does, are the standard library's.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        wanted = min(32, cpu_count() + 4) if max_workers is None else max_workers
        super().__init__(wanted, thread_name_prefix, initializer, initargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,  # noqa: ARG002  (the base class has it)
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """As :meth:`concurrent.futures.Executor.map` of Python 3.14; ``chunksize`` means nothing to threads."""
        chunks.check_buffersize(buffersize)
        rows = zip(*iterables)  # noqa: B905
        return chunks.map_in_chunks(self, fn, rows, timeout, 1, buffersize)
