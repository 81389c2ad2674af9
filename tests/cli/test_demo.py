"""``holdfast demo`` on a few files: exact totals, whoever is killed, and an exit code that tells the truth."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys

import pytest

import holdfast
from holdfast.cli import counting, demo, main, modes
from holdfast.cli.counting import Board, Counts

POINTS = range(14)  # more than there are steps in a commit


@pytest.fixture
def counted(monkeypatch):
    """`main` on the `json` package, with one process; gives (exit code, standard output)."""

    def run(capsys, *options):
        code = main(["demo", "--files", "json/*", "--workers", "1", *options])
        return code, capsys.readouterr().out

    yield run
    counting._board = None


def plain_count():
    total = Counts()
    for path in counting.library_files("json/*"):
        total = total.plus(counting.count(path))
    return total


def test_all_totals_agree_although_a_worker_is_killed(counted, capsys):
    """Exit code 0; each of the three rows shows the totals of a plain count, and who was killed is said."""
    code, out = counted(capsys)
    assert code == 0, out
    numbers = [f"{number:,}" for number in plain_count()]
    rows = [re.split(r"\s*│\s*", line.strip("│ \n")) for line in out.splitlines() if line.startswith("│")]
    assert [row[0] for row in rows] == ["serial", "threads", "processes"]
    assert [row[3:8] for row in rows] == [numbers] * 3
    assert "SIGKILL" in out
    assert "All totals agree" in out


def test_nobody_is_killed_if_asked(counted, capsys):
    """--no-kill."""
    code, out = counted(capsys, "--no-kill")
    assert code == 0
    assert "SIGKILL" not in out


def test_a_total_that_was_tampered_with_is_noticed(counted, capsys, monkeypatch):
    """One function too many in the shared values: exit code 1, and the difference is shown."""
    read = Board.read

    def tampered(board):
        board.totals[2].add(1)
        return read(board)

    monkeypatch.setattr(Board, "read", tampered)
    code, out = counted(capsys)
    assert code == 1
    assert "WRONG" in out
    assert "All totals agree" not in out


def test_each_disagreement_is_named():
    """The returned counts and the shared ones are compared with the plain count, for each way."""
    good, bad = Counts(1, 2, 3, 4, 0), Counts(1, 2, 3, 5, 0)
    results = [modes.Result(name, 1.0, good, good) for name in ("serial", "threads", "processes")]
    assert demo.disagreements(results) == []
    results[1].shared = bad
    results[2].returned = bad
    assert [line.split(":")[0] for line in demo.disagreements(results)] == ["threads", "processes"]


def test_no_file_matches(capsys):
    """A wrong glob is a usage error."""
    assert main(["demo", "--files", "no such thing"]) == 2
    assert "no such thing" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["-1", "0", "two"])
def test_a_number_of_workers_that_cannot_be(workers, capsys):
    """A usage error that names the value."""
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--workers", workers])
    assert ended.value.code == 2
    assert f"--workers: '{workers}' is not a number of workers" in capsys.readouterr().err


def test_a_parser_that_other_threads_disturbed_is_asked_again(monkeypatch):
    """SystemError from `ast.parse` (CPython 3.11, many threads) is not the file's fault; one that stays is raised."""
    path = counting.library_files("json/decoder.py")[0]
    expected, parse, failures = counting.count(path), ast.parse, iter(range(3))

    def disturbed(*args):
        if next(failures, None) is not None:
            raise SystemError("AST constructor recursion depth mismatch")
        return parse(*args)

    monkeypatch.setattr(ast, "parse", disturbed)
    assert counting.count(path) == expected
    failures = iter(int, 1)  # for ever
    with pytest.raises(SystemError, match="depth mismatch"):
        counting.count(path)


def test_the_command_works_without_a_terminal():
    """The installed command, its output in a pipe."""
    command = [sys.executable, "-m", "holdfast.cli", "demo", "--files", "5", "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout


def test_help_is_light():
    """The list of commands is printed without importing rich, multiprocessing or the pools."""
    code = (
        "import sys; from holdfast.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(*{'rich', 'multiprocessing', 'concurrent.futures', 'holdfast.pool'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "demo" in done.stdout
    assert done.stdout.splitlines()[-1] == ""


def test_version(capsys):
    """--version, and no command at all."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"holdfast {holdfast.__version__}\n"
    assert main([]) == 2
    assert "demo" in capsys.readouterr().out


class Dying:
    """Stands for one of a board's numbers; kills the process at the n-th touch of any of them."""

    left = 0

    def __init__(self, inner):
        self.inner = inner

    def touch(self):
        if Dying.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        Dying.left -= 1

    @property
    def value(self):
        return self.inner.value

    @value.setter
    def value(self, new):
        self.touch()
        self.inner.value = new

    def add(self, n):
        self.touch()
        self.inner.add(n)

    def __getitem__(self, index):
        return self.inner[index]

    def __setitem__(self, index, new):
        self.touch()
        self.inner[index] = new


def commit_and_die(board, number, counts, point):
    """Commit, and be killed just before the ``point``-th change of shared memory, or just after the last."""
    Dying.left = point
    board.totals = [Dying(value) for value in board.totals]
    board.before = [Dying(value) for value in board.before]
    board.open, board.counted = Dying(board.open), Dying(board.counted)
    board.commit(number, counts)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("point", POINTS)
def test_a_commit_that_is_killed_at_any_step_counts_once(point):
    """Before each of its stores: run again, the file is counted exactly once, and so are the others."""
    board, counts = Board(3), Counts(1, 20, 3, 4, 0)
    board.commit(0, counts)
    victim = holdfast.Process(target=commit_and_die, args=(board, 1, counts, point), start_method="fork")
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    board.commit(2, counts)
    board.commit(1, counts)
    board.commit(1, counts)
    assert board.read() == Counts(3, 60, 9, 12, 0)
