"""Threads: from a function, from a class, their names, daemons, waiting with a limit, and their results."""

import holdfast
from holdfast import Event, Thread


def greet(name):
    # holdfast.current() is the thread (or the process) that runs this line.
    print(f"hello {name}, from thread {holdfast.current().name!r}")
    return len(name)


class Squares(Thread):
    """A thread that is a class of its own: what run() returns is its result."""

    def __init__(self, count):
        super().__init__(name="squares")
        self.count = count

    def run(self):
        return [number * number for number in range(self.count)]


def divide(number, by):
    return number // by


if __name__ == "__main__":
    thread = Thread(target=greet, args=("Ada",), name="greeter")
    print("alive before start:", thread.is_alive())
    thread.start()
    print("result of the function:", thread.result())
    print("alive at the end:", thread.is_alive())

    squares = Squares(5)
    squares.start()
    print("result of the class:", squares.result())

    # join(timeout) waits no longer than that; is_alive() tells whether the thread has ended.
    may_end = Event()
    waiting = Thread(target=may_end.wait)
    waiting.start()
    waiting.join(timeout=0.1)
    print("still alive after join(timeout=0.1):", waiting.is_alive())
    may_end.set()
    waiting.join()
    print("alive after join():", waiting.is_alive())

    # What a thread raises is printed to stderr, as always, and also reaches whoever asks for its result.
    failing = Thread(target=divide, args=(1, 0))
    failing.start()
    try:
        failing.result()
    except ZeroDivisionError as error:
        print("the thread raised:", error)

    # The program does not wait for a daemon thread: this one would never end.
    daemon = Thread(target=Event().wait, daemon=True)
    daemon.start()
    print("a daemon still runs at the end of the program:", daemon.is_alive())
