"""`holdfast.share`: arrays and bytes that are handed over without a copy."""

from __future__ import annotations

import array
import copy
import multiprocessing
import pickle
import sys

import numpy as np
import pytest
from tests.shared import targets

import holdfast
from holdfast import share

DTYPES = ["u1", "i8", "f2", "f8", "c16", "?", "S5", "U3", "M8[us]", "m8[s]", ">i4", "V3", [("a", "i4"), ("b", "f8", 2)]]


def filled(dtype, shape=(4, 6)):
    """An array of that type with different bytes everywhere."""
    made = np.zeros(shape, dtype)
    count = made.nbytes
    made.reshape(-1).view("u1")[:] = np.arange(count) % 2 if dtype in ("?", "U3") else np.arange(count) % 50
    return made


def same(one, other):
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


# ---------------------------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_without_objects(dtype):
    """Type, shape and content stay; the pickle is small and comes home to the same memory."""
    made = filled(dtype)
    shared = share(made)
    assert isinstance(shared, np.ndarray)
    assert same(shared, made)
    assert not np.shares_memory(shared, made)
    again = pickle.loads(pickle.dumps(shared))
    assert same(again, made)
    assert np.shares_memory(again, shared)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0, 2), (2, 3, 4)])
def test_every_shape(shape):
    """Scalars, empty arrays and many dimensions."""
    made = filled("i4", shape)
    again = pickle.loads(pickle.dumps(share(made)))
    assert same(again, made)
    assert again.flags.c_contiguous


def test_orders():
    """C and Fortran order are kept; what has gaps is put together in C order."""
    made = filled("i4")
    assert share(made).strides == made.strides
    fortran = share(np.asfortranarray(made))
    assert fortran.flags.f_contiguous
    assert same(fortran, made)
    gaps = share(made[::2, ::-1])
    assert gaps.flags.c_contiguous
    assert same(gaps, made[::2, ::-1])


@pytest.mark.parametrize(
    "cut",
    [
        lambda a: a[1:],
        lambda a: a[2],
        lambda a: a[::2, ::-1],
        lambda a: a.T,
        lambda a: a[:, 1:3],
        lambda a: a.reshape(-1),
        lambda a: a.view("u1"),
        lambda a: a[None, ..., 3],
        lambda a: a[0:0],
    ],
)
def test_views_pickle_by_place(cut):
    """Slices and other views pickle in O(1) and arrive as the same memory with the same strides."""
    shared = share(filled("i4", (200, 100)))
    view = cut(shared)
    data = pickle.dumps(view)
    assert len(data) < 500
    again = pickle.loads(data)
    assert same(again, view)
    assert again.size == 0 or again.strides == view.strides
    assert again.size == 0 or np.shares_memory(again, shared)


def test_copies_and_results_are_private():
    """Copies pickle by value; what is computed is a plain array or scalar; in-place operations stay in place."""
    shared = share(np.arange(6.0))
    for private in (shared.copy(), copy.copy(shared), copy.deepcopy(shared), shared[[1, 2]]):
        assert not np.shares_memory(private, shared)
        again = pickle.loads(pickle.dumps(private))
        assert type(again) is np.ndarray
        assert same(again, private)
    assert type(shared + 1) is type(np.sqrt(shared)) is type(1 - shared) is np.ndarray
    assert type(shared.sum()) is type(shared.max()) is np.float64
    assert type(shared.reshape(2, 3).sum(axis=0)) is np.ndarray
    before = shared
    shared += 1
    np.multiply(shared, 2, out=shared)
    assert shared is before
    assert shared.tolist() == [2, 4, 6, 8, 10, 12]


def test_arrays_are_aligned():
    """Elements begin at a multiple of 64 bytes."""
    for size in (1, 100, 10_000, 1_000_000):
        assert share(np.zeros(size)).__array_interface__["data"][0] % 64 == 0


def test_what_cannot_be_shared_says_what_to_do():
    """Arrays of Python objects and masked arrays are refused with advice."""
    for made in (np.array([{}]), np.zeros(2, [("a", "O")])):
        with pytest.raises(TypeError, match="astype"):
            share(made)
    with pytest.raises(TypeError, match=r"\.mask"):
        share(np.ma.array([1, 2], mask=[0, 1]))


def test_writable_is_as_it_was_unless_asked():
    """By default as the source; ``writable=`` decides, here and where it arrives."""
    made = np.arange(4)
    assert share(made).flags.writeable
    frozen = share(made, writable=False)
    assert not frozen.flags.writeable
    assert not pickle.loads(pickle.dumps(frozen)).flags.writeable
    made.flags.writeable = False
    assert not share(made).flags.writeable
    assert share(made, writable=True).flags.writeable


@pytest.mark.parametrize("arrived", [False, True], ids=["here", "there"])
def test_a_read_only_array_stays_so(arrived):
    """Whether made here or unpickled, neither share(writable=True) nor setflags opens it, nor a view of it."""
    frozen = share(np.arange(24).reshape(4, 6), writable=False)
    if arrived:
        frozen = pickle.loads(pickle.dumps(frozen))
    for view in (frozen, frozen[::-1, 2:], frozen.T, np.asarray(frozen), frozen[:0]):
        with pytest.raises(ValueError, match="read-only"):
            share(view, writable=True)
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.setflags(write=True)
        again = pickle.loads(pickle.dumps(share(view)))
        assert same(again, view)
        assert not again.flags.writeable
    assert share(frozen) is frozen


def test_a_read_only_view_of_a_writable_array():
    """It is the same memory, at the same place and in the same order, and sees what is written to the other."""
    shared = share(np.arange(24).reshape(4, 6))
    for cut in (shared, shared[::-1, ::2], shared.T, shared[1:1]):
        frozen = share(cut, writable=False)
        assert same(frozen, cut)
        assert frozen.strides == cut.strides
        shared += 1
        assert same(frozen, cut)
        with pytest.raises(ValueError, match="WRITEABLE"):
            frozen.setflags(write=True)


def test_shared_stays_as_it_is():
    """Sharing again copies nothing; a plain view of a shared array is shared by place."""
    shared = share(np.arange(10))
    assert share(shared) is shared
    assert np.shares_memory(share(shared[2:]), shared)
    plain = np.asarray(shared)[3:]
    assert np.shares_memory(share(plain), shared)
    assert len(pickle.dumps(share(plain))) < 500
    frozen = share(shared, writable=False)
    assert np.shares_memory(frozen, shared)
    assert shared.flags.writeable
    value, made = holdfast.Value("i"), holdfast.Array("i", 3)
    assert share(value) is value
    assert share(made) is made


def test_a_write_elsewhere_is_seen_here(call_in):
    """Another process writes into the same array, and into a slice of it."""
    shared = share(np.zeros(10))
    assert call_in(targets.write, shared, 3, 1.5) == ("SharedArray", True)
    call_in(targets.write, shared[5:], 0, 2.5)
    assert shared.tolist() == [0, 0, 0, 1.5, 0, 2.5, 0, 0, 0, 0]


def test_it_comes_back(call_in):
    """Through another process and back it is the same memory."""
    shared = share(np.arange(10))
    assert np.shares_memory(call_in(targets.hand_back, shared), shared)


# ----------------------------------------------------------------------------------------------------- bytes


@pytest.mark.parametrize(
    "source",
    [
        b"hello world",
        bytearray(b"hello world"),
        memoryview(b"hello world"),
        array.array("B", b"hello world"),
        memoryview(b"h.e.l.l.o. .w.o.r.l.d.")[::2],
    ],
    ids=["bytes", "bytearray", "memoryview", "array", "strided"],
)
def test_bytes_like_objects(source):
    """Sized, indexable, sliceable, comparable, a buffer; read-only if the source is."""
    shared = share(source)
    assert (len(shared), shared[0], shared[-1], shared.nbytes) == (11, ord("h"), ord("d"), 11)
    assert shared == b"hello world" == bytes(shared) == shared.tobytes()
    assert b"hello world" == shared != b"hello"
    assert (shared[2:5] == b"llo", shared[5:2] == b"", bytes(shared[::-1]), ord("w") in shared) == (
        True,
        True,
        b"dlrow olleh",
        True,
    )
    assert list(shared[:3]) == list(b"hel")
    assert shared.readonly == memoryview(source).readonly
    assert share(shared) is shared
    with pytest.raises(IndexError):
        shared[11]
    with pytest.raises(TypeError):
        hash(shared)


def test_bytes_pickle_by_place(call_in):
    """The whole and slices pickle in O(1); another process reads the same bytes."""
    shared = share(bytes(range(256)) * 1000)
    part = shared[1000:][24:40]
    for each in (shared, part, shared[3:3]):
        data = pickle.dumps(each)
        assert len(data) < 300
        assert pickle.loads(data) == each
    assert call_in(targets.content, part) == bytes(part) == (bytes(range(256)) * 5)[1024:1040]


def test_writable_bytes_are_the_same_everywhere(call_in):
    """A write in a slice is a write in the whole; read-only ones refuse it."""
    shared = share(bytearray(8))
    shared[2:6][1] = 7
    shared[6:8] = b"xy"
    assert shared == b"\0\0\0\7\0\0xy"
    again = pickle.loads(pickle.dumps(shared))
    again[0] = 1
    assert shared[0] == 1
    for frozen in (share(b"abc"), share(shared, writable=False), pickle.loads(pickle.dumps(share(b"abc")))):
        with pytest.raises(TypeError):
            frozen[0] = 1
        if sys.version_info >= (3, 12):
            assert memoryview(frozen).readonly
    with pytest.raises(ValueError, match="read-only"):
        share(share(b"abc"), writable=True)
    assert not share(b"abc", writable=True).readonly


def test_other_code_takes_them_as_buffers(tmp_path):
    """Files, numpy and memoryview read them without a copy."""
    shared = share(bytearray(b"abcdefgh"))
    (tmp_path / "file").write_bytes(shared)
    assert (tmp_path / "file").read_bytes() == b"abcdefgh"
    view = np.frombuffer(shared, "u1")
    shared[0] = 0
    assert view[0] == 0
    assert bytes(memoryview(shared).cast("B")[1:3]) == b"bc"


def test_buffers_of_numbers_are_shared_as_their_bytes():
    """An ``array.array`` of numbers is its bytes."""
    numbers = array.array("i", [1, 2, 3])
    shared = share(numbers)
    assert shared == numbers.tobytes()
    assert memoryview(shared).cast("B").cast("i").tolist() == [1, 2, 3]


def test_other_objects_are_refused():
    """What is no buffer is a TypeError that says what to use."""
    for thing in (3, "text", [1, 2], None):
        with pytest.raises(TypeError, match=r"pickle\.dumps"):
            share(thing)


def test_numpy_is_not_imported_for_bytes(run_python):
    """Sharing bytes in a fresh interpreter does not import NumPy."""
    done = run_python(
        """
        import sys
        import holdfast
        holdfast.share(b"abc")
        print("numpy" in sys.modules)
        """
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


# ---------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize(
    "make",
    [
        lambda: share(np.zeros(100)),
        lambda: share(np.zeros(100))[3:],
        lambda: share(np.zeros((9, 9)))[::2, ::2],
        lambda: share(b"abc"),
        lambda: share(bytearray(200))[3:9],
        lambda: memoryview(share(b"abc")),
        lambda: pickle.loads(pickle.dumps(share(np.zeros(100))[3:])),
        lambda: pickle.loads(pickle.dumps(share(b"abc")[1:])),
        lambda: share(np.zeros(9)) + 1,
        lambda: share(b"abc") == b"abc",
        lambda: np.asarray(share(np.zeros(9))),
    ],
)
def test_what_is_dropped_is_given_back(make, blocks):
    """A thousand shared objects, of every kind and used in every way, leave no block behind."""
    make()
    before = blocks()
    for _ in range(1000):
        make()
    assert blocks(before) <= before


def test_a_view_keeps_the_memory(blocks):
    """A slice, and a plain array over it, keep the block; nothing else does."""
    before = blocks()
    view = np.asarray(share(np.arange(1000))[10:20])
    part = share(b"hello")[1:3]
    assert (view.tolist(), part) == (list(range(10, 20)), b"el")
    assert blocks() == before + 2
    del view, part
    assert blocks(before) <= before


def test_the_memory_goes_with_the_last_process(blocks):
    """A process killed while it reads does not keep the memory, and does not take it from the others."""
    before = blocks()
    shared, started = share(np.zeros(1000)), holdfast.Event()
    process = multiprocessing.get_context("fork").Process(target=targets.read_for_ever, args=(shared, started))
    process.start()
    assert started.wait(60)
    process.kill()
    process.join()
    assert shared.sum() == 0
    del shared, started
    process.close()
    assert blocks(before) <= before
