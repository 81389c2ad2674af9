"""`ProcessPoolExecutor`: the face of a pool of processes as `concurrent.futures` has it.

Arguments are checked and handed on here; the work is the engine's.
"""

from __future__ import annotations

import multiprocessing
import weakref
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from holdfast.pool import chunks, exits
from holdfast.pool.crew import Plan
from holdfast.pool.engine import Engine
from holdfast.workers import popen
from holdfast.workers.cpu import cpu_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from multiprocessing.context import BaseContext
    from multiprocessing.process import BaseProcess

__all__ = ["ProcessPoolExecutor"]

P = ParamSpec("P")
T = TypeVar("T")


class ProcessPoolExecutor(Executor):
    """A pool of processes; takes what :class:`concurrent.futures.ProcessPoolExecutor` takes, and does what it does.

    A worker that dies, however it dies, fails only the task it was running, with :class:`holdfast.WorkerDied`, and is
    replaced; tasks it had not begun are given to others. The pool itself breaks only if its workers cannot be
    started: three in a row that end before their initializer is through give ``BrokenProcessPool``.

    Args:
        max_workers: The number of processes; by default :func:`holdfast.cpu_count`. Started on demand.
        mp_context: A :mod:`multiprocessing` context, for its start method. The default is forkserver.
        initializer: Called in each worker before its first task, with ``initargs``.
        max_tasks_per_child: A worker is replaced after so many tasks. Not with the fork method (``ValueError``).

    Arguments and results may have any size that fits into memory. Lambdas, closures and functions of a notebook can
    be submitted. Arguments are pickled when they are submitted, or, when very much is waiting already, later: do
    not change them before the task has ended.

    On Ctrl-C inside the ``with`` block, or uncaught, the workers are killed. They ignore it by themselves.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: BaseContext | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
    ) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError(f"max_workers must be greater than 0, not {max_workers}")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer={initializer!r} must be a callable")
        method = popen.default_method() if mp_context is None else mp_context.get_start_method()
        _check_most_tasks(max_tasks_per_child, method)
        self._max_workers = cpu_count() if max_workers is None else max_workers
        self._mp_context = mp_context if mp_context is not None else multiprocessing.get_context(method)
        self._engine = Engine(Plan(method, initializer, tuple(initargs), max_tasks_per_child), self._max_workers)
        exits.register(self._engine)
        weakref.finalize(self, self._engine.forsaken).atexit = False  # at exit, `exits` decides

    @property
    def _processes(self) -> dict[int, BaseProcess]:
        """The worker processes by pid; others read this."""
        return self._engine.staff.processes

    @property
    def _broken(self) -> str | bool:
        """False, or why the pool is broken; others read this."""
        return False if self._engine.broken is None else str(self._engine.broken)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a worker call ``fn(*args, **kwargs)`` and return the future of its result.

        The future's exception is the task's own with the worker's traceback as its cause; ``WorkerDied`` if the
        worker died while running it; ``NotPicklable`` if an argument or the result cannot be sent.

        Raises RuntimeError after `shutdown`, BrokenProcessPool if workers cannot be started.
        """
        return self._engine.submit((fn, args, kwargs))

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Return an iterator over ``fn`` of the items of the iterables, in order.

        Args:
            timeout: Seconds from this call after which waiting for a result raises TimeoutError.
            chunksize: Items per task; a worker's death then costs its whole chunk.
            buffersize: How many items may be submitted and not yet yielded. None: the iterables are consumed at once.
        """
        if chunksize < 1:
            raise ValueError(f"chunksize={chunksize} must be >= 1")
        chunks.check_buffersize(buffersize)
        # zip of the standard library stops at the shortest, and so does Executor.map.
        rows = zip(*iterables)  # noqa: B905
        return chunks.map_in_chunks(self, fn, rows, timeout, chunksize, buffersize)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, do what was submitted, end the workers. May be called again.

        Args:
            wait: Return when all that has happened.
            cancel_futures: Cancel what has not been given to a worker.
        """
        self._engine.close("shutdown", cancel_futures)
        if wait:
            self._engine.join()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> bool | None:
        """`shutdown`; after Ctrl-C without waiting for what runs."""
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._engine.abort()
        self.shutdown(wait=True)
        return None


def _check_most_tasks(most: int | None, method: str) -> None:
    if most is None:
        return
    if not isinstance(most, int):
        raise TypeError(f"max_tasks_per_child={most!r} must be an integer")
    if most <= 0:
        raise ValueError(f"max_tasks_per_child={most} must be >= 1")
    if method == "fork":
        raise ValueError("max_tasks_per_child is incompatible with the 'fork' multiprocessing start method")
