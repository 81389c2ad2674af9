"""One queue, two producers: one squares numbers, the other negates them. Nothing is lost at exit, and nothing hangs.

A put of multiprocessing.Queue hands the item to a thread, and a process that ends waits for that thread, which waits
until somebody reads. Here the item is in shared memory when put returns: the process may end, or be killed.
"""

import multiprocessing
import os
import signal

from holdfast import Process, Queue

COUNT = 1000
UNREAD = bytes(200_000)


def square(queue):
    for number in range(1, COUNT + 1):
        queue.put(("squared", number * number))


def negate(queue):
    for number in range(1, COUNT + 1):
        queue.put(("negated", -number))


def put_and_be_killed(queue):
    queue.put("last words")
    os.kill(os.getpid(), signal.SIGKILL)


def put_unread(queue):
    queue.put(UNREAD)


def two_producers():
    queue = Queue()
    producers = [Process(target=target, args=(queue,)) for target in (square, negate)]
    for process in producers:
        process.start()
    found = {"squared": [], "negated": []}
    for _ in range(2 * COUNT):
        kind, number = queue.get()
        found[kind].append(number)
    numbers = range(1, COUNT + 1)
    # Whose items come first is open, but each producer's come in its order.
    print("squared, all and in order:", found["squared"] == [number * number for number in numbers])
    print("negated, all and in order:", found["negated"] == [-number for number in numbers])
    for process in producers:
        process.join()


def ends(kind, queue, seconds):
    """Does a process that put 200 KB, which nobody reads, come to its end within that time?"""
    process = kind(target=put_unread, args=(queue,))
    process.start()
    process.join(seconds)
    alive = process.is_alive()
    process.kill()
    process.join()
    return not alive


if __name__ == "__main__":
    two_producers()

    queue = Queue()
    process = Process(target=put_and_be_killed, args=(queue,))
    process.start()
    process.join()
    print("of a process that was killed when its put had returned:", queue.get())

    print("multiprocessing: ends with unread items:", ends(multiprocessing.Process, multiprocessing.Queue(), 1))
    print("holdfast: ends with unread items:", ends(Process, queue, 30))
    print("they are there:", queue.get() == UNREAD)
    queue.put("never read")  # nor does this program wait for anybody at its own end
