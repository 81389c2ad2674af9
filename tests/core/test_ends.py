"""Ends of programs that leave something to others: exit handlers, named objects, pickles loaded more than once."""

from __future__ import annotations

import gc
import os
import pickle
import signal

import pytest

from holdfast.sync.event import Event
from holdfast.sync.lock import Lock


def test_a_program_that_uses_only_names_removes_dead_sessions(run_python, place_of_its_own):
    """Whatever kind of object the next program makes, it clears up after those that were killed."""
    env = {"HOLDFAST_DIR": str(place_of_its_own)}
    killed = run_python("import holdfast, os; holdfast.Lock(); os.kill(os.getpid(), 9)", env=env)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(place_of_its_own.glob("*/s-*"))) == 1
    done = run_python("import holdfast\nwith holdfast.Lock(name='job'): pass", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(place_of_its_own) == []


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_an_exit_handler_from_before_may_still_start_processes(method, run_python, place_of_its_own):
    """The session is left by then; what the handler makes gets another, which the next program removes."""
    env = {"HOLDFAST_DIR": str(place_of_its_own)}
    done = run_python(
        """
        import atexit, sys

        def late():
            process = holdfast.Process(target=int, start_method=sys.argv[1])
            process.start()
            print("result", process.result(20))

        if __name__ == "__main__":
            atexit.register(late)
        import holdfast
        if __name__ == "__main__":
            lock = holdfast.Lock()
        """,
        method,
        env=env,
    )
    assert (done.stdout, done.stderr) == ("result 0\n", "")
    run_python("import holdfast; holdfast.Lock()", env=env)
    assert os.listdir(place_of_its_own) == []


def test_one_pickle_read_thrice_does_not_use_up_the_next():
    """Only arrivals of pickles that were made count."""
    lock = Lock()
    blob = pickle.dumps(lock)
    for _ in range(3):
        pickle.loads(blob)
    blob = pickle.dumps(lock)
    del lock
    gc.collect()
    assert pickle.loads(blob).acquire()


def test_a_fork_while_another_thread_imports(run_python):
    """A name that another thread uses for the first time at that moment can be used by the child."""
    done = run_python(
        """
        import os, threading, holdfast
        holdfast.Lock()
        thread = threading.Thread(target=lambda: holdfast.Value("i"))
        thread.start()
        pid = os.fork()
        if pid == 0:
            holdfast.Value("i")
            os._exit(0)
        print(os.waitpid(pid, 0)[1])
        thread.join()
        """
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_an_event_goes_on_after_its_session_was_left(run_python):
    """leave() announces the end and takes nothing away."""
    assert not Event().is_set()
    done = run_python(
        """
        import holdfast
        from holdfast.core import session
        event, lock = holdfast.Event(), holdfast.Lock()
        session.leave()
        event.set()
        with lock:
            print(event.wait(1), holdfast.Lock().acquire(timeout=1))
        """
    )
    assert (done.stdout, done.stderr) == ("True True\n", "")
