"""Functions and classes that run in other processes; importable there by name."""

from __future__ import annotations

import ctypes
import os
import signal
import threading

import holdfast


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_double)]

    def far(self):
        return self.x * self.x + self.y * self.y


class Named(ctypes.Structure):
    _fields_ = [("tag", ctypes.c_char * 8), ("at", Point)]


class Handler(holdfast.Local):
    def __init__(self, name, size=1):
        self.name = name
        self.log = [None] * size


def call(pipe, function, args):
    try:
        pipe.send((True, function(*args)))
    except BaseException as error:
        pipe.send((False, error))
    pipe.close()


def add_ones(value, times):
    for _ in range(times):
        value += 1


def add_ones_under_the_lock(value, times):
    for _ in range(times):
        with value.get_lock():
            value.value += 1


def add_to_elements(array, times):
    for _ in range(times):
        with array.get_lock():
            array[0] += 1


def add_for_ever(value, started):
    started.set()
    while True:
        value.add(1)


def hold_for_ever(value, started):
    value.get_lock().acquire()
    started.set()
    os.kill(os.getpid(), signal.SIGSTOP)


def read_for_ever(array, started):
    started.set()
    while True:
        array.sum()


def double(thing):
    thing.x *= 2
    thing.y *= 2
    return thing.far()


def change(array):
    array[1] = 77
    return list(array)


def content(thing):
    return bytes(thing)


def write(array, index, item):
    array[index] = item
    return type(array).__name__, array.flags.writeable


def hand_back(thing):
    return thing


def lock_place(thing):
    return thing.get_lock().offset, thing.get_lock().uid


def use_local(local, path):
    """Set an attribute and let the hook, which is ``note_pid``, write at the end of the process."""
    local.path = path
    return threading.current_thread().name


def note_pid(holder):
    with open(holder.path, "a") as file:
        file.write(f"{os.getpid()}\n")
