"""One process for each number: start them all, then collect what each returned, in order."""

from holdfast import Process


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


if __name__ == "__main__":
    numbers = range(10, 20)
    processes = [Process(target=fib, args=(number,)) for number in numbers]
    for process in processes:
        process.start()  # from here on they run side by side
    for number, process in zip(numbers, processes, strict=True):
        print(f"fib({number}) = {process.result()}")
