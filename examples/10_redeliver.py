"""A consumer is killed in the middle of its item. What becomes of the item, and of those who wait in join()?

With multiprocessing.JoinableQueue, join() would wait for ever. Here it returns. What a consumer took and did not mark
by task_done() before it died is lost with it, and a warning says so; or, with redeliver=True, another consumer gets it.
"""

import os
import signal
import warnings

from holdfast import AbandonedWarning, Process, Queue


def take_and_be_killed(queue):
    queue.get()
    os.kill(os.getpid(), signal.SIGKILL)  # in the middle of the work: no task_done(), no clean-up, nothing


def work(queue, done):
    for order in queue:  # until the queue is shut down and empty
        done.put((order, queue.deliveries))  # how often it was handed out, this time included
        queue.task_done()


def be_killed_by_bad_ones(queue):
    for order in queue:
        if order == "bad":
            os.kill(os.getpid(), signal.SIGKILL)
        queue.task_done()


def run(target, *args):
    process = Process(target=target, args=args)
    process.start()
    process.join()
    return process.exitcode


def without_redelivery():
    queue = Queue()
    queue.put("tea")
    print("the consumer's exit code:", run(take_and_be_killed, queue))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        queue.join()
    told = [warning.category is AbandonedWarning for warning in caught]
    print(f"without redeliver: join() has returned; unfinished: {queue.unfinished()}, warned: {told}")


def with_redelivery():
    queue, done = Queue(redeliver=True), Queue()
    for order in ("tea", "coffee", "cake"):
        queue.put(order)
    run(take_and_be_killed, queue)  # takes the tea
    worker = Process(target=work, args=(queue, done))
    worker.start()
    queue.join()
    queue.shutdown()  # nothing more will come: the worker's loop ends
    worker.join()
    for order, deliveries in done.get_many():
        print(f"with redeliver: {order} done, delivery {deliveries}")
    print("with redeliver: unfinished:", queue.unfinished())


def with_a_limit():
    """An item that kills whoever takes it must not kill them all."""
    queue = Queue(redeliver=True, max_deliveries=2)
    for order in ("good", "bad", "good"):
        queue.put(order)
    queue.shutdown()
    print("exit codes:", [run(be_killed_by_bad_ones, queue) for _ in range(3)])
    queue.join()
    print("given up after 2 deliveries:", list(queue.dead_letters))


if __name__ == "__main__":
    without_redelivery()
    with_redelivery()
    with_a_limit()
