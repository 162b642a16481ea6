"""Files are written whole or not at all."""

import errno
import gzip
import os
import socket
import stat
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest

from deepseq_nb.core import files
from deepseq_nb.core.errors import ConfigError, DatasetError, DeepseqError
from deepseq_nb.core.files import (
    held,
    read_json,
    read_unpacked,
    temporary_name,
    write_atomic,
    write_pair,
)


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


def test_write_atomic_replaces_a_link_where_it_must_not_follow(tmp_path):
    real = write_atomic(tmp_path / "real.txt", "one")
    (tmp_path / "link.txt").symlink_to(real)
    (tmp_path / "loose.txt").symlink_to(tmp_path / "absent.txt")
    (tmp_path / "folder").mkdir()
    for name in ("link.txt", "loose.txt"):
        write_atomic(tmp_path / name, "two", follow=False)
        assert not (tmp_path / name).is_symlink() and (tmp_path / name).read_text() == "two"
    assert real.read_text() == "one" and not (tmp_path / "absent.txt").exists()


def test_write_atomic_refuses_a_pipe_and_a_socket(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name in ("pipe", "socket"):
            with pytest.raises(OSError, match=f"{name} is a device, pipe or socket"):
                write_atomic(tmp_path / name, "two")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(OSError, match="/dev/null is a device"):
        write_atomic("/dev/null", "two")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert sorted(os.listdir(tmp_path)) == ["pipe", "socket"]


def test_what_cannot_be_written_is_called_by_the_users_name(tmp_path, monkeypatch):
    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError) as caught:
            write_atomic(tmp_path / "x.txt", "one")
    assert str(caught.value) == f"{tmp_path}/x.txt cannot be written: No space left on device"
    assert caught.value.errno == errno.ENOSPC and os.listdir(tmp_path) == []
    write_atomic(tmp_path / "file", "one")
    with pytest.raises(OSError, match="file/below cannot be made"):
        write_atomic(tmp_path / "file" / "below" / "x.txt", "one")


def test_of_two_writers_that_must_not_overwrite_only_one_succeeds(tmp_path, monkeypatch):
    waited = os.fsync

    def meanwhile(number):  # another process writes the file just before the rename
        waited(number)
        (tmp_path / "x.txt").write_text("the other's")

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(FileExistsError, match=r"x\.txt exists"):
        write_atomic(tmp_path / "x.txt", "one", overwrite=False)
    assert (tmp_path / "x.txt").read_text() == "the other's"
    assert os.listdir(tmp_path) == ["x.txt"]


@pytest.mark.parametrize("old", [False, True], ids=["new", "in the place of old ones"])
@pytest.mark.parametrize(("place", "named"), [(1, "note.json"), (2, "data.csv")])
def test_of_a_pair_both_are_written_or_none(tmp_path, monkeypatch, place, named, old):
    folder, written = tmp_path / "made", []
    pair = (folder / "data.csv", "a\n", folder / "note.json", "{}")
    if old:
        assert write_pair(*pair) == pair[0]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(before) == 2 * old

    def fsync(number):
        written.append(number)
        if len(written) == place:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=rf"made/{named} cannot be written: No space left") as caught:
        write_pair(folder / "data.csv", "b\n", folder / "note.json", "[]")
    assert caught.value.errno == errno.ENOSPC and len(written) == place
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert folder.exists() == old


def test_a_pair_is_refused_where_one_is_there_or_no_file(tmp_path):
    file, note = tmp_path / "data.csv", tmp_path / "note.json"
    note.mkdir()
    with pytest.raises(IsADirectoryError, match=r"note\.json is a folder"):
        write_pair(file, "a", note, "{}")
    assert not file.exists()
    note.rmdir()
    write_pair(file, "a", note, "{}")
    with pytest.raises(FileExistsError, match="--overwrite"):
        write_pair(file, "b", note, "[]", overwrite=False)
    assert (file.read_text(), note.read_text()) == ("a", "{}") and len([*tmp_path.iterdir()]) == 2


def test_writing_a_pair_sweeps_what_a_dead_process_left_of_either(tmp_path):
    pair = tmp_path / "data.csv", tmp_path / "note.json"
    for path in pair:
        name = temporary_name(path).name.replace(f"-{os.getpid()}-", f"-{2**22 + 1}-")
        (tmp_path / name).write_text("half")
    write_pair(pair[0], "a", pair[1], "{}")
    assert sorted(tmp_path.iterdir()) == [*pair]


def test_a_disk_without_second_names_is_written_to_all_the_same(tmp_path, monkeypatch):
    def none(*names):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "link", none)
    assert write_atomic(tmp_path / "x.txt", "one", overwrite=False).read_text() == "one"
    assert os.listdir(tmp_path) == ["x.txt"]


ODD = {
    "nested": "[" * 100_000,
    "nested objects": '{"a":' * 100_000,
    "long number": '{"steps": ' + "9" * 400 + "}",
    "very long number": '{"steps": ' + "9" * 10_000 + "}",
    "no object": "1",
    "half": '{"steps":',
    "empty": "",
    "no text": b'{"name": "\xff\xfe"}',
}


@pytest.mark.parametrize("name", ODD)
def test_json_that_is_no_object_is_one_sentence(tmp_path, name):
    path, content = tmp_path / "x.json", ODD[name]
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DatasetError, match=r"x\.json (cannot be read|holds no object)") as caught:
        read_json(path, DatasetError)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    assert caught.value.file == str(path)


def test_json_holds_whole_numbers_of_64_bits(tmp_path):
    for number, fits in ((2**63 - 1, True), (-(2**63) + 1, True), (2**63, False)):
        (tmp_path / "x.json").write_text(f'{{"seed": {number}}}')
        if fits:
            assert read_json(tmp_path / "x.json", DatasetError) == {"seed": number}
        else:
            with pytest.raises(DatasetError, match="whole number of 19 digits"):
                read_json(tmp_path / "x.json", DatasetError)


HOLD = """
import sys
from deepseq_nb.core.files import held
with held(sys.argv[1], "run"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_in_work_belongs_to_one_process_until_it_is_dead(tmp_path):
    lock = tmp_path / "a" / "run" / ".lock"
    words = [sys.executable, "-c", HOLD, lock]
    other = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    with pytest.raises(ConfigError, match="run is being written by another process"):
        with held(lock, "run"):
            raise AssertionError("two at once")
    other.kill()
    other.wait()
    assert lock.exists()  # the file is there, its lock is not
    with held(lock, "run"):
        assert lock.exists()
    assert list(lock.parent.iterdir()) == []
    other.stdin.close(), other.stdout.close()


def test_folders_made_for_a_lock_go_again_unless_something_is_in_them(tmp_path):
    with held(tmp_path / "a" / "run" / ".lock", "run"):
        pass
    assert list(tmp_path.iterdir()) == []
    with held(tmp_path / "a" / "run" / ".lock", "run"):
        (tmp_path / "a" / "model").write_text("kept")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "model"]


def test_a_lock_is_no_way_to_a_strangers_file(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match=r"\.lock cannot be written"):
        with held(tmp_path / ".lock", "run"):
            raise AssertionError("followed")
    assert (tmp_path / "mine").read_text() == "mine"


def test_the_one_who_leaves_does_not_take_the_next_ones_lock_along(tmp_path):
    """Threads take turns; two that believe they are alone would be seen."""
    inside, seen = [], []

    def work():
        for _ in range(50):
            try:
                with held(tmp_path / ".lock", "run"):
                    inside.append(1)
                    seen.append(len(inside))
                    inside.pop()
            except ConfigError:
                continue

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {1} and not (tmp_path / ".lock").exists()


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_that_takes_too_much_memory_is_refused_while_it_is_read(
    tmp_path, monkeypatch, packed
):
    """A gzip file of some kB can hold gigabytes; what is not unpacked is not held."""
    monkeypatch.setattr(files, "_memory_at_hand", lambda: 3 * 2**21)
    path = tmp_path / "bomb"
    content = bytes(2**21)
    path.write_bytes(gzip.compress(content) if packed else content)
    assert read_unpacked(path, DeepseqError, "a table") == content
    content = bytes(2**25)
    path.write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    with pytest.raises(DeepseqError, match=r"bomb: it holds more than 0\.002 GiB"):
        read_unpacked(path, DeepseqError, "a table")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero here")
def test_a_file_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr(files, "_memory_at_hand", lambda: 2**22)
    with pytest.raises(DeepseqError, match="it holds more than"):
        read_unpacked("/dev/zero", DeepseqError, "a table")


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v as Linux has it")
def test_the_memory_at_hand_follows_the_limit_of_the_process():
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30)); "
    code += "from deepseq_nb.core.files import _memory_at_hand; print(_memory_at_hand())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 0 < int(done.stdout) < 3 * 2**30


def test_writing_a_file_sweeps_what_a_dead_process_left_of_it(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host, mine = temporary_name(tmp_path / "s.csv").name.split(".")[-2].split("-")[:2]
    dead, living = (tmp_path / f".s.csv.{host}-{pid}-{'0a' * 6}.tmp" for pid in (gone.pid, mine))
    other = tmp_path / f".t.csv.{host}-{gone.pid}-{'0a' * 6}.tmp"
    for path in (dead, living, other):
        path.write_text("half")
    write_atomic(tmp_path / "s.csv", "whole")
    assert sorted(tmp_path.iterdir()) == sorted([living, other, tmp_path / "s.csv"])


def test_hidden_files_of_somebody_else_are_never_swept(tmp_path):
    """They end in .tmp, and are old; what a dead process of ours left is known by the whole of its name."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = temporary_name(tmp_path / "new").name.split(".")[-2].split("-")[0]
    left = tmp_path / f".new.{host}-{gone.pid}-{'0a' * 6}.tmp"
    for folder in (left, tmp_path / ".backup.tmp", tmp_path / ".s.csv.mine.tmp"):
        folder.mkdir()
        (folder / "precious").write_text("mine\n")
    (tmp_path / ".old.tmp").write_text("mine\n")
    (tmp_path / ".link.0.tmp").symlink_to(tmp_path / ".backup.tmp")
    kept = [".backup.tmp", ".old.tmp", ".s.csv.mine.tmp"]
    for name in (*kept, ".link.0.tmp", ".backup.tmp/precious"):
        os.utime(tmp_path / name, (0, 0), follow_symlinks=False)
    files.remove_leftovers(tmp_path)
    write_atomic(tmp_path / "s.csv", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [*kept, "s.csv"]
    assert (tmp_path / ".backup.tmp/precious").read_text() == "mine\n"
