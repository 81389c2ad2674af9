"""Sessions: private files, other people's files, how members come and go, and that nothing is left."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap

import pytest
from tests.core.tools import until

from holdfast.core import _native, place, session

USER = f"holdfast-{os.getuid()}"
ROOT_ONLY = pytest.mark.skipif(os.getuid() != 0, reason="needs root to make files of other users")


@pytest.fixture
def program(run_python, place_of_its_own):
    """Run a program whose sessions lie in a place of its own."""

    def run(code, *args, **options):
        return run_python(code, *args, env={"HOLDFAST_DIR": str(place_of_its_own)}, **options)

    return run


@pytest.fixture
def start(place_of_its_own):
    """Start a program, wait for its first line; it is killed in the end."""
    begun = []

    def run(code):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={**os.environ, "HOLDFAST_DIR": str(place_of_its_own)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        begun.append(process)
        return process, process.stdout.readline().strip()

    yield run
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


STAYS = """
    import holdfast, sys
    lock = holdfast.Lock()
    print(holdfast.core.session.directory(lock.session), flush=True)
    sys.stdin.read()
"""


def test_private(start, place_of_its_own):
    """Directories are 0700 and files 0600, whatever the umask; nothing else is made."""
    _, directory = start("import os; os.umask(0)\n" + textwrap.dedent(STAYS))
    modes = {
        os.path.relpath(path, place_of_its_own): stat.S_IMODE(os.lstat(path).st_mode)
        for folder, _, files in os.walk(place_of_its_own / USER)
        for path in [folder, *(os.path.join(folder, file) for file in files)]
    }
    inside = os.path.join(USER, os.path.basename(directory))
    assert modes == {USER: 0o700, inside: 0o700, f"{inside}/live": 0o600, f"{inside}/arena": 0o600}


def test_a_normal_end_leaves_nothing(program, place_of_its_own):
    """The last member takes the session and the user's directory with it."""
    done = program("import holdfast; holdfast.Lock(); holdfast.Event(name='x'); print('made')")
    assert (done.stdout, done.stderr) == ("made\n", "")
    assert os.listdir(place_of_its_own) == []


def test_import_alone_makes_nothing(program, place_of_its_own):
    """Importing makes no session, and no file."""
    done = program("import holdfast, holdfast.sync.lock, os; print(os.listdir(os.environ['HOLDFAST_DIR']))")
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("target", ["folder", "nowhere"])
def test_a_link_in_the_users_place(program, place_of_its_own, tmp_path, target):
    """A link planted where the user's directory belongs is refused, and what it leads to is not touched."""
    (tmp_path / "folder").mkdir()
    os.symlink(tmp_path / target, place_of_its_own / USER)
    done = program("import holdfast; holdfast.Lock()")
    assert "SessionError" in done.stderr
    assert "is not a directory; remove it or set HOLDFAST_DIR" in done.stderr
    assert os.listdir(tmp_path / "folder") == []
    assert not (tmp_path / "nowhere").exists()


@ROOT_ONLY
def test_a_directory_of_somebody_else(program, place_of_its_own):
    """Another user's directory in our place is refused, with both names."""
    (place_of_its_own / USER).mkdir(mode=0o700)
    os.chown(place_of_its_own / USER, 4242, 4242)
    done = program("import holdfast; holdfast.Lock()")
    assert "SessionError: [Errno 1]" in done.stderr
    assert f"belongs to user 4242, not to {os.getuid()}" in done.stderr
    assert os.listdir(place_of_its_own / USER) == []


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707])
def test_a_directory_open_to_others(program, place_of_its_own, mode):
    """A directory that others may enter is refused, with its mode."""
    (place_of_its_own / USER).mkdir()
    (place_of_its_own / USER).chmod(mode)
    done = program("import holdfast; holdfast.Lock()")
    assert f"has mode {mode:04o}, open to others; chmod it to 0700" in done.stderr


@pytest.mark.parametrize("name", ["live", "arena"])
def test_a_link_in_place_of_a_session_file(name, start, program, tmp_path):
    """Who joins a session opens its files without following links."""
    process, directory = start(STAYS)
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    secret.chmod(0o600)
    os.rename(f"{directory}/{name}", f"{directory}/{name}.old")
    os.symlink(secret, f"{directory}/{name}")
    done = program(
        "import sys; from holdfast.core import session; session.attach(sys.argv[1])", os.path.basename(directory)[2:]
    )
    assert "Error" in done.stderr.splitlines()[-1]
    assert "Too many levels of symbolic links" in done.stderr
    assert secret.read_bytes() == b"x"
    process.kill()


@ROOT_ONLY
@pytest.mark.parametrize("change", ["owner", "mode"])
def test_a_session_file_of_others(change, start, program):
    """A file that is somebody else's, or open to others, is refused."""
    _, directory = start(STAYS)
    if change == "owner":
        os.chown(f"{directory}/arena", 4242, 4242)
    else:
        os.chmod(f"{directory}/arena", 0o644)
    done = program(
        "import sys; from holdfast.core import session; session.attach(sys.argv[1])", os.path.basename(directory)[2:]
    )
    assert "SessionError" in done.stderr
    assert "is not a private file of user" in done.stderr


@pytest.mark.parametrize(
    ("at", "data", "said"),
    [
        (0, b"garbage!", "it is not an arena of holdfast"),
        (8, b"\xff\0\0\0", "it was made by another version of holdfast"),
        (12, b"\xff\0\0\0", "it was made by another version of holdfast"),
        (16, b"\0\0\1\0\0\0\0\0", "its size is not what it says"),
        (32, b"\1\0\0\0\0\0\0\0", "it belongs to another process namespace"),
        (56, b"\0\0\0\0", "its maker died while making it"),
    ],
)
def test_an_arena_that_cannot_be_used(at, data, said, start, program):
    """Another version's, a damaged one, an unfinished one: SessionError says which."""
    _, directory = start(STAYS)
    with open(f"{directory}/arena", "r+b") as file:
        file.seek(at)
        file.write(data)
    done = program(
        "import sys; from holdfast.core import session; session.attach(sys.argv[1])", os.path.basename(directory)[2:]
    )
    assert "SessionError" in done.stderr
    assert f"cannot be joined: the arena cannot be used: {said}" in done.stderr


def test_not_an_arena_at_all(tmp_path):
    """A file that is too small is no arena."""
    with open(tmp_path / "small", "w+b") as file:
        with pytest.raises(ValueError, match="it is too small"):
            _native.Session(os.dup(file.fileno()), 0, 0, "x")


def test_a_killed_program_is_cleared_by_the_next(start, program, place_of_its_own):
    """After kill -9 one more start of any holdfast program leaves nothing."""
    process, directory = start(STAYS)
    process.kill()
    process.wait()
    assert os.path.isdir(directory)
    program("import holdfast; holdfast.Lock()")
    assert os.listdir(place_of_its_own) == []


def test_a_killed_maker_of_names_is_cleared(start, program, place_of_its_own):
    """The same for named objects: the name is gone with the last who held it."""
    process, _ = start(
        "import holdfast, sys; e = holdfast.Event(name='x'); e.set(); print('made', flush=True); input()"
    )
    assert program("import holdfast; print(holdfast.Event(name='x').is_set())").stdout == "True\n"
    process.kill()
    process.wait()
    assert program("import holdfast; print(holdfast.Event(name='x').is_set())").stdout == "False\n"
    assert os.listdir(place_of_its_own) == []


def test_a_living_session_is_not_cleared(start, program):
    """Other programs' starts and ends do not disturb it."""
    process, directory = start(STAYS)
    for _ in range(3):
        program("import holdfast; holdfast.Lock()")
        assert sorted(os.listdir(directory)) == ["arena", "live"]
    process.communicate("")
    assert not os.path.exists(directory)


def test_a_forked_child_keeps_the_session(program, place_of_its_own):
    """The parent ends (as a daemon's does, at once); the child goes on, others start, and the last takes it all."""
    done = program("""
        import os, sys, time, holdfast
        lock = holdfast.Lock()
        directory = holdfast.core.session.directory(lock.session)
        read, write = os.pipe()
        if os.fork():
            os._exit(0) if "hard" in sys.argv else sys.exit()
        while os.getppid() != 1 and os.path.exists(f"/proc/{os.getppid()}/stat") and len(lock.session.members()) > 1:
            time.sleep(0.001)
        with lock:
            import subprocess
            subprocess.run([sys.executable, "-c", "import holdfast; holdfast.Lock()"])
            print(os.path.exists(directory), lock.locked())
    """)
    assert done.stdout == "True True\n", done.stderr
    until(lambda: os.listdir(place_of_its_own) == [], "nothing left")


def test_a_daemon_that_closed_all_its_files(start, program):
    """It has lost its liveness lock; the process table still says that it lives, so nobody takes its memory."""
    process, directory = start("""
        import holdfast, os, sys
        lock = holdfast.Lock()
        print(holdfast.core.session.directory(lock.session), flush=True)
        os.closerange(3, 200)
        sys.stdin.read()
    """)
    until(lambda: len(os.listdir(f"/proc/{process.pid}/fd")) <= 4, "files closed")
    program("import holdfast; holdfast.Lock()")
    assert sorted(os.listdir(directory)) == ["arena", "live"]
    process.kill()
    process.wait()
    program("import holdfast; holdfast.Lock()")
    assert not os.path.exists(directory)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing(method, program, place_of_its_own):
    """Children that end by os._exit, one of them after the main program: nothing is left."""
    done = program(f"""
        import multiprocessing, holdfast
        def use(lock):
            with lock:
                holdfast.Event()
        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            lock = holdfast.Lock()
            children = [context.Process(target=use, args=(lock,)) for _ in range(3)]
            for child in children:
                child.start()
            for child in children[:2]:
                child.join()
            print("the main program ends")
    """)
    assert (done.stdout, done.stderr) == ("the main program ends\n", "")
    until(lambda: os.listdir(place_of_its_own) == [], "nothing left")


def test_ten_thousand_of_each(program, place_of_its_own):
    """10,000 locks and 10,000 values at once: no descriptor each, no file each, and freed when dropped."""
    done = program("""
        import os, holdfast
        from holdfast.core import _native, session
        first = holdfast.Lock()
        def state():
            folder = session.directory(first.session)
            return len(os.listdir("/proc/self/fd")), len(os.listdir(folder)), session.current().stats()["blocks"]
        before = state()
        locks = [holdfast.Lock() for _ in range(10_000)]
        cells = [_native.Cell(session.current(), None, "q", i) for i in range(10_000)]
        now = state()
        assert now == (before[0], before[1], before[2] + 20_000), (before, now)
        assert all(lock.acquire(False) for lock in locks)
        assert [cell.get() for cell in cells] == list(range(10_000))
        del locks, cells
        assert state() == before, (before, state())
        print("good")
    """)
    assert done.stdout == "good\n", done.stderr
    assert os.listdir(place_of_its_own) == []


def test_objects_work_after_leave(program, place_of_its_own):
    """leave() may be called twice, and early; what the process holds goes on working."""
    done = program("""
        import holdfast
        from holdfast.core import session
        lock = holdfast.Lock()
        session.leave(); session.leave()
        with lock:
            print(lock.locked(), holdfast.Event().is_set())
    """)
    assert done.stdout == "True False\n", done.stderr
    until(lambda: os.listdir(place_of_its_own) == [], "nothing left")


def test_limited_address_space(program):
    """A process that may map little gets a smaller arena."""
    done = program("""
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        import holdfast
        print(holdfast.Lock().session.size < 2 << 30)
    """)
    assert done.stdout == "True\n", done.stderr


def test_no_such_place(run_python, tmp_path):
    """A HOLDFAST_DIR that is not there is an error that names it."""
    done = run_python("import holdfast; holdfast.Lock()", env={"HOLDFAST_DIR": str(tmp_path / "nowhere")})
    assert "nowhere" in done.stderr.splitlines()[-1]


def test_a_stopped_holder_of_the_directory(start, program, place_of_its_own):
    """Somebody holds the user's directory and does not go on: after a while an error, not a hang."""
    process, _ = start(f"""
        import fcntl, os, sys
        path = {str(place_of_its_own / USER)!r}
        os.mkdir(path, 0o700)
        fd = os.open(path, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        print("locked", flush=True)
        sys.stdin.read()
    """)
    done = program("from holdfast.core import place; place.LOCK_PATIENCE = 0.2; import holdfast; holdfast.Lock()")
    assert "SessionError: [Errno 110]" in done.stderr
    assert "is its holder stopped?" in done.stderr
    process.communicate("")


def test_this_process():
    """The words of the contract: identity, directory, members."""
    mine = session.current()
    assert session.attach(session.identity(mine)) is mine
    assert len(session.identity(mine)) == 16
    place.check_private(session.directory(mine))
    member, pid, start, _label = next(row for row in mine.members() if row[1] == os.getpid())
    assert (member, start) == (mine.member, _native.process_start(pid))
    assert mine.alive(member)
