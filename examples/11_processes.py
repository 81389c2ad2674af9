"""Processes: from a function, from a class, with each start method, and by os.fork() itself.

A lock and a value made before the start work in all of them. How a process starts: "forkserver" (the default) and
"spawn" begin with a fresh interpreter and read this file again, which is why the work stands under
`if __name__ == "__main__"`; "fork" copies this process as it is.
"""

import os

from holdfast import Lock, Process, Value


def add(lock, total, number):
    """Runs in the child. Its return value goes to whoever asks for result()."""
    with lock:
        total.value = total.value + number
    return os.getpid(), os.getppid()


class Adder(Process):
    """A process that is a class of its own: what run() returns is its result."""

    def __init__(self, lock, total, number):
        super().__init__(name="adder")
        self.lock, self.total, self.number = lock, total, number

    def run(self):
        return add(self.lock, self.total, self.number)


def main():
    lock, total = Lock(), Value("q", 0)

    for method in ("fork", "spawn", "forkserver"):
        process = Process(target=add, args=(lock, total, 1), start_method=method)
        process.start()
        pid, parent = process.result()
        # With the fork server it is the server that is the parent, for the system.
        print(f"{method}: pid as we know it: {pid == process.pid}, child of this process: {parent == os.getpid()}")
        print(f"{method}: alive: {process.is_alive()}, exit code: {process.exitcode}, total: {total.value}")

    adder = Adder(lock, total, 10)
    adder.start()
    adder.result()
    print(f"by subclass {adder.name!r}: total: {total.value}")

    pid = os.fork()
    if pid == 0:  # this is the child
        add(lock, total, 100)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    print(f"by os.fork(): exit code: {os.waitstatus_to_exitcode(status)}, total: {total.value}")


if __name__ == "__main__":
    main()
