"""`holdfast.Thread`: the standard library's thread, with a result."""

from __future__ import annotations

import gc
import os
import threading
import traceback
import weakref

import pytest
from interrupting import interrupt_main_in
from worker_targets import double, keywords

from holdfast.workers import Thread, current


@pytest.fixture
def reported(monkeypatch):
    """What reaches threading.excepthook."""
    calls = []
    monkeypatch.setattr(threading, "excepthook", lambda args: calls.append((args.exc_type, args.thread.name)))
    return calls


def start(*args, **kwargs):
    thread = Thread(*args, **kwargs)
    thread.start()
    return thread


def test_it_is_a_standard_thread():
    """Everything that takes a `threading.Thread` takes ours: names, daemon, ident, repr, enumerate."""
    go = threading.Event()
    thread = Thread(target=go.wait, name="worker", daemon=True)
    assert isinstance(thread, threading.Thread)
    assert (thread.name, thread.daemon, thread.ident, thread.is_alive()) == ("worker", True, None, False)
    thread.start()
    assert thread.is_alive()
    assert thread in threading.enumerate()
    assert "started daemon" in repr(thread)
    go.set()
    thread.join()
    assert not thread.is_alive()


def test_a_target_gives_its_value():
    """`result` waits for the thread and returns what the target returned, as often as asked."""
    thread = start(target=keywords, args=(1, 2), kwargs={"a": 3})
    assert thread.result() == ((1, 2), {"a": 3})
    assert thread.result(timeout=0) == ((1, 2), {"a": 3})


def test_a_subclass_gives_what_run_returns():
    """Overriding run() gives the result too, also through super().run()."""

    class Mine(Thread):
        def run(self):
            return super().run(), self.name

    thread = Mine(target=double, args=(4,), name="mine")
    thread.start()
    assert thread.result() == (8, "mine")


def test_a_subclass_may_keep_its_own_result_attribute():
    """The old idiom ``self.result = ...`` in run() goes on working."""

    class Old(Thread):
        def run(self):
            self.result = 7

    thread = Old()
    thread.start()
    thread.join()
    assert thread.result == 7


def test_no_target_gives_none():
    """As in the standard library, there need not be anything to do."""
    assert start().result() is None


def test_the_very_exception_comes_with_its_traceback(reported):
    """It is the same object; its traceback leads into the thread; excepthook was told at once, as usual."""
    error = ValueError("wrong")

    def fail():
        raise error

    thread = start(target=fail, name="failing")
    for _ in range(2):
        with pytest.raises(ValueError, match="wrong") as caught:
            thread.result()
        assert caught.value is error
        assert traceback.extract_tb(error.__traceback__)[-1].name == "fail"
    assert reported == [(ValueError, "failing")]


def test_system_exit_is_raised_by_result(reported):
    """The standard hook says nothing of SystemExit; who asks for the result still gets it."""

    def leave():
        raise SystemExit(3)

    thread = start(target=leave)
    with pytest.raises(SystemExit) as caught:
        thread.result()
    assert caught.value.code == 3
    assert reported == [(SystemExit, thread.name)]  # whose standard version keeps silent about it


def test_a_thread_still_running_times_out():
    """The builtin TimeoutError, naming the thread; the thread is not disturbed."""
    go = threading.Event()
    thread = start(target=go.wait, name="slow")
    with pytest.raises(TimeoutError, match=r"'slow' is still running after timeout=0\.01"):
        thread.result(timeout=0.01)
    go.set()
    assert thread.result() is True


def test_wrong_use_is_a_runtime_error():
    """Not started, started twice, asked for by itself: what join() and start() raise."""
    thread = Thread()
    with pytest.raises(RuntimeError, match="before it is started"):
        thread.result()
    own = Thread(target=_capture_runtime_error, args=(lambda: own.result(),))  # noqa: PLW0108 - no `own` yet
    own.start()
    assert "current thread" in own.result()
    with pytest.raises(RuntimeError, match="only be started once"):
        own.start()


def _capture_runtime_error(call):
    try:
        call()
    except RuntimeError as error:
        return str(error)
    return "nothing raised"


def test_forgetting_the_base_constructor_is_a_runtime_error():
    """The standard message, not an AttributeError of ours."""

    class Forgetful(Thread):
        def __init__(self):
            pass

    with pytest.raises(RuntimeError, match=r"thread.__init__\(\) not called"):
        Forgetful().start()


def test_a_thread_the_system_refuses_can_be_started_later(monkeypatch):
    """A failed start leaves the object as it was."""
    thread = Thread(target=double, args=(3,))

    def refuse(*_args, **_kwargs):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        for name in ("_start_new_thread", "_start_joinable_thread"):
            if hasattr(threading, name):
                patch.setattr(threading, name, refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            thread.start()
    assert "run" not in vars(thread)
    thread.start()
    assert thread.result() == 6


def test_many_may_ask_at_once():
    """Every caller of result() gets the value."""
    go = threading.Event()
    thread = start(target=go.wait)
    askers = [start(target=thread.result) for _ in range(8)]
    go.set()
    assert [asker.result() for asker in askers] == [True] * 8


def test_nothing_keeps_a_finished_thread_or_its_arguments():
    """No circle of references remains: the arguments go when the run ends, the error when the thread object goes."""

    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    thread = start(target=id, args=(thing,))
    thread.result()
    del thing
    gc.collect()
    assert gone() is None
    gc.disable()
    try:
        gone = weakref.ref(thread)
        del thread
        assert gone() is None
    finally:
        gc.enable()


def test_current_in_a_thread_is_that_thread():
    """`current` in a thread gives the object the thread was started through."""
    thread = start(target=current)
    assert thread.result() is thread


def test_control_c_interrupts_result():
    """A signal while the main thread waits in result() is handled at once."""
    go = threading.Event()
    thread = start(target=go.wait)
    with pytest.raises(KeyboardInterrupt):
        start(target=interrupt_main_in, args=(Thread.join,))
        thread.result()
    assert thread.is_alive()
    go.set()
    assert thread.result() is True


def test_a_forked_child_says_that_the_thread_stayed_behind():
    """There is nothing to wait for in a forked child, and so no waiting."""
    go = threading.Event()
    thread = start(target=go.wait)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            thread.result()
        except RuntimeError as error:
            code = 0 if "parent of this forked process" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    go.set()
    thread.join()
