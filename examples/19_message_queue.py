"""A message queue between two programs that know nothing of each other but a name. There is no server.

    python 19_message_queue.py              both programs, one after the other
    python 19_message_queue.py order NAME   the first one: puts orders
    python 19_message_queue.py serve NAME   the second one: does what is there, then ends

The queue lives in shared memory under its name. When the second program starts, the first one has ended already: what
it put waits for whoever opens the name next. Only programs of the same user find it.
"""

import os
import subprocess
import sys

from holdfast import Empty, Queue


def order(name):
    queue = Queue(name=name)  # makes it, or opens it if it is there
    for what in ("tea", "coffee", "cake"):
        queue.put({"table": 7, "what": what})
    print("ordered:", queue.qsize())
    # No close() here: a program that merely ends leaves the queue, and what is in it, to the next one.


def serve(name):
    queue = Queue(name=name, create=False)  # FileNotFoundError if nobody has made it
    while True:
        try:
            what = queue.get(timeout=0.1)
        except Empty:
            break
        print("served:", what)
    queue.close()  # the last one who has it open: the queue goes, and its name is free


def is_there(name):
    try:
        Queue(name=name, create=False)
    except FileNotFoundError:
        return False
    return True


def both(name):
    for role in ("order", "serve"):
        subprocess.run([sys.executable, __file__, role, name], check=True)
    print("closed by the last one: is it there?", is_there(name))

    subprocess.run([sys.executable, __file__, "order", name], check=True)
    print("its only user has ended without close(): is it there?", is_there(name))
    Queue.unlink(name)  # away with it, and with what is in it
    print("after unlink(): is it there?", is_there(name))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        {"order": order, "serve": serve}[sys.argv[1]](sys.argv[2])
    else:
        both(f"orders-{os.getpid()}")
