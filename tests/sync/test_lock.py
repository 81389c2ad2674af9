"""Lock between processes: pickling, names, the death of a holder, forks, wrong use, words."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import re
import signal
import threading
import uuid

import pytest
from tests.core.tools import Child, until
from tests.sync import programs
from tests.sync.programs import Worker

from holdfast.core import _native, session
from holdfast.sync.lock import Lock, RLock

BOTH = pytest.mark.parametrize("make", [Lock, RLock])


# ---- between processes ----


@BOTH
def test_excludes_processes_and_threads(make, peer_of, start_method):
    """Two processes and two threads add 200 times each under one lock; no step is lost."""
    lock, peers = make(), [peer_of(start_method) for _ in range(2)]
    block = _native.Block(session.current(), None, 8)
    threads = [Worker(programs.add_under, lock, block, 200) for _ in range(2)]
    with multiprocessing.Pool(1) as pool:  # a pickle through multiprocessing's own queue
        pool.apply(programs.same, (lock, lock))
    for peer in peers:
        peer.begin(Adding(lock, block.session, block.offset, block.uid))
    for worker in (*peers, *threads):
        worker.result()
    assert memoryview(block).cast("q")[0] == 800
    assert not lock.locked()


class Adding:
    """Adds in a block, which has no pickle of its own."""

    def __init__(self, lock, arena, offset, uid):
        self.lock, self.identity, self.place = lock, session.identity(arena), (offset, uid)

    def __call__(self):
        block = _native.Block(session.attach(self.identity), self.place)
        programs.add_under(self.lock, block, 200)


@BOTH
def test_held_there_is_held_here(make, peer_of, start_method):
    """What another process holds is locked here until it lets go; then a sleeping waiter gets it."""
    lock, peer = make(), peer_of(start_method)
    assert peer.call(lock.acquire) is True
    assert lock.locked()
    assert not lock.acquire(blocking=False)
    assert not lock.acquire(timeout=0.01)
    waiter = Worker(lambda: lock.acquire() and lock.release())
    until(lock.waiters, "a waiter")
    peer.call(lock.release)
    waiter.result()
    assert not lock.locked()


@BOTH
def test_pickles_through_a_multiprocessing_queue(make, context):
    """A lock that travels as a queue item is the same lock."""
    lock, queue, back = make(), context.Queue(), context.Queue()
    process = context.Process(target=take_from, args=(queue, back))
    process.start()
    queue.put(lock)
    assert back.get(timeout=20) == "held"
    assert lock.locked()
    queue.put("let go")
    assert back.get(timeout=20) == "free"
    assert not lock.locked()
    process.join()
    for one in (queue, back):
        one.close()
        one.join_thread()


def take_from(queue, back):
    lock = queue.get()
    lock.acquire()
    back.put("held")
    queue.get()
    lock.release()
    back.put("free")


@BOTH
def test_a_pickle_in_an_unrelated_program(make, run_python):
    """A pickle handed to a program that knows nothing else of us opens the same lock."""
    lock = make()
    code = """
        import pickle, sys
        lock = pickle.loads(bytes.fromhex(sys.argv[1]))
        print(lock.locked(), lock.acquire(blocking=False))
    """
    with lock:
        done = run_python(code, pickle.dumps(lock).hex())
    assert done.stdout.split() == ["True", "False"], done.stderr
    done = run_python(code, pickle.dumps(lock).hex())
    assert done.stdout.split() == ["False", "True"], done.stderr


@BOTH
def test_a_pickle_in_its_own_process(make, peer_of):
    """It comes back as the very same object, here and in another process."""
    lock = make()
    assert pickle.loads(pickle.dumps(lock)) is lock
    assert peer_of("spawn").call(programs.same, pickle.loads(pickle.dumps(lock)), lock)


# ---- names ----

HOLD = """
    import sys, holdfast
    lock = getattr(holdfast, sys.argv[1])(name="orders")
    lock.acquire()
    print("held", flush=True)
    sys.stdin.read()
"""


@BOTH
def test_unrelated_programs_share_a_name(make, run_python, place_of_its_own, tmp_path):
    """What one program holds by name another finds held; when the first has ended it is free, and so is the name."""
    env = {"HOLDFAST_DIR": str(place_of_its_own)}
    code = f"""
        import subprocess, sys, holdfast
        other = subprocess.Popen([sys.executable, "-c", {re.sub("(?m)^    ", "", HOLD)!r}, {make.__name__!r}],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        other.stdout.readline()
        lock = holdfast.{make.__name__}(name="orders", create=False)
        print(lock.acquire(blocking=False), f"held by pid {{other.pid}}" in repr(lock), "'orders'" in repr(lock))
        other.kill()
        other.communicate()
        import warnings; warnings.simplefilter("ignore")
        print(lock.acquire())
    """
    done = run_python(code, env=env)
    assert done.stdout.split() == ["False", "True", "True", "True"], done.stderr
    done = run_python(f"import holdfast; holdfast.{make.__name__}(name='orders', create=False)", env=env)
    assert "FileNotFoundError" in done.stderr
    assert os.listdir(place_of_its_own) == []


# ---- fork ----


@BOTH
def test_fork_while_another_thread_holds_it(make):
    """The child waits for the parent's thread, as it must, and gets the lock when that lets go."""
    lock, go = make(), threading.Event()

    def hold():
        with lock:
            go.wait()

    holder = Worker(hold)
    until(lock.locked, "the thread holds it")

    def in_child():
        assert not lock.acquire(blocking=False)
        assert not lock._is_owned()
        other = make()
        with other:  # any other object can be used at once
            pass
        return lock.acquire()

    with Child(in_child) as child:
        until(lock.waiters, "the child waits")
        go.set()
        holder.result()
        assert child.result() is True


def test_a_fork_does_not_inherit_what_the_parent_holds():
    """The parent's lock is not the child's, even in the thread that forked; releasing is not its business."""
    lock, rlock = Lock(), RLock()
    with lock, rlock:

        def in_child():
            assert not rlock._is_owned()
            assert rlock._recursion_count() == 0
            with pytest.raises(RuntimeError):
                rlock.release()
            lock._at_fork_reinit()
            rlock._at_fork_reinit()
            assert lock.locked()
            return rlock.acquire(blocking=False)

        assert Child(in_child).result() is False
        assert rlock._recursion_count() == 1
    assert not lock.locked()


def test_many_forks_under_use():
    """Children forked while other threads take and drop locks at full speed use them at once."""
    locks, stop = [Lock() for _ in range(4)], threading.Event()

    def use():
        while not stop.is_set():
            for lock in locks:
                with lock:
                    Lock()

    def in_child():
        for lock in locks:
            with lock:
                Lock()
        return True

    users = [Worker(use) for _ in range(2)]
    try:
        for _ in range(15):
            with Child(in_child) as child:
                assert child.result()
    finally:
        stop.set()
    for user in users:
        user.result()


# ---- wrong use, words ----


@BOTH
def test_release_of_a_free_lock(make):
    """As in threading."""
    with pytest.raises(RuntimeError, match=r"release un(locked|-acquired) lock"):
        make().release()


@BOTH
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((False, 1), ValueError),
        ((True, -5), ValueError),
        ((True, float("nan")), ValueError),
        ((True, 1e100), OverflowError),
        ((True, "soon"), TypeError),
        ((1, 2, 3), TypeError),
    ],
)
def test_wrong_arguments(make, arguments, error):
    """The standard library's errors, and the lock stays free."""
    lock = make()
    with pytest.raises(error):
        lock.acquire(*arguments)
    assert not lock.locked()
    with pytest.raises(TypeError, match="unexpected keyword argument 'tiemout'"):
        lock.acquire(tiemout=1)


def test_wrong_policy():
    """abandoned= has two values; the error names the one given."""
    with pytest.raises(ValueError, match=re.escape("abandoned='wran': one of 'warn', 'raise'")):
        Lock(abandoned="wran")


def test_policy_of_a_name():
    """abandoned="raise" of a lock that was made with "warn" is refused: a death would pass with a warning."""
    name = f"test {uuid.uuid4().hex}"
    kept = Lock(name=name)
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        Lock(name=name, abandoned="raise")
    assert not kept.locked()


@BOTH
def test_timeouts(make, peer_of):
    """-1 and None wait without limit, the largest timeout works, and a passed one returns False."""
    lock = make()
    for timeout in (-1, None, 0, threading.TIMEOUT_MAX):
        assert lock.acquire(True, timeout)
        lock.release()
    peer_of().call(lock.acquire)
    assert lock.acquire(timeout=0) is False
    assert lock.acquire(block=True, timeout=0.02) is False


@BOTH
def test_repr(make, peer_of):
    """It says free or held, by which process and thread, and who waits since when."""
    lock, peer = make(), peer_of()
    kind = f"holdfast.{make.__name__}"
    assert re.fullmatch(rf"<unlocked {kind} object at 0x[0-9a-f]+>", repr(lock))
    with lock:
        held = rf"<locked {kind} object at 0x[0-9a-f]+, held by pid {os.getpid()} thread 'MainThread'"
        assert re.fullmatch(held + ">", repr(lock))
        peer.begin(programs.take_and_give, lock)
        until(lock.waiters, "a waiter")
        assert re.fullmatch(held + r", 1 waiting for \d+\.\d s>", repr(lock))
    peer.result()
    peer.call(lock.acquire)
    assert re.fullmatch(rf"<locked {kind} .*held by pid {peer.pid} \(.*\) thread {peer.pid}>", repr(lock))


def test_signal_handler_that_uses_the_lock():
    """A handler that runs while its thread waits for one lock may take and release another, and the same without
    waiting.
    """
    lock, other, ran = Lock(), Lock(), []

    def handler(*_):
        with other:
            ran.append(lock.acquire(blocking=False))

    before = signal.signal(signal.SIGUSR1, handler)
    me = threading.get_native_id()
    try:
        lock.acquire()

        def poke():
            until(lock.waiters, "the main thread waits")
            os.kill(me, signal.SIGUSR1)
            until(lambda: ran, "the handler ran")
            lock.release()

        helper = Worker(poke)
        assert lock.acquire(timeout=20)
        helper.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ran == [False]
    assert not other.locked()
