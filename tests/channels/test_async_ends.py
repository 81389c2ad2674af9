"""aget, aput and ajoin when something ends: cancellation, shutdown, deaths; nothing is lost, all who wait wake."""

from __future__ import annotations

import asyncio

import pytest
from tests.channels import programs
from tests.channels.test_async import run, turns
from tests.core.tools import Child
from tests.sync.programs import Worker

from holdfast import AbandonedWarning, Queue, ShutDown

# --------------------------------------------------------------------------------------------------------- cancellation


def test_a_cancelled_get_loses_nothing(local):
    """The item that comes later is for another."""
    q = Queue(local=local)

    async def main():
        victim, other = asyncio.create_task(q.aget()), asyncio.create_task(q.aget())
        await turns()
        victim.cancel()
        q.put("kept")
        with pytest.raises(asyncio.CancelledError):
            await victim
        assert await other == "kept"

    run(main)


def test_cancelled_as_the_item_comes(local):
    """Cancelled in the very turn in which the item arrives: the victim has it, or it is still there."""
    q = Queue(local=local)

    async def main():
        for pause in range(6):
            for n in range(20):
                victim = asyncio.create_task(q.aget())
                await turns(3)
                q.put(n)
                await turns(pause)
                victim.cancel()
                try:
                    assert await victim == n
                except asyncio.CancelledError:
                    assert q.get_nowait() == n
                assert q.empty()

    run(main)


def test_wait_for(local):
    """asyncio.wait_for over and over, from an active producer: all items arrive, in order."""
    q = Queue(local=local)

    async def main():
        worker = Worker(programs.put_all, q, range(300))
        got = []
        while len(got) < 300:
            try:
                got.append(await asyncio.wait_for(q.aget(), 0.001))
            except TimeoutError:
                pass
        worker.result()
        return got

    assert run(main) == list(range(300))


def test_a_cancelled_put_puts_nothing(local):
    """Nor does it hold up the next one."""
    q = Queue(1, local=local)

    async def main():
        await q.aput(1)
        victim = asyncio.create_task(q.aput(2))
        await turns()
        victim.cancel()
        with pytest.raises(asyncio.CancelledError):
            await victim
        assert await q.aget() == 1
        await q.aput(3)
        return programs.drain(q)

    assert run(main) == [3]


# ------------------------------------------------------------------------------------------------------- shutdown, join


@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_wakes(local, immediate):
    """Tasks that wait for an item or for room end with ShutDown."""
    empty, full = Queue(local=local), Queue(1, local=local)

    async def main():
        full.put(1)
        tasks = [asyncio.create_task(call) for call in (empty.aget(), empty.aget(), full.aput(2))]
        await turns()
        empty.shutdown(immediate)
        full.shutdown(immediate)
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(error) for error in run(main)] == [ShutDown] * 3


def test_shutdown_elsewhere_wakes(peer_of):
    """Also when another process shuts it down."""
    q, peer = Queue(), peer_of()

    async def main():
        waiting = asyncio.create_task(q.aget())
        await turns()
        peer.begin(q.shutdown)
        with pytest.raises(ShutDown):
            await waiting
        peer.result()

    run(main)


def test_drained_after_shutdown(local):
    """What is queued comes first."""
    q = Queue(local=local)

    async def main():
        q.put_many([1, 2])
        q.shutdown()
        got = [await q.aget(), await q.aget()]
        with pytest.raises(ShutDown):
            await q.aget()
        with pytest.raises(ShutDown):
            await q.aput(3)
        return got

    assert run(main) == [1, 2]


def test_ajoin(local):
    """It ends when all is done, and not before."""
    q = Queue(local=local)

    async def main():
        await q.ajoin()
        q.put_many([1, 2])
        joining = asyncio.create_task(q.ajoin())
        for _ in range(2):
            await asyncio.sleep(0.005)
            assert not joining.done()
            q.get()
            q.task_done()
        await joining

    run(main)


def test_ajoin_with_a_killed_consumer():
    """It ends, too, and warns as join does."""
    q = Queue()
    q.put(1)
    with Child(programs.take_and_die, q, 1, "kill") as child:
        child.wait()
    with pytest.warns(AbandonedWarning, match=f"pid {child.pid}"):
        run(q.ajoin)


def test_redelivered_to_a_waiting_task(peer_of):
    """What a consumer elsewhere had when it was killed comes to a task that waits."""
    q, peer = Queue(redeliver=True), peer_of()
    q.put("again")
    peer.call(programs.keep, "q", q)
    peer.call(q.get)

    async def main():
        waiting = asyncio.create_task(q.aget())
        await turns()
        peer.kill()
        assert await waiting == "again"
        assert q.deliveries == 2

    run(main)
