"""kill -9 of a whole process tree: nobody stays, and the next start of any program takes away what it left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from tests.core.tools import until

from holdfast.core import _native

TREE = """
import multiprocessing, os, subprocess, sys, threading, time
import holdfast

def live(lock, event, depth, method):
    children = []
    if depth:
        context = multiprocessing.get_context(method)
        children = [context.Process(target=live, args=(lock, event, depth - 1, method)) for _ in range(2)]
        for child in children:
            child.start()
    os.write(1, b"%d\\n" % os.getpid())  # whole, among seven that write
    while True:
        with lock:
            kept = [holdfast.Event() for _ in range(5)]
        holdfast.Semaphore(2, name="tree").acquire(timeout=0.01)

if __name__ == "__main__":
    live(holdfast.Lock(), holdfast.Event(name="root"), 2, sys.argv[1])
"""


@pytest.mark.parametrize("order", ["root first", "leaves first", "all at once"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_kill_the_tree(method, order, tmp_path, run_python):
    """Seven processes that use locks and names, killed at work: nothing of them is left after one more start."""
    place = tmp_path / "memory"
    place.mkdir()
    (tmp_path / "tree.py").write_text(TREE)
    env = {**os.environ, "HOLDFAST_DIR": str(place), "PYTHONWARNINGS": "ignore"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, tmp_path / "tree.py", method], env=env, process_group=0, **streams) as root:
        try:
            pids = [int(root.stdout.readline()) for _ in range(7)]
            assert len(os.listdir(place / f"holdfast-{os.getuid()}")) == 2
            if order != "all at once":
                for pid in sorted(pids, key=lambda pid: pid == root.pid, reverse=order == "root first"):
                    os.kill(pid, signal.SIGKILL)
        finally:
            os.killpg(root.pid, signal.SIGKILL)
    until(lambda: not any(map(_native.process_start, pids)), "all dead")
    done = run_python("import holdfast; print(holdfast.Lock().acquire())", env={"HOLDFAST_DIR": str(place)})
    assert done.stdout == "True\n", done.stderr
    left = os.listdir(place / f"holdfast-{os.getuid()}") if os.listdir(place) else []
    assert left == []
