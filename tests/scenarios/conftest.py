"""How an example is run: as its reader would, in a fresh interpreter, with any start method as the default."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

# Every interpreter of the run reads this at its start, those of the workers too.
WITH_METHOD = """
from holdfast.workers import popen
popen.default_method = lambda: {!r}
"""


@pytest.fixture
def run_example(tmp_path):
    """``run_example("16_fib.py", start_method=None, arguments=())``: run it as it must end, return its output.

    ``start_method`` stands in for the default one; ``arguments`` are the program's. Returns the completed process
    with text in ``stdout`` and ``stderr``. After 90 seconds its process group is killed and
    ``subprocess.TimeoutExpired`` raised.
    """

    def run(name, start_method=None, arguments=()):
        environment = dict(os.environ)
        if start_method is not None:
            (tmp_path / "sitecustomize.py").write_text(WITH_METHOD.format(start_method))
            environment["PYTHONPATH"] = str(tmp_path)
        command = [sys.executable, str(EXAMPLES / name), *arguments]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, text=True, env=environment, process_group=0, **streams) as process:
            try:
                out, err = process.communicate(timeout=90)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        assert process.returncode == 0, err
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    return run
