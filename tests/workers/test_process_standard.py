"""`holdfast.Process` as the standard library's: names, states, signals, children of children, forks."""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait

import pytest
import worker_targets as targets

from holdfast.workers import Process, Thread, active_children, current


def test_the_default_is_forkserver():
    """Without start_method= a child inherits nobody's locks."""
    assert Process()._start_method == "forkserver"


def test_the_signature_is_the_standard_one():
    """A program that changes its import changes no call."""
    ours = list(inspect.signature(Process).parameters)
    assert ours == [*inspect.signature(multiprocessing.Process).parameters, "start_method"]


def test_names_ids_and_life(start):
    """Name, daemon, pid, ident, authkey, is_alive, exitcode, repr, active_children: before, during and after."""
    process = Process(name="worker", daemon=True)
    assert isinstance(process, multiprocessing.process.BaseProcess)
    assert (process.name, process.daemon, process.pid, process.exitcode) == ("worker", True, None, None)
    assert process.authkey == multiprocessing.current_process().authkey
    assert not process.is_alive()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        process = start(targets.recv_then, receiver, 1, name="living")
        assert process.is_alive()
        assert process.pid == process.ident
        assert process in active_children()
        assert "name='living'" in repr(process)
        assert "started" in repr(process)
        process.join(timeout=0)
        assert process.exitcode is None
        sender.send("go")
        process.join()
    assert process.exitcode == 0
    assert process not in active_children()
    assert "stopped exitcode=0" in repr(process)


def test_the_sentinel_tells_of_the_end(start):
    """It becomes ready when the process is dead, and `multiprocessing.connection.wait` takes it."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        process = start(targets.recv_then, receiver, 1)
        assert wait([process.sentinel], timeout=0) == []
        sender.send("go")
        assert wait([process.sentinel]) == [process.sentinel]
    with pytest.raises(ValueError, match="not started"):
        _ = Process().sentinel


@pytest.mark.parametrize(("method", "signum"), [("terminate", signal.SIGTERM), ("kill", signal.SIGKILL)])
def test_terminate_and_kill(start, method, signum):
    """Each sends its signal, and the exit code shows it."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        process = start(targets.forever, sender)
        assert receiver.recv() == process.pid
        getattr(process, method)()
        process.join()
    assert process.exitcode == -signum


def test_current_in_a_process_is_that_process(start):
    """`current` in the main thread of a child is its Process; at the top it is multiprocessing's main process."""
    assert start(targets.who_am_i, name="me", daemon=True).result() == ("Process", "me", True, True)
    assert current() is multiprocessing.current_process()


@pytest.mark.usefixtures("subreaper")
def test_join_returns_although_a_grandchild_lives(start):
    """A process that forked is dead when it is dead: its children hold its pipes open, and that does not matter."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        process = start(targets.fork_and_end, receiver)
        process.join(timeout=100)
        assert process.exitcode == 0  # the grandchild still waits for a word
        assert wait([process.sentinel]) == [process.sentinel]
        sender.send("go")


def test_a_status_that_somebody_else_collected():
    """os.wait() elsewhere in the program leaves join() with nothing to collect: it ends, and the result is there."""
    process = Process(target=targets.double, args=(2,), start_method="fork")
    process.start()
    os.waitpid(process.pid, 0)
    process.join()
    assert process.exitcode == 255
    assert process.result() == 4


@pytest.mark.parametrize("start_method", ["spawn", "forkserver"])
def test_main_functions_without_a_file(start_method, run_python):
    """Under ``python -c`` and in notebooks `__main__` cannot be imported: its functions and classes go by value."""
    code = (
        "from holdfast.workers import Process\n"
        "class Thing:\n    pass\n"
        "class Mine(Process):\n    def run(self):\n        return Thing()\n"
        "def f(x):\n    return x + offset\n"
        "offset = 1\n"
        f"m = {start_method!r}\n"
        "p = Process(target=f, args=(1,), start_method=m); p.start(); print(p.result())\n"
        "p = Mine(start_method=m); p.start(); print(type(p.result()) is Thing)\n"
    )
    done = run_python(
        f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {code!r}]).returncode)",
    )
    assert (done.returncode, done.stdout.split()) == (0, ["2", "True"]), done.stderr


# ---------------------------------------------------------------------------------------------------------- fork


def test_fork_while_another_thread_holds_locks():
    """A child forked while other threads hold locks, ours and the interpreter's, gives its result all the same."""
    holding, go = threading.Event(), threading.Event()

    def hold(lock):
        with lock:
            holding.set()
            go.wait()

    locks = [threading.Lock(), threading.RLock(), multiprocessing.Lock(), *_holdfast_locks()]
    for lock in locks:
        holding.clear()
        go.clear()
        holder = Thread(target=hold, args=(lock,))
        holder.start()
        holding.wait()
        process = Process(target=lambda: [1] * 100, start_method="fork")
        process.start()
        assert process.result() == [1] * 100
        go.set()
        holder.result()


def _holdfast_locks():
    try:
        from holdfast.sync.lock import Lock
    except ImportError:
        return []
    return [Lock()]


def test_fork_while_another_thread_asks():
    """A child forked while another thread is inside result() is not held up by what that thread holds."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        slow = Process(target=targets.recv_then, args=(receiver, 1), start_method="fork")
        slow.start()
        asker = Thread(target=slow.result)
        asker.start()
        for i in range(5):
            process = Process(target=targets.double, args=(i,), start_method="fork")
            process.start()
            assert process.result() == 2 * i
        sender.send("go")
        assert asker.result() == 1


@pytest.mark.parametrize("nested", ["fork", "spawn", "forkserver"])
@pytest.mark.usefixtures("subreaper")
def test_processes_start_processes(start, nested):
    """In every combination; a forked child does not mistake its parent's fork server for its own."""
    first = Process(target=targets.double, args=(1,), start_method="forkserver")  # so that there is a server
    first.start()
    assert first.result() == 2
    assert start(targets.run_in_process, nested, targets.double, 4).result() == 8
