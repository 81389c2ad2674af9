"""join() while consumers are killed, and queues by name whose users are all killed."""

from __future__ import annotations

import mmap
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections import defaultdict

import pytest
from tests.chaos import goods
from tests.core.tools import SOAK, Child, own_arena, until

from holdfast import LifoQueue, PriorityQueue, Queue, ShutDown
from holdfast.core import _native
from holdfast.errors import AbandonedWarning

ITEMS = int(300 * SOAK)
SEVEN = 7
MAKERS = {
    "fifo": Queue,
    "lifo": LifoQueue,
    "priority": PriorityQueue,
    "redeliver": lambda: Queue(redeliver=True),
    "redeliver, lifo": lambda: LifoQueue(redeliver=True),
}


def work(queue, finished, armed):
    """Take, finish, say so; without end."""
    _native.kill_at(*armed)
    while True:
        try:
            _, number = goods.read(queue.get())
        except ShutDown:
            return
        time.sleep(0.001)
        finished[number] = 1
        queue.task_done()


def join(queue, finished):
    """Join, and return (which items are finished at that moment, how many the warnings spoke of)."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", AbandonedWarning)
        queue.join()
        now = finished[:]
    return now.count(1), sum(int(str(one.message).split()[0]) for one in told if "never marked" in str(one.message))


@pytest.mark.parametrize("name", MAKERS)
def test_join_ends_although_consumers_are_killed(name, record_property):
    """With redeliver everything is finished by then; else what the dead had is told of, and everything else is."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance, finished, killed = random.Random(seed), mmap.mmap(-1, ITEMS), 0
    steps = [step for step in _native.kill_points() if step.startswith(("fifo_", "shelf_", "queue_done", "mutex_"))]
    with warnings.catch_warnings(), own_arena():
        warnings.simplefilter("ignore", AbandonedWarning)
        queue = MAKERS[name]()
        queue.put_many(goods.small(0, i) for i in range(ITEMS))
        with Child(join, queue, finished) as joiner:
            while not joiner.ended():
                armed = (chance.choice(steps), chance.randrange(40)) if chance.random() < 0.5 else (None,)
                with Child(work, queue, finished, armed) as one, Child(work, queue, finished, (None,)):
                    deadline = time.monotonic() + chance.uniform(0, 0.1)
                    until(lambda one=one, deadline=deadline: one.ended() or time.monotonic() > deadline, "a death")
                killed += 2
            done, written_off = joiner.result()
        record_property("killed", killed)
        missing = ITEMS - done
        assert killed > 2
        if name.startswith("redeliver"):
            assert (missing, written_off) == (0, 0)
        else:
            assert missing <= written_off <= missing + killed  # who has finished may die before it says so
        assert missing <= killed
        assert (queue.qsize(), queue.unfinished()) == (0, 0)


PRODUCERS = """
import multiprocessing, os, sys, threading, time, zlib
import holdfast

def live(depth, method, **options):
    children = []
    if depth:
        context = multiprocessing.get_context(method)
        children = [context.Process(target=live, args=(depth - 1, method), kwargs=options) for _ in range(2)]
        for child in children:
            child.start()
    queue = holdfast.Queue(name="orders", **options)
    inner, number, me = holdfast.Queue(), 0, os.getpid()
    while True:
        body = bytes([number % 251]) * (100_000 if number % 50 == 49 else number % 90)
        queue.put((me, number, zlib.crc32(body), body))
        os.write(1, b"%d %d\\n" % (me, number))
        inner.put([number])
        number += 1
        if number > 1000:
            time.sleep(1)

if __name__ == "__main__":
    live(2, sys.argv[1], **eval(sys.argv[2]))
"""

READER = """
import queue, sys, warnings, zlib
import holdfast
orders = holdfast.Queue(name="orders", create=False)
while True:
    try:
        who, number, seal, body = orders.get(timeout=0.5)
    except queue.Empty:
        break
    orders.task_done()
    assert zlib.crc32(body) == seal and len(body) == (100_000 if number % 50 == 49 else number % 90)
    print(who, number)
print("unfinished", orders.unfinished())
orders.put("one more")
"""

UNLINK = """
import holdfast
orders = holdfast.Queue(name="orders")
print(orders.get(timeout=20))
orders.put(1)
del orders
holdfast.Queue.unlink("orders")
try:
    holdfast.Queue(name="orders", create=False)
except FileNotFoundError:
    print("gone")
"""


def kill_seven(method, options, script, place):
    """Run seven producers until they have put a while, kill them all, and return what they said they had put."""
    env = {**os.environ, "HOLDFAST_DIR": str(place), "PYTHONWARNINGS": "ignore"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    told, command = defaultdict(list), [sys.executable, script, method, options]
    with subprocess.Popen(command, env=env, process_group=0, **streams) as root:
        try:
            while len(told) < SEVEN or min(map(len, told.values())) < 60:
                who, number = map(int, root.stdout.readline().split())
                told[who].append(number)
        finally:
            os.killpg(root.pid, signal.SIGKILL)
        for line in root.stdout:
            who, number = map(int, line.split())
            told[who].append(number)
    until(lambda: not any(map(_native.process_start, told)), "all dead")
    return told


@pytest.mark.parametrize("options", ["{}", "{'redeliver': True}"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_named_queue_outlives_its_users(method, options, tmp_path, run_python):
    """Seven that put are killed together: the next program finds what they had put, and nothing else stays."""
    place, script = tmp_path / "memory", tmp_path / "producers.py"
    place.mkdir()
    script.write_text(PRODUCERS)
    told = kill_seven(method, options, script, place)
    env = {"HOLDFAST_DIR": str(place)}
    found = defaultdict(list)
    done = run_python(READER, env=env)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert last == "unfinished 0"
    for line in lines:
        who, number = map(int, line.split())
        found[who].append(number)
    for who, numbers in told.items():
        assert found[who] in (numbers, [*numbers, len(numbers)])
    ours = place / f"holdfast-{os.getuid()}"
    assert os.listdir(ours) == ["named"]
    done = run_python(UNLINK, env=env)
    assert done.stdout == "one more\ngone\n", done.stderr
    assert (os.listdir(ours) if ours.exists() else []) == []
