"""Where a git repository is and what it is set to: found as git finds it, without a git executable."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from gitexp.errors import CorruptData, NotARepository
from gitexp.store.git import durable
from gitexp.store.git.config import ConfigPlaces, GitConfig, is_true, read_config, read_file
from gitexp.store.git.refs import RefStore, check_name

_KNOWN_EXTENSIONS = {"noop", "noop-v1", "partialclone", "preciousobjects", "worktreeconfig", "relativeworktrees"}
_ONLY_WITH = {"objectformat": "sha1", "refstorage": "files"}
_DEEPEST_ALTERNATE = 5
_EXCLUDE = "# Files that git ignores in this repository only; one pattern a line.\n"


class Head(NamedTuple):
    """What is checked out: `commit` is None on an unborn branch, `branch` where HEAD is detached."""

    commit: str | None
    branch: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GitRepository:
    """One repository as seen from one working tree; all paths are absolute.

    Attributes:
        git_dir: of this worktree.
        common_dir: what all worktrees share; equals `git_dir` unless this is a linked worktree.
        work_tree: None where there is none, as in a bare repository.
        object_dir: where objects are written.
        index_file: git's own index.
        alternates: further object directories, each with its own alternates.
        environ: the environment that decides about configuration.
    """

    git_dir: str
    common_dir: str
    work_tree: str | None
    object_dir: str
    index_file: str
    alternates: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    _config: list[GitConfig] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def gitexp_dir(self) -> str:
        return f"{self.common_dir}/gitexp"

    def head(self) -> Head:
        """What is checked out.

        Raises:
            CorruptData: HEAD or its branch is damaged.
        """
        target = _head_target(self.git_dir)
        commit = RefStore(self.git_dir, self.common_dir).read("HEAD")
        return Head(commit, target.removeprefix("refs/heads/") if target else None)

    def config(self, section: str, name: str, subsection: str | None = None) -> str | None:
        """A value of git's configuration, None where it is not set. It is read once.

        Raises:
            CorruptData: a configuration file cannot be read.
        """
        return self._configuration().get(section, name, subsection or "")

    def config_entries(self, section: str, name: str) -> list[tuple[str, str]]:
        """Every (subsection, value) of a name in a section, as of `url` in `remote`, in the order read."""
        wanted = (section.lower(), name.lower())
        return [
            (subsection, value)
            for (found, subsection, key), values in self._configuration().values.items()
            if (found, key) == wanted and subsection
            for value in values
        ]

    def config_values(self, section: str, name: str) -> list[str]:
        """Every value of a name that may be set several times, in the order read."""
        return self._configuration().values.get((section.lower(), "", name.lower()), [])

    def shallow(self) -> set[bytes]:
        """The commits at which a shallow clone's history ends: their parents are not here."""
        with suppress(FileNotFoundError), open(f"{self.common_dir}/shallow", encoding="ascii") as file:
            return {bytes.fromhex(line) for line in file.read().split()}
        return set()

    def _configuration(self) -> GitConfig:
        if not self._config:
            branch = (_head_target(self.git_dir) or "").removeprefix("refs/heads/") or None
            places = ConfigPlaces(environ=self.environ, git_dir=self.git_dir, common_dir=self.common_dir, branch=branch)
            self._config.append(read_config(places))
        return self._config[0]

    def config_flag(self, section: str, name: str, *, default: bool = False) -> bool:
        """A value of git's configuration that means yes or no."""
        value = self.config(section, name)
        return default if value is None else is_true(value)

    def identity(self) -> tuple[str, str]:
        """Name and email of the author of what is written now, as git finds them; else the login and the host."""
        name = self.environ.get("GIT_AUTHOR_NAME") or self.config("author", "name") or self.config("user", "name")
        email = (
            self.environ.get("GIT_AUTHOR_EMAIL")
            or self.config("author", "email")
            or self.config("user", "email")
            or self.environ.get("EMAIL")
        )
        if name and email:
            return name, email
        login, full_name = _login(self.environ)
        return name or full_name or login, email or f"{login}@{os.uname().nodename}"


def discover(start: str | os.PathLike[str], environ: Mapping[str, str]) -> GitRepository:
    """The repository that git would use in the folder `start`.

    Args:
        environ: GIT_DIR, GIT_WORK_TREE, GIT_COMMON_DIR, GIT_OBJECT_DIRECTORY, GIT_INDEX_FILE,
            GIT_ALTERNATE_OBJECT_DIRECTORIES, GIT_CEILING_DIRECTORIES and GIT_DISCOVERY_ACROSS_FILESYSTEM are honoured.

    Raises:
        NotARepository: there is none, or one that gitexp cannot use.
    """
    here = os.path.realpath(os.fspath(start))
    if environ.get("GIT_DIR"):
        named = os.path.join(here, environ["GIT_DIR"])
        git_dir = _git_dir_at(named, environ)
        if git_dir is None:
            raise NotARepository(f"GIT_DIR names '{named}', which is not a git repository.", hint="Type: unset GIT_DIR")
        return _open(git_dir, here, here, environ)
    for folder in _upwards(here, environ):
        git_dir = _git_dir_at(f"{folder}/.git" if folder != "/" else "/.git", environ)
        if git_dir is not None:
            return _open(git_dir, folder, here, environ)
        if _is_git_dir(folder, environ):
            return _open(folder, None, here, environ)
    raise NotARepository(
        f"'{here}' is not in a git repository.", hint="Type: gitexp init, or: git init, in the folder of your project."
    )


def init(path: str | os.PathLike[str], environ: Mapping[str, str] | None = None) -> GitRepository:
    """Makes what `git init` makes, in the folder `path`, which may exist; a repository that is there stays as it is.

    Raises:
        StorageFailed: the disk is full, read-only or failing.
    """
    environ = environ or {}
    root = os.path.realpath(os.fspath(path))
    git_dir = f"{root}/.git"
    if _git_dir_at(git_dir, environ) is None:
        for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "hooks", "info"):
            durable.make_folder(f"{git_dir}/{folder}")
        _write_start(git_dir, _first_branch(git_dir, environ))
    return _open(git_dir, root, root, environ)


def _write_start(git_dir: str, branch: str) -> None:
    core = "\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n"
    durable.write_new(f"{git_dir}/config", f"[core]\n{core}".encode())
    durable.write_new(f"{git_dir}/info/exclude", _EXCLUDE.encode())
    durable.write_new(f"{git_dir}/HEAD", f"ref: refs/heads/{branch}\n".encode())


def _first_branch(git_dir: str, environ: Mapping[str, str]) -> str:
    config = read_config(ConfigPlaces(environ=environ, git_dir=git_dir, common_dir=git_dir, branch=None))
    branch = config.get("init", "defaultBranch") or "main"
    check_name(f"refs/heads/{branch}")
    return branch


def _open(git_dir: str, work_tree: str | None, here: str, environ: Mapping[str, str]) -> GitRepository:
    common_dir = _common_dir(git_dir, environ)
    config = read_file(f"{common_dir}/config")
    _refuse_unknown_format(config, common_dir)
    own = config if common_dir == git_dir else GitConfig()
    if config.is_true("extensions", "worktreeConfig"):
        own.values.update(read_file(f"{git_dir}/config.worktree").values)
    if environ.get("GIT_WORK_TREE"):
        work_tree = os.path.normpath(os.path.join(here, environ["GIT_WORK_TREE"]))
    elif own.is_true("core", "bare"):
        work_tree = None
    elif named := own.get("core", "worktree"):
        work_tree = os.path.normpath(os.path.join(git_dir, named))
    object_dir = os.path.join(here, environ.get("GIT_OBJECT_DIRECTORY") or f"{common_dir}/objects")
    return GitRepository(
        git_dir=git_dir,
        common_dir=common_dir,
        work_tree=work_tree,
        object_dir=object_dir,
        index_file=os.path.join(here, environ.get("GIT_INDEX_FILE") or f"{git_dir}/index"),
        alternates=_alternates(object_dir, environ, here),
        environ=environ,
    )


def _refuse_unknown_format(config: GitConfig, common_dir: str) -> None:
    version = config.get("core", "repositoryformatversion") or "0"
    if version not in ("0", "1"):
        raise NotARepository(
            f"The repository '{common_dir}' has format version '{version}', which gitexp does not know.",
            hint="Upgrade gitexp.",
        )
    for (section, _, name), values in config.values.items():
        if section != "extensions" or (name not in _ONLY_WITH and (version == "0" or name in _KNOWN_EXTENSIONS)):
            continue
        if _ONLY_WITH.get(name) != values[-1]:
            raise NotARepository(
                f"The repository '{common_dir}' uses git's extension '{name} = {values[-1]}', unknown to gitexp.",
                hint="gitexp works in repositories with SHA-1 ids and refs in files, git's default.",
            )


def _upwards(here: str, environ: Mapping[str, str]) -> Iterator[str]:
    """`here` and the folders above it, as far as git would look."""
    entries = environ.get("GIT_CEILING_DIRECTORIES", "").split(":")
    ceilings = {os.path.realpath(entry) for entry in entries if os.path.isabs(entry)}
    across = is_true(environ.get("GIT_DISCOVERY_ACROSS_FILESYSTEM", ""))
    folder = here
    device = None if across else _device(here)
    while True:
        yield folder
        above = os.path.dirname(folder)
        if above == folder or above in ceilings or (device is not None and _device(above) != device):
            return
        folder = above


def _device(folder: str) -> int | None:
    try:
        return os.stat(folder).st_dev
    except OSError:
        return None


def _git_dir_at(path: str, environ: Mapping[str, str]) -> str | None:
    """The git directory at `path`, which may be a file that names it."""
    if os.path.isdir(path):
        real = os.path.realpath(path)
        return real if _is_git_dir(real, environ) else None
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(65536)
    except OSError:
        return None
    target = os.path.realpath(os.path.join(os.path.dirname(path), text.removeprefix("gitdir:").strip()))
    if not text.startswith("gitdir:") or not _is_git_dir(target, environ):
        raise NotARepository(
            f"The file '{path}' does not lead to a git repository.", hint="Type: git worktree repair, or: git status"
        )
    return target


def _is_git_dir(path: str, environ: Mapping[str, str]) -> bool:
    """Whether git takes `path` for a git directory: HEAD, objects and refs are there."""
    if not os.path.isfile(f"{path}/HEAD"):
        return False
    common_dir = _common_dir(path, environ)
    objects = environ.get("GIT_OBJECT_DIRECTORY") or f"{common_dir}/objects"
    return os.path.isdir(objects) and os.path.isdir(f"{common_dir}/refs")


def _common_dir(git_dir: str, environ: Mapping[str, str]) -> str:
    if environ.get("GIT_COMMON_DIR"):
        return os.path.realpath(environ["GIT_COMMON_DIR"])
    try:
        with open(f"{git_dir}/commondir", encoding="utf-8", errors="surrogateescape") as file:
            return os.path.realpath(os.path.join(git_dir, file.read().strip()))
    except OSError:
        return git_dir


def _head_target(git_dir: str) -> str | None:
    """The ref that HEAD names, None where it names a commit."""
    try:
        with open(f"{git_dir}/HEAD", encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(4096)
    except OSError as error:
        raise CorruptData(f"'{git_dir}/HEAD' cannot be read: {error.strerror}.") from error
    return text[4:].strip() if text.startswith("ref:") else None


def _alternates(object_dir: str, environ: Mapping[str, str], here: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for entry in environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES", "").split(":"):
        if entry:
            _add_alternate(os.path.join(here, _unquote(entry)), found, 0)
    _add_listed(object_dir, found, 0)
    found.pop(os.path.realpath(object_dir), None)
    return tuple(found)


def _add_alternate(object_dir: str, found: dict[str, None], depth: int) -> None:
    real = os.path.realpath(object_dir)
    if real not in found and os.path.isdir(real):
        found[real] = None
        _add_listed(real, found, depth + 1)


def _add_listed(object_dir: str, found: dict[str, None], depth: int) -> None:
    if depth > _DEEPEST_ALTERNATE:
        return
    with suppress(OSError), open(f"{object_dir}/info/alternates", encoding="utf-8", errors="surrogateescape") as file:
        for line in file.read().split("\n"):
            if line and not line.startswith("#"):
                _add_alternate(os.path.join(object_dir, _unquote(line)), found, depth)


def _unquote(text: str) -> str:
    """Undoes git's C-style quotes."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    raw = text[1:-1].encode("utf-8", "surrogateescape")
    return os.fsdecode(raw.decode("unicode_escape").encode("latin-1")) if b"\\" in raw else os.fsdecode(raw)


def _login(environ: Mapping[str, str]) -> tuple[str, str]:
    """Login and full name of the user."""
    import pwd  # only where git has no name or no email

    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        login = environ.get("LOGNAME") or environ.get("USER") or "unknown"
        return login, login
    return entry.pw_name, entry.pw_gecos.partition(",")[0].replace("&", entry.pw_name.capitalize())
