"""Every example runs as it stands and prints what it is there to show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

# What they print, to the letter, wherever nothing depends on the clock.
PRINTED = {
    "03_one_lock.py": """
        10 threads:   1,000,000
        10 processes: 1,000,000
    """,
    "06_lock_timeout.py": """
        Thread: got it within 0.1 s? False
        Thread: got it without waiting? False
        Thread: got it when the holder let go? True
        Thread: locked at the end? False
        Process: got it within 0.1 s? False
        Process: got it without waiting? False
        Process: got it when the holder let go? True
        Process: locked at the end? False
    """,
    "07_rlock.py": """
        money after the transfer: 70 30
        taken twice, released once; can another thread have it? False
        another thread releases it: RuntimeError: cannot release un-acquired lock
        released twice; can another thread have it? True
        taken twice, released once; can another process have it? False
        another process releases it: RuntimeError: cannot release un-acquired lock
        released twice; can another process have it? True
    """,
    "08_semaphore.py": """
        8 workers, 3 permits; never more than 3 inside: True
        permits left while a process holds one: 2
        permits that can be had after it was killed: 3
    """,
    "09_event.py": """
        6 are at the line; set already? False
        thread 0 started: True
        thread 1 started: True
        thread 2 started: True
        process 0 started: True
        process 1 started: True
        process 2 started: True
        cleared: waiting for it would take until the next set()
    """,
    "10_queues.py": """
        Thread: Queue: [30, 10, 20]
        Thread: LifoQueue: [20, 10, 30]
        Thread: PriorityQueue: [10, 20, 30]
        Process: Queue: [30, 10, 20]
        Process: LifoQueue: [20, 10, 30]
        Process: PriorityQueue: [10, 20, 30]
        full: True - items: 2
        no room: Full
        no room: Full
        taken: a b
        empty: True
        nothing there: Empty
        nothing there: Empty
        by priority: [(1, 'put out the fire'), (2, 'mend the roof'), {'job': 'feed the cat'}]
        Thread workers: True
        Process workers: True
    """,
    "10_redeliver.py": """
        the consumer's exit code: -9
        without redeliver: join() has returned; unfinished: 0, warned: [True]
        with redeliver: tea done, delivery 2
        with redeliver: coffee done, delivery 1
        with redeliver: cake done, delivery 1
        with redeliver: unfinished: 0
        exit codes: [-9, -9, 0]
        given up after 2 deliveries: ['bad']
    """,
    "11_processes.py": """
        fork: pid as we know it: True, child of this process: True
        fork: alive: False, exit code: 0, total: 1
        spawn: pid as we know it: True, child of this process: True
        spawn: alive: False, exit code: 0, total: 2
        forkserver: pid as we know it: True, child of this process: False
        forkserver: alive: False, exit code: 0, total: 3
        by subclass 'adder': total: 13
        by os.fork(): exit code: 0, total: 113
    """,
    "12_pipe.py": """
        asked: who is there? - answered: WHO IS THERE?
        asked: anybody? - answered: ANYBODY?
        is there more to receive? False
        answers in all: 2
        received into a buffer: 3 b'234\\x00\\x00'
        the wrong way: OSError
        nobody reads: BrokenPipeError
        4 writers, 4 readers: 400 messages, each whole and once: True
        from the killed one: last words
        then: EOFError
    """,
    "13_two_producers.py": """
        squared, all and in order: True
        negated, all and in order: True
        of a process that was killed when its put had returned: last words
        multiprocessing: ends with unread items: False
        holdfast: ends with unread items: True
        they are there: True
    """,
    "15_pool.py": """
        submit: 144
        a lambda: holdfast
        map: [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]
        the task raised: can't multiply sequence by non-int of type 'str'
        requests done: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        called back with 81
        3 workers; at once, at most: 3
        workers left: 0
    """,
    "15_worker_killed.py": """
        the killed task: WorkerDied, exit code -9
        all the others: [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]
        the dead worker is not among those at work now: True
        a killed process: WorkerDied, exit code -9
    """,
    "16_fib.py": """
        fib(10) = 55
        fib(11) = 89
        fib(12) = 144
        fib(13) = 233
        fib(14) = 377
        fib(15) = 610
        fib(16) = 987
        fib(17) = 1597
        fib(18) = 2584
        fib(19) = 4181
    """,
    "17_local.py": """
        thread 0 has a connection of its own
        thread 1 has a connection of its own
        thread 2 has a connection of its own
        the main thread has one: False
        opened 3, closed when the threads had ended: 3
        ThreadPoolExecutor: one per worker: True, all closed: True
        ProcessPoolExecutor: one per worker: True, all closed: True
        rows in the table: 43
    """,
    "19_message_queue.py": """
        ordered: 3
        served: {'table': 7, 'what': 'tea'}
        served: {'table': 7, 'what': 'coffee'}
        served: {'table': 7, 'what': 'cake'}
        closed by the last one: is it there? False
        ordered: 3
        its only user has ended without close(): is it there? True
        after unlink(): is it there? False
    """,
}

# These are judged by a test of their own, below.
MEASURED = {"02_race.py", "04_threads.py", "05_cpu_or_waiting.py", "14_value_and_array.py"}

# Those that start processes in the default way; 05 measures for seconds, and once is enough.
BY_DEFAULT_METHOD = [name for name in PRINTED if name != "11_processes.py"]


def lines(text):
    return [line.strip() for line in text.strip().splitlines()]


def number(text, pattern):
    """The number that ``pattern`` captures in ``text``, without its commas."""
    found = re.search(pattern, text)
    assert found, f"no {pattern!r} in:\n{text}"
    return int(found[1].replace(",", ""))


def test_every_example_is_tested_and_listed():
    """No program in the folder goes untested or is missing in its README, and none is listed that is not there."""
    there = {path.name for path in EXAMPLES.glob("*.py")}
    assert there == PRINTED.keys() | MEASURED
    assert set(re.findall(r"\]\((\w+\.py)\)", (EXAMPLES / "README.md").read_text())) == there


@pytest.mark.parametrize("name", PRINTED)
def test_example_prints_what_it_shows(name, run_example):
    """It prints exactly this, nothing on stderr, and ends with exit code 0."""
    done = run_example(name)
    assert lines(done.stdout) == lines(PRINTED[name])
    assert done.stderr == ""


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
@pytest.mark.parametrize("name", BY_DEFAULT_METHOD)
def test_example_prints_the_same_with_other_start_methods(name, start_method, run_example):
    """What an example shows does not depend on how its processes are started."""
    done = run_example(name, start_method)
    assert lines(done.stdout) == lines(PRINTED[name])
    assert done.stderr == ""


def test_race_loses_updates_without_a_lock_and_none_with_it(run_example):
    """Row 2: the sum without a lock comes out wrong, and says by how much; the one under the lock is right."""
    done = run_example("02_race.py")
    assert done.stderr == ""
    assert number(done.stdout, r"no lock, num \+= 1: +([\d,]+)") <= 50_000  # right or wrong, as the interpreter is
    unsafe = number(done.stdout, r"no lock, num = f\(num\): +([\d,]+)")
    assert unsafe < 50_000
    assert number(done.stdout, r"no lock, num = f\(num\): .*\(([\d,]+) updates were lost\)") == 50_000 - unsafe
    assert number(done.stdout, r"(?m)^with holdfast\.Lock, f\(num\): +([\d,]+)$") == 50_000


def test_threads_have_names_results_and_exceptions(run_example):
    """Row 4: threads are the standard library's, and what one raises reaches who asks; stderr has its traceback."""
    done = run_example("04_threads.py")
    assert lines(done.stdout) == lines("""
        alive before start: False
        hello Ada, from thread 'greeter'
        result of the function: 3
        alive at the end: False
        result of the class: [0, 1, 4, 9, 16]
        still alive after join(timeout=0.1): True
        alive after join(): False
        the thread raised: integer division or modulo by zero
        a daemon still runs at the end of the program: True
    """)
    assert lines(done.stderr)[0].startswith("Exception in thread Thread-")
    assert lines(done.stderr)[-1] == "ZeroDivisionError: integer division or modulo by zero"
    assert done.stderr.count("Traceback") == 1


def test_computing_and_waiting_are_measured_on_the_same_work(run_example):
    """Row 5: every way of doing the work gives the same totals; each has its time beside it."""
    done = run_example("05_cpu_or_waiting.py")
    assert done.stderr == ""
    rows = re.findall(r"^  (\S.*?) +(\d+\.\d\d) s   total (\d+)$", done.stdout, re.MULTILINE)
    assert [label for label, _, _ in rows] == [
        "one after the other",
        "threads",
        "processes",
        "one after the other",
        "10 threads",
    ]
    computed, waited = {int(total) for *_, total in rows[:3]}, {int(total) for *_, total in rows[3:]}
    assert len(computed) == 1
    assert computed.pop() > 1000
    assert waited == {sum(n * n for n in range(20))}
    assert float(rows[3][1]) >= 1.0  # 20 times 0.05 s cannot be faster, one after the other


@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
def test_shared_number_is_exact_where_multiprocessing_loses(start_method, run_example):
    """Row 14: multiprocessing.Value loses updates; the atomic `+=` and the array under its lock lose none."""
    done = run_example("14_value_and_array.py", start_method)
    assert done.stderr == ""
    broken, *right = lines(done.stdout)
    assert number(broken, r"multiprocessing\.Value, 2 x 100,000 times value \+= 1: ([\d,]+)") < 200_000
    assert right == [
        "holdfast.Value, 2 x 100,000 times += 1: 200,000",
        "holdfast.Value, 2 x 100 times += 1: 200",
        "holdfast.Array under its lock, 2 x 100 times += 1 in each cell: [200, 200, 200, 200, 200]",
    ]
