"""The tables: what may follow what."""

from __future__ import annotations

import itertools

import pytest

from holdfast.pool import channel
from holdfast.pool.lifecycle import (
    ImpossibleMove,
    TaskEvent,
    TaskState,
    WorkerEvent,
    WorkerState,
    next_task,
    next_worker,
)


def possible(table, states, events):
    found = {}
    for state, event in itertools.product(states, events):
        try:
            found[state, event] = table(state, event)
        except ImpossibleMove:
            continue
    return found


def test_a_task_ends_once():
    """Nothing follows the end, every state leads there, and every event is of use."""
    moves = possible(next_task, TaskState, TaskEvent)
    assert not any(state is TaskState.ENDED for state, _ in moves)
    assert {state for (state, _), after in moves.items() if after is TaskState.ENDED} == {
        TaskState.WAITING,
        TaskState.SENT,
    }
    assert {event for _, event in moves} == set(TaskEvent)


def test_a_task_that_was_sent_cannot_be_cancelled():
    """Its future says so too: it is running."""
    with pytest.raises(ImpossibleMove):
        next_task(TaskState.SENT, TaskEvent.CANCEL)


def test_a_worker_goes_once_from_wherever_it_is():
    """A process can end at any time; then it is gone for good."""
    moves = possible(next_worker, WorkerState, WorkerEvent)
    assert {state for state, event in moves if event is WorkerEvent.EXIT} == set(WorkerState) - {WorkerState.GONE}
    assert not any(state is WorkerState.GONE for state, _ in moves)


@pytest.mark.parametrize("number", [0, 1, 2**48 - 1])
@pytest.mark.parametrize("kind", [channel.TASK, channel.VALUE, channel.OUTCOME | channel.OUTSIDE])
def test_a_tag_keeps_its_parts(number, kind):
    """Number, duration and kind come out as they went in, and fit the 64 bits of a record."""
    made = channel.tag(number, kind, 200)
    assert made < 2**64
    assert (channel.number_of(made), channel.bucket(made)) == (number, 200)
    assert channel.kind_of(made) == kind & ~channel.OUTSIDE
