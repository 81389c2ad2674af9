"""`holdfast.workers.handover`: one outcome's file."""

from __future__ import annotations

import os
import stat

import pytest

from holdfast.workers import handover


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "outcome-1")


def test_an_outcome_is_taken_once(path):
    """What was written is read once, and then nothing is left."""
    handover.write(path, b"data")
    assert handover.take(path) == b"data"
    assert handover.take(path) is None
    assert os.listdir(os.path.dirname(path)) == []


def test_it_is_for_the_owner_alone(path):
    """The file's mode is 0600 whatever the umask allows."""
    before = os.umask(0)
    try:
        handover.write(path, b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_no_symlink_is_followed(path, tmp_path):
    """Neither the writer nor the reader goes where a link points."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    os.symlink(victim, path + ".tmp")
    with pytest.raises(FileExistsError):
        handover.write(path, b"data")
    os.symlink(victim, path)
    with pytest.raises(OSError, match="symbolic"):
        handover.take(path)
    assert victim.read_bytes() == b"precious"


def test_an_unfinished_outcome_is_none_and_can_be_discarded(path, tmp_path):
    """A child that died while it wrote has given nothing; both names are removed."""
    (tmp_path / "outcome-1.tmp").write_bytes(b"hal")
    assert handover.take(path) is None
    handover.discard(path)
    assert list(tmp_path.iterdir()) == []
    handover.discard(path)


def test_a_failed_write_leaves_nothing(path, tmp_path, monkeypatch):
    """No room: the error is raised, and the half-written file is gone."""

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="No space"):
        handover.write(path, b"data")
    assert list(tmp_path.iterdir()) == []


def test_new_places_differ_and_lie_in_the_session():
    """Each process gets a name of its own, in a directory that only we can enter."""
    (session, first), (same, second) = handover.new_place(), handover.new_place()
    assert session == same
    assert first != second
    assert stat.S_IMODE(os.stat(os.path.dirname(first)).st_mode) == 0o700
