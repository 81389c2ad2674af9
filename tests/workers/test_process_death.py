"""Processes that die instead of giving a result, and children whose parent dies."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal

import pytest
import worker_targets as targets

from holdfast.errors import WorkerDied
from holdfast.workers import Process
from holdfast.workers.process import describe_exit


def begin(start_method, target, *args, **options):
    process = Process(target=target, args=args, start_method=start_method, **options)
    process.start()
    return process


@pytest.mark.parametrize(
    ("signum", "said"), [(signal.SIGKILL, "signal 9 (SIGKILL)"), (signal.SIGSEGV, "signal 11 (SIGSEGV)")]
)
def test_killed_by_a_signal(start_method, signum, said):
    """WorkerDied tells the process, the signal and the task, in words and as attributes, also after pickling."""
    process = begin(start_method, targets.kill_self, signum, name="victim")
    for _ in range(2):
        with pytest.raises(WorkerDied) as caught:
            process.result()
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert (error.pid, error.exitcode, error.task) == (process.pid, -signum, "kill_self")
        assert f"process 'victim' (pid {process.pid}) was killed by {said} before kill_self gave a result" in str(error)


@pytest.mark.parametrize("code", [0, 3])
def test_ended_by_os_exit(start_method, code):
    """Also an exit code of 0 is no result if the child never handed one over."""
    with pytest.raises(WorkerDied, match=f"ended with exit code {code} before leave_with gave a result") as caught:
        begin(start_method, targets.leave_with, code).result()
    assert caught.value.exitcode == code


def test_killed_while_it_hands_over(start_method):
    """Half an outcome is none, and is removed with the process object."""
    process = begin(start_method, targets.die_while_handing_over)
    process.join()
    folder, name = os.path.split(process._holdfast_path)
    assert os.listdir(folder).count(name + ".tmp") == 1
    with pytest.raises(WorkerDied, match="SIGKILL"):
        process.result()
    process.close()
    assert name + ".tmp" not in os.listdir(folder)


def test_killed_after_it_handed_over(start_method):
    """What was committed counts, however the process ended afterwards."""
    process = begin(start_method, targets.die_after_handing_over, "last words")
    assert process.result() == "last words"
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "ended with exit code 0"),
        (-9, "was killed by signal 9 (SIGKILL)"),
        (-63, "was killed by signal 63"),
        (255, "ended with exit code 255 (or one that could not be learnt)"),
        (None, "ended"),
    ],
)
def test_exit_codes_in_words(code, said):
    """Signals have their names; what is not known is not guessed."""
    assert describe_exit(code) == said


# ------------------------------------------------------------------------------------------- the parent's death


@pytest.mark.parametrize("parent_method", ["fork", "spawn", "forkserver"])
def test_a_daemonic_child_ends_with_its_killed_parent(start_method, parent_method):
    """After kill -9 of the parent its daemonic children vanish, with siblings that inherited each other's pipes."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver:
        parent = begin(parent_method, targets.parent_of_daemons, sender, start_method, 3)
        sender.close()
        watches = [os.pidfd_open(receiver.recv()) for _ in range(3)]
        parent.kill()
        try:
            assert multiprocessing.connection.wait(watches[:1]) == watches[:1]
            for watch in watches:
                multiprocessing.connection.wait([watch])
        finally:
            for watch in watches:
                os.close(watch)
        with pytest.raises(WorkerDied, match="SIGKILL"):
            parent.result()


def test_a_child_of_a_parent_already_dead_ends(start_method):
    """A number that belongs to another process by now is not taken for the parent: the child ends before its task."""
    process = begin(start_method, targets.meet_a_stranger)
    assert process.exitcode in (None, 1)
    with pytest.raises(WorkerDied, match="exit code 1 "):
        process.result()
