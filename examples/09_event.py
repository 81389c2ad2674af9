"""Event: one sets it, and all who wait for it go on, in threads and in processes."""

from holdfast import Event, Process, Semaphore, Thread

RUNNERS = 3


def run(name, ready, start):
    ready.release()  # count one more who is at the line
    in_time = start.wait(timeout=30)  # True when the event is set, False when the time is over
    return f"{name} started: {in_time}"


if __name__ == "__main__":
    ready, start = Semaphore(0), Event()
    workers = [
        kind(target=run, args=(f"{kind.__name__.lower()} {number}", ready, start))
        for kind in (Thread, Process)
        for number in range(RUNNERS)
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire()
    print(f"{len(workers)} are at the line; set already?", start.is_set())
    start.set()
    for worker in workers:
        print(worker.result())
    start.clear()
    print("cleared: waiting for it would take until", "the next set()" if not start.wait(timeout=0.05) else "now")
