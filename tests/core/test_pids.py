"""Who is who: a reused pid, a zombie, a fork and a returning process are never taken for somebody else."""

from __future__ import annotations

import os
import signal
import struct
import time

import pytest
from tests.core.tools import SLOT, SLOTS_AT, Child, own_arena, slot_of, status_of, until

from holdfast.core import _native, session
from holdfast.errors import AbandonedWarning
from holdfast.sync.lock import Lock

LAST_PID = "/proc/sys/kernel/ns_last_pid"
ALIVE = 2


def test_start_times():
    """The start time of a living process is that of /proc; of a dead one, a zombie and nobody it is 0."""
    with open("/proc/self/stat") as file:
        assert _native.process_start(os.getpid()) == int(file.read().rpartition(")")[2].split()[19])
    assert _native.process_start(0) == _native.process_start(-5) == _native.process_start(1 << 22) == 0
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet reaped
    assert _native.process_start(pid) == 0
    os.waitpid(pid, 0)
    assert _native.process_start(pid) == 0


def test_a_zombie_is_dead():
    """The lock of a killed process whose parent has not reaped it is taken over all the same."""
    with own_arena():
        lock = Lock()
        pid = os.fork()
        if pid == 0:
            lock.acquire()
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with pytest.warns(AbandonedWarning, match=f"pid {pid}"):
            assert lock.acquire()
        os.waitpid(pid, 0)


def test_a_pid_with_another_start_time():
    """A slot whose pid lives, but was started at another time, is that of a dead process."""
    with own_arena() as arena:
        lock = Lock()
        with Child(lambda: lock.acquire() and signal.pause()) as child:
            until(lock.locked, "held")
            member = lock.holder()[0]
            at, (state, number, _, _, start, _, _) = slot_of(arena, member)
            assert (state, number) == (child.pid << 3 | ALIVE, member)
            assert start == _native.process_start(child.pid)
            assert not lock.acquire(timeout=0.05)
            os.pwrite(arena.fd, struct.pack("<Q", start - 1), at + 16)  # as if an earlier process had had this pid
            with pytest.warns(AbandonedWarning, match=f"pid {child.pid}"):
                assert lock.acquire(timeout=20)
            assert not arena.alive(member)


def give_pid_again(pid):
    """Fork until a child has this pid; None if the system does not let us choose."""
    for _ in range(20):
        try:
            with open(LAST_PID, "w") as file:
                file.write(str(pid - 1))
        except OSError:
            return None
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        os.close(read)
        if child == pid:
            return write
        os.close(write)
        status_of(child)
    return None


def test_a_reused_pid():
    """The pid of a dead holder lives again as another process: the lock is taken over nevertheless."""
    with own_arena():
        lock = Lock()
        with Child(lambda: lock.acquire() and signal.pause()) as child:
            until(lock.locked, "held")
            started = _native.process_start(child.pid)
            until(lambda: _native.process_start(os.getpid()) and clock_ticks() > started + 1, "a later start time")
            child.kill()
            end = give_pid_again(child.pid)
            if end is None:
                pytest.skip(f"cannot choose a pid through {LAST_PID}")
            assert _native.process_start(child.pid) > started
            with pytest.warns(AbandonedWarning, match=f"pid {child.pid}"):
                assert lock.acquire(timeout=20)
            os.close(end)
            assert status_of(child.pid) == 0


def clock_ticks():
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def test_members_are_never_the_same():
    """One slot, used by one process after the other, gives each another member number."""
    with own_arena() as arena:
        mine = arena.member
        seen = {mine}
        for _ in range(5):
            with Child(lambda: session.current().member) as child:
                seen.add(child.result())
        assert len(seen) == 6
        assert Child(lambda: session.current().alive(mine)).result() is True


def test_describe():
    """A member in words: pid, label and life; a number that never was is nobody."""
    with own_arena() as arena:
        assert arena.describe(arena.member) == (os.getpid(), "arena of a test", True)
        child = Child(lambda: session.current().member)
        member = child.result()
        pid, label, alive = arena.describe(member)
        assert (pid, label, alive) == (child.pid, "arena of a test", False)
        assert arena.describe(123 << 10 | 5) == (0, "", False)
        assert not arena.alive(123 << 10 | 5)


def fill_table(arena, start: int) -> None:
    """Write this process's pid into every slot but the first, with a start time that makes it alive, or dead."""
    for slot in range(1, _native.MAX_MEMBERS):
        at = SLOTS_AT + SLOT.size * slot
        os.pwrite(arena.fd, struct.pack("<IIIIQ", os.getpid() << 3 | ALIVE, 1 << 10 | slot, 1, 0, start), at)


def join() -> int | str:
    try:
        return session.current().member
    except RuntimeError as error:
        return str(error)


def test_the_table_is_full():
    """More living processes than the table holds: an error that says so."""
    with own_arena() as arena:
        _ = arena.member
        fill_table(arena, _native.process_start(os.getpid()))
        expected = f"{_native.MAX_MEMBERS} processes share this session already: no room for another"
        assert Child(join).result() == expected


def test_the_table_is_full_of_the_dead():
    """A joiner who finds no free slot takes one whose tenant is dead, also if no member ever sweeps."""
    with own_arena() as arena:
        _ = arena.member
        fill_table(arena, 1)
        assert isinstance(Child(join).result(), int)
        until(arena.sweep, "the dead swept")
        assert isinstance(Child(join).result(), int)
