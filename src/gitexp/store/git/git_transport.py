"""Git's protocol spoken by the git executable, with the user's helpers, proxies, certificates and odd schemes.

A push of chosen refs by explicit refspecs takes git time that grows with the square of their number. So what is pushed
is put into the packed-refs of a temporary repository that shares our objects, and one pattern pushes all of it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from gitexp.store.git.answers import failed, hang_up
from gitexp.store.git.connections import patience_s, ssh_program
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.packs import PackWriter, encode_entry
from gitexp.store.git.receiving import HARMLESS
from gitexp.store.git.repository import GitRepository
from gitexp.store.git.transport import Made, OnBytes, PushPlan, PushReport, find_git

_CAREFUL = (
    "-c",
    "fetch.unpackLimit=1",
    "-c",
    "core.fsync=all",
    "-c",
    "fetch.fsckObjects=true",
    *(word for name in HARMLESS for word in ("-c", f"fetch.fsck.{name}=ignore")),
)
_FETCH = (
    "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-prune",
    "--no-recurse-submodules", "--no-write-commit-graph", "--refmap=", "--stdin",
)  # fmt: skip
_NO_ANSWER = ("remote failed to report status", "remote failure")
_PLAIN_PACKS = ("-c", "pack.window=0", "-c", "core.bigFileThreshold=1m", "-c", "pack.compression=1")


class GitTransport:
    """A remote at one address; see `Transport`."""

    def __init__(self, git: GitRepository, objects: ObjectDatabase, url: str) -> None:
        self._git = git
        self._objects = objects
        self._url = url
        self._executable = find_git(git.environ) or "git"

    def refs(self, prefixes: Sequence[str]) -> dict[str, str]:
        patterns = [f"{prefix}*" for prefix in prefixes]
        only = () if "HEAD" in prefixes else ("--refs",)
        done = self._run("ls-remote", *only, "--quiet", self._url, *patterns)
        lines = (line.partition("\t") for line in done.stdout.decode(errors="replace").splitlines())
        return {name: oid for oid, _, name in lines if name.startswith(tuple(prefixes))}

    def fetch(self, wants: Iterable[str], haves: Iterable[str], on_bytes: OnBytes) -> None:  # noqa: ARG002 (git knows)
        asked = list(wants)
        if not asked:
            return
        before = self._stored()
        self._run(*_CAREFUL, *_FETCH, self._url, data="".join(f"{oid}\n" for oid in asked).encode())
        on_bytes(max(self._stored() - before, 0))
        self._objects.refresh()

    def fetch_apart(self, wants: Iterable[str], folder: str, most_bytes: int) -> None:
        with self._bare_folder() as place:
            os.makedirs(f"{folder}/pack", exist_ok=True)
            self._run(
                "-c", "fetch.unpackLimit=1", *_FETCH, self._url,
                data="".join(f"{oid}\n" for oid in wants).encode(),
                environ={"GIT_DIR": place, "GIT_OBJECT_DIRECTORY": folder},
                most_bytes=most_bytes,
            )  # fmt: skip

    def push(self, plan: Callable[[dict[str, str]], PushPlan | None], on_bytes: OnBytes) -> PushReport:
        made = plan(self.refs(("refs/",)))
        if made is None or not made.updates:
            return PushReport(refused={})
        with self._staged(made) as environ:
            gone = [f":{name}" for name, (_, new) in made.updates.items() if new is None]
            leases = [f"--force-with-lease={name}:{old}" for name, (old, new) in made.updates.items() if new is None]
            pattern = ["refs/*:refs/*"] if len(gone) < len(made.updates) else []
            done = self._run(
                *_PLAIN_PACKS, "push", "--porcelain", "--quiet", "--no-verify", "--no-thin", "--no-follow-tags",
                "--no-recurse-submodules", "--no-signed", *leases, self._url, *pattern, *gone,
                environ=environ, check=False,
            )  # fmt: skip
            on_bytes(_size_of_packs(f"{environ['GIT_OBJECT_DIRECTORY']}/pack"))
        said = done.stderr.decode(errors="replace")
        refused = dict(_refused(done.stdout.decode(errors="replace")))
        if done.returncode and (not refused or any(reason in _NO_ANSWER for reason in refused.values())):
            raise failed(self._url, hang_up() if refused else "git failed", said)
        return PushReport(refused=refused, said=_told(said))

    @contextmanager
    def _staged(self, plan: PushPlan) -> Iterator[dict[str, str]]:
        """A repository that has nothing but the refs to push; gives the variables that make git work in it."""
        with self._bare_folder() as folder:
            os.makedirs(f"{folder}/objects/pack")
            refs = "".join(f"{new} {name}\n" for name, (_, new) in sorted(plan.updates.items()) if new)
            _write(f"{folder}/packed-refs", f"# pack-refs with: sorted \n{refs}")
            shallow = self._git.shallow()
            if shallow:
                _write(f"{folder}/shallow", "".join(f"{oid.hex()}\n" for oid in sorted(shallow)))
            if plan.made:
                _write_pack(f"{folder}/objects/pack", plan.made)
            yield {
                "GIT_DIR": folder,
                "GIT_OBJECT_DIRECTORY": f"{folder}/objects",
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join([self._git.object_dir, *self._git.alternates]),
            }

    @contextmanager
    def _bare_folder(self) -> Iterator[str]:
        """A git directory with our configuration and nothing else."""
        scratch = f"{self._git.gitexp_dir}/tmp"
        os.makedirs(scratch, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="gitexp_tmp_", dir=scratch) as folder:
            os.makedirs(f"{folder}/refs")
            _write(f"{folder}/HEAD", "ref: refs/heads/none\n")
            _write(
                f"{folder}/config",
                f"[include]\n\tpath = {_quoted(f'{self._git.common_dir}/config')}\n[core]\n\tbare = true\n",
            )
            yield folder

    def _run(
        self,
        *arguments: str,
        data: bytes | None = None,
        environ: Mapping[str, str] | None = None,
        check: bool = True,
        most_bytes: int | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        own = {**self._git.environ, "GIT_DIR": self._git.git_dir, "LC_ALL": "C", **(environ or {})}
        for name in ("GIT_WORK_TREE", "GIT_INDEX_FILE"):
            own.pop(name, None)
        if not own.get("GIT_SSH"):
            own["GIT_SSH_COMMAND"] = ssh_program(self._git)
        done = subprocess.run(
            [*_limited(most_bytes), self._executable, *self._patience(), *arguments],
            check=False,
            input=data,
            stdin=None if data is not None else subprocess.DEVNULL,
            capture_output=True,
            cwd=self._git.git_dir,
            env=own,
        )  # fmt: skip
        if check and done.returncode:
            raise failed(self._url, "git failed", done.stderr.decode(errors="replace"))
        return done

    def _patience(self) -> list[str]:
        """git over http waits for ever, unless it is told otherwise."""
        limit = patience_s(self._git)
        if limit == float("inf") or self._git.config("http", "lowSpeedLimit"):
            return []
        return ["-c", "http.lowSpeedLimit=1", "-c", f"http.lowSpeedTime={max(int(limit), 1)}"]

    def _stored(self) -> int:
        return _size_of_packs(f"{self._git.object_dir}/pack")


def _write_pack(folder: str, made: Mapping[bytes, Made]) -> None:
    writer = PackWriter(folder, keep=False, durable=False)
    try:
        for oid, (kind, read) in made.items():
            writer.add_entry(oid, encode_entry(kind, read(), level=0))
        writer.finish()
    finally:
        writer.abandon()


def _refused(porcelain: str) -> Iterator[tuple[str, str]]:
    """What `git push --porcelain` says was not done: `!<tab><from>:<to><tab>[rejected] (reason)`."""
    for line in porcelain.splitlines():
        parts = line.split("\t")
        if len(parts) == 3 and parts[0] == "!":
            reason = parts[2].partition("(")[2].removesuffix(")") or parts[2]
            yield parts[1].partition(":")[2], reason


def _told(said: str) -> str:
    return "\n".join(line.removeprefix("remote:").strip() for line in said.splitlines() if line.startswith("remote:"))


def _limited(most_bytes: int | None) -> list[str]:
    """What to put before a command that may write no larger file; `ulimit` counts in 512 bytes."""
    return [] if most_bytes is None else ["/bin/sh", "-c", f'ulimit -f {most_bytes // 512 + 1}; exec "$@"', "sh"]


def _size_of_packs(folder: str) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.name.endswith(".pack"))
    except FileNotFoundError:
        return 0


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
