"""What a row of the table promises and no example prints."""

from __future__ import annotations

import os

import pytest

POOL_WITH_A_DEATH = '''
    import multiprocessing, os, signal, sys, time
    from pathlib import Path
    from holdfast import ProcessPoolExecutor, WorkerDied

    def zombies():
        """Pids of the ended processes of this group, the fork server's children too, that nobody has collected."""
        for file in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, group, *_ = file.read_text().rpartition(")")[2].split()
            except OSError:  # it has gone meanwhile
                continue
            if state == "Z" and int(group) == os.getpgrp():
                yield file.parent.name

    def be_killed():
        os.kill(os.getpid(), signal.SIGKILL)

    if __name__ == "__main__":
        with ProcessPoolExecutor(3, multiprocessing.get_context(sys.argv[1])) as pool:
            unlucky = pool.submit(be_killed)
            assert list(pool.map(abs, range(-100, 0))) == list(range(100, 0, -1))
            assert isinstance(unlucky.exception(), WorkerDied)
        deadline = time.monotonic() + 2  # the fork server collects its children when it comes to it
        while list(zombies()) and time.monotonic() < deadline:
            time.sleep(0.01)
        print("zombies:", list(zombies()))
'''

FORKED_WHILE_HELD = """
    import os
    from holdfast import Event, Lock, RLock, Semaphore, Thread, Value

    def hold(lock, holding, may_end):
        with lock:
            holding.set()
            may_end.wait()

    if __name__ == "__main__":
        lock, total, holding, may_end = Lock(), Value("q", 0), Event(), Event()
        holder = Thread(target=hold, args=(lock, holding, may_end))
        holder.start()
        holding.wait()
        pid = os.fork()
        if pid == 0:
            got = lock.acquire(timeout=0.05)  # the parent's thread has it
            may_end.set()
            with lock, RLock(), Semaphore(1):
                total += 1 + got
            os._exit(0)
        os.waitpid(pid, 0)
        holder.join()
        print(total.value)
"""

JOIN_WITH_A_DEATH = """
    import os, signal, sys, warnings
    from holdfast import Process, Queue

    def work(jobs, done):
        while True:
            number = jobs.get()
            if number == 50:
                os.kill(os.getpid(), signal.SIGKILL)
            done.put(number)
            jobs.task_done()

    if __name__ == "__main__":
        warnings.simplefilter("ignore")
        jobs = Queue(redeliver=True, max_deliveries=2) if sys.argv[2] == "redeliver" else Queue()
        done = Queue()
        for _ in range(3):
            Process(target=work, args=(jobs, done), daemon=True, start_method=sys.argv[1]).start()
        jobs.put_many(range(100))
        jobs.join()
        print(sorted(done.get_many(100)) == [*range(50), *range(51, 100)], list(jobs.dead_letters))
"""

ENDS_WITHOUT_JOIN = """
    import sys
    from holdfast import Process, Queue

    def put_all(name, first):
        with_name = Queue(name=name)
        for number in range(first, first + 1000):
            with_name.put(number)

    if __name__ == "__main__":
        if sys.argv[1] == "put":
            for first in (0, 1000):
                Process(target=put_all, args=(sys.argv[2], first), start_method=sys.argv[3]).start()
            unread = Queue()
            unread.put(bytes(1_000_000))
        else:
            queue = Queue(name=sys.argv[2], create=False)
            items = queue.get_many(2000)
            print(sorted(items) == list(range(2000)), [n for n in items if n < 1000] == list(range(1000)))
            Queue.unlink(sys.argv[2])
"""


def test_pool_leaves_no_zombie(start_method, run_python):
    """Row 15: after the end of a pool, one of whose workers was killed, no child waits to be collected."""
    done = run_python(POOL_WITH_A_DEATH, start_method)
    assert done.stderr == ""
    assert done.stdout == "zombies: []\n"


def test_objects_work_in_a_child_forked_while_a_thread_holds_one(run_python):
    """Row 11: after a fork, a lock that a thread of the parent holds is held, and gets free when it lets go."""
    # 3.12 and later warn of a fork in a program with threads, which is what this is about.
    done = run_python(FORKED_WHILE_HELD, env={"PYTHONWARNINGS": "ignore::DeprecationWarning"})
    assert done.stderr == ""
    assert done.stdout == "1\n"


@pytest.mark.parametrize(("mode", "letters"), [("once", "[]"), ("redeliver", "[50]")])
def test_join_returns_although_a_worker_is_killed(start_method, mode, letters, run_python):
    """Row 10: of three daemon workers one (with redelivery: two) is killed in the middle; the rest gets done."""
    done = run_python(JOIN_WITH_A_DEATH, start_method, mode)
    assert done.stderr == ""
    assert done.stdout == f"True {letters}\n"


def test_nothing_is_lost_by_a_program_that_ends_without_join(start_method, run_python):
    """Row 13: two producers nobody waits for, and items nobody reads: it ends, and what was put is there after it."""
    name = f"row 13, {start_method}, {os.getpid()}"
    done = run_python(ENDS_WITHOUT_JOIN, "put", name, start_method)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run_python(ENDS_WITHOUT_JOIN, "get", name)
    assert done.stderr == ""
    assert done.stdout == "True True\n"


def test_two_programs_started_by_hand_share_a_queue_by_its_name(run_example):
    """Row 19: whoever opens the name next gets what the program before it put, in one or several goes."""
    name = f"by hand {os.getpid()}"
    for _ in range(2):
        run_example("19_message_queue.py", arguments=("order", name))
    done = run_example("19_message_queue.py", arguments=("serve", name))
    assert done.stdout.count("served:") == 6
