"""RLock: a lock that its holder may take again. It is free when it was released as often as it was taken.

A function that takes the lock can so call another one that takes it too. With a plain Lock it would wait for itself.
"""

from holdfast import Process, RLock, Thread


class Account:
    """`transfer` holds the lock and calls `pay`, which takes it once more."""

    def __init__(self, lock, money):
        self.lock = lock
        self.money = money

    def pay(self, amount):
        with self.lock:
            self.money -= amount

    def transfer(self, other, amount):
        with self.lock:
            self.pay(amount)
            other.pay(-amount)


def try_to_take(lock):
    got = lock.acquire(blocking=False)
    if got:
        lock.release()
    return got


def release_what_is_not_mine(lock):
    try:
        lock.release()
    except RuntimeError as error:
        return f"RuntimeError: {error}"
    return "nothing"


def ask(kind, question, lock):
    worker = kind(target=question, args=(lock,))
    worker.start()
    return worker.result()


if __name__ == "__main__":
    lock = RLock()
    mine, yours = Account(lock, 100), Account(lock, 0)
    mine.transfer(yours, 30)
    print("money after the transfer:", mine.money, yours.money)

    for kind in (Thread, Process):
        who = f"another {kind.__name__.lower()}"
        lock.acquire()
        lock.acquire()
        lock.release()
        print(f"taken twice, released once; can {who} have it?", ask(kind, try_to_take, lock))
        print(f"{who} releases it:", ask(kind, release_what_is_not_mine, lock))
        lock.release()
        print(f"released twice; can {who} have it?", ask(kind, try_to_take, lock))
