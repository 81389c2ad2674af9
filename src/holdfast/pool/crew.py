"""The parent's side of one task and of one worker: what is known of each, and how a worker is started and ended.

Here live `Task` and `Worker`, both moved only along the tables of `lifecycle`. Who gets which task is `dispatch`'s
affair. Nothing here takes a lock: the pool's engine holds its own around all of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Any, Final

from holdfast.errors import WorkerDied
from holdfast.pool import channel, codec, lifecycle, worker
from holdfast.pool.lifecycle import TaskState, WorkerState
from holdfast.workers import popen, watch
from holdfast.workers.process import Process, describe_exit

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

__all__ = ["Plan", "Task", "Worker"]

_PRELOAD: Final = ["__main__", "holdfast.workers.process", "holdfast.pool.worker"]
FIRST_WINDOW: Final = 2  # one runs, one waits at its side


class Task:
    """One submitted call. ``payload`` is its pickle, ``call`` the objects themselves; it has one of the two."""

    __slots__ = ("announced", "call", "future", "name", "number", "parcel", "payload", "state")

    def __init__(self, number: int, future: Future[Any], call: codec.Call, payload: bytes | None) -> None:
        self.number = number
        self.future = future
        self.name = call[0]  # the function; described only when somebody asks
        self.call = call if payload is None else None
        self.payload = payload
        self.parcel: channel.Parcel | None = None
        self.state = TaskState.WAITING
        self.announced = False  # its future is RUNNING: it cannot be cancelled any more

    def move(self, event: lifecycle.TaskEvent) -> None:
        """Change the state as the table says."""
        self.state = lifecycle.next_task(self.state, event)

    def describe(self) -> str:
        """The task in a few words, for messages."""
        return f"{codec.describe(self.name)} (task {self.number})"

    def size(self) -> int:
        """Bytes of its pickle that the parent holds."""
        return len(self.payload) if self.payload is not None else 0


class Plan:
    """How the workers of a pool are made."""

    def __init__(
        self,
        method: str,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        most_tasks: int | None,
    ) -> None:
        self.method = method
        self.initializer = initializer
        self.initargs = initargs
        self.most_tasks = most_tasks


class Worker:
    """One worker process as its parent knows it."""

    def __init__(self, number: int, bench: channel.Bench, plan: Plan) -> None:
        self.number = number
        self.desk = channel.Desk(bench)
        self.state = WorkerState.STARTING
        self.sent: dict[int, Task] = {}  # given and not answered, oldest first
        self.window = FIRST_WINDOW  # how many it may have at a time
        self.quota = plan.most_tasks  # how many more it may be given in its life; None: no limit
        self.refusal: BaseException | None = None  # what its initializer raised
        self.process = Process(
            target=worker.main,
            name=f"holdfast-worker-{number}",
            args=(number, self.desk.address, watch.start_time(os.getpid()), plan.initializer, plan.initargs),
            daemon=False,
            start_method=plan.method,
        )
        if plan.method == "forkserver":
            _let_the_server_import_us()
        try:
            self.process.start()
        except BaseException:
            self.desk.tasks.close()  # Ctrl-C in the middle: the child, if there is one, finds nothing to do
            raise
        self.pid: int = self.process.pid or 0
        self.born = watch.start_time(self.pid)

    def move(self, event: lifecycle.WorkerEvent) -> None:
        """Change the state as the table says."""
        self.state = lifecycle.next_worker(self.state, event)

    @property
    def active(self) -> bool:
        """Whether it may be given tasks."""
        return self.state in {WorkerState.STARTING, WorkerState.READY}

    def untouched(self) -> int:
        """How many of its tasks it has probably not begun: all if it is starting, else all but one."""
        return len(self.sent) - (self.state is not WorkerState.STARTING)

    def retire(self) -> None:
        """Have it end after what its ring holds."""
        if self.active:
            self.move(lifecycle.WorkerEvent.RETIRE)
            self.desk.tasks.close()

    def kill(self) -> None:
        """SIGKILL it, unless it is gone (a pid that was given to another process since is left alone)."""
        if self._exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _exists(self) -> bool:
        return self.born != 0 and watch.start_time(self.pid) == self.born

    def dead(self) -> bool:
        """Whether the process has ended; makes sure of it when its fork server was lost and nobody can tell."""
        code = self.process.exitcode
        if code is None:
            return False
        if code == popen.UNKNOWN_EXITCODE and self._exists():
            self.kill()
            return False  # next time
        return True

    def obituary(self, task: Task | None) -> WorkerDied:
        """The error for the task it was running, or for the pool if it was running none."""
        code = self.process.exitcode
        doing = f"while running {task.describe()}" if task is not None else "before it was ready"
        text = f"worker {self.number} (pid {self.pid}) {describe_exit(code)} {doing}"
        return WorkerDied(text, pid=self.pid, exitcode=code, task=task.describe() if task is not None else "")


def _let_the_server_import_us() -> None:
    """The fork server imports a worker's modules once for all, unless the user chose what it imports."""
    server: Any = forkserver._forkserver
    if getattr(server, "_preload_modules", None) in (_PRELOAD[:1], _PRELOAD[:2]):
        forkserver.set_forkserver_preload(_PRELOAD)
