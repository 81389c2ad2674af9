"""A pool of processes: submit one call, map over many, be called back; never more at once than there are workers."""

from holdfast import Barrier, ProcessPoolExecutor, Value, active_children, as_completed

WORKERS = 3


def request(number, meeting, running, most):
    running.add(1)
    most.max(running.value)  # remember the largest number ever seen
    if number < WORKERS:
        meeting.wait(timeout=30)  # the first ones wait for each other: so many must run at the same time
    running.add(-1)
    return number


def square(number):
    return number * number


def called_back(future):
    print("called back with", future.result())


if __name__ == "__main__":
    meeting, running, most = Barrier(WORKERS), Value("i", 0), Value("i", 0)
    with ProcessPoolExecutor(max_workers=WORKERS) as pool:
        # submit() returns a future at once: a promise of the result.
        future = pool.submit(square, 12)
        print("submit:", future.result())

        # A lambda works too, and so does a function made on the way.
        print("a lambda:", pool.submit(lambda text: text[::-1], "tsafdloh").result())

        # map() gives the results in the order of the arguments, whoever finishes first.
        print("map:", list(pool.map(square, range(10))))

        # An exception in the worker is raised where the result is asked for.
        try:
            pool.submit(square, "nine").result()
        except TypeError as error:
            print("the task raised:", error)

        futures = [pool.submit(request, number, meeting, running, most) for number in range(10)]
        print("requests done:", sorted(future.result() for future in as_completed(futures)))

        # A callback runs in this process, in a thread of the pool, when the result is there.
        pool.submit(square, 9).add_done_callback(called_back)
    # The end of the `with` block has waited for all tasks and ended the workers.
    print(f"{WORKERS} workers; at once, at most: {most.value}")
    print("workers left:", len(active_children()))
