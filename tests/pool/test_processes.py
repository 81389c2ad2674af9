"""What is particular to processes: what can be sent, the ways to start them, their number and their end."""

from __future__ import annotations

import functools
import gc
import multiprocessing
import os
import threading
import time
import traceback

import pool_tasks
import psutil
import pytest

import holdfast
from holdfast.workers.remote import RemoteError


@pytest.fixture
def pool():
    with holdfast.ProcessPoolExecutor(2) as pool:
        yield pool


def test_start_methods(context, start_method):
    """Each start method works, with the workers' number as it was asked for, and not in this process."""
    with holdfast.ProcessPoolExecutor(2, mp_context=context) as pool:
        assert pool._mp_context.get_start_method() == start_method
        pids = set(pool.map(pool_tasks.pid, range(50)))
        assert os.getpid() not in pids
        assert len(pids) <= 2
        assert set(pool._processes) >= pids


def test_default_number_of_workers_is_what_this_process_may_use():
    """`cpu_count()`, not the machine's."""
    pool = holdfast.ProcessPoolExecutor()
    assert pool._max_workers == holdfast.cpu_count()
    pool.shutdown()


@pytest.mark.parametrize("call", [lambda: 5, functools.partial(pool_tasks.add, 2, 3)], ids=["lambda", "partial"])
def test_functions_of_any_kind(pool, call):
    """Lambdas and partials are sent; closures too."""
    five = call()
    assert pool.submit(call).result() == five
    assert pool.submit(lambda x: x + five, 1).result() == 6


def test_functions_of_a_program_given_on_the_command_line(run_python):
    """`__main__` of ``python -c`` cannot be imported by a worker; its functions and classes work all the same."""
    done = run_python("""
        import subprocess, sys
        code = (
            "import holdfast\\n"
            "class Point:\\n    x = 3\\n"
            "def f(p): return p.x + 1\\n"
            "if __name__ == '__main__':\\n"
            "    with holdfast.ProcessPoolExecutor(1) as pool: print(pool.submit(f, Point()).result())\\n"
        )
        sys.exit(subprocess.run([sys.executable, "-c", code]).returncode)
    """)
    assert (done.stdout, done.stderr) == ("4\n", "")


def test_primitives_are_arguments(pool):
    """Locks, events and values of holdfast pickle through a task."""
    value = holdfast.Value("q", 0)
    for future in [pool.submit(value.add, 2) for _ in range(10)]:
        future.result()
    assert value.value == 20


def test_an_error_carries_the_workers_traceback(pool):
    """The exception is the task's own; its cause shows where it was raised."""
    error = pool.submit(pool_tasks.divide, 0).exception()
    assert type(error) is ZeroDivisionError
    text = "".join(traceback.format_exception(error))
    assert "pool_tasks.py" in text
    assert "return 1 / x" in text


def test_an_exception_with_two_arguments_arrives(pool):
    """The standard library's pool breaks over it."""
    error = pool.submit(pool_tasks.raise_two).exception()
    assert type(error) is pool_tasks.TwoArguments
    assert str(error) == "gate number 3"
    assert error.name == "gate"
    assert pool.submit(pool_tasks.square, 2).result() == 4


def test_an_exception_that_cannot_be_rebuilt_arrives_as_a_stand_in(pool):
    """It fails its own task only."""
    error = pool.submit(pool_tasks.raise_broken).exception()
    assert isinstance(error, RemoteError)
    assert "ComesBackBroken" in str(error)
    assert pool.submit(pool_tasks.square, 2).result() == 4


def test_system_exit_is_the_tasks_result(pool):
    """`sys.exit` in a task ends the task, not the worker."""
    error = pool.submit(pool_tasks.exit_with, 3).exception()
    assert isinstance(error, SystemExit)
    assert error.code == 3
    assert pool.submit(pool_tasks.square, 2).result() == 4


def test_an_unpicklable_argument_fails_its_future_and_is_named(pool):
    """`NotPicklable` says which argument, and the rest goes on."""
    error = pool.submit(pool_tasks.add, 1, x=threading.Lock()).exception()
    assert isinstance(error, holdfast.NotPicklable)
    assert "kwargs['x']" in str(error)
    assert "lock" in str(error)
    error = pool.submit(pool_tasks.nothing, 1, [2, (n for n in "a")]).exception()
    assert "args[1][1]" in str(error)
    assert pool.submit(pool_tasks.square, 2).result() == 4


def test_an_unpicklable_result_fails_its_future_and_is_named(pool):
    """`NotPicklable` says which part."""
    error = pool.submit(pool_tasks.unpicklable_result).exception()
    assert isinstance(error, holdfast.NotPicklable)
    assert "result['rows'][1]" in str(error)
    assert pool.submit(pool_tasks.square, 2).result() == 4


def test_an_unpicklable_function_fails_its_future(pool):
    """A bound method of something that cannot be sent."""
    error = pool.submit(threading.Event().wait).exception()
    assert isinstance(error, holdfast.NotPicklable)
    assert "fn" in str(error)


def test_large_arguments_and_results(pool):
    """100 MB in and out, and their memory is free again afterwards."""
    from holdfast.core import session

    size = 100_000_000
    data = b"a" + bytes(size - 2) + b"z"
    assert pool.submit(pool_tasks.length_and_ends, data).result() == (size, b"a", b"z")
    assert len(pool.submit(pool_tasks.big, size).result()) == size
    # Whatever else is in the arena: in the end none of the two blocks. The watchdog is the limit.
    while session.current().stats()["bytes_used"] > size:
        holdfast.Event()  # what is dropped soon after a fork is freed with a later object
        time.sleep(0.01)


def test_many_large_tasks_wait_as_objects(pool):
    """More than fits the parent's limit for pickles is sent in the end, each with its own arguments."""
    data = bytes(8_000_000)
    futures = [pool.submit(pool_tasks.length_and_ends, data + bytes([n])) for n in range(24)]
    assert [future.result() for future in futures] == [(8_000_001, b"\0", bytes([n])) for n in range(24)]


def test_max_tasks_per_child_replaces_workers():
    """No worker runs more tasks than allowed, and all tasks are done."""
    with holdfast.ProcessPoolExecutor(1, max_tasks_per_child=2) as pool:
        pids = list(pool.map(pool_tasks.pid, range(10)))
    assert max(pids.count(pid) for pid in pids) <= 2


@pytest.mark.parametrize(("most", "error"), [(0, ValueError), (1.5, TypeError)])
def test_max_tasks_per_child_is_checked(most, error):
    """As in the standard library, the fork method included."""
    with pytest.raises(error, match="max_tasks_per_child"):
        holdfast.ProcessPoolExecutor(1, max_tasks_per_child=most)
    with pytest.raises(ValueError, match="fork"):
        holdfast.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"), max_tasks_per_child=1)


def test_nested_pools(pool):
    """A task may have a pool, whose tasks may have a pool."""
    pids = pool.submit(pool_tasks.nested, 2).result()
    assert len(set(pids)) == 3


def test_no_task_waits_behind_a_long_one_while_a_worker_is_free(pool):
    """Short tasks that were given to the worker of a long one are taken back."""
    for _ in range(3):  # let the windows grow
        list(pool.map(pool_tasks.square, range(300)))
    begun, go = holdfast.Event(), holdfast.Event()
    long = pool.submit(pool_tasks.begin_then_wait, begun, go)
    short = [pool.submit(pool_tasks.square, n) for n in range(200)]
    assert [future.result() for future in short] == [n * n for n in range(200)]
    assert not long.done()
    go.set()
    long.result()


def test_two_tasks_that_wait_for_each_other_both_run(pool):
    """A task is never stuck behind one that waits for it, if there is a second worker."""
    for _ in range(20):
        barrier = holdfast.Barrier(2)
        futures = [pool.submit(barrier.wait, 60) for _ in range(2)]
        assert sorted(future.result() for future in futures) == [0, 1]


def test_a_forgotten_executor_ends_its_workers():
    """Its work is done first."""
    pool = holdfast.ProcessPoolExecutor(1)
    future = pool.submit(pool_tasks.pid)
    (process,) = pool._processes.values()
    watched = psutil.Process(process.pid)
    del process, pool
    gc.collect()
    assert future.result() == watched.pid
    watched.wait(60)


def test_a_task_of_a_finished_future_is_not_kept(pool):
    """Neither the result nor the arguments are held by the pool once the caller has let go."""
    import weakref

    class Thing(list):
        pass

    thing = Thing([1])
    future = pool.submit(len, thing)
    assert future.result() == 1
    gone = weakref.ref(thing)
    del thing, future
    pool.submit(pool_tasks.nothing).result()
    gc.collect()
    assert gone() is None


def test_a_forked_child_is_told_that_the_pool_is_not_its_own(pool):
    """It does not hang, at its end neither."""
    assert pool.submit(pool_tasks.square, 2).result() == 4
    child = multiprocessing.get_context("fork").Process(target=_use_in_child, args=(pool,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert pool.submit(pool_tasks.square, 3).result() == 9


def _use_in_child(pool):
    with pytest.raises(RuntimeError, match="forked child"):
        pool.submit(pool_tasks.square, 2)
    pool.shutdown()
    with holdfast.ProcessPoolExecutor(1) as own:
        assert own.submit(pool_tasks.square, 2).result() == 4


def test_no_descriptor_is_left():
    """Ten pools later this process has as many open files as before."""
    with holdfast.ProcessPoolExecutor(2) as pool:
        pool.submit(pool_tasks.nothing).result()
    before = pool_tasks.open_descriptor_count()
    for _ in range(10):
        with holdfast.ProcessPoolExecutor(2) as pool:
            pool.submit(pool_tasks.nothing).result()
    gc.collect()
    assert pool_tasks.open_descriptor_count() <= before
