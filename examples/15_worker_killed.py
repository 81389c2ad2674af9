"""A worker is killed in the middle of its task: that task fails, all others succeed, and a new worker takes over.

The kernel kills processes when memory runs out; libraries crash; people press the wrong key. With
concurrent.futures every unfinished task would fail and the pool would be of no more use; with multiprocessing.Pool
the program would wait for ever.
"""

import os
import signal

from holdfast import Process, ProcessPoolExecutor, WorkerDied


def work(number):
    return number * number


def be_killed():
    os.kill(os.getpid(), signal.SIGKILL)


def pid_of_worker(_):
    return os.getpid()


if __name__ == "__main__":
    with ProcessPoolExecutor(max_workers=2) as pool:
        before = [pool.submit(work, number) for number in range(5)]
        unlucky = pool.submit(be_killed)
        after = [pool.submit(work, number) for number in range(5, 10)]

        try:
            unlucky.result()
        except WorkerDied as error:
            print("the killed task: WorkerDied, exit code", error.exitcode)
            dead = error.pid
        print("all the others:", [future.result() for future in before + after])
        workers = set(pool.map(pid_of_worker, range(50)))
        print("the dead worker is not among those at work now:", dead not in workers)

    # The same for a process without a pool.
    process = Process(target=be_killed, name="unlucky")
    process.start()
    try:
        process.result()
    except WorkerDied as error:
        print("a killed process: WorkerDied, exit code", error.exitcode)
