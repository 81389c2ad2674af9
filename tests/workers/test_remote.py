"""`holdfast.workers.remote`: errors between processes are never lost, and keep their type wherever possible."""

from __future__ import annotations

import pytest
from worker_targets import HoldsALock, TwoArguments, Unbearable, Wrapped, raise_from

from holdfast.errors import WorkerDied
from holdfast.workers import remote
from holdfast.workers.outcome import capture


def travel(error: BaseException) -> BaseException:
    return remote.unpack(remote.pack(error, error.__traceback__))


class Native(UnicodeDecodeError):
    """Below a built-in class that keeps its arguments in fields of its own."""

    def __init__(self, place):
        super().__init__("ascii", b"\xff", 0, 1, f"at {place}")


class Missing(FileNotFoundError):
    """Below OSError, which pickles in its own way."""

    def __init__(self, name, *, hint):
        super().__init__(2, "No such file", name)
        self.hint = hint


@pytest.mark.parametrize(
    "error",
    [
        ValueError("plain"),
        TwoArguments(404, "gone"),
        Wrapped("text"),
        KeyError("key"),
        OSError(28, "No space left on device", "/some/file"),
        Native("home"),
        Missing("x.txt", hint="look elsewhere"),
        ImportError("no", name="n", path="p"),
        SystemExit(3),
        WorkerDied("gone", pid=1, exitcode=-9, task="f"),
        ExceptionGroup("several", [TwoArguments(1, "a"), Wrapped("b")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_keeps_type_text_arguments_and_attributes(error):
    """Whatever the class's ``__init__`` takes, the error arrives as it was."""
    error.extra = "kept"
    arrived = travel(error)
    assert type(arrived) is type(error)
    assert (str(arrived), repr(arrived)) == (str(error), repr(error))
    assert vars(arrived) == vars(error) or isinstance(error, WorkerDied)
    for name in ("errno", "filename", "reason", "code", "pid", "exitcode", "name"):
        assert getattr(arrived, name, None) == getattr(error, name, None)


def test_a_local_class_travels_by_value():
    """An exception class that no module holds still arrives with its name."""

    class Local(Exception):
        def __init__(self, a, b):
            super().__init__(a + b)

    arrived = travel(Local(1, 2))
    assert type(arrived).__name__ == "Local"
    assert arrived.args == (3,)


def test_an_attribute_that_cannot_travel_is_left_as_its_repr():
    """The error itself is more important than one of its attributes."""
    arrived = travel(HoldsALock("busy"))
    assert type(arrived) is HoldsALock
    assert str(arrived) == "busy"
    assert arrived.lock.startswith("<unlocked _thread.lock")


def test_an_error_that_cannot_travel_has_a_stand_in():
    """The stand-in carries type, text, traceback and why, and can itself travel further."""
    arrived = travel(capture(_raise_unbearable).error)
    for stand_in in (arrived, travel(arrived)):
        assert isinstance(stand_in, remote.RemoteError)
        assert stand_in.type_name == "worker_targets.Unbearable"
        assert stand_in.text == "heavy"
        assert "in _raise_unbearable" in stand_in.traceback
        assert "will not travel" in stand_in.reason


def _raise_unbearable():
    raise Unbearable("heavy")


def test_an_error_whose_text_cannot_be_made_arrives():
    """Not even a broken ``__str__`` loses an error."""

    class Broken(Exception):
        def __str__(self):
            raise ZeroDivisionError

    assert type(travel(Broken())).__name__ == "Broken"


def test_the_traceback_and_the_causes_come_as_text():
    """The cause of the arrived error is the text of the whole chain."""
    arrived = travel(capture(raise_from).error)
    text = str(arrived.__cause__)
    assert isinstance(arrived.__cause__, remote.RemoteTraceback)
    assert "in raise_from" in text
    assert "KeyError: 'inner'" in text
    assert "direct cause" in text
    assert "ValueError: outer" in text


def test_notes_are_kept():
    """What ``add_note`` added arrives."""
    error = ValueError("x")
    error.add_note("a note")
    assert travel(error).__notes__ == ["a note"]
