"""What both executors do alike: the contract of `concurrent.futures`."""

from __future__ import annotations

import concurrent.futures
import gc
import itertools
import threading
import weakref

import pool_tasks
import pytest

import holdfast

EXECUTORS = [holdfast.ProcessPoolExecutor, holdfast.ThreadPoolExecutor]


@pytest.fixture(params=EXECUTORS, ids=["processes", "threads"])
def make(request):
    """The class of each executor in turn."""
    return request.param


@pytest.fixture
def pool(make):
    with make(2) as pool:
        yield pool


def test_submit_returns_a_future_of_the_standard_library(pool):
    """`submit` passes arguments and gives a `concurrent.futures.Future`."""
    future = pool.submit(pool_tasks.add, 1, 2, c=3)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result() == 6
    assert future.done()
    assert not future.cancel()


def test_an_argument_may_be_called_fn_or_self(pool):
    """The names of `submit`'s own parameters are free for the task's."""
    assert pool.submit(pool_tasks.add, self=1, fn=2).result() == 3


@pytest.mark.parametrize("size", [1, 3, 100])
def test_map_keeps_order_and_stops_at_the_shortest(pool, size):
    """`map` takes several iterables, gives results in order, whatever the chunks."""
    assert list(pool.map(pool_tasks.add, range(10), itertools.count(100), chunksize=size)) == list(range(100, 120, 2))


def test_map_raises_an_items_error_in_its_place(pool):
    """Results before a failing item arrive; then its error."""
    results = pool.map(pool_tasks.divide, [2, 1, 0, 5])
    assert [next(results), next(results)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_with_a_buffersize_reads_only_that_far_ahead(pool):
    """An endless iterable is read no further than the results that were taken and the window."""
    taken = []
    endless = (taken.append(n) or n for n in itertools.count())
    results = pool.map(pool_tasks.square, endless, buffersize=4)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(taken) <= 3 + 4
    results.close()


@pytest.mark.parametrize("size", [1, 3])
def test_map_keeps_no_result_that_was_taken(pool, size):
    """The caller's reference is the only one; the threads and the collector let go soon after."""
    for thing in pool.map(pool_tasks.make_thing, range(6), chunksize=size):
        gone = weakref.ref(thing)
        del thing
        while gone() is not None:  # the watchdog is the limit
            gc.collect()


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_map_refuses_a_wrong_buffersize(pool, size, error):
    """As in Python 3.14, on every version."""
    with pytest.raises(error, match="buffersize"):
        pool.map(pool_tasks.square, [1], buffersize=size)


def test_map_calls_submit_of_the_instance(pool):
    """Others (tqdm) put their own `submit` on the object."""
    calls, submit = [], pool.submit
    pool.submit = lambda *args, **kwargs: calls.append(args) or submit(*args, **kwargs)
    assert list(pool.map(pool_tasks.square, range(3))) == [0, 1, 4]
    assert len(calls) == 3
    del pool.submit


def test_map_timeout(pool):
    """A result that is not there in time raises TimeoutError."""
    go = holdfast.Event()
    results = pool.map(go.wait, [30.0], timeout=0.05)
    with pytest.raises(TimeoutError):
        next(results)
    go.set()


def test_as_completed_and_wait_take_our_futures(pool):
    """The functions of `concurrent.futures` work on them."""
    futures = [pool.submit(pool_tasks.square, n) for n in range(20)]
    assert sorted(future.result() for future in holdfast.as_completed(futures)) == [n * n for n in range(20)]
    assert holdfast.wait(futures).not_done == set()


def test_callbacks_run_once_and_may_submit(pool):
    """A callback may use the pool; an error in it disturbs nobody."""
    seen, second = [], threading.Event()

    def callback(future):
        seen.append(future.result())
        pool.submit(pool_tasks.square, 4).add_done_callback(lambda _: second.set())

    pool.submit(pool_tasks.square, 3).add_done_callback(callback)
    assert second.wait(60)
    assert seen == [9]


def test_waiting_tasks_can_be_cancelled(make):
    """A task that no worker has yet is cancelled and never runs; others are not touched."""
    go = holdfast.Event()
    with make(1) as pool:
        first = pool.submit(go.wait, 60.0)
        others = [pool.submit(pool_tasks.square, n) for n in range(10)]
        assert others[-1].cancel()
        go.set()
        assert first.result() is True
        assert [future.result() for future in others[:-1]] == [n * n for n in range(9)]
        with pytest.raises(concurrent.futures.CancelledError):
            others[-1].result()


def test_shutdown_does_what_was_submitted_and_takes_no_more(make):
    """After `shutdown` all results are there, and `submit` raises RuntimeError."""
    pool = make(2)
    futures = [pool.submit(pool_tasks.square, n) for n in range(50)]
    pool.shutdown()
    assert all(future.done() for future in futures)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(pool_tasks.square, 1)


def test_shutdown_can_cancel_what_waits(make):
    """`cancel_futures` cancels what no worker has."""
    go = holdfast.Event()
    pool = make(1)
    futures = [pool.submit(go.wait, 60.0) for _ in range(20)]
    pool.shutdown(wait=False, cancel_futures=True)
    go.set()
    pool.shutdown(wait=True)
    assert all(future.done() for future in futures)
    assert sum(future.cancelled() for future in futures) >= 15


def test_shutdown_of_an_unused_pool(make):
    """Nothing was started, nothing is waited for."""
    make(2).shutdown()
    make(2)


def test_initializer_runs_in_each_worker_first(make):
    """With its arguments, before any task."""
    pool_tasks.state.clear()
    with make(1, initializer=pool_tasks.set_up, initargs=(7,)) as pool:
        assert pool.submit(pool_tasks.get_state).result() == [7]
    pool_tasks.state.clear()


@pytest.mark.parametrize("workers", [0, -1])
def test_wrong_sizes_are_refused(make, workers):
    """As in the standard library."""
    with pytest.raises(ValueError, match="max_workers"):
        make(workers)


def test_wrong_initializer_is_refused(make):
    """As in the standard library."""
    with pytest.raises(TypeError, match="initializer"):
        make(1, initializer=5)


def test_wrong_chunksize_is_refused():
    """Only processes have chunks."""
    with holdfast.ProcessPoolExecutor(1) as pool, pytest.raises(ValueError, match="chunksize"):
        pool.map(pool_tasks.square, [1], chunksize=0)
