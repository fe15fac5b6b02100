"""What git's configuration and the rules of a snapshot say about a work tree, and whether it still says the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gitexp.domain.config import NOT_SECRET_FILES
from gitexp.store.git.config import is_true
from gitexp.store.git.repository import GitRepository
from gitexp.store.git.tree_cache import trusted
from gitexp.store.git.worktree import NEVER, ScanRules, signature_of

if TYPE_CHECKING:
    from gitexp.store.git.attributes import Attributes
    from gitexp.store.git.filters import Driver, Filters
    from gitexp.store.git.ignore import PatternList

OWN_IGNORE_FILE = b".gitexpignore"

_SYSTEM_ATTRIBUTES = b"/etc/gitattributes"

Stored = Callable[[bytes], bytes | None]


class Settings:
    """How one work tree is captured.

    Args:
        secrets: patterns of untracked files that are left out.

    Attributes:
        root: the work tree, without a `/` at its end.
        ignore_key, convert_key: plain values; while they stay the same, so do the answers about which files count, and
            about what git makes of their content.
        symlinks: `core.symlinks`.
        drivers: the filters that were asked for, by name, as plain values.
    """

    def __init__(self, repository: GitRepository, secrets: tuple[str, ...]) -> None:
        assert repository.work_tree is not None
        self._repository = repository
        self._secrets = secrets
        self.root = os.fsencode(repository.work_tree).rstrip(b"/")
        info = os.fsencode(repository.common_dir) + b"/info"
        self._excludes = tuple(filter(None, (info + b"/exclude", self._user_file("excludesFile", "ignore"))))
        self._attributes = tuple(
            filter(None, (self._system_attributes(), self._user_file("attributesFile", "attributes")))
        )
        self._info_attributes = info + b"/attributes"
        self._fold = repository.config_flag("core", "ignoreCase")
        self._autocrlf = self._converts_line_ends()
        self._file_mode = repository.config_flag("core", "fileMode", default=True)
        self.symlinks = repository.config_flag("core", "symlinks", default=True)
        self.drivers: dict[str, Any] = {}
        self.ignore_key = (self._fold, secrets, _states(self._excludes))
        self.convert_key = (
            self._fold,
            self._autocrlf,
            self._file_mode,
            self.symlinks,
            _states((*self._attributes, self._info_attributes)),
        )

    def scan_rules(self, stored: Stored) -> ScanRules:
        """What decides which files count.

        Args:
            stored: the content that the index has for a rule file which is not in the work tree.
        """
        from gitexp.store.git.ignore import IgnoreRules, IgnoreSources  # slow to import, and often nothing changed

        git = IgnoreRules(self.root, IgnoreSources(b".gitignore", self._excludes, self._fold), stored)
        ours = IgnoreRules(self.root, IgnoreSources(OWN_IGNORE_FILE, (), self._fold), stored)
        places = {self._repository.git_dir, self._repository.common_dir}
        return ScanRules(
            root=self.root,
            ignores=(git, ours),
            secrets=secret_patterns(self._secrets),
            own_folders=frozenset(os.fsencode(os.path.realpath(place)) for place in places),
            file_mode=self._file_mode,
            symlinks=self.symlinks,
        )

    def filters(self, stored: Stored, in_index: Stored) -> Filters:
        """What git makes of contents.

        Args:
            stored: as for `scan_rules`.
            in_index: the content that the index has for a path.
        """
        from gitexp.store.git.filters import Filters, FilterSettings  # slow to import, and often nothing changed

        settings = FilterSettings(
            autocrlf=self._autocrlf,
            driver=self._driver,
            work_tree=self.root,
            environ=self._repository.environ,
        )
        return Filters(settings, self.attributes(stored), in_index)

    def attributes(self, stored: Stored) -> Attributes:
        """What `.gitattributes` and their like say; `stored` as for `scan_rules`."""
        from gitexp.store.git.attributes import Attributes  # see `filters`

        return Attributes(self.root, outer=self._attributes, info=self._info_attributes, stored=stored, fold=self._fold)

    def still_drives(self, drivers: dict[str, Any]) -> bool:
        """Whether filters are configured as they were."""
        return all(self._describe(name) == described for name, described in drivers.items())

    def _driver(self, name: str) -> Driver | None:
        from gitexp.store.git.filters import Driver  # see `filters`

        described = self.drivers[name] = self._describe(name)
        clean, process, required = described
        if clean is None and process is None and required is None:
            return None
        return Driver(name=name, clean=clean, process=process, required=bool(required))

    def _describe(self, name: str) -> tuple[str | None, str | None, bool | None]:
        config = self._repository.config
        required = config("filter", "required", name)
        return (
            config("filter", "clean", name),
            config("filter", "process", name),
            None if required is None else is_true(required),
        )

    def _converts_line_ends(self) -> bool:
        value = self._repository.config("core", "autocrlf") or ""
        return value.lower() == "input" or self._repository.config_flag("core", "autocrlf")

    def _system_attributes(self) -> bytes | None:
        return None if self._repository.environ.get("GIT_ATTR_NOSYSTEM", "0") not in ("", "0") else _SYSTEM_ATTRIBUTES

    def _user_file(self, setting: str, name: str) -> bytes | None:
        """The file that a setting of `core` names, or the one in the user's folder for git."""
        environ = self._repository.environ
        configured = self._repository.config("core", setting)
        if configured is None:
            home = environ.get("HOME")
            folder = environ.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else None)
            return os.fsencode(f"{folder}/git/{name}") if folder else None
        if configured.startswith("~/") and "HOME" in environ:
            configured = environ["HOME"] + configured[1:]
        elif configured.startswith("~"):
            configured = os.path.expanduser(configured)
        return os.path.join(self.root, os.fsencode(configured)) if configured else None


def secret_patterns(patterns: tuple[str, ...]) -> PatternList:
    """What finds secrets by their paths in lower case; a negative one takes a file back in."""
    from gitexp.store.git.ignore import PathPattern, PatternList  # see `scan_rules`

    made = [_anywhere(pattern.lower()) for pattern in patterns]
    made += [b"!" + _anywhere(pattern) for pattern in NOT_SECRET_FILES]
    return PatternList(PathPattern(pattern) for pattern in made)


def _anywhere(pattern: str) -> bytes:
    """Patterns of several parts match at any depth, too, and folders stand for the files in them."""
    if pattern.endswith("/"):
        pattern += "**"
    return os.fsencode(f"**/{pattern}" if "/" in pattern else pattern)


def _states(paths: tuple[bytes, ...]) -> list[Any]:
    """How files look now; one that has only just changed never looks the same again."""
    now = time.time_ns()
    found: list[Any] = []
    for path in paths:
        try:
            signature = signature_of(os.stat(path))
        except OSError:
            found.append((path, None))
        else:
            found.append((path, now if trusted(signature, now) is NEVER else signature))
    return found
