"""Pipe: two ends; what one sends the other receives. Any number of processes may use the same end.

With multiprocessing.Pipe, two processes that use one end at a time corrupt what comes out. Here a message is whole,
and goes to exactly one receiver.

A pipe has come to its end when nobody has the other end open any more, whether it was closed or its processes ended or
were killed. A forked child has both ends, as it has all that its parent had: so each side closes the end of the other.
"""

import os
import signal

from holdfast import Pipe, Process

SIDES = 4
MESSAGES = 100


def answer(other, end):
    other.close()
    answered = 0
    while True:
        try:
            question = end.recv()
        except EOFError:  # nobody is left who could ask
            return answered
        end.send(question.upper())
        answered += 1


def converse():
    ours, theirs = Pipe()  # both ways
    process = Process(target=answer, args=(ours, theirs))
    process.start()
    theirs.close()
    for question in ("who is there?", "anybody?"):
        ours.send(question)
        print("asked:", question, "- answered:", ours.recv())
    print("is there more to receive?", ours.poll(0.05))
    ours.close()
    print("answers in all:", process.result())


def one_way():
    reader, writer = Pipe(duplex=False)
    writer.send_bytes(b"0123456789", 2, 3)  # bytes as they are, here 3 of them from the third on
    buffer = bytearray(5)
    print("received into a buffer:", reader.recv_bytes_into(buffer), bytes(buffer))
    try:
        reader.send("back")
    except OSError as error:
        print("the wrong way:", type(error).__name__)
    reader.close()
    try:
        writer.send("anybody?")
    except BrokenPipeError:
        print("nobody reads: BrokenPipeError")


def write(reader, writer, number):
    reader.close()
    for serial in range(MESSAGES):
        writer.send((number, serial, bytes([number]) * (500 * serial)))


def read(reader, writer):
    writer.close()
    got = []
    while True:
        try:
            number, serial, data = reader.recv()
        except EOFError:
            return got
        got.append((number, serial, data == bytes([number]) * (500 * serial)))


def many_on_each_end():
    reader, writer = Pipe(duplex=False)
    writers = [Process(target=write, args=(reader, writer, number)) for number in range(SIDES)]
    readers = [Process(target=read, args=(reader, writer)) for _ in range(SIDES)]
    for process in writers + readers:
        process.start()
    reader.close()
    writer.close()
    got = sorted(message for process in readers for message in process.result())
    sent = [(number, serial, True) for number in range(SIDES) for serial in range(MESSAGES)]
    print(f"{SIDES} writers, {SIDES} readers: {len(got)} messages, each whole and once: {got == sent}")


def speak_and_be_killed(reader, writer):
    reader.close()
    writer.send("last words")
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at_the_other_end():
    reader, writer = Pipe(duplex=False)
    process = Process(target=speak_and_be_killed, args=(reader, writer))
    process.start()
    writer.close()
    print("from the killed one:", reader.recv())
    try:
        reader.recv()
    except EOFError:
        print("then: EOFError")
    process.join()


if __name__ == "__main__":
    converse()
    one_way()
    many_on_each_end()
    killed_at_the_other_end()
