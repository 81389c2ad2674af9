"""Workers that die: exactly the task that was running fails, everything else goes on."""

from __future__ import annotations

import os
import random
import signal
import threading
import time

import pool_tasks
import pytest

import holdfast


@pytest.fixture
def pool():
    with holdfast.ProcessPoolExecutor(2) as pool:
        yield pool


def works(pool):
    """The pool does a task per worker, with the number of workers it had."""
    futures = [pool.submit(pool_tasks.square, n) for n in range(20)]
    return [future.result() for future in futures] == [n * n for n in range(20)]


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        ((pool_tasks.kill_me,), -signal.SIGKILL, "was killed by signal 9 (SIGKILL)"),
        ((pool_tasks.kill_me, signal.SIGSEGV), -signal.SIGSEGV, "was killed by signal 11 (SIGSEGV)"),
        ((pool_tasks.leave, 3), 3, "ended with exit code 3"),
        ((pool_tasks.leave, 0), 0, "ended with exit code 0"),
    ],
    ids=["SIGKILL", "SIGSEGV", "exit 3", "exit 0"],
)
def test_a_worker_that_dies_fails_only_its_task(start_method, context, call, code, said):
    """The bad one of seven tasks gets WorkerDied, which tells pid, exit code and task; the others their results."""
    with holdfast.ProcessPoolExecutor(2, mp_context=context) as pool:
        before = [pool.submit(pool_tasks.square, n) for n in range(3)]
        bad = pool.submit(*call)
        after = [pool.submit(pool_tasks.square, n) for n in range(3)]
        error = bad.exception()
        assert isinstance(error, holdfast.WorkerDied)
        assert error.exitcode == code
        assert said in str(error)
        assert f"pid {error.pid}" in str(error)
        assert call[0].__name__ in error.task
        assert [future.result() for future in before + after] == [0, 1, 4] * 2
        assert works(pool)


def test_an_idle_worker_that_is_killed_costs_nothing(pool):
    """Whichever of the workers it is, no task notices."""
    assert works(pool)
    for pid in list(pool._processes):
        os.kill(pid, signal.SIGKILL)
        assert works(pool)


def test_all_workers_killed_at_once(pool):
    """Idle or not yet asked: the tasks that follow are done."""
    assert works(pool)
    for pid in list(pool._processes):
        os.kill(pid, signal.SIGKILL)
    assert works(pool)


def test_a_running_worker_killed_from_outside(pool):
    """Its task fails; a task in the other worker is not disturbed."""
    begun = [holdfast.Event(), holdfast.Event()]
    go = holdfast.Event()
    futures = [pool.submit(pool_tasks.begin_then_wait, event, go) for event in begun]
    for event in begun:
        assert event.wait(60)
    victim = next(iter(pool._processes))
    os.kill(victim, signal.SIGKILL)
    failed = set(holdfast.wait(futures, 60, "FIRST_COMPLETED").done)
    assert [future.exception().pid for future in failed] == [victim]
    go.set()
    (survivor,) = set(futures) - failed
    assert survivor.result() != victim
    assert works(pool)


def test_a_worker_killed_while_reading_an_argument(pool):
    """Unpickling kills it: that is its task's doing."""
    bad = pool.submit(pool_tasks.nothing, pool_tasks.KillsWhenRead())
    good = [pool.submit(pool_tasks.square, n) for n in range(4)]
    assert isinstance(bad.exception(), holdfast.WorkerDied)
    assert [future.result() for future in good] == [0, 1, 4, 9]


def test_a_worker_killed_while_pickling_a_large_result(pool):
    """Half of a result is no result."""
    bad = pool.submit(pool_tasks.kills_when_sent)
    good = [pool.submit(pool_tasks.square, n) for n in range(4)]
    assert isinstance(bad.exception(), holdfast.WorkerDied)
    assert [future.result() for future in good] == [0, 1, 4, 9]


@pytest.mark.parametrize("point", ["ring_written", "ring_committed", "ring_copied", "ring_taken"])
def test_a_worker_killed_inside_a_ring(point):
    """At each step of taking a task or of giving a result, in the compiled core: all futures end, one at most fails."""
    from holdfast.core import _native

    with holdfast.ProcessPoolExecutor(1) as pool:
        assert works(pool)
        pool.submit(_native.kill_at, point)
        futures = [pool.submit(pool_tasks.square, n) for n in range(10)]
        errors = [error for future in futures if (error := future.exception()) is not None]
        assert len(errors) <= 1
        assert all(isinstance(error, holdfast.WorkerDied) for error in errors)
        assert works(pool)


def test_a_worker_killed_while_handing_over_a_large_result_leaks_nothing():
    """The memory of a result that never arrived is free again."""
    from holdfast.core import _native, session

    size = 50_000_000
    with holdfast.ProcessPoolExecutor(1) as pool:
        assert works(pool)
        # The answer to this call passes the point first.
        pool.submit(_native.kill_at, "ring_written", 1)
        bad = pool.submit(pool_tasks.big, size)
        assert isinstance(bad.exception(), holdfast.WorkerDied)
        assert works(pool)
        while session.current().stats()["bytes_used"] > size:  # the watchdog is the limit
            holdfast.Event()
            session.current().sweep()
            time.sleep(0.01)


def test_a_nested_pools_worker_that_dies_is_the_inner_pools_affair(pool):
    """The outer pool passes on what its task raised."""
    error = pool.submit(_inner_death).exception()
    assert isinstance(error, holdfast.WorkerDied)
    assert works(pool)


def _inner_death():
    with holdfast.ProcessPoolExecutor(1) as pool:
        pool.submit(pool_tasks.kill_me).result()


def test_twenty_kills_over_two_hundred_tasks():
    """Every future ends once, no task runs twice, and only tasks that had begun can have failed."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    counters = [holdfast.Value("i", 0, lock=False) for _ in range(200)]
    done = [0] * len(counters)
    with holdfast.ProcessPoolExecutor(3) as pool:
        futures = [pool.submit(pool_tasks.run_once, counters, number) for number in range(len(counters))]
        for number, future in enumerate(futures):
            future.add_done_callback(lambda _, number=number: done.__setitem__(number, done[number] + 1))
        kills = 0
        for future in futures:
            if kills < 20 and chance.random() < 0.2:
                workers = list(pool._engine.staff.workers.values())
                if workers:
                    chance.choice(workers).kill()
                    kills += 1
            future.exception()
        failed = [number for number, future in enumerate(futures) if future.exception() is not None]
        assert works(pool), f"seed {seed}"
    assert all(isinstance(futures[number].exception(), holdfast.WorkerDied) for number in failed), f"seed {seed}"
    assert len(failed) <= kills, f"seed {seed}"
    assert all(futures[n].result() == n for n in range(len(futures)) if n not in failed), f"seed {seed}"
    assert done == [1] * len(counters), f"seed {seed}"
    runs = [counter.value for counter in counters]
    assert max(runs) == 1, f"seed {seed}"
    assert all(runs[n] == 1 for n in range(len(runs)) if n not in failed), f"seed {seed}"


def test_a_failing_initializer_ends_in_one_clear_error():
    """Not in endless new workers: waiting and later tasks fail, and the error names the cause."""
    from concurrent.futures.process import BrokenProcessPool

    pool = holdfast.ProcessPoolExecutor(2, initializer=pool_tasks.fail_to_set_up)
    futures = [pool.submit(pool_tasks.square, n) for n in range(5)]
    for future in futures:
        error = future.exception()
        assert isinstance(error, BrokenProcessPool)
        assert "no database here" in str(error)
        assert isinstance(error.__cause__, ValueError)
    with pytest.raises(BrokenProcessPool, match="no database here"):
        pool.submit(pool_tasks.square, 1)
    assert pool._broken
    pool.shutdown()


@pytest.mark.parametrize("how", [pool_tasks.kill_me, pool_tasks.leave])
def test_an_initializer_that_ends_its_worker_ends_in_one_clear_error(how):
    """Also if nothing is raised."""
    from concurrent.futures.process import BrokenProcessPool

    with holdfast.ProcessPoolExecutor(1, initializer=how, initargs=(9,)) as pool:
        assert isinstance(pool.submit(pool_tasks.square, 2).exception(), BrokenProcessPool)


def test_workers_killed_while_they_start():
    """Somebody else's SIGKILL is no fault of the workers': the pool starts others, and no task had begun."""
    begun, go = holdfast.Semaphore(0), holdfast.Event()
    initargs = (holdfast.Value("i"), begun, go)
    with holdfast.ProcessPoolExecutor(2, initializer=pool_tasks.note_and_wait, initargs=initargs) as pool:
        futures = [pool.submit(pool_tasks.square, n) for n in range(4)]
        for _ in range(6):
            assert begun.acquire(timeout=60)
            for worker in list(pool._engine.staff.workers.values()):
                worker.kill()
        go.set()
        assert [future.result() for future in futures] == [0, 1, 4, 9]


def test_a_lost_fork_server_costs_at_most_what_was_running():
    """Nobody can then tell whether a worker lives; the pool makes sure that none does twice what another did."""
    from multiprocessing import forkserver

    with holdfast.ProcessPoolExecutor(2) as pool:
        assert works(pool)
        server = forkserver._forkserver._forkserver_pid
        os.kill(server, signal.SIGKILL)
        futures = [pool.submit(pool_tasks.square, n) for n in range(50)]
        errors = [error for future in futures if (error := future.exception()) is not None]
        assert len(errors) <= 2
        assert works(pool)


def test_shutdown_with_a_dying_worker():
    """`shutdown` returns although a worker dies meanwhile, and every future has ended."""
    pool = holdfast.ProcessPoolExecutor(1)
    futures = [pool.submit(pool_tasks.square, 1), pool.submit(pool_tasks.kill_me), pool.submit(pool_tasks.square, 2)]
    pool.shutdown()
    assert [future.exception() is None for future in futures] == [True, False, True]


def test_submitting_threads_and_deaths():
    """Several threads submit while workers die: each future ends."""
    futures, lock = [], threading.Lock()

    def submit_many(pool):
        for n in range(30):
            future = pool.submit(pool_tasks.kill_me) if n % 10 == 5 else pool.submit(pool_tasks.square, n)
            with lock:
                futures.append((n, future))

    with holdfast.ProcessPoolExecutor(2) as pool:
        threads = [threading.Thread(target=submit_many, args=(pool,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for n, future in futures:
            assert (future.exception() is not None) == (n % 10 == 5)
