"""What holds for the project as a whole: its version, its public names, its weight, its stub and its links."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PUBLIC = """
    Lock RLock Semaphore BoundedSemaphore Event Condition Barrier Value Array share Local
    Queue LifoQueue PriorityQueue SimpleQueue Pipe Connection Empty Full ShutDown
    Thread Process current active_children cpu_count
    ProcessPoolExecutor ThreadPoolExecutor Future wait as_completed
    HoldfastError WorkerDied AbandonedWarning AbandonedError GoneError NotPicklable SessionError NameTooLongError
    RemoteError BrokenBarrierError
""".split()

# Each costs milliseconds at start-up; `import holdfast` must not bring them in.
HEAVY = "multiprocessing concurrent.futures logging ctypes numpy asyncio pathlib cloudpickle rich inspect".split()

pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]


def test_version_is_the_same_everywhere():
    """pyproject.toml, the installed package and the newest heading of the changelog name one version."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert importlib.metadata.version("holdfast") == version
    headings = re.findall(r"^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version in headings[:2]


def test_every_public_name_resolves_and_no_other_is_listed(run_python):
    """`holdfast.__all__` is the table of the design; each name can be had, and `dir` shows it before it was used."""
    done = run_python("""
        import holdfast
        listed = dir(holdfast)
        print(*sorted(name for name in holdfast.__all__ if name in listed and getattr(holdfast, name) is not None))
    """)
    assert done.returncode == 0, done.stderr
    assert sorted(set(done.stdout.split()) - {"__version__"}) == sorted(PUBLIC)


def test_an_unknown_name_is_an_attribute_error(run_python):
    """Lazy names must not turn a spelling mistake into anything but the usual error."""
    done = run_python("""
        import holdfast
        try:
            holdfast.Lokc
        except AttributeError as error:
            print(error)
    """)
    assert "holdfast" in done.stdout
    assert "Lokc" in done.stdout


def test_import_brings_in_nothing_heavy(run_python):
    """`import holdfast` alone loads no module that costs milliseconds: names are resolved when they are used."""
    done = run_python("""
        import sys
        before = set(sys.modules)
        import holdfast
        print(*(set(sys.modules) - before))
    """)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()).isdisjoint(HEAVY)


def stub_names() -> set[str]:
    """Every public class, method, function and constant in the stub of the compiled core, dotted."""
    names = set()
    tree = ast.parse((ROOT / "src/holdfast/core/_native.pyi").read_text())
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and "TypeAlias" not in ast.unparse(node.annotation):
            names.add(node.target.id)
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names.add(node.name)
            members = [child for child in node.body if isinstance(child, ast.FunctionDef)]
            # The buffer protocol of a C type has no Python face before 3.12.
            names.update(f"{node.name}.{member.name}" for member in members if member.name != "__buffer__")
    return names


def has(found: object, dotted: str) -> bool:
    for part in dotted.split("."):
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def test_stub_tells_the_truth():
    """What the stub promises, the compiled core has."""
    native = importlib.import_module("holdfast.core._native")
    assert [name for name in sorted(stub_names()) if not has(native, name)] == []


def test_compiled_core_has_nothing_the_stub_hides():
    """Every public class, method and function of the compiled core is in its stub, which is its documentation."""
    native = importlib.import_module("holdfast.core._native")
    names = set()
    for name, found in vars(native).items():
        if name.startswith("_"):
            continue
        names.add(name)
        if isinstance(found, type):
            names.update(f"{name}.{member}" for member in vars(found) if not member.startswith("_"))
    stub = stub_names()
    stub |= {f"Cell.{member}" for member in ("value",)}  # an annotated attribute
    assert sorted(names - stub) == []


def test_core_in_c_does_not_know_python():
    """Only native/binding includes Python.h."""
    includes = re.compile(r"^\s*#\s*include\s*[<\"]Python\.h", re.MULTILINE)
    assert [path.name for path in (ROOT / "native/core").iterdir() if includes.search(path.read_text())] == []


@pytest.mark.parametrize("page", pages, ids=lambda page: page.name)
def test_links_between_pages_exist(page):
    """A relative link in the pages at the top leads to a file."""
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (ROOT / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_programs_in_the_pages_run(page, run_python):
    """The first program a reader meets works as it stands."""
    (program, *_) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    done = run_python(program)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
