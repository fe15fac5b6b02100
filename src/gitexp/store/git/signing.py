"""Signed commits, as the user's git makes them: by gpg, by gpgsm (`gpg.format = x509`) or by ssh-keygen."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable

from gitexp.errors import StorageFailed, UsageError
from gitexp.store.git.repository import GitRepository

_PROGRAMS = {"openpgp": "gpg", "x509": "gpgsm", "ssh": "ssh-keygen"}
_WHOLE_KEYS = ("ssh-", "ecdsa-", "sk-", "key::")
"""How `user.signingkey` begins where it is a public key and no file."""


def signer(git: GitRepository, author: str) -> Callable[[bytes], bytes] | None:
    """What signs a commit object as `commit.gpgSign` wants it; None where commits are not signed.

    Args:
        author: whose key it is where `user.signingKey` names none, as "Name <email>".
    """
    if not git.config_flag("commit", "gpgsign"):
        return None
    way = (git.config("gpg", "format") or "openpgp").lower()
    if way not in _PROGRAMS:
        raise UsageError(f"git's setting 'gpg.format' is '{way}'.", hint=f"It can be {', '.join(_PROGRAMS)}.")
    old = git.config("gpg", "program") if way == "openpgp" else None
    program = os.path.expanduser(git.config("gpg", "program", way) or old or _PROGRAMS[way])
    key = git.config("user", "signingkey")

    def sign(commit: bytes) -> bytes:
        if way == "ssh":
            signature = _by_ssh(program, key or _default_ssh_key(git), commit, git)
        else:
            signature = _by_gpg(program, key or author, commit, git)
        head, _, message = commit.partition(b"\n\n")
        folded = signature.strip().replace(b"\r", b"").replace(b"\n", b"\n ")
        return head + b"\ngpgsig " + folded + b"\n\n" + message

    return sign


def _by_gpg(program: str, key: str, commit: bytes, git: GitRepository) -> bytes:
    done = _run([program, "--status-fd=2", "-bsau", key], commit, git)
    if done.returncode or b"[GNUPG:] SIG_CREATED " not in done.stderr:
        raise _failed(program, done)
    return done.stdout


def _by_ssh(program: str, key: str, commit: bytes, git: GitRepository) -> bytes:
    with tempfile.TemporaryDirectory(prefix="gitexp-sign-") as folder:
        path = os.path.expanduser(key)
        options = []
        if key.startswith(_WHOLE_KEYS):  # ssh-agent has its other half
            path, options = os.path.join(folder, "key.pub"), ["-U"]
            with open(path, "w", encoding="utf-8") as file:
                file.write(key.removeprefix("key::") + "\n")
        text = os.path.join(folder, "commit")
        with open(text, "wb") as file:
            file.write(commit)
        done = _run([program, "-Y", "sign", "-n", "git", "-f", path, *options, text], b"", git)
        try:
            with open(f"{text}.sig", "rb") as file:
                return file.read()
        except FileNotFoundError:
            raise _failed(program, done) from None


def _default_ssh_key(git: GitRepository) -> str:
    command = git.config("gpg", "defaultkeycommand", "ssh")
    if command:
        done = _run(shlex.split(command), b"", git)
        for line in done.stdout.decode(errors="replace").splitlines():
            if line.startswith(_WHOLE_KEYS):
                return line
    raise UsageError(
        "Commits are to be signed by ssh, but no key is named.", hint="git config user.signingkey ~/.ssh/id_ed25519.pub"
    )


def _run(command: list[str], data: bytes, git: GitRepository) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, input=data, capture_output=True, check=False, env=dict(git.environ))
    except OSError as error:
        raise StorageFailed(
            f"The commit cannot be signed: '{command[0]}' cannot be executed ({error.strerror}).",
            hint="Install it, or turn git's setting commit.gpgSign off.",
        ) from error


def _failed(program: str, done: subprocess.CompletedProcess[bytes]) -> StorageFailed:
    said = [line for line in done.stderr.decode(errors="replace").splitlines() if not line.startswith("[GNUPG:]")]
    return StorageFailed(
        f"The commit cannot be signed by '{program}': {'; '.join(said) or f'exit code {done.returncode}'}.",
        hint="Check git's settings user.signingKey and gpg.format.",
    )
