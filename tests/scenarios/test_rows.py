"""What a row of the table promises and no example prints."""

from __future__ import annotations

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
