"""One lock for threads and for processes: 10 x 100,000 additions are exactly 1,000,000, both times.

The counter is a number in shared memory. Reading it and storing it are two separate steps here, on purpose: only the
lock makes them one. (`counter += 1` would need no lock at all: see 14_value_and_array.py.)
"""

from holdfast import Lock, Process, Thread, Value

WORKERS = 10
TIMES = 100_000


def work(lock, counter):
    for _ in range(TIMES):
        with lock:
            counter.value = counter.value + 1


def run(kind, lock):
    counter = Value("q", 0)  # "q": a 64-bit whole number
    workers = [kind(target=work, args=(lock, counter)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.result()  # waits for its end, and raises here what went wrong there
    return counter.value


if __name__ == "__main__":
    lock = Lock()  # the same object for both runs
    print(f"{WORKERS} threads:   {run(Thread, lock):,}")
    print(f"{WORKERS} processes: {run(Process, lock):,}")
