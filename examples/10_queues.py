"""Queues: first in first out, last in first out, by priority; limits; and workers fed by the main thread.

The same classes between threads and between processes. The names and their meaning are those of the module `queue`.
"""

from holdfast import Empty, Full, LifoQueue, PriorityQueue, Process, Queue, Thread


def take_all(queue):
    """Everything in the queue, in the order in which it comes out."""
    items = []
    while not queue.empty():
        items.append(queue.get())
    return items


def show_orders(kind):
    """Another thread (or process) takes out what this one has put in."""
    for make in (Queue, LifoQueue, PriorityQueue):
        queue = make()
        for item in (30, 10, 20):
            queue.put(item)
        taker = kind(target=take_all, args=(queue,))
        taker.start()
        print(f"{kind.__name__}: {make.__name__}: {taker.result()}")


def show_limits():
    queue = Queue(maxsize=2)
    queue.put("a")
    queue.put("b", block=True, timeout=5)  # waits up to 5 seconds for room
    print("full:", queue.full(), "- items:", queue.qsize())
    for attempt in (lambda: queue.put("c", timeout=0.05), lambda: queue.put_nowait("c")):
        try:
            attempt()
        except Full:
            print("no room: Full")
    print("taken:", queue.get(), queue.get(timeout=5))
    print("empty:", queue.empty())
    for attempt in (lambda: queue.get(timeout=0.05), queue.get_nowait):
        try:
            attempt()
        except Empty:
            print("nothing there: Empty")


def show_priorities():
    queue = PriorityQueue()
    queue.put((2, "mend the roof"))  # numbers, str, bytes and tuples of them have an order of their own
    queue.put((1, "put out the fire"))
    queue.put({"job": "feed the cat"}, priority=(3,))  # anything else is told its place
    print("by priority:", take_all(queue))


def work(jobs, done):
    while True:  # for ever: the worker is a daemon, and ends with the program
        number = jobs.get()
        done.put(number * number)
        jobs.task_done()


def show_workers(kind):
    jobs, done = Queue(), Queue()
    for _ in range(3):
        kind(target=work, args=(jobs, done), daemon=True).start()
    for number in range(20):
        jobs.put(number)
    jobs.join()  # returns when task_done() was called for every one of them
    print(f"{kind.__name__} workers: {sorted(take_all(done)) == [number * number for number in range(20)]}")


if __name__ == "__main__":
    show_orders(Thread)
    show_orders(Process)
    show_limits()
    show_priorities()
    show_workers(Thread)
    show_workers(Process)
