"""Builds test classes from the standard library's own test modules, with other classes in their place.

Only the building lives here: which classes are tested is ``subject``'s matter, which tests are left out is in
``exceptions``. It must not import pytest: children of the tests import the test modules by name, and pay for it.

The tests are looked up in the interpreter that runs them, never copied: each Python version brings its own.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import tempfile
import unittest
from collections.abc import Iterable, Mapping
from multiprocessing import forkserver
from types import ModuleType
from typing import Any, Final

from . import subject
from .exceptions import EXCLUDED, EXCLUDED_THREADS

#: The classes of ``test._test_multiprocessing`` that concern what holdfast stands in for.
MULTIPROCESSING: Final = (
    "_TestProcess",
    "_TestSubclassingProcess",
    "_TestLock",
    "_TestSemaphore",
    "_TestCondition",
    "_TestEvent",
    "_TestBarrier",
    "_TestValue",
    "_TestArray",
    "_TestSharedCTypes",
    "_TestAtExit",
    "_TestQueue",
    "_TestConnection",
    "_TestPoll",
    "_TestPicklingConnections",
)

#: Its classes that take what they test from the package ``multiprocessing``; None: all their tests, else these (the
#: others have no queue or pipe in them).
FROM_PACKAGE: Final[dict[str, tuple[str, ...] | None]] = {
    "TestSimpleQueue": None,
    "TestWait": ("test_wait", "test_wait_slow", "test_wait_timeout", "test_wait_integer", "test_neg_timeout"),
    "TestTimeouts": None,
    "TestCloseFds": None,
    "TestIgnoreEINTR": None,
}

#: Those that start no child: run with one start method only, since one of them waits for five seconds.
CHILDLESS: Final = ("test_wait_timeout", "test_neg_timeout")

#: Its classes whose tests are run with threads for processes as well.
WITH_THREADS: Final = ("_TestQueue", "_TestConnection", "_TestPoll")


def module(name: str) -> ModuleType | None:
    """The standard library's test module ``name``, or None where the interpreter was installed without its tests."""
    try:
        return importlib.import_module(f"test.{name}")
    except ModuleNotFoundError:
        return None


def missing(name: str, home: str) -> dict[str, type]:
    """A class with one skipped test that says that the test module ``name`` is not there."""
    reason = f"this interpreter was installed without the standard library's tests (no test.{name})"

    def test_installed(self: unittest.TestCase) -> None:
        self.skipTest(reason)

    return {"NotInstalled": _named("NotInstalled", home, (unittest.TestCase,), {"test_installed": test_installed})}


def planned(
    source_name: str,
    home: str,
    plan: Mapping[str, tuple[str, Mapping[str, Any]]],
) -> dict[str, type]:
    """The test classes of the standard library's test module that ``plan`` names, for module ``home``.

    ``plan``: name of the new class → (class to derive from, attributes to give it).
    """
    source = module(source_name)
    if source is None:
        return missing(source_name, home)
    built = {}
    for name, (base_name, attributes) in plan.items():
        base = getattr(source, base_name)
        bases = (base,) if issubclass(base, unittest.TestCase) else (base, unittest.TestCase)
        built[name] = _named(name, home, bases, {**_skipped(base), **attributes})
    return built


class MultiprocessingTests:
    """The tests of ``test._test_multiprocessing`` for one start method, as names for the module ``home``."""

    def __init__(self, home: str, start_method: str, only: Iterable[str] = MULTIPROCESSING) -> None:
        self.start_method = start_method
        self.home = home
        self.source = module("_test_multiprocessing")
        self.only = tuple(only)
        self._saved: dict[str, Any] = {}
        self._replaced: dict[str, Any] = {}

    def names(self) -> dict[str, Any]:
        """What the module takes into its own names: the test classes, set-up and tear-down."""
        if self.source is None:
            return missing("_test_multiprocessing", self.home)
        process, own = subject.process_class(self.start_method)
        process = _named("Process", self.home, (process,), own) if own else process
        mixin = self._mixin(process)
        built: dict[str, Any] = {"setUpModule": self.set_up, "tearDownModule": self.tear_down, "Process": process}
        for name in self.only:
            base = getattr(self.source, name, None)  # not every version has every class
            if base is not None:
                new = f"WithProcesses{name[1:]}"
                built[new] = _named(new, self.home, (base, mixin, unittest.TestCase), self._own(name, base))
        for name, tests in FROM_PACKAGE.items():
            base = getattr(self.source, name)
            own = {**_only(base, tests), **_skipped(base)}
            if self.start_method != "fork":
                own.update({test: None for test in CHILDLESS if hasattr(base, test)})
            built[name] = _named(name, self.home, (base,), own)
        built["_UpperCaser"] = self._upper_caser(process)
        self._replaced = {
            "_UpperCaser": built["_UpperCaser"],
            "Value": subject.ctypes_value(),
            "multiprocessing": _package(subject.in_multiprocessing(process)),
        }
        return built

    def set_up(self) -> None:
        """Make the start method the process-wide one, in an empty working directory, with our names in the source."""
        assert self.source is not None
        self._saved = {"cwd": os.getcwd(), "method": multiprocessing.get_start_method(allow_none=True)}
        self._saved["globals"] = {name: getattr(self.source, name) for name in self._replaced}
        self._saved["dir"] = tempfile.TemporaryDirectory(prefix="conformance-")
        os.chdir(self._saved["dir"].name)
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # one that runs keeps its own preload
        multiprocessing.set_forkserver_preload(
            ["__main__", self.home, "test._test_multiprocessing", "holdfast.workers.process"]
        )
        multiprocessing.set_start_method(self.start_method, force=True)
        vars(self.source).update(self._replaced)

    def tear_down(self) -> None:
        """Undo ``set_up``; fails if a test left a process running."""
        assert self.source is not None
        left = subject.active_children()
        vars(self.source).update(self._saved["globals"])
        multiprocessing.set_start_method(self._saved["method"], force=True)
        multiprocessing.set_forkserver_preload(["__main__"])
        multiprocessing.util._cleanup_tests()  # type: ignore[attr-defined]
        os.chdir(self._saved["cwd"])
        self._saved["dir"].cleanup()
        if left:
            raise AssertionError(f"left running: {left}")

    def _mixin(self, process: Any) -> Any:
        """``ProcessesMixin`` (one test asks for that class) with the tested classes in multiprocessing's place."""
        assert self.source is not None
        attributes: dict[str, Any] = {name: staticmethod(thing) for name, thing in subject.for_processes().items()}
        attributes["Process"] = process
        return _named("Mixin", self.home, (self.source.ProcessesMixin,), attributes)

    def _own(self, name: str, base: type) -> dict[str, Any]:
        attributes = _skipped(base)
        if name == "_TestCondition" and not subject.STDLIB:
            attributes["check_invariant"] = _nobody_waits
        return attributes

    def _upper_caser(self, process: Any) -> Any:
        """``_UpperCaser`` of the test module, made anew on the tested process class."""
        assert self.source is not None
        old = self.source._UpperCaser
        pipe = subject.for_processes().get("Pipe", multiprocessing.Pipe)

        def __init__(self: Any) -> None:
            process.__init__(self)
            self.child_conn, self.parent_conn = pipe()

        methods = {name: vars(old)[name] for name in ("run", "submit", "stop")}
        return _named("_UpperCaser", self.home, (process,), {"__init__": __init__, **methods})


def with_threads(home: str) -> dict[str, type]:
    """The classes of ``WITH_THREADS`` for the module ``home``, with threads in the place of processes."""
    source = module("_test_multiprocessing")
    if source is None:
        return missing("_test_multiprocessing", home)
    ours = {name: staticmethod(thing) for name, thing in subject.for_dummies().items()}
    mixin = _named("Mixin", home, (source.ThreadsMixin,), ours)
    built = {}
    for name in WITH_THREADS:
        base = getattr(source, name)
        skipped = _skipped(base, {**EXCLUDED, **EXCLUDED_THREADS})
        new = f"WithThreads{name[1:]}"
        built[new] = _named(new, home, (base, mixin, unittest.TestCase), skipped)
    return built


def _package(ours: Mapping[str, Any]) -> ModuleType:
    """The package ``multiprocessing`` with our classes in it: for the test module's own use of that name."""
    package = ModuleType(multiprocessing.__name__, "The standard library's package with other classes in it.")
    vars(package).update(vars(multiprocessing))
    vars(package).update(ours)
    return package


def _only(base: type, tests: Iterable[str] | None) -> dict[str, None]:
    """Attributes for a subclass of ``base`` that leave only ``tests`` (None: all) to be found."""
    if tests is None:
        return {}
    return {test: None for test in dir(base) if test.startswith("test") and test not in tests}


def _nobody_waits(_test: unittest.TestCase, condition: Any) -> None:
    """Stands for ``_TestCondition.check_invariant``: only called when there can be no sleepers."""
    assert len(condition._waiters) == 0


def _skipped(base: type, excluded: Mapping[str, str] = EXCLUDED) -> dict[str, Any]:
    """The tests of ``base`` that are excluded, each as a test that is skipped with its reason."""
    if subject.STDLIB:
        return {}
    skipped = {}
    for cls in base.__mro__:
        for test in vars(cls):
            reason = excluded.get(f"{cls.__name__}.{test}")
            if reason is not None:
                skipped[test] = unittest.skip(reason)(getattr(base, test))
    return skipped


def _named(name: str, home: str, bases: tuple[type, ...], attributes: Mapping[str, Any]) -> Any:
    """A new class that pickles as ``home.name``: children under spawn and forkserver look it up there."""
    return type(name, bases, {"__module__": home, "__qualname__": name, **attributes})
