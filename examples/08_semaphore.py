"""Semaphore: at most so many at once, however many want to; and a killed holder gives its permit back."""

from holdfast import Event, Process, Semaphore, Thread, Value

PERMITS = 3


def use(permits, inside, most):
    for _ in range(20):
        with permits:
            inside.add(1)
            most.max(inside.value)  # remember the largest number ever seen inside
            inside.add(-1)


def take_and_never_return(permits, taken):
    permits.acquire()
    taken.set()
    Event().wait()  # for ever


def take_all(permits):
    """How many permits can be had, waiting up to 10 seconds for each that should come."""
    got = sum(permits.acquire(timeout=10) for _ in range(PERMITS))
    for _ in range(got):
        permits.release()
    return got


if __name__ == "__main__":
    permits, inside, most = Semaphore(PERMITS), Value("i", 0), Value("i", 0)
    workers = [kind(target=use, args=(permits, inside, most)) for kind in (Thread, Process) * 4]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.result()
    print(f"{len(workers)} workers, {PERMITS} permits; never more than {PERMITS} inside:", most.value <= PERMITS)

    taken = Event()
    process = Process(target=take_and_never_return, args=(permits, taken))
    process.start()
    taken.wait()
    print("permits left while a process holds one:", permits.get_value())
    process.kill()  # SIGKILL: it can clean up nothing
    process.join()
    print("permits that can be had after it was killed:", take_all(permits))
