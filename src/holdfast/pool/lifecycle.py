"""The lives of a task and of a worker: one transition table each. Everything else of the pool asks these tables.

Only the states, the events and the tables live here; no locks, no channels, no futures. What is not in a table cannot
happen: it raises `ImpossibleMove`, an internal error of the pool.

A task, as its parent sees it::

    WAITING --SEND--> SENT --ANSWER--> ENDED          the result or the error arrived
       |                |----DEATH---> ENDED          its worker died while running it
       |                |----BREAK---> ENDED          the pool ended before the task could
       |                '---RETURN---> WAITING        the worker never began it: died, or it is given to another
       |---CANCEL--> ENDED                            by its future, before it was sent
       '---BREAK---> ENDED

`SENT` covers both "in the worker's ring" and "running there". Which of the two it is only matters when the worker
dies; then the worker's shared word says which task it had begun (see `channel`), and DEATH or RETURN follows. So a
task is begun at most once, and ends exactly once, whatever is killed.

A worker::

    STARTING --READY--> READY --RETIRE--> RETIRING --EXIT--> GONE     told to end after what its ring holds
        |                 '-----EXIT----> GONE                        died, or left by itself
        |---RETIRE--> RETIRING
        '----EXIT---> GONE                                            died before its initializer was through

Prior work: h11's `_state.py` (tables that everything asks); pebble for ending only the task of the dead worker.
"""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["ImpossibleMove", "TaskEvent", "TaskState", "WorkerEvent", "WorkerState", "next_task", "next_worker"]


class ImpossibleMove(AssertionError):
    """A fault in the pool itself: an event met a state in which it cannot happen."""


class TaskState(enum.Enum):
    """Where a task is."""

    WAITING = "waiting in the parent"
    SENT = "with a worker"
    ENDED = "ended"


class TaskEvent(enum.Enum):
    """What happens to a task."""

    SEND = "written to a worker's ring"
    ANSWER = "its worker answered"
    DEATH = "its worker died while running it"
    RETURN = "came back without having begun"
    CANCEL = "cancelled through its future"
    BREAK = "the pool ended first"


class WorkerState(enum.Enum):
    """Where a worker is."""

    STARTING = "starting"
    READY = "ready"
    RETIRING = "ends after what it was given"
    GONE = "gone"


class WorkerEvent(enum.Enum):
    """What happens to a worker."""

    READY = "its initializer is through"
    RETIRE = "told to end"
    EXIT = "its process ended"


_TASK: Final[dict[tuple[TaskState, TaskEvent], TaskState]] = {
    (TaskState.WAITING, TaskEvent.SEND): TaskState.SENT,
    (TaskState.WAITING, TaskEvent.CANCEL): TaskState.ENDED,
    (TaskState.WAITING, TaskEvent.BREAK): TaskState.ENDED,
    (TaskState.SENT, TaskEvent.ANSWER): TaskState.ENDED,
    (TaskState.SENT, TaskEvent.DEATH): TaskState.ENDED,
    (TaskState.SENT, TaskEvent.RETURN): TaskState.WAITING,
    (TaskState.SENT, TaskEvent.BREAK): TaskState.ENDED,
}

_WORKER: Final[dict[tuple[WorkerState, WorkerEvent], WorkerState]] = {
    (WorkerState.STARTING, WorkerEvent.READY): WorkerState.READY,
    (WorkerState.STARTING, WorkerEvent.RETIRE): WorkerState.RETIRING,
    (WorkerState.STARTING, WorkerEvent.EXIT): WorkerState.GONE,
    (WorkerState.READY, WorkerEvent.RETIRE): WorkerState.RETIRING,
    (WorkerState.READY, WorkerEvent.EXIT): WorkerState.GONE,
    (WorkerState.RETIRING, WorkerEvent.READY): WorkerState.RETIRING,
    (WorkerState.RETIRING, WorkerEvent.EXIT): WorkerState.GONE,
}


def next_task(state: TaskState, event: TaskEvent) -> TaskState:
    """The state that follows; raises `ImpossibleMove`."""
    try:
        return _TASK[state, event]
    except KeyError:
        raise ImpossibleMove(f"a task in state={state.name} cannot meet event={event.name}") from None


def next_worker(state: WorkerState, event: WorkerEvent) -> WorkerState:
    """The state that follows; raises `ImpossibleMove`."""
    try:
        return _WORKER[state, event]
    except KeyError:
        raise ImpossibleMove(f"a worker in state={state.name} cannot meet event={event.name}") from None
