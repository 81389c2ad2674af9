"""Build and run the native proof: the explorer, the stress tests, the mutants. `make -C native/tests check`.

What may live here: which sources make which program, how it is run, and which test must object to which mutant.
It must not know what a primitive does. Standard library only: it runs before anything is installed.
"""
# ruff: noqa: INP001 - a script beside C sources, not a module of a package

import collections
import concurrent.futures
import dataclasses
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORE = Path(os.environ.get("HF_CORE", HERE.parent / "core"))  # another tree, to try a change on
BUILD = HERE / "build"
CC = os.environ.get("CC", "gcc")
JOBS = min(2, os.cpu_count() or 1)
TIMEOUT = 150  # seconds; each program has a watchdog of its own that is shorter

PRIMITIVES = ["lock", "event", "semaphore", "condition", "gate", "ring", "cell", "fifo", "shelf"]
PARTS = [*PRIMITIVES, "queue", "shelf_index", "owner", "wait", "killpoints", "roster"]
# The real thing, where the other tests bring a stand-in.
ARENA = ["alloc", "blocks", "chunks", "members", "session", "upkeep"]
ARENA_TESTS = ["stress_session", "stress_death_session", "stress_death_queue", "stress_leak"]
EXPLORER = ["explore", "explore_main", "platform_explore"]

BASE = ["-std=c11", "-g", "-pthread", "-Wall", "-Wextra", f"-I{CORE}", f"-I{HERE}", f"-fmacro-prefix-map={HERE}/="]
STRICT = ["-Wconversion", "-Werror"]  # for the core alone
TINY = "-DHF_TINY_SEGMENTS"  # queues grow and shrink all the time
FLAVOURS = {
    "explore": ["-O1", "-DHF_EXPLORE", TINY],
    "tsan": ["-O1", "-fsanitize=thread", TINY],
    "asan": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", TINY],
    "death": ["-O2"],
}

# Which test must object when the named order is relaxed or the named action left out (core/mutants.h). Wake-ups
# and decisions show in the explorer, memory orders only to ThreadSanitizer: on x86 the machine never weakens them.
# A third word is the one history that is run, where all of them would take long.
KILLERS: dict[str, tuple[str, ...]] = {
    "lock_acquire": ("tsan", "lock"),
    "lock_release": ("tsan", "lock"),
    "lock_takeover": ("tsan", "lock"),  # through the release of the holder before the dead one
    "lock_wake": ("explore", "lock"),
    "lock_waiters_bit": ("explore", "lock"),
    "news_again": ("explore", "semaphore"),
    "event_set": ("tsan", "event"),
    "event_seen": ("tsan", "event"),
    "event_wake": ("explore", "event"),
    "event_epoch": ("explore", "event"),
    "semaphore_wake": ("explore", "semaphore"),
    "semaphore_refill": ("explore", "semaphore"),
    "condition_notify": ("tsan", "condition"),
    "condition_seen": ("tsan", "condition"),
    "condition_wake": ("explore", "condition"),
    "condition_pass_on": ("explore", "condition"),
    "gate_open": ("tsan", "gate"),
    "gate_seen": ("tsan", "gate"),
    "gate_wake": ("explore", "gate"),
    "gate_casualty": ("explore", "gate"),
    "gate_mend": ("explore", "gate"),
    "gate_arrived_last": ("explore", "gate"),
    "ring_commit": ("tsan", "ring"),
    "ring_seen": ("tsan", "ring"),
    "ring_freed": ("tsan", "ring"),
    "ring_space": ("tsan", "ring"),
    "ring_wake_getter": ("explore", "ring"),
    "ring_wake_putter": ("explore", "ring"),
    "fifo_commit": ("tsan", "fifo"),
    "fifo_seen": ("tsan", "fifo"),
    "fifo_space": ("tsan", "fifo"),
    "fifo_freed": ("tsan", "fifo"),
    "fifo_final_tail": ("explore", "fifo", "fifo_pair.plain"),
    "queue_mend": ("explore", "fifo", "fifo_pair.death"),
    "queue_wake_getter": ("explore", "fifo", "fifo_two_producers.plain"),
    "queue_wake_putter": ("explore", "fifo", "fifo_two_producers.plain"),
    "queue_wake_joiner": ("explore", "fifo", "fifo_join.plain"),
    "queue_settle": ("explore", "fifo", "fifo_pair.death"),
    "shelf_mend": ("explore", "shelf"),
}
# Named in core/mutants.h, but no test here can object: why.
EXEMPT = {
    "shelf_commit": "items are read under the lock that the producer released; the order counts only if it died in "
    "between, and no stress thread can stop there",
}


building: collections.defaultdict[Path, threading.Lock] = collections.defaultdict(threading.Lock)


@dataclasses.dataclass
class Outcome:
    """How one test went: its name, whether it passed, what to say on its line, and what to show if it failed."""

    name: str
    good: bool
    note: str
    output: str = ""


def compile_to(target: Path, flags: list[str], sources: list[Path], depends: list[Path]) -> None:
    """Run the compiler unless `target` is newer than all it is made of; raises CalledProcessError with its output."""
    newest = max(path.stat().st_mtime for path in [*sources, *depends, Path(__file__)])
    if target.exists() and target.stat().st_mtime > newest:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [CC, *BASE, *flags, *map(str, sources), "-o", str(target)]
    subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def build(flavour: str, name: str, mutant: str = "none") -> Path:
    """The program for `name` (a file of the same name makes it) in one flavour; its path."""
    where = BUILD / (flavour if mutant == "none" else f"mutants/{mutant}")
    flags = [*FLAVOURS[flavour], f"-DHF_MUTANT={mutant}"]
    headers = [*CORE.glob("*.h"), *HERE.glob("*.h")]
    parts = PARTS if flavour == "explore" else [*PARTS, "platform_linux"]
    if name in ARENA_TESTS:
        parts = [*parts, *ARENA]
    objects = [where / f"{part}.o" for part in parts]
    with building[where]:
        for part, object_file in zip(parts, objects, strict=True):
            compile_to(object_file, [*flags, *STRICT, "-c"], [CORE / f"{part}.c"], headers)
    beside = ["arena"] if name in ARENA_TESTS else {"explore": EXPLORER, "death": []}.get(flavour, ["stress"])
    sources = [HERE / f"{part}.c" for part in [*beside, name]]
    compile_to(where / f"{name}.x", [*flags, "-Wno-clobbered"], [*sources, *objects], headers)
    return where / f"{name}.x"


def fixed_addresses() -> list[str]:
    """ThreadSanitizer of older compilers cannot bear much address randomisation: a prefix that turns it off."""
    prefix = ["setarch", platform.machine(), "-R"]
    if shutil.which("setarch") is None:
        return []
    works = subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0
    return prefix if works else []


def run(flavour: str, program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; a hang counts as failure, after its own watchdog or TIMEOUT seconds."""
    command = [*(fixed_addresses() if flavour == "tsan" else []), str(program), *arguments]
    environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1:exitcode=66"}
    try:
        return subprocess.run(
            command,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            timeout=TIMEOUT,
        )
    except subprocess.TimeoutExpired as late:
        text = late.stdout.decode(errors="replace") if late.stdout else ""
        return subprocess.CompletedProcess(command, 124, text + f"\nno end after {TIMEOUT} s\n")


def summary(flavour: str, output: str) -> str:
    """What a good run has to say for itself, on one line."""
    if flavour == "explore":
        counts = [int(n) for n in re.findall(r": (\d+) schedules", output)]
        cut = output.count("some with one more")
        return f"{sum(counts):,} schedules in {len(counts)} searches, {cut} cut short at the last bound"
    return "; ".join(re.sub(r"^ok +\w+:? ?", "", line) for line in output.splitlines() if line.startswith("ok"))


def prove(flavour: str, name: str) -> Outcome:
    """Build and run one test that must pass."""
    start = time.monotonic()
    done = run(flavour, build(flavour, name))
    note = summary(flavour, done.stdout) if done.returncode == 0 else f"exit status {done.returncode}"
    return Outcome(f"{flavour} {name}", done.returncode == 0, f"{note} ({time.monotonic() - start:.1f} s)", done.stdout)


def attack(mutant: str) -> Outcome:
    """Build the core with one thing broken and run the test that must object.

    An objection is a failed check, a lost wake-up or a data race; a crash or the end by a watchdog is none.
    """
    if mutant in EXEMPT:
        return Outcome(f"mutant {mutant}", True, f"exempt: {EXEMPT[mutant]}")
    if mutant not in KILLERS:
        return Outcome(f"mutant {mutant}", False, "no test named for it in prove.py")
    flavour, primitive, *only = KILLERS[mutant]
    name = f"{'explore' if flavour == 'explore' else 'stress'}_{primitive}"
    arguments = ["--random", "0"] if flavour == "explore" else []
    arguments += ["--only", *only] if only else []
    done = run(flavour, build(flavour, name, mutant), *arguments)
    found = re.search(r"FAIL .*|WARNING: ThreadSanitizer: [\w ]+", done.stdout)
    objected = done.returncode in (1, 66) and found is not None
    note = f"{name} objects: {found.group()[:90]}" if objected and found else f"survives {name}"
    return Outcome(f"mutant {mutant}", objected, note, "" if objected else done.stdout[-2000:])


def mutants() -> list[str]:
    """The names in core/mutants.h."""
    return re.findall(r"X\((\w+)\)", (CORE / "mutants.h").read_text())


def plan(wanted: list[str]) -> list[tuple[str, str]]:
    """What to do: (kind, name), kinds as on the command line; other words there pick tests by name."""
    everything = [
        *(("explore", f"explore_{name}") for name in PRIMITIVES),
        *(("tsan", f"stress_{name}") for name in PRIMITIVES),
        *(("asan", f"stress_{name}") for name in PRIMITIVES),
        ("tsan", "stress_session"),
        ("asan", "stress_session"),
        ("asan", "stress_leak"),
        ("death", "stress_death"),
        ("death", "stress_death_session"),
        ("death", "stress_death_queue"),
        ("death", "stress_leak"),
        *(("mutants", name) for name in mutants()),
    ]
    kinds = {kind for kind, _ in everything} & set(wanted)
    names = set(wanted) - kinds
    return [(kind, name) for kind, name in everything if kind in kinds and (not names or name in names)]


def do(task: tuple[str, str]) -> Outcome:
    """One task of the plan; a compiler's complaint is a failure like another."""
    kind, name = task
    try:
        return attack(name) if kind == "mutants" else prove(kind, name)
    except subprocess.CalledProcessError as error:
        return Outcome(f"{kind} {name}", False, "does not build", error.stdout)


def main(wanted: list[str]) -> int:
    """Do what the command line asks for, JOBS at a time; the number of failures, at most 1, is the exit status."""
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for outcome in pool.map(do, plan(wanted)):
            passed += outcome.good
            failed += not outcome.good
            print("ok  " if outcome.good else "FAIL", f"{outcome.name}: {outcome.note}", flush=True)
            if not outcome.good:
                print("\n".join(f"     {line}" for line in outcome.output.splitlines()[:60]), flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
