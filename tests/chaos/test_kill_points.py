"""Every kill point of the core: a process dies there, and everybody else goes on."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
import warnings
from contextlib import ExitStack

import pytest
from tests.chaos import scenes_barrier as barrier
from tests.chaos import scenes_channels as channels
from tests.chaos import scenes_data as data
from tests.chaos import scenes_shelf as shelf
from tests.chaos import scenes_sync as sync
from tests.core.tools import SOAK, WATCHDOG, Child, Hang, own_arena, until

from holdfast.core import _native, session
from holdfast.errors import AbandonedWarning

ALLOCATING = [data.ArenaScene, data.HoardScene, data.NamesScene]
UNDER_A_MUTEX = [
    sync.SemaphoreScene,
    sync.WaiterScene,
    sync.NotifierScene,
    barrier.BarrierScene,
    barrier.AbortScene,
    data.ProducerScene,
    data.ConsumerScene,
    data.ArenaScene,
]
LOCKS = [sync.LockScene, sync.RLockScene, sync.StrictLock, sync.PlainWaiterScene, sync.WaiterScene]
SEMAPHORES = [sync.SemaphoreScene, sync.BoundedScene]

SCENES = {
    "lock_taken": [*LOCKS, sync.RepairedLock],
    "lock_takeover": [sync.InheritedLock, sync.InheritedRLock],
    "lock_untracked": [*LOCKS, sync.RepairedLock],
    "lock_released": [sync.ContendedLock, sync.ContendedRLock],
    "rlock_depth": [sync.RLockScene],
    "mutex_taken": UNDER_A_MUTEX,
    "mutex_released": UNDER_A_MUTEX,
    "event_set": [sync.EventScene],
    "semaphore_taken": SEMAPHORES,
    "semaphore_held": SEMAPHORES,
    "semaphore_unheld": SEMAPHORES,
    "semaphore_raised": [*SEMAPHORES, sync.InheritedPermits],
    "semaphore_refill": [sync.InheritedPermits],
    "condition_entered": [sync.WaiterScene, sync.PlainWaiterScene],
    "condition_waiting": [sync.WaiterScene, sync.PlainWaiterScene],
    "condition_notified": [sync.NotifierScene],
    "condition_left": [sync.WaiterScene, sync.PlainWaiterScene],
    "gate_counted": [barrier.BarrierScene],
    "gate_arrived": [barrier.BarrierScene],
    "gate_outcome": [barrier.BarrierScene, barrier.AbortScene, barrier.ResetScene],
    "gate_opened": [barrier.BarrierScene, barrier.AbortScene, barrier.ResetScene],
    "gate_broken": [barrier.AbortScene],
    "cell_loaded": [data.CellScene, data.ExchangeScene, data.MaximumScene],
    "ring_written": [data.ProducerScene, data.BusyProducerScene],
    "ring_committed": [data.ProducerScene, data.BusyProducerScene],
    "ring_copied": [data.ConsumerScene],
    "ring_taken": [data.ConsumerScene],
    "alloc_popped": ALLOCATING,
    "alloc_chunk": [data.HoardScene],
    "alloc_run": [data.ArenaScene, data.HoardScene],
    "alloc_named": ALLOCATING,
    "free_unkinded": [data.ArenaScene, data.NamesScene],
    "free_run": [data.ArenaScene],
    "ref_dropped": [data.ArenaScene, data.NamesScene],
    "join_filled": [data.JoinScene],
    "sweep_half": [data.SweepScene],
}
for more in (channels.SCENES, shelf.SCENES):
    for point, those in more.items():
        SCENES[point] = SCENES.get(point, []) + those
SKIPS = (0, 1, 4)


class Survivor(threading.Thread):
    """A thread whose exception, or hang, is the test's."""

    def __init__(self, target):
        super().__init__(daemon=True)
        self._work, self._error = target, None

    def run(self):
        try:
            self._work()
        except BaseException as error:
            self._error = error

    def result(self):
        self.join(WATCHDOG)
        if self.is_alive():
            raise Hang("the surviving thread hangs")
        if self._error is not None:
            raise self._error


def armed(scene, step, skip):
    if scene.joined:
        assert session.current().member
    _native.kill_at(step, skip)
    scene.victim()


@pytest.fixture(scope="module")
def arenas():
    """Where queues were killed at, with how many blocks were there before: in the end there are no more again.

    The dead may count for a second, and so all are looked at together when the last test is over.
    """
    seen = []
    yield seen
    rest = {label: (arena, before) for label, arena, before in seen}

    def all_swept():
        for label, (arena, before) in list(rest.items()):
            if swept(arena) <= before:
                del rest[label]
        return not rest

    with contextlib.suppress(Hang):
        until(all_swept, "all blocks free", 5)
    left = {label: arena.stats()["blocks"] - before for label, (arena, before) in rest.items()}
    assert left == {}, "blocks are left"


def swept(arena):
    _native.Cell(arena, None)  # what this process dropped shortly after a fork is freed at its next call
    arena.sweep()
    return arena.stats()["blocks"]


def play(make, step, skips, record, arenas):
    """One scene, from its making to its judgement, with one victim after the other."""
    with warnings.catch_warnings(), own_arena() as arena, ExitStack() as stack:
        warnings.simplefilter("ignore", AbandonedWarning)
        before = swept(arena)
        scene = make(step)
        company = [stack.enter_context(Child(work)) for work in scene.company()]
        for skip in skips:
            victim = stack.enter_context(Child(armed, scene, step, skip))
            assert victim.wait() == -signal.SIGKILL, f"{step} was never reached"
        began = time.monotonic()
        scene.died()
        other = stack.enter_context(Child(scene.survive))
        thread = Survivor(scene.survive)
        thread.start()
        for survivor in (thread, other, *company):
            survivor.result()
        record("seconds after the death", round(time.monotonic() - began, 3))
        scene.check()
        if isinstance(scene, channels.QueueScene):
            arenas.append((f"{make.__name__} at {step}", arena, before))


def test_each_point_has_a_scene():
    """A kill point that is added to the core gets a test, and a test whose point is gone goes, too."""
    assert set(SCENES) == set(_native.kill_points())


def cases():
    """What is in an arena is swept a second after a death: there the victims of one step come one after the other.

    So they do on a queue, which has to stand several deaths anyway.
    """
    for step, scenes in SCENES.items():
        for make in scenes:
            together = issubclass(make, data.ArenaScene | channels.QueueScene)
            one_by_one = [SKIPS] if together else [(skip,) for skip in SKIPS]
            for skips in one_by_one:
                yield pytest.param(step, make, skips, id=f"{step}-{make.__name__}-{'-'.join(map(str, skips))}")


@pytest.mark.parametrize(("step", "make", "skips"), list(cases()))
def test_others_go_on_after_a_death_at(step, make, skips, record_property, arenas):
    """Whoever dies there, at its first time or a later one: nobody hangs, and what the structure promises holds."""
    if not make.repeats:
        skips = (0,) * len(skips)
    for again in range(max(1, int(SOAK))):
        deeper = [min(skip + 7 * (again % 6), max(skip, make.deepest)) if skip else 0 for skip in skips]
        play(make, step, deeper, record_property, arenas)
