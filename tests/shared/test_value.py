"""`holdfast.Value`: numbers that are atomic without a lock, and ctypes objects beside them."""

from __future__ import annotations

import copy
import ctypes
import multiprocessing
import os
import pickle
import signal
import threading

import pytest
from tests.shared import targets

import holdfast
from holdfast import AbandonedWarning, RLock, Value
from holdfast.core import _native

WHOLE = "bBhHiIlLqQ"
LIMITS = {
    code: (0 if code.isupper() else -(1 << 8 * ctypes.sizeof(type_) - 1), type_)
    for code, type_ in {
        "b": ctypes.c_byte,
        "B": ctypes.c_ubyte,
        "h": ctypes.c_short,
        "H": ctypes.c_ushort,
        "i": ctypes.c_int,
        "I": ctypes.c_uint,
        "l": ctypes.c_long,
        "L": ctypes.c_ulong,
        "q": ctypes.c_longlong,
        "Q": ctypes.c_ulonglong,
    }.items()
}


def limits(code):
    low, type_ = LIMITS[code]
    return low, low + (1 << 8 * ctypes.sizeof(type_)) - 1


# ----------------------------------------------------------------------------------------------------- kinds


@pytest.mark.parametrize("code", WHOLE)
def test_whole_numbers_reach_their_limits_and_no_further(code):
    """Each typecode holds its whole range; beyond it OverflowError names value and typecode, and nothing changes."""
    low, high = limits(code)
    value = Value(code, low)
    value.value = high
    for beyond in (high + 1, low - 1, 1 << 100, -(1 << 100)):
        with pytest.raises(OverflowError, match=f"{beyond} does not fit typecode '{code}'"):
            value.value = beyond
        with pytest.raises(OverflowError, match=f"{beyond} .*'{code}'"):
            Value(code, beyond)
    with pytest.raises(OverflowError, match=f"'{code}'"):
        value += 1
    assert value.value == high


@pytest.mark.parametrize(("code", "tolerance"), [("f", 1e-6), ("d", 0)])
def test_real_numbers(code, tolerance):
    """Reals add, compare and exchange like whole numbers; their bits cannot be combined."""
    value = Value(code, 0.1)
    value += 0.2
    assert value.value == pytest.approx(0.1 + 0.2, abs=tolerance)
    assert (value.max(5), value.min(1.5), value.exchange(2)) == (5.0, 1.5, 1.5)
    with pytest.raises(TypeError, match="whole"):
        value &= 1


def test_a_float_too_large_for_f_is_refused():
    """'f' refuses what would become infinite."""
    with pytest.raises(OverflowError, match="1e\\+300 does not fit typecode 'f'"):
        Value("f", 1e300)


@pytest.mark.parametrize(
    "name",
    "c_bool c_byte c_ubyte c_short c_ushort c_int c_uint c_long c_ulong c_longlong c_ulonglong "
    "c_int8 c_uint8 c_int16 c_uint16 c_int32 c_uint32 c_int64 c_uint64 c_size_t c_ssize_t c_float "
    "c_double".split(),
)
def test_every_ctypes_number(name):
    """Every scalar type of ctypes is a number with atomic operations, over memory that the type itself can read."""
    type_ = getattr(ctypes, name)
    value = Value(type_, 1)
    assert isinstance(value, Value)
    assert value.value == 1
    assert type(value.get_obj()) is type_
    assert value.get_obj().value == 1
    value.get_obj().value = 0
    assert value.value == 0


@pytest.mark.parametrize(
    ("type_", "first", "second"),
    [
        ("c", b"x", b"y"),
        ("u", "é", "ü"),
        (ctypes.c_longdouble, 1.5, 2.5),
        (ctypes.c_int.__ctype_be__, 1, 258),
    ],
)
@pytest.mark.parametrize("lock", [True, False])
def test_other_scalars_have_a_value(type_, first, second, lock):
    """Characters and types that are not plain numbers are ctypes objects with a ``.value``."""
    value = Value(type_, first, lock=lock)
    assert value.value == first
    value.value = second
    assert value.value == second
    assert pickle.loads(pickle.dumps(value)) is value


@pytest.mark.parametrize("lock", [True, False])
def test_structures_keep_fields_and_methods(lock, call_in):
    """A structure has its fields and methods, also in another process; it starts as zeros."""
    point = Value(targets.Point, 3, 2, lock=lock)
    assert (point.x, point.y, point.far(), isinstance(point, targets.Point)) == (3, 2.0, 13.0, True)
    assert call_in(targets.double, point) == 52.0
    assert (point.x, point.y) == (6, 4.0)
    empty = Value(targets.Named, lock=lock)
    assert (empty.tag, empty.at.x, empty.at.y) == (b"", 0, 0.0)
    empty.at.x = 5
    assert empty.at.x == 5


def test_an_attribute_waits_for_the_lock():
    """Reading a field of a structure waits while another thread holds its lock, as in multiprocessing."""
    point = Value(targets.Point, 3, 2)
    reading, seen = threading.Event(), []

    def read():
        reading.set()
        seen.append(point.x)

    with point.get_lock():
        thread = threading.Thread(target=read)
        thread.start()
        reading.wait()
        point.x = 4
    thread.join()
    assert seen == [4]


def test_an_array_type_gives_an_array():
    """A ctypes array type is a type of fixed size like any other."""
    value = Value(ctypes.c_int * 3, 1, 2, 3)
    assert isinstance(value, holdfast.Array)
    assert value[:] == [1, 2, 3]


# ----------------------------------------------------------------------------------------------- wrong use


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("z",), "'z'"),
        (("ii",), "'ii'"),
        ((int,), "int"),
        (([],), r"\[\]"),
        ((None,), "None"),
        ((ctypes.py_object,), "py_object"),
        ((ctypes.Structure,), "Structure"),
    ],
)
def test_an_unknown_type_is_named(args, named):
    """What is neither a typecode nor a type of ctypes with a size raises TypeError that names it."""
    with pytest.raises(TypeError, match=named):
        Value(*args)


def test_a_value_of_the_wrong_type_is_refused():
    """Text for a number is a TypeError; so is a fraction for a whole number, and a second value."""
    for args in (("i", "5"), ("i", 1.5), ("d", "x"), ("i", 1, 2)):
        with pytest.raises(TypeError):
            Value(*args)
    value = Value("i")
    with pytest.raises(TypeError):
        value.value = "5"
    with pytest.raises(TypeError):
        value += "5"
    assert value.value == 0


# ----------------------------------------------------------------------------------------------- operations


def test_every_operation_gives_what_it_says():
    """add, max, min give the new number, exchange the old one, compare_exchange whether it was the expected one."""
    value = Value("q", 10)
    same = value
    assert (value.add(5), value.add(-1), value.max(20), value.max(1), value.min(7), value.min(9)) == (
        15,
        14,
        20,
        20,
        7,
        7,
    )
    assert (value.exchange(12), value.compare_exchange(7, 0), value.compare_exchange(12, 0b1100)) == (7, False, True)
    value += 3
    value -= 1
    value &= 0b0110
    value |= 0b1000
    value ^= 0b1111
    assert (value.value, value.get()) == (1, 1)
    value.set(5)
    assert value.value == 5
    assert value is same


def test_operations_are_the_compiled_ones():
    """No Python code lies between ``add`` and the atomic instruction."""
    assert Value.add is _native.Cell.add
    assert Value.value is _native.Cell.value
    assert Value.__iadd__ is _native.Cell.__iadd__


def test_threads_lose_no_addition():
    """Four threads that add without a lock lose nothing."""
    value = Value("i")
    threads = [threading.Thread(target=targets.add_ones, args=(value, 5000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value.value == 20_000


@pytest.mark.parametrize("add", [targets.add_ones, targets.add_ones_under_the_lock])
def test_processes_lose_no_addition(context, add):
    """Two processes that add at once, by ``+=`` without a lock or by ``.value +=`` under it, lose nothing."""
    value = Value("i")
    processes = [context.Process(target=add, args=(value, 20_000)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert value.value == 40_000


def test_a_killed_adder_leaves_a_number():
    """A process killed while it adds leaves a whole number of additions; the value goes on working."""
    value, started = Value("q"), holdfast.Event()
    process = multiprocessing.get_context("fork").Process(target=targets.add_for_ever, args=(value, started))
    process.start()
    assert started.wait(60)
    seen = value.value
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    left = value.value
    assert left >= seen >= 0
    assert value.add(1) == left + 1


# ----------------------------------------------------------------------------------------------------- locks


def test_its_own_lock_is_a_recursive_one():
    """``lock=True`` and ``None`` give an RLock, always the same; the value acquires and releases it."""
    for lock in (True, None):
        value = Value("i", lock=lock)
        assert isinstance(value.get_lock(), RLock)
        assert value.get_lock() is value.get_lock()
        assert value.acquire() is True
        with value:
            assert value.get_lock()._recursion_count() == 2
        value.release()
        assert value.acquire(False) is True
        assert value.acquire(timeout=1) is True
        value.release()
        value.release()


@pytest.mark.parametrize("code", ["i", "c", targets.Point])
def test_the_caller_may_choose_the_lock(code):
    """A given lock is used, False gives an object without one, anything else is refused."""
    for lock in (holdfast.Lock(), threading.Lock()):
        assert Value(code, lock=lock).get_lock() is lock
    bare = Value(code, lock=False)
    assert not hasattr(bare, "get_lock")
    assert not hasattr(bare, "get_obj")
    with pytest.raises(AttributeError, match="'no lock' has no method 'acquire'"):
        Value(code, lock="no lock")


@pytest.mark.parametrize("code", ["i", targets.Point])
def test_everybody_has_the_same_lock(code, call_in):
    """The lock is one and the same in every process, whoever uses it first."""
    value = Value(code)
    assert call_in(targets.lock_place, value) == targets.lock_place(value)


def test_the_next_one_hears_of_a_dead_holder(context):
    """A process killed with a value's lock: the parent, which never used it before, gets it and is told."""
    value, started = Value("i"), holdfast.Event()
    process = context.Process(target=targets.hold_for_ever, args=(value, started))
    process.start()
    assert started.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with pytest.warns(AbandonedWarning, match=str(process.pid)):
        assert value.acquire(timeout=60)
    value.release()


# --------------------------------------------------------------------------------------------------- pickles


@pytest.mark.parametrize(
    "make",
    [
        lambda: Value("i", 5),
        lambda: Value("i", 5, lock=False),
        lambda: Value("c", b"x"),
        lambda: Value(targets.Named, lock=False),
        lambda: Value(targets.Named),
    ],
)
def test_pickles_are_small_and_come_home(make):
    """A pickle says where the value is, not what it is; at home it is the same object, and so is a copy."""
    value = make()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(value, protocol)
        assert len(data) < 500
        assert pickle.loads(data) is value
    assert copy.copy(value) is value
    assert copy.deepcopy(value) is value


def test_a_value_outlives_its_maker_in_a_pickle(call_in):
    """A value that only a pickle stands for is there when the pickle arrives."""
    assert pickle.loads(pickle.dumps(Value("i", 7))).value == 7
    assert call_in(targets.hand_back, Value("i", 8)).value == 8


def test_repr_tells_type_and_number():
    """The representation says what it holds."""
    assert repr(Value("i", 5)).startswith("<holdfast.Value('i', 5) at 0x")
    assert repr(Value(targets.Point)).startswith("<holdfast.Value(Point) at 0x")


# ---------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize(
    "make",
    [
        lambda: Value("i", 5),
        lambda: Value("d", lock=False),
        lambda: Value("c", b"x"),
        lambda: Value(targets.Point),
        lambda: pickle.loads(pickle.dumps(Value("i"))),
        lambda: pickle.loads(pickle.dumps(Value(targets.Point))),
        lambda: Value("i").get_obj(),
        lambda: Value(targets.Point).get_obj(),
        lambda: repr(Value("i")),
    ],
)
def test_what_is_dropped_is_given_back(make, blocks):
    """A thousand values, of every kind and used in every way, leave no block behind."""
    make()
    before = blocks()
    for _ in range(1000):
        make()
    assert blocks(before) <= before


def test_ten_thousand_values_at_once(blocks):
    """10,000 values exist at once without a file each, and are given back."""
    before, files = blocks(), len(os.listdir("/proc/self/fd"))
    values = [Value("i", number) for number in range(10_000)]
    assert len(os.listdir("/proc/self/fd")) == files
    assert [value.value for value in values] == list(range(10_000))
    del values
    assert blocks(before) <= before
