"""Items as bytes: the plain ones in C, seen through a queue; pickles with their buffers beside them."""

from __future__ import annotations

import array
import collections
import enum
import functools
import math
import pickle
import queue
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import errors
from holdfast.channels import codec
from holdfast.channels.queue import Queue
from holdfast.core import _native, session

# ------------------------------------------------------------------------------------------- what C encodes itself


class Level(enum.IntEnum):
    LOW = 1


class Word(str):
    __slots__ = ()


Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024 - the old spelling, on purpose


def make_queue(pack):
    ways = (pickle.loads, None, pack, codec.unpack, _native.Block, queue.Empty, queue.Full, RuntimeError, RuntimeError)
    return _native.Queue(session.current(), None, ways)


@pytest.fixture(scope="module")
def plain():
    """A queue that cannot pickle."""

    def pack(item):
        raise AssertionError(f"{item!r} was to be pickled")

    return make_queue(pack)


@pytest.fixture(scope="module")
def packing():
    """A queue that notes what it is asked to pack."""
    asked = []

    def pack(item):
        asked.append(item)
        return codec.pack(session.current(), item)

    made = make_queue(pack)
    return made, asked


def same(item, other):
    """Of the same types all through, and alike to the last bit of a float."""
    return type(item) is type(other) and repr(item) == repr(other)


LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.binary(max_size=9)
LEAVES |= st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
SMALL = st.lists(st.one_of(LEAVES, st.lists(LEAVES, max_size=4).map(tuple)), max_size=5).map(tuple)


KEYS = st.one_of(
    LEAVES.filter(lambda leaf: repr(leaf) != "nan"), st.lists(st.text("ab"), max_size=2).map(tuple)
)  # NaN is no key


@given(item=st.lists(LEAVES | SMALL, max_size=4) | st.dictionaries(KEYS, LEAVES | SMALL, max_size=4))
def test_lists_and_dicts_come_out_as_they_went_in(item):
    """Small ones of plain elements go without pickle, others with it; the order of a dict's keys is kept."""
    made = Queue()
    made.put(item)
    assert same(made.get(), item)


def test_two_references_to_one_list_stay_one_list():
    """What is plain is never a container that another one refers to."""
    made, shared = Queue(), [1]
    made.put([shared, shared, {"again": shared}])
    first, second, third = made.get()
    assert first is second is third["again"]


@given(item=LEAVES | SMALL | st.text(st.characters(exclude_categories=["Cs"])) | st.binary())
def test_plain_items_travel_without_pickle(plain, item):
    """None, bools, ints of 64 bits, floats, strings, bytes and small tuples of them come out as they went in."""
    plain.put(item)
    assert same(plain.get(), item)


@pytest.mark.parametrize(
    "item",
    [
        *(-(2**63), 2**63 - 1, -0.0, math.nan, -math.inf, 5e-324, "", "\0", "\U0010ffff", b"", b"\0" * 40_000),
        *("ß" * 40_000, (), ((((),),),), tuple(range(15)), ("x" * 253,), ("x" * 125, b"y" * 126), ((b"x" * 250,),)),
    ],
    ids=lambda item: repr(item)[:20],
)
def test_the_limits_of_what_is_plain(plain, item):
    """The largest, deepest and oddest of what C takes; also what is too long for the ring."""
    plain.put(item)
    assert same(plain.get(), item)


@pytest.mark.parametrize(
    "item",
    [
        *(2**63, -(2**63) - 1, "\ud800", ("\ud800",), (2**64,), (((((),),),),), tuple(range(16)), ("x" * 254,)),
        *(("x" * 126, "y" * 126), ((b"x" * 251,),), {1}, [[1]], {"a": [1]}, list(range(16)), {"a": "x" * 252}),
        *((1, [2]), 1j, bytearray(b"x")),
        *(Level.LOW, Word("a"), Pair(1, 2), (Pair(1, 2),), (Level.LOW,), np.float64(1.5), np.int64(1)),
    ],
    ids=lambda item: repr(item)[:20],
)
def test_everything_else_is_packed(packing, item):
    """Beyond the limits, and subclasses, whose class has to arrive too."""
    made, asked = packing
    asked.clear()
    made.put(item)
    assert same(made.get(), item)
    assert asked == [item]


@pytest.mark.parametrize("returned", [3, None, (), (b"",), (3, None), (b"", None, None)])
def test_what_pack_may_not_return(returned):
    """A hook that returns nonsense is told so, and nothing is put."""
    made = make_queue(lambda _: returned)
    with pytest.raises(TypeError, match="neither bytes nor"):
        made.put({1})
    assert made.qsize() == 0


def test_what_pack_raises_comes_out_of_put(plain):
    """And nothing is put."""
    with pytest.raises(AssertionError, match="was to be pickled"):
        plain.put({1})
    assert plain.qsize() == 0


# ---------------------------------------------------------------------------------------- what Python makes of the rest


def there_and_back(item, **how):
    """What arrives, and whether the item needed a block."""
    packed = codec.pack(session.current(), item)
    if isinstance(packed, bytes):
        return pickle.loads(packed), False
    head, block = packed
    assert len(head) <= codec.INLINE
    return codec.unpack(head, block, **how), block is not None


def test_an_ordinary_item_is_an_ordinary_pickle():
    """Nothing is around it that would cost time."""
    item = {"a": [1, "b"]}
    assert codec.pack(session.current(), item) == pickle.dumps(item, 5)


@pytest.mark.parametrize("size", [0, 1, 100, 1_000, 4_000, 5_000, 300_000])
@pytest.mark.parametrize("writable", [True, False])
def test_arrays(size, writable):
    """The same numbers, as writable as they were, whichever way they took."""
    sent = np.arange(size, dtype="q")
    sent.flags.writeable = writable
    got, _ = there_and_back([sent, "beside"])
    assert np.array_equal(got[0], sent)
    assert got[0].flags.writeable is writable
    assert got[1] == "beside"


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_receivers_array_stands_on_the_block(order):
    """No copy on the receiving side, aligned for vectors, in the order it had."""
    sent = [np.full((333, 7), n, order=order) for n in range(1, 20)]
    head, block = codec.pack(session.current(), sent)
    got = codec.unpack(head, block)
    whole = np.frombuffer(block, dtype="B")
    assert all(np.shares_memory(part, whole) and part.ctypes.data % 64 == 0 for part in got)
    assert all(np.array_equal(a, b) and a.flags[f"{order}_CONTIGUOUS"] for a, b in zip(got, sent, strict=True))


def test_how_long_a_block_lives(run_python):
    """As long as the last array on it; not at all if the item needs it no more, or could not be put."""
    # In a program of its own: for a second after a fork, freed blocks still count.
    done = run_python("""
        import numpy
        from holdfast.channels import codec
        from holdfast.core import session

        s = session.current()
        before = s.stats()["blocks"]
        count = lambda: s.stats()["blocks"] - before
        arrays = codec.unpack(*codec.pack(s, [numpy.full(5_000, n) for n in range(20)]))
        last = arrays[7][1:3]
        del arrays
        print(count(), last)
        del last
        print(count())
        text = codec.unpack(*codec.pack(s, ["x" * 100_000]))
        copies = codec.unpack(*codec.pack(s, numpy.zeros(10_000)), copied=True)
        print(count(), len(text[0]), len(copies))
        try:
            codec.pack(s, [numpy.zeros(10_000), (n for n in "")])
        except TypeError:
            print(count())
    """)
    assert (done.stdout, done.stderr) == ("1 [7 7]\n0\n0 100000 10000\n0\n", "")


def test_copies_when_asked_for():
    """What may be handed out a second time is not changed by the first who gets it."""
    head, block = codec.pack(session.current(), np.zeros(100_000))
    first = codec.unpack(head, block, copied=True)
    first += 1
    assert first.flags.writeable
    assert not codec.unpack(head, block).any()


@pytest.mark.parametrize(
    "item",
    [
        "x" * 100_000,
        [b"x" * 1_000_000, 1],
        [np.arange(3)] * 4_000 + [np.arange(n) for n in range(400)],
        [np.full(n, n) for n in range(2_000)],
        [np.arange(20), "x" * 100_000, np.arange(100_000)],
        {"many": list(range(20_000)), "array": array.array("d", [1.5] * 9_000)},
    ],
    ids=["long text", "long bytes inside", "many small arrays", "many arrays", "long pickle and arrays", "long list"],
)
def test_long_pickles_and_many_buffers(item):
    """A head is never longer than a record may be; the rest goes into the block."""
    got, in_block = there_and_back(item)
    assert in_block
    np.testing.assert_equal(got, item)


@pytest.mark.parametrize("size", [codec.INLINE + more for more in (-100, -60, -40, -20, -3, -2, -1, 0, 1)])
def test_around_the_limit(size):
    """Pickles and buffers of nearly the size that fits."""
    for item in ([b"x" * size], bytearray(size), np.zeros(size, "b"), [np.zeros(size - 255, "b"), np.zeros(255, "b")]):
        got, _ = there_and_back(item)
        np.testing.assert_equal(got, item)


@given(st.lists(st.tuples(st.integers(0, 700) | st.integers(0, 40_000), st.booleans()), max_size=12))
def test_buffers_of_any_sizes(sizes):
    """Any mixture of long and short, writable and read-only buffers."""
    made = [bytes([n % 251]) * size for n, (size, _) in enumerate(sizes)]
    sent = [pickle.PickleBuffer(bytearray(b) if w else b) for b, (_, w) in zip(made, sizes, strict=True)]
    got, _ = there_and_back(sent)
    assert [bytes(part) for part in got] == made
    assert [not memoryview(part).readonly for part in got] == [w for _, w in sizes]


def test_in_another_process(run_python):
    """The payload is read where it lies, by a process that knows nothing but the two handles."""
    done = run_python("""
        import multiprocessing, numpy
        from holdfast.channels import codec
        from holdfast.core import _native, handles, session

        def child(head, end, identity, uid, offset, block_uid):
            block = _native.Block(session.attach(identity), (offset, block_uid))
            array = codec.unpack(head, block)
            end.send(int(array.sum()))
            array[0] = 7
            end.send(None)

        if __name__ == "__main__":
            context = multiprocessing.get_context("spawn")
            s = session.current()
            head, block = codec.pack(s, numpy.ones(100_000, "q"))
            mine, theirs = context.Pipe()
            args = head, theirs, session.identity(s), s.uid, block.offset, block.uid
            process = context.Process(target=child, args=args)
            process.start()
            print(mine.recv(), mine.recv(), codec.unpack(head, block)[0])
            process.join()
    """)
    assert (done.stdout, done.stderr) == ("100000 None 7\n", "")


# -------------------------------------------------------------------------------------------------- what cannot travel


def test_what_pickle_refuses_and_cloudpickle_takes():
    """Lambdas and local functions travel by value, with the arrays in them beside."""
    weights = np.ones(50_000)
    got, in_block = there_and_back([lambda x: x + 1, functools.partial(lambda a, x: a[x], weights)])
    assert in_block
    assert (got[0](1), got[1](5)) == (2, 1.0)


def test_the_part_that_cannot_be_pickled_is_named():
    """The message leads to the object to change, gives pickle's own words, and says what to do."""
    words = r"item cannot be put or sent: item\['rows'\]\[1\] is of type _thread.lock, which .* \(cannot .*local=True"
    with pytest.raises(errors.NotPicklable, match=words) as raised:
        codec.pack(session.current(), {"rows": [np.zeros(9_000), threading.Lock()]})
    assert isinstance(raised.value, TypeError)
    assert isinstance(raised.value.__cause__, TypeError)


def test_a_file_is_not_silently_made_a_copy_of_its_text(tmp_path):
    """As cloudpickle would; nor is a memoryview made bytes. What is by value, but itself, travels."""
    (tmp_path / "text").write_text("words")
    with (tmp_path / "text").open() as file, pytest.raises(errors.NotPicklable, match="TextIOWrapper"):
        Queue().put({"log": file})
    with pytest.raises(errors.NotPicklable, match="memoryview"):
        Queue().put([memoryview(b"bytes")])
    queue = Queue()
    queue.put(lambda: 5)
    assert queue.get()() == 5


class Failing:
    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


def test_an_item_that_fails_by_itself_is_named():
    """Whatever its __reduce__ raises is a reason; running out of memory is none."""
    with pytest.raises(errors.NotPicklable, match=r"item\[0\] is of type .*Failing, .*pickled \(seven\)"):
        codec.pack(session.current(), [Failing(ValueError("seven"))])
    with pytest.raises(MemoryError):
        codec.pack(session.current(), [Failing(MemoryError())])
    with pytest.raises(KeyboardInterrupt):
        codec.pack(session.current(), [Failing(KeyboardInterrupt())])


def test_a_buffer_with_gaps_is_refused():
    """Pickle has no form for it; an array with gaps is pickled as a copy."""
    with pytest.raises(errors.NotPicklable, match=r"PickleBuffer, which cannot be pickled .*non-contiguous"):
        codec.pack(session.current(), pickle.PickleBuffer(memoryview(bytearray(90_000))[::2]))
    assert there_and_back(np.arange(90_000)[::2])[0][1] == 2


def test_shared_memory_is_full(monkeypatch):
    """MemoryError, with the size and what to do."""

    def full(_session, _where, nbytes, _zero):
        raise MemoryError(f"no shared memory left for {nbytes} bytes: the memory file system is full")

    monkeypatch.setattr(codec._native, "Block", full)
    with pytest.raises(
        MemoryError, match=r"item cannot be put: no shared memory left for its 800000 bytes; .*max_bytes="
    ):
        codec.pack(session.current(), np.zeros(100_000))
