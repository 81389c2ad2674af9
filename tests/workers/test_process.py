"""`holdfast.Process`: multiprocessing's process, with a result; under every start method."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading

import pytest
import worker_targets as targets
from interrupting import interrupt_main_in

from holdfast.errors import NotPicklable
from holdfast.workers import Process, Thread, active_children, popen, remote


def leftovers(process):
    """What of a process's outcome is still in the session's directory."""
    folder, name = os.path.split(process._holdfast_path)
    return [entry for entry in os.listdir(folder) if entry.startswith(name)]


# ------------------------------------------------------------------------------------------------------- results


def test_a_target_gives_its_value(start):
    """`result` waits for the end and returns the value, as often as asked; nothing is left on the file system."""
    process = start(targets.keywords, 1, 2, kwargs={"a": 3})
    assert process.result() == ((1, 2), {"a": 3})
    assert process.result(timeout=0) == ((1, 2), {"a": 3})
    assert (process.exitcode, process.is_alive(), leftovers(process)) == (0, False, [])


def test_a_subclass_gives_what_run_returns(start):
    """By subclass with run(), the result is what run() returns; under fork even if the class is a local one."""
    assert start(kind=targets.Squares, n=4).result() == [0, 1, 4, 9]


def test_a_local_subclass_works(start):
    """Classes that no module holds are carried by value."""

    class Local(Process):
        def run(self):
            return self.name, os.getpid()

    process = start(kind=Local, name="local")
    assert process.result() == ("local", process.pid)


def test_its_own_method_as_target(start):
    """A target that is bound to the process itself is carried like any other."""
    assert start(kind=targets.Selfish, name="me").result() == "me"


def test_lambdas_and_closures_are_targets(start):
    """What plain pickle refuses goes by value: as target, as argument, as result."""
    n = 5
    assert start(lambda f: f(1) + n, lambda x: 10 * x).result() == 15
    assert start(targets.make_lambda, 3).result()(4) == 7


def test_a_lambda_and_a_lock_travel_together(start):
    """The second way to pickle also takes what only multiprocessing can send."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    lock = multiprocessing.get_context("spawn").Lock()
    with receiver, sender:
        assert start(lambda lock, pipe: pipe.send(lock.acquire()), lock, sender).result() is None
        assert receiver.recv() is True
    assert not lock.acquire(block=False)


def test_a_large_result_needs_no_reader(start):
    """50 MB, with join() before result(): the child can end although nobody has asked yet."""
    process = start(targets.big, 50_000_000)
    process.join()
    assert process.exitcode == 0
    assert process.result() == bytes(50_000_000)


def test_many_may_ask_at_once(start):
    """Several threads in join() and result() all get the truth, though the status can be collected once only."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        process = start(targets.recv_then, receiver, 7)
        askers = [Thread(target=process.result) for _ in range(6)]
        joiners = [Thread(target=lambda: (process.join(), process.exitcode)) for _ in range(6)]
        for thread in askers + joiners:
            thread.start()
        sender.send("go")
        assert [thread.result() for thread in askers] == [7] * 6
        assert [thread.result()[1] for thread in joiners] == [0] * 6


def test_a_result_nobody_asks_for_goes_with_the_object(start_method):
    """Dropping the process object, or closing it, removes its outcome."""
    for drop in (lambda process: None, lambda process: process.close()):
        process = Process(target=targets.double, args=(1,), start_method=start_method)
        process.start()
        process.join()
        folder, name = os.path.split(process._holdfast_path)
        assert name in os.listdir(folder)
        drop(process)
        del process
        assert name not in os.listdir(folder)


# -------------------------------------------------------------------------------------------------------- errors


def test_an_exception_comes_with_the_childs_traceback(start, capfd):
    """Its type and attributes are kept although pickle could not rebuild it; the child printed it too, as usual."""
    process = start(targets.raise_two_arguments, name="unlucky")
    for _ in range(2):
        with pytest.raises(targets.TwoArguments, match="404: gone") as caught:
            process.result()
        assert caught.value.code == 404
        assert "in raise_two_arguments" in str(caught.value.__cause__)
    assert process.exitcode == 1
    printed = capfd.readouterr().err
    if process._start_method != "forkserver":  # where it goes to what was stderr when the server began
        assert "Process unlucky:" in printed
        assert "TwoArguments: 404: gone" in printed


@pytest.mark.parametrize(("code", "exitcode"), [(0, 0), (3, 3), (None, 0)])
def test_system_exit_sets_the_exit_code_and_is_raised(start, code, exitcode):
    """sys.exit in a child is what it was; result() says that there is no value by raising it."""
    process = start(targets.exit_with, code)
    with pytest.raises(SystemExit) as caught:
        process.result()
    assert caught.value.code == code
    assert process.exitcode == exitcode


def test_an_exception_that_cannot_travel_has_a_stand_in(start):
    """Type name, text and traceback arrive in any case."""
    with pytest.raises(remote.RemoteError, match="Unbearable: heavy") as caught:
        start(targets.raise_unbearable).result()
    assert "in raise_unbearable" in caught.value.traceback


def test_an_unpicklable_result_is_named(start):
    """Asking for it raises; the process itself did nothing wrong and ended with 0."""
    process = start(targets.unpicklable)
    with pytest.raises(NotPicklable, match=r"unpicklable.*result\['rows'\]\[2\].*generator") as caught:
        process.result()
    assert isinstance(caught.value.__cause__, TypeError)
    assert process.exitcode == 0


@pytest.mark.parametrize("start_method", ["spawn", "forkserver"])
def test_an_unpicklable_argument_is_named_at_the_start(start_method):
    """The error comes from start(), names the argument, and no process was made."""
    process = Process(target=print, args=(1, {"k": threading.Lock()}), start_method=start_method)
    with pytest.raises(NotPicklable, match=r"args\[1\]\['k'\] is of type _thread.lock"):
        process.start()
    assert process.pid is None
    assert process not in active_children()


def test_no_room_for_the_result(start):
    """No room (here: a limit on file sizes): the error that the child met arrives instead of the result."""
    process = start(targets.with_little_room, 1_000_000)
    with pytest.raises(OSError, match="File too large") as caught:
        process.result()
    assert caught.value.errno == errno.EFBIG


# ---------------------------------------------------------------------------------------------------- wrong times


def test_a_process_still_running_times_out(start):
    """The builtin TimeoutError names the process; the process is not disturbed."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        process = start(targets.recv_then, receiver, 5, name="slow")
        with pytest.raises(TimeoutError, match=rf"'slow' \(pid {process.pid}\) is still running after timeout=0.01"):
            process.result(timeout=0.01)
        sender.send("go")
        assert process.result() == 5


def test_not_started_closed_or_not_ours():
    """The same errors as join(): AssertionError before the start and from another process, ValueError after close()."""
    process = Process(target=targets.double, args=(1,), start_method="fork")
    with pytest.raises(AssertionError, match="started"):
        process.result()
    process.start()
    asker = Process(target=process.result, start_method="fork")
    asker.start()
    with pytest.raises(AssertionError, match="child process"):
        asker.result()
    process.join()
    process.close()
    with pytest.raises(ValueError, match="closed"):
        process.result()


def test_closing_a_living_process_is_refused(start):
    """ValueError, as in the standard library, and the result is still to be had."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        process = start(targets.recv_then, receiver, 5)
        with pytest.raises(ValueError, match="still running"):
            process.close()
        sender.send("go")
        assert process.result() == 5


def test_an_unknown_start_method_is_refused():
    """ValueError, naming the value and what there is."""
    with pytest.raises(ValueError, match=r"start_method='warp'.*fork"):
        Process(start_method="warp")


@pytest.mark.parametrize("call", ["result", "join"])
def test_control_c_interrupts_the_wait(start, call):
    """SIGINT while the main thread waits: KeyboardInterrupt at once, and the process can be waited for again."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with receiver, sender:
        process = start(targets.recv_then, receiver, 5)
        thread = Thread(target=interrupt_main_in, args=(popen._Steady.wait,))
        with pytest.raises(KeyboardInterrupt):
            thread.start()
            getattr(process, call)()
        thread.join()
        assert process.is_alive()
        sender.send("go")
        assert process.result() == 5
