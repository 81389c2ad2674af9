"""The demo's job: what is counted in one file, and the shared totals that all workers add to, whoever is killed.

Here live the list of files, the count of one of them and `Board`, the totals in shared memory. Nothing of pools: the
functions here are what a pool runs.

How the totals stay exact when a worker is killed at *any* instruction. Adding five numbers is not one step, and a
killed worker's task is run again; so neither "add, then say done" (adds twice) nor "say done, then add" (adds
never) will do. As a database does it, the adding is a transaction: under a lock that outlives its holder
(`holdfast.Lock`), with a journal, and with one flag per file.

    1. lock; if the file's flag is set, a killed predecessor had counted it: nothing to do
    2. note the five totals in `before`
    3. `open` = the file's number        from here on an interrupted change is undone
    4. add to the five totals
    5. set the file's flag               the commit: one store
    6. `open` = -1; unlock

Who gets the lock from a dead holder is told so by AbandonedError and repairs: if `open` names a file whose flag is not
set, the totals are put back to `before`. Either way the numbers are as if the dead one had finished or never begun.
"""

from __future__ import annotations

import ast
import contextlib
import fnmatch
import os
import sysconfig
import time
import warnings
from typing import NamedTuple

from holdfast.errors import AbandonedError
from holdfast.shared.array import Array
from holdfast.shared.value import Value
from holdfast.sync.lock import Lock

__all__ = ["Board", "Counts", "Report", "count", "count_shared", "install", "library_files"]

NOTHING = -1
PATIENCE = 100  # times that a file is parsed again


class Counts(NamedTuple):
    """What was found; sums are of the same kind."""

    files: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0
    failures: int = 0  # files that Python refuses to parse, on purpose in its own tests

    def plus(self, other: Counts) -> Counts:
        """The sum."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))


class Report(NamedTuple):
    """What a task returns: the counts of its file, and how long it took."""

    counts: Counts
    seconds: float


def library_files(wanted: str | None = None) -> list[str]:
    """The ``.py`` files of the running interpreter's library, without installed packages, the largest first.

    ``wanted`` is a number (the first so many by name) or a glob for the path below the library.
    """
    top = sysconfig.get_path("stdlib")
    found = []
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name not in {"site-packages", "dist-packages", "__pycache__"}]
        found += [os.path.join(folder, name) for name in names if name.endswith(".py")]
    found.sort()
    if wanted is not None and wanted.isdigit():
        found = found[: int(wanted)]
    elif wanted is not None:
        found = [path for path in found if fnmatch.fnmatch(os.path.relpath(path, top), wanted)]
    # The largest first: no worker then ends long after the others.
    return sorted(found, key=os.path.getsize, reverse=True)


def _parsed(source: bytes, path: str) -> ast.Module:
    """Parse, again if need be: in CPython 3.11 many threads that parse at once spoil each other's depth count.

    That shows as a SystemError, at random, and says nothing of the file.
    """
    for _ in range(PATIENCE):
        with contextlib.suppress(SystemError):
            return ast.parse(source, path)
    return ast.parse(source, path)


def count(path: str) -> Counts:
    """Parse one file and count."""
    with open(path, "rb") as file:
        source = file.read()
    lines = source.count(b"\n")
    try:
        tree = _parsed(source, path)
    except (SyntaxError, ValueError):
        return Counts(1, lines, 0, 0, 1)
    functions = classes = 0
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            functions += 1
        elif isinstance(node, ast.ClassDef):
            classes += 1
    return Counts(1, lines, functions, classes, 0)


class Board:
    """The totals in shared memory, exact whoever is killed (see the module). Pickles; every copy is the same board."""

    def __init__(self, files: int) -> None:
        self.totals = [Value("q", 0) for _ in Counts._fields]
        self.lock = Lock(abandoned="raise")
        self.before = [Value("q", 0) for _ in Counts._fields]
        self.open = Value("q", NOTHING)
        self.counted = Array("b", max(1, files))

    def commit(self, number: int, counts: Counts) -> bool:
        """Add the counts of file ``number``, once however often it is called. False if they were there already."""
        self._acquire()
        try:
            if self.counted[number]:
                return False
            for before, total in zip(self.before, self.totals, strict=True):
                before.value = total.value
            self.open.value = number
            for total, n in zip(self.totals, counts, strict=True):
                total.add(n)
            self.counted[number] = 1
            self.open.value = NOTHING
            return True
        finally:
            self.lock.release()

    def _acquire(self) -> None:
        while True:
            try:
                self.lock.acquire()
            except AbandonedError:
                self._repair()
            else:
                return

    def _repair(self) -> None:
        try:
            self.lock.recover()
        except RuntimeError:
            return  # another worker is repairing, or has
        number = int(self.open.value)
        if number != NOTHING and not self.counted[number]:
            for before, total in zip(self.before, self.totals, strict=True):
                total.value = before.value
        self.open.value = NOTHING
        self.lock.release()

    def read(self) -> Counts:
        """The totals."""
        self._acquire()
        try:
            return Counts(*(int(total.value) for total in self.totals))
        finally:
            self.lock.release()


_board: Board | None = None


def install(board: Board) -> None:
    """Initializer of a worker (a thread's or a process's): which board its tasks add to."""
    global _board
    _board = board
    # The library's own tests hold code that warns when it is parsed; that is not the demo's subject.
    warnings.simplefilter("ignore")


def count_shared(number: int, path: str) -> Report:
    """The task: count one file and add to the shared totals."""
    began = time.perf_counter()
    counts = count(path)
    if _board is None:
        raise RuntimeError("install(board) was not called in this worker")
    _board.commit(number, counts)
    return Report(counts, time.perf_counter() - began)
