"""Where the fork server's socket lies: with the session, so that no death leaves it behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.core.tools import until

from holdfast.core import _native

SLEEPER = """
import os, sys, time
import holdfast
from multiprocessing import forkserver

def tell():
    print(os.getpid(), flush=True)
    time.sleep(1000)

if __name__ == "__main__":
    process = holdfast.Process(target=tell, start_method="forkserver")
    process.start()
    print(forkserver._forkserver._forkserver_address, flush=True)
    process.join()
"""

NEXT = "import holdfast; holdfast.Lock()"

START = """
import multiprocessing, os, sys
import holdfast
from multiprocessing import forkserver, util

def address():
    return forkserver._forkserver._forkserver_address

def where(process=None):
    if process is not None:
        process.start()
        process.join()
        assert process.exitcode == 0, process.exitcode
    return os.path.basename(os.path.dirname(address()))[:3]

def work():
    return os.getpid()
"""


@pytest.fixture
def places():
    """Short paths of two empty directories, for sessions and for temporary files; they must be empty at the end."""
    with tempfile.TemporaryDirectory(prefix="hf", dir="/dev/shm") as top:
        memory, temporary = Path(top, "m"), Path(top, "t")
        memory.mkdir()
        temporary.mkdir()
        yield {"HOLDFAST_DIR": str(memory), "TMPDIR": str(temporary)}
        assert list(memory.rglob("*")) == []
        assert list(temporary.rglob("*")) == []


def run_start(run_python, code, places):
    indented = "\n".join("    " + line for line in code.strip().splitlines())
    done = run_python(START + "\nif __name__ == '__main__':\n" + indented, env=places)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split()


def test_kill_of_a_tree_leaves_no_socket(places, tmp_path, run_python):
    """After kill -9 of everything and one more start of a holdfast program both places are empty."""
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    command = [sys.executable, tmp_path / "sleeper.py"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, env=os.environ | places, process_group=0, **streams) as root:
        try:
            told = {root.stdout.readline().strip() for _ in range(2)}
        finally:
            os.killpg(root.pid, signal.SIGKILL)
    (address,) = (line for line in told if not line.isdecimal())
    (child,) = (int(line) for line in told if line.isdecimal())
    until(lambda: not _native.process_start(child), "the child dead")
    assert os.path.exists(address)
    assert run_python(NEXT, env=places).returncode == 0


def test_nothing_is_left_in_the_normal_end(places, run_python):
    """The socket is the session's, works for plain multiprocessing too, and goes with the program."""
    code = """
print(where(holdfast.Process(target=work)))
print(where(multiprocessing.get_context("forkserver").Process(target=work)))
print(os.path.basename(util.get_temp_dir())[:5])  # everybody else's directory is where it always was
"""
    assert run_start(run_python, code, places) == ["fs-", "fs-", "pymp-"]


def test_a_server_that_runs_already_stays(places, run_python):
    """Who used multiprocessing's fork server before keeps it."""
    code = """
print(where(multiprocessing.get_context("forkserver").Process(target=work))[:2])
before = address()
print(where(holdfast.Process(target=work))[:2], address() == before)
"""
    assert run_start(run_python, code, places) == ["py", "py", "True"]


def test_a_server_that_died_is_started_again_at_the_same_place(places, run_python):
    """And nothing of the first one stays."""
    code = """
import signal
process = holdfast.Process(target=work)
print(where(process), process.result() != os.getpid())
before, pid = address(), forkserver._forkserver._forkserver_pid
os.kill(pid, signal.SIGKILL)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
process = holdfast.Process(target=work)
print(where(process), process.result() != os.getpid())
print(address() != before, os.path.dirname(address()) == os.path.dirname(before), os.path.exists(address()))
"""
    assert run_start(run_python, code, places) == ["fs-", "True", "fs-", "True", "True", "True", "True"]


def test_a_forked_child_has_its_own(places, run_python):
    """Its socket is another one and goes with the child; the parent's stays and works."""
    code = """
where(holdfast.Process(target=work))
before = address()
def child():
    return where(holdfast.Process(target=work)), address() != before, os.path.dirname(address())
process = holdfast.Process(target=child, start_method="fork")
process.start()
name, other, place = process.result()
process.join()
print(name, other, os.path.exists(place), os.path.exists(before), flush=True)
pid = os.fork()
if not pid:
    where(holdfast.Process(target=work))
    sys.exit(address() == before)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(where(holdfast.Process(target=work)), address() == before)
"""
    assert run_start(run_python, code, places) == ["fs-", "True", "False", "True", "0", "fs-", "True"]


@pytest.mark.parametrize("kind", ["holdfast", "multiprocessing.get_context('forkserver')"])
def test_starts_in_an_exit_handler(kind, places, run_python):
    """Also in one that runs after the session was left, and its socket was removed."""
    code = f"""
import atexit
def last():
    assert address() is None
    where({kind}.Process(target=os.getpid))  # by then the main program's own functions cannot be found
    print("started", flush=True)
atexit.register(last)
print(where(holdfast.Process(target=work)))
"""
    assert run_start(run_python, code, places) == ["fs-", "started"]
    assert run_python(NEXT, env=places).returncode == 0  # a session made so late is the next program's to remove


def test_a_path_too_long_for_a_socket(places, run_python):
    """Then the server listens where multiprocessing has it."""
    deep = os.path.join(places["HOLDFAST_DIR"], "d" * 60)
    os.mkdir(deep)
    code = "print(where(holdfast.Process(target=work)))"
    assert run_start(run_python, code, places | {"HOLDFAST_DIR": deep}) == ["pym"]
    os.rmdir(deep)
