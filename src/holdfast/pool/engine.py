"""The engine of one pool: it starts and replaces workers, reads their results and ends them.

Two kinds of threads meet here, under one lock that is never held while a future is completed or a pickle is made:

* submitting threads write to workers' rings by themselves when there is room (`submit`);
* one collector thread reads all results, gives out what waits, notices deaths, and ends the pool. It holds no
  reference to the executor, so that an executor that nobody uses any more can be collected; that ends its workers.

Deaths are seen by the processes' sentinels, looked at when no result came for `TICK`, and every `LOOK` under load. A
dead process writes no more; what it had committed is read before its tasks are judged.

Ends of a pool: *closing* (no new tasks; workers end when the last task has), *broken* (workers cannot be started:
every task fails with one error) and *aborted* (Ctrl-C: workers are killed).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from concurrent.futures import Future, InvalidStateError
from typing import Any, Final

from holdfast.errors import NotPicklable, WorkerDied
from holdfast.pool import channel, codec
from holdfast.pool.crew import Plan, Task, Worker
from holdfast.pool.dispatch import Dispatch
from holdfast.pool.lifecycle import TaskEvent, WorkerEvent, WorkerState
from holdfast.pool.staff import Staff
from holdfast.workers import pickling
from holdfast.workers.outcome import Error, Outcome, Value

__all__ = ["Engine"]

TICK: Final = 0.04  # seconds without a result after which the collector looks for the dead
LOOK: Final = 0.02  # seconds between two looks under load
BATCH: Final = 256  # results read before any is settled
WAITING_BYTES: Final = 64 << 20  # pickles that wait in the parent; above, calls wait as objects and are pickled later


class Engine:
    """See the module. All public methods may be called by any thread of the process that made it."""

    def __init__(self, plan: Plan, most: int) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.staff = Staff(plan, most)
        self.dispatch = Dispatch(self.staff.workers)
        self.thread: threading.Thread | None = None
        self.closing = ""  # why no new task is taken
        self.ending = False  # closing, and no task is left: only workers' ends are waited for
        self.aborted = False
        self.broken: BaseException | None = None
        self.tasks_made = 0
        self.looked = 0.0
        self.by_value = not pickling.main_is_importable()

    # --------------------------------------------------------------------------------------- submitting threads

    def submit(self, call: codec.Call) -> Future[Any]:
        """Take a call. Raises RuntimeError or BrokenProcessPool if the pool takes no more."""
        self._check_open()
        future: Future[Any] = Future()
        payload = None
        if self.dispatch.waiting_bytes < WAITING_BYTES:
            try:
                payload = codec.pack_call(call, self.by_value)
            except NotPicklable as refusal:
                future.set_running_or_notify_cancel()
                future.set_exception(refusal)
                return future
        with self.lock:
            self._check_open()
            self.tasks_made += 1
            task = Task(self.tasks_made, future, call, payload)
            self._grow()
            if payload is None or self.dispatch.waiting or not self.dispatch.place(task):
                self.dispatch.wait(task)
        if self.dispatch.ended:
            self._settle()
        return future

    def _check_open(self) -> None:
        if self.broken is not None:
            raise type(self.broken)(str(self.broken)) from self.broken.__cause__
        if self.closing:
            raise RuntimeError(f"cannot schedule new futures after {self.closing}")
        if self.pid != os.getpid():
            raise RuntimeError(
                f"this ProcessPoolExecutor belongs to process {self.pid} and cannot be used in its forked child "
                f"{os.getpid()}; make one there"
            )

    def _grow(self) -> None:
        """Under the lock, for one more task: start a worker if none is free and there may be more."""
        if self.thread is None:
            self.staff.begin()
            thread = threading.Thread(target=self._collect, name="holdfast-collector", daemon=True)
            thread.start()
            self.thread = thread
        if self.staff.target < self.staff.most and self.dispatch.idle() is None:
            try:
                self.staff.grow()
            except OSError:  # no more processes: those that are there will do it
                if not self.staff.workers:
                    raise

    def close(self, reason: str, cancel: bool = False) -> None:
        """Take no more tasks; workers end after the last one. ``cancel``: those that wait are cancelled."""
        if self.pid != os.getpid():
            return
        dropped: list[Task] = []
        with self.lock:
            self.closing = self.closing or reason
            if cancel:
                dropped = self._drop_waiting()
        for task in dropped:
            task.future.cancel()
            task.future.set_running_or_notify_cancel()
        self._wake()

    def _drop_waiting(self) -> list[Task]:
        dispatch = self.dispatch
        dropped = [task for task in dispatch.waiting if not task.announced]
        kept = deque(task for task in dispatch.waiting if task.announced)
        for task in dropped:
            task.move(TaskEvent.CANCEL)
        dispatch.waiting = kept
        dispatch.waiting_bytes = sum(task.size() for task in kept)
        return dropped

    def forsaken(self) -> None:
        """The executor was collected. Takes no lock: the collection may happen while this thread holds it."""
        if self.pid == os.getpid() and not self.closing:
            self.closing = "shutdown"
            self._wake()

    def _wake(self) -> None:
        if self.staff.begun:
            self.staff.bench.wake()

    def abort(self) -> None:
        """Kill the workers: nobody waits for the results any more (Ctrl-C)."""
        if self.pid != os.getpid():
            return
        self.aborted = True
        self.close("shutdown", cancel=True)
        with self.lock:
            for worker in self.dispatch.workers.values():
                worker.kill()

    def join(self) -> None:
        """Wait for the last task and for the workers to end."""
        thread = self.thread
        if thread is not None and self.pid == os.getpid() and thread is not threading.current_thread():
            thread.join()

    def forget(self) -> None:
        """In a forked child: let go what belongs to the parent."""
        self.lock = threading.Lock()
        self.staff = Staff(self.staff.plan, self.staff.most)
        self.dispatch = Dispatch(self.staff.workers)
        self.thread = None

    # ----------------------------------------------------------------------------------------- collector thread

    def _collect(self) -> None:
        try:
            while not self._over():
                self._take_results(0 if self.ending else TICK)
                self._refill()
                self._look_for_the_dead()
                self._restaff()
        except BaseException as error:  # a fault of ours must not leave anybody waiting
            self._break(f"the pool's collector failed: {type(error).__name__}: {error}", error)
            self._finish_off()
            raise
        finally:
            with contextlib.suppress(OSError):
                self.staff.bench.results.close()

    def _over(self) -> bool:
        if not self.closing:
            return False
        with self.lock:
            self.ending = not self.dispatch.unfinished()
            if self.ending:
                for worker in self.dispatch.workers.values():
                    worker.retire()
            return self.ending and not self.dispatch.workers

    def _take_results(self, timeout: float) -> int:
        """Read what arrived, waiting at most ``timeout`` seconds for the first; settle it. How many there were."""
        get = self.staff.bench.results.get
        record = get(timeout)
        if record is None:
            return 0
        records = [record]
        while len(records) < BATCH and (record := get(0)) is not None:
            records.append(record)
        with self.lock:
            answers = [answer for record in records if (answer := self._sort(*record)) is not None]
            # The workers first: they run while this thread tells the futures.
            self.dispatch.refill()
        for task, tag, data in answers:
            self._tell(task, tag, data)
        return len(records)

    def _sort(self, tag: int, data: bytes) -> tuple[Task, int, bytes] | None:
        """Under the lock: note what a record means. Returns what is to be told to a future."""
        kind, number = channel.kind_of(tag), channel.number_of(tag)
        if kind in {channel.VALUE, channel.OUTCOME}:
            task = self.dispatch.answered(number, channel.bucket(tag))
            if task is not None:
                return task, tag, data
            with contextlib.suppress(LookupError):
                channel.open_payload(self.staff.bench.session, tag, data)  # so that its memory is freed
        elif kind == channel.READY:
            worker = self.staff.ready(number)
            if worker is not None:
                worker.move(WorkerEvent.READY)
        elif kind == channel.FAILED and number in self.dispatch.workers:
            refusal = self._decode(self.staff.plan.initializer, tag, data)
            if isinstance(refusal, Error):
                self.dispatch.workers[number].refusal = refusal.error
        return None

    def _decode(self, fn: Any, tag: int, data: bytes) -> Outcome:
        try:
            payload = channel.open_payload(self.staff.bench.session, tag, data)
        except LookupError as error:  # cannot be: the worker counted it as sent
            return Error(error)
        return codec.unpack(channel.kind_of(tag) == channel.VALUE, payload, fn)

    def _tell(self, task: Task, tag: int, data: bytes) -> None:
        settle(task.future, self._decode(task.name, tag, data))

    def _settle(self) -> None:
        ended = self.dispatch.ended
        while True:
            try:
                task, outcome = ended.popleft()
            except IndexError:
                return
            settle(task.future, outcome)

    def _refill(self) -> None:
        """Give out what waits; calls that wait as objects are packed here, outside the lock."""
        while True:
            with self.lock:
                task = self.dispatch.refill()
                if task is None:
                    self.dispatch.balance()
                    break
            self._pack(task)
        self._settle()

    def _pack(self, task: Task) -> None:
        call = task.call
        if call is None:
            return
        try:
            payload = codec.pack_call(call, self.by_value)
        except NotPicklable as refusal:
            with self.lock:
                # Only this thread takes from the left end; cancelling replaces the line but ends the task.
                if self.dispatch.waiting and self.dispatch.waiting[0] is task:
                    self.dispatch.waiting.popleft()
                    if task.future.set_running_or_notify_cancel():
                        task.move(TaskEvent.BREAK)
                        self.dispatch.ended.append((task, Error(refusal)))
                    else:
                        task.move(TaskEvent.CANCEL)
        else:
            with self.lock:
                task.payload, task.call = payload, None
                self.dispatch.waiting_bytes += len(payload)

    # ------------------------------------------------------------------------------------------------- deaths

    def _look_for_the_dead(self) -> None:
        now = time.monotonic()
        if now - self.looked < LOOK and not self.ending:
            return
        self.looked = now
        # At the end there is nothing else to wait for.
        for worker in self.staff.dead(TICK if self.ending else 0):
            # Whatever a dead process committed is in the ring by now.
            while self._take_results(0):
                pass
            self._bury(worker)

    def _bury(self, worker: Worker) -> None:
        started = worker.state is not WorkerState.STARTING
        with self.lock:
            self.dispatch.bury(worker)
            self.staff.dismiss(worker)
            if self.aborted:
                self.dispatch.give_up(WorkerDied("the pool was ended by Ctrl-C before the task had", pid=worker.pid))
        self._settle()
        if not (started or self.aborted):
            self._despair(worker.refusal or worker.obituary(None), (worker.process.exitcode or 0) < 0)
        worker.process.close()

    def _despair(self, error: BaseException, killed: bool = False) -> None:
        reason = self.staff.false_start(error, killed)
        if reason and self.broken is None:
            self._break(reason, error)

    def _restaff(self) -> None:
        """Replace who is gone; when closing, only as long as there are tasks."""
        with self.lock:
            if self.broken is not None or (self.closing and not self.dispatch.unfinished()):
                return
            refusal = self.staff.replace()
            self.dispatch.refill()
        if refusal is not None and not self.staff.workers:
            self._despair(refusal)

    def _break(self, reason: str, cause: BaseException) -> None:
        """End all tasks with one error, and the workers."""
        from concurrent.futures.process import BrokenProcessPool

        error = BrokenProcessPool(reason)
        error.__cause__ = cause
        with self.lock:
            self.broken = error
            self.closing = self.closing or "shutdown"
            self.dispatch.give_up(error)
            for worker in self.dispatch.workers.values():
                worker.kill()
        self._settle()

    def _finish_off(self) -> None:
        for worker in list(self.dispatch.workers.values()):
            worker.kill()
            worker.process.join()


def settle(future: Future[Any], outcome: Outcome) -> None:
    """Complete a future. Nothing that is wrong with it (somebody completed it by hand) concerns the pool."""
    try:
        if isinstance(outcome, Value):
            future.set_result(outcome.value)
        else:
            future.set_exception(outcome.error)
    except InvalidStateError:
        pass
