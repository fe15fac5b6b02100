"""User names and passwords for http remotes, from where git has them: its helpers, or its plain files."""

from __future__ import annotations

import netrc
import os
import subprocess
from collections.abc import Mapping
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


class CredentialSource:
    """Asks for the credentials of one address, and tells whether they were any good, as git does.

    Args:
        executable: the git executable, whose helpers may ask the user; None: only `.git-credentials` and `.netrc`.
    """

    def __init__(self, git: GitRepository, url: str, executable: str | None) -> None:
        self._git = git
        self._parts = urlsplit(url)
        self._executable = executable

    def given(self) -> Credentials | None:
        """Those that stand in the address itself."""
        if self._parts.username is None or self._parts.password is None:
            return None
        return Credentials(username=unquote(self._parts.username), password=unquote(self._parts.password))

    def ask(self) -> Credentials | None:
        """Those that git would use; its helpers may ask the user. None where there are none."""
        if self._executable is None:
            return _from_netrc(self._parts.hostname or "", self._git.environ)
        answer = self._run("fill", {})
        if answer is None or "username" not in answer:
            return _from_netrc(self._parts.hostname or "", self._git.environ)
        return Credentials(username=answer["username"], password=answer.get("password", ""))

    def report(self, credentials: Credentials, *, good: bool) -> None:
        """Let the helpers keep or forget what they gave."""
        if self._executable is not None:
            said = {"username": credentials.username, "password": credentials.password}
            self._run("approve" if good else "reject", said)

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
