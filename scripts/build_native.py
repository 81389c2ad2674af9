"""Build the compiled core and put it beside its stub, src/holdfast/core, for work on a checkout.

What ``make build`` runs: CMake in a directory of its own per ABI (so 3.11 and 3.13 share one stable-ABI module, and
a free-threaded interpreter gets another), incremental, and the finished file is moved into place in one step, so
that a program which has the old one mapped keeps it. Wheels are not built here but by scikit-build-core.

    python scripts/build_native.py [--native FOLDER] [-DNAME=VALUE ...]
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_CMAKE_KNOWS = "CMP0104"  # a policy of CMake 3.18, the version CMakeLists.txt asks for


def find_cmake() -> str:
    """The first CMake that runs and is new enough: on PATH, or installed beside this interpreter."""
    beside = str(Path(sys.executable).with_name("cmake"))
    for candidate in (shutil.which("cmake"), beside):
        if candidate is None or not os.access(candidate, os.X_OK):
            continue
        probe = subprocess.run([candidate, "--help-policy", OLDEST_CMAKE_KNOWS], capture_output=True, check=False)
        if probe.returncode == 0:
            return candidate
    sys.exit("build_native: no CMake >= 3.18 found; `pip install cmake` into this environment, or install one")


def abi() -> str:
    """The name of the ABI this interpreter loads: every one with a GIL loads the same."""
    return str(sysconfig.get_config_var("SOABI")) if sysconfig.get_config_var("Py_GIL_DISABLED") else "abi3"


def configured_python(build: Path) -> str | None:
    """The interpreter an earlier run configured ``build`` for, or None."""
    cache = build / "CMakeCache.txt"
    if not cache.exists():
        return None
    for line in cache.read_text().splitlines():
        if line.startswith("Python_EXECUTABLE:"):
            return line.partition("=")[2]
    return None


def configure(cmake: str, build: Path, native: Path, defines: list[str]) -> None:
    """Run CMake's first half, from nothing if the interpreter it knew has gone."""
    known = configured_python(build)
    if known is not None and not os.access(known, os.X_OK):
        shutil.rmtree(build)
        known = None
    python = known or sys.executable
    generator = ["-G", "Ninja"] if known is None and shutil.which("ninja") else []
    settings = [f"-DPython_EXECUTABLE={python}", f"-DHOLDFAST_NATIVE_DIR={native}", *defines]
    command = [cmake, "-S", str(ROOT), "-B", str(build), "--log-level=WARNING", *generator, *settings]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def install(build: Path, folder: Path) -> Path:
    """Move a copy of the module into ``folder`` in one step."""
    (module,) = build.glob("_native*.so")
    target = folder / module.name
    if target.exists() and target.read_bytes() == module.read_bytes():
        return target
    fresh = folder / f".{module.name}.{os.getpid()}"
    shutil.copyfile(module, fresh)
    fresh.chmod(0o755)
    fresh.replace(target)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description="build the compiled core in place")
    parser.add_argument("--native", type=Path, default=ROOT / "native", help="folder of the C sources")
    parser.add_argument("-D", dest="defines", action="append", default=[], help="passed on to CMake")
    options = parser.parse_args()
    os.environ.pop("MAKEFLAGS", None)  # ours is not the make that runs the compiler
    os.environ.pop("MAKELEVEL", None)
    build = ROOT / "build" / f"inplace-{abi()}"
    build.parent.mkdir(exist_ok=True)
    cmake = find_cmake()
    with open(build.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two `make` at once take turns
        configure(cmake, build, options.native.resolve(), [f"-D{define}" for define in options.defines])
        if subprocess.run([cmake, "--build", str(build), "--parallel", "2"], check=False).returncode:
            sys.exit("build_native: the compiler failed; its messages are above")
        print("built", install(build, ROOT / "src" / "holdfast" / "core").relative_to(ROOT))


if __name__ == "__main__":
    main()
