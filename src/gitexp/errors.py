"""Every error gitexp raises on purpose.

    GitexpError                     exit code 1
    ├── UsageError              2   the request itself makes no sense
    │   ├── InvalidName             a key, name or path that cannot be stored
    │   └── QueryError              a search expression that cannot be read; knows where
    ├── NotFound                3   nothing answers to that name
    │   └── Ambiguous               several things do
    ├── NotARepository          4   no git repository here, or one gitexp cannot use
    ├── CorruptData             5   something stored is damaged
    │   └── UnknownFormat           written by a newer gitexp
    ├── Conflict                6   somebody else changed it first, again and again
    ├── StorageFailed           7   the disk is full, read-only or failing
    ├── RemoteFailed            8   another repository or store cannot be reached, or refuses
    │   └── AccessDenied            it wants to know who we are, or does not let us in
    ├── EnvironmentFailed       9   the packages or the Python that are needed cannot be had
    └── CommandFailed          10   what was run again failed, and had not the first time

A message says what happened, with values in quotes, and ends in a full stop; a hint says what to type next.
"""

from __future__ import annotations

from collections.abc import Iterable


class GitexpError(Exception):
    """Something gitexp can explain. `str(error)` is the message; `hint` says what to do, or is empty."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(GitexpError):
    exit_code = 2


class InvalidName(UsageError):
    pass


class QueryError(UsageError):
    """A search expression that cannot be read.

    Args:
        message: what was expected and what was found.
        text: the whole expression.
        position: 0-based offset into `text` where the trouble starts.
    """

    def __init__(self, message: str, *, text: str, position: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.text = text
        self.position = position


class NotFound(GitexpError):
    exit_code = 3


class Ambiguous(NotFound):
    pass


class NotARepository(GitexpError):
    exit_code = 4


class CorruptData(GitexpError):
    exit_code = 5


class UnknownFormat(CorruptData):
    pass


class Conflict(GitexpError):
    exit_code = 6


class StorageFailed(GitexpError):
    exit_code = 7


class RemoteFailed(GitexpError):
    exit_code = 8


class AccessDenied(RemoteFailed):
    pass


class EnvironmentFailed(GitexpError):
    """An environment that cannot be built.

    Args:
        packages: of each package that cannot be had, its name, what was recorded of it, and the versions there are.
    """

    exit_code = 9

    def __init__(
        self, message: str, *, hint: str = "", packages: Iterable[tuple[str, str, tuple[str, ...]]] = ()
    ) -> None:
        super().__init__(message, hint=hint)
        self.packages = tuple(packages)


class CommandFailed(GitexpError):
    """A command that was started for a purpose failed.

    Args:
        signal: the number of the one it died by. is_stopped: whether somebody ended it, as with Ctrl-C.
    """

    exit_code = 10

    def __init__(self, message: str, *, hint: str = "", signal: int | None = None, is_stopped: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.signal = signal
        self.is_stopped = is_stopped
