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

from gitexp.domain.masking import mask_url
from gitexp.errors import AccessDenied, RemoteFailed
from gitexp.store.git.database import ObjectDatabase
from gitexp.store.git.packs import PackWriter, encode_entry
from gitexp.store.git.repository import GitRepository
from gitexp.store.git.transport import Made, OnBytes, PushPlan, PushReport, find_git

_DENIED = ("authentication failed", "could not read username", "could not read password", "permission denied", "403")
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
        done = self._run("ls-remote", "--refs", "--quiet", self._url, *patterns)
        lines = (line.partition("\t") for line in done.stdout.decode(errors="replace").splitlines())
        return {name: oid for oid, _, name in lines if name.startswith(tuple(prefixes))}

    def fetch(self, wants: Iterable[str], haves: Iterable[str], on_bytes: OnBytes) -> None:  # noqa: ARG002 (git knows)
        asked = list(wants)
        if not asked:
            return
        before = self._stored()
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--refmap=", "--stdin")
        self._run(
            "-c",
            "fetch.unpackLimit=1",
            "-c",
            "core.fsync=all",
            "-c",
            "fetch.fsckObjects=true",
            "fetch",
            *options,
            self._url,
            data="".join(f"{oid}\n" for oid in asked).encode(),
        )
        on_bytes(max(self._stored() - before, 0))
        self._objects.refresh()

    def fetch_apart(self, wants: Iterable[str], folder: str) -> None:
        with tempfile.TemporaryDirectory(prefix="gitexp-fetch-") as place:
            os.makedirs(f"{place}/refs")
            config = f"[include]\n\tpath = {_quoted(self._git.common_dir + '/config')}\n[core]\n\tbare = true\n"
            for name, text in {"HEAD": "ref: refs/heads/none\n", "config": config}.items():
                with open(f"{place}/{name}", "w", encoding="utf-8") as file:
                    file.write(text)
            os.makedirs(f"{folder}/pack", exist_ok=True)
            self._run(
                "-c", "fetch.unpackLimit=1",
                "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--stdin", self._url,
                data="".join(f"{oid}\n" for oid in wants).encode(),
                environ={"GIT_DIR": place, "GIT_OBJECT_DIRECTORY": folder},
            )  # fmt: skip

    def push(self, plan: Callable[[dict[str, str]], PushPlan | None], on_bytes: OnBytes) -> PushReport:
        made = plan(self.refs(("refs/",)))
        if made is None or not made.updates:
            return PushReport(refused={})
        with self._staged(made) as environ:
            gone = [f":{name}" for name, (_, new) in made.updates.items() if new is None]
            leases = [f"--force-with-lease={name}:{old}" for name, (old, new) in made.updates.items() if new is None]
            pattern = ["refs/*:refs/*"] if len(gone) < len(made.updates) else []
            atomic = ["--atomic"] if made.atomic else []
            done = self._run(
                *_PLAIN_PACKS, "push", "--porcelain", "--quiet", "--no-verify", "--no-thin", *atomic, *leases,
                self._url, *pattern, *gone, environ=environ, check=False,
            )  # fmt: skip
        refused = dict(_refused(done.stdout.decode(errors="replace")))
        if done.returncode and not refused:
            raise self._failed(done.stderr)
        on_bytes(sum(len(self._objects.entry(oid)[1]) for oid in made.objects if oid not in made.made))
        return PushReport(refused=refused, said=_told(done.stderr))

    @contextmanager
    def _staged(self, plan: PushPlan) -> Iterator[dict[str, str]]:
        """A repository that has nothing but the refs to push; gives the variables that make git work in it."""
        with tempfile.TemporaryDirectory(prefix="gitexp-push-") as folder:
            for name in ("refs", "objects/pack"):
                os.makedirs(f"{folder}/{name}")
            config = f"[include]\n\tpath = {_quoted(self._git.common_dir + '/config')}\n[core]\n\tbare = true\n"
            refs = "".join(f"{new} {name}\n" for name, (_, new) in sorted(plan.updates.items()) if new)
            shallow = _read(f"{self._git.common_dir}/shallow")
            files = {
                "HEAD": "ref: refs/heads/none\n",
                "config": config,
                "packed-refs": f"# pack-refs with: sorted \n{refs}",
            }
            for name, text in files.items():
                with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                    file.write(text)
            if shallow:
                with open(f"{folder}/shallow", "wb") as copy:
                    copy.write(shallow)
            shared = [self._git.object_dir, *self._git.alternates]
            if plan.made:
                _write_pack(f"{folder}/objects/pack", plan.made)
            yield {
                "GIT_DIR": folder,
                "GIT_OBJECT_DIRECTORY": f"{folder}/objects",
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(shared),
            }

    def _run(
        self,
        *arguments: str,
        data: bytes | None = None,
        environ: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[bytes]:
        own = {**self._git.environ, "GIT_DIR": self._git.git_dir, "LC_ALL": "C", **(environ or {})}
        for name in ("GIT_WORK_TREE", "GIT_INDEX_FILE"):
            own.pop(name, None)
        done = subprocess.run(
            [self._executable, *arguments],
            check=False,
            input=data,
            stdin=None if data is not None else subprocess.DEVNULL,
            capture_output=True,
            cwd=self._git.git_dir,
            env=own,
        )  # fmt: skip
        if check and done.returncode:
            raise self._failed(done.stderr)
        return done

    def _failed(self, said: bytes) -> RemoteFailed:
        lines = [
            line.removeprefix("fatal: ").strip() for line in said.decode(errors="replace").splitlines() if line.strip()
        ]
        reason = "; ".join(lines[-3:]).rstrip(".") or "git failed"
        where = mask_url(self._url)
        kind = AccessDenied if any(word in reason.lower() for word in _DENIED) else RemoteFailed
        return kind(f"'{where}' cannot be talked to: {reason}.", hint="Try again.")

    def _stored(self) -> int:
        folder = f"{self._git.object_dir}/pack"
        try:
            with os.scandir(folder) as entries:
                return sum(entry.stat().st_size for entry in entries if entry.name.endswith(".pack"))
        except FileNotFoundError:
            return 0


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


def _told(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").splitlines()
    return "\n".join(line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:"))


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
