"""Whole programs with a pool: how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import psutil
import pytest

HEAD = """
    import os, signal, sys, time
    sys.path.insert(0, {path!r})
    import pool_tasks, holdfast
"""


@pytest.fixture
def program(tmp_path):
    """Start a script of its own; gives the process. Its group is killed in the end."""
    started = []

    def start(code, *args):
        path = os.path.join(os.path.dirname(__file__), "importable")
        script = tmp_path / "program.py"
        script.write_text(textwrap.dedent(HEAD.format(path=path)) + textwrap.dedent(code))
        command = [sys.executable, str(script), *map(str, args)]
        process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


BUSY_AND_IDLE = """
    if __name__ == "__main__":
        pool = holdfast.ProcessPoolExecutor(3)
        list(pool.map(pool_tasks.nothing, range(3)))
        begun = holdfast.Event()
        pool.submit(pool_tasks.begin_then_wait, begun, holdfast.Event())
        begun.wait()
        print(*pool._processes, flush=True)
        sys.stdin.read() if len(sys.argv) > 1 else time.sleep(60)
"""


def test_workers_end_when_the_parent_is_killed(program):
    """Busy or idle."""
    process = program(BUSY_AND_IDLE)
    workers = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    assert workers
    process.kill()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []
    # The memory of a tree that was killed is reclaimed by the next start of any program with holdfast.
    subprocess.run([sys.executable, "-c", "import holdfast; holdfast.Lock()"], check=True)


def test_exit_without_shutdown_does_the_work_first(program):
    """Nothing on stderr, every result there."""
    process = program("""
        def show(future):
            print(future.result(), flush=True)
        if __name__ == "__main__":
            pool = holdfast.ProcessPoolExecutor(2)
            for n in range(20):
                pool.submit(pool_tasks.square, n).add_done_callback(show)
    """)
    out, err = process.communicate(timeout=60)
    assert (sorted(map(int, out.split())), err, process.returncode) == ([n * n for n in range(20)], "", 0)


def test_a_program_without_a_guard_is_told_so(program):
    """Its workers cannot import the main module: one clear error instead of endless new workers."""
    process = program("""
        pool = holdfast.ProcessPoolExecutor(1)
        print(repr(pool.submit(pool_tasks.square, 2).exception()), flush=True)
    """)
    out, _ = process.communicate(timeout=100)
    assert "BrokenProcessPool" in out
    assert "__main__" in out


@pytest.mark.parametrize("inside", [True, False], ids=["with", "bare"])
def test_ctrl_c_ends_the_program_and_its_workers(program, inside):
    """In the middle of long tasks, as a terminal sends it: one traceback, from the parent, and nobody left."""
    process = program(
        """
        def main(pool):
            begun = holdfast.Semaphore(0)
            futures = [pool.submit(pool_tasks.note_and_wait, holdfast.Value("i"), begun, holdfast.Event())
                       for _ in range(8)]
            for _ in range(2):
                begun.acquire()
            print(*pool._processes, flush=True)
            futures[0].result()
        if __name__ == "__main__":
            if sys.argv[1] == "True":
                with holdfast.ProcessPoolExecutor(2) as pool:
                    main(pool)
            else:
                pool = holdfast.ProcessPoolExecutor(2)
                main(pool)
        """,
        inside,
    )
    workers = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    assert len(workers) == 2
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=50)
    assert err.count("Traceback") == 1
    assert err.rstrip().endswith("KeyboardInterrupt")
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []


def test_a_task_that_runs_a_program_leaves_it_ctrl_c(program):
    """Workers do not end by SIGINT, but do not make the programs they start ignore it."""
    process = program("""
        import subprocess
        def task():
            code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
            return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
        if __name__ == "__main__":
            with holdfast.ProcessPoolExecutor(1) as pool:
                print(pool.submit(task).result(), end="")
    """)
    out, err = process.communicate(timeout=60)
    assert (out, err) == ("True\n", "")
