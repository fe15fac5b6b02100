"""What another side said or did, as the error that a person reads."""

from __future__ import annotations

from gitexp.domain.masking import mask_url
from gitexp.errors import AccessDenied, RemoteFailed

TRY_AGAIN = "Try again: what has arrived is not sent a second time."
LOG_IN = "Type: git fetch, to see that git can log in there; gitexp uses the same credentials."

_DENIED = (
    "authentication failed",
    "could not read username",
    "could not read password",
    "permission denied",
    "host key verification failed",
    "access denied",
    "it answered 401",
    "it answered 403",
    "returned error: 403",
)
_ABSENT = (
    "does not appear to be a git repository",
    "repository not found",
    "/' not found",
    "returned error: 404",
    "not exported",
)
_WAITED = ("silent for", "timed out", "operation too slow", "less than", "timeout, server")
_NOISE = (
    "please make sure you have the correct access rights",
    "and the repository exists",
    "the remote end hung up unexpectedly",
    "could not read from remote repository",
    "unpack index-pack abnormal exit",
)


def hang_up() -> str:
    return "the connection broke"


def failed(url: str, reason: str, complaints: str = "") -> RemoteFailed:
    """The error for a conversation that did not end well.

    Args:
        reason: what went wrong as we saw it; where there are complaints, they say it better.
        complaints: what the program on the other side, or ssh, wrote to its standard error.
    """
    where = mask_url(url)
    told = said(complaints)
    if reason == hang_up():
        reason = told or reason
    elif told and told not in reason:
        reason = f"{reason} ({told})"
    lower = reason.lower()
    if any(words in lower for words in _DENIED):
        return AccessDenied(f"'{where}' does not let us in: {reason}.", hint=LOG_IN)
    if any(words in lower for words in _ABSENT):
        return RemoteFailed(
            f"There is no git repository at '{where}', or we may not see it: {reason}.",
            hint="Type: git remote -v, to see the addresses.",
        )
    if any(words in lower for words in _WAITED):
        hint = "Try again. How long a remote may be silent is set so: git config gitexp.timeout SECONDS"
        return RemoteFailed(f"'{where}' was given up: {reason}.", hint=hint)
    return RemoteFailed(f"'{where}' cannot be talked to: {reason}.", hint=TRY_AGAIN)


def said(complaints: str) -> str:
    """The lines that say something, as one sentence without its full stop."""
    lines = []
    for line in complaints.replace("\r", "\n").splitlines():
        text = line.strip()
        for prefix in ("fatal: ", "error: ", "ERROR: "):
            text = text.removeprefix(prefix)
        text = text.rstrip(".")
        if text and text not in lines and not any(noise in text.lower() for noise in _NOISE):
            lines.append(text)
    return "; ".join(lines[-3:])
