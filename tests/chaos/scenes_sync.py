"""Scenes for the kill tests: what a victim does with a primitive of ``holdfast.sync``, and what must hold afterwards.

A scene is made in a fresh arena. ``victim`` runs, without end, in a child that is armed to die inside it; ``company``
runs in other processes meanwhile and after; ``survive`` runs after the death, in one more process and in a thread, and
``check`` judges at the end. A scene must not know at which step its victim dies: what differs from step to step is
told by ``step``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

from tests.core.tools import until

from holdfast.core import _native, session
from holdfast.errors import AbandonedError
from holdfast.sync.condition import Condition
from holdfast.sync.event import Event
from holdfast.sync.lock import Lock, RLock
from holdfast.sync.semaphore import BoundedSemaphore, Semaphore

if TYPE_CHECKING:
    from collections.abc import Callable


def numbers(count: int) -> memoryview:
    """Plain 64-bit numbers in shared memory, all zero, changed without any protection."""
    return memoryview(_native.Block(session.current(), None, 8 * count)).cast("q")


def cell() -> _native.Cell:
    return _native.Cell(session.current(), None, "q", 0)


def die_holding(take: Callable[[], object]) -> None:
    """Fork a child that calls ``take`` and is killed right after."""
    pid = os.fork()
    if pid == 0:
        try:
            _native.kill_at(None)
            signal.alarm(20)
            take()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)


class Scene:
    joined = True  # the victim joins the session before it is armed
    repeats = True  # the victim comes to the step more than once
    deepest = 1 << 30  # how often it may pass the step before, at most

    def __init__(self, step: str) -> None:
        self.step = step

    def company(self) -> list[Callable[[], object]]:
        return []

    def victim(self) -> None:
        raise NotImplementedError

    def died(self) -> None:
        """Runs when the victim is dead, before the survivors begin."""

    def survive(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        """Runs when all others have ended."""


class LockScene(Scene):
    """Mutual exclusion: nobody is inside with another, and no step inside is lost."""

    kind = staticmethod(Lock)

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.lock = self.kind()
        self.plain = numbers(3)  # steps, inside, stop
        self.done = cell()

    def once(self) -> None:
        self.take()
        assert self.plain[1] == 0, "two are inside"
        self.plain[1] = 1
        self.plain[0] += 1
        self.plain[1] = 0
        self.done.add(1)
        self.give()

    def take(self) -> None:
        self.lock.acquire()

    def give(self) -> None:
        self.lock.release()

    def victim(self) -> None:
        while True:
            self.once()

    def survive(self) -> None:
        for _ in range(200):
            self.once()

    def check(self) -> None:
        assert self.plain[0] == self.done.get() >= 400
        assert not self.lock.locked()
        assert self.lock.holder() is None


class RLockScene(LockScene):
    kind = staticmethod(RLock)

    def take(self) -> None:
        self.lock.acquire()
        self.lock.acquire()

    def give(self) -> None:
        self.lock.release()
        self.lock.release()


class ContendedLock(LockScene):
    """The victim lets go only when somebody waits."""

    def once_slowly(self) -> None:
        self.take()
        until(self.lock.waiters, "a waiter")
        self.plain[0] += 1
        self.done.add(1)
        self.give()

    def victim(self) -> None:
        while True:
            self.once_slowly()

    def company(self) -> list[Callable[[], object]]:
        return [self.crowd]

    def crowd(self) -> None:
        while not self.plain[2]:
            self.once()

    def died(self) -> None:
        self.plain[2] = 1


class ContendedRLock(ContendedLock, RLockScene):
    kind = staticmethod(RLock)


class InheritedLock(LockScene):
    """The victim takes over from one that died holding the lock, again and again."""

    def victim(self) -> None:
        while True:
            die_holding(self.lock.acquire)
            self.lock.acquire()
            self.lock.release()


class InheritedRLock(InheritedLock):
    kind = staticmethod(RLock)


class StrictLock(LockScene):
    """With ``abandoned="raise"`` whoever finds the dead holder repairs, and then goes on."""

    kind = staticmethod(lambda: Lock(abandoned="raise"))

    def take(self) -> None:
        while True:
            with contextlib.suppress(AbandonedError):
                self.lock.acquire()
                return
            with contextlib.suppress(RuntimeError):  # another one was first
                self.lock.recover()
                return


class RepairedLock(StrictLock):
    """The victim repairs what another dead one left."""

    def victim(self) -> None:
        while True:
            die_holding(self.take)
            self.lock.recover()
            self.lock.release()


class SemaphoreScene(Scene):
    """Never more inside than permits, and all permits there at the end."""

    kind = staticmethod(Semaphore)

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.semaphore = self.kind(2)
        self.inside = cell()

    def victim(self) -> None:
        while True:
            self.semaphore.acquire()
            self.semaphore.acquire()
            self.semaphore.release(1)
            self.semaphore.release()

    def survive(self) -> None:
        for _ in range(100):
            with self.semaphore:
                assert self.inside.add(1) <= 2
                self.inside.add(-1)

    def check(self) -> None:
        assert self.semaphore.acquire(timeout=10)
        assert self.semaphore.acquire(timeout=10)
        assert not self.semaphore.acquire(blocking=False)
        self.semaphore.release(2)
        assert self.semaphore.get_value() == 2
        assert self.semaphore.holders() == []


class BoundedScene(SemaphoreScene):
    kind = staticmethod(BoundedSemaphore)


class InheritedPermits(SemaphoreScene):
    """The victim finds all permits with a dead process, again and again."""

    def victim(self) -> None:
        while True:
            die_holding(lambda: (self.semaphore.acquire(), self.semaphore.acquire()))
            self.semaphore.acquire()
            self.semaphore.release()


class EventScene(Scene):
    """Who waits when the flag is raised goes on, although the raiser died before it woke anybody."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.event = Event()
        self.ready = numbers(1)

    def victim(self) -> None:
        until(lambda: self.ready[0], "a waiter")
        while True:
            self.event.set()

    def company(self) -> list[Callable[[], object]]:
        return [self.wait]

    def wait(self) -> None:
        self.ready[0] = 1
        assert self.event.wait() is True

    def survive(self) -> None:
        assert self.event.wait() is True
        self.event.set()

    def check(self) -> None:
        self.event.clear()
        assert not self.event.wait(0)
        self.event.set()
        assert self.event.wait(0)


ITEMS, FED, EATEN, STOP = range(4)


class WaiterScene(Scene):
    """One notify for one item, and the next item only when the last one is eaten: a lost notify stops it all."""

    jobs = 60

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.condition = Condition()
        self.plain = numbers(4)

    def feed(self) -> None:
        plain = self.plain
        while plain[FED] < self.jobs:
            with self.condition:
                plain[ITEMS] += 1
                plain[FED] += 1
                self.condition.notify()
            until(lambda: plain[ITEMS] == 0, f"item {plain[FED]} eaten: {self.condition}")
        with self.condition:
            plain[STOP] = 1
            self.condition.notify_all()

    def eat(self) -> None:
        plain = self.plain
        while True:
            with self.condition:
                self.condition.wait_for(lambda: plain[ITEMS] or plain[STOP])
                if not plain[ITEMS]:
                    return
                plain[ITEMS] -= 1
                plain[EATEN] += 1

    def company(self) -> list[Callable[[], object]]:
        return [self.feed]

    victim = eat
    survive = eat

    def died(self) -> None:
        # Off the list and not back in its caller's hands: whoever gets the lock is told that the holder died, but
        # nobody who sleeps on the condition is. A program that must survive this notifies when it is told.
        if self.step in {"condition_left", "mutex_released"}:
            with self.condition:
                self.condition.notify_all()

    def check(self) -> None:
        assert (self.plain[ITEMS], self.plain[FED], self.plain[EATEN]) == (0, self.jobs, self.jobs)
        assert len(self.condition._waiters) == 0


class PlainWaiterScene(WaiterScene):
    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.condition = Condition(Lock())


class NotifierScene(WaiterScene):
    """The victim notifies. What it told before it died arrives; a survivor goes on with the next item."""

    victim = WaiterScene.feed

    def company(self) -> list[Callable[[], object]]:
        return [self.eat]

    def died(self) -> None:
        if self.step != "condition_notified":  # it died before it had told anybody
            with self.condition:
                self.condition.notify_all()
        plain = self.plain
        until(lambda: plain[ITEMS] == 0, "what the victim fed is eaten")
        self.feeder = threading.Thread(target=self.feed)
        self.feeder.start()

    def check(self) -> None:
        self.feeder.join()
        super().check()
