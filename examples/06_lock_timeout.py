"""Taking a lock: with a limit, with try/finally, and with `with`; between threads and between processes."""

from holdfast import Event, Lock, Process, Thread


def hold(lock, holding, may_end):
    """Keep the lock until told to let go. `with` releases it, also when the code inside raises."""
    with lock:
        holding.set()
        may_end.wait()


def show(kind):
    lock, holding, may_end = Lock(), Event(), Event()
    holder = kind(target=hold, args=(lock, holding, may_end))
    holder.start()
    holding.wait()

    # acquire() returns whether it got the lock. Do not touch what the lock protects if it did not.
    print(f"{kind.__name__}: got it within 0.1 s?", lock.acquire(timeout=0.1))
    print(f"{kind.__name__}: got it without waiting?", lock.acquire(blocking=False))

    may_end.set()
    if lock.acquire(timeout=10):
        try:
            print(f"{kind.__name__}: got it when the holder let go? True")
        finally:
            lock.release()  # comes to pass whatever happens in the try block
    holder.join()
    print(f"{kind.__name__}: locked at the end?", lock.locked())


if __name__ == "__main__":
    show(Thread)
    show(Process)
