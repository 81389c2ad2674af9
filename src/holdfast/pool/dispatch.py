"""Who gets which task: placing, waiting, taking back, and what becomes of the tasks of a dead worker.

Nothing here waits, completes a future or starts a process; every method is to be called under the engine's lock, and
what has ended is put on `ended` for the engine to settle outside of it.

A worker has a *window*: how many tasks it may have at a time, the running one included. It begins at 2 and follows
the measured duration of tasks, so that what lies in a worker's ring is about `AHEAD` of work: a thousand tiny tasks
are written without waiting, long ones stay in the parent, where they can be cancelled and given to whoever is free.
What a window holds too much of is taken back from the ring, by reading it, as soon as another worker has nothing to
do: no task waits behind a long one while anybody is free.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from holdfast.pool import channel
from holdfast.pool.lifecycle import TaskEvent, WorkerEvent, WorkerState
from holdfast.workers.outcome import Error

if TYPE_CHECKING:
    from holdfast.pool.crew import Task, Worker

__all__ = ["Dispatch"]

AHEAD: Final = 1 << 12  # microseconds of work in a worker's ring
LEAST, MOST = 2, 512
# By the bucket of a task's duration (`channel.bucket`).
_WINDOW: Final = tuple(max(LEAST, min(MOST, AHEAD >> bucket)) for bucket in range(256))


class Dispatch:
    """The tasks that have not ended, and the workers that are not gone."""

    def __init__(self, workers: dict[int, Worker]) -> None:
        self.workers = workers  # who is there: the staff's table, kept up to date by the staff
        self.waiting: deque[Task] = deque()
        self.waiting_bytes = 0
        self.owner: dict[int, Worker] = {}  # of each task that is with a worker
        self.ended: deque[tuple[Task, Any]] = deque()  # with an Outcome, for the engine to settle

    # ------------------------------------------------------------------------------------------ to the workers

    def idle(self) -> Worker | None:
        """A worker that may be given tasks and has none."""
        return next((worker for worker in self.workers.values() if not worker.sent and worker.active), None)

    def unfinished(self) -> bool:
        """Whether any task has not ended."""
        return bool(self.waiting or self.owner)

    def wait(self, task: Task) -> None:
        """Put a task at the end of the line."""
        self.waiting.append(task)
        self.waiting_bytes += task.size()

    def place(self, task: Task) -> bool:
        """Give a packed task to the worker with the fewest, if that has room. True if the task is off one's hands."""
        best, least = None, MOST
        for worker in self.workers.values():
            load = len(worker.sent)
            if load < least and worker.active:
                best, least = worker, load
                if load == 0:
                    break
        if best is None or least >= best.window:
            return False
        if not task.announced:
            if not task.future.set_running_or_notify_cancel():
                task.move(TaskEvent.CANCEL)
                return True
            task.announced = True
        return self._hand(task, best)

    def _hand(self, task: Task, worker: Worker) -> bool:
        parcel = task.parcel if task.parcel is not None else self._wrap(task)
        if parcel is None:
            return True
        if not worker.desk.give(task.number, parcel):
            return False
        task.move(TaskEvent.SEND)
        worker.sent[task.number] = task
        self.owner[task.number] = worker
        if worker.quota is not None:
            worker.quota -= 1
            if worker.quota == 0:
                worker.retire()
        return True

    def _wrap(self, task: Task) -> channel.Parcel | None:
        """Make the record; a task for which shared memory has no room fails alone."""
        try:
            task.parcel = channel.wrap(task.payload or b"")
        except (MemoryError, OSError) as error:
            error.add_note(f"there was no room for the {task.size()} bytes of {task.describe()} in shared memory")
            task.move(TaskEvent.BREAK)
            self.ended.append((task, Error(error)))
            return None
        task.payload = None
        return task.parcel

    def refill(self) -> Task | None:
        """Give out waiting tasks as far as there is room. Returns a task that has to be packed first, or None."""
        waiting = self.waiting
        while waiting:
            task = waiting[0]
            if task.call is not None and not task.future.cancelled():
                return task if self._has_room() else None
            size = task.size()
            if not self.place(task):
                break
            waiting.popleft()
            self.waiting_bytes -= size
        return None

    def _has_room(self) -> bool:
        return any(worker.active and len(worker.sent) < worker.window for worker in self.workers.values())

    # ---------------------------------------------------------------------------------------- from the workers

    def answered(self, number: int, bucket: int) -> Task | None:
        """A result arrived: its task, or None if nobody waits for it. Sets the worker's window."""
        worker = self.owner.pop(number, None)
        if worker is None:
            return None
        task = worker.sent.pop(number)
        task.move(TaskEvent.ANSWER)
        task.parcel = None
        worker.window = min(_WINDOW[bucket], worker.window * 2)
        return task

    def balance(self) -> None:
        """Take tasks back from a worker that has some to spare, while another has none."""
        while not self.waiting:
            free = [w for w in self.workers.values() if w.state is WorkerState.READY and not w.sent]
            rich = max(self.workers.values(), key=lambda worker: worker.untouched(), default=None)
            if not free or rich is None or rich.untouched() < 1:
                return
            if not self._move_half(rich, free[0]):
                return

    def _move_half(self, rich: Worker, free: Worker) -> bool:
        moved = False
        for _ in range((rich.untouched() + 1) // 2):
            task = self._take_back(rich)
            if task is None:
                break
            moved = True
            if not free.active or not self._hand(task, free):
                self._return(task)
                break
        return moved

    def _take_back(self, worker: Worker) -> Task | None:
        """The oldest task in a worker's ring, taken out of it; None if it has them all."""
        try:
            record = worker.desk.tasks.get(0)
        except EOFError:
            return None
        if record is None:
            return None
        number = channel.number_of(record[0])
        self.owner.pop(number, None)
        task = worker.sent.pop(number)
        task.move(TaskEvent.RETURN)
        if worker.quota is not None:
            worker.quota += 1
        return task

    def _return(self, task: Task) -> None:
        self.waiting.appendleft(task)
        self.waiting_bytes += task.size()

    def bury(self, worker: Worker) -> None:
        """A worker's process has ended, and its last result was read: its task fails, the untouched come back."""
        worker.move(WorkerEvent.EXIT)
        running = int(worker.desk.running.get())
        for task in reversed(worker.sent.values()):
            self.owner.pop(task.number, None)
            if task.number == running:
                task.move(TaskEvent.DEATH)
                self.ended.append((task, Error(worker.obituary(task))))
            else:
                task.move(TaskEvent.RETURN)
                self._return(task)
        worker.sent.clear()
        worker.desk.recover()

    # ------------------------------------------------------------------------------------------------ the end

    def give_up(self, error: BaseException) -> None:
        """End every task that has not ended, with ``error``."""
        tasks = list(self.waiting)
        for worker in self.workers.values():
            tasks.extend(worker.sent.values())
            worker.sent.clear()
        self.waiting.clear()
        self.waiting_bytes = 0
        self.owner.clear()
        for task in tasks:
            task.move(TaskEvent.BREAK)
            self.ended.append((task, Error(error)))
