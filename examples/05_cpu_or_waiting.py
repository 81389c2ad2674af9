"""Threads or processes? Threads help where the work is waiting; processes help where it is computing.

Computing: parse a part of this interpreter's own library. Only one thread at a time can run Python code (the GIL), so
threads gain nothing. Waiting: ask a server on this machine that takes its time; waiting threads stand in nobody's way.
"""

import ast
import socketserver
import statistics  # only to find the folder of the library
import threading
import time
from pathlib import Path
from socket import create_connection

from holdfast import ProcessPoolExecutor, ThreadPoolExecutor, cpu_count

LIBRARY = Path(statistics.__file__).parent
REQUESTS = 20


def functions_in(path):
    """Computing: count the functions of one file."""
    return sum(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(path.read_bytes())))


class Server(socketserver.ThreadingTCPServer):
    request_queue_size = REQUESTS  # so many may knock at the same time


class SlowAnswer(socketserver.BaseRequestHandler):
    """A server that thinks for 50 ms about each request."""

    def handle(self):
        number = int(self.request.recv(100))
        time.sleep(0.05)
        self.request.sendall(str(number * number).encode())


def ask(address, number):
    """Waiting: one request to the server."""
    with create_connection(address) as connection:
        connection.sendall(str(number).encode())
        return int(connection.recv(100))


def measure(label, run):
    start = time.perf_counter()
    total = sum(run())
    print(f"  {label:<22}{time.perf_counter() - start:6.2f} s   total {total}")


def main():
    files = sorted(LIBRARY.glob("*.py"))
    print(f"computing: parse {len(files)} files, with {cpu_count()} processors")
    measure("one after the other", lambda: map(functions_in, files))
    with ThreadPoolExecutor(cpu_count()) as pool:
        measure("threads", lambda: pool.map(functions_in, files))
    with ProcessPoolExecutor(cpu_count()) as pool:
        measure("processes", lambda: pool.map(functions_in, files))

    server = Server(("127.0.0.1", 0), SlowAnswer)
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    addresses = [server.server_address] * REQUESTS
    print(f"waiting: {REQUESTS} requests, 0.05 s each")
    measure("one after the other", lambda: map(ask, addresses, range(REQUESTS)))
    with ThreadPoolExecutor(10) as pool:
        measure("10 threads", lambda: pool.map(ask, addresses, range(REQUESTS)))
    server.shutdown()
    server.server_close()


if __name__ == "__main__":
    main()
