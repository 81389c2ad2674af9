"""The list of exceptions is short and true, and what is not on it does run on our classes."""

from __future__ import annotations

import multiprocessing
import sys
from typing import Any

import pytest

from . import harness, subject
from .exceptions import EXCLUDED, EXCLUDED_THREADS, REPLACED, SINCE

NAMES = ("lock_tests", "_test_multiprocessing", "test_queue")
SOURCES = [module for name in NAMES if (module := harness.module(name)) is not None]

pytestmark = pytest.mark.skipif(len(SOURCES) < len(NAMES), reason="this interpreter was installed without its tests")


def _exists(entry: str) -> bool:
    """Whether ``Class.test`` is defined by that class itself, or ``name`` by the module."""
    holder, _, attribute = entry.partition(".")
    found = [vars(source)[holder] for source in SOURCES if holder in vars(source)]
    return any(not attribute or attribute in vars(thing) for thing in found)


@pytest.mark.parametrize("entry", [*EXCLUDED, *EXCLUDED_THREADS, *REPLACED])
def test_every_exception_names_something_that_exists(entry: str) -> None:
    """An entry that the running interpreter's tests do not have (gone, or renamed) fails."""
    assert _exists(entry) or sys.version_info < SINCE.get(entry, (0, 0))


def test_the_check_of_names_can_fail() -> None:
    """A name that does not exist, or that a class only inherits, is not accepted."""
    assert not _exists("EventTests.test_no_such_thing")
    assert not _exists("_TestNoSuchClass.test_timeout")
    assert not _exists("LockTests.test_repr")


def test_the_list_is_short() -> None:
    """More than a few exceptions would mean that the classes are not drop-in."""
    assert len(EXCLUDED) + len(EXCLUDED_THREADS) <= 15


@pytest.mark.skipif(subject.STDLIB, reason="the standard library stands for itself")
@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
def test_nothing_of_multiprocessing_is_tested_by_mistake(start_method: str) -> None:
    """Every factory that the tests take from their mixin or the package, of those holdfast has, is holdfast's."""
    tests = harness.MultiprocessingTests(__name__, start_method)
    names = tests.names()
    package = tests._replaced["multiprocessing"]
    for name, ours in subject.in_multiprocessing(names["Process"]).items():
        assert hasattr(multiprocessing, name)
        assert getattr(package, name) is ours
    built: list[Any] = [cls for name, cls in names.items() if name.startswith("WithProcesses")]
    assert len(built) >= len(harness.MULTIPROCESSING) - 1
    theirs = vars(SOURCES[1].ProcessesMixin)
    for cls in built:
        for name, ours in subject.for_processes().items():
            assert name in theirs
            assert getattr(cls, name) is ours, (cls, name)
        assert issubclass(cls.Process, subject.process_class(start_method)[0])
    assert issubclass(names["_UpperCaser"], names["Process"])


def test_excluded_tests_are_reported_as_skipped_with_their_reason() -> None:
    """An exception is visible in every run, not silently absent."""
    for entry, reason in EXCLUDED.items():
        holder, _, test = entry.partition(".")
        if not _exists(entry):
            continue
        base = next(vars(source)[holder] for source in SOURCES if holder in vars(source))
        if not subject.STDLIB:
            assert harness._skipped(base)[test].__unittest_skip_why__ == reason
