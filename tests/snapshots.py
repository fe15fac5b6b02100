"""Taking snapshots in tests, and what the real git says about the same work tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from gitexp.store.content import ContentStore
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.objects import MODE_GITLINK, MODE_TREE, decode_commit, decode_tree
from gitexp.store.git.repository import discover
from gitexp.store.git.snapshot import Snapshot, SnapshotRules, take

ALL_FILES = SnapshotRules(secrets=())


def snapshot(folder: Path, rules: SnapshotRules = ALL_FILES) -> Snapshot:
    """A snapshot whose new objects are written, as a run does it, and that is complete."""
    repository = discover(folder, os.environ)
    objects = ObjectDatabase(repository.object_dir, repository.alternates)
    try:
        taken = take(repository, objects, ContentStore(f"{repository.gitexp_dir}/objects"), rules)
        objects.write(taken.new_objects)
        assert_complete(objects, taken)
        return taken
    finally:
        objects.close()


def assert_complete(objects: ObjectDatabase, taken: Snapshot) -> None:
    """Every object of the tree is in HEAD's tree or in a pack that no gc takes."""
    committed: set[bytes] = set()
    if taken.head.commit:
        commit = decode_commit(objects.read(bytes.fromhex(taken.head.commit))[1])
        _collect(objects, bytes.fromhex(commit.tree), committed)
    needed: set[bytes] = set()
    _collect(objects, bytes.fromhex(taken.tree), needed)
    assert [oid.hex() for oid in needed - committed if not objects.keeps(oid)] == []


def _collect(objects: ObjectDatabase, tree: bytes, found: set[bytes]) -> None:
    if tree in found:
        return
    found.add(tree)
    for _, mode, oid in decode_tree(objects.read(tree)[1]):
        if mode == MODE_TREE:
            _collect(objects, oid, found)
        elif mode != MODE_GITLINK:
            found.add(oid)


def tree_of_git(folder: Path, *options: str, read_all: bool = False) -> str | None:
    """What `git add -A && git write-tree` gives with a copy of the index; None where git gives an error.

    Where rules for conversion have changed, it depends on the clock which files git reads again; `read_all`: all.
    """
    git_dir = _run(folder, "rev-parse", "--absolute-git-dir").stdout.decode().strip()
    with tempfile.TemporaryDirectory() as place:
        for name in os.listdir(git_dir):
            if name == "index" or name.startswith("sharedindex."):
                shutil.copy2(f"{git_dir}/{name}", f"{place}/{name}")
        if read_all:
            known = _run(folder, "write-tree", GIT_INDEX_FILE=f"{place}/index").stdout.decode().strip()
            _run(folder, "read-tree", known or "HEAD", GIT_INDEX_FILE=f"{place}/index")
        added = _run(folder, "add", "-A", *options, GIT_INDEX_FILE=f"{place}/index")
        written = _run(folder, "write-tree", GIT_INDEX_FILE=f"{place}/index")
    return written.stdout.decode().strip() if added.returncode == written.returncode == 0 else None


def files_of(folder: Path, tree: str) -> dict[str, str]:
    """Mode and id of each file in a tree, by path."""
    listed = _run(folder, "ls-tree", "-r", "-z", tree).stdout.decode("utf-8", "surrogateescape")
    rows = (line.partition("\t") for line in listed.split("\0") if line)
    return {path: f"{head.split()[0]} {head.split()[2]}" for head, _, path in rows}


def content_of(folder: Path, tree: str, path: str) -> bytes:
    """The content of a file in a tree."""
    return _run(folder, "cat-file", "-p", f"{tree}:{path}").stdout


def let_times_settle(folder: Path) -> None:
    """Waits until no file looks so new that a later change might leave its times as they are."""
    while any(time.time_ns() - os.lstat(path).st_ctime_ns < 60_000_000 for path in [folder, *folder.rglob("*")]):
        pass


def _run(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", *arguments], cwd=folder, env={**os.environ, **environ}, capture_output=True, check=False
    )
