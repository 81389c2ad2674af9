"""The arena: blocks are used again, memory is given back, and a full file system is an error of the call."""

from __future__ import annotations

import os
import subprocess
from itertools import pairwise

import pytest
from tests.core.tools import MIB, Child, new_arena

from holdfast.core import _native


def block(arena, nbytes, *, zero=True):
    return _native.Block(arena, None, nbytes, zero)


def test_what_is_dropped_is_used_again():
    """Making and dropping the same things takes no further memory."""
    arena = new_arena()
    for size in (8, 1000, 20_000, 70_000, 1_000_000):
        things = [block(arena, size) for _ in range(20)]
        del things
    after_one = arena.stats()["bytes_committed"]
    for _ in range(20):
        for size in (8, 1000, 20_000, 70_000, 1_000_000):
            things = [block(arena, size) for _ in range(20)]
            del things
    assert arena.stats()["bytes_committed"] <= after_one
    assert arena.stats()["blocks"] == 0


def test_blocks_do_not_overlap():
    """Blocks of all sizes that live together keep their bytes, while others come and go between them."""
    arena = new_arena()
    sizes = [1, 60, 64, 65, 200, 700, 3000, 9000, 32_000, 33_000, 65_344, 65_345, 200_000]
    kept = []
    for i in range(150):
        one, gone = block(arena, sizes[i % len(sizes)]), block(arena, sizes[-1 - i % len(sizes)])
        one.fill(bytes([i % 256]) * len(one))
        gone.fill(b"\xff" * len(gone))
        kept.append((i, one))
        del gone
    for i, one in kept:
        assert bytes(one) == bytes([i % 256]) * len(one)
    places = sorted((one.offset, len(one)) for _, one in kept)
    assert all(at + length <= after for (at, length), (after, _) in pairwise(places))


def test_zeroed():
    """Used memory comes back zeroed, unless it is not asked for."""
    arena = new_arena()
    for size in (100, 5000, 300_000):
        one = block(arena, size)
        one.fill(b"\xff" * size)
        del one
        assert bytes(block(arena, size)) == bytes(size)
        assert len(block(arena, size, zero=False)) == size


def test_neighbours_become_one():
    """Small runs that are dropped make room for a large one in the same place."""
    arena = new_arena()
    things = [block(arena, 100_000) for _ in range(32)]
    used = arena.stats()["bytes_committed"]
    del things
    large = block(arena, 3 * MIB)
    assert arena.stats()["bytes_committed"] <= used + 65536
    assert len(large) == 3 * MIB


def test_trim():
    """Idle memory goes back to the system, to the last page; the file gets smaller, what lives keeps its bytes."""
    arena = new_arena()
    kept = block(arena, 100_000)
    kept.fill(b"k" * 100_000)
    things = [block(arena, 10 * MIB) for _ in range(3)]
    with_all = os.fstat(arena.fd).st_blocks * 512
    assert with_all > 30 * MIB
    del things
    given = arena.trim()
    stats = arena.stats()
    assert stats["bytes_idle"] == 0
    assert given + os.fstat(arena.fd).st_blocks * 512 <= with_all + MIB
    assert bytes(kept) == b"k" * 100_000
    assert bytes(block(arena, 10 * MIB)) == bytes(10 * MIB)


def test_idle_memory_beyond_the_limit_goes_by_itself():
    """An arena keeps no more idle memory warm than it was told to."""
    arena = _native.Session(os.memfd_create("arena"), 512 * MIB, 4 * MIB, "x")
    things = [block(arena, 5 * MIB) for _ in range(6)]
    del things
    assert arena.stats()["bytes_idle"] <= 4 * MIB


def test_stats():
    """Counts and sizes are exact."""
    arena = new_arena()
    assert arena.stats()["blocks"] == 0
    things = [block(arena, 1000) for _ in range(5)]
    stats = arena.stats()
    assert stats["blocks"] == 5
    assert 5000 <= stats["bytes_used"] <= 5 * 2048
    assert stats["bytes_used"] <= stats["bytes_committed"]
    assert (stats["members"], stats["repairs"]) == (1, 0)
    del things
    assert arena.stats()["blocks"] == arena.stats()["bytes_used"] == 0
    assert Child(lambda: arena.stats()["members"]).result() == 2


def test_the_arena_is_full():
    """More than the arena can ever hold: MemoryError that says how much; the next smaller one is fine."""
    arena = new_arena(256 * MIB)
    with pytest.raises(MemoryError, match=f"no shared memory left for {1 << 30} bytes"):
        block(arena, 1 << 30)
    with pytest.raises((MemoryError, OverflowError)):
        block(arena, (1 << 63) - 1)
    with pytest.raises(ValueError, match="nbytes must be >= 0, not -1"):
        block(arena, -1)
    assert len(block(arena, MIB)) == MIB
    assert arena.stats()["blocks"] == 0


def test_filled_to_the_last_chunk():
    """Filled up, emptied and filled again: as many fit as before, also right after an error."""
    arena = new_arena(4 * MIB)

    def fill_up():
        things = []
        with pytest.raises(MemoryError):
            while True:
                things.append(block(arena, 30_000, zero=False))
        with pytest.raises(MemoryError):
            _native.Ring(arena, None, 1 << 20)
        return len(things)

    assert fill_up() == fill_up() >= 100
    assert arena.stats()["blocks"] == 0


@pytest.fixture
def tiny(tmp_path):
    """A memory file system of 2 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a small tmpfs here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_the_file_system_is_full(tiny):
    """A MemoryError of the call and no SIGBUS; what was made before stays right, and what is dropped can be had."""
    arena = _native.Session(os.open(tiny / "arena", os.O_RDWR | os.O_CREAT), 256 * MIB, 0, "x")
    with pytest.raises(MemoryError, match="the memory file system is full"):
        block(arena, 8 * MIB)
    things = []
    with pytest.raises(MemoryError):
        while True:
            things.append(block(arena, 50_000))
            things[-1].fill(b"x" * 50_000)
    assert len(things) > 5
    with pytest.raises(MemoryError):
        while True:
            things.append(_native.Lock(arena, None))
    assert all(bytes(one) == b"x" * 50_000 for one in things if isinstance(one, _native.Block))
    del things
    assert len(block(arena, 800_000)) == 800_000
    assert arena.stats()["blocks"] == 0


def test_no_room_for_a_session(tiny, run_python):
    """No room for even the header: SessionError that names the place, and nothing left of the attempt."""
    (tiny / "ballast").write_bytes(b"x" * (2 * MIB - 100_000))
    done = run_python("import holdfast; holdfast.Lock()", env={"HOLDFAST_DIR": str(tiny)})
    assert "SessionError" in done.stderr
    assert "cannot make shared memory in" in done.stderr
    assert os.listdir(tiny) == ["ballast"]


def test_fill():
    """Bytes go where they are told, and never beyond the end."""
    one = block(new_arena(), 100)
    one.fill(b"abc", 97)
    assert bytes(one)[96:] == b"\0abc"
    for data, at in ((b"abc", 98), (b"abc", -1), (b"x" * 101, 0)):
        with pytest.raises(ValueError, match="do not fit in 100"):
            one.fill(data, at)
    with pytest.raises(TypeError):
        one.fill("text")
    view = memoryview(one)
    view[0:3] = b"xyz"
    assert bytes(one)[:3] == b"xyz"


def test_a_view_keeps_its_block():
    """Memory that somebody still looks at is not freed."""
    arena = new_arena()
    view = memoryview(block(arena, 100))
    assert arena.stats()["blocks"] == 1
    view[:3] = b"abc"
    others = [block(arena, 100) for _ in range(50)]
    assert bytes(view[:3]) == b"abc"
    del others, view
    assert arena.stats()["blocks"] == 0
