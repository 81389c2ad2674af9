"""`holdfast.Process`: multiprocessing's process, with a result; under every start method."""

from __future__ import annotations

import ctypes
import errno
import inspect
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import wait

import pytest
import worker_targets as targets

from holdfast.errors import NotPicklable
from holdfast.workers import Process, Thread, active_children, current, popen, remote


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
    assert start(lambda f: (lambda x: f(x) + n)(1), lambda x: 10 * x).result() == 15
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
    with pytest.raises(ValueError, match="start_method='warp'.*fork"):
        Process(start_method="warp")


@pytest.mark.parametrize("call", ["result", "join"])
def test_control_c_interrupts_the_wait(start, call):
    """SIGINT while the main thread waits: KeyboardInterrupt at once, and the process can be waited for again."""
    main = threading.get_ident()
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def interrupt():
        frame = None
        while frame is None:  # until the main thread waits there
            frame = sys._current_frames()[main]
            while frame is not None and frame.f_code is not popen._Steady.wait.__code__:
                frame = frame.f_back
        signal.pthread_kill(main, signal.SIGINT)

    with receiver, sender:
        process = start(targets.recv_then, receiver, 5)
        thread = Thread(target=interrupt)
        with pytest.raises(KeyboardInterrupt):
            thread.start()
            getattr(process, call)()
        thread.join()
        assert process.is_alive()
        sender.send("go")
        assert process.result() == 5


# --------------------------------------------------------------------------------------- the standard library's


def test_the_default_is_forkserver():
    """Without start_method= a child inherits nobody's locks."""
    assert Process()._start_method == "forkserver"


def test_the_signature_is_the_standard_one():
    """A program that changes its import changes no call."""
    ours = list(inspect.signature(Process).parameters)
    assert ours == [*inspect.signature(multiprocessing.Process).parameters, "start_method"]


def test_names_ids_and_life(start):
    """name, daemon, pid, ident, authkey, is_alive, exitcode, repr, active_children, from before the start to the end."""
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


@pytest.fixture
def subreaper():
    """Orphans below this process become its children, so that the test can collect them."""
    prctl = ctypes.CDLL(None).prctl
    set_child_subreaper = 36
    prctl(set_child_subreaper, 1, 0, 0, 0)
    yield
    prctl(set_child_subreaper, 0, 0, 0, 0)


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
        os.waitpid(process.result(), 0)


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
def test_processes_start_processes(start, nested):
    """In every combination; a forked child does not mistake its parent's fork server for its own."""
    start(targets.double, 1).result()
    assert start(targets.run_in_process, nested, targets.double, 4).result() == 8
