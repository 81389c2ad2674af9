"""What the tests of the workers share: starting processes and collecting orphans.

The targets of these tests live in a module that children can import, whatever way they are started.
"""

from __future__ import annotations

import ctypes
import os
import sys
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import pytest

from holdfast.workers import Process

# Spawned children and the fork server's get this path with multiprocessing's preparation data.
sys.path.insert(0, str(Path(__file__).parent / "importable"))


@pytest.fixture
def start(start_method):
    """Start a Process in one of the ways; whatever still lives afterwards is killed."""
    started = []

    def begin(target=None, *args, kind=Process, **options):
        if target is not None:
            options |= {"target": target, "args": args}
        process = kind(start_method=start_method, **options)
        process.start()
        started.append(process)
        return process

    yield begin
    for process in started:
        if not process._closed:
            process.kill()
            process.join()
            process.close()


def _children():
    """Pids of the children of this process, multiprocessing's two helpers left out."""
    pids = {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}
    return pids - {forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid}


@pytest.fixture
def subreaper():
    """Orphans below this process become its children and are collected: elsewhere they wait as zombies for init."""
    prctl = ctypes.CDLL(None).prctl
    set_child_subreaper = 36
    before = _children()
    prctl(set_child_subreaper, 1, 0, 0, 0)
    yield
    while orphans := _children() - before:
        for pid in orphans:
            os.waitpid(pid, 0)
    prctl(set_child_subreaper, 0, 0, 0, 0)
