"""Scenes for the kill tests of what lies below ``holdfast.sync``: cells, rings, blocks, members. See scenes_sync."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from tests.chaos.scenes_sync import Scene, cell, die_holding, numbers
from tests.core.tools import Child, slot_of, until

from holdfast.core import _native, session

if TYPE_CHECKING:
    from collections.abc import Callable

FREE, ALIVE = 0, 2


class CellScene(Scene):
    """A change is made wholly or not at all, and the victim's were as many as came back to it."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.cell = cell()
        self.plain = numbers(1)  # changes of the victim that returned

    def change(self) -> None:
        self.cell.add(1)

    def victim(self) -> None:
        while True:
            self.change()
            self.plain[0] += 1

    def survive(self) -> None:
        for _ in range(500):
            self.change()

    def check(self) -> None:
        assert self.cell.get() == self.plain[0] + 1000


class ExchangeScene(CellScene):
    def change(self) -> None:
        while not self.cell.compare_exchange(now := self.cell.get(), now + 1):
            pass


class MaximumScene(CellScene):
    """``max`` alone: every change is to one more than was seen, so that none but the largest counts."""

    def change(self) -> None:
        self.cell.max(self.plain[0] + 1)

    def check(self) -> None:
        assert self.cell.get() == self.plain[0] + 1


LOG = 2000  # records that one consumer can note


class RingScene(Scene):
    """A record whose put returned arrives once; each consumer sees each producer's records in order."""

    records = 300
    capacity = 512

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.ring = _native.Ring(session.current(), None, self.capacity)
        self.returned = numbers(3)  # per producer: puts that came back
        self.log = numbers(3 * LOG)  # per consumer: how many, then the tags
        self.consumers = cell()

    def produce(self, who: int, count: int) -> None:
        for i in range(count):
            data = bytes([who, i % 256]) * (i * 7 % 40)
            assert self.ring.put(who << 32 | i, data)
            self.returned[who] = i + 1

    def consume(self, who: int) -> None:
        log = self.log[who * LOG : (who + 1) * LOG]
        while True:
            try:
                tag, data = self.ring.get()
            except EOFError:
                return
            producer, i = tag >> 32, tag & 0xFFFFFFFF
            assert data == bytes([producer, i % 256]) * (i * 7 % 40)
            log[log[0] + 1] = tag
            log[0] += 1

    def survive(self) -> None:
        self.consume(self.consumers.add(1))

    def logs(self) -> list[list[int]]:
        return [self.log[n * LOG + 1 : n * LOG + 1 + self.log[n * LOG]].tolist() for n in range(3)]

    def arrived(self, producer: int) -> list[int]:
        """Sequence numbers that arrived, sorted; each consumer's own were in order."""
        found = []
        for log in self.logs():
            mine = [tag & 0xFFFFFFFF for tag in log if tag >> 32 == producer]
            assert mine == sorted(mine), "out of order"
            found += mine
        assert len(set(found)) == len(found), "received twice"
        return sorted(found)


class ProducerScene(RingScene):
    """The victim puts; another producer goes on and closes the ring. Nobody takes before the death."""

    capacity = 4096

    def company(self) -> list[Callable[[], object]]:
        return [self.other]

    def victim(self) -> None:
        self.produce(0, 1 << 30)

    def other(self) -> None:
        until(lambda: self.returned[2], "the victim's death")
        self.produce(1, self.records)
        self.ring.close()

    def died(self) -> None:
        self.returned[2] = 1

    def check(self) -> None:
        assert self.arrived(1) == list(range(self.records))
        victims = self.arrived(0)
        assert victims == list(range(len(victims)))
        assert self.returned[0] <= len(victims) <= self.returned[0] + 1
        assert (len(self.ring), self.ring.used) == (0, 0)


class BusyProducerScene(ProducerScene):
    """The same while somebody takes records out, so that the victim goes on past a full ring."""

    capacity = 512

    def company(self) -> list[Callable[[], object]]:
        return [self.other, self.survive]

    def survive(self) -> None:
        self.consume(self.consumers.add(1) - 1)


class ConsumerScene(RingScene):
    """The victim gets. What it had not given up is there for the next; what it had is its own: one record at most."""

    def company(self) -> list[Callable[[], object]]:
        return [self.other]

    def other(self) -> None:
        self.produce(1, self.records)
        self.ring.close()

    def victim(self) -> None:
        self.consume(0)

    def check(self) -> None:
        arrived = self.arrived(1)
        missing = sorted(set(range(self.records)) - set(arrived))
        if self.step in {"ring_taken", "mutex_released"}:
            assert missing in ([], [self.log[0]])
        else:
            assert missing == []
        assert (len(self.ring), self.ring.used) == (0, 0)


UNDER_GUARD = {"alloc_popped", "alloc_chunk", "alloc_run", "alloc_named", "free_unkinded", "free_run", "ref_dropped"}


class ArenaScene(Scene):
    """What a victim made or dropped half-way is free after a sweep, and names lead where they led."""

    sizes = (1, 200, 1000, 5000, 30_000, 100_000, 300_000)

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.arena = session.current()
        self.kept = [_native.Cell(self.arena, (b"kept %d" % i, 1), "q", i) for i in range(8)]
        self.before = self.arena.stats()

    def victim(self) -> None:
        while True:
            things = [_native.Block(self.arena, None, size) for size in self.sizes]
            things += [_native.Cell(self.arena, (b"victim %d" % i, 0)) for i in range(3)]
            things.append(_native.Block(self.arena, None, 5_000_000, False))
            del things

    def survive(self) -> None:
        for i in range(20):
            blocks = [_native.Block(self.arena, None, size) for size in self.sizes for _ in range(3)]
            for n, block in enumerate(blocks):
                block.fill(bytes([n + i]) * len(block))
            for n, block in enumerate(blocks):
                assert bytes(block) == bytes([n + i]) * len(block), "two blocks overlap"
            self.find_kept()

    def find_kept(self) -> None:
        for i, kept in enumerate(self.kept):
            assert kept.get() == i
            assert _native.Cell(self.arena, (b"kept %d" % i, 2)).uid == kept.uid

    def died(self) -> None:
        if self.step in UNDER_GUARD:
            assert self.arena.stats()["repairs"] > self.before["repairs"]

    def swept(self) -> bool:
        _native.Cell(self.arena, None)  # what this process dropped shortly after a fork is freed at its next call
        self.arena.sweep()
        return self.arena.stats()["blocks"] == self.before["blocks"]

    def check(self) -> None:
        Child(self.find_kept).result()
        until(self.swept, f"{self.before['blocks']} blocks and no more")
        for i in range(3):
            with pytest.raises(FileNotFoundError):
                _native.Cell(self.arena, (b"victim %d" % i, 2))
        Child(self.find_kept).result()
        assert len(self.arena.members()) == 1


class HoardScene(ArenaScene):
    """The victim only makes, so that it comes to fresh memory again and again."""

    def victim(self) -> None:
        hoard = []
        while True:
            hoard += [_native.Block(self.arena, None, size) for size in self.sizes]


class NamesScene(ArenaScene):
    """The victim makes and drops names that fall into the same places as those kept."""

    def victim(self) -> None:
        while True:
            for i in range(3):
                _native.Cell(self.arena, (b"victim %d" % i, 0))
            _native.Cell(self.arena, (b"victim 0", 0)).unlink()


class JoinScene(ArenaScene):
    joined = False
    repeats = False

    def victim(self) -> None:
        assert self.arena.member

    def survive(self) -> None:
        super().survive()
        until(self.slot_is_free_again, "the slot that was half taken freed by a sweep")

    def slot_is_free_again(self) -> bool:
        self.arena.sweep()
        state = slot_of(self.arena, 1)[1][0] & 7
        return state in (FREE, ALIVE)


class SweepScene(ArenaScene):
    """The victim sweeps what another dead one held."""

    def victim(self) -> None:
        hoard = []
        while True:
            die_holding(lambda: hoard.extend(_native.Cell(self.arena, None) for _ in range(300)))
            while not self.arena.sweep():
                time.sleep(0.02)
