"""`holdfast.Array`: elements, slices, the buffer, the lock."""

from __future__ import annotations

import array
import ctypes
import multiprocessing
import pickle
import sys
import threading

import numpy as np
import pytest
from tests.shared import targets

import holdfast
from holdfast import Array

NUMBERS = "bBhHiIlLqQfd"


@pytest.fixture(params=[True, False], ids=["locked", "raw"])
def lock(request):
    return request.param


# -------------------------------------------------------------------------------------------------- elements


@pytest.mark.parametrize("code", NUMBERS)
def test_elements_and_slices(code, lock):
    """Elements, negative indices, slices with and without a step, and iteration work as in multiprocessing."""
    ours, theirs = (kind(code, range(10), lock=lock) for kind in (Array, multiprocessing.Array))
    for each in (ours, theirs):
        each[2] = 42
        each[-1] = 43
        each[4:8] = array.array(code, [1, 2, 3, 4])
        each[0:2] = [7, 8]
    assert len(ours) == len(theirs) == 10
    assert list(ours) == list(theirs) == ours[:] == theirs[:]
    assert (ours[-1], ours[2:7], ours[::3], ours[::-1]) == (theirs[-1], theirs[2:7], theirs[::3], theirs[::-1])
    ours[::2] = range(5)
    assert ours[::2] == [0, 1, 2, 3, 4]
    ours[:] = memoryview(array.array(code, range(10)))
    assert ours[:] == list(range(10))


@pytest.mark.parametrize("code", NUMBERS)
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_bytes_are_numbers(code, kind, lock):
    """Bytes, as the initializer or assigned to a slice, are one number per element, as in multiprocessing."""
    ours, theirs = (make(code, kind(b"abcd"), lock=lock) for make in (Array, multiprocessing.Array))
    assert ours[:] == theirs[:] == [97, 98, 99, 100]
    for each in (ours, theirs):
        each[0:2] = kind(b"xy")
        each[::-2] = kind(b"pq")
    assert ours[:] == theirs[:]
    with pytest.raises(ValueError, match="cannot take 8"):
        ours[:] = kind(bytes(8))


def test_an_array_made_from_a_size_is_zero(lock):
    """Also in memory that was used before."""
    for _ in range(20):
        made = Array("q", 5000, lock=lock)
        assert not any(made)
        made[:] = array.array("q", [-1]) * 5000


def test_indices_and_sizes_that_do_not_fit(lock):
    """The standard library's exceptions, and nothing is changed."""
    made = Array("i", [1, 2, 3], lock=lock)
    for index in (3, -4):
        with pytest.raises(IndexError):
            made[index]
        with pytest.raises(IndexError):
            made[index] = 0
    with pytest.raises(ValueError, match="2 elements cannot take 3"):
        made[:2] = [7, 8, 9]
    assert made[:] == [1, 2, 3]


@pytest.mark.parametrize(
    ("size", "error"),
    [
        (-1, ValueError),
        (1 << 62, OverflowError),
        (1 << 45, MemoryError),
        (1.5, TypeError),
        (iter([1]), TypeError),
    ],
)
def test_sizes_that_cannot_be(size, error):
    """Negative, beyond the address space, beyond the memory, and not a size at all."""
    with pytest.raises(error):
        Array("i", size)


@pytest.mark.parametrize("code", "bBhHiIlLqQ")
def test_numbers_that_do_not_fit(code, lock):
    """OverflowError names the value and the typecode, and nothing is changed."""
    made = Array(code, [1, 2, 3], lock=lock)
    name = made._holdfast_view.format
    with pytest.raises(OverflowError, match=f"{1 << 70} does not fit typecode '{name}'"):
        made[1] = 1 << 70
    with pytest.raises(OverflowError, match=f"{-(1 << 70)} does not fit typecode '{name}'"):
        made[0:2] = [9, -(1 << 70)]
    with pytest.raises(OverflowError, match=f"{1 << 70} does not fit typecode"):
        Array(code, [1, 1 << 70], lock=lock)
    assert made[:] == [1, 2, 3]


def test_elements_of_the_wrong_type(lock):
    """Text in an array of numbers is a TypeError that names it."""
    made = Array("i", 3, lock=lock)
    with pytest.raises(TypeError, match="'x' is not a number for typecode 'i'"):
        made[0] = "x"
    with pytest.raises(TypeError):
        made[0:2] = ["x", "y"]
    with pytest.raises(TypeError, match="unknown typecode 'z'"):
        Array("z", 3)
    assert made[:] == [0, 0, 0]


def test_characters_have_value_and_raw(lock):
    """Arrays of 'c' and 'u' have ``.value`` up to the first NUL, 'c' also ``.raw``."""
    text = Array("c", 20, lock=lock)
    text.value = b"hello"
    assert (text.value, text.raw, len(text)) == (b"hello", b"hello" + bytes(15), 20)
    text.value = b"hi"
    assert (text.value, text.raw[:6], text[0], text[:2]) == (b"hi", b"hi\0lo\0", b"h", b"hi")
    text[0] = b"H"
    text.raw = b"x" * 20
    assert text.value == b"x" * 20
    with pytest.raises(ValueError, match="too long"):
        text.value = b"y" * 21
    wide = Array("u", 5, lock=lock)
    wide.value = "été"
    assert wide.value == "été"
    assert Array("c", b"abc", lock=lock).raw == b"abc"


def test_elements_may_be_structures(lock, call_in):
    """The elements are in the array, not copies; another process changes the same ones."""
    made = Array(targets.Point, [(1, 2.0), (3, 4.0)], lock=lock)
    made[1].x = 30
    assert [(each.x, each.y) for each in made] == [(1, 2.0), (30, 4.0)]
    assert pickle.loads(pickle.dumps(made)) is made
    assert Array(ctypes.c_bool, [True, False, True], lock=lock)[:] == [True, False, True]


# ------------------------------------------------------------------------------------------------ the buffer


@pytest.mark.parametrize("code", NUMBERS)
def test_numpy_sees_the_array_itself(code, lock):
    """``numpy.asarray`` and ``frombuffer`` copy nothing and know the type."""
    made = Array(code, [1, 2, 3], lock=lock)
    view = np.asarray(made)
    assert view.dtype == np.dtype(type(made)._type_)
    assert (view.shape, view.tolist()) == ((3,), [1, 2, 3])
    view[0] = 9
    assert made[0] == 9
    again = np.frombuffer(made, view.dtype)
    assert np.shares_memory(view, again)
    assert view.__array_interface__["data"] == (ctypes.addressof(made.get_obj() if lock else made), False)


def test_memoryview_sees_the_array_itself(lock):
    """A memoryview has its size and its type; from 3.12 on Python can read the elements through it."""
    made = Array("i", [1, 2, 3], lock=lock)
    view = memoryview(made)
    assert (view.nbytes, view.itemsize, view.shape, view.readonly) == (12, 4, (3,), False)
    numbers = view.cast("B").cast("i")
    numbers[1] = 20
    assert made[1] == 20
    if sys.version_info >= (3, 12):
        assert (view.format, view[1]) == ("i", 20)


def test_a_view_keeps_the_memory(blocks):
    """What is made over the array keeps its memory alive, and gives it back."""
    before = blocks()
    view = np.asarray(Array("d", [1.5] * 1000))
    inner = Array("d", [2.5]).get_obj()
    assert (view.sum(), inner[0]) == (1500.0, 2.5)
    assert blocks() > before
    del view, inner
    assert blocks(before) <= before


# --------------------------------------------------------------------------------------- locks and processes


def test_locks_as_with_values():
    """A given lock is used, False gives an object without one, anything else is refused."""
    lock = holdfast.Lock()
    assert Array("i", 3, lock=lock).get_lock() is lock
    assert isinstance(Array("i", 3).get_lock(), holdfast.RLock)
    bare = Array("i", 3, lock=False)
    assert not hasattr(bare, "get_lock")
    assert not hasattr(bare, "get_obj")
    with pytest.raises(AttributeError, match="'no lock' has no method 'acquire'"):
        Array("i", 3, lock="no lock")


def test_an_element_waits_for_the_lock():
    """Who reads while another holds the lock sees what that one left."""
    made = Array("i", [1, 2])
    reading, seen = threading.Event(), []

    def read():
        reading.set()
        seen.append(made[:])

    with made.get_lock():
        thread = threading.Thread(target=read)
        thread.start()
        reading.wait()
        made[0], made[1] = made[1], made[0]
        made[:] = [8, 9]
    thread.join()
    assert seen == [[8, 9]]


def test_other_processes_change_the_same_elements(call_in, lock):
    """What another process writes is seen here."""
    made = Array("i", [1, 2, 3], lock=lock)
    assert call_in(targets.change, made) == [1, 77, 3]
    assert made[:] == [1, 77, 3]


def test_processes_lose_no_addition_under_the_lock(context):
    """Two processes with 5,000 additions to one element under the lock are 10,000."""
    made = Array("i", 1)
    processes = [context.Process(target=targets.add_to_elements, args=(made, 5000)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert made[0] == 10_000


def test_pickles_do_not_grow_with_the_array(lock):
    """A pickle says where the array is; at home it is the same object."""
    large = Array("d", 1_000_000, lock=lock)
    data = pickle.dumps(large)
    assert len(data) < 500
    assert pickle.loads(data) is large


@pytest.mark.parametrize(
    "make",
    [
        lambda: Array("i", 10),
        lambda: Array("i", [1, 2, 3], lock=False),
        lambda: Array("c", b"abc"),
        lambda: Array(targets.Point, 2)[0],
        lambda: pickle.loads(pickle.dumps(Array("i", 3))),
        lambda: memoryview(Array("i", 3)),
        lambda: np.asarray(Array("i", 3)),
        lambda: Array("i", 3)[:],
        lambda: repr(Array("i", 3)),
    ],
)
def test_what_is_dropped_is_given_back(make, blocks):
    """A thousand arrays, of every kind and used in every way, leave no block behind."""
    make()
    before = blocks()
    for _ in range(1000):
        make()
    assert blocks(before) <= before
