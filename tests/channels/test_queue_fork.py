"""Queues and fork: what a child has of calls that its parent was in the middle of, and of what the parent closes."""

from __future__ import annotations

import os
import signal
import warnings

import pytest

from holdfast import AbandonedWarning, Process, Queue


def test_a_fork_while_another_thread_moves_large_items(run_python):
    """The child's handles are its own: it makes and drops queues, and its threads run."""
    done = run_python("""
        import holdfast, os, signal, threading, time

        queue, data, stop = holdfast.Queue(), b"x" * (16 << 20), threading.Event()

        def move():
            while not stop.is_set():
                queue.put(data)
                queue.get()

        def deep(n):
            return deep(n - 1) + 1 if n else 0

        mover = threading.Thread(target=move)
        mover.start()
        ends = []
        for turn in range(12):
            time.sleep(0.003 + 0.007 * (turn % 5))
            pid = os.fork()
            if pid == 0:
                signal.alarm(20)
                threads = [threading.Thread(target=deep, args=(200,)) for _ in range(6)]
                [thread.start() for thread in threads]
                [thread.join() for thread in threads]
                for _ in range(50):
                    del [holdfast.Queue() for _ in range(4)][:]
                os._exit(0)
            ends.append(os.waitpid(pid, 0)[1])
        stop.set()
        mover.join()
        print(ends == [0] * 12)
    """)
    assert done.stdout == "True\n", done.stderr


def test_a_parent_that_closes_a_named_queue_after_forking(run_python, place_of_its_own):
    """The child may not have taken its own reference yet: the name stays for it."""
    done = run_python(
        """
        import holdfast, os

        for turn in range(10):
            queue = holdfast.Queue(name=f"jobs {turn}")
            read, write = os.pipe()
            if os.fork() == 0:
                queue.put("from the child")
                os.write(write, b"x")
                os._exit(0)
            queue.close()
            os.read(read, 1)
            again = holdfast.Queue(name=f"jobs {turn}", create=False)
            assert again.get(timeout=10) == "from the child"
            os.wait()
            holdfast.Queue.unlink(f"jobs {turn}")
        print("good")
        """,
        env={"HOLDFAST_DIR": str(place_of_its_own)},
    )
    assert done.stdout == "good\n", done.stderr


def test_join_while_somebody_finishes_what_another_took():
    """What a killed consumer had is given up, although a living one seems to owe an item that others have finished."""
    queue = Queue()
    queue.put_many(["finished by another", "taken by one who dies"])
    queue.get()
    if os.fork() == 0:
        queue.task_done()
        os._exit(0)
    os.wait()
    if (pid := os.fork()) == 0:
        queue.get()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    with pytest.warns(AbandonedWarning, match="1 items of"):
        queue.join(timeout=30)


def test_join_waits_for_workers_whose_items_the_parent_finishes():
    """The parent calls task_done for all: workers that have ended in good order are not taken for losses."""
    queue = Queue()
    for _ in range(3):
        queue.put(1)
        worker = Process(target=queue.get, start_method="fork")
        worker.start()
        assert worker.result(timeout=30) == 1
        queue.task_done()
    queue.put(2)
    queue.get()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TimeoutError):
            queue.join(timeout=0.2)
        queue.task_done()
        queue.join(timeout=30)
