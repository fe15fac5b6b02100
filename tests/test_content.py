"""The object store: each content once, whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gitexp.domain.pointer import Pointer
from gitexp.errors import CorruptData, NotFound, StorageFailed, UsageError
from gitexp.store.content import ContentStore

CONTENT = bytes(range(256)) * 400


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(str(tmp_path / "gitexp" / "objects"))


def object_file(store: ContentStore, sha256: str) -> Path:
    return Path(store.folder, sha256[:2], sha256[2:4], sha256)


def unfinished(store: ContentStore) -> list[str]:
    return os.listdir(os.path.join(os.path.dirname(store.folder), "tmp"))


@pytest.mark.parametrize("size", [0, 1, 70_000, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_a_file_comes_back_by_its_pointer(size: int, store: ContentStore, tmp_path: Path) -> None:
    """A file of any size is read back byte for byte by its SHA-256 and size; what is stored is read-only."""
    content = (CONTENT * (size // len(CONTENT) + 1))[:size]
    source = tmp_path / "model.bin"
    source.write_bytes(content)
    pointer = store.add_file(source)
    assert pointer == Pointer(sha256=hashlib.sha256(content).hexdigest(), size_bytes=size)
    with store.open(pointer) as file:
        assert file.read() == content
    assert store.verify(pointer.sha256) and store.contains(pointer) and store.contains(pointer.sha256)
    assert not stat.S_IMODE(object_file(store, pointer.sha256).stat().st_mode) & 0o222
    assert source.read_bytes() == content and unfinished(store) == []


def test_one_content_is_stored_once(store: ContentStore, tmp_path: Path) -> None:
    """Bytes and files of the same content share one object, which counts as new again, so that `gc` spares it."""
    pointer = store.add_bytes(CONTENT)
    path = object_file(store, pointer.sha256)
    inode = path.stat().st_ino
    (tmp_path / "copy").write_bytes(CONTENT)
    for way in ("bytes", "file"):
        os.utime(path, (1, 1))
        assert pointer == (store.add_bytes(CONTENT) if way == "bytes" else store.add_file(str(tmp_path / "copy")))
        assert path.stat().st_ino == inode and path.stat().st_mtime > 1
    ((sha256, size, _),) = store.list()
    assert (sha256, size) == (pointer.sha256, len(CONTENT))


def test_a_damaged_object_is_told_and_replaced(store: ContentStore) -> None:
    """Content of another size is never handed out, a flipped bit fails `verify`, and adding it again repairs it."""
    pointer = store.add_bytes(CONTENT)
    path = object_file(store, pointer.sha256)
    path.chmod(0o644)
    path.write_bytes(CONTENT[:-1] + b"x")
    assert not store.verify(pointer.sha256)
    path.write_bytes(CONTENT[:-1])
    assert not store.contains(pointer)
    with pytest.raises(CorruptData, match="102,399 bytes, not 102,400"):
        store.open(pointer)
    store.add_bytes(CONTENT)
    assert store.verify(pointer.sha256)


def test_what_is_not_there(store: ContentStore) -> None:
    """Content that is not stored is not found; removing it is fine; a name that is no SHA-256 reaches no path."""
    pointer = Pointer(sha256="a" * 64, size_bytes=1)
    assert not store.contains(pointer) and list(store.list()) == []
    store.remove(pointer.sha256)
    for ask in (lambda: store.open(pointer), lambda: store.verify(pointer.sha256)):
        with pytest.raises(NotFound):
            ask()
    with pytest.raises(UsageError):
        store.contains("../" * 21 + "x")


def test_removing_leaves_the_others(store: ContentStore) -> None:
    """Removed content is gone, with the folders it leaves empty; other content stays."""
    pointers = [store.add_bytes(bytes([number]) * 100) for number in range(20)]
    for pointer in pointers[:19]:
        store.remove(pointer.sha256)
    assert [found.sha256 for found in store.list()] == [pointers[19].sha256]
    assert len(os.listdir(store.folder)) == 1


def test_only_regular_files_are_stored(store: ContentStore, tmp_path: Path) -> None:
    """A folder, a fifo nobody writes to and a device are refused at once; a missing file says its name."""
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(UsageError, match="not a regular file"):
            store.add_file(path)
    with pytest.raises(StorageFailed, match=r"nothing\.bin"):
        store.add_file(tmp_path / "nothing.bin")


def test_a_file_that_grows_meanwhile(store: ContentStore, tmp_path: Path) -> None:
    """While somebody appends to a file, what is stored is some state of it, under the SHA-256 of just that."""
    source = tmp_path / "growing.log"
    source.write_bytes(CONTENT)
    stop = threading.Event()

    def grow() -> None:
        with source.open("ab") as file:
            while not stop.is_set() and file.tell() < 10_000_000:
                file.write(CONTENT)

    thread = threading.Thread(target=grow)
    thread.start()
    pointers = [store.add_file(source) for _ in range(5)]
    stop.set()
    thread.join()
    assert all(store.verify(pointer.sha256) and store.contains(pointer) for pointer in pointers)


def test_threads_add_the_same_content(store: ContentStore) -> None:
    """Threads that add the same content at once, while another removes it, all succeed and leave nothing unfinished."""
    failures: list[Exception] = []

    def add() -> None:
        try:
            for number in range(30):
                store.add_bytes(b"%d" % (number % 3) * 100_000)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        for found in store.list():
            store.remove(found.sha256)
    for thread in threads:
        thread.join()
    assert failures == [] and unfinished(store) == []
    assert all(store.verify(found.sha256) for found in store.list())


@pytest.mark.parametrize("way", ["bytes", "file"])
def test_a_full_disk_leaves_nothing_behind(way: str, store: ContentStore, tmp_path: Path) -> None:
    """When the disk is full the error says so, and no part of the content stays, under any name."""
    (tmp_path / "model.bin").write_bytes(CONTENT)
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
            with pytest.raises(StorageFailed, match="too large"):
                store.add_bytes(CONTENT) if way == "bytes" else store.add_file(tmp_path / "model.bin")
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert unfinished(store) == [] and list(store.list()) == []


def test_memory_stays_constant(store: ContentStore, tmp_path: Path) -> None:
    """A file of 300 MiB is stored by a process that may not use 100 MiB more than it has."""
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(300 << 20)
    script = (
        "import resource, sys\n"
        "from gitexp.store.content import ContentStore\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20),) * 2)\n"
        "print(ContentStore(sys.argv[1]).add_file(sys.argv[2]).size_bytes)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, store.folder, str(big)], capture_output=True, text=True, check=False
    )
    assert done.stdout == f"{300 << 20}\n", done.stderr


def test_whoever_comes_while_another_finishes(store: ContentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that becomes content between its opening and its locking is left alone, and received anew."""
    pointer = Pointer(sha256=hashlib.sha256(CONTENT).hexdigest(), size_bytes=len(CONTENT))
    lock = fcntl.flock
    with store.arriving(pointer) as first:
        first.write(CONTENT)

        def lock_late(fd: int, operation: int) -> None:
            if not store.contains(pointer):
                first.finish()
                lock(first._fd, fcntl.LOCK_UN)  # as the other process does when it has gone on
            lock(fd, operation)

        monkeypatch.setattr(fcntl, "flock", lock_late)
        with store.arriving(pointer) as second:
            assert second.received == 0
            second.restart()
            assert store.verify(pointer.sha256)
            second.write(CONTENT)
            second.finish()
    assert store.verify(pointer.sha256)
    assert unfinished(store) == []
