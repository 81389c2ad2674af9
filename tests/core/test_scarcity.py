"""What must not happen when descriptors run out, are closed behind our back, or stand for somebody else's file."""

from __future__ import annotations

import pytest

PRELUDE = """
import os, resource, time, holdfast
from holdfast.core import session

def starve():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return taken
"""


def test_without_descriptors_the_living_are_not_taken_for_dead(run_python):
    """A waiter that cannot open anything neither gets the lock of a living holder nor has its memory freed."""
    done = run_python(
        PRELUDE
        + """
lock, ready, go = holdfast.Lock(), holdfast.Event(), holdfast.Event()
pid = os.fork()
if pid == 0:
    value = holdfast.Value("q", 4711)
    with lock:
        ready.set()
        go.wait()
        os._exit(0 if value.value == 4711 else 1)
ready.wait()
taken = starve()
print(lock.acquire(timeout=0.3), "locked" in repr(lock), len(lock.session.members()))
for fd in taken:
    os.close(fd)
lock.session.sweep()
time.sleep(1.1)
lock.session.sweep()
others = [holdfast.Value("q", 666) for _ in range(100)]
go.set()
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    )
    assert (done.stdout, done.stderr) == ("False True 2\n0\n", "")


def test_descriptors_that_stand_for_another_file_by_now(run_python, tmp_path):
    """A daemon closes all its files and opens its own: holdfast neither grows, nor punches, nor closes those."""
    done = run_python(
        PRELUDE
        + """
import sys
holdfast.Lock()
os.closerange(3, 256)
files = [open(f"{sys.argv[1]}/{i}", "w+b") for i in range(6)]
for file in files:
    file.write(b"x" * 100_000)
    file.flush()
locks = [holdfast.Lock() for _ in range(5000)]
block = holdfast.share(b"y" * (32 << 20))
del block
session.current().trim()
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
session.leave()
for file in files:
    file.seek(0)
print([file.read() == b"x" * 100_000 for file in files] == [True] * 6, session.current().stats()["bytes_idle"])
""",
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("True 0\n", "")


@pytest.mark.parametrize("place", ["/nonexistent", "/proc"])
def test_a_place_that_cannot_be_used(run_python, place):
    """The error is a SessionError that names the place and the remedy."""
    done = run_python("import holdfast; holdfast.Lock()", env={"HOLDFAST_DIR": place})
    assert "SessionError" in done.stderr
    assert place in done.stderr
    assert "set HOLDFAST_DIR" in done.stderr
