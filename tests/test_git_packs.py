"""The object database: packs that the real git takes, and every object that the real git has."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from dulwich.pack import create_delta
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import Git
from gitexp.errors import Conflict, CorruptData, StorageFailed
from gitexp.store.git import durable
from gitexp.store.git.database import MERGE_AT, MissingObject, ObjectDatabase
from gitexp.store.git.objects import MODE_FILE, TreeEntry, encode_commit, encode_tree, object_id
from gitexp.store.git.packs import Pack, apply_delta, encode_index
from gitexp.store.git.refs import RefStore

pytestmark = pytest.mark.slow

RUN_REF = "refs/gitexp/runs/default/"


def database_of(repo: Path) -> ObjectDatabase:
    return ObjectDatabase(f"{repo}/.git/objects")


def pack_folder(repo: Path) -> Path:
    return repo / ".git/objects/pack"


def run_objects(number: int, blobs: int = 3) -> list[tuple[str, bytes]]:
    """The objects of a small run; the commit is the last."""
    contents = [f"run {number} file {index}\n".encode() * 5 for index in range(blobs)]
    entries = [TreeEntry(b"f%d" % index, MODE_FILE, object_id("blob", data)) for index, data in enumerate(contents)]
    tree = encode_tree(entries)
    commit = encode_commit(
        tree=object_id("tree", tree).hex(), parents=[], author="A <a@b>", time=10**9 + number, message=f"run {number}"
    )
    return [*(("blob", data) for data in contents), ("tree", tree), ("commit", commit)]


def write_run(repo: Path, database: ObjectDatabase, number: int) -> str:
    """A run in the repository, held by a loose ref."""
    commit = database.write(run_objects(number), durable=False)[-1].hex()
    path = repo / ".git" / RUN_REF / f"r{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(commit + "\n")
    return commit


def everything(repo: Path) -> dict[str, tuple[str, bytes]]:
    """Kind and content of every object, by the real git."""
    command = ["git", "cat-file", "--batch-all-objects", "--batch", "--unordered"]
    out = subprocess.run(command, cwd=repo, check=True, capture_output=True).stdout
    found = {}
    while out:
        head, _, rest = out.partition(b"\n")
        name, kind, size = head.decode().split()
        found[name] = (kind, rest[: int(size)])
        out = rest[int(size) + 1 :]
    return found


def assert_reads_everything(repo: Path, database: ObjectDatabase) -> None:
    objects = everything(repo)
    assert objects
    for name, stored in objects.items():
        assert database.read(bytes.fromhex(name), verify=True) == stored


def assert_healthy(repo: Path, git: Git) -> None:
    git("fsck", "--full", "--strict", cwd=repo)
    for index in pack_folder(repo).glob("*.idx"):
        git("verify-pack", str(index), cwd=repo)


@pytest.fixture(scope="module")
def history_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose file changed little by little, so that repacking makes long chains of deltas."""
    lines = [f"line {number} {number * number}\n" for number in range(400)]
    dice = random.Random(7)
    stream = []
    for number in range(25):
        lines[dice.randrange(len(lines))] = f"changed {dice.random()}\n"
        text = "".join(lines)
        stream.append(f"commit refs/heads/main\ncommitter A <a@b> {10**9 + number} +0000\ndata 2\nm\n")
        stream.append(
            f"M 644 inline data.txt\ndata {len(text)}\n{text}\nM 644 inline n\ndata {len(str(number))}\n{number}\n"
        )
    stream.append("tag v1\nfrom refs/heads/main\ntagger A <a@b> 1000000000 +0000\ndata 2\nt\n")
    folder = tmp_path_factory.mktemp("template") / "history"
    environ = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    unpack = ["-c", "fastimport.unpackLimit=1000"]
    for command in (["init", "-q", "-b", "main", str(folder)], ["-C", str(folder), *unpack, "fast-import", "--quiet"]):
        subprocess.run(["git", *command], input="".join(stream), text=True, check=True, env=environ)
    return folder


@pytest.fixture
def history_dir(history_template: Path, tmp_path: Path) -> Path:
    """A copy of that repository, every object loose."""
    return Path(shutil.copytree(history_template, tmp_path / "history"))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["blob", "tag"]), st.binary(max_size=5000)), min_size=1, max_size=20))
def test_what_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, objects: list[tuple[str, bytes]]) -> None:
    """Any content, also twice the same, is read back under the id git would give it."""
    database = ObjectDatabase(str(tmp_path_factory.mktemp("objects")))
    oids = database.write(objects, durable=False)
    assert oids == [object_id(*stored) for stored in objects]
    assert [database.read(oid, verify=True) for oid in oids] == objects


def test_git_takes_our_packs(repo_dir: Path, git: Git) -> None:
    """fsck and verify-pack pass, cat-file reads it, and the index is byte for byte what `git index-pack` makes."""
    database = database_of(repo_dir)
    commit = write_run(repo_dir, database, 1)
    assert_healthy(repo_dir, git)
    assert git("cat-file", "-p", f"{commit}:f1", cwd=repo_dir) == "run 1 file 1\n" * 5
    [pack] = pack_folder(repo_dir).glob("*.pack")
    git("index-pack", "--no-rev-index", "-o", str(repo_dir / "by-git.idx"), str(pack), cwd=repo_dir)
    assert pack.with_suffix(".idx").read_bytes() == (repo_dir / "by-git.idx").read_bytes()
    assert pack.with_suffix(".keep").read_text() == "gitexp\n"


def test_a_big_pack_flows_to_the_disk(repo_dir: Path, git: Git) -> None:
    """A pack larger than what is held in memory is as sound as a small one."""
    dice = random.Random(1)
    objects = [("blob", dice.randbytes(3 << 20)) for _ in range(4)] + [("blob", b"small")]
    database = database_of(repo_dir)
    oids = database.write(objects)
    assert [database.read(oid) for oid in oids] == objects
    assert_healthy(repo_dir, git)
    assert not list(pack_folder(repo_dir).glob("tmp_*"))


def test_the_same_objects_twice_are_one_pack(repo_dir: Path) -> None:
    """Writing again what is there changes nothing."""
    database = database_of(repo_dir)
    database.write(run_objects(1))
    before = sorted(path.name for path in pack_folder(repo_dir).iterdir())
    database.write(run_objects(1))
    assert sorted(path.name for path in pack_folder(repo_dir).iterdir()) == before


def test_nothing_to_write_writes_nothing(repo_dir: Path) -> None:
    """An empty list of objects makes no pack."""
    assert database_of(repo_dir).write([]) == []
    assert not list(pack_folder(repo_dir).iterdir())


@pytest.mark.parametrize("deltas", ["true", "false"], ids=["ofs-delta", "ref-delta"])
def test_deltas_are_read(history_dir: Path, git: Git, deltas: str) -> None:
    """Every object of a repacked repository reads as git reads it, whichever way deltas name their bases."""
    git("-c", f"repack.useDeltaBaseOffset={deltas}", "repack", "-adfq", "--depth=50", "--window=50", cwd=history_dir)
    chains = git("verify-pack", "-v", str(next(pack_folder(history_dir).glob("*.idx"))), cwd=history_dir)
    assert "chain length = 10" in chains
    assert_reads_everything(history_dir, database_of(history_dir))


def test_loose_objects_are_read(history_dir: Path) -> None:
    """A repository that was never packed reads as git reads it."""
    assert not list(pack_folder(history_dir).iterdir())
    assert_reads_everything(history_dir, database_of(history_dir))


def test_offsets_beyond_two_gigabytes_are_read(history_dir: Path, git: Git) -> None:
    """An index with 64-bit offsets, which git can be told to write for a small pack, leads to the same objects."""
    git("repack", "-adq", cwd=history_dir)
    [pack] = pack_folder(history_dir).glob("*.pack")
    index = pack.with_suffix(".idx")
    objects = everything(history_dir)
    index.chmod(0o644)
    size = index.stat().st_size
    git("index-pack", "--no-rev-index", "--index-version=2,0x40", "-o", str(index), str(pack), cwd=history_dir)
    assert index.stat().st_size > size
    database = database_of(history_dir)
    for name, stored in objects.items():
        assert database.read(bytes.fromhex(name)) == stored


def test_offsets_beyond_two_gigabytes_are_written(tmp_path: Path) -> None:
    """Objects beyond 2 GiB of a pack keep their place in the index."""
    entries = {object_id("blob", b"%d" % number): (12 + number * (1 << 30), number) for number in range(5)}
    base = tmp_path / "pack-large"
    base.with_suffix(".idx").write_bytes(encode_index(entries, bytes(20)))
    base.with_suffix(".pack").write_bytes(b"PACK\0\0\0\2\0\0\0\5")
    os.truncate(base.with_suffix(".pack"), 5 << 30)
    pack = Pack(str(base))
    assert {oid: (offset, crc) for oid, offset, _, crc in pack.entries()} == entries
    assert [pack.find(oid) for oid in entries] == [offset for offset, _ in entries.values()]


@given(st.binary(max_size=2000), st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=200)), max_size=8))
def test_a_delta_makes_what_it_was_made_for(base: bytes, edits: list[tuple[int, bytes]]) -> None:
    """Deltas that dulwich makes lead to the content they were made from."""
    target = base * 3
    for position, text in edits:
        target = target[:position] + text + target[position + len(text) // 2 :]
    delta = b"".join(create_delta(base, target))
    assert apply_delta(base, delta) == target


@given(st.binary(max_size=60), st.binary(max_size=30))
def test_a_hostile_delta_ends_in_an_error(base: bytes, delta: bytes) -> None:
    """Random bytes as a delta give a ValueError or IndexError, or something of the size they promise."""
    try:
        made = apply_delta(base, delta)
    except (ValueError, IndexError):
        return
    assert len(made) < 1 << 24


def test_alternates_are_read(repo_dir: Path, git: Git, tmp_path: Path) -> None:
    """Objects that a clone borrows from another repository are found there."""
    borrower = tmp_path / "borrower"
    git("clone", "-q", "--shared", str(repo_dir), str(borrower), cwd=tmp_path)
    database = ObjectDatabase(f"{borrower}/.git/objects", [f"{repo_dir}/.git/objects"])
    assert_reads_everything(repo_dir, database)
    head = bytes.fromhex(git("rev-parse", "HEAD", cwd=repo_dir).strip())
    assert database.contains(head)
    assert not database.keeps(head)


def test_a_missing_object_is_told(repo_dir: Path) -> None:
    """An id that nothing answers to is an error of its own, and not contained."""
    database = database_of(repo_dir)
    assert not database.contains(bytes(20))
    with pytest.raises(MissingObject, match="0" * 40):
        database.read(bytes(20))


def test_another_process_s_pack_is_found(repo_dir: Path) -> None:
    """What another process writes between two reads is seen, without a reopening."""
    reader, writer = database_of(repo_dir), database_of(repo_dir)
    for number in range(20):
        stored = ("blob", b"number %d" % number)
        oid = object_id(*stored)
        assert not reader.contains(oid)
        writer.write([stored], durable=False)
        assert reader.contains(oid)
        assert reader.read(oid) == stored


def test_a_repack_between_two_reads_is_survived(history_dir: Path, git: Git) -> None:
    """Packs that git replaces while a database is open are found again, mapped before or not."""
    database = database_of(history_dir)
    for step in range(3):
        names = list(everything(history_dir))
        assert database.contains(bytes.fromhex(names[0]))
        (history_dir / "new.txt").write_text(f"{step}\n")
        git("add", "-A", cwd=history_dir)
        git("commit", "-q", "-m", "more", cwd=history_dir)
        git("repack", "-adfq", f"--window={step + 2}", cwd=history_dir)
        assert_reads_everything(history_dir, database)


def test_gone_means_gone_after_refresh(repo_dir: Path, git: Git) -> None:
    """What `git gc --prune=now` took is not read from a mapping that outlived it."""
    database = database_of(repo_dir)
    git("repack", "-adq", cwd=repo_dir)
    blob = git("hash-object", "-w", "train.py", cwd=repo_dir).strip()
    stray = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"], cwd=repo_dir, input=b"stray", check=True, capture_output=True
    )
    name = stray.stdout.decode().strip()
    packed = subprocess.run(
        ["git", "pack-objects", "-q", ".git/objects/pack/pack"], cwd=repo_dir, input=stray.stdout, check=True
    )
    assert packed.returncode == 0
    assert database.read(bytes.fromhex(name)) == ("blob", b"stray")
    git("gc", "-q", "--prune=now", cwd=repo_dir)
    database.refresh()
    assert not database.contains(bytes.fromhex(name))
    assert database.contains(bytes.fromhex(blob))


def test_our_packs_outlive_git_gc(repo_dir: Path, git: Git) -> None:
    """Objects that no ref holds yet stay through `git gc --prune=now`, which neither counts nor repacks our packs."""
    database = database_of(repo_dir)
    oids = [oid for number in range(60) for oid in database.write(run_objects(number), durable=False)]
    assert all(database.keeps(oid) for oid in oids)
    git("-c", "gc.autoDetach=false", "gc", "--auto", "-q", cwd=repo_dir)
    assert list((repo_dir / ".git/objects").glob("??")), "gc --auto ran"
    git("gc", "-q", "--prune=now", cwd=repo_dir)
    git("repack", "-adfq", cwd=repo_dir)
    database.refresh()
    assert all(database.keeps(oid) for oid in oids)


def test_a_partial_clone_fetches_what_it_left_out(repo_dir: Path, git: Git, tmp_path: Path) -> None:
    """A blob that a partial clone left with its remote is had through git."""
    git("config", "uploadpack.allowFilter", "true", cwd=repo_dir)
    git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=repo_dir)
    partial = tmp_path / "partial"
    git("clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{repo_dir}", str(partial), cwd=tmp_path)
    blob = bytes.fromhex(git("rev-parse", "HEAD:train.py", cwd=repo_dir).strip())
    database = database_of(partial)
    assert not database.contains(blob)
    assert database.read(blob) == ("blob", b"print('training')\n")
    with pytest.raises(MissingObject):
        database.read(bytes(20))


def test_damage_is_told(repo_dir: Path) -> None:
    """A flipped byte anywhere in a pack never gives wrong content: an error, or the right content."""
    database = database_of(repo_dir)
    stored = [("blob", b"some content that is long enough to compress " * 20), ("blob", b"x")]
    oids = database.write(stored)
    [path] = pack_folder(repo_dir).glob("*.pack")
    whole = path.read_bytes()
    path.chmod(0o644)
    for position in range(12, len(whole) - 20):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        fresh = database_of(repo_dir)
        for oid, right in zip(oids, stored, strict=True):
            try:
                assert fresh.read(oid, verify=True) == right
            except CorruptData:
                pass


@pytest.mark.parametrize("length", [0, 7, 1031, 1099])
def test_an_index_that_is_cut_short_hides_nothing_else(repo_dir: Path, length: int) -> None:
    """Objects elsewhere are still read, and a missing one says which index is damaged."""
    database = database_of(repo_dir)
    [lost] = database.write([("blob", b"lost")])
    [index] = pack_folder(repo_dir).glob("*.idx")
    [found] = database.write([("blob", b"found")])
    index.chmod(0o644)
    index.write_bytes(index.read_bytes()[:length])
    fresh = database_of(repo_dir)
    assert fresh.read(found) == ("blob", b"found")
    assert not fresh.contains(lost)
    with pytest.raises(MissingObject, match=index.name):
        fresh.read(lost)


def test_a_damaged_loose_object_is_told(repo_dir: Path, git: Git) -> None:
    """A loose file that is no zlib stream is damage, not absence."""
    name = git("rev-parse", "HEAD:train.py", cwd=repo_dir).strip()
    path = repo_dir / ".git/objects" / name[:2] / name[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(CorruptData, match=name):
        database_of(repo_dir).read(bytes.fromhex(name))


def test_thousands_of_packs_need_no_descriptors(repo_dir: Path) -> None:
    """1,200 packs are read by a process that may open 64 files."""
    database = database_of(repo_dir)
    oids = [database.write([("blob", b"%d" % number)], durable=False)[0] for number in range(1200)]
    fresh = database_of(repo_dir)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
    try:
        assert [fresh.read(oid) for oid in oids[::17]] == [("blob", b"%d" % number) for number in range(0, 1200, 17)]
        assert all(fresh.contains(oid) for oid in oids[::31])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_failing_disk_leaves_nothing_behind(repo_dir: Path, git: Git) -> None:
    """A write that the system cuts off is StorageFailed with a clear message, and no temporary file stays."""
    script = (
        "import resource, signal, sys\n"
        "from gitexp.store.git.database import ObjectDatabase\n"
        "from gitexp.errors import StorageFailed\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "limit = int(sys.argv[2])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "import random\n"
        "try:\n"
        "    ObjectDatabase(sys.argv[1]).write([('blob', random.randbytes(1 << 20)) for _ in range(6)])\n"
        "except StorageFailed as error:\n"
        "    print(error)\n"
    )
    for limit in (0, 100, 1 << 20, 5 << 20, 6 << 20):
        command = [sys.executable, "-c", script, str(repo_dir / ".git/objects"), str(limit)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("Could not write"), done
        assert "File too large" in done.stdout
        assert not list(pack_folder(repo_dir).iterdir())
    git("fsck", "--full", cwd=repo_dir)


def test_a_folder_that_cannot_be_written_is_told(repo_dir: Path) -> None:
    """Where the pack folder is a file, writing says so and consolidating does nothing."""
    pack_folder(repo_dir).rmdir()
    pack_folder(repo_dir).write_text("")
    database = database_of(repo_dir)
    with pytest.raises(StorageFailed, match="Not a directory"):
        database.write([("blob", b"x")])
    assert database.consolidate() == 0


def test_sixteen_packs_become_one(repo_dir: Path, git: Git) -> None:
    """Packs of runs are merged as they grow; every object stays and git likes the result."""
    database = database_of(repo_dir)
    for number in range(150):
        write_run(repo_dir, database, number)
        database.consolidate()
        assert len(list(pack_folder(repo_dir).glob("*.pack"))) < 2 * MERGE_AT
    assert_healthy(repo_dir, git)
    assert_reads_everything(repo_dir, database)
    suffixes = {path.stem: path for path in pack_folder(repo_dir).iterdir()}
    assert len(list(pack_folder(repo_dir).iterdir())) == 3 * len(suffixes), "pack, index and keep, nothing else"
    assert "garbage: 0" in git("count-objects", "-v", cwd=repo_dir)


def test_only_our_packs_are_merged(history_dir: Path, git: Git) -> None:
    """Packs of the user's, kept or not, stay byte for byte."""
    git("repack", "-adq", cwd=history_dir)
    [own] = pack_folder(history_dir).glob("*.pack")
    database = database_of(history_dir)
    for number in range(20):
        database.write(run_objects(number), durable=False)
    kept_by_user = min(path for path in pack_folder(history_dir).glob("*.pack") if path != own)
    kept_by_user.with_suffix(".keep").chmod(0o644)
    kept_by_user.with_suffix(".keep").write_text("mine\n")
    assert database_of(history_dir).consolidate() == 19
    assert own.exists()
    assert kept_by_user.exists()
    assert_reads_everything(history_dir, database)


def test_packs_in_a_multi_pack_index_stay(repo_dir: Path, git: Git) -> None:
    """A multi-pack-index of the user's never points at a pack that was merged away."""
    database = database_of(repo_dir)
    for number in range(20):
        write_run(repo_dir, database, number)
    git("multi-pack-index", "write", cwd=repo_dir)
    for number in range(20, 40):
        write_run(repo_dir, database, number)
    assert database.consolidate() == 20
    git("multi-pack-index", "verify", "--no-progress", cwd=repo_dir)
    assert_healthy(repo_dir, git)
    assert_reads_everything(repo_dir, database)


def test_a_damaged_pack_is_not_merged(repo_dir: Path) -> None:
    """Merging copies only what is sound and removes no pack that is not."""
    database = database_of(repo_dir)
    for number in range(20):
        database.write(run_objects(number), durable=False)
    damaged = sorted(pack_folder(repo_dir).glob("*.pack"))[3]
    content = bytearray(damaged.read_bytes())
    content[30] ^= 0xFF
    damaged.chmod(0o644)
    damaged.write_bytes(content)
    assert database.consolidate() == 19
    assert damaged.read_bytes() == content
    assert database.consolidate() == 0


def test_one_process_consolidates_at_a_time(repo_dir: Path) -> None:
    """While another process rearranges packs, consolidating waits for nobody and rewriting says so."""
    database = database_of(repo_dir)
    for number in range(20):
        database.write(run_objects(number), durable=False)
    with open(repo_dir / ".git/objects/info/gitexp.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert database_of(repo_dir).consolidate() == 0
        with pytest.raises(Conflict):
            database_of(repo_dir).rewrite_kept(set())
    assert database.consolidate() == 20


def test_readers_find_everything_while_packs_are_merged(repo_dir: Path) -> None:
    """Threads that read never miss an object while another database writes and merges."""
    writer, reader = database_of(repo_dir), database_of(repo_dir)
    known: list[bytes] = []
    done = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        dice = random.Random(3)
        while not done.is_set():
            if known:
                try:
                    reader.read(dice.choice(known), verify=True)
                except BaseException as error:
                    failures.append(error)
                    return

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(120):
        known += writer.write(run_objects(number), durable=False)
        writer.consolidate()
    done.set()
    for thread in threads:
        thread.join()
    assert not failures


def test_released_objects_are_git_s_to_judge(repo_dir: Path, git: Git) -> None:
    """After a release, `git gc --prune=now` takes what no ref holds, and only that."""
    database = database_of(repo_dir)
    kept = [oid for number in range(10) for oid in database.write(run_objects(number), durable=False)]
    held = write_run(repo_dir, database, 100)
    loose = database.write(run_objects(200), durable=False)
    assert database.rewrite_kept(set(kept)) == len(run_objects(100)) + len(loose)
    assert database.contains(loose[0])
    assert not database.keeps(loose[0])
    git("gc", "-q", "--prune=now", cwd=repo_dir)
    database.refresh()
    assert all(database.keeps(oid) for oid in kept)
    assert not any(database.contains(oid) for oid in loose)
    git("cat-file", "-e", held, cwd=repo_dir)
    assert_healthy(repo_dir, git)


def test_releasing_everything_takes_the_keep_away(repo_dir: Path) -> None:
    """A pack of which nothing is kept loses its `.keep`, although its content and so its name stay the same."""
    database = database_of(repo_dir)
    oids = database.write(run_objects(1))
    assert database.rewrite_kept(set()) == len(oids)
    assert not list(pack_folder(repo_dir).glob("*.keep"))
    assert all(database.contains(oid) for oid in oids)
    assert database.rewrite_kept(set()) == 0


def test_keeping_everything_changes_nothing(repo_dir: Path) -> None:
    """Packs without anything to release are not touched."""
    database = database_of(repo_dir)
    oids = database.write(run_objects(1))
    before = {path: path.stat().st_mtime_ns for path in pack_folder(repo_dir).iterdir()}
    assert database.rewrite_kept(set(oids)) == 0
    assert {path: path.stat().st_mtime_ns for path in pack_folder(repo_dir).iterdir()} == before


def test_leftovers_are_swept(repo_dir: Path) -> None:
    """Old temporary files and packs without index that dead writers left go; young ones and the user's stay."""
    folder = pack_folder(repo_dir)
    database = database_of(repo_dir)
    database.write(run_objects(1))
    for name in ("unfinished", "alone"):
        (folder / f"pack-{name}.keep").write_text("gitexp\n")
    (folder / "pack-unfinished.pack").write_bytes(b"PACK")
    (folder / "pack-users.pack").write_bytes(b"PACK")
    (folder / f"{durable.TEMPORARY}1_old").write_bytes(b"")
    (folder / "tmp_pack_users").write_bytes(b"")
    past = time.time() - 7200
    for path in folder.iterdir():
        os.utime(path, (past, past))
    (folder / f"{durable.TEMPORARY}2_young").write_bytes(b"")
    assert database.sweep_temporary(3600) == 4
    left = {path.name for path in folder.iterdir()}
    assert {f"{durable.TEMPORARY}2_young", "tmp_pack_users", "pack-users.pack"} < left
    assert len(left) == 6


def test_a_shared_repository_stays_shared(repo_dir: Path) -> None:
    """Where the group may write into git's folders, it may read and write what is ours, whatever the umask."""
    for folder in (pack_folder(repo_dir), repo_dir / ".git/refs", repo_dir / ".git"):
        folder.chmod(0o2775)
    before = os.umask(0o077)
    try:
        commit = database_of(repo_dir).write(run_objects(1))[-1].hex()
        RefStore(f"{repo_dir}/.git", f"{repo_dir}/.git").create(f"{RUN_REF}r1", commit)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in pack_folder(repo_dir).iterdir()} == {0o444}
    assert (repo_dir / ".git" / RUN_REF).stat().st_mode & 0o7777 == 0o2775
    assert (repo_dir / ".git" / RUN_REF / "r1").stat().st_mode & 0o777 == 0o664


def test_hard_links_are_not_needed(repo_dir: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without them, refs and packs are written all the same, and creating still has one winner."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    refs = RefStore(f"{repo_dir}/.git", f"{repo_dir}/.git")
    old, new = (database_of(repo_dir).write(run_objects(number))[-1].hex() for number in range(2))
    assert refs.create(f"{RUN_REF}r1", old)
    assert not refs.create(f"{RUN_REF}r1", new)
    assert refs.update(f"{RUN_REF}r1", old, new)
    assert git("rev-parse", f"{RUN_REF}r1", cwd=repo_dir).strip() == new
    assert refs.pack("refs/gitexp/") == 1
    assert not (repo_dir / ".git" / RUN_REF / "r1").exists()
    assert refs.delete(f"{RUN_REF}r1", new)
    assert_healthy(repo_dir, git)


@pytest.mark.slow
def test_a_user_s_gc_at_any_moment_loses_nothing(repo_dir: Path, git: Git) -> None:
    """While `git gc` and `git prune --expire=now` run again and again, every write succeeds and nothing is missing."""
    loop = "while [ -e .git/HEAD ]; do git prune --expire=now; git gc -q --prune=now; done"
    command = ["timeout", "60", "bash", "-c", loop]
    collector = subprocess.Popen(command, cwd=repo_dir, stderr=subprocess.DEVNULL, start_new_session=True)
    database = database_of(repo_dir)
    oids = []
    try:
        for number in range(600):
            oids += database.write(run_objects(number), durable=False)
            if number % 10 == 0:
                database.consolidate()
    finally:
        os.killpg(collector.pid, signal.SIGTERM)
        collector.wait()
    database.refresh()
    assert all(database.keeps(oid) for oid in oids)
    assert_healthy(repo_dir, git)


WRITER = """
import os, sys
sys.path.insert(0, sys.argv[3])
from test_git_packs import run_objects
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.refs import RefStore
git_dir = sys.argv[1]
database, refs = ObjectDatabase(git_dir + "/objects"), RefStore(git_dir, git_dir)
for number in range(int(sys.argv[2]), 10**9):
    commit = database.write(run_objects(number))[-1].hex()
    name = "refs/gitexp/runs/default/r%d" % number
    assert refs.create(name, commit)
    os.write(1, b"%s %s\\n" % (name.encode(), commit.encode()))
    if number % 3 == 0:
        database.consolidate()
    if number % 5 == 0:
        refs.pack("refs/gitexp/", keep_loose=4)
    if number % 7 == 0:
        old, commit = commit, database.write(run_objects(number + 10**10))[-1].hex()
        assert refs.update(name, old, commit)
        os.write(1, b"%s %s\\n" % (name.encode(), commit.encode()))
"""


@pytest.mark.slow
def test_kill_9_at_any_moment_loses_nothing_acknowledged(repo_dir: Path, git: Git) -> None:
    """A writer of runs is killed forty times: fsck stays clean and every acknowledged ref leads to its commit."""
    git_dir = repo_dir / ".git"
    dice = random.Random()
    acknowledged: dict[str, str] = {}
    for round_number in range(40):
        start = round_number * 10**6
        command = [sys.executable, "-c", WRITER, str(git_dir), str(start), str(Path(__file__).parent)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert writer.stdout is not None
        told = [writer.stdout.readline()]
        deadline = time.monotonic() + dice.uniform(0, 0.15)
        while time.monotonic() < deadline:
            told.append(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest, errors = writer.communicate()
        assert not errors
        for line in [*told, *rest.splitlines(keepends=True)]:
            if line.endswith(b"\n"):
                name, commit = line.decode().split()
                acknowledged[name] = commit
    listed = dict(
        reversed(line.split())
        for line in git("for-each-ref", "--format=%(objectname) %(refname)", cwd=repo_dir).splitlines()
    )
    for name, commit in acknowledged.items():
        moved = listed.get(name) != commit
        assert not moved or int(name.rpartition("/r")[2]) % 7 == 0, f"{name} is at {listed.get(name)}"
        assert name in listed
    assert len(acknowledged) > 40
    assert_healthy(repo_dir, git)
    assert_reads_everything(repo_dir, database_of(repo_dir))
