"""Value and Array: numbers that all processes share. `+= 1` loses updates with multiprocessing, and not here."""

import multiprocessing

from holdfast import Array, Barrier, Process, Value

MANY = 100_000


def add_slowly(counter, start, times):
    start.wait()  # so that both processes are at it at the same time
    for _ in range(times):
        counter.value += 1  # two steps: read, store. Each is safe, both together are not.


def add(counter, start, times):
    start.wait()
    for _ in range(times):
        counter += 1  # one step in shared memory: holdfast.Value does it atomically, without a lock


def add_to_each(array, start, times):
    start.wait()
    for _ in range(times):
        with array.get_lock():  # the cells of an array are read and stored in two steps: take its lock
            for index in range(len(array)):
                array[index] += 1


def two(work, shared, start, times, kind=Process):
    processes = [kind(target=work, args=(shared, start, times)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    broken = multiprocessing.Value("i", 0)
    two(add_slowly, broken, multiprocessing.Barrier(2), MANY, kind=multiprocessing.Process)
    print(f"multiprocessing.Value, 2 x {MANY:,} times value += 1: {broken.value:,}")

    counter, start = Value("i", 0), Barrier(2)
    two(add, counter, start, MANY)
    print(f"holdfast.Value, 2 x {MANY:,} times += 1: {counter.value:,}")

    counter = Value("i", 0)
    two(add, counter, start, 100)
    print(f"holdfast.Value, 2 x 100 times += 1: {counter.value}")

    array = Array("i", 5)
    two(add_to_each, array, start, 100)
    print(f"holdfast.Array under its lock, 2 x 100 times += 1 in each cell: {array[:]}")
