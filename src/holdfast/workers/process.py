"""`Process`: multiprocessing's process object, with a result and a start method of its own.

What is added to the standard class lives here: the child's side (run, hand over, leave) and the parent's (collect,
or say how it died). How a child is started and waited for is in `popen`, what an outcome is in `outcome`, how it
travels in `handover`. Nothing of queues or tasks.
"""

from __future__ import annotations

import functools
import os
import pickle
import signal
import sys
from multiprocessing import process, util
from typing import TYPE_CHECKING, Any

from holdfast.errors import WorkerDied
from holdfast.workers import handover, popen, watch
from holdfast.workers.outcome import Error, Outcome, capture, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Process", "describe_exit"]


class Process(process.BaseProcess):
    """A child process; takes what :class:`multiprocessing.Process` takes, and does what it does.

    ``start_method`` is "fork", "spawn" or "forkserver", for this process alone; the default is "forkserver" where
    the system has it. Lambdas, closures and functions of a notebook may be targets under every one of them.

    New is :meth:`result`. A child that fails also prints its traceback and ends with exit code 1, as in the standard
    library. A daemonic child ends with its parent even if the parent is killed with SIGKILL.
    """

    # The base class's private names, which typeshed does not list, or not as attributes.
    _target: Callable[..., Any] | None
    _args: tuple[Any, ...]
    _kwargs: dict[str, Any]
    _popen: Any
    _closed: bool
    _parent_pid: int | None

    # On the class, so that a subclass's __init__ may set its own attributes before it calls ours.
    _holdfast_session = ""
    _holdfast_path = ""
    _holdfast_task = ""
    _holdfast_parent_start = 0
    _holdfast_by_value = False
    _holdfast_outcome: Outcome | None = None

    def __init__(
        self,
        group: None = None,
        target: Callable[..., Any] | None = None,
        name: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
        start_method: str | None = None,
    ) -> None:
        super().__init__(group, target, name, args, kwargs or {}, daemon=daemon)
        self._start_method = popen.require_method(start_method)

    def run(self) -> Any:
        """Call the target and return its value. A subclass may override this; what it returns is the result."""
        if self._target:
            return self._target(*self._args, **self._kwargs)
        return None

    # ---------------------------------------------------------------------------------------- the parent's side

    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802  (the name that the base class calls, from its start())
        return process_obj._holdfast_launch()

    def _holdfast_launch(self) -> Any:
        self._holdfast_task = _task_name(self)
        self._holdfast_session, self._holdfast_path = handover.new_place()
        self._holdfast_parent_start = watch.start_time(os.getpid())
        parts = {"target": self._target}
        parts |= {f"args[{index}]": value for index, value in enumerate(self._args)}
        parts |= {f"kwargs[{key!r}]": value for key, value in self._kwargs.items()}
        started = popen.launch(self, self._start_method, parts)
        # Removes an outcome that nobody asked for. Not in a forked child (Finalize knows the pid), and at the end of
        # this process only after multiprocessing has joined the children, who may write until then: below priority 0.
        util.Finalize(self, handover.discard, (self._holdfast_path,), exitpriority=-100)
        return started

    def __reduce_ex__(self, protocol: Any) -> Any:
        if not self._holdfast_by_value:
            return super().__reduce_ex__(protocol)
        self._holdfast_by_value = False  # inside, the ordinary way
        try:
            return pickle.loads, (popen.dump_by_value(self),)
        finally:
            self._holdfast_by_value = True

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the process to end; return what its target (or its :meth:`run`) returned, or raise what it raised.

        ``timeout`` is in seconds, None waits without limit. An exception arrives with the child's traceback as its
        ``__cause__``, ``SystemExit`` included; one that cannot travel arrives as a stand-in with its name, text and
        traceback. May be called any number of times, by any thread of the process that started this one.

        Raises TimeoutError if the process is still running after ``timeout``; WorkerDied if it died without giving a
        result; NotPicklable if its result cannot be sent; AssertionError, as :meth:`join` does, if it was not
        started or is not a child of this process; ValueError after :meth:`close`.
        """
        outcome = self._holdfast_collect(timeout)
        try:
            return outcome.unwrap()
        finally:
            del self, outcome  # an error's traceback holds this frame

    def _holdfast_collect(self, timeout: float | None) -> Outcome:
        self._check_closed()  # type: ignore[attr-defined]
        if self._parent_pid != os.getpid():
            raise AssertionError("can only ask a child process for its result")
        if self._popen is None:
            raise AssertionError("can only ask a started process for its result")
        process.BaseProcess.join(self, timeout)
        if self.exitcode is None:
            raise TimeoutError(f"process {self.name!r} (pid {self.pid}) is still running after timeout={timeout} s")
        with self._popen.lock:  # the file can be taken once only
            if self._holdfast_outcome is None:
                data = handover.take(self._holdfast_path)
                death = self._holdfast_death
                self._holdfast_outcome = Error(death()) if data is None else decode(data, task=self._holdfast_task)
            return self._holdfast_outcome

    def _holdfast_death(self) -> WorkerDied:
        pid, code = self._popen.pid, self._popen.returncode
        how = describe_exit(code)
        message = f"process {self.name!r} (pid {pid}) {how} before {self._holdfast_task} gave a result"
        return WorkerDied(message, pid=pid, exitcode=code, task=self._holdfast_task)

    def close(self) -> None:
        """Release what this object holds, the result included. Raises ValueError if the process is still running."""
        super().close()
        if self._holdfast_path and self._parent_pid == os.getpid():
            handover.discard(self._holdfast_path)
        self._holdfast_outcome = None

    # ---------------------------------------------------------------------------------------- the child's side

    def _after_fork(self) -> None:
        if self._start_method != "spawn":  # a spawned interpreter has nothing of its parent to put in order
            super()._after_fork()  # type: ignore[misc]

    def _bootstrap(self, *args: Any, **kwargs: Any) -> int:
        # The base class calls self.run and drops what it returns. The attribute hides the method, overridden or not.
        self.__dict__["run"] = functools.partial(self._holdfast_run, self.run)
        handover.join(self._holdfast_session)
        try:
            return super()._bootstrap(*args, **kwargs)  # type: ignore[misc, no-any-return]
        finally:
            # Children that were forked end by os._exit, so nothing else would say goodbye. Only where one was joined.
            session = sys.modules.get("holdfast.core.session")
            if session is not None:
                session.leave()

    def _holdfast_run(self, run: Callable[[], Any]) -> None:
        self.__dict__.pop("run", None)
        if self.daemon:
            watch.die_with_parent(self._holdfast_parent_start)
        outcome = capture(run)
        try:
            self._holdfast_give(outcome)
        finally:
            if isinstance(outcome, Error):
                outcome.unwrap()  # for the base class: traceback on stderr, exit code

    def _holdfast_give(self, outcome: Outcome) -> None:
        if watch.orphaned(self._holdfast_parent_start):
            return  # nobody is left who could ask
        try:
            handover.write(self._holdfast_path, encode(outcome, task=self._holdfast_task))
        except FileNotFoundError:
            pass  # the session has ended, and with it everybody who could ask
        except OSError as error:
            # Most likely no room for a large result; a short word of it may still fit.
            error.add_note(f"while process {self.name!r} handed over the result of {self._holdfast_task}")
            handover.write(self._holdfast_path, encode(Error(error, error.__traceback__)))


def _task_name(worker: Process) -> str:
    target = worker._target
    if target is None:
        return f"{type(worker).__qualname__}.run"
    return str(getattr(target, "__qualname__", None) or repr(target))


def describe_exit(code: int | None) -> str:
    """How a process ended, for a sentence: "was killed by signal 9 (SIGKILL)", "ended with exit code 3"."""
    if code is None:
        return "ended"
    if code == popen.UNKNOWN_EXITCODE:
        return f"ended with exit code {code} (or one that could not be learnt)"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = f" ({signal.Signals(-code).name})"
    except ValueError:
        name = ""
    return f"was killed by signal {-code}{name}"
