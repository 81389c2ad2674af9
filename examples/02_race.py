"""A lost update: several threads change one number without a lock, and then with one.

`num = num + 1` is three steps: read the number, add, store the sum. If another thread runs between the first and
the last step, its own addition is overwritten. Where Python may switch threads differs between versions.
"""

import sys
import threading
import time

from holdfast import Lock, Thread

THREADS = 5
TIMES = 10_000

num = 0
lock = Lock()


def one_more(number):
    if number % 100 == 0:
        time.sleep(0.000_01)  # now and then it has to wait a little, as for a file or the network
    return number + 1


def plain():
    """Safe only by luck: recent CPythons do not switch threads inside `num += 1`. Nothing promises it."""
    global num
    for _ in range(TIMES):
        num += 1


def through_a_function():
    """The same sum, but other threads may run between reading `num` and storing the sum."""
    global num
    for _ in range(TIMES):
        num = one_more(num)


def with_lock():
    """Only one thread at a time is between reading and storing."""
    global num
    for _ in range(TIMES):
        with lock:
            num = one_more(num)


def begin(work, together):
    together.wait()  # a thread that begins alone would be through before the next one starts
    work()


def total_of(work, thread_class):
    """Run `work` in several threads at once and say what came out."""
    global num
    num = 0
    together = threading.Barrier(THREADS)
    threads = [thread_class(target=begin, args=(work, together)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lost = THREADS * TIMES - num
    return f"{num:,}" + (f"  ({lost:,} updates were lost)" if lost else "")


if __name__ == "__main__":
    sys.setswitchinterval(0.000_001)  # switch threads as often as possible, so that the fault shows at once
    print(f"{THREADS} threads, {TIMES:,} additions each: it should be {THREADS * TIMES:,}")
    print("no lock, num += 1:         ", total_of(plain, threading.Thread))
    print("no lock, num = f(num):     ", total_of(through_a_function, threading.Thread))
    print("with holdfast.Lock, f(num):", total_of(with_lock, Thread))
