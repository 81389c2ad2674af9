"""`holdfast.workers.outcome`: a task's end as an object and as bytes."""

from __future__ import annotations

import traceback

import pytest
from worker_targets import raise_two_arguments, unpicklable

from holdfast.errors import NotPicklable
from holdfast.workers import outcome


def round_trip(result: outcome.Outcome, task: str = "f") -> outcome.Outcome:
    return outcome.decode(outcome.encode(result, task=task), task=task)


def test_a_value_comes_back():
    """What a function returns is captured, carried as bytes and given back."""
    assert round_trip(outcome.capture(divmod, 7, 2)).unwrap() == (3, 1)


def test_keywords_reach_the_function_whatever_their_names():
    """`capture` takes no keyword of its own: ``fn=`` and ``task=`` belong to the function."""
    assert outcome.capture(dict, fn=1, task=2).unwrap() == {"fn": 1, "task": 2}


def test_an_error_captured_here_is_the_very_object_with_its_traceback():
    """Asked for twice, it is the same error, and its traceback names the function and does not grow."""
    captured = outcome.capture(raise_two_arguments)
    depths = []
    for _ in range(3):
        with pytest.raises(Exception, match="404: gone") as caught:
            captured.unwrap()
        assert caught.value is captured.error
        frames = traceback.extract_tb(caught.value.__traceback__)
        assert frames[-1].name == "raise_two_arguments"
        depths.append(len(frames))
    assert len(set(depths)) == 1


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration])
def test_nothing_escapes_capture(kind):
    """Also what is no `Exception` is captured, and keeps its class on the way."""

    def fail():
        raise kind(3)

    captured = outcome.capture(fail)
    assert type(captured.error) is kind
    with pytest.raises(kind) as caught:
        round_trip(captured).unwrap()
    assert caught.value.args == (3,)


def test_an_unpicklable_value_is_named_by_its_part():
    """The error says which task, where in the result and what; the pickler's own error is its cause."""
    with pytest.raises(NotPicklable, match=r"the result of f .*result\['rows'\]\[2\] is of type generator") as caught:
        round_trip(outcome.capture(unpicklable)).unwrap()
    assert isinstance(caught.value.__cause__, TypeError)


def test_lambdas_and_local_classes_are_carried_by_value():
    """What plain pickle refuses, cloudpickle takes."""
    n = 5

    class Local:
        x = n

    made, function = round_trip(outcome.Value((Local(), lambda x: x + n))).unwrap()
    assert made.x == 5
    assert function(1) == 6


def test_a_value_that_cannot_be_rebuilt_here_ends_its_own_task_only():
    """A payload that does not unpickle is an error to unwrap, not one of `decode`."""
    data = outcome.encode(outcome.Value(1))[:5] + b"cno_such_module\nThing\n."
    with pytest.raises(NotPicklable, match="arrived but cannot be unpickled here"):
        outcome.decode(data).unwrap()


@pytest.mark.parametrize("data", [b"", b"hfo1", b"hfo1X", b"something else"])
def test_other_bytes_are_refused(data):
    """Bytes that are no outcome raise ValueError, and are not unpickled."""
    with pytest.raises(ValueError, match="not an outcome"):
        outcome.decode(data)
