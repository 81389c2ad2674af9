"""What every test gets: a check that it left nothing behind, fresh interpreters, and the start methods.

Only what the whole suite uses lives here. This file knows the names holdfast uses in the file system and nothing of
its modules, so that it also judges tests that never import it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GRACE = 2.0  # seconds that processes, threads and files get to disappear after a test
MEMORY = Path("/dev/shm")
PREFIX = "holdfast"
RUNS = f"{PREFIX}-tests-"  # one folder per run of the suite: two runs at once must not judge each other's sessions
OURS = f"{PREFIX}-{os.getuid()}"
KEPT = {"live", "arena"}  # what a living session's folder always holds
TICKS = os.sysconf("SC_CLK_TCK")

# ------------------------------------------------------------------------------------------------- a place of our own


def place_of_this_run() -> Path:
    """Make the folder in which this run's sessions lie, and remove those of runs that were killed."""
    for old in MEMORY.glob(f"{RUNS}*"):
        if not Path(f"/proc/{old.name.removeprefix(RUNS).partition('-')[0]}").exists():
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{RUNS}{os.getpid()}-", dir=MEMORY))


PLACE = place_of_this_run()
os.environ["HOLDFAST_DIR"] = str(PLACE)


def remove_place(pid: int) -> None:
    if os.getpid() == pid:
        shutil.rmtree(PLACE, ignore_errors=True)


atexit.register(remove_place, os.getpid())  # before holdfast is imported, and so after it has left


# ----------------------------------------------------------------------------------------------------- processes


class Row(NamedTuple):
    """One process as /proc tells it. ``born`` (clock ticks since boot) tells it from a later one with its pid."""

    pid: int
    born: int
    parent: int
    session: int
    state: str


def process_table() -> dict[int, Row]:
    """Every process of the machine, by pid."""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split(None, 20)
        except OSError:  # it ended meanwhile
            continue
        table[int(name)] = Row(int(name), int(fields[19]), int(fields[1]), int(fields[3]), fields[0].decode())
    return table


def direct_children() -> set[int]:
    """Pids of the children of this process, whichever of its threads started them."""
    pids: set[int] = set()
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/children") as file:
            pids.update(map(int, file.read().split()))
    return pids


def is_ours(row: Row, table: dict[int, Row]) -> bool:
    """Whether a process descends from this one, or from one of its descendants that has died.

    An orphan has lost the line to us, but not its login session; its new parent is of another one.
    """
    parent = table.get(row.parent)
    if row.session == table[os.getpid()].session and (parent is None or parent.session != row.session):
        return True
    while parent is not None and parent.pid != os.getpid():
        parent = table.get(parent.parent)
    return parent is not None


def new_processes(began: int, before: set[int]) -> list[Row]:
    """Processes of ours born since tick ``began``, other than those in ``before`` and multiprocessing's two helpers."""
    allowed = before | {
        getattr(forkserver._forkserver, "_forkserver_pid", None),
        getattr(resource_tracker._resource_tracker, "_pid", None),
    }
    table = process_table()
    new = (row for row in table.values() if row.born >= began and row.pid not in allowed)
    # An orphan that has ended stays a zombie until process 1 collects it, which nobody here can hurry.
    return [row for row in new if not (row.state == "Z" and row.parent == 1) and is_ours(row, table)]


def describe(row: Row) -> str:
    try:
        line = Path(f"/proc/{row.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        line = ""
    return f"process {row.pid} (parent {row.parent}, state {row.state}): {line[:200] or 'no command line'}"


# --------------------------------------------------------------------------------------------------------- files


def sessions_here() -> set[Path]:
    """Folders of the sessions that this process has mapped; in others' folders, others are at work."""
    with open("/proc/self/maps") as maps:
        return {Path(line.split(None, 5)[5].rstrip()).parent for line in maps if line.rstrip().endswith("/arena")}


def files() -> set[Path]:
    """Everything with holdfast's name in this run's place in the memory file system and in the temporary directory.

    That is one entry per session in the user's folder, what else the sessions of this process hold, and whatever
    carries the prefix.
    """
    found = set()
    for session in sessions_here():
        with contextlib.suppress(OSError):  # a test may have removed it
            entries = (entry for entry in os.scandir(session) if entry.name not in KEPT)
            # A fork server's socket: its owner's, and the session's if the owner was killed. Bells and ends of pipes of
            # the dead: whoever makes the next ones removes them.
            found.update(Path(entry) for entry in entries if not entry.name.startswith(("fs-", "bell-", "end-")))
    for folder in {PLACE, Path(tempfile.gettempdir())}:
        for entry in os.scandir(folder):
            if entry.name == OURS:
                with contextlib.suppress(OSError):
                    found.update(map(Path, os.scandir(entry.path)))
            elif entry.name.startswith(PREFIX) and not entry.name.startswith(RUNS):
                found.add(Path(entry.path))
    return found


def lives(session: Path) -> bool:
    """Whether somebody holds a session's liveness lock. Looked up, not tried: trying it could disturb a member."""
    try:
        inode = (session / "live").stat().st_ino
    except OSError:
        return False
    with open("/proc/locks") as locks:
        return any(" FLOCK " in line and f":{inode} " in line for line in locks)


def new_files(before: set[Path]) -> list[Path]:
    """What came since ``before`` and is nobody's: sessions of living processes, this one's first, may stay."""
    return [path for path in files() - before if not (path.parent.name == OURS and lives(path))]


# ------------------------------------------------------------------------------------------------- the judgement


def new_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread not in before and not thread.daemon]


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test that leaves a process, a file of holdfast's or a non-daemon thread; they get two seconds to go."""
    threads, children, paths = set(threading.enumerate()), direct_children(), files()
    began = int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS)
    yield
    with_threads = request.node.get_closest_marker("leaves_threads") is None
    deadline = time.monotonic() + GRACE
    while True:
        rows, left = new_processes(began, children), new_files(paths)
        lost = new_threads(threads) if with_threads else []
        if not (rows or left or lost):
            return
        if time.monotonic() > deadline:
            break
        gc.collect()  # a pool or a process in a reference cycle ends when it is collected
        time.sleep(0.01)
    complaints = [describe(row) for row in rows] + [f"file {path}" for path in left] + [repr(t) for t in lost]
    for row in rows:  # so that the next test is judged on its own
        with contextlib.suppress(OSError):
            os.kill(row.pid, signal.SIGKILL)
    pytest.fail("the test left behind:\n  " + "\n  ".join(complaints), pytrace=False)


# ---------------------------------------------------------------------------------------------- fresh interpreters


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script in a fresh interpreter: ``run_python(code, *args, timeout=60, env=None)``.

    ``code`` is dedented and written to a file, because start methods import the main program again; guard its work
    with ``if __name__ == "__main__":`` where it starts processes. ``args`` arrive in ``sys.argv[1:]`` as text, ``env``
    is added to the environment. Returns the completed process with ``stdout`` and ``stderr`` as text, whatever its
    exit status. After ``timeout`` seconds its whole process group is killed and ``subprocess.TimeoutExpired`` raised.
    """
    count = iter(range(1_000_000))

    def run(code: str, *args: object, timeout: float = 60, env: dict[str, str] | None = None):
        script = tmp_path / f"script_{next(count)}.py"
        script.write_text(textwrap.dedent(code))
        command = [sys.executable, str(script), *map(str, args)]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = {**os.environ, **(env or {})}
        with subprocess.Popen(command, text=True, env=environment, process_group=0, **streams) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    return run


# --------------------------------------------------------------------------------------------------- start methods


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def start_method(request: pytest.FixtureRequest) -> str:
    """Each start method in turn; ``@pytest.mark.parametrize("start_method", ["spawn"])`` narrows it."""
    if request.param not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {request.param} on this system")
    return request.param


@pytest.fixture
def context(start_method: str) -> multiprocessing.context.BaseContext:
    """The standard library's multiprocessing context of each start method in turn."""
    return multiprocessing.get_context(start_method)
