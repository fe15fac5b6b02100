"""User names and passwords for http remotes, from where git has them: its helpers, or its plain files."""

from __future__ import annotations

import netrc
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from gitexp.store.git.repository import GitRepository


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who we are for one host. Never shown."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(...)"


_QUESTIONS = 2
_taken: dict[tuple[str, str], Credentials] = {}
_asking = threading.Lock()
"""Several connections are opened at once, and people are asked once."""


class CredentialSource:
    """Asks for the credentials of one address, and tells whether they were any good, as git does.

    Args:
        executable: the git executable, whose helpers may ask the user; None: only `.git-credentials` and `.netrc`.
    """

    def __init__(self, git: GitRepository, url: str, executable: str | None) -> None:
        self._git = git
        self._parts = urlsplit(url)
        self._executable = executable
        self._key = (git.common_dir, f"{self._parts.scheme}://{self._parts.username}@{self._parts.netloc}")
        self._in_netrc: Credentials | None = None
        self._approved: Credentials | None = None

    def answers(self) -> Iterator[Credentials | None]:
        """What to say until it is taken: what was taken before or stands in the address, or nothing; then what
        `ask` finds."""
        answer = _taken.get(self._key) or self.given()
        yield answer
        tried = [answer]
        for _ in range(_QUESTIONS):
            with _asking:
                answer = _taken.get(self._key)
                if answer is None or answer in tried:
                    answer = self.ask()
                if answer is None:
                    return
                _taken[self._key] = answer
            tried.append(answer)
            yield answer

    def given(self) -> Credentials | None:
        """Those that stand in the address itself."""
        if self._parts.username is None or self._parts.password is None:
            return None
        return Credentials(username=unquote(self._parts.username), password=unquote(self._parts.password))

    def ask(self) -> Credentials | None:
        """Those that git would use: of `.netrc`; when asked again, its helpers', which may ask the user. None where
        there are none."""
        if self._in_netrc is None:
            self._in_netrc = _from_netrc(self._parts.hostname or "", self._git.environ)
            if self._in_netrc is not None:
                return self._in_netrc
        if self._executable is None:
            return self._stored()
        answer = self._run("fill", {})
        if answer is None or "username" not in answer:
            return None
        return Credentials(username=answer["username"], password=answer.get("password", ""))

    def report(self, credentials: Credentials, *, good: bool) -> None:
        """Let the helpers keep or forget what they gave."""
        if not good and _taken.get(self._key) == credentials:
            del _taken[self._key]
        if self._executable is None or credentials in (self._in_netrc, self.given(), self._approved):
            return
        said = {"username": credentials.username, "password": credentials.password}
        self._run("approve" if good else "reject", said)
        self._approved = credentials if good else None

    def _stored(self) -> Credentials | None:
        """What git's helper `store` keeps, read without git."""
        for path in _store_files(self._git.environ):
            for line in _lines(path):
                kept = urlsplit(line)
                if (kept.scheme, kept.hostname, kept.port) != (
                    self._parts.scheme, self._parts.hostname, self._parts.port,
                ) or kept.username is None:  # fmt: skip
                    continue
                if self._parts.username in (None, kept.username):
                    return Credentials(username=unquote(kept.username), password=unquote(kept.password or ""))
        return None

    def _run(self, action: str, said: Mapping[str, str]) -> dict[str, str] | None:
        host = self._parts.hostname or ""
        if self._parts.port:
            host = f"{host}:{self._parts.port}"
        fields = {"protocol": self._parts.scheme, "host": host, "path": self._parts.path.lstrip("/")}
        if self._parts.username:
            fields["username"] = unquote(self._parts.username)
        fields.update(said)
        if any("\n" in value or "\0" in value for value in fields.values()):
            return None
        text = "".join(f"{name}={value}\n" for name, value in fields.items() if value) + "\n"
        done = subprocess.run(
            [self._executable or "git", "credential", action],
            check=False,
            input=text.encode(),
            stdout=subprocess.PIPE,
            stderr=None if action == "fill" else subprocess.DEVNULL,
            cwd=self._git.git_dir,
            env={**self._git.environ, "GIT_DIR": self._git.git_dir},
        )
        if done.returncode:
            return None
        lines = (line.partition("=") for line in done.stdout.decode(errors="replace").splitlines())
        return {name: value for name, _, value in lines}


def _from_netrc(host: str, environ: Mapping[str, str]) -> Credentials | None:
    home = environ.get("HOME", "")
    for path in (environ.get("NETRC"), os.path.join(home, ".netrc"), os.path.join(home, "_netrc")):
        if not path or not os.path.isfile(path):
            continue
        try:
            found = netrc.netrc(path).authenticators(host)
        except (OSError, netrc.NetrcParseError):
            continue
        if found:
            return Credentials(username=found[0] or "", password=found[2] or "")
    return None


def _store_files(environ: Mapping[str, str]) -> list[str]:
    home = environ.get("HOME", "")
    return [
        os.path.join(home, ".git-credentials"),
        os.path.join(environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "git", "credentials"),
    ]


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except OSError:
        return []
