"""Files are written whole or not at all."""

import os

import pytest

from deepseq_nb.core.files import write_atomic


def test_write_atomic_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path):
    path = write_atomic(tmp_path / "new" / "x.txt", "one")
    assert write_atomic(path, b"two") == path and path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["x.txt"]


def test_write_atomic_keeps_the_old_file_where_writing_fails(tmp_path, monkeypatch):
    path = write_atomic(tmp_path / "x.txt", "one")

    def full(number):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_atomic(path, "two")
    assert path.read_text() == "one" and os.listdir(tmp_path) == ["x.txt"]


def test_write_atomic_does_not_overwrite_unless_told(tmp_path):
    path = write_atomic(tmp_path / "x.txt", "one", overwrite=False)
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_atomic(path, "two", overwrite=False)
    with pytest.raises(IsADirectoryError, match="folder"):
        write_atomic(tmp_path, "two")
    assert path.read_text() == "one"


def test_write_atomic_follows_a_link(tmp_path):
    real = write_atomic(tmp_path / "real.txt", "one")
    (tmp_path / "link.txt").symlink_to(real)
    write_atomic(tmp_path / "link.txt", "two")
    assert (tmp_path / "link.txt").is_symlink() and real.read_text() == "two"
