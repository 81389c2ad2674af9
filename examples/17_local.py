"""Local: one name, but for each thread a thing of its own; here an SQLite connection, which threads must not share.

In a pool, the initializer makes one connection per worker. `close=` says what is to be done with a thread's, or a
worker's, own thing when it ends.
"""

import sqlite3
import tempfile
from pathlib import Path

from holdfast import Local, ProcessPoolExecutor, Thread, ThreadPoolExecutor, Value

ROWS = 20


def close_database(mine):
    """Called at the end of every thread that used `here`, in that thread."""
    if hasattr(mine, "database"):  # it may have looked and made none
        mine.database.close()


here = Local(close=close_database)


class Counted(sqlite3.Connection):
    """A connection that counts how often one was opened and closed."""

    def __init__(self, path, opened, closed):
        super().__init__(path)
        self.closed = closed
        opened.add(1)

    def close(self):
        super().close()
        self.closed.add(1)


def open_database(path, opened, closed):
    here.database = Counted(path, opened, closed)


def insert(number):
    with here.database:  # a transaction
        here.database.execute("insert into numbers values (?)", (number,))


def work(path, opened, closed, number):
    if hasattr(here, "database"):
        return "saw the connection of another thread"
    open_database(path, opened, closed)
    insert(number)
    return f"thread {number} has a connection of its own"


def main(path):
    database = sqlite3.connect(path)
    database.execute("create table numbers (number int)")

    opened, closed = Value("i", 0), Value("i", 0)
    threads = [Thread(target=work, args=(path, opened, closed, number)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        print(thread.result())
    print("the main thread has one:", hasattr(here, "database"))
    print(f"opened {opened.value}, closed when the threads had ended: {closed.value}")

    for pool_class in (ThreadPoolExecutor, ProcessPoolExecutor):
        opened, closed = Value("i", 0), Value("i", 0)
        with pool_class(max_workers=2, initializer=open_database, initargs=(path, opened, closed)) as pool:
            list(pool.map(insert, range(ROWS)))
        one_each = 1 <= opened.value <= 2
        print(f"{pool_class.__name__}: one per worker: {one_each}, all closed: {closed.value == opened.value}")

    print("rows in the table:", database.execute("select count(*) from numbers").fetchone()[0])
    database.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(str(Path(folder) / "numbers.db"))
